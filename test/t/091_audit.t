# The audit log of commands with a real cluster: what they note, what root may do to
# it on the host and at providers, a full disk, a shipper that is killed.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
$t->sov_ok('init');
$t->start_new(conf => "fsync = off\nautovacuum = off\n");
$t->sql('CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
$t->sov_ok('backup');
$t->sov_ok('verify');
$t->sov_ok('restore', '-D', "$d/r");
$t->sov_is('a restore that fails', 6, qr/error:/, 'restore', '-D', "$d/r");
$t->sov_ok('prune', '--keep-last', '1', '--grace', '0');
$t->sov_ok('backup');	# its head names what is on record so far

# --- what is on record ---
my ($status, $out, $err) = $t->sov('audit', 'export');
is($status, 0, 'export ends well') or diag($err);
is(join(' ', $out =~ /"event":"(\S+?)","outcome":"(\S+?)"/g), 'start done configuration done backup done verify done restore done restore failed prune done backup done',
	'every command is there, in order, with how it ended');
is(scalar(grep { !/^\{"seq":\d+,"time":"20\d\d-.*\}$/ } split /\n/, $out), 0, 'as lines of JSON');
$t->sov_is('the log is whole', 0, qr/9 entries in \d+ batches of 1 chains.*this host's own log: whole/, 'audit', 'verify');
is(join(' ', map { sprintf '%04o', (stat)[2] & 07777 } "$d/state/audit", glob("$d/state/audit/{log,chain.key}")), '0700 0600 0600', 'others may not read it');
like($t->sov_ok('verify', '--deep'), qr/0 missing, 0 damaged, 0 lost/, 'verify knows its objects');

# --- a retention that is too short, and another configuration ---
my $text = slurp($t->conf);
spit($t->conf, "$text\[audit]\nkeep-days = 90\n");
$t->sov_is('keeping it for less than a year is refused', 2, qr/may not be deleted earlier than after 366 days.*hint: /s, 'audit', 'verify');
spit($t->conf, "$text\[audit]\ninterval = 1s\n");
$t->sov_ok('audit', 'ship');
like($t->sov_ok('audit', 'export'), qr/"event":"configuration"[^\n]*sha256[^\n]*\n.*"event":"configuration"[^\n]*sha256/s, 'another configuration is on record');

# --- what somebody may do ---
sub after
{
	my ($name, $command, $re) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	system("mkdir $d/keep && cp -a $d/a $d/b $d/c $d/state $d/keep");
	if (ref $command) { $command->(); } else { system("cd $d && $command") == 0 or die $command; }
	$t->sov_is($name, 5, $re, 'audit', 'verify');
	system("cd $d && rm -rf a b c state && mv keep/* . && rmdir keep");
}
after('a batch removed at one provider', 'rm b/l/*/0000000000000002', qr/WRONG: provider b lacks/);
after('removed at all', 'rm [abc]/l/*/0000000000000002', qr/WRONG: .*batches 2 to 2 are at no provider: 1 entries/);
after('two exchanged', 'for p in a b c; do (cd $p/l/* && mv 0000000000000002 x && mv 0000000000000003 0000000000000002 && mv x 0000000000000003) || exit 1; done', qr/put in another's place/);
after('the end cut off at the providers, and the host rewritten', 'n=$(ls a/l/* | grep -v beat | tail -1); rm [abc]/l/*/$n; rm -r state/audit', qr/the end was cut off/);
after('an entry of the local log', sub { flip_byte("$d/state/audit/log", 90) }, qr/this host's log is wrong after entry 0/);
after('the whole log begun anew by root, with all keys', join(' ', 'rm -r state/audit [abc]/l;', map { "'$_'" } as($t->sov_cmd('audit', 'ship'))) . ' >/dev/null', qr/with a hash that no chain has: removed or replaced/);
$t->sov_is('nothing of it stayed', 0, qr/: whole/, 'audit', 'verify');

# --- bad days ---
SKIP: {
	skip 'a small file system needs root', 3 unless $> == 0 && system("mkdir $d/full && mount -t tmpfs -o size=64k,mode=0777 tmpfs $d/full 2>/dev/null") == 0;
	spit($t->conf, "$text\[audit]\ndirectory = $d/full/audit\n");
	system("cp -a $d/state/audit $d/full/ && chown -R postgres $d/full/audit && head -c 100000 /dev/zero > $d/full/filler 2>/dev/null");
	my ($status, $out, $err) = $t->sov('backup');
	is($status, 0, 'with a full disk for the log a backup goes on');
	like($err, qr/audit log: could not (create|write) audit entry.*No space left/, 'and says that it is not on record');
	spit($t->conf, "$text\[audit]\ninterval = 1s\n");
	system("umount $d/full");
	$t->sov_is('the log before is whole', 0, qr/: whole/, 'audit', 'verify');
}
for my $seconds (0.05, 0.2, 0.6, 1.3)
{
	$t->sov_killed($seconds, 'audit', 'ship', '--follow');
}
$t->sov_ok('audit', 'ship');
$t->sov_is('a shipper killed at any moment leaves a whole log', 0, qr/: whole/, 'audit', 'verify');
rename "$d/$_", "$d/$_.off" for qw(a b);
$t->sov_is('with one provider nothing can be told', 4, qr/error:/, 'audit', 'verify');
rename "$d/a.off", "$d/a";
$t->sov_ok('audit', 'ship');
$t->sov_is('with two it can', 0, qr/: whole/, 'audit', 'verify');
rename "$d/b.off", "$d/b";
$t->sov_ok('repair');
$t->sov_is('and when the third is back, all have it', 0, qr/: whole/, 'audit', 'verify');
$t->sov_ok('audit', 'close');
$t->sov_ok('audit', 'ship');
$t->sov_is('a chain that was closed is no finding', 0, qr/of 2 chains.*: whole/, 'audit', 'verify');

done_testing();
