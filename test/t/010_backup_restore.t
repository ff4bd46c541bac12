# Backup and restore of a real cluster under load: targets, tablespaces, what is
# left out, checksums, kill -9, two at once.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use lib 'test/t';
use SovTest;
use IO::Pty;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
my $data = $t->start_new(conf => "max_wal_size = 256MB\n");
run_as('mkdir', '-m', '700', "$d/space");
$t->sql("CREATE TABLESPACE away LOCATION '$d/space'");
$t->sql("CREATE TABLE big AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 200000) g");
$t->sql("CREATE TABLE far (id int, v text) TABLESPACE away");
$t->sql("INSERT INTO far SELECT g, repeat('x', g % 100) FROM generate_series(1, 5000) g");
$t->sql("CREATE UNLOGGED TABLE loose AS SELECT g FROM generate_series(1, 50000) g");
$t->sql("CREATE TABLE empty_one (a int)");
for my $db (qw(kept aside))	# each with a table here and one there
{
	$t->sql("CREATE DATABASE $db");
	run_as("$bin/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', $db, '-c',
		"CREATE TABLE here AS SELECT g, md5(g::text) FROM generate_series(1, 3000) g; CREATE TABLE there TABLESPACE away AS TABLE here");
}
my $aside = $t->sql("SELECT oid FROM pg_database WHERE datname = 'aside'");
my $loose = $t->sql("SELECT pg_relation_filepath('loose')");
my $path = $t->sql("SELECT pg_relation_filepath('big')");
run_as("$bin/pgbench", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-i', '-q', '-s', '5', 'postgres');

# A command whose standard error is a terminal of this width, and whose standard output is
# a file: (exit code, standard error, standard output).
sub on_terminal
{
	my ($columns, @args) = @_;
	my $pty = IO::Pty->new;
	my ($shown, $deadline) = ('', time + 60);
	my $pid = fork();
	if ($pid == 0)
	{
		$pty->make_slave_controlling_terminal;
		my $slave = $pty->slave;
		$slave->set_winsize(24, $columns);
		open(STDIN, '<', '/dev/null'); open(STDOUT, '>', "$d/terminal.out"); open(STDERR, '>&', $slave);
		exec(as($t->sov_cmd(@args))) or POSIX::_exit(99);
	}
	$pty->close_slave;
	while (time < $deadline)
	{
		my $r = '';
		vec($r, fileno($pty), 1) = 1;
		next unless select($r, undef, undef, 1);
		last unless sysread($pty, my $text, 4096);
		$shown .= $text;
	}
	waitpid($pid, 0);
	return ($? >> 8, $shown, slurp("$d/terminal.out"));
}

# --- a backup while the server works ---
my $load = fork();
if ($load == 0)
{
	open(STDOUT, '>', '/dev/null');
	open(STDERR, '>', '/dev/null');
	exec(as("$bin/pgbench", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-T', '6', '-c', '2', 'postgres'));
}
sleep 0.5;
my ($status, $err, $out) = on_terminal(100, 'backup', '--label', 'under load', '--jobs', '3', '--max-rate', '24MB');
is($status, 0, 'backup under load, on a terminal') or diag "$out$err";
like($out, qr/^backup \d{8}T\d{6}Z-[0-9a-f]{4}$/m, 'it says its id, on standard output');
unlike($out, qr/[\e\r]/, 'where nothing of the bar is');
my @drawn = grep { /%/ } split /\r/, $err;
my $size = qr/[\d.]+ [kMG]?B/;
cmp_ok(scalar @drawn, '>', 5, 'the line is drawn again and again');
like($drawn[$#drawn / 2], qr{^backup \[#*\.*\]  ?\d{1,2} %, $size of $size, $size/s, \d+:\d\d left\e\[K$}, 'a bar, what is done, of how much, at which rate, the time left');
my @percents = $err =~ /(\d+) %/g;
is("@percents", join(' ', sort { $a <=> $b } @percents), 'it never goes back');
like($err, qr{\rbackup \[#+\] 100 %, $size of $size, $size/s, took 0:\d\d\e\[K\r\n}, 'at the end what it took');
my ($id) = $out =~ /^backup (\S+)/m;
waitpid($load, 0);
like($t->sov_ok('list'), qr/\Q$id\E .*under load/, 'list shows it with its label');
my $json = $t->sov_ok('list', '--json');
like($json, qr/"backup": "\Q$id\E"/, 'list --json too');

# a narrow terminal, and none at all (meanwhile: it takes a while until there is something to say)
my $bar;
($status, $bar) = on_terminal(40, 'verify', '--deep', '--max-rate', '24MB');
is($status, 0, 'a narrow terminal');
is(join('|', grep { length > 39 } split /\r\n?/, $bar =~ s/\e\[K//gr), '', 'no line is longer than it is wide');
unlike($bar =~ s/\e\[K//gr, qr/[^\r\n\t -~]/, 'no other sequences');
my $log = fork();
if ($log == 0)
{
	open(STDOUT, '>', "$d/log.out"); open(STDERR, '>', "$d/log.err");
	exec(as($t->sov_cmd('verify', '--deep', '--max-rate', '3MB'))) or POSIX::_exit(99);
}

$t->sql("CREATE TABLE note_of (what text); INSERT INTO note_of VALUES ('before')");
my $want = $t->sql("SELECT (SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM big), (SELECT count(*) FROM far), (SELECT sum(abalance) FROM pgbench_accounts)");
$t->sql("SELECT pg_create_restore_point('here')");
my $lsn = $t->sql('SELECT pg_current_wal_insert_lsn()');
sleep 1.1;
my $time = $t->sql('SELECT clock_timestamp()');
sleep 1.1;
$t->sql("INSERT INTO note_of VALUES ('after'); DROP TABLE far");
$t->sql("SELECT pg_switch_wal()");
$t->sql("INSERT INTO note_of VALUES ('end')");
ok($t->archive, 'WAL is archived');

# --- what must not be in a backup ---
($status, $out, $err) = $t->sov('restore', '-D', "$d/data");
is($status, 6, 'restore into the directory of a running server is refused');
like($err, qr/a server runs on .*hint: stop the server first/s, 'and says so');
($status, $out, $err) = $t->sov('restore', '-D', "$d/r1", '--target-time', $time);
is($status, 6, 'so is a tablespace that would go over the present one') or diag "$out$err";
like($err, qr/--tablespace-map/, 'with the way out');
run_as('rm', '-rf', "$d/r1");
$t->stop($data);

my $space = "$d/space";
sub restored
{
	my ($name, @args) = @_;
	my ($s, $o, $e) = $t->sov('restore', '-D', "$d/$name", '--tablespace-map', "$space=$d/space_$name", @args);
	is($s, 0, "restore $name: @args") or diag "$o$e";
	return "$d/$name";
}

my $r = restored('r_time', '--target-time', $time);
ok(!-e "$r/$loose", 'an unlogged table is left out');
ok(-e "$r/${loose}_init", 'its init fork is not');
ok(!-e "$r/postmaster.pid" && -e "$r/recovery.signal" && -e "$r/backup_label", 'signals and label are right');
ok(!-e "$r/global/pg_control.restoring" && -e "$r/global/pg_control", 'pg_control is in place');
is(scalar(() = glob("$r/pg_wal/0*")), 0, 'no WAL is in the backup');
$t->start($r);
is($t->sql("SELECT (SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM big), (SELECT count(*) FROM far), (SELECT sum(abalance) FROM pgbench_accounts)"), $want, 'to a time: everything is as it was');
is($t->sql("SELECT string_agg(what, ',' ORDER BY what) FROM note_of"), 'before', 'and nothing after it');
is($t->sql("SELECT count(*) FROM loose"), '0', 'the unlogged table is empty');
is($t->sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'away'"), "$d/space_r_time", 'the tablespace is where it was mapped to');
waitpid($log, 0);
is($?, 0, 'a command whose errors go to a file');
my $lines = slurp("$d/log.err");
like($lines, qr{^verify: \d+ %, $size of $size, $size/s, \d+:\d\d left$}m, 'there it tells how far it is in plain lines');
cmp_ok(scalar(() = $lines =~ /^verify: /mg), '<=', 4, 'few of them') or diag $lines;
like($lines, qr{^verify: 100 %, $size of $size, $size/s, took 0:\d\d$}m, 'and what it took');
unlike($lines . slurp("$d/log.out"), qr/[\e\r]/, 'without any sequence for terminals');
my ($s, $o, $e) = capture(as("$bin/pg_amcheck", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-a', '--install-missing'));
is($s, 0, 'pg_amcheck finds nothing') or diag "$o$e";
$t->stop($r, 'fast');
($s, $o, $e) = capture(as("$bin/pg_checksums", '--check', '-D', $r));
is($s, 0, 'pg_checksums finds nothing') or diag "$o$e";

$r = restored('r_name', '--target-name', 'here');
$t->start($r);
is($t->sql("SELECT string_agg(what, ',' ORDER BY what) FROM note_of"), 'before', 'to a name');
$t->stop($r, 'fast');	# an archiver that is killed leaves a history file half there
# --- on disk before it can be started, also over what is there and with WAL elsewhere ---
# Reads what test/durable.c noted; each directory counts as a file system of its own.
# Returns what is not on disk when pg_control gets its name, and at the end; what is
# changed before its removal is; and how many files were written.
sub not_durable
{
	my ($log, $target, @volumes) = @_;
	my (%dirty, %written, $held);
	my ($early, $late) = ('', '');
	my $volume = sub { my ($p) = @_; return (sort { length $b <=> length $a } grep { $p eq $_ || index($p, "$_/") == 0 } $target, @volumes)[0]; };
	my $dir = sub { return $_[0] =~ s{/[^/]*$}{}r; };
	for my $line (split /\n/, slurp($log))
	{
		my ($what, $p, $to) = split / /, $line;
		next unless $volume->($p);
		delete @dirty{$p, "$p/"} if $what eq 'fsync';
		delete @dirty{grep { $volume->($p) eq ($volume->($_) // '') } keys %dirty} if $what eq 'syncfs';
		next if $what =~ /sync/;
		$early .= $line if $held && $dirty{"$target/global/"};
		$held = 0;
		$written{$p} = 1 if $what eq 'write';
		$dirty{$p} = 1 if $what eq 'write';
		delete $dirty{$p} if $what eq 'change';
		if ($what eq 'rename')
		{
			$late .= "$_ " for $to eq "$target/global/pg_control" ? sort keys %dirty : ();
			$dirty{$to} = 1 if delete $dirty{$p};
			$held = $p eq "$target/global/pg_control";
		}
		# (a directory that was just made is on the file system of the one above it)
		$dirty{"$_/"} = 1 for grep { $volume->($_) } map { $dir->($_) } grep { defined } $what eq 'write' ? () : ($p, $to);
	}
	return ($late, join(' ', sort keys %dirty), $early, scalar keys %written);
}
{
	my ($top) = __FILE__ =~ m{^(.*?)/?test/t/[^/]*$};
	$top = '.' if $top eq '';
	system('make', '-s', '-C', $top, 'build/test/durable.so') == 0 or die;
	run_as('mkdir', '-m', '700', "$d/elsewhere");
	system('cp', "$top/build/test/durable.so", "$d/durable.so");
	chmod 0755, "$d/durable.so";
	for my $how ('', 'over what is there, ')
	{
		$r = "$d/r_sync";
		if ($how)
		{
			run_as('mv', "$r/pg_wal", "$d/elsewhere/wal");
			run_as('ln', '-s', "$d/elsewhere/wal", "$r/pg_wal");
			run_as('touch', "$d/elsewhere/wal/000000010000000000000001");
			flip_byte("$r/$path", 8192 * 5 + 100);
			truncate((glob("$d/space_r_sync/PG*/*/*"))[0], 0);
		}
		my ($s, $o, $e) = capture(as('env', "LD_PRELOAD=$d/durable.so", "SYNC_LOG=$d/sync.log", $t->sov_cmd('restore', '-D', $r, '--tablespace-map', "$d/space=$d/space_r_sync", $how ? '--delta' : ())));
		my ($late, $left, $early, $n) = not_durable("$d/sync.log", $r, "$d/space_r_sync", "$d/elsewhere/wal");
		ok($s eq '0' && $n > ($how ? 5 : 500), "${how}a restore that is watched writes $n files") or diag "$o$e";
		is($late, '', "${how}all of them, and their directories, are on disk before pg_control gets its name");
		is($left, '', "${how}and that when it ends");
		is($early, '', "${how}nothing is changed before the removal of pg_control is on disk");
		ok(!-e "$d/elsewhere/wal/000000010000000000000001", "${how}no WAL is left") if $how;
		unlink "$d/sync.log";
	}
}
# --- databases that are left out: zeros, nothing of them on disk, also over what is there ---
# Of the files of that database and of all others: how many, and those that are not as they
# were (left out: of the same length and zeros, but for PG_VERSION).
sub left_out
{
	my ($whole, $part) = @_;
	my ($n, $far, $others, $bad) = (0, 0, 0, '');
	for my $file (split /\n/, `cd '$whole' && find -L base global pg_tblspc pg_xact -type f`)
	{
		my ($now, $was) = (slurp("$part/$file"), slurp("$whole/$file"));
		my $out = $file =~ m{^(?:base|pg_tblspc/\d+/PG_[^/]+)/$aside/} && $file !~ /PG_VERSION$/;
		($out ? $n : $others)++;
		$far += $out && $file =~ /^pg_tblspc/;
		$bad .= "$file " if $out ? $now ne "\0" x length($was) || (stat("$part/$file"))[12] != 0 : $now ne $was;
	}
	return ($n > 200 && $far > 0 && $others > 500, $bad);
}
{
	for my $how ('', 'over what is there, ')
	{
		system('rm', '-rf', "$d/r_part", "$d/space_r_part") if !$how;
		restored('r_part', '--delta') if $how;	# all of it first
		$r = restored('r_part', '--databases', 'kept', $how ? '--delta' : ());
		my ($enough, $bad) = left_out("$d/r_sync", $r);
		ok($enough && $bad eq '', "${how}a database that is left out is zeros, in the tablespace too, and no others are") or diag $bad;
		my ($s, $o, $e) = capture(as("$bin/pg_verifybackup", '-n', $r));
		is($s, 0, "${how}backup_manifest says so") or diag "$o$e";
	}
	restored('r_part', '--delta');
	is(system('diff', '-r', '-q', "$d/r_part/base", "$d/r_sync/base") + system('diff', '-r', '-q', "$d/space_r_part", "$d/space_r_sync"), 0, 'without --databases it is brought back');
	system('rm', '-rf', "$d/r_part", "$d/space_r_part", "$d/r_sync", "$d/space_r_sync");
}
$r = restored('r_lsn', '--target-lsn', $lsn, '--jobs', '1');
$t->start($r);
is($t->sql("SELECT string_agg(what, ',' ORDER BY what) FROM note_of"), 'before', 'to an LSN');
$t->stop($r, 'fast');
# The restored clusters were promoted: the newest timeline is not the first any more.
$r = restored('r_end', '--without', 'b', '--target-timeline', 'current');
$t->start($r);
is($t->sql("SELECT string_agg(what, ',' ORDER BY what) FROM note_of"), 'after,before,end', 'to the end of the first timeline, without one provider');

$space = "$d/space_r_end";
# --- a second backup goes on from the restored cluster, on its timeline ---
$t->{data} = $r;
$t->configure(qw(a b c));
$t->sql("INSERT INTO note_of VALUES ('second life')");
ok($t->archive, 'the restored cluster archives');
($status, $out, $err) = $t->sov('backup');
is($status, 0, 'and is backed up') or diag "$out$err";
my ($second) = $out =~ /^backup (\S+)/m;
$t->sql("INSERT INTO note_of VALUES ('third')");
ok($t->archive, 'archived');

# --- kill -9 in the middle, two at once ---
for my $delay (0.05, 0.2, 0.4)
{
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDOUT, '>', '/dev/null');
		open(STDERR, '>', '/dev/null');
		exec($t->sov_cmd('backup', '--max-rate', '40MB')) if $> != 0;
		$) = $( = (getpwnam('postgres'))[3];
		$> = $< = (getpwnam('postgres'))[2];
		exec($t->sov_cmd('backup', '--max-rate', '40MB'));
	}
	sleep $delay + 0.3;
	if ($delay == 0.4)
	{
		($s, $o, $e) = $t->sov('backup');
		is($s, 6, 'a second backup at the same time is refused');
		like($e, qr/at this moment/, 'and says why');
	}
	kill 'KILL', $pid;
	waitpid($pid, 0);
}
unlike($t->sov_ok('list'), qr/(\n\S+Z-.*){3}/, 'killed backups do not count');
($status, $out, $err) = $t->sov('backup', '--label', 'after the kills');
is($status, 0, 'the next backup succeeds') or diag "$out$err";
($status, $out, $err) = $t->sov('verify', '--deep');
is($status, 0, 'everything is whole') or diag "$out$err";
like($out, qr/3 of 3 backups can be restored/, 'all three backups');
$t->stop($r);
$r = restored('r_second', '--backup', $second);
$t->start($r);
is($t->sql("SELECT count(*) FROM note_of WHERE what IN ('second life', 'third')"), '2', 'the second backup restores across the timeline switch');

# --- a bad page is named ---
$t->{data} = $r;
$t->configure(qw(a b c));
$path = $t->sql("SELECT pg_relation_filepath('big')");
$t->sql("CHECKPOINT");
$t->stop($r, 'fast');
flip_byte("$r/$path", 8192 * 7 + 5000);
$t->start($r);
($status, $out, $err) = $t->sov('backup');
is($status, 5, 'a backup of a cluster with a bad page says so by its exit status');
like($err, qr/bad page: \Q$path\E block 7/, 'names file and block') or diag $err;
like($t->sov_ok('list'), qr/BAD PAGES/, 'and is marked');

# --- mistakes ---
($s, $o, $e) = $t->sov('restore', '-D', "$d/x", '--backup', 'nonsense');
is($s, 1, 'an unknown backup');
like($e, qr/there is no backup nonsense/, 'is named');
($s, $o, $e) = $t->sov('restore', '-D', "$d/x", '--target-time', '2001-01-01 00:00:00+00');
is($s, 1, 'a target before every backup');
ok(!-e "$d/x", 'nothing is written for either');
($s, $o, $e) = $t->sov('restore', '-D', "$d/x", '--target-time', 'yesterday');
is($s, 2, 'a time that is none');
done_testing();
