# prune: rules, dry runs, WAL by ranges, orphans, a backup under way, refusals of a
# provider, and kill -9 at any moment: every backup that is kept restores.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\nautovacuum = off\n");
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 200000) i");
$t->sql('CHECKPOINT');

sub backup
{
	$t->sql("UPDATE t SET m = md5(m) WHERE i % 1000 = " . int(rand(1000)));
	my $out = $t->sov_ok('backup', @_);
	return $out =~ /^backup (\S+)/m ? $1 : die $out;
}
sub bytes { my $sum = 0; for my $c (qw(p m w r)) { $sum += -s $_ for map { objects("$d/$_", $c) } qw(a b c) } return $sum; }
sub listed { return $t->sov_ok('list') =~ /^(20\S+)/mg; }
sub restores
{
	my ($name, @ids) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $bad = '';
	for my $id (@ids)
	{
		my ($status, $out, $err) = $t->sov('restore', '-D', "$d/r", '--backup', $id);
		$bad .= "$id: $err" if $status ne '0';
		system('rm', '-rf', "$d/r");
	}
	is($bad, '', $name);
}

my @b = map { backup() } 1 .. 5;

# --- refusals and dry runs ---
$t->sov_is('without a rule it refuses', 2, qr/no rule says which backups to keep.*hint: give --keep-last/s, 'prune');
$t->sov_is('a misspelt rule', 2, qr/unknown option/, 'prune', '--keep-lasts', '1');
{
	my $before = join ' ', map { objects("$d/$_", 'p'), objects("$d/$_", 'm'), objects("$d/$_", 'w') } qw(a b c);
	$t->sov_is('a dry run lists what would go', 0, qr/remove \Q$b[0]\E.*keep   \Q$b[4]\E.*would remove \d+ packs/s, 'prune', '--keep-last', '1', '--grace', '0', '--dry-run');
	my $json = ($t->sov('prune', '--keep-last', '1', '--grace', '0', '--dry-run', '--json'))[1];
	cmp_ok(($json =~ /"freed_bytes_in_all": (\d+)/)[0], '>', 100000, 'and what it frees');
	is(join(' ', map { objects("$d/$_", 'p'), objects("$d/$_", 'm'), objects("$d/$_", 'w') } qw(a b c)), $before, 'and changes nothing');
	is(scalar(my @all = listed()), 5, 'nor what is listed');
}

# --- grace, then deletion ---
my $full = bytes();
$t->sov_is('two are no longer offered', 0, qr/2 backups are no longer offered/, 'prune', '--keep-last', '3');
is(join(' ', listed()), "@b[2..4]", 'list shows three');
$t->sov_is('nor restored by name', 1, qr/there is no backup/, 'restore', '-D', "$d/r", '--backup', $b[0]);
my ($dry) = ($t->sov('prune', '--keep-last', '3', '--grace', '0', '--dry-run', '--json'))[1] =~ /"freed_bytes_in_all": (\d+)/;
my $before = bytes();
my ($out) = ($t->sov('prune', '--keep-last', '3', '--grace', '0', '--json'))[1];
my ($freed) = $out =~ /"freed_bytes_in_all": (\d+)/;
is($freed, $dry, 'it frees what the dry run said');
is($before - bytes(), $freed, 'and that is what is gone');
cmp_ok(bytes(), '<', $full, 'less is stored');
restores('the three others restore', @b[2 .. 4]);
like($t->sov_ok('verify', '--deep'), qr/0 missing, 0 damaged, 0 lost.*3 of 3 backups/s, 'verify --deep is content');
$t->sov_is('pruning again removes nothing', 0, qr/removed 0 packs, 0 objects/, 'prune', '--keep-last', '3', '--grace', '0');

# --- WAL goes with the backups that needed it, and not more ---
{
	my $first = ($t->sov_ok('list', '--json') =~ /"start_lsn": "([^"]+)"/)[0];
	my $segment = $t->sql("SELECT pg_walfile_name('$first')");
	$t->sov_is('the first segment that is needed is there', 0, qr//, 'wal-fetch', $segment, "$d/seg");
	my ($tli, $no) = (substr($segment, 0, 8), hex substr($segment, 16));
	$t->sov_is('the one before it is gone', 126, qr/not there, but the later|at no provider/, 'wal-fetch', sprintf('%s%08X%08X', $tli, 0, $no - 1), "$d/seg2");
}

# --- rules of the configuration ---
{
	open(my $fh, '>>', $t->conf) or die;
	print $fh "[retention]\nkeep-last = 2\ngrace = 0\n";
	close $fh;
	$t->sov_is('[retention] rules', 0, qr/remove \Q$b[2]\E/, 'prune', '--dry-run');
	$t->sov_is('a rule on the command line replaces them', 0, qr/keep   \Q$b[2]\E/, 'prune', '--dry-run', '--keep-last', '5');
	$t->sov_ok('prune');
	is(join(' ', listed()), "@b[3..4]", 'and are carried out');
	my $conf = slurp($t->conf);
	spit($t->conf, $conf =~ s/keep-last = 2/keep-last = many/r);
	$t->sov_is('a rule that is none', 2, qr/line|:\d+: "keep-last = many" is not allowed/, 'prune');
	spit($t->conf, $conf);
}

# --- a backup under way ---
{
	my $pid = fork();
	if ($pid == 0) { open(STDOUT, '>', "$d/slow.out"); open(STDERR, '>&STDOUT'); exec(as($t->sov_cmd('backup', '--max-rate', '15MB'))) or POSIX::_exit(99); }
	select undef, undef, undef, 1.0;
	$t->sov_is('prune during a backup deletes nothing yet', 0, qr/nothing was deleted: writer/, 'prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
	waitpid($pid, 0);
	my $status = $? >> 8;
	# Its base was one that stays: it ends well; were it the condemned one, it would say so.
	like(slurp("$d/slow.out"), $status ? qr/was pruned meanwhile/ : qr/^backup 20/m, 'the backup ends well or says what happened');
	is($status, 0, 'here the newest stays, so it ends well') or diag slurp("$d/slow.out");
	$t->sov_ok('prune', '--keep-last', '1', '--grace', '0');
	my @left = listed();
	is(scalar @left, 1, 'afterwards the rules hold');
	restores('and what is left restores', @left);
}

# --- orphans of an interrupted backup ---
{
	ok($t->sov_killed(1.0, 'backup', '--full', '--max-rate', '10MB'), 'a backup is killed');
	unlink "$d/state/backup.pieces";
	my $with = bytes();
	$t->sov_is('its parts stay for their grace', 0, qr/removed 0 packs/, 'prune', '--grace', '0');
	$t->sov_is('and go after it', 0, qr/removed/, 'prune', '--grace', '0', '--orphan-grace', '0');
	cmp_ok(bytes(), '<=', $with, 'less is stored');
	like($t->sov_ok('verify', '--deep'), qr/0 missing, 0 damaged, 0 lost/, 'verify is content');
}

# --- a provider that is away, and one that refuses ---
{
	backup() for 1 .. 2;
	rename "$d/b", "$d/b.away";
	$t->sov_ok('prune', '--keep-last', '1', '--grace', '0');
	rename "$d/b.away", "$d/b";
	my $with = bytes();
	$t->sov_is('what is left there alone is not called lost', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify');
	$t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
	cmp_ok(bytes(), '<', $with, 'what an absent provider kept goes when it is back');
	like($t->sov_ok('verify'), qr/0 missing/, 'and nothing is missing') or diag $t->sov_ok('verify');
  SKIP: {
		backup();
		spit("$d/faults", "c remove error\n");
		local $ENV{PG_SOVEREIGN_FAULTS} = "$d/faults";
		my ($status, $out) = $t->sov('prune', '--keep-last', '1', '--grace', '0');
		is($status, 4, 'a provider that refuses to delete') or diag $out;
		like($out, qr/not deleted: provider c, object/, 'is named, and the others are pruned');
		spit("$d/faults", "c get error\n");
		my $there = objects("$d/c", 'w') + objects("$d/c", 'p') + objects("$d/c", 'm');
		cmp_ok($there, '>=', 20, 'a provider with some objects');
		($status, $out) = $t->sov('verify');
		is($status, 4, 'lists them, but gives none') or diag "$status $out";
		like($out, qr/0 missing, 0 damaged, 0 lost/, 'so nothing is known to be damaged there');
	}
	$t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
}

# --- the newest backup is broken: the good one before it stays ---
{
	my $good = (listed())[-1];
	my %known = map { $_ => 1 } map { objects("$d/$_", 'p') } qw(a b c);
	my $broken = backup();
	my @new = grep { !$known{$_} } map { objects("$d/$_", 'p') } qw(a b c);
	rename $_, "$_.gone" for @new;
	$t->sov_is('keep-last 1 keeps a good one and the broken newest', 0, qr/keep   \Q$good\E.*keep   \Q$broken\E.*NOT WHOLE/s, 'prune', '--keep-last', '1', '--grace', '0', '--dry-run');
	rename "$_.gone", $_ for @new;
}

# --- kill -9 at twenty moments ---
{
	my ($killed, $tries) = (0, 0);
	srand 7;
	while ($killed < 20 && $tries++ < 60)
	{
		backup() if $tries % 2;
		$killed++ if $t->sov_killed(0.005 + rand(0.12), 'prune', '--keep-last', '2', '--grace', '0', '--orphan-grace', '0');
	}
	is($killed, 20, 'prune was killed twenty times');
	like(($t->sov('verify'))[1], qr/ 0 damaged, 0 lost/, 'what it left half-way is not called lost');
	$t->sov_ok('prune', '--keep-last', '2', '--grace', '0', '--orphan-grace', '0');
	my @left = listed();
	is(scalar @left, 2, 'then it ends');
	restores('and both backups restore', @left);
	like($t->sov_ok('verify', '--deep'), qr/0 missing, 0 damaged, 0 lost.*2 of 2 backups/s, 'verify --deep is content');
	my $admin = -s (objects("$d/a", 'a'))[-1];
	cmp_ok($admin, '<', 4096, 'the list of condemned backups does not grow for ever');
}

done_testing();
