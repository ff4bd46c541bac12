# repair, killed at twenty moments while it puts back what is missing: the next one
# ends what it began, and everything restores; verify holds its rate and gives way.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time sleep);
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\nautovacuum = off\n");
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) || md5((i + 1)::text) AS m FROM generate_series(1, 400000) i");
$t->sov_ok('backup');

sub spoil				# of one provider: some shards are gone, some have rubbish inside
{
	my ($p) = @_;
	my $i = 0;
	for my $f (map { objects("$d/$p", $_) } qw(p m r w))
	{
		$i++;
		if ($i % 2) { unlink($f) or die; next; }
		open(my $fh, '+<', $f) or die;
		seek($fh, (-s $f) / 2, 0);
		print $fh 'rubbish';
		close $fh;
	}
	return $i;
}

# --- killed at twenty moments ---
my ($killed, $tries) = (0, 0);
while ($killed < 20 && $tries++ < 120)
{
	spoil(qw(a b c)[$tries % 3]) if $tries % 4 == 1;
	$killed++ if $t->sov_killed(0.02 + rand(0.25), 'repair');
	# the damage of one provider is mended before that of the next begins
	$t->sov_ok('repair') if $tries % 4 == 0;
}
is($killed, 20, 'repair was killed twenty times');
$t->sov_ok('repair');
$t->sov_is('then nothing is missing', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
$t->sov_ok('restore', '-D', "$d/r");
system('rm', '-rf', "$d/r");

# --- a rate, and the lowest priority ---
my $stored = 0;
$stored += -s $_ for map { my $p = $_; map { objects("$d/$p", $_) } qw(p m r w) } qw(a b c);
my $start = time;
$t->sov_is('verify at a rate', 0, qr/0 damaged/, 'verify', '--deep', '--max-rate', int($stored / 2));
cmp_ok(time - $start, '>=', 1.6, 'takes its time');
my ($status, $out, $err) = capture(as('sh', '-c', '"$@" & sleep 1.5; ps -o ni= -p $!; wait $!', 'sh', $t->sov_cmd('verify', '--deep', '--nice', '--max-rate', int($stored / 4))));
like($out, qr/^\s*19\s*$/m, 'verify --nice runs at the lowest priority') or diag "$status $out $err";
($status, $out, $err) = capture(as('sh', '-c', '"$@" & sleep 1.5; ps -o ni= -p $!; ionice -p $!; wait $!', 'sh', $t->sov_cmd('backup', '--full', '--nice', '--max-rate', '20MB')));
like($out, qr/^\s*19\s*\nidle/m, 'backup --nice too, and lets others at the disk first') or diag "$status $out $err";
done_testing();
