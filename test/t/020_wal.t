# WAL: the archive module, wal-push and wal-fetch, with providers that come and go.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time stat);
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
my ($s, $o, $e);
$t->sov_ok('init');
# counts how many threads of a program read, and compress, at once
{
	use Cwd qw(abs_path);
	use File::Basename qw(dirname);
	my $top = abs_path(dirname(__FILE__) . '/../..');
	system('make', '-s', '-C', $top, 'build/test/together.so') == 0 or die;
	system('cp', "$top/build/test/together.so", "$d/together.so") == 0 or die;
	spit("$d/counted", "#!/bin/sh\nLD_PRELOAD=$d/together.so TOGETHER_LOG=$d/together.\$\$ exec '" . SovTest::command() . "' \"\$@\"\n");
	chmod 0755, "$d/together.so", "$d/counted";
}
sub together { my ($what, @logs) = @_; return (sort { $b <=> $a } map { slurp($_) =~ /^$what (\d+)/mg } @logs)[0] // 0; }
my $data = $t->start_new(conf => "log_min_messages = log\nsovereign.command = '$d/counted'\n");
my $log = "$data.log";
$t->sql("CREATE TABLE x (v text)");

sub segment { return $t->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"); }
sub fill { $t->sql("INSERT INTO x SELECT md5(g::text) FROM generate_series(1, 2000) g"); }

# --- archived, and fetched back the same ---
my @names;
for (1 .. 4)
{
	$t->archived if $_ == 4;	# the last arrives last at every provider
	push @names, segment();
	fill();
	$t->sql("SELECT pg_switch_wal()");
	run_as('cp', "$data/pg_wal/$names[-1]", "$d/copy_$names[-1]");
}
ok($t->archived, 'segments are archived');
for my $n (@names)
{
	($s, $o, $e) = $t->sov('wal-fetch', $n, "$d/fetched");
	is($s, 0, "fetch $n") or diag $e;
	ok(slurp("$d/fetched") eq slurp("$d/copy_$n"), 'byte for byte');
}

# --- what is certainly not there, and what is not certain ---
($s, $o, $e) = $t->sov('wal-fetch', '000000090000000000000001', "$d/none");
is($s, 1, 'a segment of a timeline that never was: certainly not there');
is($e, '', 'without a word');
($s, $o, $e) = $t->sov('wal-fetch', '00000009.history', "$d/none");
is($s, 1, 'a history file that never was');
($s, $o, $e) = $t->sov('wal-fetch', '../../etc/passwd', "$d/none");
cmp_ok($s, '>=', 126, 'no name of a WAL file');
rename "$d/a", "$d/a.away";
($s, $o, $e) = $t->sov('wal-fetch', '000000090000000000000001', "$d/none");
is($s, 1, 'one of three away: two are enough to be certain') or diag $e;
rename "$d/b", "$d/b.away";
($s, $o, $e) = $t->sov('wal-fetch', '000000090000000000000001', "$d/none");
cmp_ok($s, '>=', 126, 'two away: not certain, so recovery must stop');
like($e, qr/provider/, 'and says why');
($s, $o, $e) = $t->sov('wal-fetch', $names[0], "$d/none");
cmp_ok($s, '>=', 126, 'nor is a segment that is there said to be absent');
rename "$d/a.away", "$d/a";
rename "$d/b.away", "$d/b";
# All shards of all segments but the last are gone: what came later contradicts
# "not found".
my @last = map { my $p = $_; (sort { (stat $b)[9] <=> (stat $a)[9] } objects("$d/$p", 'w'))[0] } qw(a b c);
run_as('mkdir', "$d/kept");
for my $p (qw(a b c))
{
	for my $f (objects("$d/$p", 'w'))
	{
		run_as('mv', $f, "$d/kept/$p." . ($f =~ s{.*/}{}r)) unless grep { $_ eq $f } @last;
	}
}
($s, $o, $e) = $t->sov('wal-fetch', $names[-2], "$d/none");
cmp_ok($s, '>=', 126, 'a segment is gone everywhere, but a later one is there: not the end of WAL') or diag $e;
for my $f (glob("$d/kept/*")) { my ($p, $n) = $f =~ m{/(\w)\.(\w+)$}; run_as('mv', $f, "$d/$p/w/$n"); }

# --- pushed again ---
($s, $o, $e) = $t->sov('wal-push', "$d/copy_$names[0]");
cmp_ok($s, '!=', 0, 'wal-push of a file with another name is refused');
run_as('mkdir', "$d/again");
run_as('cp', "$d/copy_$names[0]", "$d/again/$names[0]");
($s, $o, $e) = $t->sov('wal-push', "$d/again/$names[0]");
is($s, 0, 'the same content again is fine') or diag $e;
flip_byte("$d/again/$names[0]", 100_000);
($s, $o, $e) = $t->sov('wal-push', "$d/again/$names[0]");
is($s, 6, 'other content under the same name is refused');
like($e, qr/archived already with other content/, 'and says so');
run_as('cp', "$d/copy_$names[0]", "$d/again/$names[1]");
($s, $o, $e) = $t->sov('wal-push', "$d/again/$names[1]");
is($s, 5, 'a segment under another segment\'s name is refused');
like($e, qr/holds the WAL of $names[0]/, 'and named');
my $foreign = slurp("$d/copy_$names[0]");
substr($foreign, 24, 1) ^= "\x01";
spit("$d/again/$names[0]", $foreign);
($s, $o, $e) = $t->sov('wal-push', "$d/again/$names[0]");
is($s, 6, 'WAL of another cluster is refused');
like($e, qr/belongs to the cluster with system identifier/, 'by its identifier');
spit("$d/again/$names[0]", substr($foreign, 0, 5000));
($s, $o, $e) = $t->sov('wal-push', "$d/again/$names[0]");
is($s, 5, 'half a segment is refused');
run_as('rm', '-rf', "$d/again");
{
	# archive_command: what the module cannot have done already
	my $h = "$d/00000005.history";
	spit($h, "1\t0/5000000\tno reason\n");
	chmod 0644, $h;
	($s, $o, $e) = $t->sov('wal-push', $h);
	is($s, 0, 'a history file is archived') or diag $e;
	run_as('mv', "$d/a", "$d/a.away");
	($s, $o, $e) = $t->sov('wal-fetch', '00000005.history', "$d/h");
	is($s, 0, 'and fetched with a provider away');
	ok(slurp("$d/h") eq slurp($h), 'the same');
	run_as('mv', "$d/a.away", "$d/a");
}

# --- one provider down: acknowledged, shown, worked off ---
run_as('mv', "$d/b", "$d/b.away");
fill();
my $owed = segment();
ok($t->archive(30), 'one provider away: WAL is acknowledged');
{
	my $seen = sub { slurp("$d/state/history") =~ /"tolerated":\{[^}]*"WAL":0[^}]*\}[^\n]*"b":\{"state":"down"[^\n]*\n\z/ };
	for (1 .. 250) { last if $seen->(); sleep 0.1; }
	ok($seen->(), 'and the helper notes the loss in the history of the repository');
}
like($t->sov_ok('list'), qr/^b +down +\w+ +\d+ objects, [\d.]+ MB in the spool$/m, 'list shows the debt');
my @debt = glob("$d/state/spool/b/*");
cmp_ok(scalar(@debt), '>=', 1, 'the spool has it');
like(slurp($log), qr/provider b does not answer/, 'the log says so');
is(scalar(() = slurp($log) =~ /provider b does not answer/g), 1, 'once');
$t->sql("CREATE SCHEMA s; CREATE EXTENSION pg_sovereign SCHEMA s");
like($t->sql("SELECT name || ' ' || owed_objects FROM s.providers WHERE name = 'b'"), qr/^b [1-9]/, 'and the view');
run_as('mv', "$d/b.away", "$d/b");
my $end = time + 75;
sleep 0.5 while scalar(my @left = glob("$d/state/spool/b/*")) && time < $end;
is(join(' ', glob("$d/state/spool/b/*")), '', 'when it is back the debt is worked off by itself');
fill();
ok($t->archive, 'archiving goes on');
ok($t->wait_log($log, qr/provider b: \d+ owed objects delivered, 0 left/, 10), 'and the log says that')
	or diag slurp($log), scalar `ls -laR $d/state`;
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'nothing is missing') or diag "$o$e";

# --- two down: not acknowledged, nothing lost ---
run_as('mv', "$d/$_", "$d/$_.away") for qw(b c);
fill();
my $held = segment();
ok(!$t->archive(6), 'two of three away: WAL is not acknowledged');
ok(-e "$data/pg_wal/archive_status/$held.ready", 'the segment is kept');
like(slurp($log), qr/pg_sovereign: only 1 of 3 providers/, 'the log says why') or diag slurp($log);
run_as('mv', "$d/$_.away", "$d/$_") for qw(b c);
ok($t->archived(130), 'when they are back it is archived');

# --- segments that are ready when one is asked for ---
{
	my ($pid) = grep { slurp("/proc/$_/cmdline") =~ /wal-pushd/ && slurp("/proc/$_/cmdline") =~ /\Q$d\E/ } map { m{(\d+)} } glob('/proc/[0-9]*');
	kill 'STOP', $pid;
	for (1 .. 6)
	{
		fill();
		$t->sql("SELECT pg_switch_wal()");
	}
	run_as('rm', '-f', glob("$d/together.[0-9]*"));
	kill 'CONT', $pid;
	ok($t->archived(130), 'six that were ready are archived');
	cmp_ok(together('compress', glob("$d/together.[0-9]*")), '>=', 2, 'several of them at the same time');
}

# --- the helper is killed ---
my $postmaster = (split /\n/, slurp("$data/postmaster.pid"))[0];
for my $round (1 .. 3)
{
	fill();
	$t->sql("SELECT pg_switch_wal()");
	my $pid;
	for (1 .. 100)
	{
		($pid) = grep { slurp("/proc/$_/cmdline") =~ /wal-pushd/ && slurp("/proc/$_/cmdline") =~ /\Q$d\E/ } map { m{(\d+)} } glob('/proc/[0-9]*');
		last if $pid;
		sleep 0.1;
	}
	kill 'KILL', $pid if $pid;
	ok($pid, 'a helper is killed');
}
fill();
ok($t->archive(130), 'killed helpers lose nothing');
is((split /\n/, slurp("$data/postmaster.pid"))[0], $postmaster, 'and the server was not restarted');
unlike(slurp($log), qr/terminating any other active server processes/, 'not even its backends');
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'everything is whole after it') or diag "$o$e";

# --- another configuration file: another helper ---
run_as('cp', "$d/sov.conf", "$d/other.conf");
$t->sql("ALTER SYSTEM SET sovereign.config_file = '$d/other.conf'");
$t->sql("SELECT pg_reload_conf()");
fill();
ok($t->archive, 'with another configuration file it goes on');
ok((grep { /wal-pushd/ && /other\.conf/ } map { slurp($_) } glob('/proc/[0-9]*/cmdline')), 'by a helper of that file');

# --- shutdown is prompt while archiving cannot go on ---
run_as('mv', "$d/$_", "$d/$_.away") for qw(b c);
fill();
$t->sql("SELECT pg_switch_wal()");
my $begin = time;
$t->stop($data, 'fast');
cmp_ok(time - $begin, '<', 30, 'a fast shutdown does not hang on providers that are away');
run_as('mv', "$d/$_.away", "$d/$_") for qw(b c);
$t->start($data);
ok($t->archive(130), 'and archiving goes on after the start');

# --- the workers of a backup ---
for my $jobs (3, 1)
{
	($s, $o, $e) = capture(as('env', "LD_PRELOAD=$d/together.so", "TOGETHER_FILES=$data/", "TOGETHER_LOG=$d/together.$jobs", $t->sov_cmd('backup', '--full', '--jobs', $jobs)));
	is($s, 0, "a backup with --jobs $jobs") or diag "$o$e";
	is(together('pread', "$d/together.$jobs"), $jobs, "$jobs read at the same time");
	my $n = together('compress', "$d/together.$jobs");
	ok($n == $jobs || $n == $jobs + 1, 'and as many compress, and perhaps who writes the manifest') or diag $n;
}
done_testing();
