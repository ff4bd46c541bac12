# Policy: what breaks a rule is refused with rule, provider and source, and gets no
# byte; archiving goes on with the others; it may be read, and be left.
use strict;
use warnings;
use Test::More;
use lib 'test/t';
use SovTest;

my $t = SovTest->new(qw(a b c d));
my $d = $t->dir;
my ($s, $o, $e);

# Providers as they are said to be; further lines of each by name, all of a policy.
sub configure
{
	my ($policy, %more) = @_;
	my @active = grep { exists $more{$_} && $more{$_} !~ /drain/ } qw(a b c d);
	$t->configure(grep { exists $more{$_} } qw(a b c d));
	my $text = slurp($t->conf);
	$text =~ s/^shards = \d+/"shards = " . @active/me;
	$text =~ s/^(\[custody\])/$policy\n$1\noperator = The hospital/m if $policy;
	for my $p (keys %more)
	{
		my $parent = $more{$p} =~ /^parent/m ? '' : "parent = Owner $p\n";
		$text =~ s/^(\[provider\.$p\])/$1\noperator = Operator $p\n${parent}seat = FR\nlocation = FR\n$more{$p}/m;
	}
	spit($t->conf, $text);
}
my $none = "jurisdictions = none-found\n";
my $us = "jurisdictions = US\n";
my $rule = "[policy]\nnot-reached-by = US\njurisdiction = EEA\n";
sub files { my ($p) = @_; return join(' ', sort split /\n/, run_as('find', "$d/$p", '-type', 'f')); }

# --- at init ---
configure($rule, a => $none, b => $none, c => $us);
($s, $o, $e) = $t->sov('init');
is($s, 2, 'init over a provider that a law reaches is refused');
like($e, qr/policy not-reached-by = US \(line \d+\): the law of US reaches provider "c" \(\Q@{[$t->conf]}\E:\d+\)/, 'with rule, provider and source');
like($e, qr/hint: .*state = drain in \[provider\.c\]/, 'and what to do');
is(files($_), '', "nothing was written to $_") for qw(a b c);
configure($rule, a => $none, b => $none, c => '');
($s, $o, $e) = $t->sov('init');
is($s, 2, 'what is unknown does not satisfy');
like($e, qr/"jurisdictions" of provider "c" is unknown/, 'and is named');
configure($rule, a => $none, b => $none, c => $none . "parent = Owner a\n");
($s, $o, $e) = $t->sov('init');
is($s, 2, 'two of one parent are refused');
like($e, qr/max-shards-per-parent: with provider "c", Owner a holds 2 shards, and 1 are allowed/, 'and named');
configure($rule =~ s/EEA/EEA\nrequire = hds/r, a => $none, b => $none, c => $none);
($s, $o, $e) = $t->sov('init');
is($s, 2, 'a certification that nobody has');
like($e, qr/policy require = hds .*hds of provider "a": whether it is certified is unknown/, 'is told');

# --- presets, with an own catalogue whose certificate has expired ---
spit("$d/own.ini", "[source.cert]\ndescription = the certificate\nread-on = 2026-11\nconfidence = official\n" .
	"[vendor.old]\noperator = Old \@cert\nparent = Old \@cert\nseat = FR \@cert\nlocation = FR \@cert\njurisdictions = none-found \@cert\n" .
	"hds = yes, until 2020-01-01 \@cert\n[vendor.scaleway]\nhds = no \@cert\n");
configure($rule =~ s/EEA/EEA\nrequire = hds/r, a => $none, b => $none, c => $none . "preset = old\n");
spit($t->conf, slurp($t->conf) =~ s{^(\[repository\])}{$1\ncatalogue = $d/own.ini}mr);
($s, $o, $e) = $t->sov('check', '--no-archive');
like("$o$e", qr{hds of provider "c": its certificate expired on 2020-01-01 \(\Q$d\E/own\.ini:11: the certificate, read 2026-11, official\)},
	'an expired certification is told with the line of the own catalogue and its source');

# --- edits while archiving runs: of the own catalogue alone, then of the policy ---
sub own { spit("$d/own.ini", "[source.me]\ndescription = my own\nread-on = 2026-11\nconfidence = official\n[vendor.mine]\njurisdictions = $_[0] \@me\n"); }
own('none-found');
configure($rule, a => $none, b => $none, c => "preset = mine\n");
spit($t->conf, slurp($t->conf) =~ s{^(\[repository\])}{$1\ncatalogue = $d/own.ini}mr);
$t->sov_ok('init');
my $data = $t->start_new;
$t->sql("CREATE TABLE x AS SELECT g AS id FROM generate_series(1, 1000) g");
$t->sov_ok('backup');
ok($t->archive, 'a backup and its WAL');
my $before = files('c');
own('US');
$t->sql("INSERT INTO x SELECT 0");
ok($t->archive, 'archiving goes on when a claim of the own catalogue changes');
is(files('c'), $before, 'the helper judges by it at once: the provider gets nothing');
configure($rule, a => $none, b => $none, c => $us);
$t->sql("INSERT INTO x SELECT 1");
ok($t->archive, 'archiving goes on: the others hold it, and the spool of this host what is missing');
is(files('c'), $before, 'the provider that breaks the policy gets nothing');
($s, $o, $e) = $t->sov('backup');
is($s, 2, 'a backup is refused');
like($e, qr/law of US reaches provider "c"/, 'with the reason');
($s, $o, $e) = $t->sov($_) and is($s, 2, "$_ is refused") for qw(plan apply);
($s, $o, $e) = $t->sov('check', '--no-archive');
isnt($s, 0, 'check fails');
like($o, qr/FAIL  policy not-reached-by = US .*provider "c"/, 'and says why');
is(files('c'), $before, 'and nothing of all that is written to it');
($s, $o, $e) = $t->sov('list');
is($s, 0, 'it is still read');
like($e, qr/nothing is written to provider c: policy not-reached-by/, 'and every start says so');

# --- how it is left ---
configure($rule, a => $none, b => $none, c => $us . "state = drain\n", d => $none);
($s, $o, $e) = $t->sov('check', '--no-archive');
like($o, qr/note  policy: provider c is being left, and breaks a rule meanwhile: not-reached-by/, 'check says how it is left');
is($t->sov_ok('apply', '--dry-run'), $t->sov_ok('plan'), 'a dry run is the plan');
$t->sov_ok('apply');
is(scalar(grep { m{/[wpmr]/} } split / /, files('c')), 0, 'no shard is left there');
is(join(' ', grep { index($before, $_) < 0 } split / /, files('c')), '', 'and nothing new was written to it');
configure($rule, a => $none, b => $none, d => $none);
$t->sov_ok('backup');
$t->sql("INSERT INTO x SELECT 2");
ok($t->archive, 'a backup and WAL without it');
($s, $o, $e) = $t->sov('check');
is($s, 0, 'check is content') or diag "$o$e";
like($o, qr/ok    policy: every rule holds/, 'with the policy');
is(scalar(() = $t->sov_ok('report', '--json') =~ /"policy": "satisfied"/g), 6, 'each provider satisfies it, as configured and as last seen, in one word');
$t->stop($data);
done_testing();
