# The runbooks work: their blocks are run, in their order, on bad days that are made here.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use SovMachine;
use SovTest;
use Test::More;

plan skip_all => SovTest::unable() if SovTest::unable();

my @folders = map { "srv/$_/entrepot" } qw(one two three four);
my $m = SovMachine->new(@folders);
my ($t, $dir, $data) = @{$m}{qw(t dir data)};
my $conf = $m->here(<<'CONF');
[cluster]
data-directory = /var/lib/postgresql/15/main
connection = host=/var/run/postgresql dbname=postgres
[repository]
name = entrepot
needed = 2
shards = 3
state-directory = /var/lib/pg_sovereign/entrepot
[custody]
root = file:/etc/pg_sovereign/root.key
[provider.one]
type = folder
path = /srv/one/entrepot
[provider.two]
type = folder
path = /srv/two/entrepot
[provider.three]
type = folder
path = /srv/three/entrepot
CONF
$m->configure($conf);
$m->settings("archive_mode = on\narchive_library = 'pg_sovereign'\n");
is(($m->shell('pg_sovereign key create-root && pg_sovereign init'))[0], '0', 'a repository');
$t->start($data);
my ($status, $out, $err) = $m->sql(<<'SQL');
CREATE SCHEMA sovereign;
CREATE EXTENSION pg_sovereign SCHEMA sovereign;
SELECT sovereign.create_key('patients');
CREATE TABLE patient (id int, name sovereign.encrypted_text('patients'));
INSERT INTO patient SELECT g, 'Martin ' || g FROM generate_series(1, 1000) g;
SQL
is($status, '0', 'and what is worth it') or diag "$out$err";
is(($m->shell('pg_sovereign backup'))[0], '0', 'a backup');
sub archive { $t->archive; }
sub digest { return $t->sql("SELECT md5(string_agg(id || name, '' ORDER BY id)) FROM patient"); }
archive();
my $want = digest();

# What has happened before a block
my %day = (
	'A provider does not answer' => sub {
		my ($text) = @_;
		if ($text =~ /list/) { rename "$dir/srv/three", "$dir/srv/three.away"; $t->sql('SELECT pg_switch_wal()'); archive(); }
		else { rename "$dir/srv/three.away", "$dir/srv/three"; }
	},
	'A provider is gone, or is to be left' => sub {
		my ($text) = @_;
		return if $text !~ /^\[provider\.four\]/m;
		$conf =~ s/\[provider\.three\]\n/[provider.three]\nstate = drain\n/;
		$conf .= $text;
		$m->configure($conf);
	},
	'The server is lost: a restore under stress' => sub {
		$conf =~ s/\[provider\.three\].*?(?=\[provider\.four\])//s;
		$m->configure($conf);
		archive();
		$t->stop($data, 'immediate');
		run_as('rm', '-rf', $data, "$dir/var/lib/pg_sovereign/entrepot");
	},
	'Somebody may have the root key' => sub {
		my ($text) = @_;
		return if $text !~ /--finish/;
		$conf =~ s/root\.key/root2.key/;
		$m->configure($conf);
		$t->sql('SELECT pg_reload_conf()');
	});
my $n = 0;
for my $block (blocks(slurp("$FindBin::Bin/../../extension/doc/runbooks.md")))
{
	my ($kind, $text, $heading) = ($block->[0], $m->here($block->[1]), $block->[2]);
	$n++;
	$day{$heading}->($text) if $day{$heading};
	($status, $out, $err) = $kind eq 'sh' ? $m->shell($text) : $kind eq 'sql' ? $m->sql($text) : ($m->shell('pg_sovereign list'));
	ok($status eq '0', "$heading: block $n") or diag "$status $text$out$err";
	like($out, qr/0 missing, 0 damaged, 0 lost/, "$heading: and all is whole") if $text =~ /verify$|verify --deep/m;
	unlike($out, qr/nothing to do/, "$heading: there is something to do") if $text =~ /pg_sovereign plan/;
	like($out, qr/no other root key is needed/, "$heading: the old root key is not needed") if $text =~ /key where/;
	if ($heading =~ /restore under stress/)
	{
		$t->{clusters}{$data} = 1;
		for (1 .. 600) { last if $t->sql('SELECT pg_is_in_recovery()', nofail => 1) eq 'f'; select(undef, undef, undef, 0.1); }
	}
	is(digest(), $want, "$heading: every row is there") if $kind ne 'ini';
}
cmp_ok($n, '>=', 12, 'the runbooks have their blocks');
ok(!-s "$dir/srv/three/entrepot/id", 'the provider that was left holds nothing');
done_testing();
