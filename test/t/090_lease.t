# Keys on loan in a preloaded server: taken away by lock(), by a custodian that says no
# or cannot be reached, by the end of the worker; given back without a restart; on a
# standby; and nowhere in memory afterwards.
use strict;
use warnings;
use MIME::Base64;
use Test::More;
use SovTest;
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
my $root = "$d/root.key";
# The command that the server runs: it counts its calls, and can be slow, silly or dead.
spit("$d/custody", "#!/bin/sh\ncase \"\$*\" in *custody-call*) echo call >> $d/calls ;; esac\n. $d/mood\nexec '" . SovTest::command() . "' \"\$\@\"\n");
spit("$d/mood", "");
spit("$d/calls", "");
chmod 0755, "$d/custody";
chmod 0644, "$d/mood";
chmod 0666, "$d/calls";
my $conf = slurp($t->conf);
sub lease { my ($lease, $renew) = @_; spit($t->conf, $conf =~ s/(root = .*)/$1\nlease = $lease\nrenew = $renew/r); }
lease('1h', '10min');
my $data = $t->start_new(conf => <<CONF);
shared_preload_libraries = 'pg_sovereign'
sovereign.command = '$d/custody'
sovereign.shared_keys = 8
shared_buffers = 16MB
max_connections = 530
fsync = off
jit = off
archive_mode = off
hot_standby = on
CONF
my $log = "$data.log";

# Standard output and error of one session with these statements.
sub ask
{
	my ($sql, $port, $user) = @_;
	my (undef, $out, $err) = capture(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $port || $t->{port}, '-U', $user || 'postgres', '-d', 'postgres', map { ('-c', $_) } ref $sql ? @$sql : $sql));
	chomp(my $both = "$out$err");
	return $both;
}
# Ask until it answers so; seconds that it took, or undef.
sub becomes
{
	my ($re, $sql, $seconds) = @_;
	my $start = time;
	while (time < $start + $seconds)
	{
		my $asked = time;
		return $asked - $start if ask($sql) =~ $re;
		sleep 0.1;
	}
	return undef;
}
# A statement in a session of its own, in the background: a function that waits for it
# and tells what it wrote.
sub background
{
	my @sql = @_;
	my $file = "$d/background" . int(rand 1e9);
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDOUT, '>', $file);
		open(STDERR, '>&STDOUT');
		exec(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', map { ('-c', $_) } @sql)) or POSIX::_exit(99);
	}
	return sub { waitpid($pid, 0); return slurp($file); };
}
sub running { my ($like) = @_; for (1 .. 200) { return 1 if ask("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '$like' AND pid <> pg_backend_pid()") ne '0'; sleep 0.05; } return 0; }
sub worker { my $pids = `ps -eo pid,ppid,args | grep 'pg_sovereign worker' | grep -v grep`; my ($pm) = slurp("$data/postmaster.pid") =~ /^(\d+)/; return (map { /^\s*(\d+)\s+$pm\s/ ? $1 : () } split /\n/, $pids)[0]; }
sub calls { my $n = () = slurp("$d/calls") =~ /call/g; return $n; }

$t->sql("CREATE EXTENSION pg_sovereign; SELECT create_key('k')");
$t->sql("CREATE TABLE p (id int, n encrypted_text('k', 'searchable'), born encrypted_date('k'))");
$t->sql("INSERT INTO p SELECT i, 'Martin ' || i, date '1980-01-01' + i FROM generate_series(1, 2000) i");
my $query = "SELECT count(n::text), max(born) FROM p";
my $good = '2000|1985-06-23';
is(ask($query), $good, 'a preloaded server encrypts and decrypts');
is(ask("SELECT id FROM p WHERE n = 'Martin 77'"), '77', 'and finds');
like(ask('SELECT * FROM lease'), qr/^postgres\|held\|.*\|2\|file .*root.key, root [0-9a-f-]+\|$/, 'the view tells of the lease');
is(ask("SELECT custodian ~ '^file .*root.key, root', sealed BETWEEN 4000 AND 400000, on_loan FROM keys"), 't|t|t', 'and the view keys of who has the key, how often it sealed, where it is');
my $calls = calls();
ask($query) for 1 .. 3;
is(calls(), $calls, 'further sessions do not ask the custodian');
$t->sql("CREATE FUNCTION first() RETURNS float8 LANGUAGE plpgsql AS \$\$ DECLARE began timestamptz; got text; BEGIN SELECT id::text INTO got FROM p LIMIT 1; began := clock_timestamp(); SELECT n::text INTO got FROM p LIMIT 1; RETURN extract(epoch FROM clock_timestamp() - began) * 1e3; END \$\$");
my ($fastest) = sort { $a <=> $b } map { ask('SELECT first()') } 1 .. 10;
# (test/bench/lease.sh measures it; a call of the custodian takes tens)
cmp_ok($fastest, '<', 10, "the first decryption of a session waits for nobody ($fastest ms)");
like(ask('SELECT lock()', undef, 'nobody'), qr/does not exist/, '(a role is needed)');
$t->sql("CREATE ROLE clerk LOGIN; CREATE ROLE chief LOGIN; GRANT sovereign_operator TO chief");
like(ask('SELECT lock()', undef, 'clerk'), qr/permission denied/, 'not everybody may lock');

# --- parallel workers ---
my @parallel = ('SET parallel_setup_cost = 0', 'SET parallel_tuple_cost = 0', 'SET min_parallel_table_scan_size = 0');
like(ask([@parallel, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $query"]), qr/Workers Launched: [1-9]/, 'workers decrypt in parallel');
is(ask([@parallel, $query]), $good, 'as one does');
is(calls(), $calls, 'and do not ask the custodian either');

# --- memory ---
SKIP:
{
	skip 'only root may read the memory of other processes', 8 if $> != 0;
	my ($top) = __FILE__ =~ m{^(.*?)/?test/t/[^/]*$};
	$top = '.' if $top eq '';
	my $tool = "$top/build/test/memory";
	system('make', '-s', '-C', $top, 'build/test/memory') == 0 or die "no $tool";
	my @keys = split /[|\n]/, $t->sql("SELECT name, version, purpose, encode(wrapped, 'hex') FROM key_version");
	my @domain = split /\|/, $t->sql("SELECT encode(wrapped, 'hex'), replace(id::text, '-', '') FROM key_domain");
	my $look = sub { my ($pm) = slurp("$data/postmaster.pid") =~ /^(\d+)/; my @pids = ($pm, split /\s+/, `pgrep -P $pm`); my ($st, $out, $err) = capture($tool, $root, @domain, @keys, '--', @pids); is($st, 0, 'the memory of ' . @pids . ' processes was read') or diag $err; return $out; };
	my $wait = background($query, "SELECT n::text FROM p WHERE id = 1", "SELECT create_key('second')", 'SELECT pg_sleep(8)');
	running('%pg_sleep(8)%');
	my $found = $look->();
	ok($found =~ /k\.rand/ && $found =~ /equality/, 'while keys are on loan they are found in memory') or diag $found;
	unlike($found, qr/root/, 'but never a root key');
	my $held = MIME::Base64::decode_base64((slurp($root) =~ /^key (\S+)/m)[0]);
	like((capture($tool, $root, @domain, @keys, '--', $$))[1], qr/^$$ root \d/m, 'which is found where one is');
	unlike($found, qr/dumped/, 'and only in memory that is left out of core dumps') or diag $found;
	# what all share is locked by the process from which they were forked
	my ($pm) = slurp("$data/postmaster.pid") =~ /^(\d+)/;
	ok($found =~ /^$pm k\.rand \d/m && $found !~ /^$pm \S+ unlocked|KEK unlocked/m, 'and locked') or diag $found;
	ask('SELECT lock()', undef, 'chief');
	$found = $look->();
	is($found, '', 'after lock() there is no key in any process');
	$wait->();
	ask('SELECT unlock()', undef, 'chief');
}

# --- lock ---
my $start;
for my $what (['a query', "SELECT count(n::text || i) FROM p, generate_series(1, 20000) i"],
	['an insert', "INSERT INTO p SELECT i, 'Durand ' || i, 'today' FROM generate_series(1, 5000) i, generate_series(1, 10000)"],
	['a copy of plaintext that would mask', "CREATE TABLE copied AS SELECT n::text AS n FROM p, generate_series(1, 20000) i"],
	['a parallel query', "SELECT count(n::text || i) FROM p, generate_series(1, 20000) i WHERE n::text > ''", @parallel],
	['a sort', "SELECT n FROM p, generate_series(1, 20000) i ORDER BY n::text || i OFFSET 100000000"])
{
	my ($name, $sql, @before) = @$what;
	my $wait = background("SET sovereign.on_denied = mask", @before, $sql);
	running(substr($sql, 0, 30) . '%');
	sleep 1;					# it decrypts by now
	$start = time;
	ask('SELECT lock()', undef, 'chief');
	my $says = $wait->();
	like($says, qr/ERROR:  .*keys of this server are locked.*HINT:  .*unlock/s, "lock() ends $name with a clear error");
	cmp_ok(time - $start, '<', 3, 'soon');
	like(ask($query), qr/ERROR:  .*locked/, 'nobody decrypts');
	ask('SELECT unlock()', undef, 'chief');
}
is(ask("SELECT count(*), (SELECT to_regclass('copied')) FROM p"), '2000|', 'and nothing half is left');
is(ask($query), $good, 'after unlock() all goes on');
ask('SELECT lock()');
is(ask(['SET sovereign.on_denied = mask', 'SELECT n::text, born FROM p LIMIT 1']), '***|', 'locked from the beginning, columns read as sovereign.on_denied says');
like(ask(['SET sovereign.on_denied = ciphertext', 'SELECT n FROM p LIMIT 1']), qr/^sov1:/, 'or as ciphertext');
is(ask('SELECT count(*) FROM p a JOIN p b ON a.id = b.id AND a.n = b.n'), '2000', 'what needs no key still works');
is(ask('SELECT state FROM lease'), 'locked', 'the view says locked');
is(ask("SELECT on_loan FROM keys WHERE name = 'k'"), 'f', 'and that the key is not here');
ask('SELECT unlock()');
$t->sql('CREATE DATABASE another');
spit("$d/lock.conf", slurp($t->conf) =~ s/dbname=postgres/dbname=another/r);
like(join('', capture(as(SovTest::command(), '-c', "$d/lock.conf", 'lock'))), qr/^0the keys have left the server$/m, 'the command locks, from whichever database');
like(ask($query), qr/ERROR:  .*locked/, 'for all of them');
like(join('', capture(as(SovTest::command(), '-c', "$d/lock.conf", 'unlock', '--server'))), qr/^0the server may borrow keys again$/m, 'and unlocks');
is(ask($query), $good, 'for all of them');
is(ask(["SELECT lock()", "\\set ON_ERROR_STOP off", $query, 'SELECT unlock()', $query]) =~ s/^ERROR:.*//msr =~ s/\s+//gr, $good, 'both in one session');

# --- the custodian says no; it cannot be reached; it talks rubbish; it is slow ---
lease('8s', '1s');
$t->sql('SELECT pg_reload_conf()');
is(ask($query), $good, 'a short lease');
sleep 2.5;
rename $root, "$root.away";
my $took = becomes(qr/ERROR/, $query, 10);
ok(defined $took && $took < 4, 'a root key that is gone is a no: the keys are taken away with the next renewal') or diag $took;
like(ask($query), qr/ERROR:  .*root key file .* does not exist.*HINT: /s, 'and the error says why');
rename "$root.away", $root;
ok(defined becomes(qr/^\Q$good\E$/, $query, 10), 'when it is back, work goes on');
spit("$d/mood", 'exit 3');
sleep 2.5;
is(ask($query), $good, 'a custodian that cannot be reached: the lease lasts');
like(ask('SELECT * FROM lease'), qr/held, not renewed.*gave no answer \(exit status 3\)/, 'and the view tells');
$took = becomes(qr/ERROR/, $query, 15);
ok(defined $took && $took < 8, 'until it is over') or diag $took;
like(ask($query), qr/ERROR: .*exit status 3/, 'and the error says why');
spit("$d/mood", "head -c 3000 /dev/urandom\nexit 0");
sleep 1.2;
like(ask($query), qr/ERROR: .*gave no answer \(exit status 0\)/, 'rubbish is no answer');
spit("$d/mood", 'sleep 3');
sleep 1.2;
like(ask(['SET statement_timeout = 500', $query]), qr/statement timeout/, 'who waits for a slow custodian can be cancelled');
$start = time;
is(ask($query), $good, 'a slow custodian is waited for');
cmp_ok(time - $start, '<', 8, 'and no longer than it takes');
is(ask($query), $good, 'its slow renewals disturb nobody');
spit("$d/mood", '');
my $times = () = slurp($log) =~ /does not give the keys/g;
cmp_ok($times, '<', 8, 'the log has each state once');
like(slurp($log), qr/the custodian gives the keys again/, 'also the good one');

# --- processes end ---
lease('1h', '10min');
$t->sql('SELECT pg_reload_conf()');
my $since = ask('SELECT pg_postmaster_start_time()');
my $session = background($query, 'SELECT pg_sleep(4)', $query);
running('%pg_sleep(4)%');
my $before = worker();
ok($before, 'there is a worker');
kill 'TERM', $before;
is(ask($query), $good, 'it is terminated: another one is asked');
isnt(worker(), $before, 'which the server started');
is($session->() =~ s/\s+/ /gr, "$good $good ", 'other sessions stay');
ask('SELECT lock()');
kill 'KILL', worker();
ok(defined becomes(qr/locked/, $query, 30), 'killed, it takes the sessions along, as any process of the server does; what was locked stays so');
ask('SELECT unlock()');
is(ask($query), $good, 'and work goes on');
is(ask('SELECT pg_postmaster_start_time()'), $since, 'without a restart');

# --- many ---
$t->sql(join ';', map { "SELECT create_key('k$_'); CREATE TABLE p$_ (n encrypted_text('k$_')); INSERT INTO p$_ VALUES ('x$_')" } 1 .. 12);
is(ask(join(' UNION ALL ', map { "SELECT n::text FROM p$_" } 1 .. 12) . ' ORDER BY 1') =~ s/\s+/ /gr, 'x1 x10 x11 x12 x2 x3 x4 x5 x6 x7 x8 x9', 'more keys than there is room for take turns');
like(slurp($log), qr/more keys are in use than there is room for.*sovereign.shared_keys/s, 'which the log tells');
ask('SELECT lock()');
ask('SELECT unlock()');
$calls = calls();
spit("$d/bench.sql", "SELECT n::text FROM p WHERE id = 1;\n");
my ($st, $out, $err) = capture(as("$bin/pgbench", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-n', '-c', '500', '-j', '2', '-t', '1', '-f', "$d/bench.sql", 'postgres'));
like($out, qr{processed: 500/500}, '500 sessions that all begin without keys get them') or diag $err;
is(calls(), $calls + 1, 'by one call of the custodian');

# --- a standby, and failover ---
my $port = SovTest::free_port();
run_as("$bin/pg_basebackup", '-D', "$d/standby", '-R', '-X', 'stream', '-c', 'fast', '-h', $d, '-p', $t->{port}, '-U', 'postgres');
open(my $fh, '>>', "$d/standby/postgresql.conf"); print $fh "port = $port\n"; close $fh;
$t->{clusters}{"$d/standby"} = 1;
($st) = capture(as("$bin/pg_ctl", '-D', "$d/standby", '-l', "$d/standby.log", '-w', '-t', '60', 'start'));
is($st, 0, 'a standby starts') or diag slurp("$d/standby.log");
is(ask("SELECT pg_is_in_recovery()", $port) . ask($query, $port), "t$good", 'it decrypts');
($fastest) = sort { $a <=> $b } map { ask('SELECT first()', $port) } 1 .. 10;
cmp_ok($fastest, '<', 10, "at once, in each session ($fastest ms)");
ask('SELECT lock()', $port);
like(ask($query, $port), qr/locked/, 'it can be locked');
is(ask($query), $good, 'by itself');
ask('SELECT unlock()', $port);
$t->stop($data, 'immediate');
ask('SELECT pg_promote()', $port);
is(ask(["INSERT INTO p VALUES (0, 'after', 'today')", "SELECT n FROM p WHERE n = 'after'"], $port), 'after', 'after failover it goes on');
$t->stop("$d/standby", 'fast');

# --- without preloading ---
$t->start($data, "-c shared_preload_libraries=''");
is(ask($query), $good, 'without preloading each session asks for itself');
like(ask('SELECT lock()'), qr/ERROR:  without preloading.*HINT:  .*shared_preload_libraries/s, 'and nothing can be locked');
is(ask('SELECT count(*) FROM lease'), '0', 'the view is empty');
is(ask("SELECT on_loan IS NULL FROM keys WHERE name = 'k'"), 't', 'and nobody can tell where opened keys are');
done_testing();
