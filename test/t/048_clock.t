# A clock that jumps: backup, WAL, prune, verify and restore on a host whose clock is
# wrong by years. Nothing that is needed is deleted, nothing stored is refused.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();
my ($lib) = grep { -e } glob('/usr/lib/*/faketime/libfaketimeMT.so.1');
plan skip_all => 'libfaketime is not installed' unless $lib;

my $t = SovTest->new;
my $d = $t->dir;
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\n");
$t->sql("CREATE TABLE t AS SELECT g AS i, md5(g::text) AS m FROM generate_series(1, 30000) g");

# The command, so many seconds off.
sub sov_at
{
	my ($offset, @args) = @_;
	return capture(as('env', "LD_PRELOAD=$lib", "FAKETIME=$offset", 'FAKETIME_DONT_FAKE_MONOTONIC=1', $t->sov_cmd(@args)));
}
sub listed { return $t->sov_ok('list') =~ /^(20\d\d\S+)/mg; }
sub digest { return $t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i, m)) FROM t"); }

my ($s, $o, $e) = sov_at('+400d', 'list');
plan skip_all => "faketime does not work here: $e" if $s ne '0' && $e =~ /preload|faketime/;

# --- a backup of now, one from the future, one from the past ---
$t->sov_ok('backup', '--label', 'now');
for my $offset ('+400d', '-400d')
{
	$t->sql("UPDATE t SET m = md5(m) WHERE i % 10 = 0");
	($s, $o, $e) = sov_at($offset, 'backup', '--label', "at $offset");
	is($s, 0, "a backup at $offset") or diag "$o$e";
}
$t->sql("UPDATE t SET m = md5(m) WHERE i % 10 = 1");
$t->sov_ok('backup', '--label', 'now again');
ok($t->archive, 'and WAL');
my @all = listed();
is(scalar(@all), 4, 'all are listed') or diag "@all";
my $year = (gmtime)[5] + 1900;
ok((grep { !/^$year/ } @all) >= 1, 'and the clock was off indeed') or diag "@all";

# --- verify and check anywhere ---
for my $offset ('+3650d', '-3650d')
{
	($s, $o, $e) = sov_at($offset, 'verify', '--deep');
	ok($s eq '0' && $o =~ /0 missing, 0 damaged, 0 lost/, "verify at $offset") or diag "$o$e";
}

# --- prune with a clock that is ahead, while a backup runs ---
{
	my $pid = fork();
	if ($pid == 0) { open(STDOUT, '>', "$d/b.out"); open(STDERR, '>&STDOUT'); exec(as($t->sov_cmd('backup', '--full', '--max-rate', '8MB', '--label', 'under way'))) or POSIX::_exit(99); }
	sleep 1;
	($s, $o, $e) = sov_at('+400d', 'prune', '--keep-days', '3');
	ok($s eq '0' || $e =~ /hint: /, 'prune at +400d beside a backup') or diag "$o$e";
	waitpid($pid, 0);
	my $out = slurp("$d/b.out");
	ok($? == 0 || $out =~ /hint: /, 'the backup ends, or says why not') or diag $out;
	$t->sov_ok('backup', '--label', 'after it');
	$t->sov_is('nothing is missing', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
}
($s, $o, $e) = sov_at('-400d', 'prune', '--keep-days', '3');
is($s, 0, 'prune at -400d') or diag "$o$e";
$t->sov_is('nothing is missing', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
my $rows = digest();
ok($t->archive, 'WAL goes on');

# --- every backup that is offered restores, whatever the clock says ---
$t->stop($data, 'fast');
my $bad = '';
for my $id (listed())
{
	($s, $o, $e) = sov_at('+400d', 'restore', '-D', "$d/r", '--backup', $id);
	$bad .= "$id: $o$e" if $s ne '0';
	run_as('rm', '-rf', "$d/r");
}
is($bad, '', 'every backup that is offered restores');
$t->sov_ok('restore', '-D', "$d/r");
$t->start("$d/r");
is(digest(), $rows, 'and the newest has all rows');

# --- the audit log, where what is written is dated by the wrong clock as well ---
my @batches = objects("$d/a", 'l');
cmp_ok(scalar(@batches), '>', 5, 'there is an audit log');
$ENV{NO_FAKE_STAT} = 1;		# the provider has a clock of its own
$t->{data} = "$d/r";
$t->configure(@{ $t->{providers} });
for my $args (['backup', '--label', 'far ahead'], ['prune', '--keep-last', '99'])
{
	($s, $o, $e) = sov_at('+2000d', @$args);
	is($s, 0, "$args->[0] at +2000d") or diag "$o$e";
}
like($e, qr/note: the clock of provider \w is 4\d{4} h behind this host's/, 'whose prune says which clocks differ');
is(join(' ', grep { !-e } @batches), '', 'and ages nothing of it');
done_testing();
