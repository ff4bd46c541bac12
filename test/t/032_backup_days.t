# Bad days of a backup, with pgbench at work: backup, repair, prune, restore and the
# server's archiver killed at twenty random moments each, files that vanish, shrink and
# grow while they are read, two backups at once, prune at the same time, a target that
# fills up; each time the next run succeeds and every committed backup restores to a
# cluster that pg_amcheck finds clean and that has what was acknowledged.
use strict;
use warnings;
use Test::More;
use SovTest;
use Time::HiRes;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\nmax_wal_size = 1GB\n");
my @pg = ('-h', $d, '-p', $t->{port}, '-U', 'postgres');
run_as("$bin/pgbench", '-i', '-q', '-s', 8, @pg, 'postgres');

$t->sql('CREATE TABLE acknowledged (i int)');
my $acknowledged = 0;

my @children;
sub in_background
{
	my @cmd = @_;
	my $pid = fork();
	if ($pid == 0) { open(STDIN, '<', '/dev/null'); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null'); setpgrp(0, 0); exec(@cmd) or POSIX::_exit(99); }
	push @children, $pid;
}
sub stop_children { kill 'TERM', -$_ for @children; waitpid($_, 0) for @children; @children = (); }
END { stop_children() }

sub restores_clean
{
	my ($what, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$t->sql('INSERT INTO acknowledged VALUES (' . ++$acknowledged . ')');
	ok($t->archive(120), "$what: WAL is acknowledged") or diag slurp("$data.log");
	my ($status, $out, $err) = $t->sov('restore', '-D', "$d/r", @options);
	is($status, 0, "$what: restores") or return diag "$out$err";
	open(my $fh, '>>', "$d/r/postgresql.auto.conf") or die;
	my $port = SovTest::free_port();
	print $fh "archive_mode = off\nport = $port\n";
	close $fh;
	$t->{clusters}{"$d/r"} = 1;
	($status, $out, $err) = capture(as("$bin/pg_ctl", '-D', "$d/r", '-l', "$d/r.log", '-w', '-t', '120', 'start'));
	for (1 .. 1200)
	{
		my (undef, $o) = capture(as("$bin/psql", '-X', '-At', '-h', $d, '-p', $port, '-U', 'postgres', '-c', 'SELECT pg_is_in_recovery()'));
		last if $o =~ /^f/;
		select undef, undef, undef, 0.1;
	}
	($status, $out, $err) = capture(as("$bin/pg_amcheck", '-h', $d, '-p', $port, '-U', 'postgres', '--all', '--install-missing', '--heapallindexed'));
	ok($status eq '0', "$what: pg_amcheck finds it clean") or diag "$out$err" . SovTest::slurp("$d/r.log");
	my (undef, $sum) = capture(as("$bin/psql", '-X', '-At', '-h', $d, '-p', $port, '-U', 'postgres', '-c',
		'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(tbalance) FROM pgbench_tellers) AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)'));
	like($sum, qr/^t/, "$what: and the balances agree");
	(undef, $sum) = capture(as("$bin/psql", '-X', '-At', '-h', $d, '-p', $port, '-U', 'postgres', '-c', 'SELECT max(i) FROM acknowledged'));
	is($sum, "$acknowledged\n", "$what: and what was acknowledged is there");
	$t->stop("$d/r");
	system('rm', '-rf', "$d/r");
}

# pgbench, and tables that come, go, shrink and grow
spit("$d/ddl.sql", <<'SQL');
CREATE TABLE IF NOT EXISTS churn AS SELECT i, repeat('x', 200) AS x FROM generate_series(1, 8000) i;
DELETE FROM churn WHERE i > 100;
VACUUM churn;
INSERT INTO churn SELECT i, repeat('y', 200) FROM generate_series(1, 5000) i;
VACUUM FULL churn;
TRUNCATE churn;
INSERT INTO churn SELECT i, repeat('z', 200) FROM generate_series(1, 9000) i;
DROP TABLE churn;
SQL
in_background(as('sh', '-c', "while :; do $bin/pgbench -n -c 2 -T 600 -R 100 @pg postgres; sleep 0.2; done"));
in_background(as('sh', '-c', "while :; do $bin/psql -X -q @pg -f $d/ddl.sql postgres; sleep 1; done"));

# --- pages that are torn when they are read ---
# Of every fifth page of a file the second half is other bytes for 3 ms of every 13, at
# any moment of some of them; the server reads and writes none of them meanwhile.
sub tear
{
	my ($file) = @_;
	my $whole = slurp($file);
	my @halves = map { [$_ * 8192 + 4096, substr($whole, $_ * 8192 + 4096, 4096)] } map { 5 * $_ } 0 .. length($whole) / 8192 / 5 - 1;
	my $pid = fork();
	return $pid if $pid;
	open(my $fh, '+<:raw', $file) or POSIX::_exit(98);
	my $put = sub { my ($at, $bytes) = @_; sysseek($fh, $at, 0); syswrite($fh, $bytes); };
	my ($over, $longest, %since) = (0, 0);
	local $SIG{TERM} = sub { $over = 1 };
	for (my $tick = 0; !$over || %since; $tick++)
	{
		for my $i (grep { ($_ + $tick) % 13 == 0 } $over ? () : 0 .. $#halves)
		{
			$put->($halves[$i][0], "\xa5" x 4096);
			$since{$i} = Time::HiRes::time();
		}
		select undef, undef, undef, 0.001;
		for my $i (grep { ($_ + $tick) % 13 == 3 || $over } keys %since)
		{
			$put->(@{ $halves[$i] });
			my $for = Time::HiRes::time() - delete $since{$i};
			$longest = $for if $for > $longest;
		}
	}
	spit("$d/torn", $longest);
	POSIX::_exit(0);
}
{
	$t->sql('CREATE TABLE quiet WITH (autovacuum_enabled = off) AS SELECT i, repeat(md5(i::text), 6) AS x FROM generate_series(1, 60000) i');
	$t->sql('VACUUM (FREEZE) quiet');
	$t->sql('CHECKPOINT');
	my $path = $t->sql("SELECT pg_relation_filepath('quiet')");
	my $bytes = slurp("$data/$path");
	my ($status, $out, $err);
	for (1 .. 5)			# (a busy machine may halt the one that tears)
	{
		my $pid = tear("$data/$path");
		select undef, undef, undef, 0.05;
		($status, $out, $err) = $t->sov('backup', '--full', '--json');
		kill 'TERM', $pid;
		waitpid($pid, 0);
		last if $status eq '0' || slurp("$d/torn") < 0.03;
	}
	ok($status eq '0' && $out =~ /"bad_pages": 0\b/ && $err !~ /bad page/, 'pages that are torn while they are read are read again, and the backup is clean') or diag("torn for " . slurp("$d/torn") . " s\n$out$err");
	is(slurp("$data/$path"), $bytes, '(nothing of it is left)');
	$t->sov_ok('restore', '-D', "$d/r");
	is(slurp("$d/r/$path"), $bytes, 'and has them as they are');
	system('rm', '-rf', "$d/r");
	flip_byte("$data/$path", 8192 * $_ + 6000) for 11, 140;
	my $end = length($bytes) / 8192;
	open(my $longer, '>>:raw', "$data/$path") or die;
	print $longer "\0" x 4096 . "\xa5" x 4096;		# a new page of which only the second half was written
	close $longer;
	$t->sov_is('where the tear stays each page is named by file and block', 5, qr/bad page: \Q$path\E block 11 .*bad page: \Q$path\E block 140 .*bad page: \Q$path\E block $end /s, 'backup');
	truncate("$data/$path", length $bytes);
	like($t->sov_ok('list'), qr/BAD PAGES/, 'and the backup is marked');
	flip_byte("$data/$path", 8192 * $_ + 6000) for 11, 140;
	($status, $out, $err) = $t->sov('backup', '--json');
	ok($status eq '0' && $out =~ /"bad_pages": 0\b/, 'once they are whole, the next one is clean') or diag "$out$err";
}

# --- killed at twenty moments ---
{
	my ($killed, $tries) = (0, 0);
	srand 11;
	while ($killed < 20 && $tries++ < 60)
	{
		$killed++ if $t->sov_killed(0.02 + rand(0.9), 'backup', $tries % 3 ? () : '--full');
		$t->sov_ok('prune', '--keep-last', '3', '--grace', '0') if $tries % 8 == 0;
	}
	is($killed, 20, 'a backup was killed twenty times');
	my ($status, $out, $err) = $t->sov('backup');
	is($status, 0, 'the next one ends well') or diag "$out$err";
	restores_clean('after kills');
}

# --- repair, prune and restore, killed at twenty moments each ---
sub killed_twenty
{
	my ($what, $longest, $before, @args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($killed, $tries) = (0, 0);
	while ($killed < 20 && $tries++ < 80)
	{
		$before->() if $tries % 5 == 1;
		$killed++ if $t->sov_killed(0.005 + rand($longest), @args);
	}
	is($killed, 20, "$what was killed twenty times");
}
sub spoil				# half of what a provider has: gone, or with rubbish inside
{
	my $i = 0;
	for my $f (map { objects("$d/b", $_) } qw(p m w))
	{
		next if $i++ % 2 || -M $f < 5 / 86400;	# not what is being written
		$i % 4 == 1 ? unlink($f) : flip_byte($f, 0.5);
	}
}
{
	$t->sov_ok('prune', '--keep-last', '3', '--grace', '0', '--orphan-grace', '0');	# what kills left behind
	killed_twenty('repair', 0.25, \&spoil, 'repair');
	$t->sov_ok('repair');
	killed_twenty('prune', 0.12, sub { $t->sov_ok('backup') }, 'prune', '--keep-last', '2', '--grace', '0', '--orphan-grace', '0');
	$t->sov_ok('prune', '--keep-last', '2', '--grace', '0', '--orphan-grace', '0');
	$t->sov_is('then nothing is missing', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
	killed_twenty('restore', 0.25, sub { system('rm', '-rf', "$d/k") }, 'restore', '-D', "$d/k", '--delta', '--jobs', '1');
	$t->sov_ok('restore', '-D', "$d/k", '--delta');
	my ($status, $out, $err) = capture(as("$bin/pg_verifybackup", '-n', "$d/k"));
	is($status, 0, 'and the next restore ends well') or diag "$out$err";
	system('rm', '-rf', "$d/k");
	restores_clean('after kills of repair, prune and restore');
}

# --- the server's own archiver, which takes the server down with it ---
{
	my $killed = 0;
	for (1 .. 20)
	{
		my ($postmaster) = slurp("$data/postmaster.pid") =~ /^(\d+)/;
		for (1 .. 200)
		{
			my ($pid) = grep { slurp("/proc/$_/cmdline") =~ /^postgres: archiver/ } split ' ', slurp("/proc/$postmaster/task/$postmaster/children");
			select undef, undef, undef, 0.02 + rand(0.1);
			next unless $pid && kill 'KILL', $pid;
			$killed++;
			last;
		}
		# the postmaster would wait ten seconds before it starts the next one
		$t->stop($data);
		$t->start($data);
		$t->sql('SELECT pg_switch_wal()');
	}
	is($killed, 20, 'the archiver was killed twenty times');
	restores_clean('after kills of the archiver');
}

# --- two at once ---
{
	my $pid = fork();
	if ($pid == 0) { open(STDOUT, '>', "$d/b.out"); open(STDERR, '>&STDOUT'); exec(as($t->sov_cmd('backup', '--full', '--max-rate', '60MB'))) or POSIX::_exit(99); }
	select undef, undef, undef, 0.8;
	$t->sov_is('a second backup at the same time is refused', 6, qr/backup/, 'backup');
	waitpid($pid, 0);
	is($?, 0, 'and the first ends well') or diag slurp("$d/b.out");
}

# --- prune at the same time ---
{
	my $bad = '';
	for (1 .. 4)
	{
		my $pid = fork();
		if ($pid == 0) { open(STDOUT, '>', "$d/b.out"); open(STDERR, '>&STDOUT'); exec(as($t->sov_cmd('backup', '--max-rate', '100MB'))) or POSIX::_exit(99); }
		$t->sov('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0') for 1 .. 3;
		waitpid($pid, 0);
		my $out = slurp("$d/b.out");
		$bad .= $out if $? != 0 && $out !~ /was pruned meanwhile/;
	}
	is($bad, '', 'backups beside prune end well, or say that their base was pruned');
	$t->sov_ok('backup');
	like($t->sov_ok('verify'), qr/0 missing, 0 damaged, 0 lost/, 'nothing is missing');
	restores_clean('after prune beside backups');
}

# --- a target that fills up ---
{
	# The limit on a file's size stands for a disk that is full.
	local $SIG{XFSZ} = 'IGNORE';
	my ($status, $out, $err) = capture(as('sh', '-c', 'ulimit -f 4000; exec "$@"', 'sh', $t->sov_cmd('restore', '-D', "$d/r")));
	ok($status ne '0' && $err =~ /could not (write|make) .*hint: free space, then restore again with --delta/s, 'a restore without room says so') or diag "$status $out$err";
	($status, $out, $err) = $t->sov('restore', '-D', "$d/r", '--delta');
	is($status, 0, 'and goes on when there is') or diag "$out$err";
	system('rm', '-rf', "$d/r");
	($status, $out, $err) = capture(as('sh', '-c', 'ulimit -f 800; exec "$@"', 'sh', $t->sov_cmd('backup', '--full')));
	ok($status ne '0' && $err =~ /error: .*hint: /s, 'a backup whose providers are full fails with a hint') or diag "$status $out$err";
	$t->sov_ok('backup');
	$t->sov_ok('repair', '--quick');
	restores_clean('after full disks');
}

# --- every backup that is listed restores ---
stop_children();
{
	my $bad = '';
	for my $id ($t->sov_ok('list') =~ /^(20\S+)/mg)
	{
		my ($status, $out, $err) = $t->sov('restore', '-D', "$d/r", '--backup', $id);
		$bad .= "$id: $err" if $status ne '0';
		system('rm', '-rf', "$d/r");
	}
	is($bad, '', 'every backup that is listed restores');
}

done_testing();
