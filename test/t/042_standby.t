# A backup of a standby, its restore, promotion, and the old primary rewound to
# follow: backups go on being incremental and right over all of it.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\nautovacuum = off\nhot_standby = on\n");
$t->sql("CREATE TABLE g AS SELECT i, repeat('a', 100) AS x FROM generate_series(1, 20000) i");
$t->sov_ok('backup');

my $sb = "$d/standby";
$t->sov_ok('restore', '-D', $sb, '--standby', '--primary-conninfo', "host=$d port=$t->{port} user=postgres");
my $port = SovTest::free_port();
open(my $fh, '>>', "$sb/postgresql.conf"); print $fh "port = $port\nhot_standby = on\n"; close $fh;
$t->{clusters}{$sb} = 1;
my ($status, $out, $err) = capture(as("$bin/pg_ctl", '-D', $sb, '-l', "$sb.log", '-w', '-t', '60', 'start'));
is($status, 0, 'a restored standby starts') or diag slurp("$sb.log");
$t->sql("INSERT INTO g SELECT i, 'for the standby' FROM generate_series(1, 5000) i");
my $lsn = $t->sql('SELECT pg_current_wal_lsn()');
my $psql = sub { my (undef, $o) = capture(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $port, '-U', 'postgres', '-c', $_[0])); chomp $o; $o };
for (1 .. 200) { last if $psql->("SELECT pg_last_wal_replay_lsn() >= '$lsn'") eq 't'; select undef, undef, undef, 0.1; }
my $sbconf = slurp($t->conf);
$sbconf =~ s{data-directory = .*}{data-directory = $sb};
$sbconf =~ s{port=\d+}{port=$port};
spit("$d/sb.conf", $sbconf);
my $pid = fork();
if ($pid == 0) { open(STDOUT, '>', "$d/sb.out"); open(STDERR, '>&STDOUT'); exec(as(SovTest::command(), '-c', "$d/sb.conf", 'backup', '--label', 'of the standby', '--archive-timeout', '60')) or POSIX::_exit(99); }
for (1 .. 100) { last if waitpid($pid, POSIX::WNOHANG()) == $pid; $t->sql("SELECT pg_switch_wal() FROM (SELECT txid_current()) x"); select undef, undef, undef, 0.5; }
is($?, 0, 'a backup of the standby') or diag slurp("$d/sb.out");
like($t->sov_ok('list'), qr/of the standby/, 'is in the list');
my $rows = $t->sql('SELECT count(*), sum(i) FROM g');
$t->sov_ok('restore', '-D', "$d/rs");
$t->stop($data, 'fast');
open($fh, '>>', "$d/rs/postgresql.conf"); print $fh "archive_mode = off\nport = $t->{port}\n"; close $fh;
$t->start("$d/rs");
is($t->sql('SELECT count(*), sum(i) FROM g'), $rows, 'and restores');
$t->stop("$d/rs");
system('rm', '-rf', "$d/rs");

# The standby becomes the primary, the old primary is rewound to follow it.
$psql->('SELECT pg_promote()');
is($psql->('SELECT pg_is_in_recovery()'), 'f', 'the standby is promoted');
$psql->('CHECKPOINT');	# pg_rewind looks at the control file
$psql->("UPDATE g SET x = 'timeline 2' WHERE i % 50 = 0");
$t->start($data, '-c archive_mode=off');
$t->sql("UPDATE g SET x = 'lost' WHERE i % 30 = 0");
$t->sql('CHECKPOINT');
$t->stop($data, 'fast');
run_as("$bin/pg_rewind", '-D', $data, '--source-server', "host=$d port=$port user=postgres dbname=postgres", '--no-sync');
$psql->('SELECT pg_switch_wal()');
$t->stop($sb, 'fast');
spit("$data/standby.signal", '');
system('chown', 'postgres', "$data/standby.signal") if $> == 0;
unlink "$data/standby.signal";
spit("$data/recovery.signal", '');
system('chown', 'postgres', "$data/recovery.signal") if $> == 0;
my $fetch = join ' ', SovTest::command(), '-c', $t->conf, 'wal-fetch %f %p';
my $own = slurp("$data/postgresql.conf");
$own =~ s/^port = .*\n//mg;
spit("$data/postgresql.conf", $own . "port = $t->{port}\nrestore_command = '$fetch'\nrecovery_target_timeline = 'latest'\n");
$t->start($data);
is($t->sql("SELECT count(*) > 0 FROM g WHERE x = 'timeline 2'"), 't', 'the rewound server has what the new primary had');
$t->backup_is_right('after promotion and pg_rewind');
is($t->sql('SELECT timeline_id FROM pg_control_checkpoint()') > 1, 1, 'on a later timeline');

done_testing();
