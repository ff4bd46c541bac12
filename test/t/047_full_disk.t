# Disks that are really full: of one provider, of all of them, of the state directory,
# of the server itself and of the target of a restore.  Each time the message says
# what to do, nothing that was committed is harmed, and it goes on when there is room.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();
plan skip_all => 'only root can mount small file systems' if $> != 0;

my $t = SovTest->new;
my $d = $t->dir;
my @mounted;
sub mount_at
{
	my ($place, $size) = @_;
	mkdir $place;
	my ($status) = SovTest::capture('mount', '-t', 'tmpfs', '-o', "size=$size,mode=0700,uid=" . getpwnam('postgres') . ',gid=' . getgrnam('postgres'), 'tmpfs', $place);
	push @mounted, $place if $status eq '0';
	return $status eq '0';
}
sub unmount { system('umount', '-l', $_) for reverse @mounted; @mounted = (); }
END { my $s = $?; unmount(); $? = $s; }
# What takes the room, and gives it back.
sub fill { my ($place, $leave) = @_; my ($free) = `df --output=avail -B1 $place` =~ /(\d+)\s*\z/; SovTest::run_as('fallocate', '-l', $free - $leave, "$place/ballast") if $free > $leave; }
sub relieve { unlink "$_[0]/ballast"; }

my %size = (a => '80m', b => '80m', c => '80m', state => '60m', data => '320m');
for my $place (sort keys %size)
{
	mount_at("$d/$place", $size{$place}) or plan skip_all => 'file systems cannot be mounted here';
}
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\nmin_wal_size = 32MB\nmax_wal_size = 64MB\nrestart_after_crash = off\n");
$t->sql("CREATE TABLE t AS SELECT g AS i, md5(g::text) || md5((g + 1)::text) AS m FROM generate_series(1, 80000) g");
$t->sov_ok('backup', '--label', 'good');
ok($t->archive, 'a backup and its WAL');

# --- one provider ---
fill("$d/a", 100000);
$t->sql("UPDATE t SET m = reverse(m)");
my ($status, $out, $err) = $t->sov('backup');
is($status, 0, 'with one provider full a backup goes on') or diag "$out$err";
like("$out$err", qr/owed/, 'and says what is owed');
ok($t->archive(60), 'so does WAL');
relieve("$d/a");
$t->sov_is('worked off when there is room', 0, qr/ 0 damaged, 0 lost/, 'repair');
$t->sov_is('then all is there', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');

# --- all of them ---
fill("$d/$_", 50000) for qw(a b c);
($status, $out, $err) = $t->sov('backup', '--full');
isnt($status, 0, 'with all full it fails');
like($err, qr/error: .*(No space|full).*\n.*hint: /s, 'with what to do') or diag "$out$err";
$t->sql("INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 1000) g");
ok(!$t->archive(8), 'WAL is not acknowledged that is not stored');
relieve("$d/$_") for qw(a b c);
ok($t->archive(90), 'and is when there is room');
$t->sov_ok('repair', '--quick');
$t->sov_is('nothing is harmed', 0, qr/ 0 damaged, 0 lost/, 'verify');

# --- the state directory ---
fill("$d/state", 0);
($status, $out, $err) = $t->sov('backup');
if ($status eq '0') { pass('a full state directory does not stop a backup'); }
else { like($err, qr/error: .*No space.*\n.*hint: /s, 'a full state directory is told, with what to do') or diag "$out$err"; }
relieve("$d/state");
$t->sov_is('it goes on when there is room', 0, qr/^backup /, 'backup');

# --- the server ---
fill("$d/data", 0);
($status, $out, $err) = $t->sov('backup');
ok($status eq '0' || $err =~ /error: /, 'a server whose disk is full: a backup, or why not') or diag "$status $out$err";
relieve("$d/data");
# PostgreSQL itself stops when it cannot write WAL
unlink "$data/postmaster.pid" if !kill 0, (split /\n/, SovTest::slurp("$data/postmaster.pid"))[0] // 0;
$t->start($data) if $t->sql('SELECT 1', nofail => 1) ne '1';
$t->sov_is('it goes on when there is room', 0, qr/^backup /, 'backup');
my $rows = $t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i, m)) FROM t");
ok($t->archive(60), 'its WAL');
$t->stop($data, 'fast');

# --- the target of a restore ---
mount_at("$d/r", '20m');
($status, $out, $err) = $t->sov('restore', '-D', "$d/r");
is($status, 8, 'a restore without room fails') or diag "$status $out$err";
like($err, qr/No space left on device.*\n.*hint: free space, then restore again with --delta/s, 'with what to do') or diag $err;
system('mount', '-o', 'remount,size=300m', "$d/r");
$t->sov_is('and goes on when there is', 0, qr/./, 'restore', '-D', "$d/r", '--delta');
$t->start("$d/r");
is($t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i, m)) FROM t"), $rows, 'with all rows');
$t->stop("$d/r", 'fast');
unmount();
done_testing();
