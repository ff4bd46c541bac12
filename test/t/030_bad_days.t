# Bad input and bad days: keys, damage, replay, providers gone, kill -9, and
# mistakes in the configuration.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
my ($s, $o, $e);
$t->sov_ok('init');
my $data = $t->start_new;
$t->sql("CREATE TABLE x AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 100000) g");
$t->sov_ok('backup');
$t->sql("INSERT INTO x SELECT g, 'later' FROM generate_series(1, 100) g");
ok($t->archive, 'a backup and its WAL');
my $want = $t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x");
$t->stop($data, 'fast');
my $n_restores = 0;

# Restore, start, compare; gives standard error of the restore.
sub restores_well
{
	my ($what) = @_;
	my $r = "$d/r" . ++$n_restores;
	my ($rs, $ro, $re) = $t->sov('restore', '-D', $r);
	is($rs, 0, "$what: restore succeeds") or diag "$ro$re";
	return $re if $rs ne '0';
	$t->start($r);
	is($t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x"), $want, "$what: and has everything");
	$t->stop($r);
	run_as('rm', '-rf', $r);
	return $ro . $re;
}

sub save { run_as('rm', '-rf', "$d/saved"); run_as('mkdir', "$d/saved"); run_as('cp', '-a', "$d/a", "$d/b", "$d/c", "$d/state", "$d/saved/"); }
sub put_back { for (qw(a b c state)) { run_as('rm', '-rf', "$d/$_"); run_as('cp', '-a', "$d/saved/$_", "$d/$_"); } }

# --- keys ---
run_as('cp', "$d/root.key", "$d/root.saved");
run_as('rm', "$d/root.key");
($s, $o, $e) = $t->sov('list');
is($s, 3, 'no root key');
like($e, qr/root\.key/, 'names the file');
like($e, qr/hint: /, 'and what to do');
run_as("$bin/pg_sovereign", '-c', $t->conf, 'key', 'create-root');
($s, $o, $e) = $t->sov('list');
is($s, 3, 'another root key');
like($e, qr/wrapped under root key \S+, the configured one is \S+/, 'names both');
run_as('cp', "$d/root.saved", "$d/root.key");
run_as('chmod', '644', "$d/root.key");
($s, $o, $e) = $t->sov('list');
is($s, 3, 'a root key that others may read is refused');
like($e, qr/chmod/, 'with what to do');
run_as('chmod', '600', "$d/root.key");
run_as('cp', "$d/root.key", "$d/a/root.key");
spit($t->conf . '.2', slurp($t->conf) =~ s{root = .*}{root = file:$d/a/root.key}r);
chmod 0644, $t->conf . '.2';
($s, $o, $e) = capture(as("$bin/pg_sovereign", '-c', $t->conf . '.2', 'list'));
isnt($s, 0, 'a root key in a provider\'s folder is refused');
like($e, qr/provider/, 'and says why');
run_as('rm', "$d/a/root.key");

# --- damage in each kind of object at one provider ---
save();
for my $class (qw(p m w r h a k))
{
	my @files = objects("$d/b", $class);
	ok(@files > 0, "provider b has objects of class $class");
	flip_byte($_, 0.6) for @files;
	($s, $o, $e) = $t->sov('verify', '--deep');
	if ($class =~ /[pmwr]/)
	{
		is($s, 5, "class $class: verify --deep finds it");
		my ($name) = $files[0] =~ m{/b/(.*)};
		like($o, qr/^damaged  provider b, object \Q$name\E/m, 'and names provider and object') or diag $o;
	}
	else
	{
		# heads and keyrings are read at every start: found, named and outvoted there
		like($o . $e, qr/provider b.*(refused|cannot be used|outvoted|damaged)/, "class $class: named") or diag "$o$e";
	}
	put_back(), flip_byte($_, 0.6) for $class =~ /[pmw]/ ? @files[0 .. 0] : ();
	my $text = restores_well("class $class damaged at b");
	($s, $o, $e) = $t->sov('repair', '--dry-run');
	ok($s == 5 || $class !~ /[pmw]/, 'a dry run mends nothing') or diag "$o$e";
	($s, $o, $e) = $t->sov('repair');
	is($s, 0, "class $class: repair mends") or diag "$o$e";
	($s, $o, $e) = $t->sov('verify', '--deep');
	is($s, 0, 'then all is well') or diag "$o$e";
	put_back();
}

# --- truncated, swapped, deleted ---
my @packs = sort { -s $b <=> -s $a } objects("$d/c", 'p');
my @wal = objects("$d/c", 'w');
system('truncate', '-s', '-1000', $packs[0]);
($s, $o, $e) = $t->sov('verify');
is($s, 5, 'a truncated shard is found without reading bodies');
like($o, qr/provider c, object p.*bytes instead of/, 'and named') or diag $o;
restores_well('truncated shard');
put_back();
run_as('mv', $wal[0], "$d/tmp_shard");
run_as('mv', $wal[1], $wal[0]);
run_as('mv', "$d/tmp_shard", $wal[1]);
($s, $o, $e) = $t->sov('verify');
is($s, 5, 'two shards swapped are found');
like($o, qr/provider c, object w.*put in another's place/, 'and named') or diag $o;
restores_well('swapped shards');
($s, $o, $e) = $t->sov('repair', '--quick');
is($s, 0, 'and mended') or diag "$o$e";
put_back();
run_as('rm', '-rf', "$d/c/p", "$d/c/w");
restores_well('all packs and WAL of one provider deleted');
($s, $o, $e) = $t->sov('repair');
is($s, 0, 'repair puts all of them back') or diag "$o$e";
run_as('mv', "$d/a", "$d/a.away");
restores_well('then another provider may vanish');
run_as('mv', "$d/a.away", "$d/a");
put_back();

# --- an old state put back ---
run_as('cp', '-a', "$d/a", "$d/a.old");
$t->start($data);
$t->sov_ok('backup', '--label', 'newer');
ok($t->archive, 'a newer backup');
$want = $t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x");
$t->stop($data, 'fast');
run_as('mv', "$d/a", "$d/a.new");
run_as('mv', "$d/a.old", "$d/a");
($s, $o, $e) = $t->sov('list');
is($s, 0, 'an old state at one provider');
like($e, qr/provider a showed head \d+ of writer \S+ where the others have \d+: outvoted/, 'is outvoted and named') or diag $e;
like($o, qr/newer/, 'the newer backup is there');
restores_well('old state at one provider');
($s, $o, $e) = $t->sov('repair');
is($s, 0, 'repair fills what that provider lost') or diag "$o$e";
run_as('rm', '-rf', "$d/a.new");

# --- two providers gone ---
run_as('mv', "$d/$_", "$d/$_.away") for qw(a b);
for my $cmd (['backup'], ['restore', '-D', "$d/never"], ['list'], ['verify'], ['plan'])
{
	($s, $o, $e) = $t->sov(@$cmd);
	cmp_ok($s, '!=', 0, "two of three gone: @$cmd fails");
	like($e, qr/provider a|server/, 'and says which') or diag $e;
}
ok(!-e "$d/never", 'nothing was written');
run_as('mv', "$d/$_.away", "$d/$_") for qw(a b);

# --- kill -9 in the middle of apply ---
run_as('mkdir', '-m', '700', "$d/e");
$t->configure(qw(a c e));
my $faults = "$d/faults";
for my $round (1 .. 4)
{
	spit($faults, "e put kill-after " . ($round * 3) . "\n");
	chmod 0644, $faults;
	($s, $o, $e) = capture(as('env', "PG_SOVEREIGN_FAULTS=$faults", $t->sov_cmd('apply')));
	is($s =~ /^(signal 9|137)$/ ? 'killed' : $s, 'killed', "apply is killed after " . ($round * 3) . " writes") or diag "$s $o$e";
	my ($vs, $vo, $ve) = $t->sov('list');
	is($vs, 0, 'the repository can be read') or diag "$vo$ve";
}
($s, $o, $e) = $t->sov('plan');
like($o, qr/move under way/, 'plan knows of it') or diag "$o$e";
($s, $o, $e) = $t->sov('apply');
is($s, 0, 'apply goes on and finishes') or diag "$o$e";
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'all is well') or diag "$o$e";
run_as('mv', "$d/a", "$d/a.away");
restores_well('from the new provider and one other');
run_as('mv', "$d/a.away", "$d/a");

# --- draining a live provider ---
run_as('mkdir', '-m', '700', "$d/f");
$t->configure(qw(c e f));
spit($t->conf, slurp($t->conf) . "[provider.a]\ntype = folder\npath = $d/a\nstate = drain\n");
($s, $o, $e) = $t->sov('plan', '--json');
like($o, qr/"why": "drained"/, 'a drained provider is in the plan') or diag "$o$e";
($s, $o, $e) = $t->sov('apply');
is($s, 0, 'drain') or diag "$o$e";
like($o, qr/^[1-9]\d* shards copied/m, 'copies what is there');
like($o, qr/receipt: provider a: [1-9]\d* objects .* deleted, 0 could not be/, 'and gives a receipt');
is(scalar(objects("$d/a", 'p')) + scalar(objects("$d/a", 'm')), 0, 'nothing is left there');
$t->configure(qw(c e f));
restores_well('after the drain');

# --- a full provider ---
spit($faults, "f put full\n");
$t->start($data);
($s, $o, $e) = capture(as('env', "PG_SOVEREIGN_FAULTS=$faults", $t->sov_cmd('backup')));
is($s, 0, 'a backup goes on while one provider is full') or diag "$o$e";
like($o, qr/are owed to a provider/, 'and says what is owed') or diag "$o$e";
($s, $o, $e) = $t->sov('repair');
is($s, 0, 'worked off when there is room') or diag "$o$e";
spit($faults, "f put full\ne put full\n");
($s, $o, $e) = capture(as('env', "PG_SOVEREIGN_FAULTS=$faults", $t->sov_cmd('backup')));
is($s, 4, 'with two full providers it fails') or diag "$s $o$e";
$t->stop($data, 'fast');

# --- mistakes in the configuration ---
my $good = slurp($t->conf);
my @mistakes = (
	[ 'needed = 2', 'needed = 4', qr/needed/ ],
	[ 'shards = 3', 'shards = 5', qr/shards/ ],
	[ 'needed = 2', 'neded = 2', qr/neded.*|needed/ ],
	[ 'type = folder', 'type = floder', qr/floder/ ],
	[ '[custody]', '[custdy]', qr/custdy/ ],
	[ 'name = test', "name = test\nname = again", qr/name/ ],
	[ "path = $d/c", "path = c", qr/path/ ],
	[ '[custody]', "[policy]\njurisdiction = Europe\n[custody]", qr/jurisdiction/ ],
);
for my $m (@mistakes)
{
	my ($from, $to, $like) = @$m;
	spit($t->conf, $good =~ s/\Q$from\E/$to/r);
	($s, $o, $e) = $t->sov('list');
	is($s, 2, "configuration: $to") or diag "$o$e";
	like($e, qr/sov\.conf:\d+: /, 'with file and line') or diag $e;
	like($e, $like, 'names it');
	like($e, qr/hint: /, 'and says what to do');
}
done_testing();
