# pg_upgrade with encrypted columns, from PG_CONFIG's server to NEW_PG_CONFIG's, without
# a key at either side: the same bytes, decryptable afterwards; the repository goes on, and
# what was backed up before is restored by the old server.  Both have the extension.  test/versions.sh runs it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t";
use Test::More;
use Time::HiRes qw(sleep);
use SovTest;

my $new_config = $ENV{NEW_PG_CONFIG} or plan skip_all => 'NEW_PG_CONFIG names no newer server';
chomp(my $new = `$new_config --bindir`);
plan skip_all => "there is no server in \"$new\"" unless -x "$new/postgres" && -x "$new/pg_upgrade";
plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my ($d, $old) = ($t->dir, $t->{bindir});
$t->sov_ok('init');
my $data = $t->start_new;
$t->sql("CREATE SCHEMA sov; CREATE EXTENSION pg_sovereign SCHEMA sov; SELECT sov.create_key('k'), sov.create_key('other')");
$t->sql(<<'SQL');
CREATE TABLE patient (id int PRIMARY KEY, nir sov.encrypted_text('k', 'searchable') UNIQUE,
	name sov.encrypted_text('k') DEFAULT 'nobody', birth sov.encrypted_date('other'), notes sov.encrypted_jsonb('k'));
INSERT INTO patient SELECT i, 'nir' || i, 'name' || i, date '1950-01-01' + i, jsonb_build_object('n', i) FROM generate_series(1, 2000) i;
INSERT INTO patient (id, nir, name) VALUES (3001, '', NULL);
CREATE TABLE stay (nir sov.encrypted_text('other', 'searchable') REFERENCES patient (nir), entered sov.encrypted_timestamptz('k'));
INSERT INTO stay SELECT 'nir' || i, '2020-01-01Z' FROM generate_series(1, 100) i;
CREATE VIEW adults AS SELECT id, name FROM patient WHERE birth < '1955-01-01';
SQL
$t->sql("CALL sov.rotate_key('k')");
$t->sql("INSERT INTO patient SELECT i, 'nir' || i, 'later' FROM generate_series(4001, 4010) i");
my $sum = q{SELECT count(*), md5(string_agg(concat_ws('|', p.id, nir::text, name::text, birth::text, notes::text), ',' ORDER BY p.id)) FROM patient p};
my $raw = 'COPY patient TO STDOUT';	# what is stored
my ($before, $stored) = ($t->sql($sum), $t->sql($raw));
$t->sov_ok('backup');
ok($t->archive(60), 'the old server is backed up and archives');
$t->stop($data, 'fast');

# --- pg_upgrade, without a key ---
rename $data, "$d/old" or die;
run_as("$new/initdb", '-D', $data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', '--data-checksums');
my $lines = slurp("$d/old/postgresql.conf");
spit("$d/old/postgresql.conf", $lines =~ s/^(archive_|sovereign\.).*\n//mgr);
run_as('mkdir', "$d/run");
my ($s, $o, $e) = capture(as('sh', '-c', "cd '$d/run' && exec '$new/pg_upgrade' -b '$old' -B '$new' -d '$d/old' -D '$data' -U postgres -p $t->{port} -P " . SovTest::free_port() . " -s '$d' -j 2"));
is($s, 0, 'pg_upgrade') or diag "$o$e";
open(my $fh, '>>', "$data/postgresql.conf") or die;
print $fh $lines =~ /^(port = .*\n|listen_addresses.*\n|unix_socket_dir.*\n|archive_mode.*\n|archive_library.*\n|sovereign\..*\n)/mg;
close $fh;
$t->{bindir} = $new;
$t->start($data);

# --- the same ---
is($t->sql($sum), $before, 'every value is read as before');
ok($t->sql($raw) eq $stored && $stored !~ /nir77/, 'and not a byte of them has changed');
is($t->sql("SELECT id FROM patient WHERE nir = 'nir77'"), '77', 'found by value');
like($t->sql("EXPLAIN SELECT id FROM patient WHERE nir = 'nir77'"), qr/Index Scan using patient_nir_key/, 'with an index');
is($t->sql("SELECT count(*) FROM stay JOIN patient USING (nir)"), '100', 'joined across keys');
is($t->sql("SELECT count(*) FROM adults"), $t->sql("SELECT count(*) FROM patient WHERE birth < '1955-01-01'"), 'a view');
is($t->sql("INSERT INTO patient (id, nir) VALUES (5001, 'new') RETURNING name"), 'nobody', 'a default');
is($t->sql("INSERT INTO patient (id, nir) VALUES (5002, 'nir5') ON CONFLICT (nir) DO NOTHING RETURNING id"), '', 'UNIQUE still holds');
$t->sql("CALL sov.rotate_key('other')");
is($t->sql('SELECT count(*) FROM patient JOIN stay USING (nir) WHERE birth::date > date \'1950-01-01\''), '100', 'keys rotate');
$t->sql('CREATE EXTENSION amcheck');
is($t->sql("SELECT count(bt_index_check(c.oid, true)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relnamespace = 'public'::regnamespace") > 0, 1, 'indexes are sound');

# --- the repository goes on, when it is told to ---
$t->sql('SELECT pg_switch_wal()');
ok($t->wait_log("$data.log", qr/belongs to the cluster with system identifier .*HINT:  .*'pg_sovereign upgrade'/s), 'it refuses the WAL, and says what to do');
my ($v_old, $v_new) = map { (`$_/postgres --version` =~ /(\d+)/)[0] } $old, $new;
my $told = run_as("$new/pg_sovereign", '-c', $t->conf, 'upgrade');
like($told, qr/goes on with cluster \d+, PostgreSQL $v_new\n.*restored with the programs of PostgreSQL $v_old\n/s, 'upgrade');
$t->sql('CREATE TABLE later ()');
ok($t->archive(90), 'then it takes it');
like(run_as("$new/pg_sovereign", '-c', $t->conf, 'backup'), qr/^backup /m, 'and backups');
is($t->sql($sum . " WHERE p.id < 5000"), $before, 'with the same keys');
my $after = $t->sql($sum);
like(run_as("$new/pg_sovereign", '-c', $t->conf, 'list'), qr/\(PostgreSQL $v_old, before the upgrade\)/, 'the backup of before is listed, with its version');
$t->stop($data, 'fast');
run_as("$new/pg_sovereign", '-c', $t->conf, 'restore', '-D', "$d/n");
$t->start("$d/n");
is($t->sql($sum), $after, 'the new cluster is restored');
$t->stop("$d/n", 'fast');
$t->{bindir} = $old;
my ($id) = $t->sov_ok('list', '--json') =~ /"backup": "([^"]+)"/;
like($t->sov_ok('restore', '-D', "$d/r", '--backup', $id), qr/needs the programs of PostgreSQL $v_old/, 'and what was there before');
$t->start("$d/r");
is($t->sql($sum), $before, 'by the old server');
done_testing();
