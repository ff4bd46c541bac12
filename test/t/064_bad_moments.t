# Columns at bad moments: sessions cancelled, terminated and killed while they seal and
# open, no memory, very large values, values of another database, and definitions that
# would pull the ground away.
use strict;
use warnings;
use Test::More;
use SovTest;
use Time::HiRes qw(sleep);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $data = $t->start_new(conf => "fsync = off\narchive_mode = off\nmax_wal_size = 4GB\n");
my @psql = ("$t->{bindir}/psql", '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-h', $d, '-p', $t->{port}, '-U', 'postgres');
sub says { my ($sql, $db) = @_; my ($status, $out, $err) = capture(as(@psql, '-d', $db || 'postgres', '-c', $sql)); return "$out$err"; }

$t->sql('CREATE SCHEMA sov; CREATE EXTENSION pg_sovereign SCHEMA sov');
$t->sql("SELECT sov.create_key('k')");
$t->sql("CREATE TABLE t (i int, v sov.encrypted_text('k'), s sov.encrypted_text('k', 'searchable'))");
$t->sql("INSERT INTO t SELECT i, 'value ' || i, 's' || i FROM generate_series(1, 1000) i");
my $whole = "SELECT count(*) || ' ' || sum(i) FROM t WHERE v = 'value ' || i AND s = 's' || i";
my $want = '1000 500500';

# --- cancelled, terminated, killed ---
my @work = ("DO \$\$ BEGIN FOR i IN 1 .. 100000 LOOP UPDATE t SET v = v::text || '', s = s::text || ''; END LOOP; END \$\$",
	"INSERT INTO t SELECT i, 'new ' || i, 'new ' || i FROM generate_series(1, 5000000) i",
	"SELECT max(v || s) FROM t, generate_series(1, 100000) g");
for my $how (qw(pg_cancel_backend pg_terminate_backend KILL))
{
	for my $n (0 .. $#work)
	{
		my $pid = fork();
		if ($pid == 0)
		{
			open(STDOUT, '>', '/dev/null');
			open(STDERR, '>', "$d/work.err");
			exec(as('env', "PGAPPNAME=work", @psql, '-d', 'postgres', '-c', $work[$n])) or POSIX::_exit(99);
		}
		my $backend = '';
		for (1 .. 200) { last if ($backend = $t->sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'work' AND backend_type = 'client backend' AND state = 'active' AND now() - query_start > interval '0.2 s'")) ne ''; sleep 0.02; }
		if ($how eq 'KILL') { kill 'KILL', $backend if $backend; }
		elsif ($backend) { $t->sql("SELECT $how($backend)"); }
		waitpid($pid, 0);
		isnt($?, 0, "$how ends statement $n") or diag $backend;
		for (1 .. 300) { last if $t->sql('SELECT 1', nofail => 1) eq '1'; sleep 0.1; }
	}
	is($t->sql($whole), $want, "$how: what was committed is whole, and opens");
}

# --- large ---
is($t->sql("INSERT INTO t SELECT 0, repeat('0123456789', 10000000), 'large'; SELECT length(v) || ' ' || md5(v) FROM t WHERE i = 0"),
	'100000000 ' . $t->sql("SELECT md5(repeat('0123456789', 10000000))"), 'a value of 100 MB');
$t->sql("CREATE TABLE b (v sov.encrypted_bytea('k'))");
is($t->sql("INSERT INTO b SELECT string_agg(sha512(i::text::bytea), '') FROM generate_series(1, 1600000) i; SELECT length(v) FROM b"), 102400000, 'and one that does not compress');
like(says("INSERT INTO t SELECT 0, string_agg(v, '') || (SELECT v FROM t WHERE i = 0), 'x' FROM (SELECT v FROM t, generate_series(1, 12) WHERE i = 0) x"), qr/ERROR:  (out of memory|invalid memory alloc|.*exceed|.*too large|.*enlarge)/s, 'what is too large for the server is an error');
is($t->sql($whole), $want, 'and the session goes on');

# --- another database, with a key of the same name ---
$t->sql('CREATE DATABASE other');
says("CREATE SCHEMA sov; CREATE EXTENSION pg_sovereign SCHEMA sov; SELECT sov.create_key('k'); CREATE TABLE t (i int, v sov.encrypted_text('k'))", 'other');
my $stored = $t->sql("SET sovereign.native_results = off; SELECT v FROM t WHERE i = 1");
like($stored, qr/^sov1:/, 'a stored value');
like(says("SET sovereign.input = ciphertext; INSERT INTO t VALUES (1, '$stored'); SELECT v FROM t", 'other'), qr/ERROR:  .*key.*\n/, 'is not opened in another database');

# --- definitions ---
like(says('DROP EXTENSION pg_sovereign'), qr/ERROR:  cannot drop extension pg_sovereign because other objects depend on it\nDETAIL:.*column v of table t/s, 'the extension stays while columns use it');
like(says('DROP TYPE sov.encrypted_text'), qr/ERROR:  cannot drop type sov.encrypted_text because extension pg_sovereign requires it/, 'the type is the extension\'s');
like(says("SELECT sov.drop_key('k')"), qr/ERROR:  .*\n.*(HINT|DETAIL):/s, 'a key in use stays');
says('ALTER TYPE sov.encrypted_text SET (STORAGE = plain)');
is($t->sql($whole), $want, 'whatever ALTER TYPE may do, values open');
says('ALTER TYPE sov.encrypted_text SET (STORAGE = external)');

# --- no memory that can be locked, little memory at all ---
$t->stop($data, 'fast');
my ($status, $out, $err) = capture(as('sh', '-c', 'ulimit -l 0; exec "$@"', 'sh', "$t->{bindir}/pg_ctl", '-D', $data, '-l', "$data.log", '-w', 'start'));
is($status, 0, 'a server that may not lock memory starts') or diag "$out$err";
$t->{clusters}{$data} = 1;
my $said = says($whole);
SKIP: {
	skip 'this user may lock memory whatever the limit says', 1 if $said =~ /^1000 500500/;
	like($said, qr/ERROR:  .*lock.*memory.*\nHINT:  /s, 'and says that it cannot keep a key') or diag $said;
}
$t->stop($data, 'fast');
done_testing();
