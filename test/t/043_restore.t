# Restores: over what is there, chosen databases, every kind of target, across a
# timeline switch, killed and gone on with; the server's own checks of the result;
# the drill.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
my $data = $t->start_new(conf => "autovacuum = off\nfsync = off\n");
$t->sql("CREATE DATABASE one");
$t->sql("CREATE DATABASE two");
sub psql { my ($db, $sql) = @_; my ($s, $o, $e) = capture(as("$bin/psql", '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', $db, '-c', $sql)); chomp $o; return $s eq '0' ? $o : "ERROR $e"; }
psql($_, "CREATE TABLE c AS SELECT i, md5(i::text) AS m FROM generate_series(1, 100000) i") for qw(one two);
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 100000) i");
$t->sql("CREATE UNLOGGED TABLE u AS SELECT 1 AS i");
# what the owner of a database puts before the server's own functions is not called by a superuser's command
$t->sql("CREATE SCHEMA evil; CREATE TABLE evil.ran (i int)");
$t->sql("CREATE FUNCTION evil.set_config(text, text, bool) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.ran VALUES (1); RETURN pg_catalog.set_config(\$1, \$2, \$3); END'");
$t->sql("CREATE FUNCTION evil.current_database() RETURNS name LANGUAGE plpgsql AS 'BEGIN COPY (SELECT 1) TO PROGRAM ''touch $d/ran''; RETURN pg_catalog.current_database(); END'");
$t->sql("ALTER DATABASE postgres SET search_path = public, evil, pg_catalog");
$t->sov_ok('backup');
is($t->sql('SELECT count(*) FROM evil.ran'), '0', 'a backup calls no function that a database owner has put in the way');
psql('one', "INSERT INTO c SELECT i, 'later' FROM generate_series(1, 1000) i");
psql('two', "INSERT INTO c SELECT i, 'later' FROM generate_series(1, 1000) i");

# Start a restored directory on the port of the stopped server, without archiving.
sub start_restored
{
	my ($dir) = @_;
	open(my $fh, '>>', "$dir/postgresql.auto.conf") or die;
	print $fh "archive_mode = off\n";
	close $fh;
	$t->start($dir);
}

# --- targets: name, xid, LSN ---
my $xid = $t->sql("INSERT INTO t SELECT 1, 'before the name'; SELECT txid_current()");
$t->sql("SELECT pg_create_restore_point('before the accident')");
my $lsn = $t->sql("INSERT INTO t SELECT 2, 'by LSN'; SELECT pg_current_wal_insert_lsn()");
my $target_xid = $t->sql("BEGIN; INSERT INTO t SELECT 3, 'by xid'; SELECT txid_current(); COMMIT");
$t->sql("INSERT INTO t SELECT 4, 'the last'");
my $rows = $t->sql("SELECT count(*), sum(hashtext(m)) FROM t");
$t->archive;
my $files = $t->sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
$t->stop($data, 'fast');

for (['name', ['--target-name', 'before the accident'], 1], ['LSN', ['--target-lsn', $lsn], 2], ['transaction', ['--target-xid', $target_xid], 3], ['end', [], 4])
{
	my ($what, $options, $n) = @$_;
	$t->sov_ok('restore', '-D', "$d/r", @$options);
	if ($what eq 'end')
	{
		my ($status, $out, $err) = capture(as("$bin/pg_verifybackup", '-n', "$d/r"));
		ok($status eq '0', 'pg_verifybackup accepts the restored directory') or diag "$out$err";
		SovTest::flip_byte("$d/r/PG_VERSION", 0);
		($status) = capture(as("$bin/pg_verifybackup", '-n', "$d/r"));
		isnt($status, '0', 'and not a damaged one');
		SovTest::flip_byte("$d/r/PG_VERSION", 0);
	}
	start_restored("$d/r");
	is($t->sql("SELECT count(*) FROM t WHERE i <= 4 AND length(m) < 20"), $n, "to a $what: what was before it is there, what was after it is not");
	if ($what eq 'end')
	{
		is($t->sql("SELECT count(*), sum(hashtext(m)) FROM t"), $rows, 'all rows');
		my ($status, $out, $err) = capture(as("$bin/pg_amcheck", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '--all', '--install-missing', '--heapallindexed'));
		ok($status eq '0', 'pg_amcheck finds it clean') or diag "$out$err";
		$t->stop("$d/r", 'fast');
		($status, $out, $err) = capture(as("$bin/pg_checksums", '--check', '-D', "$d/r"));
		ok($status eq '0', 'pg_checksums too') or diag "$out$err";
	}
	$t->stop("$d/r");
	system('rm', '-rf', "$d/r");
}

# --- over what is there ---
{
	like($t->sov_ok('restore', '-D', "$d/r", '--dry-run'), qr/would restore .* MB would be written; nothing was changed/s, 'a dry run to a new place');
	ok(!-e "$d/r", 'makes nothing');
	$t->sov_ok('restore', '-D', "$d/r");
	$t->sov_is('a directory that is not empty is refused', 6, qr/is not empty.*--delta/s, 'restore', '-D', "$d/r");
	my $out = $t->sov_ok('restore', '-D', "$d/r", '--delta', '--json');
	ok($out =~ /"fetched": 0,/ && $out =~ /"bytes": 0,/, 'nothing to do: nothing fetched') or diag $out;
	# damage of all kinds
	my ($big) = sort { -s $b <=> -s $a } grep { /\d$/ } glob("$d/r/base/*/*");
	SovTest::flip_byte($big, 0.5);
	my ($second) = grep { $_ ne $big && -s $_ > 100000 } glob("$d/r/base/*/*");
	truncate($second, 8192 * 3);
	unlink "$d/r/global/pg_filenode.map";
	spit("$d/r/base/stray", 'x' x 10000);
	mkdir "$d/r/pg_logical/stray";
	my $tree = sub { return scalar `cd $d/r && find . -type f -exec md5sum {} + | sort && find . -printf '%p %s %m %l\\n' | sort`; };
	my $before = $tree->();
	my ($would) = $t->sov_ok('restore', '-D', "$d/r", '--delta', '--dry-run', '--json') =~ /"bytes": (\d+)/;
	like($t->sov_ok('restore', '-D', "$d/r", '--delta', '--dry-run'), qr{would remove \Q$d\E/r/base/stray\n.*would restore backup .*MB are right already, \d+ files would be removed; nothing was changed}s, 'a dry run tells');
	is($tree->(), $before, 'and changes nothing');
	$out = $t->sov_ok('restore', '-D', "$d/r", '--delta', '--json');
	my ($fetched) = $out =~ /"fetched": (\d+)/;
	my ($kept) = $out =~ /"kept": (\d+)/;
	cmp_ok($fetched, '>', 0, 'what differs is fetched');
	is($out =~ /"bytes": (\d+)/ ? $1 : '', $would, 'and as much is written as the dry run said');
	cmp_ok($fetched, '<', $kept / 4, "and little else ($fetched fetched, $kept kept)");
	ok(!-e "$d/r/base/stray" && !-e "$d/r/pg_logical/stray", 'what does not belong there is gone');
	my ($status, $vout, $err) = capture(as("$bin/pg_verifybackup", '-n', "$d/r"));
	ok($status eq '0', 'pg_verifybackup accepts the result') or diag "$vout$err";

	start_restored("$d/r");
	$t->sov_is('a directory with a running server is refused', 6, qr/a server runs on/, 'restore', '-D', "$d/r", '--delta');
	$t->sql("INSERT INTO t SELECT i, 'other' FROM generate_series(1, 20000) i");
	$t->stop("$d/r", 'fast');
	spit("$d/r/pg_wal/archive_status/0000000200000000000000FF.ready", '');
	$t->sov_is('WAL that was never archived is not thrown away', 6, qr/never archived.*--discard-wal/s, 'restore', '-D', "$d/r", '--delta');
	$t->sov_ok('restore', '-D', "$d/r", '--delta', '--discard-wal');
	start_restored("$d/r");
	is($t->sql("SELECT count(*), sum(hashtext(m)) FROM t"), $rows, 'and an older cluster is brought back over a newer one');
	$t->stop("$d/r");
	run_as('mkdir', "$d/other");
	spit("$d/other/precious", 'x');
	$t->sov_is('a directory that is no data directory is left alone', 6, qr/is no data directory/, 'restore', '-D', "$d/other", '--delta');
	ok(-e "$d/other/precious", 'and keeps its files');
	system('rm', '-rf', "$d/r");
	run_as('mkdir', '-p', "$d/r/pg_tblspc");
	$t->sov_ok('restore', '-D', "$d/r", '--delta', '--dry-run');	# killed before its first file
	system('rm', '-rf', "$d/r");
}

# --- killed at twenty moments, and gone on with ---
{
	my $killed = 0;
	srand 3;
	for my $try (1 .. 40)
	{
		last if $killed == 20;
		system('rm', '-rf', "$d/r") if $try % 7 == 0;
		next unless $t->sov_killed(0.01 + rand(0.25), 'restore', '-D', "$d/r", '--delta', '--jobs', '1');
		$killed++;
		if (-e "$d/r/global" && $killed % 5 == 1)
		{
			my ($status) = capture(as("$bin/pg_ctl", '-D', "$d/r", '-w', '-t', '5', 'start')) if !-e "$d/r/global/pg_control";
			isnt($status // 1, '0', 'a half restored directory does not start');
		}
	}
	is($killed, 20, 'restore was killed twenty times');
	$t->sov_ok('restore', '-D', "$d/r", '--delta');
	start_restored("$d/r");
	is($t->sql("SELECT count(*), sum(hashtext(m)) FROM t"), $rows, 'and ends well in the end');
	$t->stop("$d/r");
	system('rm', '-rf', "$d/r");
}

# --- chosen databases ---
{
	$t->sov_is('a database that is not there', 1, qr/has no database "three"; it has: .*one, two/, 'restore', '-D', "$d/r", '--databases', 'three');
	my $json = $t->sov_ok('restore', '-D', "$d/r2", '--json');
	system('rm', '-rf', "$d/r2");
	my $out = $t->sov_ok('restore', '-D', "$d/r", '--databases', 'one', '--json');
	cmp_ok(($out =~ /"bytes": (\d+)/)[0] + 3e6, '<', ($json =~ /"bytes": (\d+)/)[0], 'less is written');
	start_restored("$d/r");
	is(psql('one', 'SELECT count(*) FROM c'), '101000', 'the database that was asked for is whole');
	like(psql('two', 'SELECT count(*) FROM c'), qr/ERROR/, 'the other is not there');
	is(psql('postgres', 'SELECT count(*) > 0 FROM t'), 't', 'that of the server is');
	is($t->sql('DROP DATABASE two'), '', 'and the other can be dropped');
	$t->stop("$d/r");
	system('rm', '-rf', "$d/r");
}

# --- across a timeline switch ---
my $time;
{
	$t->sov_ok('restore', '-D', "$d/p", '--target-name', 'before the accident');
	$t->{data} = "$d/p";
	$t->configure(@{ $t->{providers} });
	$t->start("$d/p");
	is($t->sql('SELECT timeline_id FROM pg_control_checkpoint()'), 2, 'a second timeline');
	$t->sql("INSERT INTO t SELECT 100, 'second timeline'");
	$t->archive;
	$t->sql('CHECKPOINT');
	$t->sql("ALTER SYSTEM SET synchronous_standby_names = 'away'");	# in the backup; a drill has no standby
	$t->sov_ok('backup');
	$time = $t->sql('SELECT now()');
	select undef, undef, undef, 1.1;
	$t->sql("INSERT INTO t SELECT 101, 'after the time'");
	$t->archive;
	$t->stop("$d/p", 'fast');
	for (['the first backup leads to the second timeline', ['--backup', ($t->sov_ok('list') =~ /^(20\S+)/m)[0]], "1|1"],
		['to a time on the second timeline', ['--target-time', $time], "1|0"],
		['the first timeline to its end', ['--target-timeline', '1'], "0|0"])
	{
		my ($what, $options, $want) = @$_;
		$t->sov_ok('restore', '-D', "$d/r", @$options);
		start_restored("$d/r");
		is($t->sql("SELECT count(*) FILTER (WHERE i = 100 AND m = 'second timeline'), count(*) FILTER (WHERE i = 101 AND m = 'after the time') FROM t"), $want, $what);
		is($t->sql("SELECT count(*) FROM t WHERE m = 'the last'"), 1, 'with what only the first timeline had') if $what =~ /first timeline/;
		$t->stop("$d/r");
		system('rm', '-rf', "$d/r");
	}
	my @ids = $t->sov_ok('list') =~ /^(20\S+)/mg;
	$t->sov_is('a backup of the other branch is refused', 1, qr/timeline 2, which timeline 1 does not descend from/, 'restore', '-D', "$d/r", '--backup', $ids[-1], '--target-timeline', '1');
	$t->sov_is('a timeline that is none', 2, qr/is a number/, 'restore', '-D', "$d/r", '--target-timeline', 'newest');
}

# --- drill ---
{
	my $scratch = "$d/s";
	run_as('mkdir', '-m', '700', $scratch);
	spit("$d/q.sql", <<'SQL');
SELECT count(*) AS rows FROM t;
SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1) AS pid, current_setting('unix_socket_directories') AS dir \gset
\setenv SERVER :pid
\setenv SOCKETS :dir
\! echo "directory $(stat -c %a "$SOCKETS"), socket $(stat -c %F "$SOCKETS/.s.PGSQL.5432")"
\! for f in /proc/$SERVER/fd/*; do readlink $f; done | sed -n 's/^socket:.\([0-9]*\).$/\1/p' | while read n; do grep -q " $n " /proc/net/tcp /proc/net/tcp6 && echo TCP || echo private; done | sort | uniq -c
SQL
	my ($ended, $told, $err) = $t->sov('drill', '--scratch', $scratch, '--query', "$d/q.sql", '--query-user', 'postgres');
	like($told, qr/^directory 700, socket socket$/m, 'the server of a drill has its socket in a directory that is private') or diag "$ended $err";
	ok($told =~ /^ +1 private$/m && $told !~ /TCP/, 'and no other') or diag $told;
	spit("$d/q.sql", "SELECT count(*) AS rows FROM t;\n");
	$t->sov_is('a drill', 0, qr/restore .* s .* MB written\n.*verify .* MB read\n.*recover .* s +[1-9][\d.]* MB of WAL replayed\n.*check .* MB read\n.*amcheck .* s +[1-9][\d.]* MB read\n.*query.* MB read\n.*drill passed: backup/s, 'drill', '--scratch', $scratch, '--query', "$d/q.sql", '--amcheck');
	ok(!-e "$d/ran", 'which calls none either');
	spit("$d/q.sql", "SELECT count(*), current_database() FROM t;\n");
	$t->sov_is('a query does', 5, qr/psql failed .*PL\/pgSQL function current_database/, 'drill', '--scratch', $scratch, '--query', "$d/q.sql");
	like(slurp((glob("$scratch/*/psql.log"))[0]), qr/(permission denied to|must be superuser).* external program/, 'which may not do what a superuser may');
	ok(!-e "$d/ran", 'so that nothing is run');
	system('rm', '-rf', glob("$scratch/*"));
	my ($status, $out) = $t->sov('drill', '--scratch', $scratch, '--without', 'a', '--json');
	ok($status eq '0' && $out =~ /"passed": true/ && $out =~ /"recover": [\d.]+/, 'without a provider, as JSON') or diag $out;
	is(join(' ', glob("$scratch/*")), '', 'leaves nothing behind');
	my ($bytes) = $out =~ /"stage_bytes": \{([^}]*)\}/s;
	is(join(' ', ($bytes // '') =~ /"(\w+)": [1-9]\d*/g), 'restore verify recover check', 'each stage with its bytes') or diag $out;
	spit("$d/q.sql", "SELECT 1 / (count(*) FILTER (WHERE m = 'second timeline') = 1 AND count(*) FILTER (WHERE m = 'after the time') = 0)::int FROM t;\n");
	$t->sov_is('to a time: what was after it is not there', 0, qr/drill passed/, 'drill', '--scratch', $scratch, '--query', "$d/q.sql", '--target-time', $time);
	$t->sov_is('to the end it is', 5, qr/division by zero/, 'drill', '--scratch', $scratch, '--query', "$d/q.sql");
	system('rm', '-rf', glob("$scratch/*"));
	spit("$d/q.sql", "SELECT 1/0;\n");
	$t->sov_is('a query that fails fails the drill', 5, qr/psql failed.*division by zero/s, 'drill', '--scratch', $scratch, '--query', "$d/q.sql");
	system('rm', '-rf', glob("$scratch/*"));
	$t->sov_is('without two of three providers it says so', 4, qr/needed/, 'drill', '--scratch', $scratch, '--without', 'a', '--without', 'b');
	mkdir "$d/programs" or die;
	spit("$d/programs/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 14.9 (Debian 14.9-1)'\n");
	chmod 0755, "$d/programs", "$d/programs/postgres";
	$t->sov_is('programs of another version are refused', 2, qr/needs the programs of PostgreSQL \d+, $d\/programs has those of PostgreSQL 14; nothing was restored\n.*--bin-directory/s, 'drill', '--scratch', $scratch, '--bin-directory', "$d/programs");
	$t->sov_is('and that there are none is said before the restore', 2, qr/$d\/a\/postgres could not be run; nothing was restored\n.*--bin-directory/s, 'drill', '--scratch', $scratch, '--bin-directory', "$d/a");
	$t->sov_ok('audit', 'ship');
	like($t->sov_ok('audit', 'export'), qr/"event":"restore","outcome":"done",[^\n]*"text":"drill in [^\n]*\n(?:.*\n)*?.*"event":"restore","outcome":"failed",[^\n]*"text":"drill in /, 'drills are in the audit log');
	my @lines = split /\n/, slurp("$d/state/drills");
	is(scalar(grep { /"passed":true/ } @lines), 4, 'four passed');
	is(scalar(grep { /"passed":false/ } @lines), 6, 'and six failed drills are on record');
	is(scalar(grep { /"bytes":0,"fetched":0,/ } @lines[-2, -1]), 2, 'the last of them without a byte restored');
}

done_testing();
