# Without a key: maintenance, dump and restore, logical replication, a standby and
# pg_upgrade move the same bytes, and the key opens them afterwards.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
my $data = $t->start_new(conf => "wal_level = logical\nautovacuum_naptime = 1\nlog_min_messages = warning\n");

sub conn { my ($db, $port) = @_; return ('-h', $d, '-p', $port || $t->{port}, '-U', 'postgres', '-d', $db); }
sub run { my ($status, $out, $err) = capture(as(@_)); return ($status, $out, $err); }
sub ask
{
	my ($db, $sql, $port) = @_;
	my ($status, $out, $err) = run("$bin/psql", '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', conn($db, $port), '-c', $sql);
	chomp $out;
	return $status eq '0' ? $out : $err;
}
sub until_is
{
	my ($db, $sql, $want, $port) = @_;
	my $got = '';
	for (1 .. 300) { $got = ask($db, $sql, $port); last if $got eq $want; sleep 0.1; }
	return $got;
}
sub key
{
	my ($there) = @_;
	rename($there ? "$d/root.key.away" : "$d/root.key", $there ? "$d/root.key" : "$d/root.key.away") or die;
	ask('postgres', 'ALTER SYSTEM ' . ($there ? 'RESET' : 'SET') . ' sovereign.config_file' . ($there ? '' : " = '$d/sov.conf'"));
	ask('postgres', 'SELECT pg_reload_conf()');
}

my $table = "CREATE TABLE p (id int PRIMARY KEY, nir SCHEMA.encrypted_text('k', 'searchable') UNIQUE, name SCHEMA.encrypted_text('k'), n SCHEMA.encrypted_int4('k', 'searchable'), born SCHEMA.encrypted_date('k'))";
my $bytes = "SELECT md5(string_agg(concat(id, SCHEMA.encrypted_text_out(nir), SCHEMA.encrypted_text_out(name), SCHEMA.encrypted_int4_out(n), SCHEMA.encrypted_date_out(born)), ',' ORDER BY id)) FROM p";
my $plain = "SELECT md5(string_agg(concat_ws('|', id, nir::text, name::text, n::int, born::date), ',' ORDER BY id)) FROM p";
sub in { my ($schema, $sql) = @_; return $sql =~ s/SCHEMA/$schema/gr; }

ask('postgres', "CREATE SCHEMA s; CREATE EXTENSION pg_sovereign SCHEMA s; CREATE EXTENSION amcheck; SELECT s.create_key('k')");
ask('postgres', in('s', $table));
ask('postgres', "INSERT INTO p SELECT i, 'nir' || i, 'name' || i, i % 50, date '2000-01-01' + i FROM generate_series(1, 2000) i; CREATE INDEX ON p (n); CREATE INDEX ON p USING hash (nir)");
ask('postgres', "CREATE VIEW v AS SELECT id FROM p WHERE nir = 'nir7'; ALTER TABLE p ALTER name SET DEFAULT 'unknown', ADD CHECK (nir <> 'forbidden')");
my $stored = ask('postgres', in('s', $bytes));
my $content = ask('postgres', $plain);
like($content, qr/^[0-9a-f]{32}$/, 'with the key: read');

# --- the key is gone ---
key(0);
$t->stop($data, 'fast');
$t->start($data);
like(ask('postgres', 'SELECT name FROM p WHERE id = 1'), qr/ERROR.*root\.key.*hint/is, 'without the key a client is told what is missing');
like(ask('postgres', 'SET sovereign.on_denied = ciphertext; SELECT name FROM p WHERE id = 1'), qr/^sov1:/, 'or gets ciphertext');
like(ask('postgres', 'SET sovereign.native_results = off; SELECT n, born FROM p WHERE id = 1'), qr/^sov1:.*\|sov1:/, 'of every type');
for my $no ("INSERT INTO p (id, nir) VALUES (9001, 'plaintext')", "UPDATE p SET name = 'plaintext' WHERE id = 1", "INSERT INTO p (id, n) VALUES (9002, 5)",
	"SET sovereign.input = ciphertext; INSERT INTO p (id, nir) VALUES (9003, 'plaintext')", "SET sovereign.input = ciphertext; INSERT INTO p (id, nir) VALUES (9003, 'sov1:AAAA')")
{
	like(ask('postgres', $no), qr/ERROR/, "no plaintext goes in: $no");
}
is(ask('postgres', in('s', $bytes)), $stored, 'nothing has changed');

# --- maintenance ---
for my $do ('DELETE FROM p WHERE id > 1990', 'VACUUM p', 'VACUUM FULL p', 'ANALYZE p', 'REINDEX TABLE p', 'CLUSTER p USING p_nir_key', 'CREATE INDEX again ON p (nir)', 'DROP INDEX again')
{
	is(ask('postgres', $do), '', $do);
}
$stored = ask('postgres', in('s', $bytes));
my ($status, $out, $err) = run("$bin/pg_amcheck", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '--heapallindexed', '--rootdescend', '-t', 'p', 'postgres');
is($status, 0, 'pg_amcheck finds heap and indexes whole') or diag "$out$err";
is(ask('postgres', 'DELETE FROM p WHERE id > 1400; SELECT 1'), '1', 'work for autovacuum');
cmp_ok(until_is('postgres', "SELECT (autovacuum_count > 0)::text FROM pg_stat_user_tables WHERE relname = 'p'", 'true'), 'eq', 'true', 'autovacuum runs');
unlike(slurp("$data.log") =~ s/^.*ERROR:.*(root key|plaintext|encrypt).*$//gmr, qr/ERROR.*automatic/i, 'without errors');
$stored = ask('postgres', in('s', $bytes));

# --- dump and restore: all of it, and data alone into another schema's extension ---
run("$bin/pg_dump", conn('postgres'), '-f', "$d/dump.sql");
run("$bin/pg_dump", conn('postgres'), '-Fc', '-f', "$d/dump.custom");
run("$bin/pg_dump", conn('postgres'), '-a', '-t', 'p', '-t', 's.key_domain', '-t', 's.key_version', '-f', "$d/data.sql");
run("$bin/createdb", '-h', $d, '-p', $t->{port}, '-U', 'postgres', $_) for qw(plain custom other);
my @env = ('env', 'PGOPTIONS=-c sovereign.input=ciphertext');
($status, $out, $err) = run(@env, "$bin/psql", '-X', '-q', '-v', 'ON_ERROR_STOP=1', conn('plain'), '-f', "$d/dump.sql");
is($status, 0, 'a plain dump is restored') or diag $err;
($status, $out, $err) = run(@env, "$bin/pg_restore", conn('custom'), "$d/dump.custom");
is($status, 0, 'a custom dump is restored') or diag $err;
ask('other', 'CREATE SCHEMA elsewhere; CREATE EXTENSION pg_sovereign SCHEMA elsewhere');
ask('other', in('elsewhere', $table));
spit("$d/data.sql", slurp("$d/data.sql") =~ s/COPY s\.key/COPY elsewhere.key/gr);
chmod 0644, "$d/data.sql";
($status, $out, $err) = run(@env, "$bin/psql", '-X', '-q', '-v', 'ON_ERROR_STOP=1', conn('other'), '-f', "$d/data.sql");
is($status, 0, 'data go where the extension is in another schema') or diag $err;
is(ask($_->[0], in($_->[1], $bytes)), $stored, "$_->[0]: the same bytes") for ['plain', 's'], ['custom', 's'], ['other', 'elsewhere'];
for my $as (qw(inserts column-inserts))
{
	run("$bin/pg_dump", conn('postgres'), "--$as", '-f', "$d/$as.sql");
	unlike(slurp("$d/$as.sql"), qr/INSERT INTO public\.p .*VALUES \(\d+, '(?!sov1:)/, "--$as: no plaintext");
	(my $db = $as) =~ s/-/_/;
	run("$bin/createdb", '-h', $d, '-p', $t->{port}, '-U', 'postgres', $db);
	($status, $out, $err) = run(@env, "$bin/psql", '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', conn($db), '-f', "$d/$as.sql");
	is($status, 0, "a dump with --$as is restored") or diag $err;
	is(ask($db, in('s', $bytes)), $stored, "$as: the same bytes");
	ask('postgres', "DROP DATABASE $db");
}
($status, $out, $err) = run("$bin/psql", '-X', '-q', '-1', conn('plain'), '-c', 'TRUNCATE p', '-f', "$d/data.sql");
like($err, qr/encrypted already.*sovereign\.input = ciphertext/s, 'a dump restored without saying so is refused, not encrypted twice');

# --- logical replication, both sides without the key ---
run("$bin/createdb", '-h', $d, '-p', $t->{port}, '-U', 'postgres', 'subscriber');
ask('subscriber', 'CREATE SCHEMA t; CREATE EXTENSION pg_sovereign SCHEMA t; ALTER DATABASE subscriber SET sovereign.input = ciphertext');
ask('subscriber', in('t', $table));
# (of a table without a key of its own the subscriber looks for whole rows)
ask('postgres', "CREATE TABLE whole AS SELECT name, n, id FROM p WHERE id < 20; ALTER TABLE whole REPLICA IDENTITY FULL");
my $whole = "SELECT md5(string_agg(concat(id, SCHEMA.encrypted_text_out(name), SCHEMA.encrypted_int4_out(n)), ',' ORDER BY id)) FROM whole";
ask('subscriber', "CREATE TABLE whole (name t.encrypted_text, n t.encrypted_int4, id int)");
ask('postgres', "CREATE PUBLICATION pub FOR TABLE p, whole");
ask('postgres', "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')");
is(ask('subscriber', "CREATE SUBSCRIPTION sub CONNECTION 'host=$d port=$t->{port} user=postgres dbname=postgres' PUBLICATION pub WITH (create_slot = false, slot_name = sub)"), '', 'a subscription');
is(until_is('subscriber', 'SELECT count(*) FROM p', ask('postgres', 'SELECT count(*) FROM p')), ask('postgres', 'SELECT count(*) FROM p'), 'the table is copied');
ask('postgres', 'DELETE FROM p WHERE id BETWEEN 50 AND 60; UPDATE p SET id = id + 100000 WHERE id BETWEEN 70 AND 75; UPDATE p SET n = (SELECT n FROM p WHERE id = 3) WHERE id = 2');
$stored = ask('postgres', in('s', $bytes));
is(until_is('subscriber', in('t', $bytes), $stored), $stored, 'changes come: the same bytes');
ask('postgres', 'UPDATE whole SET name = (SELECT name FROM p WHERE id = 30) WHERE id = 7; DELETE FROM whole WHERE id IN (3, 9)');
is(until_is('subscriber', in('t', $whole), ask('postgres', in('s', $whole))), ask('postgres', in('s', $whole)), 'with REPLICA IDENTITY FULL too');
ask('subscriber', 'ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub');
ask('postgres', "SELECT pg_drop_replication_slot('sub')");
run(@env, "$bin/psql", '-X', '-q', conn('subscriber'), '-c', "\\copy t.key_domain from program '$bin/psql -X -At -h $d -p $t->{port} -U postgres postgres -c \"copy s.key_domain to stdout\"'",
	'-c', "\\copy t.key_version from program '$bin/psql -X -At -h $d -p $t->{port} -U postgres postgres -c \"copy s.key_version to stdout\"'");

# --- a physical standby ---
my $port2 = SovTest::free_port();
($status, $out, $err) = run("$bin/pg_basebackup", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-D', "$d/standby", '-R', '-X', 'stream', '-c', 'fast');
is($status, 0, 'a standby') or diag $err;
run('sh', '-c', "printf 'port = $port2\\narchive_mode = off\\n' >> $d/standby/postgresql.conf");
run("$bin/pg_ctl", '-D', "$d/standby", '-l', "$d/standby.log", '-w', 'start');
$t->{clusters}{"$d/standby"} = 1;
is(until_is('postgres', in('s', $bytes), $stored, $port2), $stored, 'the standby has the same bytes');
like(ask('postgres', 'SELECT name FROM p WHERE id = 1', $port2), qr/ERROR/, 'and no plaintext');

# --- the key is back ---
key(1);
sleep 0.5;
$content = ask('postgres', $plain);
like($content, qr/^[0-9a-f]{32}$/, 'with the key: read again');
is(ask($_, $plain), $content, "$_: reads the same") for 'subscriber';
is(ask($_, 'SELECT count(*) FROM v'), '1', "$_: the view's constant is right") for 'plain', 'custom';
like(ask('other', 'SELECT name FROM p WHERE id = 1'), qr/^name1$/, 'so does the other schema');
run("$bin/pg_ctl", '-D', "$d/standby", 'reload');
is(until_is('postgres', $plain, $content, $port2), $content, 'the standby reads with the key');
is(ask('postgres', "SELECT id FROM p WHERE nir = 'nir7'", $port2), '7', 'by its index');
$t->stop("$d/standby", 'fast');

# --- pg_upgrade, without the key ---
key(0);
$t->stop($data, 'fast');
run("$bin/initdb", '-D', "$d/new", '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--data-checksums', '--no-sync');
run('sh', '-c', "grep -E '^(sovereign|unix_socket|listen)' $data/postgresql.conf >> $d/new/postgresql.conf; mkdir $d/up");
($status, $out, $err) = run('sh', '-c', "cd $d/up && $bin/pg_upgrade -b $bin -B $bin -d $data -D $d/new -U postgres -s $d -p $t->{port} -P $port2 --link");
is($status, 0, 'pg_upgrade needs no key') or diag $out, $err, map { slurp($_) } glob("$d/new/pg_upgrade_output.d/*/log/*");
rename("$d/root.key.away", "$d/root.key");
run("$bin/pg_ctl", '-D', "$d/new", '-o', "-p $t->{port}", '-l', "$d/new.log", '-w', 'start');
$t->{clusters}{"$d/new"} = 1;
is(ask('postgres', in('s', $bytes)), $stored, 'the same bytes');
is(ask('postgres', $plain), $content, 'and the same content');
is(ask('postgres', "SELECT count(*) FROM v"), '1', 'constants too');
done_testing();
