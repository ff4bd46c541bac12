# The repository by SQL: views that ask no provider, functions that start the command
# as jobs, waiting, cancelling, what a crash and a restart leave, and who may.
use strict;
use warnings;
use Test::More;
use SovTest;
use SovStore;
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $data = $t->start_new(conf => "fsync = off\n");
$t->sql('CREATE SCHEMA house; CREATE EXTENSION pg_sovereign SCHEMA house');

# The output of psql with errors; the role is what the session logs in as.
sub as_role
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = capture(as("$t->{bindir}/psql", '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=default',
		'-h', $d, '-p', $t->{port}, '-U', $role, '-d', 'postgres', '-c', $sql));
	return "$out$err";
}
sub job { my ($id, $what) = @_; return $t->sql("SELECT $what FROM house.jobs WHERE job = $id"); }
sub wait_state
{
	my ($id, $state, $seconds) = @_;
	my $end = time + ($seconds || 60);
	while (time < $end) { return 1 if job($id, 'state') =~ $state; sleep 0.05; }
	return 0;
}

# --- before there is anything ---
is($t->sql("SELECT count(*) FROM house.$_"), 0, "$_ is empty without a repository") for qw(backups wal_ranges redundancy jobs);
is($t->sql('SELECT count(*) FROM house.providers'), 3, 'the configured providers show');
is($t->sql('SELECT house.metrics() IS NULL'), 't', 'and there are no metrics');
like(as_role('postgres', 'SELECT house.backup(wait => true)'), qr/ERROR:  job \d+ \(backup\) failed: .*HINT:  /s, 'a backup without a repository fails, and says what to do');

# --- a backup, waited for ---
$t->sov_ok('init');
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 100000) i");
$t->sql("ALTER SYSTEM SET archive_library = ''");
$t->sql('SELECT pg_reload_conf()');
my $asked = time;
spit($t->conf, (my $plain = slurp($t->conf)) . "[schedule]\nbackup = 6h\n");
$t->sov_is('check does not wait for a segment that nobody archives, and knows that nobody follows the schedule', 6,
	qr/note  there is no backup yet.*FAIL  archiving by nothing.*FAIL  schedule: .*\n +hint: set shared_preload_libraries.*FAIL  archiving round trip: not tried/s, 'check');
cmp_ok(time - $asked, '<', 20, 'and says so at once');
spit($t->conf, $plain);
$t->sql('ALTER SYSTEM RESET archive_library');
$t->sql('SELECT pg_reload_conf()');
my $id = $t->sql("SELECT house.backup(label => 'by SQL', jobs => 2, wait => true)");
is(job($id, "state || ' ' || exit_status || ' ' || role || ' ' || (result ->> 'files' > '0') || ' ' || (ended >= began)"), 'done 0 postgres true true', 'backup(wait => true) has ended when it returns');
is($t->sql("SELECT count(*) || ' ' || min(label) || ' ' || bool_and(bytes > 0 AND stored > 0 AND stop_lsn > start_lsn) FROM house.backups"), '1 by SQL true', 'view backups');
is($t->sql("SELECT count(*) || ' ' || bool_and(from_backup = (SELECT backup FROM house.backups) AND to_lsn > from_lsn AND NOT former_cluster AND cluster = (SELECT system_identifier FROM pg_control_system())) FROM house.wal_ranges"), '1 true', 'view wal_ranges');
is($t->sql("SELECT string_agg(class || ' ' || needed || ' ' || holders || ' ' || losses_tolerated, ', ' ORDER BY class COLLATE \"C\") FROM house.redundancy"),
	'WAL 2 3 1, head 2 3 1, metadata 2 3 1, pack 2 3 1, run 2 3 1', 'view redundancy');

# --- the others ---
$id = $t->sql('SELECT house.verify(deep => true, wait => true)');
like(job($id, 'result'), qr/"lost": 0/, 'verify finds nothing lost');
is(job($id, "phase || ' ' || percent || ' ' || (done = total)"), 'verify 100.0 true', 'one that is done has done all');
is($t->sql("SELECT count(*) FROM house.providers WHERE last_proven > now() - interval '1 minute' AND state = 'active'"), 3, 'and proves the providers');
# a terminal sees a bar, a log does not
my $verify = join(' ', as($t->{bindir} . '/pg_sovereign', '-c', $t->conf, 'verify', '--deep'));
like((capture('script', '-qec', $verify, '/dev/null'))[1], qr{\rverify (?:\[\#+\] )?100 %, \S+ \S+ of \S+ \S+, \S+ \S+/s, took 0:}, 'progress on a terminal');
unlike(join('', ($t->sov('verify', '--deep'))[1, 2]), qr/\r|\e|%/, 'and none of it elsewhere');
$t->sov_ok('provider', 'probe', 'a');
is($t->sql("SELECT string_agg(name, ' ') FROM house.providers WHERE probed > now() - interval '1 minute' AND put_rate > 1000 AND get_rate > 1000 AND latency_ms > 0 AND policy IS NULL"), 'a', 'what a probe measured shows');
my $conf = slurp($t->conf);
spit($t->conf, "$conf\n[policy]\njurisdiction = EEA\n");
$t->sov('list');
is($t->sql("SELECT count(*) FROM house.providers WHERE policy ~ 'jurisdiction'"), 3, 'and what breaks the policy');
spit($t->conf, $conf);
$t->sov_ok('list');
is($t->sql("SELECT count(*) FROM house.providers WHERE policy IS NOT NULL"), 0, 'or that nothing does');
run_as('rm', '-f', (objects("$d/a", 'p'))[0]);
like(as_role('postgres', 'SELECT house.verify(wait => true)'), qr/ERROR:  job \d+ \(verify\) found something wrong\nHINT:  See its result/, 'a verify that finds something is an error');
$id = $t->sql('SELECT house.repair(wait => true)');
like(job($id, 'result'), qr/"mended": 1/, 'repair mends');
$id = $t->sql('SELECT house.plan(wait => true)');
is(job($id, 'state'), 'done', 'plan');
$id = $t->sql('SELECT house.apply(wait => true)');
is(job($id, 'state'), 'done', 'apply');
like(as_role('postgres', 'SELECT house.prune(dry_run => true, wait => true)'), qr/failed: .*HINT:  .*retention/s, 'prune without rules says where they stand');
$id = $t->sql("SELECT house.drill(without => '{b}', wait => true)");
is(job($id, 'state'), 'done', 'a drill without a provider') or diag(job($id, "message || result"));

# --- metrics ---
# (the archiver may look, and mark, between the two)
sub steady { return $_[0] =~ s/\n+\z//r =~ s/((?:seen|marked)_timestamp_seconds) \d+/$1/gr; }
is(steady($t->sql('SELECT house.metrics()')), steady($t->sov_ok('metrics')), 'metrics are those of the command');
like($t->sql('SELECT house.metrics()'), qr/^pg_sovereign_drill_passed 1\n.*^# EOF/ms, 'the drill among them');

# --- a provider that vanishes shows without asking it ---
run_as('mv', "$d/c", "$d/c.away");
$t->sov('list');
is($t->sql("SELECT state || ' ' || (message <> '') FROM house.providers WHERE name = 'c'"), 'down true', 'a provider that is down, and why');
is($t->sql("SELECT bool_and(losses_tolerated = 0) FROM house.redundancy"), 't', 'nothing more may be lost');
like(as_role('postgres', 'SELECT house.verify(wait => true)'), qr/ERROR:  job \d+ \(verify\) failed: 1 of 3 providers could not be asked; at the others nothing is missing.*\nHINT:  .*view providers/, 'a verify that could not ask one says that, and that it found nothing');
run_as('mv', "$d/c.away", "$d/c");
$t->sov('list');

# --- one that answers and takes nothing is no spare one ---
chmod 0500, glob("$d/c/*");
$t->sql('SELECT house.backup(wait => true)');
like($t->sov_ok('list'), qr/^c +active .* objects, .*^no more provider may vanish: with one less/ms, 'list says that none may be lost while one is owed');
is($t->sql("SELECT min(losses_tolerated) FROM house.redundancy"), 0, 'as the views do');
chmod 0700, glob("$d/c/*");
like($t->sov_ok('repair', '--quick') . $t->sov_ok('list'), qr/^1 more provider may vanish and everything/m, 'until it has taken it');

# --- what takes longer, meanwhile: read by somebody at a terminal, and by a log ---
my @slow = $t->sov_cmd('verify', '--deep', '--max-rate', '200kB');
my $log_began = time;
my $log = background("$d/plain.out", @slow);
my $terminal = background("$d/terminal.out", 'script', '-qefc', join(' ', @slow), '/dev/null');

# --- started, watched, cancelled ---
$t->sql("CREATE TABLE big AS SELECT i, md5(i::text) || md5((i + 1)::text) AS m FROM generate_series(1, 600000) i");
$id = $t->sql("SELECT house.backup(max_rate => '4MB')");
ok(wait_state($id, qr/running/), 'a job that is not waited for runs');
my $seen = 0;
for (1 .. 200) { last if $seen = job($id, "done > 0 AND total >= done AND percent IS NOT NULL AND phase = 'backup'") eq 't'; sleep 0.05; }
ok($seen, 'and tells how far it is');
like(as_role('postgres', 'SELECT house.backup()'), qr/ERROR:  job $id does a backup already\nHINT:  wait for it/, 'a second one is refused');
$t->sql("SELECT house.cancel_job($id)");
ok(wait_state($id, qr/cancelled/), 'cancel_job ends it');
is(job($id, 'exit_status'), 7, 'as the command says it');
like(as_role('postgres', "SELECT house.cancel_job($id)"), qr/is not running: it is cancelled/, 'once');
like(as_role('postgres', 'SELECT house.cancel_job(4711)'), qr/there is no job 4711\nHINT/, 'a job that is not there');

my ($out) = as_role('postgres', "SET statement_timeout = '2s'; SELECT house.backup(max_rate => '4MB', wait => true)");
like($out, qr/canceling statement due to statement timeout/, 'a wait can be cancelled');
$id = $t->sql('SELECT max(job) FROM house.jobs');
ok(wait_state($id, qr/cancelled/), 'and cancels the job');

# --- killed: the server goes on, and the state is true ---
my $server = $t->sql('SELECT pg_postmaster_start_time()');
my $session = $t->sql("SELECT pg_conf_load_time()");
$id = $t->sql("SELECT house.backup(max_rate => '4MB')");
wait_state($id, qr/running/);
my ($pid) = map { m{/proc/(\d+)/} } grep { SovTest::slurp($_) =~ /run-job\x{00}$id\x{00}/ } glob('/proc/[0-9]*/cmdline');
kill 'KILL', $pid if $pid;
ok($pid && wait_state($id, qr/lost/), 'a job whose process is killed is lost');
is($t->sql('SELECT pg_postmaster_start_time()'), $server, 'and the server has not noticed');
ok($t->wait_log("$data.log", qr/the process of job $id was ended by signal 9/, 10), 'but its log has');
unlike(SovTest::slurp("$data.log"), qr/terminating any other active server processes/, 'no backend was ended');

$id = $t->sql("SELECT house.backup(max_rate => '4MB')");
wait_state($id, qr/running/);
$t->stop($data, 'fast');
$t->start($data);
ok(wait_state($id, qr/cancelled|lost/, 15), 'a restart of the server ends a job') or diag job($id, 'state');
$id = $t->sql('SELECT house.backup(wait => true)');
is(job($id, 'state'), 'done', 'and the next one works');

# --- what took longer: how much time is left, by the rate that is told ---
sub told
{
	my ($line) = @_;
	my %unit = (bytes => 1, kB => 1 << 10, MB => 1 << 20, GB => 1 << 30);
	my ($done, $of_done, $total, $of_total, $rate, $of_rate, $minutes, $seconds) =
		$line =~ m{^verify:? .*?(\S+) (bytes|[kMG]B) of (\S+) (bytes|[kMG]B), (\S+) (bytes|[kMG]B)/s, (\d+):(\d\d) left$} or return "not understood: $line";
	my $left = ($total * $unit{$of_total} - $done * $unit{$of_done}) / ($rate * $unit{$of_rate});
	return abs($minutes * 60 + $seconds - $left) <= 2 + 0.1 * $left ? 'true' : "$line, where $left s would be";
}
my @bars = map { /^(verify \[.*left)/ ? $1 : () } split /[\r\n]/, slurp("$d/terminal.out");
cmp_ok(scalar(@bars), '>=', 5, 'a terminal is told the time that is left');
like($bars[$_], qr/^verify \[#*\.+\] +\d+ %, /, 'beside a bar') for 0, -1;
is(told($bars[-1]), 'true', 'and it is right') or diag slurp("$d/terminal.out");
sleep 0.1 while slurp("$d/plain.out") !~ /\n/ && time < $log_began + 30;
my $log_took = time - $log_began;
kill 'INT', $log;
waitpid($log, 0);
is($? >> 8, 7, 'verify is cancelled by Ctrl-C') or diag slurp("$d/plain.out");
kill 'TERM', $terminal;
waitpid($terminal, 0);
my @lines = grep { /^verify: .* left$/ } split /\n/, slurp("$d/plain.out");
ok(@lines >= 1 && @lines <= $log_took / 10, sprintf('a log has a line every 10 seconds: %d in %.1f s', scalar(@lines), $log_took));
is(told($lines[0]), 'true', 'with the time that is left');
unlike(slurp("$d/plain.out"), qr/\r|\e/, 'and nothing that a terminal needs');

# --- who may ---
$t->sql('CREATE ROLE op LOGIN IN ROLE sovereign_operator; CREATE ROLE aud LOGIN IN ROLE sovereign_auditor; CREATE ROLE other LOGIN; GRANT USAGE ON SCHEMA house TO PUBLIC');
like(as_role('op', 'SELECT house.plan(wait => true) > 0'), qr/^t/, 'an operator may start');
is($t->sql('SELECT role FROM house.jobs ORDER BY job DESC LIMIT 1'), 'op', 'and is named');
like(as_role('postgres', 'SET SESSION AUTHORIZATION op; SELECT house.plan(wait => true) > 0'), qr/^t/m, 'so is a superuser');
is($t->sql('SELECT role FROM house.jobs ORDER BY job DESC LIMIT 1'), 'postgres', 'whatever he calls himself');
like(as_role('op', 'SELECT count(*) > 0 FROM house.jobs'), qr/^t/, 'and look');
like(as_role('aud', 'SELECT count(*) FROM house.providers, house.backups, house.redundancy, house.wal_ranges'), qr/^\d/, 'an auditor may look');
like(as_role('aud', 'SELECT house.metrics()'), qr/^pg_sovereign_backups \d/m, 'and measure');
like(as_role('aud', 'SELECT house.plan()'), qr/permission denied/, 'and not start');
like(as_role('other', "SELECT * FROM house.$_"), qr/permission denied/, "others may not look at $_") for qw(providers backups wal_ranges redundancy jobs);
like(as_role('other', "SELECT house.$_"), qr/permission denied/, "others may not call $_")
	for 'backup()', 'verify()', 'repair()', 'prune()', 'plan()', 'apply()', 'drill()', 'cancel_job(1)', 'repository_facts()', 'metrics()', 'jobs_now()', "start_job('plan', '{}', false)";
like(as_role('op', "SELECT house.start_job('plan', '{}', false)"), qr/permission denied/, 'not even operators give arguments of their own');
like(as_role('postgres', "SELECT house.start_job('restore', '{}', false)"), qr/"restore" is no command for a job/, 'and there is no restore');

# --- what is hostile ---
$id = $t->sql(q{SELECT house.backup(label => E'a"b\\\\c <script>', wait => true)});
is($t->sql('SELECT label FROM house.backups ORDER BY finished DESC LIMIT 1'), 'a"b\\c <script>', 'a label is only text');
spit("$d/state/facts", '{"providers": [');
like(as_role('postgres', 'SELECT * FROM house.backups'), qr/ERROR:  .*facts is no JSON object.*\nHINT:  remove it/, 'a damaged file is named');
$t->sov_ok('list');
is($t->sql("SELECT count(*) > 0 FROM house.backups"), 't', 'and made anew');

# --- what is not there, or not to be read ---
my @views = qw(providers backups wal_ranges redundancy jobs);
rename $t->conf, $t->conf . '.away';
is($t->sql("SELECT count(*) FROM house.$_"), 0, "without a configuration $_ is empty") for @views;
like(as_role('postgres', 'SELECT house.backup()'), qr/ERROR:  .*sov\.conf.*\nHINT:  /, 'and no job starts');
rename $t->conf . '.away', $t->conf;
chmod 0, $t->conf;
like(as_role('postgres', "SELECT * FROM house.$_"), qr/ERROR:  could not open .*sov\.conf"?: Permission denied\nHINT:  /, "with one that the server may not read $_ says so") for @views;
like(as_role('postgres', "SELECT house.$_"), qr/ERROR:  could not open .*sov\.conf"?: Permission denied\nHINT:  /, "nor is $_ silent")
	for 'metrics()', 'repository_facts()', 'jobs_now()', 'audit_now()', "audit_since('-infinity')", 'plan()', 'cancel_job(1)';
chmod 0644, $t->conf;
run_as('chmod', '0', "$d/state");	# (a file in it the archiver may replace meanwhile)
my $whose = qr/Permission denied\nHINT:  (?:it must belong to|the state directory belongs to|create it for) the user that runs the server/;
like(as_role('postgres', "SELECT * FROM house.$_"), qr{ERROR:  could not (?:open|read) .*state/(?:facts|jobs).*$whose}, "the same of the state directory: $_") for @views;
like(as_role('postgres', "SELECT house.$_"), qr{ERROR:  could not .*state/(?:facts|jobs).*$whose}, "and $_") for 'metrics()', 'repository_facts()', 'jobs_now()', 'plan()', 'cancel_job(1)';
run_as('chmod', '700', "$d/state");
run_as('mkdir', '-p', '-m', '0', "$d/state/spool/c");
like(as_role('postgres', "SELECT * FROM house.$_"), qr{ERROR:  could not read .*state/spool/c: $whose}, "nothing is said to be owed where that cannot be read: $_") for qw(providers redundancy metrics());
run_as('rmdir', "$d/state/spool/c");
is($t->sql("SELECT count(*) > 0 FROM house.$_"), 't', "$_ answers again") for @views;
like(as_role('postgres', "SELECT house.$_"), qr/ERROR:  .*\nHINT:  .*shared_preload_libraries/, "$_ says what it needs") for qw(lock() unlock());
is($t->sql('SELECT count(*) FROM house.lease'), 0, 'without which nothing is on loan');

# --- two sessions that start the same at the same time ---
my @both = map { my $out = "$d/both$_"; my $pid = fork(); if ($pid == 0) { open(STDOUT, '>', $out); open(STDERR, '>&', \*STDOUT);
	exec("$t->{bindir}/psql", '-X', '-At', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', '-c', 'SELECT house.plan(wait => true)') or POSIX::_exit(99); } [$pid, $out] } 1 .. 4;
waitpid($_->[0], 0) for @both;
my @said = map { slurp($_->[1]) } @both;
is(scalar(grep { /^\d+$|ERROR:  job \d+ does a plan already\nHINT:  wait for it/ } @said), 4, 'each of them has a job, or is told which one does it') or diag @said;
is($t->sql("SELECT count(*) FROM house.jobs WHERE command = 'plan' AND state <> 'done'"), 0, 'and none is harmed');

# --- stopped at every stage: the providers take requests of a kind and never answer ---
$t->sql('DROP TABLE t, big');
spit("$d/cred", "access-key = a\nsecret-key = secretsecret\n");
chmod 0600, "$d/cred";
system('chown', 'postgres', "$d/cred") if $> == 0;
my %store = map { $_ => SovStore->new($d, $_) } qw(x y z);
sub all_are { my ($mode) = @_; $_->mode($mode) for values %store; }
sub hung { my $n = 0; $n += $_->hung for values %store; return $n; }
spit($t->conf, slurp($t->conf) =~ s/\[provider\.a\].*//sr =~ s{$d/state}{$d/stages}r
	. join('', map { $store{$_}->section("$d/cred", 'stall-timeout = 120', 'timeout = 240') } sort keys %store) . "[retention]\nkeep-last = 1\n");
$t->sov_ok('init');
$t->restart($data, "-c shared_preload_libraries=pg_sovereign");
$server = $t->sql('SELECT pg_postmaster_start_time()');
$t->sql('SELECT house.backup(wait => true)') for 1, 2;

# A job that hangs in requests of a kind: its number.
sub hanging
{
	my ($kind, $call) = @_;
	my $before = hung();
	all_are("hang $kind");
	my $job = $t->sql("SELECT house.$call");
	my $end = time + 30;
	sleep 0.05 while hung() == $before && time < $end;
	cmp_ok(hung(), '>', $before, "$call hangs in $kind");
	return $job;
}
sub ends_as
{
	my ($job, $state, $what) = @_;
	my $from = time;
	ok(wait_state($job, $state, 10), sprintf('%s (after %.1f s)', $what, time - $from)) or diag $t->sql("SELECT j FROM house.jobs j WHERE job = $job");
	all_are('ok');
	like($t->sql("SELECT count(DISTINCT (name, class)) FROM house.providers, house.redundancy, house.backups"), qr/^15$/, "the views answer");
}
my $first = $t->sql('SELECT max(job) FROM house.jobs');
for (['PUT', 'backup(jobs => 4)'], ['GET', 'verify(deep => true)'], ['DELETE', 'prune()'], ['GET', 'drill()'])
{
	$id = hanging(@$_);
	$t->sql("SELECT house.cancel_job($id)");
	ends_as($id, qr/^cancelled/, "$_->[1] is cancelled there");
}

# The command itself, by Ctrl-C.
sub interrupted
{
	my ($kind, $command, $ends) = @_;
	my $before = hung();
	all_are("hang $kind");
	my $pid = background("$d/$command.out", $t->sov_cmd($command));
	my $until = time + 30;
	sleep 0.05 while hung() == $before && time < $until;
	my $from = time;
	kill 'INT', $pid;
	waitpid($pid, 0);
	is(($? & 127 ? 'signal ' . ($? & 127) : $? >> 8), $ends, sprintf('Ctrl-C ends the command %s (after %.1f s)', $command, time - $from)) or diag slurp("$d/$command.out");
	like(slurp("$d/$command.out"), qr/^pg_sovereign: error: .*cancelled.*\nhint: /m, 'which says so') if $ends eq '7';
	cmp_ok(time - $from, '<', 10, 'soon');
	all_are('ok');
}
sub ends_well { my ($call, $re) = @_; my $job = $t->sql("SELECT house.$call(wait => true)"); like(job($job, 'result'), $re, "$call works afterwards, to its end"); }

# a repair that puts back what is missing
unlink((glob("$d/x.store/o.p_2f*"))[0]);
$id = hanging('PUT p/', 'repair()');
$t->sql("SELECT house.cancel_job($id)");
ends_as($id, qr/^cancelled/, 'repair() is cancelled there');
interrupted('PUT p/', 'repair', 7);
ends_well('repair', qr/"mended": 1,/);

# a provider that is left: planned, and carried out (a plan changes nothing, and simply ends)
$store{w} = SovStore->new($d, 'w');
spit($t->conf, slurp($t->conf) =~ s/\[provider\.z\].*?(?=^\[)/$store{w}->section("$d\/cred", 'stall-timeout = 120', 'timeout = 240')/msre);
for (['GET', 'plan()'], ['PUT p/', 'apply()'])
{
	$id = hanging(@$_);
	$t->sql("SELECT house.cancel_job($id)");
	ends_as($id, qr/^cancelled/, "$_->[1] is cancelled there");
}
interrupted('GET', 'plan', 'signal 2');
interrupted('PUT p/', 'apply', 7);
ends_well('apply', qr/"why": "move under way"/);
ends_well('plan', qr/"moves": \[\]/);
ends_well('verify', qr/"lost": 0, "owed": 0,.*"missing": 0/);
is($t->sql("SELECT count(*) FROM house.jobs WHERE state = 'lost' AND job > $first"), 0, 'no job is lost');

# before its process is there: the postmaster starts none meanwhile
my ($postmaster) = slurp("$data/postmaster.pid") =~ /^(\d+)/;
spit("$d/early.sql", "\\! kill -STOP $postmaster\nSELECT house.backup() AS id \\gset\nSELECT house.cancel_job(:id);\nSELECT state, ended IS NOT NULL FROM house.jobs WHERE job = :id;\n\\! kill -CONT $postmaster\n");
(undef, $out) = capture(as("$t->{bindir}/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', '-f', "$d/early.sql"));
is($out, "\ncancelled|t\n", 'a job is cancelled before it began');
$id = $t->sql('SELECT max(job) FROM house.jobs');
ok($t->wait_log("$data.log", qr/job $id is cancelled/, 10), 'its process finds it so');
is(job($id, "state || (began IS NULL)"), 'cancelledtrue', 'and it stays so');

# --- a session that waits ---
my $slow = "backup(full => true, max_rate => '200kB', wait => true)";
sub waiting
{
	my $last = $t->sql('SELECT max(job) FROM house.jobs');
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDOUT, '>', "$d/waiting.out");
		open(STDERR, '>&', \*STDOUT);
		exec("$t->{bindir}/psql", '-X', '-At', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres', '-c', "SELECT house.$slow") or POSIX::_exit(99);
	}
	ok(wait_state($last + 1, qr/running/), 'a session waits for a job');
	return ($pid, $last + 1);
}
my $its = q{FROM pg_stat_activity WHERE query ~ 'wait => true' AND pid <> pg_backend_pid()};
for (['Ctrl-C in psql', sub { kill 'INT', $_[0] }], ['pg_cancel_backend', sub { $t->sql("SELECT pg_cancel_backend(pid) $its") }])
{
	my ($psql, $job) = waiting();
	$_->[1]->($psql);
	ends_as($job, qr/^cancelled/, "$_->[0] cancels the job that is waited for");
	waitpid($psql, 0);
	like(slurp("$d/waiting.out"), qr/canceling statement due to user request/, 'and the statement');
}
my ($psql, $job) = waiting();
$t->sql("SELECT pg_terminate_backend(pid) $its");
waitpid($psql, 0);
is(job($job, 'state'), 'running', 'a session that is gone leaves its job running');
$t->sql("SELECT house.cancel_job($job)");
ends_as($job, qr/^cancelled/, 'until it is cancelled');

# --- processes that end: the job's, its worker's, the worker's ---
sub slow_job { my $job = $t->sql('SELECT house.' . $slow =~ s/, wait => true//r); ok(wait_state($job, qr/running/), 'a job runs'); return $job; }
sub worker { my ($what) = @_; return (map { /^\s*(\d+)\s+$postmaster\s/ ? $1 : () } grep { /$what/ } split /\n/, `ps -eo pid,ppid,args`)[0]; }
$id = slow_job();
($pid) = map { m{/proc/(\d+)/} } grep { SovTest::slurp($_) =~ /run-job\x{00}$id\x{00}/ } glob('/proc/[0-9]*/cmdline');
kill 'KILL', $pid;
ends_as($id, qr/^lost/, 'its process is killed: it is lost');
$id = slow_job();
kill 'TERM', worker("pg_sovereign job $id");
ends_as($id, qr/^cancelled/, 'the worker that waits for the process is terminated: it is cancelled');
$id = slow_job();
my $worker = worker('pg_sovereign worker');
kill 'TERM', $worker;
for (1 .. 100) { last if (worker('pg_sovereign worker') // $worker) != $worker; sleep 0.1; }
isnt(worker('pg_sovereign worker') // $worker, $worker, 'the worker is terminated: the server starts another one');
is(job($id, 'state'), 'running', 'and the job goes on');
is($t->sql('SELECT pg_postmaster_start_time()'), $server, 'all in the same server');
unlike(SovTest::slurp("$data.log"), qr/terminating any other active server processes/, 'and no session was ended');
# (whoever shares the server's memory takes the sessions along: the server's own rule)
kill 'KILL', worker('pg_sovereign worker');
for (1 .. 300) { last if $t->sql('SELECT 1', nofail => 1) eq '1'; sleep 0.1; }
ends_as($id, qr/^cancelled|^lost/, 'the worker is killed: the job has ended');
ok(worker('pg_sovereign worker'), 'there is a worker again');
is($t->sql('SELECT pg_postmaster_start_time()'), $server, 'the server did not start anew');
$id = $t->sql('SELECT house.backup(wait => true)');
is(job($id, 'state'), 'done', 'and a backup works');
is($t->sql("SELECT count(*) FROM house.jobs WHERE state IN ('queued', 'running')"), 0, 'no job is left over');

done_testing();
