# wal-fetch ahead of recovery: a segment that was fetched ahead needs no provider,
# is checked, is bounded, is never a reason to fail, and is gone afterwards.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my ($s, $o, $e);
$t->sov_ok('init');
my $data = $t->start_new(initdb => ['--data-checksums', '--wal-segsize=1'], conf => "max_wal_size = 64MB\nwal_keep_size = 512MB\n");
$t->sql("CREATE TABLE x (v text)");
my @names;
for (1 .. 30)
{
	push @names, $t->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
	$t->sql("INSERT INTO x SELECT md5(g::text) FROM generate_series(1, 500) g");
	$t->sql("SELECT pg_switch_wal()");
}
ok($t->archived, 'thirty segments are archived');
run_as('mkdir', "$d/pg_wal");
my $target = "$d/pg_wal/RECOVERYXLOG";

sub away { run_as('mv', "$d/$_", "$d/$_.away") for qw(a b c); }
sub back { run_as('mv', "$d/$_.away", "$d/$_") for qw(a b c); }
sub spool { return sort grep { /\/[0-9A-F]{24}$/ } glob("$d/state/fetched/*/*"); }
sub spooled { return map { s{.*/}{}r } spool(); }
sub wait_spool { my ($n) = @_; my $end = time + 30; sleep 0.05 while scalar(() = spool()) < $n && time < $end; sleep 0.2; return scalar(() = spool()); }
sub prefetchers { return grep { my $c = slurp("/proc/$_/cmdline"); $c =~ /wal-fetchd/ && $c =~ /\Q$d\E/ } map { m{(\d+)} } glob('/proc/[0-9]*'); }
sub wait_gone { my $end = time + ($_[0] // 40); sleep 0.1 while prefetchers() && time < $end; return !prefetchers(); }
sub fetch { my ($name) = @_; run_as('rm', '-f', $target); return $t->sov('wal-fetch', $name, $target); }
sub is_segment { my ($i, $what) = @_; ok(slurp($target) eq slurp("$data/pg_wal/$names[$i]"), $what); }

# --- a bound of eight segments ---
sub bound { my ($size) = @_; $t->configure(qw(a b c)); spit($t->conf, slurp($t->conf) =~ s/shards = 3/shards = 3\nfetch-spool = $size/r); }
bound('8MB');
my $begin = time;
{
	# as the server calls it: through a shell; whoever waits for the output must not wait for the prefetcher
	my $out = join('', qx(@{[join ' ', as($t->sov_cmd('wal-fetch', $names[0], $target))]} 2>&1));
	is($?, 0, 'the first segment') or diag $out;
}
cmp_ok(time - $begin, '<', 10, 'nothing of restore_command is held open');
is_segment(0, 'byte for byte');
is(wait_spool(8), 8, 'eight are fetched ahead, no more');
is(join(' ', spooled()), join(' ', @names[1 .. 8]), 'those that follow');
is((stat((spool())[0]))[2] & 0777, 0600, 'readable by the owner only');
is((stat((glob("$d/state/fetched/*"))[0]))[2] & 0777, 0700, 'in a directory of the owner');
is(scalar(prefetchers()), 1, 'by one process');
away();
($s, $o, $e) = fetch($names[1]);
is("$s$o$e", '0', 'with every provider away a segment that was fetched ahead is delivered, without a word');
is_segment(1, 'the right one');
is((stat($target))[7], 1 << 20, 'of the right length');
ok(!grep({ $_ eq $names[1] } spooled()), 'and is not kept');
($s, $o, $e) = fetch($names[20]);
is($s, 126, 'one that was not fetched ahead is not delivered, and recovery stops');
($s, $o, $e) = fetch('000000010000000000000999');
is($s, 126, 'and "not found" is not certain, whatever is kept');
back();

# --- what is kept is checked when it is taken ---
my $third = (spool())[0];
is($third =~ s{.*/}{}r, $names[2], 'the next one');
flip_byte($third, 700_000);
away();
($s, $o, $e) = fetch($names[2]);
is($s, 126, 'a damaged one is not delivered');
ok(!-e $target, 'nothing is written');
back();
($s, $o, $e) = fetch($names[2]);
is($s, 0, 'but fetched from the providers') or diag $e;
is_segment(2, 'whole');
run_as('cp', (spool())[1], (spool())[0]);
($s, $o, $e) = fetch($names[3]);
is($s, 0, 'one under another name is not believed') or diag $e;
is_segment(3, 'and fetched');
run_as('truncate', '-s', '500000', (spool())[0]);
($s, $o, $e) = fetch($names[4]);
is($s, 0, 'nor one that is cut') or diag $e;
is_segment(4, 'and fetched');

# --- recovery goes elsewhere ---
wait_spool(8);
($s, $o, $e) = fetch($names[20]);
is($s, 0, 'a later one') or diag $e;
wait_spool(8);
is(join(' ', spooled()), join(' ', @names[21 .. 28]), 'what is older is removed, what follows is fetched');
($s, $o, $e) = fetch($names[10]);
is($s, 0, 'an earlier one') or diag $e;
is_segment(10, 'the right one');

# --- to the end, and "not found" ---
for my $i (11 .. 29)
{
	($s, $o, $e) = fetch($names[$i]);
	is("$s$e", '0', "segment $i") or diag $e;
	is_segment($i, 'byte for byte');
}
my $next = $t->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
($s, $o, $e) = fetch($next);
is($s, 1, 'the one after the last is certainly not there');
$t->sql("INSERT INTO x VALUES ('later')");
ok($t->archive, 'then it is archived');
($s, $o, $e) = fetch($next);
is($s, 0, '"not found" was not kept') or diag $e;

# --- killed at any moment ---
for my $round (1 .. 20)
{
	fetch($names[$round]) if $round % 3 == 1;
	select(undef, undef, undef, 0.02 * ($round % 7));
	kill 'KILL', $_ for prefetchers();
	($s, $o, $e) = fetch($names[$round]);
	is("$s$e", '0', "killed prefetcher $round: the segment comes") or diag $e;
	is_segment($round, 'byte for byte');
}
for my $round (1 .. 20)
{
	run_as('rm', '-f', $target);
	my $killed = $t->sov_killed(0.003 * $round, 'wal-fetch', $names[$round + 3], $target);
	ok(!-e $target || slurp($target) eq slurp("$data/pg_wal/$names[$round + 3]"), 'killed wal-fetch: whole or not at all' . ($killed ? '' : ' (it was faster)'));
	($s, $o, $e) = fetch($names[$round + 3]);
	is("$s$e", '0', 'called again it delivers') or diag $e;
	is_segment($round + 3, 'byte for byte');
}

# --- it ends by itself and leaves nothing ---
ok(wait_gone(), 'when nobody asks any more the prefetcher ends');
is(join(' ', glob("$d/state/fetched/*/*")), '', 'and nothing in the clear is left');

# --- off ---
bound('0');
($s, $o, $e) = fetch($names[0]);
is($s, 0, 'with fetch-spool = 0') or diag $e;
sleep 0.5;
is(scalar(prefetchers()), 0, 'nothing is fetched ahead');
bound('8MB');

# --- another cluster's configuration, another target: none of it is taken ---
fetch($names[0]);
wait_spool(8);
spit($t->conf, slurp($t->conf) . "# changed\n");
away();
($s, $o, $e) = fetch($names[1]);
is($s, 126, 'what was fetched under another configuration is not used');
back();
ok(wait_gone(), 'its prefetcher ends');

# --- a full and a read-only state directory ---
SKIP: {
	skip 'only root can mount', 1 if $> != 0;
	run_as('mv', "$d/state", "$d/state.away");
	run_as('mkdir', "$d/state");
	system("mount -t tmpfs -o size=3m,mode=0700,uid=\$(id -u postgres),gid=\$(id -g postgres) none $d/state") == 0
	  or skip 'a tmpfs cannot be mounted here', 1;
	bound('64MB');
	for my $i (0 .. 5)
	{
		($s, $o, $e) = fetch($names[$i]);
		is($s, 0, "segment $i with a spool that is full") or diag $e;
		is_segment($i, 'byte for byte');
		sleep 0.2;
	}
	wait_gone();
	run_as('sh', '-c', "cat /dev/zero >$d/state/fill || true");
	for my $i (0 .. 2)
	{
		($s, $o, $e) = fetch($names[$i]);
		is($s, 0, "segment $i with a state directory without a free byte") or diag $e;
	}
	system("mount -o remount,ro $d/state");
	($s, $o, $e) = fetch($names[3]);
	is($s, 0, 'and with one that is read-only') or diag $e;
	is_segment(3, 'byte for byte');
	wait_gone();
	system("umount $d/state");
	run_as('rm', '-rf', "$d/state");	# (what the last one began may just begin)
	run_as('mv', "$d/state.away", "$d/state");
}
done_testing();
