# kill -9 of wal-pushd, wal-push, wal-fetch and what they start in the background,
# at twenty moments each, under pgbench: nothing acknowledged is missing, and
# recovery reaches the last commit that was archived.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
my ($s, $o, $e);
my $seed = $ENV{SEED} // time;
srand($seed);
note("SEED=$seed");
$t->sov_ok('init');
my $data = $t->start_new(initdb => ['--data-checksums', '--wal-segsize=1'],
	conf => "max_wal_size = 64MB\nwal_keep_size = 8GB\nautovacuum = off\n");
run_as("$bin/pgbench", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-i', '-q', '-s', '3', 'postgres');
$t->sov_ok('backup');
my $first = $t->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");

# Processes of ours whose command line matches.
sub find_processes
{
	my ($re) = @_;
	return grep { my $c = slurp("/proc/$_/cmdline"); $c =~ /\Q$d\E/ && $c =~ /^[^\0]*pg_sovereign\0.*\0$re\0/s } map { m{(\d+)} } glob('/proc/[0-9]*');
}

# Kill a process that matches, at a random moment; false when none came up.
sub kill_one
{
	my ($re, $seconds) = @_;
	my $end = time + $seconds;
	sleep rand(0.3);
	while (time < $end)
	{
		my @p = find_processes($re) or next;
		sleep rand(0.02);
		return 1 if kill 'KILL', @p;
	}
	return 0;
}

sub load
{
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDOUT, '>', '/dev/null');
		open(STDERR, '>', '/dev/null');
		exec(as("$bin/pgbench", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-n', '-c', '3', '-R', '200', '-T', '600', 'postgres'));
	}
	return $pid;
}
sub unload { $t->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'"); waitpid($_[0], 0); }

# --- the archive module's helper ---
my $load = load();
my $killed = 0;
for (1 .. 20) { $killed += kill_one(qr/wal-pushd/, 20); }
is($killed, 20, 'wal-pushd is killed twenty times');
unload($load);
ok($t->archive(120), 'then everything is acknowledged') or diag slurp("$data.log");

# --- archive_command, one provider coming and going ---
# The command kills what it started after 10 to 90 ms, and every other time what
# that left in the background too.
$t->stop($data, 'fast');
my $command = SovTest::command() . " -c @{[$t->conf]}";
open(my $fh, '>', "$d/push") or die;
print $fh <<"E";
#!/bin/bash
[ -e $d/mortal ] || exec $command wal-push "\$1"
timeout -s KILL 0.0\$((RANDOM % 80 + 10)) $command wal-push "\$1" && exit 0
echo killed >>$d/killed
((RANDOM % 2)) && pkill -KILL -f "$d.*wal-push-ahead" && echo killed >>$d/ahead
exit 1
E
close $fh;
chmod 0755, "$d/push";
open($fh, '>>', "$data/postgresql.conf");
print $fh "archive_library = ''\narchive_command = '$d/push %p'\n";
close $fh;
run_as('touch', "$d/mortal", "$d/killed", "$d/ahead");
$t->start($data);
$load = load();
sub lines { my $n = () = slurp($_[0]) =~ /\n/g; return $n; }
my $end = time + 90;
my ($n, $away) = (0, 0);
while ($n < 20 && time < $end)
{
	sleep 0.5;
	$n = lines("$d/killed");
	my $want_away = int($n / 5) % 2;
	run_as('mv', $want_away ? ("$d/c", "$d/c.away") : ("$d/c.away", "$d/c")) if $want_away != $away;
	$away = $want_away;
}
cmp_ok($n, '>=', 20, 'wal-push is killed twenty times');
note(lines("$d/ahead") . ' times what pushes ahead was killed too');
run_as('mv', "$d/c.away", "$d/c") if $away;
unlink "$d/mortal";
unload($load);
$t->sql("CREATE TABLE finished ()");
ok($t->archive(180), 'then everything is acknowledged') or diag slurp("$data.log");
my $want = $t->sql("SELECT (SELECT count(*) FROM pgbench_history) || ' ' || (SELECT sum(abalance) FROM pgbench_accounts)");
my $last = $t->sql("SELECT last_archived_wal FROM pg_stat_archiver");
$t->stop($data, 'fast');

# --- nothing acknowledged is missing ---
my @acknowledged = grep { $_ ge $first && $_ le $last } map { m{/([0-9A-F]{24})\.done$} } glob("$data/pg_wal/archive_status/*");
cmp_ok(scalar(@acknowledged), '>', 20, scalar(@acknowledged) . ' segments were acknowledged');
my $bad = 0;
for my $name (sort @acknowledged)
{
	($s, $o, $e) = $t->sov('wal-fetch', $name, "$d/fetched");
	$bad++, diag "$name: $s $e" if $s ne '0' || slurp("$d/fetched") ne slurp("$data/pg_wal/$name");
}
is($bad, 0, 'each of them is there, byte for byte');
($s, $o, $e) = $t->sov('repair');
is($s, 0, 'repair') or diag "$o$e";
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'and every byte is there') or diag "$o$e";

# --- recovery, with wal-fetch and the prefetcher killed ---
my $r = "$d/r";
($s, $o, $e) = $t->sov('restore', '-D', $r);
is($s, 0, 'restore') or diag "$o$e";
sub is_up { return -e "$r/postmaster.pid" && kill(0, (split /\n/, slurp("$r/postmaster.pid"))[0]); }
sub begin { capture(as("$bin/pg_ctl", '-D', $r, '-l', "$r.log", '-W', 'start')); $t->{clusters}{$r} = 1; sleep 0.1; }
my ($fetches, $daemons, $rounds) = (0, 0, 0);
begin();
while (($fetches < 20 || $daemons < 20) && $rounds++ < 200)
{
	my $fetch = $fetches < 20 && ($rounds % 2 || $daemons >= 20);
	begin() unless is_up();
	# the last commit is not to be reached before the twenty are done: begin anew
	if ($t->sql('SELECT pg_is_in_recovery()', nofail => 1) eq 'f')
	{
		$t->stop($r);
		run_as('rm', '-rf', $r);
		$t->sov_ok('restore', '-D', $r);
		begin();
	}
	my $done = kill_one($fetch ? qr/wal-fetch/ : qr/wal-fetchd/, 1);
	$fetch ? ($fetches += $done) : ($daemons += $done);
}
is($fetches, 20, 'wal-fetch is killed twenty times in recovery');
is($daemons, 20, 'the prefetcher is killed twenty times');
$end = time + 120;
while (time < $end)
{
	begin() unless is_up();
	last if $t->sql('SELECT pg_is_in_recovery()', nofail => 1) eq 'f';
	sleep 0.3;
}
is($t->sql("SELECT (SELECT count(*) FROM pgbench_history) || ' ' || (SELECT sum(abalance) FROM pgbench_accounts)", nofail => 1), $want,
	'recovery reaches the last commit that was archived') or diag substr(slurp("$r.log"), -3000);
is($t->sql("SELECT to_regclass('finished')", nofail => 1), 'finished', 'all of it');
$t->stop($r);
done_testing();
