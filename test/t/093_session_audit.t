# What sessions do with keys, on record: who opened what, for which purpose and how many
# values; who was refused; who changed keys and grants.  Then what may go wrong on the
# way: a killed session, a killed worker, no room, no disk; and strict keys, which open
# nothing off the record.
use strict;
use warnings;
use Test::More;
use SovTest;
use POSIX ();
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
spit($t->conf, slurp($t->conf) . "[audit]\ninterval = 1s\nbeat = 1s\n");
$t->sov_ok('init');
my $data = $t->start_new(conf => <<CONF);
shared_preload_libraries = 'pg_sovereign'
shared_buffers = 16MB
compute_query_id = on
restart_after_crash = on
fsync = off
jit = off
archive_mode = off
CONF

# Standard output and error of one session with these statements.
sub ask
{
	my ($user, @sql) = @_;
	my (undef, $out, $err) = capture(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', $user, '-d', 'postgres', map { ('-c', $_) } @sql));
	chomp(my $both = "$out$err");
	return $both;
}
# A session that goes on in the background until its statement ends.
sub background
{
	my ($user, $sql) = @_;
	my $pid = fork();
	return $pid if $pid;
	open(STDOUT, '>', "$d/background");
	open(STDERR, '>&STDOUT');
	exec(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', $user, '-d', 'postgres', '-c', $sql)) or POSIX::_exit(99);
}
# Entries that are on disk, as the auditor sees them: asked until it is so.
sub recorded
{
	my ($re, $where, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($end, $got) = (time + 20, '');
	my $shown = $where eq "event = 'break-glass'" ? 'outcome, opened, text' : 'event, outcome, username, key, purpose, database, client, opened, text';
	my $sql = "SELECT concat_ws(' ', $shown) FROM audit WHERE $where ORDER BY time, event";
	while (time < $end)
	{
		last if ($got = ask('eve', $sql)) =~ $re;
		sleep 0.1;
	}
	like($got, $re, $name);
}
sub worker { my $pids = `ps -eo pid,ppid,args | grep 'pg_sovereign audit' | grep -v grep`; my ($pm) = slurp("$data/postmaster.pid") =~ /^(\d+)/; return (map { /^\s*(\d+)\s+$pm\s/ ? $1 : () } split /\n/, $pids)[0]; }
sub again { for (1 .. 300) { return if $t->sql('SELECT 1', nofail => 1) eq '1' && worker(); sleep 0.1; } die 'the server did not come back'; }

$t->sql('CREATE EXTENSION pg_sovereign');
$t->sql("CREATE ROLE $_ LOGIN") for qw(alice bob carol);
$t->sql('CREATE ROLE eve LOGIN IN ROLE sovereign_auditor');
$t->sql("SELECT create_key('k'), create_key('s')");
$t->sql("CREATE TABLE p (id int, n encrypted_text('k', 'searchable')); CREATE TABLE q (id int, n encrypted_text('s'))");
$t->sql("INSERT INTO p SELECT i, 'Knownword ' || i FROM generate_series(1, 1000) i; INSERT INTO q VALUES (1, 'Knownword')");
$t->sql('GRANT SELECT ON p, q TO alice, bob, carol');
$t->sql("SELECT grant_decrypt('k', 'alice'), grant_decrypt('k', 'bob')");
$t->sql("BEGIN; SAVEPOINT a; SELECT grant_decrypt('k', 'eve'); ROLLBACK TO a; SELECT require_purpose('s'); SELECT require_purpose('s', false); COMMIT");

# --- who opened what ---
is(ask('alice', "SET sovereign.purpose = 'billing'", 'SELECT count(n::text) FROM p', "SELECT id FROM p WHERE n = 'Knownword 77' AND n::text <> 'Secretliteral'"), "1000\n77", 'alice reads');
is(ask('bob', 'SELECT max(n::text) FROM p WHERE id < 11'), 'Knownword 9', 'bob reads');
like(ask('carol', 'SELECT n::text FROM p LIMIT 1'), qr/ERROR:  user "carol" may not decrypt/, 'carol may not');
like(ask('postgres', "SET SESSION AUTHORIZATION alice", "SELECT n::text FROM p WHERE n = 'Knownword 5'"), qr/ERROR:  user "postgres" may not decrypt/, 'nor may a superuser who calls himself alice');
like(ask('bob', 'SELECT * FROM audit'), qr/permission denied/, 'the log is for auditors');
recorded(qr/^use done alice k billing postgres local 1000 open: SELECT on public\.p\nsession done alice k billing postgres local 1 /m, "username = 'alice' AND text LIKE 'open%'", 'alice: first use, for which purpose, how many values, and all that followed');
recorded(qr/^use done bob k postgres local 10 open: SELECT on public\.p\z/, "username = 'bob' AND text LIKE 'open%'", 'bob is told apart, and named no purpose');
ask('bob', "SET sovereign.purpose = 'hidden'", 'SELECT max(p.n::text) FROM pg_am ' . join(' ', map { "LEFT JOIN $_ ON false" } qw(pg_class pg_type pg_proc pg_cast pg_index pg_attribute pg_namespace pg_operator)) . ', p');
recorded(qr/ open: SELECT on public\.p, pg_catalog\.pg_am, (?:[a-z_.]+, ){6}and 2 more\z/, "purpose = 'hidden' AND event = 'use'", 'a table is not hidden behind others');
recorded(qr/^denied refused carol k postgres local 0 denied: SELECT on public\.p\z/, "username = 'carol'", 'who was refused');
recorded(qr/^denied refused postgres k postgres local 0 denied: SELECT on public\.p; session user alice\z/, "event = 'denied' AND username = 'postgres'", 'by the name that logged in');
recorded(qr/^use done postgres k postgres local 0 seal/m, "username = 'postgres' AND event = 'use'", 'sealing too');
recorded(qr/^grant done postgres k .*granted to alice.*\ngrant .*granted to bob[^\n]*\z/, "event = 'grant' AND key IS NOT NULL", 'who granted; not what was rolled back');
is(ask('postgres', "BEGIN; SELECT 1 FROM grant_decrypt('k', 'postgres'); SELECT max(n::text) FROM p WHERE id < 6; ROLLBACK"), "1\nKnownword 5", 'who may grant may read by a grant of his own, and roll it back');
recorded(qr/^grant begun postgres k [^\n]*granted to postgres: SELECT\ngrant failed postgres k [^\n]*granted to postgres: SELECT\z/, "event = 'grant' AND text LIKE '%to postgres:%'", 'that is on record before he reads');
$t->sql("ALTER ROLE carol RENAME TO dora; ALTER ROLE dora PASSWORD 'Secretliteral' NOSUPERUSER; GRANT alice, bob TO dora; REVOKE bob FROM dora; ALTER ROLE dora RENAME TO carol; REVOKE alice FROM carol");
$t->sql("BEGIN; ALTER TABLE key_grant DISABLE TRIGGER ALL; INSERT INTO key_grant VALUES (0, 'k', 'unseen'); ROLLBACK; CREATE TABLE key_grants (id int); ALTER TABLE key_grants DISABLE TRIGGER ALL");
recorded(qr/^key begun postgres postgres local 0 a command that changes the table key_grant itself, or its triggers: ALTER TABLE\z/, "text ~ 'itself' OR text ~ 'unseen'", 'who disables triggers is on record');
$t->sql('BEGIN; CREATE ROLE gone; ROLLBACK; CREATE ROLE gone IN ROLE alice; DROP ROLE gone');
recorded(qr/^grant done postgres postgres local 0 role carol made, canlogin: CREATE ROLE\n[^\n]* role carol is called dora now: ALTER ROLE\n[^\n]* role dora changed, password, no superuser: ALTER ROLE\n[^\n]* role alice, bob granted to dora: GRANT ROLE\n[^\n]* role bob revoked from dora: REVOKE ROLE\n[^\n]* role dora is called carol now: ALTER ROLE\n[^\n]* role alice revoked from carol: REVOKE ROLE\n[^\n]* role gone made, as a member of alice: CREATE ROLE\n[^\n]* role gone dropped: DROP ROLE\z/,
	"event = 'grant' AND text ~ '(carol|dora|gone)' AND key IS NULL", 'who changed a role: its name, its password, its memberships');
recorded(qr/^key .*needs_purpose is now t.*\nkey .*needs_purpose is now f/m, "event = 'key' AND text LIKE '%purpose%'", 'who changed a key');
recorded(qr/^key done postgres k .*made.*\nkey done postgres s .*made/m, "event = 'key' AND text LIKE '%made%'", 'who made it');
recorded(qr/^lease done.*a lease begins: file /m, "event = 'lease'", 'the lease');
is(ask('alice', "SET sovereign.purpose = 'copy'", 'COPY (WITH w AS (SELECT n, id FROM p WHERE id IN (SELECT 1)) SELECT w.n::text FROM w JOIN p USING (id) WHERE id = ANY (SELECT 1)) TO STDOUT'), 'Knownword 1', 'COPY of a query');
ask('alice', "SET sovereign.purpose = 'explain'", 'EXPLAIN ANALYZE SELECT n::text FROM (SELECT n FROM p WHERE id = 1) p');
ask('alice', "SET sovereign.purpose = 'keep'", 'CREATE TEMP TABLE mine AS SELECT n::text FROM p WHERE id = 1');
ask('alice', "SET sovereign.purpose = 'cursor'", 'BEGIN; DECLARE c CURSOR FOR SELECT n::text FROM p WHERE id = 1; FETCH c; COMMIT');
ask('alice', "SET sovereign.purpose = 'execute'", 'PREPARE q AS SELECT n::text FROM p WHERE id = 1', 'EXECUTE q');
recorded(qr/open: COPY on public\.p\n.*open: EXPLAIN on public\.p\n.*open: CREATE TABLE AS on public\.p\n.*open: \w+ on public\.p\n.*open: \w+ on public\.p\z/, "purpose IN ('copy', 'explain', 'keep', 'cursor', 'execute') AND event = 'use'", 'from which table, in whatever way');
is(ask('eve', 'SELECT count(*) > 3 FROM audit_since($$-infinity$$)') . ask('eve', 'SELECT count(*) FROM audit_since($$infinity$$)'), 't0', 'from a moment on');
is(ask('eve', 'WITH m AS MATERIALIZED (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY time) AS at FROM audit), a AS (SELECT * FROM audit), s AS (SELECT * FROM audit_since((SELECT at FROM m)))
	SELECT (SELECT count(*) FROM s) BETWEEN 1 AND (SELECT count(*) - 1 FROM a) AND NOT EXISTS (SELECT FROM s WHERE time < (SELECT at FROM m))
	AND NOT EXISTS (SELECT FROM a WHERE time >= (SELECT at FROM m) AND NOT EXISTS (SELECT FROM s WHERE s.time = a.time AND s.text = a.text))'), 't', 'the rows of the view, and no older ones');
for my $where ("time > now() - interval '1 hour'", "time BETWEEN now() - interval '1 hour' AND 'infinity'", "'yesterday' <= time", 'time >= current_date - 1', 'time = (SELECT now())')
{
	like(ask('eve', "EXPLAIN (VERBOSE) SELECT * FROM audit a WHERE $where AND event = 'use'"), qr/audit_since\(/, "WHERE $where: read from there on");
}
for my $where ("a.time < now()", 'a.time > clock_timestamp()', "a.time + interval '1 hour' > now()", "(a.time > now() OR event = 'use')", 'a.time > b.time')
{
	unlike(ask('eve', "EXPLAIN (VERBOSE) SELECT * FROM audit a, (SELECT now() + relpages * interval '1 s' AS time FROM pg_class) b WHERE $where"), qr/audit_since\(/, "WHERE $where: read whole");
}
is(ask('eve', map { "WITH m AS MATERIALIZED (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY time) AS at FROM audit)
	SELECT count(*) > 0 AND count(*) = (SELECT count(*) FROM audit WHERE time + interval '0' $_ (SELECT at FROM m)) FROM audit WHERE time $_ (SELECT at FROM m)" } '>=', '>', '=') =~ s/\s+/ /gr, 't t t', 'with the same entries');
is(ask('eve', "SELECT count(*) FROM audit WHERE time > NULL", "SELECT count(*) > 0 FROM pg_class c LEFT JOIN audit a ON a.text = c.relname AND a.time > now() WHERE c.relname = 'pg_class'") =~ s/\s+/ /gr, '0 t', 'none, and in a join');
is(ask('eve', "PREPARE p(timestamptz) AS SELECT count(*) > 0 FROM audit WHERE time >= \$1", 'SET plan_cache_mode = force_generic_plan', "EXECUTE p('-infinity')", "EXECUTE p('infinity')") =~ s/\s+/ /gr, 't f', 'by a parameter too');
like(ask('bob', 'SELECT * FROM audit_since(now())'), qr/permission denied/, 'which is for auditors too');
is(ask('eve', "SELECT count(*) FROM audit WHERE event = 'use' AND username IN ('alice', 'bob') AND query_id IS NULL AND text LIKE 'open%'"), '0', 'with query ids');
ask('postgres', 'SELECT lock()', 'SELECT unlock()');
recorded(qr/locked.*\n.*unlocked/, "event = 'lease' AND username = 'postgres'", 'who locked and unlocked');
is(system("grep -rlE 'Knownword|Secretliteral' $d/state/audit"), 256, 'no value and no literal is in it');

# --- to the providers, by the server itself: until here no command has run but init ---
sub shippers { my ($pm) = slurp("$data/postmaster.pid") =~ /^(\d+)/; my $ps = `ps -eo pid,ppid,args`; my %up = $ps =~ /^\s*(\d+)\s+(\d+)\s/mg; return grep { ($up{ $up{$_} } // 0) == ($pm // -1) } $ps =~ /^\s*(\d+)\s.*audit ship --follow --for-server/mg; }
sub until_true { my ($what, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; for (1 .. 150) { return pass($name) if $what->(); sleep 0.1; } fail($name); diag(`tail -n 30 $d/data.log`); }
sub batches { my ($p) = @_; return map { s{.*/l/}{}r } grep { !/beat$/ } objects("$d/$p", 'l'); }
sub shipped { my ($key) = @_; return ask('eve', "SELECT count(*) > 0 AND bool_and(seq IS NOT NULL) FROM audit WHERE purpose = '$key'") eq 't' && !glob("$d/state/audit/pending/*") && !glob("$d/state/audit/queue/*"); }
sub logged { my ($re) = @_; return scalar(() = slurp("$d/data.log") =~ /$re/g); }
until_true(sub { shipped('billing') }, 'what sessions did is at the providers, without a command');
until_true(sub { join(' ', batches('a')) eq join(' ', batches('c')) }, 'at each of them');
my ($beat) = grep { /beat$/ } objects("$d/b", 'l');
until_true(sub { my ($then, $n) = (slurp($beat), scalar batches('b')); sleep 1.6; slurp($beat) ne $then && batches('b') == $n }, 'the beat is renewed when there is nothing, which adds no object');
is(scalar(my ($first) = shippers()), 1, 'one process does it');
my $unit = fork();
if ($unit == 0) { open(STDERR, '>', "$d/unit"); open(STDOUT, '>&STDERR'); POSIX::setuid((getpwnam('postgres'))[2]) if $> == 0; exec($t->sov_cmd('audit', 'ship', '--follow')) or POSIX::_exit(99); }
until_true(sub { slurp("$d/unit") =~ /another process brings/ }, 'a second one waits for its turn');
kill KILL => $first;
until_true(sub { my ($again) = shippers(); $again && $again != $first }, 'the one of the server is started again when it was killed');
until_true(sub { logged(qr/another process brings/) }, 'and waits, as the other one has taken over');
ask('alice', "SET sovereign.purpose = 'second'", 'SELECT n::text FROM p LIMIT 1');
until_true(sub { shipped('second') }, 'which ships');
rename "$d/$_", "$d/$_.away" for qw(b c);
kill TERM => $unit;
waitpid($unit, 0);
until_true(sub { logged(qr/the audit log does not reach the providers/) }, 'providers that are away are told');
ask('alice', "SET sovereign.purpose = 'third'", 'SELECT n::text FROM p LIMIT 1');
sleep 2.5;
is(logged(qr/the audit log does not reach the providers/) . logged(qr/reaches the providers again/), '10', 'once');
ok(!shipped('third'), 'nothing is said to be there');
rename "$d/$_.away", "$d/$_" for qw(b c);
until_true(sub { shipped('third') }, 'when they are back it goes there');
until_true(sub { logged(qr/reaches the providers again/) == 1 }, 'and that is told once');
is(logged(qr/the process that brings the audit log to the providers has ended \(signal 9\)/), 1, 'so is the end of the process');
$t->sov_is('a chain is not ended while somebody goes on with it', 6, qr/another process brings the audit log/, 'audit', 'close');
spit($t->conf, slurp($t->conf) =~ s/^beat = 1s/beat = 1h/mr);
until_true(sub { my $now = slurp($beat); sleep 2.2; slurp($beat) eq $now }, 'beats can be rarer than looks');
$t->sql("ALTER SYSTEM SET sovereign.ship_audit = off");
$t->sql('SELECT pg_reload_conf()');
until_true(sub { !shippers() }, 'it can be left to others');

$t->sql("SELECT allow_purpose('k', 'care'), require_purpose('k', false); DELETE FROM key_purpose; SET session_replication_role = replica; DELETE FROM key_grant WHERE role = 'bob'");
$t->sql("SELECT grant_decrypt('k', 'bob')");
recorded(qr/purpose allowed: care: SELECT\n.*purpose forbidden: care: DELETE on .*\n.*revoked from bob: DELETE on .*\n/, "event = 'grant'", 'changes of purposes, and such by other ways than the functions');

# --- the tables of custody and of persons: what is done by hand ---
$t->sql('CREATE TABLE visit (p int, note text)');
$t->sql("CALL encrypt_column('visit', 'note', key => 'k', subject => 'p')");
$t->sql("INSERT INTO visit SELECT i, 'Knownword' FROM generate_series(1, 300) i");
my $custody = "event = 'key' AND text ~ '(person|epoch|database)'";
recorded(qr/^key done postgres postgres local 0 next epoch of persons' keys \S+ added: INSERT on public.subject_next[^\n]*\n.* removed: DELETE on .*\n.* epoch of persons' keys 1 added: INSERT on public.subject_epoch\z/,
	"$custody AND text !~ '^key of'", 'the first key of an epoch is on record, new persons and their groups are not');
$t->sql($_) for "DELETE FROM subject WHERE number & 255 < 3", "BEGIN; UPDATE subject_room SET used = 1; ROLLBACK", "UPDATE subject_room SET used = 1", "UPDATE subject_group SET epoch = 7", "UPDATE subject_group SET epoch = 1",
	"UPDATE subject_epoch SET beside = 'file:/elsewhere'; UPDATE key_domain SET custodian = 'nobody''s', wrapped = wrapped || '\\x00'", "BEGIN; CREATE TABLE kept AS TABLE subject; TRUNCATE subject; INSERT INTO subject TABLE kept; COMMIT";
recorded(qr/ k postgres local 0 6 rows, the first: person \\x[0-9a-f]{32} removed: DELETE on public.subject\n.*free places in group of persons \d+, used is now 1: UPDATE on .*\n.*2 rows, the first: group of persons \d+, epoch is now 7: UPDATE on .*\n.*epoch is now 1: .*\n.*epoch of persons' keys 1, beside is now file:\/elsewhere: UPDATE on .*\n.*key of the database \S+, custodian is now nobody's, wrapped is another: UPDATE on .*\n.*table subject emptied.*\n.*294 rows, the first: person /,
	"$custody OR text ~ 'emptied'", 'changes by hand are, one entry a statement');
$t->sql('UPDATE key_domain SET wrapped = substr(wrapped, 1, length(wrapped) - 1)');
like(ask('postgres', "CREATE SCHEMA forger; CREATE TABLE forger.$_ (LIKE key_grant); CREATE TRIGGER t AFTER INSERT ON forger.$_ FOR EACH ROW EXECUTE FUNCTION audit_change(); INSERT INTO forger.$_ VALUES (1, 'k', 'eve')"),
	qr/ERROR:  it is a trigger of the tables of keys, which table "$_" is not/, "what happens in other tables is not put on record: $_") for qw(key_grant anything);
# rows by a trigger 29 (after insert, update, delete), TRUNCATE by 32, both also where replication writes
is($t->sql("SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'r'
	WHERE d.classid = 'pg_class'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sovereign') AND d.deptype = 'e'
	AND (SELECT array_agg(g.tgtype ORDER BY g.tgtype) FILTER (WHERE g.tgenabled = 'A' AND g.tgqual IS NULL) FROM pg_trigger g
		WHERE g.tgrelid = c.oid AND g.tgfoid = 'audit_change'::regproc) IS DISTINCT FROM '{29,32}'"), 'column_job column_job_stop', 'every table is watched, but those of jobs');

# what would switch the recording off is on record itself, rolled back or not
my $since = $t->sql('SELECT clock_timestamp()');
$t->sql($_) for "BEGIN; ALTER TABLE key_grant DISABLE TRIGGER audit; INSERT INTO key_grant SELECT key_id, 'k', 'eve' FROM key_version WHERE name = 'k'; DELETE FROM key_grant WHERE role = 'eve'; ALTER TABLE key_grant ENABLE ALWAYS TRIGGER audit; COMMIT",
	"BEGIN; DROP TRIGGER guard ON key_grant; ROLLBACK", "DO \$\$ BEGIN EXECUTE 'ALTER TABLE two_person_rule DISABLE TRIGGER ALL'; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END \$\$",
	"BEGIN; CREATE OR REPLACE FUNCTION guard_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; ROLLBACK", "BEGIN; ALTER TABLE erasure RENAME TO gone; ROLLBACK",
	"BEGIN; DROP EXTENSION pg_sovereign CASCADE; ROLLBACK", "CREATE FUNCTION guard_change(int) RETURNS int LANGUAGE sql RETURN 1; DROP FUNCTION guard_change(int)", "ALTER TABLE visit DISABLE TRIGGER ALL; ALTER TABLE visit ENABLE TRIGGER ALL";
recorded(qr/^key begun postgres postgres local 0 a command that changes the table key_grant itself, or its triggers: ALTER TABLE\n.* the table key_grant itself, [^\n]* ALTER TABLE\n.* the table key_grant itself, [^\n]* DROP TRIGGER\n.* the table two_person_rule itself, .*\n.*a command that replaces the function guard_change: .*\n.* the table erasure itself, .*\n.*a command that drops the extension: [^\n]*\z/,
	"text ~ 'a command that' AND time > '$since'", 'commands that would take the triggers and functions away are on record at once, and no others');
$t->sql($_) for "BEGIN; UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'audit'; ROLLBACK", "BEGIN; WITH gone AS (DELETE FROM pg_proc WHERE false RETURNING 1) SELECT count(*) FROM gone; ROLLBACK",
	"CREATE VIEW door AS SELECT * FROM pg_auth_members; DELETE FROM door WHERE false; PREPARE d AS DELETE FROM pg_class WHERE false; EXECUTE d; DROP VIEW door",
	"COPY pg_opfamily FROM PROGRAM 'true'", "COPY pg_proc (proname) TO PROGRAM 'cat >/dev/null'; COPY p FROM PROGRAM 'true'; DELETE FROM p WHERE false; SELECT 1 FROM pg_trigger FOR UPDATE";
recorded(qr/^key begun postgres postgres local 0 a statement that writes into the system catalog pg_trigger[^\n]*\n.* the system catalog pg_proc[^\n]*\n.* catalog pg_auth_members[^\n]*\n.* catalog pg_class[^\n]*\n.* catalog pg_opfamily: COPY[^\n]*\z/,
	"text ~ 'a statement that' AND time > '$since'", 'so are statements that write into system catalogs, in whatever way, and no others');

$t->sql($_) for 'CREATE DATABASE elsewhere', 'CREATE ROLE team ROLE carol; ALTER GROUP team ADD USER bob; ALTER GROUP team DROP USER bob';
is((capture(as("$bin/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'elsewhere', '-c', 'GRANT team TO alice; REVOKE team FROM alice, carol; DROP ROLE team')))[0], '0', '(a database without the extension)');
recorded(qr/role team made, [^\n]*with the member carol: CREATE ROLE\n.*role team changed, with the member bob: .*\n.*role team changed, without the member bob: .*\n.* elsewhere local 0 role team granted to alice: GRANT ROLE\n.*role team revoked from alice, carol: REVOKE ROLE\n.*role team dropped: DROP ROLE\z/,
	"event = 'grant' AND text ~ 'team'", 'so are roles, to which grants are given, from whichever database');
$t->sql('DROP DATABASE elsewhere');

# --- autovacuum is nobody, whatever the functions of a table's owner ask of it ---
$t->sql($_) for "SELECT create_key('bait'), grant_decrypt('bait', 'postgres')", "GRANT CREATE ON SCHEMA public TO alice", "ALTER SYSTEM SET autovacuum_naptime = '1s'", 'SELECT pg_reload_conf()';
ask('alice', "CREATE TABLE stolen (t text); CREATE TABLE bait (n encrypted_text('bait')) WITH (autovacuum_analyze_threshold = 0, autovacuum_analyze_scale_factor = 0)",
	"CREATE FUNCTION steal(text) RETURNS void LANGUAGE sql AS 'INSERT INTO public.stolen VALUES (\$1)'",
	"CREATE FUNCTION leak(encrypted_text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM public.steal(\$1::text); RETURN 1; END'",
	'CREATE INDEX ON bait (leak(n))', "SET sovereign.on_denied = mask", "INSERT INTO bait VALUES ('Knownword of others')");
until_true(sub { $t->sql("SELECT count(*) FROM stolen WHERE t ~ 'Known'") ne '0' || logged(qr/values of key "bait" are not opened on behalf of "alice"/) }, 'autovacuum comes by');
is($t->sql("SELECT string_agg(DISTINCT t, ' ') FROM stolen"), '***', 'and opens nothing that the owner of the table may not');
$t->sql($_) for 'DROP TABLE bait, stolen', "ALTER SYSTEM RESET autovacuum_naptime", 'SELECT pg_reload_conf()';

my $purposes = "DO \$\$ BEGIN FOR i IN 1 .. 300 LOOP PERFORM set_config('sovereign.purpose', 'p' || i, false); PERFORM n::text FROM p WHERE id = 1; END LOOP; END \$\$";
is(ask('alice', $purposes, $purposes, 'SELECT n::text FROM p WHERE id = 2'), 'Knownword 2', 'a session with many purposes');
recorded(qr/^use done alice k p300 postgres local 1 .*\n.*alice k p300 /, "purpose = 'p300'", 'is on record with the last of them, each time');
is(ask('eve', "SELECT count(DISTINCT purpose) FROM audit WHERE purpose ~ '^p[0-9]+\$'"), '300', 'and all others');

# --- a session that is killed, and the worker ---
my $child = background('bob', "SELECT count(n::text), pg_sleep(60) FROM p WHERE id < 4 -- victim");
for (1 .. 200) { last if $t->sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") eq '1'; sleep 0.02; }
my $victim = $t->sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
kill KILL => $victim;
waitpid($child, 0);
again();
recorded(qr/^use (begun|done) bob k postgres local \d open: SELECT on public\.p/, "process = $victim AND event = 'use' AND text LIKE 'open%'", 'a session killed while it reads is on record');
kill STOP => my $worker = worker();
my $pid = (split /\n/, ask('alice', 'SELECT pg_backend_pid()', 'SELECT count(n::text) FROM p WHERE id < 8'))[0];
kill KILL => $worker;
sleep 0.3;
again();
recorded(qr/^use done alice k postgres local 7 /, "process = $pid AND text LIKE 'open%'", 'what the killed worker did not write yet, the next one does');

# --- strict keys ---
is($t->sql("SELECT strict_audit('s'); SELECT strict FROM keys WHERE name = 's'"), "\nhost", 'a strict key');
is(ask('alice', 'SELECT n::text FROM q', 'SELECT n::text FROM q'), "Knownword\nKnownword", 'opens');
recorded(qr/^(use (begun|done) alice s[^\n]*\n?){2,4}\z/, "key = 's' AND username = 'alice'", 'and each statement is on record');
chmod 0500, "$d/state/audit/queue";
my $began = time;
my $said = ask('alice', 'SELECT n::text FROM q', 'SELECT n::text FROM q', 'SELECT count(n::text) FROM p WHERE id < 3', 'SELECT count(n::text) FROM p WHERE id < 3');
like($said, qr/^ERROR:  values of key "s" are opened on record only, and the audit log does not take the entry: could not create audit entry.*Permission denied.*^HINT:/ms, 'without a place for entries it opens nothing');
unlike($said, qr/Knownword/, 'nothing at all');
like($said, qr/^2\n2\n/m, 'other keys do');
is(() = $said =~ /WARNING:  what this session opens may not come to be on record/g, 1, 'and warn, once');
cmp_ok(time - $began, '<', 10, 'without waiting for long');
like(ask('alice', "SET sovereign.on_denied = 'mask'", 'SELECT n::text FROM q'), qr/^\*\*\*$/m, 'a mask instead, where that is wanted');
chmod 0700, "$d/state/audit/queue";
for (1 .. 100) { last if ($said = ask('alice', 'SELECT n::text FROM q')) eq 'Knownword'; sleep 0.1; }
is($said, 'Knownword', 'when there is a place again, it opens again');
recorded(qr/^use refused alice s/m, "key = 's' AND outcome = 'refused'", 'what was refused is on record too');
SKIP:
{
	skip 'a small file system needs root', 5 unless $> == 0 && system("mkdir $d/full && mount -t tmpfs -o size=256k,mode=0777 tmpfs $d/full 2>/dev/null") == 0;
	my $conf = slurp($t->conf);
	spit($t->conf, $conf =~ s{^\[audit\]\n}{$&directory = $d/full/audit\n}mr);
	$t->sql('SELECT pg_reload_conf()');
	for (1 .. 100) { last if ask('alice', 'SELECT n::text FROM q') eq 'Knownword' && -d "$d/full/audit/queue"; sleep 0.1; }
	isnt(scalar(my @there = glob("$d/full/audit/queue/*")), 0, 'the log goes to another disk, which a setting names');
	system("head -c 1000000 /dev/zero > $d/full/filler 2>/dev/null");
	$said = ask('alice', 'SELECT n::text FROM q', 'SELECT count(n::text) FROM p WHERE id < 3');
	like($said, qr/^ERROR:  values of key "s" are opened on record only, [^\n]*could not (create|write) audit entry[^\n]*No space left.*^HINT:/ms, 'when that is full, a strict key opens nothing');
	unlike($said, qr/Knownword/, 'nothing at all');
	like($said, qr/^2$/m, 'other keys do');
	unlink "$d/full/filler";
	for (1 .. 100) { last if ($said = ask('alice', 'SELECT n::text FROM q')) eq 'Knownword'; sleep 0.1; }
	is($said, 'Knownword', 'with room it opens again');
	spit($t->conf, $conf);
	$t->sql('SELECT pg_reload_conf()');
	my @left = glob("$d/state/audit/queue/*");
	for (1 .. 100) { ask('alice', 'SELECT n::text FROM q'); last if @left < (@left = glob("$d/state/audit/queue/*")); sleep 0.1; }
	system("mv $d/full/audit/queue/* $d/state/audit/queue/; umount $d/full");
}
kill STOP => $worker = worker();
like(ask('alice', 'SET statement_timeout = 400', 'SELECT n::text FROM q'), qr/ERROR:  canceling/, 'a strict key waits for a worker that hangs, and can be cancelled');
kill CONT => $worker;
is($t->sql("SELECT strict_audit('s', 'providers'); SELECT strict FROM keys WHERE name = 's'"), "\nproviders", 'at the providers');
like(ask('alice', 'SET statement_timeout = 1500', 'SELECT n::text FROM q'), qr/ERROR:  canceling/, 'nothing opens while nobody ships');
kill TERM => $worker;
for (1 .. 200) { last unless worker(); sleep 0.005; }
my $alone = background('alice', 'SET statement_timeout = 4000; SELECT n::text FROM q');
for (1 .. 60) { last if $t->sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND state = 'active'") eq '1'; }
ask('bob', 'SELECT n::text FROM p WHERE id = 1');	# puts on disk what it finds when it ends
waitpid($alone, 0);
like(slurp("$d/background"), qr/^ERROR:/, 'nor where the process that waits for the providers begins anew meanwhile');
unlike(slurp("$d/background"), qr/Knownword/, 'nothing at all');
my $shipper = fork();
if ($shipper == 0)
{
	open(STDERR, '>', '/dev/null');
	exec(as($t->sov_cmd('audit', 'ship', '--follow'))) or POSIX::_exit(99);
}
is(ask('alice', 'SELECT n::text FROM q'), 'Knownword', 'with somebody who does, it opens');
like($t->sov_ok('audit', 'export'), qr/"outcome":"begun",[^\n]*"user":"alice",[^\n]*"key":"s"[^\n]*\n(?!.*"key":"s")/s, 'and by then the providers have it');
kill TERM => $shipper;
waitpid($shipper, 0);
like(ask('postgres', "SELECT strict_audit('s', 'moon')"), qr/ERROR:  an audit entry cannot be held by "moon"\nHINT:/, 'other places are refused');

# --- break-glass ---
$t->sql("SELECT allow_break_glass('k', 'carol', '1 hour'), allow_purpose('k', 'care')");
like(ask('carol', 'SELECT n::text FROM p LIMIT 1'), qr/ERROR:  user "carol" may not decrypt.*\nHINT:  In an emergency, .*SELECT public\.break_glass\('k', 'reason'\)/, 'whoever may break the glass is told so');
like(ask($_, "SELECT break_glass('k', 'fire')"), qr/ERROR:  (permission denied for function|user "postgres" may not break the glass)/, "$_ may not, superuser or not") for qw(alice postgres);
like(ask('carol', "SELECT break_glass('k', ' ')"), qr/ERROR:  break-glass access needs a reason/, 'not without a reason');
like(ask('carol', "SELECT break_glass('k', 'fire', '2 hours')"), qr/ERROR:  break-glass access to key "k" lasts up to 01:00:00/, 'nor for longer than allowed');
$said = ask('carol', 'SELECT n::text FROM p WHERE id = 1', "SELECT 1 FROM break_glass('k', 'fire in ward 7', '3 s')", 'SELECT count(n::text) FROM p', 'SELECT n::text FROM p WHERE id = 8', 'SELECT count(n::text), count(pg_sleep(0.2)) FROM p WHERE id < 100');
like($said, qr/^1\n1000\nKnownword 8\nERROR:  user "carol" may not decrypt.*ERROR:  user "carol" may not decrypt/s, 'it opens without grant and purpose, and closes by itself, in the middle of a statement');
like(ask('carol', 'SELECT n::text FROM p WHERE id = 1'), qr/ERROR:  user "carol" may not decrypt/, 'for other sessions too');
recorded(qr/^done 0 opened by carol until [^\n]*: fire in ward 7: SELECT\n(begun 0|done 1000) open: SELECT on public\.p\n(?s:.*)done 1 open: SELECT on public\.p\n(?s:.*)failed (1[0-9]|[2-9]) open: SELECT on public\.p\z/, "event = 'break-glass'", 'each statement is on record');
is(ask('carol', "SELECT 1 FROM break_glass('k', 'fire again')", 'SELECT n::text FROM p WHERE id = 1', "SELECT close_break_glass('k')", "SELECT close_break_glass('k')", "SET sovereign.on_denied = 'mask'", 'SELECT n::text FROM p WHERE id = 1'), "1\nKnownword 1\nt\nf\n***", 'it can be closed before');
is(ask('eve', 'SELECT username, key, reason, open, until - opened <= \'1 hour\' FROM break_glass_accesses ORDER BY opened'), "carol|k|fire in ward 7|f|t\ncarol|k|fire again|f|t", 'the auditor sees who and why');
ask('carol', "BEGIN; SELECT break_glass('k', 'and away'); SELECT n::text FROM p WHERE id = 1; ROLLBACK");
recorded(qr/: and away: SELECT\n(?s:.*)failed 1 open/, "event = 'break-glass'", 'on record also where the transaction is rolled back');
ask('carol', "SELECT 1 FROM break_glass('k', 'several in one message')", 'SELECT count(*) FROM q; SELECT n::text FROM p WHERE id = 1; SELECT n::text FROM p p2 WHERE id = 2', "SELECT close_break_glass('k')");
recorded(qr/: several in one message: SELECT\n(?s:.*)done 1 open: SELECT on public\.p\n(?s:.*)done 1 open: SELECT on public\.p\n/, "event = 'break-glass'", 'each statement of a message has its entry');
$t->sql("SELECT forbid_break_glass('k', 'carol'); DELETE FROM key_purpose; SELECT require_purpose('k', false)");
like(ask('carol', "SELECT break_glass('k', 'fire')"), qr/ERROR:  permission denied for function break_glass/, 'forbidden again');

# --- the document on rights: each block, by whom it says ---
$t->sql("CREATE ROLE $_") for qw(care oncall dpo analyst);
$t->sql("CREATE ROLE $_->[0] LOGIN IN ROLE $_->[1]") for ['anna', 'care'], ['paul', 'dpo'];
$t->sql("GRANT oncall TO carol; SELECT create_key('patients'); CREATE TABLE patient (id int, name encrypted_text('patients')); INSERT INTO patient VALUES (1, 'Knownword'); GRANT SELECT ON patient TO PUBLIC");
my $last;
for my $block (slurp('extension/doc/rights.md') =~ /^```sql\n(.*?)^```/gms)
{
	my ($who) = $block =~ /^-- (\w+)/ or die "who runs this? $block";
	unlike($last = ask($who, split(/;[^\n]*\n/, $block)), qr/ERROR/, "$who: " . ($block =~ /^([a-zA-Z].*?);/m)[0]) or diag $last;
}
is($last, '', 'what two agreed to is done');
like(ask('postgres', "UPDATE key_glass SET until = 'infinity' WHERE username = 'carol'"), qr/ERROR:  two persons must agree to this: grant, key \w+, break-glass by carol/, 'nobody makes an access longer');
is(ask('eve', "SELECT string_agg(state, ' ') FROM approvals"), 'carried out', 'and the request is used up');
recorded(qr/asked for by postgres.*\n.*approved by paul.*\n.*carried out/, "event = 'approval' AND key = 'patients'", 'each step is on record');
like(ask('postgres', "SELECT drop_key('patients')"), qr/ERROR:  key "patients" is in use/, 'no more than that');
is(ask('carol', "SELECT 1 FROM break_glass('patients', 'under a rule')", 'SELECT name::text FROM patient', "SELECT close_break_glass('patients')"), "1\nKnownword\nt", 'break-glass waits for nobody');
like(ask('postgres', "INSERT INTO key_glass SELECT key_id, 'patients', $_->[0], 'none', now() - interval '1 s', now() + interval '$_->[1]', $_->[2]::regrole FROM key_version WHERE name = 'patients'"),
	qr/ERROR:  two persons must agree to this: grant, key patients, break-glass by /, "but by nobody's hand for $_->[0]") for ["'postgres'", '1 hour', "'postgres'"], ["'carol'", '1 hour', "'carol'"];

# --- no room ---
$t->restart($data, '-c sovereign.audit_buffer=4kB');
kill STOP => $worker = worker();
ask('carol', "SELECT set_config('sovereign.purpose', repeat('x', 190), false)", ('SELECT n::text FROM p LIMIT 1') x 17);
kill CONT => $worker;
recorded(qr/^lost failed server 0 \d+ entries lost/m, "event = 'lost'", 'entries that had no room are counted');
my $lost = ask('eve', "SELECT sum(substring(text FROM '^\\d+')::int) FROM audit WHERE event = 'lost'");
is($lost + ask('eve', "SELECT count(*) FROM audit WHERE username = 'carol' AND purpose ~ '^x'"), 17, 'every one of them');

# --- the whole of it ---
$t->restart($data);
$pid = (split /\n/, ask('bob', 'SELECT pg_backend_pid()', 'SELECT count(n::text) FROM p WHERE id < 4'))[0];
$t->sql("ALTER SYSTEM RESET sovereign.ship_audit");
$t->sql('SELECT pg_reload_conf()');
until_true(sub { scalar shippers() }, 'or taken up again');
is(ask('alice', 'SELECT n::text FROM q'), 'Knownword', 'a key that is strict at the providers opens by that');
my @left = shippers();
$t->stop($data, 'fast');
is(scalar(grep { kill 0, $_ } @left), 0, 'and ends with the server');
$t->sov_ok('audit', 'ship');
my ($status, $out) = $t->sov('audit', 'export');
like($out, qr/"event":"use","outcome":"done","process":$pid,"user":"bob",[^\n]*"key":"k",[^\n]*"opened":3,/, 'what was in memory when the server stopped is in the log');
unlike($out, qr/Knownword|Secretliteral/, 'which has no value and no literal');
$t->sov_is('the log is whole', 0, qr/: whole/, 'audit', 'verify');
system("cp -a $d/state/audit $d/audit");
my $local = slurp("$d/state/audit/log");
substr($local, 0, 4 + unpack('V', $local) + 32) = '';
spit("$d/state/audit/log", $local);
$t->sov_is('an entry that somebody with all rights here removed is missed', 5, qr/WRONG: /, 'audit', 'verify');
system("rm -r $d/state/audit; mv $d/audit $d/state/audit; rm $d/state/audit/log $d/state/audit/chain.key");
$t->sov_ok('audit', 'ship');
$t->sov_is('so is a whole log', 5, qr/WRONG: /, 'audit', 'verify');

# --- without preloading ---
$t->start($data, "-c shared_preload_libraries=''");
is(ask('alice', $purposes, 'SELECT count(n::text) FROM p'), '1000', 'without preloading sessions are not on record');
like(ask('alice', 'SELECT n::text FROM q'), qr/ERROR:  values of key "s" are opened on record only, and sessions are on record only where pg_sovereign is preloaded\nHINT:/, 'and strict keys open nothing');

# --- a long log: what was read is not kept ---
my $log = slurp("$d/state/audit/log");
spit("$d/state/audit/log", $log x (20_000_000 / length $log));
like(ask('postgres', 'SELECT count(*) > 50000 FROM audit', "SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\\s*(\\d+)')::int < 200000"), qr/^t\nt\z/, 'reading 20 MB of log takes less memory than it did');

done_testing();
