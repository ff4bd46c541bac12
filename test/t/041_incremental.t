# Backups are incremental for ever: what did not change is not stored again, and
# what did change is never overlooked, also where page LSNs do not tell: hint bits
# without checksums, the visibility map, copied databases, loads without WAL,
# checksums switched on and off, rewound and promoted clusters.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
# (no data checksums: 18 has them unless told otherwise)
my ($version) = `$bin/postgres --version` =~ /(\d+)/;
my $data = $t->start_new(initdb => [$version >= 18 ? '--no-data-checksums' : '--no-locale'], conf => "fsync = off\nautovacuum = off\nwal_log_hints = off\nallow_in_place_tablespaces = on\nmax_wal_size = 2GB\n");

sub backup_is_right { return $t->backup_is_right(@_); }

$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m, repeat('x', 50) AS x FROM generate_series(1, 300000) i");
$t->sql("CREATE INDEX ON t (m)");
$t->sql("CREATE UNLOGGED TABLE u AS SELECT * FROM t WHERE i <= 1000");
my $unlogged = $t->sql("SELECT string_agg(pg_relation_filepath(oid), '|') FROM pg_class WHERE relpersistence = 'u' AND relkind IN ('r', 't', 'i')");
my $full = backup_is_right('the first', but => qr/^(?:$unlogged)$/);
cmp_ok($full, '>', 5e6, 'it stores everything');
my $first = $t->sov_ok('list') =~ /^(20\S+)/m ? $1 : '';

# --- nothing changed ---
my $again = backup_is_right('nothing changed', but => qr/^(?:$unlogged)$/);
cmp_ok($again, '<', 1e6, 'a second backup stores under 1 MB') or diag $again;
$t->sql('DROP TABLE u');

# --- a page here and there ---
$t->sql("UPDATE t SET x = 'y' WHERE i % 10000 = 0");
my $little = backup_is_right('a few rows changed');
cmp_ok($little, '<', $full / 4, 'stores a small part') or diag "$little of $full";

# --- hint bits and the visibility map, without WAL and without LSN ---
$t->sql("DELETE FROM t WHERE i % 1000 = 1");
backup_is_right('before hint bits are set');
$t->sql("SELECT count(*) FROM t");
backup_is_right('after hint bits were set');
$t->sql('VACUUM t');
backup_is_right('VACUUM, without checksums and hints in WAL');
$t->sql('VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) t');
backup_is_right('the visibility map, frozen');

# --- rewrites, truncation and growth ---
$t->sql("CREATE TABLE g AS SELECT i, repeat('a', 100) AS x FROM generate_series(1, 50000) i");
backup_is_right('a new table');
$t->sql("DELETE FROM g WHERE i > 1000");
$t->sql("VACUUM g");
$t->sql("INSERT INTO g SELECT i, repeat('b', 100) FROM generate_series(1, 30000) i");
backup_is_right('truncated and extended');
$t->sql("VACUUM FULL g");
$t->sql("ALTER TABLE g ALTER i TYPE bigint");
$t->sql("TRUNCATE t");
$t->sql("INSERT INTO t SELECT i, md5(i::text), repeat('z', 50) FROM generate_series(1, 100000) i");
backup_is_right('rewritten');

# --- a database copied file by file onto a path that was used before ---
$t->sql("CREATE DATABASE one OID = 40001");
$t->sql("CREATE DATABASE two OID = 40002");
for (['one', 1], ['two', 2])
{
	my ($db, $x) = @$_;
	run_as("$bin/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', $db, '-c', "CREATE TABLE c AS SELECT i, $x AS x FROM generate_series(1, 20000) i");
}
$t->sql("CREATE DATABASE copy OID = 40009 TEMPLATE one STRATEGY FILE_COPY");
backup_is_right('CREATE DATABASE by FILE_COPY');
$t->sql("DROP DATABASE copy");
$t->sql("CREATE DATABASE copy OID = 40009 TEMPLATE two STRATEGY FILE_COPY");
backup_is_right('the same path again, with other content');

# --- tablespaces ---
run_as('mkdir', '-m', '700', "$d/ts", "$d/ts2");
$t->sql("CREATE TABLESPACE linked LOCATION '$d/ts'");
$t->sql("CREATE TABLESPACE inside LOCATION ''");
$t->sql("CREATE TABLE l TABLESPACE linked AS SELECT * FROM g");
$t->sql("CREATE TABLE p TABLESPACE inside AS SELECT * FROM g");
backup_is_right('tablespaces', restore => ['--tablespace-map', "$d/ts=$d/ts2"], keep => 1);
{
	my $file = $t->sql("SELECT pg_relation_filepath('p')");
	ok(-s "$t->{restored}/$file" && system('cmp', '-s', "$data/$file", "$t->{restored}/$file") == 0, 'a table in an in-place tablespace');
	my $in = $t->sql("SELECT pg_relation_filepath('l')");
	ok(-s "$t->{restored}/$in" && system('cmp', '-s', "$data/$in", "$t->{restored}/$in") == 0, 'and in a linked one that was mapped elsewhere');
}
system('rm', '-rf', "$t->{restored}", glob("$d/ts2/*"));
$t->sql('DROP TABLE l');
$t->sql('DROP TABLE p');
$t->sql('DROP TABLESPACE linked');
$t->sql('DROP TABLESPACE inside');

# --- a load without WAL ---
$t->restart($data, '-c wal_level=minimal -c max_wal_senders=0 -c archive_mode=off -c wal_skip_threshold=0');
$t->sql("BEGIN; CREATE TABLE w (i int, x text); INSERT INTO w SELECT i, 'no WAL' FROM generate_series(1, 50000) i; COMMIT");
$t->sql("BEGIN; TRUNCATE g; INSERT INTO g SELECT i, 'no WAL' FROM generate_series(1, 20000) i; COMMIT");
$t->restart($data);
backup_is_right('loads under wal_level = minimal');

# --- checksums on and off between backups ---
$t->stop($data, 'fast');
run_as("$bin/pg_checksums", '--enable', '--no-sync', '-D', $data);
$t->start($data);
backup_is_right('checksums switched on');
$t->stop($data, 'fast');
run_as("$bin/pg_checksums", '--disable', '--no-sync', '-D', $data);
$t->start($data);
$t->sql("UPDATE g SET x = 'without' WHERE i % 100 = 0");
backup_is_right('and off');
$t->stop($data, 'fast');
run_as("$bin/pg_checksums", '--enable', '--no-sync', '-D', $data);
$t->start($data);
backup_is_right('and on again');

# --- files whose size and time did not change are not read, if that is allowed ---
{
	$t->sql("UPDATE g SET x = 'by time' WHERE i = 1");
	backup_is_right('before --by-mtime');
	sleep 3;
	$t->sql("UPDATE g SET x = 'by time' WHERE i = 7");
	$t->sql('CHECKPOINT');
	my ($status, $out) = $t->sov('backup', '--by-mtime', '--json');
	my ($skipped, $bytes) = ($out =~ /"not_read_bytes": (\d+)/, $out =~ /"bytes": (\d+)/);
	ok($status eq '0', 'a backup by time and size');
	backup_is_right('after --by-mtime', options => ['--by-mtime']);
	($status, $out) = $t->sov('backup', '--by-mtime', '--json');
	($skipped) = $out =~ /"not_read_bytes": (\d+)/;
	cmp_ok($skipped, '>', 0, "skipped $skipped bytes");
}

# --- killed in the middle: the next one takes over what was stored ---
{
	$t->sql("CREATE TABLE big AS SELECT i, md5(i::text) || md5((i + 1)::text) AS m FROM generate_series(1, 1500000) i");
	$t->sql('CHECKPOINT');
	my $taken = 0;
	for my $try (1 .. 8)
	{
		last if !$t->sov_killed(0.3 + 0.1 * $try, 'backup', '--max-rate', '60MB');
		last if ($taken = -s "$d/state/backup.pieces");
	}
	ok($taken, 'a backup was killed after some parts were stored');
	my ($status, $out, $err) = $t->sov('backup', '--json');
	like($err, qr/was interrupted: \d+ parts that it had stored are used/, 'the next one says so');
	ok(!-e "$d/state/backup.pieces", 'and leaves no journal');
	backup_is_right('after the interrupted one');
}

# --- two at once ---
{
	my $pid = fork();
	if ($pid == 0) { open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null'); exec(as($t->sov_cmd('backup', '--full', '--max-rate', '80MB'))) or POSIX::_exit(99); }
	select undef, undef, undef, 0.8;
	$t->sov_is('a second backup at the same time is refused', 6, qr/backup/, 'backup');
	waitpid($pid, 0);
	is($?, 0, 'and the first ends well');
}

# --- a damaged or absent earlier manifest costs only a saving ---
{
	my @meta = map { objects("$d/$_", 'm') } qw(a b c);
	my %size = map { $_ => -s $_ } @meta;
	# the largest ones are pieces
	my @pieces = (sort { $size{$b} <=> $size{$a} } @meta)[0 .. 40];
	rename $_, "$_.away" for @pieces;
	my ($status, $out, $err) = $t->sov('backup', '--json');
	like($err, qr/cannot be read.*stored again/s, 'pieces that are gone are named');
	is($status, 0, 'and the backup goes on') or diag $err;
	rename "$_.away", $_ for grep { -e "$_.away" } @pieces;
	backup_is_right('after pieces were gone');
}

# --- every backup still restores, the first too, and a restore needs no other ---
{
	my @ids = $t->sov_ok('list') =~ /^(20\S+)/mg;
	cmp_ok(scalar @ids, '>', 20, scalar(@ids) . ' backups');
	my $bad = 0;
	for my $id (@ids)
	{
		my ($status, $out, $err) = $t->sov('restore', '-D', "$d/r", '--backup', $id, '--target-timeline', 'current');
		$bad++ if $status ne '0' && $err !~ /tablespace/;
		system('rm', '-rf', "$d/r");
	}
	is($bad, 0, 'each restores with every block matching its hash');
	my $out = $t->sov_ok('verify', '--sample', 100);
	like($out, qr/\b(\d+) of \1 backups can be restored/, 'verify says the same') or diag $out;
}

done_testing();
