# Conversion of a column and rotation of its key while readers and writers run:
# stopped, killed (SIGKILL: the server restarts), resumed; nothing lost, nothing
# mixed up, and at the end no plaintext in the files.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use SovTest;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
plan skip_all => 'pgbench is not installed' unless -x "$t->{bindir}/pgbench";
my $d = $t->dir;
my $rows = 150_000;
my $word = 'Quetzalcoatl';
$t->sov_ok('init');
my $data = $t->start_new(conf => "archive_mode = off\nautovacuum_naptime = 1\nmax_wal_size = 2GB\nrestart_after_crash = on\n");

$t->sql('CREATE SCHEMA sov; CREATE EXTENSION pg_sovereign SCHEMA sov');
$t->sql("SELECT sov.create_key('k')");
$t->sql(<<SQL);
CREATE TABLE p (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int NOT NULL, c text NOT NULL DEFAULT 'none', s text, other int);
INSERT INTO p (n, c, s) SELECT g, '$word' || g, CASE WHEN g % 3 > 0 THEN 's' || g END FROM generate_series(1, $rows) g;
CREATE INDEX p_c ON p (c);
CREATE TABLE ledger (id bigint, op char);
ANALYZE p;
SQL

# --- the load: every row says in n what c must be ---
spit("$d/load.sql", <<'SQL');
\set id random(1, 150000)
\set n random(1, 1000000)
BEGIN;
UPDATE p SET n = :n, c = 'Quetzalcoatl' || :n WHERE id = :id;
UPDATE p SET other = :n WHERE id = :id + 1;
WITH x AS (INSERT INTO p (n, c) VALUES (:n, 'Quetzalcoatl' || :n) RETURNING id) INSERT INTO ledger SELECT id, 'i' FROM x;
WITH x AS (DELETE FROM p WHERE id = (SELECT id FROM p WHERE id > :id ORDER BY id LIMIT 1) AND :n % 4 = 0 RETURNING id) INSERT INTO ledger SELECT id, 'd' FROM x;
COMMIT;
SELECT 1 / (c = 'Quetzalcoatl' || n)::int FROM p WHERE id = :id;
SELECT 1 / (count(*) >= 1)::int FROM p WHERE c = (SELECT c FROM p WHERE id > :id ORDER BY id LIMIT 1);
SQL
chmod 0644, "$d/load.sql";

my (%running, $loads);
sub start_in_background
{
	my ($name, @cmd) = @_;
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$d/$name.out");
		open(STDERR, '>&', \*STDOUT);
		exec(as(@cmd)) or POSIX::_exit(99);
	}
	$running{$name} = $pid;
}

sub finish
{
	my ($name) = @_;
	waitpid(delete $running{$name}, 0);
	return ($? >> 8, slurp("$d/$name.out"));
}

sub load
{
	my ($seconds) = @_;
	start_in_background('load' . ++$loads, "$t->{bindir}/pgbench", '-n', '-M', 'prepared', '-c', 3, '-T', $seconds, '-f', "$d/load.sql",
		'-h', $d, '-p', $t->{port}, '-U', 'postgres', '--max-tries', 50, 'postgres');
	return "load$loads";
}

sub call
{
	my ($statement) = @_;
	start_in_background('call', "$t->{bindir}/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', '-c', $statement);
}

# Wait until the job answers a condition; its pid.
sub job_where
{
	my ($condition) = @_;
	for (1 .. 600)
	{
		my $pid = $t->sql("SELECT pid FROM sov.column_job WHERE $condition ORDER BY updated DESC LIMIT 1", nofail => 1);
		return $pid if $pid;
		sleep 0.02;
	}
	return undef;
}

sub wait_for_server
{
	for (1 .. 600)
	{
		return 1 if $t->sql('SELECT NOT pg_is_in_recovery()', nofail => 1) eq 't';
		sleep 0.1;
	}
	return 0;
}

sub all_is_well
{
	my ($what) = @_;
	is($t->sql("SELECT count(*) FROM p WHERE c::text IS DISTINCT FROM '$word' || n"), 0, "$what: no value was lost or mixed up");
	is($t->sql("SELECT count(*) FROM p"),
		$t->sql("SELECT $rows + count(*) FILTER (WHERE op = 'i') - count(*) FILTER (WHERE op = 'd') FROM ledger"), "$what: no row was lost or doubled");
	is($t->sql("SELECT count(*) FROM (SELECT id FROM ledger GROUP BY id HAVING bool_and(op = 'i')) l LEFT JOIN p USING (id) WHERE p.id IS NULL"), 0, "$what: what was committed is there");
}

sub load_was_well
{
	my ($name, $what) = @_;
	my ($status, $out) = finish($name);
	ok($status == 0 && $out !~ /aborted/, "$what: readers and writers saw nothing of it") or diag $out;
	my ($n) = $out =~ /actually processed: (\d+)/;
	cmp_ok($n // 0, '>', 50, "$what: and they were not kept waiting") or diag $out;
}

# How many files of the databases hold the word.
sub files_with_word
{
	$t->sql('CHECKPOINT');
	my @found = split /\n/, qx(grep -rlaF $word $data/base $data/global 2>/dev/null);
	return scalar @found;
}

# A call is killed in the middle, with readers and writers, and the server restarts.
sub killed_in_the_middle
{
	my ($statement, $condition) = @_;
	my $load = load(120);
	call($statement);
	my $pid = job_where($condition);
	ok($pid, "$statement is under way ($condition)") or diag slurp("$d/call.out");
	kill 'KILL', $pid if $pid;
	my ($status, $out) = finish('call');
	isnt($status, 0, 'killed') or diag $out;
	finish($load);
	ok(wait_for_server(), 'the server restarts') or diag slurp("$data.log") =~ s/.*(?=(?:.*\n){40}\z)//sr;
}

# --- stop ---
my $encrypt = "CALL sov.encrypt_column('p', 'c', 'k', 'searchable', 500)";
call($encrypt);
ok(job_where("phase = 'filling' AND rows_done > 1000"), 'a conversion is under way');
like($t->sql(q{SELECT "table", "column", what, phase, rows_total FROM sov.column_jobs}), qr/^p\|c\|encrypt\|filling\|150000$/, 'and can be seen');
my ($s, $o, $e) = capture(as("$t->{bindir}/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', '-c', 'BEGIN', '-c', $encrypt));
like($e, qr/cannot run inside a transaction block/, 'not in a transaction');
is($t->sql("SELECT sov.stop_column_job('p', 'c')"), 't', 'a stop is asked for');
($s, $o) = finish('call');
like($o, qr/NOTICE:  stopped/, 'and happens') or diag $o;
my $done = $t->sql("SELECT rows_done FROM sov.column_jobs");
cmp_ok($done, '<', $rows, 'in the middle');
is($t->sql("SELECT count(*) FROM p WHERE sov_new_c IS NOT NULL"), $done, 'as many rows as it says are done');

# --- kill -9, twice; a rewrite of the table between ---
killed_in_the_middle($encrypt, "phase = 'filling' AND rows_done > $done + 2000");
all_is_well('killed while filling');
cmp_ok($t->sql("SELECT rows_done FROM sov.column_jobs"), '>', $done, 'what was done is kept');
is($t->sql("SELECT count(*) FROM p WHERE sov_new_c IS NOT NULL AND sov_new_c::text <> c"), 0, 'both columns agree');
$t->sql('VACUUM FULL p');
# a writer that does not end keeps the index from being finished
start_in_background('writer', "$t->{bindir}/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres',
	'-c', 'BEGIN', '-c', 'UPDATE p SET other = 1 WHERE id = 1', '-c', 'SELECT pg_sleep(60)');
killed_in_the_middle($encrypt, "EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)");
finish('writer');
is($t->sql("SELECT phase FROM sov.column_jobs"), 'indexing', 'killed while indexing');
is($t->sql("SELECT count(*) FROM pg_index WHERE indrelid = 'p'::regclass AND NOT indisvalid"), 1, 'an index is left half made');
all_is_well('killed while indexing');

# --- to the end, under load ---
{
	my $load = load(12);
	sleep 1;
	my $begin = time;
	call($encrypt);
	my ($status, $out) = finish('call');
	is($status, 0, 'the conversion goes on and ends') or diag $out;
	like($out, qr/going on with the conversion/, 'where it was') or diag $out;
	note sprintf("the rest took %.1f s", time - $begin);
	load_was_well($load, 'encrypt_column');
}
is($t->sql("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'p'::regclass AND attname = 'c'"), "sov.encrypted_text('k','searchable')", 'the column is encrypted');
is($t->sql("SELECT count(*) FROM pg_index WHERE indrelid = 'p'::regclass AND NOT indisvalid"), 0, 'no index is left half made');
is($t->sql("SELECT indexdef FROM pg_indexes WHERE indexname = 'p_c'"), 'CREATE INDEX p_c ON public.p USING btree (c sov.encrypted_text_blind_ops)', 'the index is blind');
is($t->sql("SELECT count(*) FROM sov.column_job"), 0, 'no job is left');
is($t->sql("SELECT count(*) FROM pg_attribute WHERE attrelid = 'p'::regclass AND attname LIKE '%sov_new%'"), 0, 'no column is left');
all_is_well('encrypt_column');
cmp_ok(files_with_word(), '>', 0, "the table's files still hold old plaintext");

# --- a snapshot from before never sees a half-filled column ---
{
	start_in_background('old', "$t->{bindir}/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres',
		'-c', 'BEGIN ISOLATION LEVEL REPEATABLE READ', '-c', 'SELECT count(*) > 0 FROM ledger', '-c', 'SELECT pg_sleep(6)',
		'-c', "SELECT count(*) FILTER (WHERE s IS NULL) = count(*) FILTER (WHERE n_of_s) FROM (SELECT s, id <= $rows AND id % 3 = 0 OR id > $rows AS n_of_s FROM p) x", '-c', 'COMMIT');
	sleep 0.5;
	my $begin = time;
	my ($status, $out, $err) = capture(as("$t->{bindir}/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', '-c', "CALL sov.encrypt_column('p', 's', 'k')"));
	is($status, 0, 'a second column') or diag $err;
	cmp_ok(time - $begin, '>', 4, 'waited for a transaction with an old snapshot');
	my (undef, $old) = finish('old');
	like($old, qr/^t\n\n?t\n\z/m, 'which saw what it should') or diag $old;
}

# --- rotation: kill -9, resumed under load ---
my $versions = "SELECT count(DISTINCT sov.key_version_of(c)) FROM p";
my $digest = $t->sql("SELECT md5(string_agg(id || ':' || c, ',' ORDER BY id)) FROM p");
my $tags = $t->sql("SELECT md5(string_agg(encode(substr(sov.encrypted_text_send(c), 7, 12), 'hex'), ',' ORDER BY id)) FROM p");
killed_in_the_middle("CALL sov.rotate_key('k', 500)", "what = 'rotate' AND rows_done > 5000");
is($t->sql($versions), 2, 'two versions while rotation is under way');
is($t->sql("SELECT count(*) FROM sov.key_version WHERE name = 'k'"), 2, 'in the key tables, too');
all_is_well('killed while rotating');
{
	my $load = load(10);
	sleep 1;
	call("CALL sov.rotate_key('k', 2000)");
	my ($status, $out) = finish('call');
	is($status, 0, 'rotation goes on and ends') or diag $out;
	like($out, qr/going on with the rotation/, 'where it was');
	is($t->sql("SELECT count(*) FROM sov.key_version WHERE name = 'k'"), 2, 'with the version that it made');
	is($t->sql("SELECT count(*) FROM p WHERE sov.key_version_of(c) <> (SELECT version FROM sov.key_version WHERE name = 'k' AND current)"), 0, 'no value is left under the former version');
	load_was_well($load, 'rotate_key');
}
is($t->sql($versions), 1, 'nor written later');
all_is_well('rotate_key');
is($t->sql("SELECT count(*) FROM sov.column_job"), 0, 'no job is left');

# without writers the whole table can be compared
$digest = $t->sql("SELECT md5(string_agg(id || ':' || c || coalesce(s, ''), ',' ORDER BY id)) FROM p");
$tags = $t->sql("SELECT md5(string_agg(encode(substr(sov.encrypted_text_send(c), 7, 12), 'hex'), ',' ORDER BY id)) FROM p");
# a stop of a column whose turn has not come stops the call
call("CALL sov.rotate_key('k', 500)");
ok(job_where("what = 'rotate' AND rows_done > 1000"), 'it works on the first of two columns');
is($t->sql("SELECT sov.stop_column_job('p', attname) FROM pg_attribute WHERE attrelid = 'p'::regclass AND attnum = (SELECT max(attnum) FROM sov.column_job)"), 't', 'the second is to stop');
{
	my (undef, $out) = finish('call');
	like($out, qr/NOTICE:  stopped/, 'so the rotation stops') or diag $out;
}
is($t->sql("SELECT count(*) || '|' || count(*) FILTER (WHERE rows_done > 0) FROM sov.column_jobs"), '2|1', 'in the middle of the first');
$t->sql("CALL sov.rotate_key('k')");
is($t->sql("SELECT md5(string_agg(id || ':' || c || coalesce(s, ''), ',' ORDER BY id)) FROM p"), $digest, 'rotation changes no value');
is($t->sql("SELECT md5(string_agg(encode(substr(sov.encrypted_text_send(c), 7, 12), 'hex'), ',' ORDER BY id)) FROM p"), $tags, 'and no equality tag');
is($t->sql("SELECT count(*) FROM sov.key_version WHERE name = 'k'"), 3, 'former versions stay');

# --- the plaintext goes with VACUUM FULL ---
$t->sql('VACUUM FULL p');
$t->sql('VACUUM FULL pg_catalog.pg_statistic');
# what the writers' statements left in the catalogs or elsewhere would show here
is(files_with_word(), 0, 'after VACUUM FULL no file of the database does');
is($t->sql("SELECT md5(string_agg(id || ':' || c || coalesce(s, ''), ',' ORDER BY id)) FROM p"), $digest, 'and everything is there');

# --- and back ---
{
	my $load = load(8);
	sleep 0.5;
	call("CALL sov.decrypt_column('p', 'c', 5000)");
	my ($status, $out) = finish('call');
	is($status, 0, 'decrypt_column') or diag $out;
	load_was_well($load, 'decrypt_column');
}
is($t->sql("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'p'::regclass AND attname = 'c'"), 'text', 'the column is plain');
all_is_well('decrypt_column');
done_testing();
