# Leaving: every kind of provider as the one that is left and as the one that takes its
# place.  The third place of a repository goes round all ordered pairs of kinds, with
# the real servers.
use strict;
use warnings;
use Test::More;
use lib 'test/t';
use SovTest;

my $t = SovTest->new(qw(a b c));
my $d = $t->dir;
my %server = (s3 => 'ceph', swift => 'swift', azure => 'azurite', webdav => 'nginx', sftp => 'sshd');
my %made = (webdav => 'nginx/store', sftp => 'sshd/store');
my (%pids, %section, @kinds);
SovTest::run_as('mkdir', "$d/bin");
system("cp test/servers/*.sh test/servers/*.py $d/bin/") == 0 or die;
for my $kind (sort keys %server)
{
	my $s = $server{$kind};
	SovTest::run_as('mkdir', "$d/$s");
	my ($status, $out, $err) = SovTest::capture(SovTest::as('env', "HOME=$d/$s", 'bash', "$d/bin/$s.sh", "$d/$s"));
	$pids{$s} = [split /\n/, SovTest::slurp("$d/$s/pids")];
	if ($status eq '77')
	{
	  SKIP: { skip "$s: $out", 1; }
		next;
	}
	is($status, 0, "$s starts") or diag "$out$err";
	($section{$kind}) = grep { /^type = $kind$/m } split /\n\n/, SovTest::slurp("$d/$s/providers.conf");
	push @kinds, $kind if $section{$kind};
}
END { my $status = $?; kill 'KILL', map { -$_ } map { @$_ } values %pids; $? = $status; }
push @kinds, 'folder';

# A tour that takes every arc of the complete graph once (Hierholzer).
my %left = map { my $k = $_; $k => [grep { $_ ne $k } @kinds] } @kinds;
my (@stack, @tour) = ('folder');
while (@stack) { if (my $next = shift @{ $left{ $stack[-1] } }) { push @stack, $next } else { unshift @tour, pop @stack } }

# The section of place number i, and the path below which its objects lie.
my @fixed = SovTest::slurp($t->conf) =~ /\A(.*)\[provider\.c\]/s;
sub place
{
	my ($i, $kind) = @_;
	if ($kind eq 'folder')
	{
		SovTest::run_as('mkdir', '-p', "$d/f$i");
		return "[provider.place$i]\ntype = folder\npath = $d/f$i\n";
	}
	my $text = $section{$kind};
	$text =~ s/^\[.*\n//;
	$text =~ s/^(prefix|path) = .*\n//mg;
	# buckets and folders are never made for you
	SovTest::run_as('mkdir', '-p', "$d/$made{$kind}/tour/$i") if $made{$kind};
	return "[provider.place$i]\nprefix = tour/$i\n$text\n";
}
sub configure { SovTest::spit($t->conf, join('', @fixed, @_)); }

my $place = place(0, $tour[0]);
configure($place);
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\n");
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 20000) i");
$t->sov_ok('backup');
my $rows = $t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i)) FROM t");
$t->stop($data, 'fast');	# archiving while providers change is for other tests
for my $i (1 .. $#tour)
{
	my $left = $place =~ s/\n/\nstate = drain\n/r;
	$place = place($i, $tour[$i]);
	configure($left, $place);
	my ($status, $out, $err) = $t->sov('apply');
	configure($place);
	my $verified = $status eq '0' ? ($t->sov('verify'))[1] : '';
	ok($status eq '0' && $verified =~ /0 missing, 0 damaged, 0 lost/, "from $tour[$i - 1] to $tour[$i]") or diag "$out$err$verified";
}
is(scalar(@tour), @kinds * (@kinds - 1) + 1, 'that was every pair of ' . @kinds . ' kinds');
$t->sov_is('every byte is right at the end', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
SovTest::run_as('mv', "$d/a", "$d/a.away");
$t->sov_is('and the last one serves a restore', 0, qr/./, 'restore', '-D', "$d/r");
$t->start("$d/r");
is($t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i)) FROM t"), $rows, 'with all rows');
done_testing();
