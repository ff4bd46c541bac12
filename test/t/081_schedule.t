# What the worker does by itself: [schedule], auto-apply after a reload, one log line
# when what may be lost changes; on a standby only what a standby may.
use strict;
use warnings;
use Test::More;
use SovTest;
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $preload = "fsync = off\nshared_preload_libraries = 'pg_sovereign'\n";
sub schedule { my ($lines, @providers) = @_; $t->configure(@providers ? @providers : qw(a b c)); SovTest::spit($t->conf, slurp($t->conf) . "[schedule]\n$lines"); }
sub jobs { return $t->sql("SELECT coalesce(string_agg(command || ' ' || state || ' ' || role, ', ' ORDER BY job), '') FROM house.jobs"); }
sub wait_jobs
{
	my ($pattern, $seconds) = @_;
	my $end = time + ($seconds || 90);
	while (time < $end) { return 1 if jobs() =~ $pattern; sleep 0.2; }
	diag jobs(), slurp("$d/data.log");
	return 0;
}
sub workers { my ($pm) = slurp("$_[0]/postmaster.pid") =~ /^(\d+)/; return scalar(() = `ps -eo ppid,args` =~ /^\s*$pm\s.*: pg_sovereign worker/mg); }
sub reload { $t->sql('SELECT pg_reload_conf()'); }

schedule("");
$t->sov_ok('init');
my @off = `$t->{bindir}/initdb --help` =~ /(--no-data-checksums)/;	# (the default before 18)
my $data = $t->start_new(conf => $preload, initdb => \@off);
$t->sql('CREATE SCHEMA house; CREATE EXTENSION pg_sovereign SCHEMA house; CREATE TABLE t AS SELECT generate_series(1, 1000) i');
is(jobs(), '', 'without a schedule nothing is started');

schedule("backup = 6h\nverify = sun 02:30\nverify-sample = 20\n");
reload();
ok(wait_jobs(qr/^backup done worker, verify done worker$/), 'what was never done is due: the backup first, then verify');
is($t->sql("SELECT arguments::text FROM house.jobs WHERE command = 'verify'"), '{--json,--sample=20}', 'with the configured sample');
is($t->sql("SELECT count(*) FROM house.providers WHERE last_proven IS NOT NULL"), 3, 'the providers are proven');
like(slurp("$data.log"), qr/LOG:  pg_sovereign: 1 more provider may vanish\n/, 'what may be lost is in the log');
$t->sov_is('check: what works and is not as it looks is a note', 0,
	qr/note  data_checksums = off: a page .*\n +hint: .*pg_checksums --enable.*ok    schedule: the server's worker.*note  archiving round trip: left out, as asked\nall is well, with 2 notes above: any 2 of 3 providers restore what is stored\n/s, 'check', '--no-archive');
$t->restart($data);
sleep 2;
is(jobs(), 'backup done worker, verify done worker', 'after a restart nothing is done twice');

# --- what keeps it whole, and proves that ---
unlink((objects("$d/c", 'p'))[0]);
my $shards = () = objects("$d/c", 'p');
schedule("repair = 1d\nprobe = 1d\ndrill = 1d\n");
reload();
ok(wait_jobs(qr/verify done worker, repair done worker, provider done worker, drill done worker$/), 'repair, probe and drill, one after the other');
is(scalar(objects("$d/c", 'p')), $shards + 1, 'what was missing is there again');
is($t->sql("SELECT arguments::text FROM house.jobs WHERE command = 'provider'"), '{probe,--json}', 'a probe is that of every provider');
is($t->sql("SELECT count(*) FROM house.providers WHERE probed IS NOT NULL"), 3, 'and what it measured is known');
like(slurp("$d/state/drills"), qr/"passed": ?true/, 'the drill is on record');
is(workers($data), 1, 'all by one worker');
schedule("backup = 6h\nverify = sun 02:30\nverify-sample = 20\n");
reload();

# --- a mistake in the file ---
spit($t->conf, slurp($t->conf) . "bakcup = 1d\n");
reload();
ok($t->wait_log("$data.log", qr/LOG:  pg_sovereign: the schedule goes on with the configuration as it was: .*unknown name "bakcup".*\n.*HINT:  did you mean "backup"\?/), 'a mistake is logged, and the schedule goes on');

# --- auto-apply ---
run_as('mkdir', '-m', '700', "$d/new");
schedule("backup = 6h\n", qw(a b new));
reload();
sleep 1;
unlike(jobs(), qr/apply/, 'without auto-apply a changed configuration waits');
my ($status, $checked) = $t->sov('check', '--no-archive');
like($checked, qr/^  note  provider new holds nothing yet\n +hint: .*apply.*^  FAIL  provider c has the shards of position \d, and is not configured\n +hint: .*plan/ms, 'which check says');
is($status, 6, 'as something that is wrong');
schedule("backup = 6h\nauto-apply = yes\n", qw(a b c));
reload();
sleep 1;
schedule("backup = 6h\nauto-apply = yes\n", qw(a b new));
reload();
ok(wait_jobs(qr/apply done worker$/), 'with it the data move after a reload');
cmp_ok(scalar(objects("$d/new", 'p')), '>', 0, 'to the new provider');

# --- what may be lost changes ---
run_as('mv', "$d/b", "$d/b.away");
$t->sov('list');
reload();
ok($t->wait_log("$data.log", qr/WARNING:  pg_sovereign: no more provider may vanish: b is down/), 'a provider that is down is told');
$t->sov('list');
reload();
sleep 1;
run_as('mv', "$d/b.away", "$d/b");
$t->sov('list');
reload();
ok($t->wait_log("$data.log", qr/LOG:  pg_sovereign: 1 more provider may vanish again/), 'and when it is back');
is(() = slurp("$data.log") =~ /no more provider may vanish: b is down/g, 1, 'once');

# --- a prune: what the rules do not keep goes, what they keep stays ---
my $old = $t->sql('SELECT string_agg(backup, \' \') FROM house.backups');
$t->sov_ok('backup', '--label', 'kept');
is($t->sql('SELECT count(*) FROM house.backups'), 2, 'two backups');
schedule("prune = 1d\n[retention]\nkeep-last = 1\n", qw(a b new));
reload();
ok(wait_jobs(qr/prune done worker$/), 'a scheduled prune');
is($t->sql("SELECT arguments::text || ' ' || exit_status || ' ' || (result ->> 'dry_run') FROM house.jobs WHERE command = 'prune'"), '{--json} 0 false', 'is a real one');
is($t->sql('SELECT string_agg(label, \' \') FROM house.backups'), 'kept', 'takes what no rule keeps, and only that');
unlike($t->sov_ok('list'), qr/\Q$old\E/, 'at the providers');
$t->sov_is('what is kept is whole', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify');

# --- a job that fails ---
unlink "$d/state/schedule";
schedule("prune = 1d\nauto-apply = yes\n", qw(a b new));
reload();
ok($t->wait_log("$data.log", qr/scheduled job \d+ \(prune\) failed: no rule says which backups to keep/), 'a scheduled job that fails is in the log');

# --- on a standby ---
$t->sov_ok('restore', '-D', "$d/standby", '--standby');
$t->stop($data, 'fast');
unlink "$d/state/schedule";
system('rm', '-rf', "$d/state/jobs");
schedule("backup = 1d\nverify = 1d\n", qw(a b new));
$t->{keep_recovery} = 1;
$t->start("$d/standby", '-c hot_standby=on');
ok(wait_jobs(qr/^verify done worker$/), 'a standby verifies') or diag slurp("$d/standby.log");
sleep 1;
is(jobs(), 'verify done worker', 'and leaves backups to the primary');
is(workers("$d/standby"), 1, 'with one worker too');
like(($t->sov('check'))[1], qr/note  archiving round trip: left out on a standby/, 'check says what it does not try there');

done_testing();
