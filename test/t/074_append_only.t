# A database host whose credentials can neither remove nor overwrite: it archives, backs
# up, proves and restores; what removes and overwrites is done elsewhere, with others.
use strict;
use warnings;
use Test::More;
use lib 'test/t';
use SovTest;
use SovStore;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
for my $who (qw(host keeper))
{
	spit("$d/$who.cred", "access-key = $who\nsecret-key = secretsecret\n");
	chmod 0600, "$d/$who.cred";
	system('chown', 'postgres', "$d/$who.cred") if $> == 0;
}
my %store = map { $_ => SovStore->new($d, $_) } qw(a b c);
$_->mode('append') for values %store;
my $text = slurp($t->conf) =~ s/\[provider\.a\].*//sr;
spit($t->conf, $text . join('', map { $store{$_}->section("$d/host.cred") } qw(a b c)));
# another host: a state directory of its own
spit("$d/keeper.conf", slurp($t->conf) =~ s/host\.cred/keeper.cred/gr =~ s/^state-directory.*$/state-directory = $d\/keeper/mr);
sub keeper { my (@args) = @_; return SovTest::capture(SovTest::as(SovTest::command(), '-c', "$d/keeper.conf", @args)); }
sub refused { my ($re) = @_; return scalar grep { /$re/ } map { $_->refused } values %store; }
sub stored { return scalar map { glob "$d/$_.store/o.*" } qw(a b c); }

# --- what a host does all day ---
$t->sov_ok('init');
my $data = $t->start_new;
$t->sql("CREATE TABLE x AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 30000) g");
my ($s, $o, $e) = $t->sov('check');
like($o, qr/^\s*ok\s+provider a: write, read back, no removing: prune where that is allowed/m, 'check says what these credentials cannot') or diag "$o$e";
my @first;
for (1 .. 3)
{
	$t->sql("UPDATE x SET v = md5(v) WHERE id % 3 = $_ - 1");
	push @first, $t->sov_ok('backup') =~ /^backup (\S+)/m;
	ok($t->archive(60), "backup $_, and WAL is archived");
}
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'all is proven') or diag "$o$e";
unlike($e, qr/does not answer/, 'and no provider is called down for what it refuses');
($s, $o, $e) = $t->sov('audit', 'verify');
is($s, 0, 'the audit log is whole') or diag "$o$e";
cmp_ok(refused(qr{^PUT l/.*/beat}), '>', 0, 'though its beat cannot be renewed');
is(refused(qr{^(?:PUT|DELETE) (?!l/|c/)}), 0, 'nothing else was to be overwritten or removed') or diag map { "$_\n" } map { $_->refused } values %store;
($s, $o, $e) = $t->sov('provider', 'probe', 'a');
like($o, qr/overwrite\s+limited.*remove\s+limited/s, 'probe tells');
is($s, 0, 'and does not call it bad') or diag "$o$e";

# --- a process killed between putting and noting puts the same once more ---
my $n = stored();
my ($segment) = map { m{.*/([0-9A-F]{24})\.done$} } glob "$data/pg_wal/archive_status/*.done";
($s, $o, $e) = $t->sov('wal-push', "$data/pg_wal/$segment");
is($s, 0, 'a segment that is there is pushed again') or diag $e;

# --- what it cannot, it says ---
($s, $o, $e) = $t->sov('prune', '--keep-last', '1', '--grace', '0');
is($s, 4, 'prune fails with these credentials');
like("$o$e", qr/^tried to remove .*403 AccessDenied.*could not be deleted/ms, 'and says why') or diag "$o$e";
$t->sov_is('still everything restores', 0, qr/0 lost/, 'verify', '--deep');
my ($pack) = sort { -s $b <=> -s $a } glob "$d/b.store/o.p_2f*";
my $was = slurp($pack);
substr($was, 3000, 1) ^= "\x01";
spit($pack, $was);
($s, $o, $e) = $t->sov('repair');
like("$o$e", qr/not mended: .*403 AccessDenied/, 'a damaged shard cannot be overwritten: repair says so') or diag "$o$e";

# --- and is done elsewhere ---
($s, $o, $e) = keeper('repair');
is($s, 0, 'repair with the credentials of another host') or diag "$o$e";
utime(time - 90000, time - 90000, glob "$d/a.store/o.c_2f*");
($s, $o, $e) = keeper('prune', '--keep-last', '1', '--grace', '0');
is($s, 0, 'prune too') or diag "$o$e";
cmp_ok(stored(), '<', $n, 'what is not kept is gone');
is(scalar(() = glob "$d/a.store/o.c_2f*"), 0, 'with the trials that could not be removed');
$t->sov_is('the host sees what is left', 0, qr/^\Q$first[2]\E/m, 'list');
$t->sov_ok('backup');
$t->sov_is('and goes on', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
$t->sov_is('and restores', 0, qr/every block checked/, 'restore', '-D', "$d/r");

# --- leaving a provider, from there ---
my $folder = "$d/d";
SovTest::run_as('mkdir', '-m', '700', $folder);
for my $conf ($t->conf, "$d/keeper.conf") { spit($conf, slurp($conf) =~ s/\[provider\.c\]\n.*/[provider.d]\ntype = folder\npath = $folder\n/sr); }
spit("$d/keeper.conf", slurp("$d/keeper.conf") . $store{c}->section("$d/keeper.cred", 'state = drain'));
($s, $o, $e) = keeper('apply');
is($s, 0, 'a provider is left from the other host') or diag "$o$e";
is(scalar(() = glob "$d/c.store/o.[pmwr]_2f*"), 0, 'nothing is left there');
ok($t->archive(60), 'archiving goes on to the new one');
$t->sov_is('and all is there', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
done_testing();
