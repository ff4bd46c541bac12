# Packs of earlier backups: those that are lost are never inherited, of those that
# are mostly unused the rest is stored anew, and prune then lets them go.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\nautovacuum = off\n");
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m, md5((i + 1)::text) AS x FROM generate_series(1, 400000) i");

sub backup
{
	my ($out) = ($t->sov('backup', '--json', @_))[1];
	my %r = map { /"([a-z_]+)": "?([^",}\s]*)/ ? ($1 => $2) : () } split /,\s*/, $out;
	ok($r{backup}, "backup @_") or diag $out;
	return \%r;
}
sub rows { return $t->sql("SELECT count(*) || ' ' || md5(string_agg(t::text, '' ORDER BY i)) FROM t", @_); }
sub restores
{
	my ($name, $want) = @_;
	my $r = "$d/r";
	$t->sov_is('restore', 0, qr//, 'restore', '-D', $r);
	$t->stop($data);
	# a timeline of its own is not for the repository: $data goes on
	run_as('sh', '-c', "echo 'archive_mode = off' >>'$r/postgresql.conf'");
	$t->start($r);
	is(rows(), $want, $name);
	$t->stop($r);
	system('rm', '-rf', $r);
	$t->start($data);
}
sub spoil				# bytes at an offset, or in the middle
{
	my ($f, $at) = @_;
	open(my $fh, '+<', $f) or die;
	seek($fh, $at // (-s $f) / 2, 0);
	print $fh 'rubbish';
	close $fh;
}
sub packs { my ($p) = @_; return map { m{([^/]+)$} } objects("$d/$p", 'p'); }

# --- mostly unused ---
my $first = backup();
is($first->{sparse_packs}, 0, 'none is sparse at first');
my @full_packs = packs('a');
$t->sql("UPDATE t SET x = md5(x) WHERE i <= 380000");
$t->sql("VACUUM FULL t");
my $second = backup();
my $third = backup();
cmp_ok($third->{sparse_packs}, '>', 0, 'what is left of packs that are mostly unused is found');
cmp_ok($third->{moved_bytes}, '>', 0, 'and stored anew');
my $back_then = backup();
is($back_then->{sparse_packs}, 0, 'once');
my $want = rows();
spoil("$d/c/p/$_", 40) for packs('c');	# in the header
$t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
my %left = map { $_ => 1 } packs('a');
# One that holds much of the catalogs may have a third in use; it stays.
cmp_ok(scalar(grep { $left{$_} } @full_packs), '<=', @full_packs - $third->{sparse_packs}, 'prune lets the first packs go, those that were mostly unused too');
is(scalar(packs('c')), scalar(packs('a')), 'also where their headers cannot be read');
$t->sov_is('repair mends those that stay', 0, qr/[1-9]\d* mended/, 'repair');
$t->sov_is('everything is there', 0, qr/0 lost/, 'verify', '--deep');
restores('and restores', $want);

# --- lost: the files are gone ---
my @before = map { my $p = $_; map { "$d/$p/p/$_" } packs($p) } qw(a b c);
run_as('rm', '-f', @before);
my $healed = backup();
cmp_ok($healed->{lost_packs}, '>', 0, 'a backup notices that packs of the last one are lost');
cmp_ok($healed->{moved_bytes}, '>', 20e6, 'and stores what was in them anew');
my $verified = ($t->sov('verify'))[1];
like($verified, qr/LOST +backup \Q$back_then->{backup}\E: it cannot be restored/, 'verify names the backups that need them');
my %said;
is(scalar(grep { /^LOST +(pack \S+)/ && $said{$1}++ } split /\n/, $verified), 0, 'and each pack once');
like($verified, qr/^1 of \d+ backups can be restored/m, 'the new one can be restored');
is(backup()->{lost_packs}, 0, 'and the next backup needs none of them');

# --- lost: the files are there, and two of three are rubbish ---
my $by_mtime = backup('--by-mtime');
cmp_ok($by_mtime->{not_read_bytes}, '>', 0, 'by-mtime skips files');
for my $p (qw(b c))
{
	spoil("$d/$p/p/$_") for packs($p);
}
is(backup()->{lost_packs}, 0, 'names alone do not show that');
$t->sov_is('verify does', 5, qr/\d+ damaged, [1-9]\d* lost/, 'verify', '--deep');
my %old = map { $_ => 1 } map { packs($_) } qw(a b c);
my $again = backup('--by-mtime');
cmp_ok($again->{lost_packs}, '>', 0, 'and the next backup knows, also by-mtime');
restores('so that it restores', $want);
for my $p (qw(a b c))
{
	spoil("$d/$p/p/$_", 40) for grep { $old{$_} } packs($p);
}
$t->sov_is('prune waits with what says no more what it is', 0, qr/removed \d+ packs/, 'prune', '--keep-last', '1', '--grace', '0');
$t->sov_is('and shows it', 5, qr/p\/\w+ \(of no object that is left; when nothing needs it, prune sweeps it\)/, 'verify');
$t->sov_is('until it is an orphan for long enough', 0, qr/^removed [1-9]\d* damaged shards/m, 'prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
$t->sov_is('when what was lost is pruned, all is whole', 0, qr/0 damaged, 0 lost/, 'verify', '--deep');

# --- a provider out of reach is no loss ---
run_as('mv', "$d/c", "$d/c.away");
my $away = backup();
is($away->{lost_packs}, 0, 'a provider out of reach is no loss');
run_as('mv', "$d/b", "$d/b.away");
$t->sov('verify');
run_as('mv', "$d/b.away", "$d/b");
run_as('mv', "$d/c.away", "$d/c");
$t->sov_ok('repair');
my $back = backup();
is($back->{lost_packs}, 0, 'nor are two') or diag explain $back;
done_testing();
