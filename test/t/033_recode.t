# k and n are changed by an edit of the configuration, under archiving and a
# backup, with kill -9; old backups stay restorable throughout.
use strict;
use warnings;
use Test::More;
use POSIX ();
use lib 'test/t';
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();
my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
my ($s, $o, $e);
$t->sov_ok('init');
my $data = $t->start_new;
$t->sql("CREATE TABLE x AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 50000) g");
$t->sov_ok('backup');
$t->sql("INSERT INTO x SELECT g, 'later' FROM generate_series(1, 100) g");
ok($t->archive, 'a backup and its WAL, any 2 of 3');

my $first = SovTest::slurp($t->conf);
sub shape
{
	my ($k, $n, @names) = @_;
	(my $c = $first) =~ s/^\[provider\..*//ms;
	$c =~ s/^needed = .*/needed = $k/m;
	$c =~ s/^shards = .*/shards = $n/m;
	for my $p (@names)
	{
		my ($name, $state) = split /:/, $p;
		run_as('mkdir', '-p', "$d/$name");
		$c .= "[provider.$name]\ntype = folder\npath = $d/$name\n" . ($state ? "state = $state\n" : '');
	}
	SovTest::spit($t->conf, $c);
	chmod 0644, $t->conf;
}

my $n_restores = 0;
sub restores
{
	my ($what, @without) = @_;
	my $r = "$d/r" . ++$n_restores;
	my $want = $t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x");
	ok($t->archive, "$what: archiving works");
	my ($rs, $ro, $re) = $t->sov('restore', '-D', $r, map { ('--without', $_) } @without);
	is($rs, 0, "$what: restore" . (@without ? " without @without" : '')) or diag "$ro$re";
	$t->stop($data, 'fast');
	$t->start($r);
	is($t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x"), $want, "$what: and has everything");
	$t->stop($r);
	run_as('rm', '-rf', $r);
	$t->start($data);
}

# --- 2 of 3 becomes 3 of 5 ---
shape(3, 5, qw(a b c e f));
($s, $o, $e) = $t->sov('plan', '--json');
like($o, qr/"recode": \{[^}]*"from": \[\s*2,\s*3\s*\][^}]*"to": \[\s*3,\s*5/s, 'plan shows it') or diag "$o$e";
my $killed = 0;
for my $after (2, 5, 9, 14)
{
	SovTest::spit("$d/faults", "f put kill $after\n");
	chmod 0644, "$d/faults";
	($s, $o, $e) = capture(as('env', "PG_SOVEREIGN_FAULTS=$d/faults", $t->sov_cmd('apply')));
	$killed++ if $s =~ /^(signal 9|137)$/;
	$t->sql("INSERT INTO x VALUES ($after, 'under way')");
	restores("killed after $after writes") if $after == 5;
}
cmp_ok($killed, '>=', 3, 'apply was killed in the middle');
$t->sov_ok('backup');
like(($t->sov('plan'))[1], qr/under way/, 'plan knows of it');
($s, $o, $e) = $t->sov('apply', '--json');
is($s, 0, 'apply goes on and finishes') or diag "$o$e";
like(($t->sov('plan'))[1], qr/nothing to do/, 'nothing is left');
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'all is right, read whole') or diag "$o$e";
restores('3 of 5', 'a', 'f');

# --- back to 2 of 3, leaving two: one drained, one gone without a word ---
shape(2, 3, qw(a b e c:drain));
run_as('rm', '-rf', "$d/f");
($s, $o, $e) = $t->sov('apply', '--json');
is($s, 0, '3 of 5 becomes 2 of 3') or diag "$o$e";
like($o, qr/"provider": "c"[^}]*"reached": true/s, 'the drained one is emptied');
like($o, qr/"provider": "f"[^}]*"reached": false/s, 'of the other the receipt says that it was not reached');
is(join(' ', map { SovTest::objects("$d/c", $_) } qw(p m w r a h k)), '', 'and holds nothing any more');
my ($file) = $o =~ /"file": "(receipts\/c-[^"]+)"/;
like(SovTest::slurp("$d/state/$file"), qr/"deleted": \[\s*"[a-z]\//, 'the receipt names each object');
shape(2, 3, qw(a b e));
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'all is right') or diag "$o$e";
$t->sov_ok('backup');
restores('2 of 3', 'b');

# --- a backup, archiving and a restore while apply moves ---
shape(2, 3, qw(a b h e:drain));
SovTest::spit("$d/faults", "h put slow=2000\n");
chmod 0644, "$d/faults";
my $apply = fork();
if ($apply == 0)
{
	open(STDOUT, '>', "$d/apply.out");
	open(STDERR, '>&STDOUT');
	exec(as('env', "PG_SOVEREIGN_FAULTS=$d/faults", $t->sov_cmd('apply'))) or POSIX::_exit(99);
}
for (1 .. 300) { last if SovTest::objects("$d/h", 'm') || waitpid($apply, POSIX::WNOHANG()); select(undef, undef, undef, 0.1); }
$t->sql("INSERT INTO x VALUES (77, 'while apply moves')");
$t->sov_ok('backup');
ok($t->archive, 'WAL is archived while apply moves');
$t->sov_ok('restore', '-D', "$d/meanwhile");
is(waitpid($apply, POSIX::WNOHANG()), 0, 'apply still moves after a backup and a restore');
SovTest::spit("$d/faults", '');
waitpid($apply, 0);
is($?, 0, 'and finishes') or diag SovTest::slurp("$d/apply.out");
is(join(' ', map { SovTest::objects("$d/e", $_) } qw(p m w r a h k)), '', 'the one that was left is empty');
shape(2, 3, qw(a b h));
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'what was stored meanwhile is whole, too') or diag "$o$e";
restores('after a move', 'b');

# --- bad input ---
shape(3, 4, qw(a b h g));
SovTest::spit("$d/faults", "g put kill 3\n");
capture(as('env', "PG_SOVEREIGN_FAULTS=$d/faults", $t->sov_cmd('apply')));
shape(2, 3, qw(a b h));
($s, $o, $e) = $t->sov('apply');
is($s, 2, 'another change in the middle of one is refused');
like($e, qr/set needed = 3 and shards = 4/, 'and says what to do') or diag $e;
shape(3, 4, qw(a b h g));
($s, $o, $e) = $t->sov('apply');
is($s, 0, 'which works') or diag "$o$e";
$t->stop($data, 'fast');

# --- a provider is left without being read, while another lacks what it has ---
sub lose
{
	my @packs = SovTest::objects("$d/$_[0]", 'p');
	unlink $packs[0] or die;
}
lose('a');
shape(2, 3, qw(a b h));
$t->sov_is('a provider is not given up that has the shard which saves a backup', 4,
	qr/could not be restored without provider "g".*hint: put its section back.*--accept-loss/s, 'apply');
shape(2, 3, qw(a b h g:drain));
$t->sov_is('with its section back it is left', 0, qr/receipt: provider g: \d+ objects/, 'apply');
shape(2, 3, qw(a b h));
$t->sov_is('and nothing is lost', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
shape(3, 4, qw(a b h i));
$t->sov_is('3 of 4 again', 0, qr/./, 'apply');
lose('a');
shape(2, 3, qw(a b h));
$t->sov_is('not given up', 4, qr/without provider "i"/, 'apply');
$t->sov_is('until the loss is accepted', 0, qr/./, 'apply', '--accept-loss');
$t->sov_is('which is told of', 5, qr/[1-9]\d* lost/, 'verify');
done_testing;
