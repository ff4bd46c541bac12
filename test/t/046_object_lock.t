# Object lock, with Ceph: what is locked cannot be removed by anybody before its
# date, prune goes on all the same, and takes it afterwards; a bucket that does not
# lock is refused.  What is overwritten or hidden there is read from older versions.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
SovTest::run_as('mkdir', "$d/bin", "$d/ceph");
system("cp test/servers/*.sh $d/bin/") == 0 or die;
my ($status, $out, $err) = SovTest::capture(SovTest::as('env', "HOME=$d/ceph", 'bash', "$d/bin/ceph.sh", "$d/ceph"));
my @pids = split /\n/, -e "$d/ceph/pids" ? SovTest::slurp("$d/ceph/pids") : '';
END { my $s = $?; kill 'KILL', map { -$_ } @pids; $? = $s; }
plan skip_all => "ceph: $out" if $status eq '77';
is($status, 0, 'ceph starts') or diag "$out$err";

my %section = map { /\[provider\.(\S+)\]\n(.*)/s ? ($1, $2) : () } split /\n\n/, SovTest::slurp("$d/ceph/providers.conf");
my ($head, $tail) = SovTest::slurp($t->conf) =~ /\A(.*)\[provider\.a\].*?(\[provider\.b\].*)/s;
my $lock = 30;
sub configure
{
	my ($bucket, $more) = @_;
	SovTest::spit($t->conf, "${head}[provider.a]\n$section{$bucket}\n$more$tail");
}

# --- a bucket that was made without it ---
configure('ceph-path', "prefix = none\nobject-lock = 1h\n");
$t->sov_is('a bucket without object lock is refused', 4, qr/hint: object lock works only in a bucket that was made with it/, 'init');

# --- one with it ---
configure('ceph-versions', "prefix = locked\nobject-lock = ${lock}s\nobject-lock-mode = compliance\n");
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\n");
$t->sql("CREATE TABLE t AS SELECT g AS i, md5(g::text) AS m FROM generate_series(1, 20000) g");
$t->sov_ok('backup', '--label', 'first');
$t->sql("UPDATE t SET m = md5(m)");
$t->sov_ok('backup', '--full', '--label', 'second');
ok($t->archive, 'and WAL');
my $rows = $t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i)) FROM t");
my $began = time;
my $prune = $t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
SKIP:
{
	skip 'the machine is too slow: the lock ended', 1 if time - $began >= $lock;
	like($prune, qr/\d+ objects are under lock at a provider/, 'prune goes on, and says what is locked');
}
$t->sov_is('what is kept is whole', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
$t->sov_is('check tries a provider without locking anything for long', 0, qr/./, 'check', '--no-archive');

# --- later ---
sleep 1 while time - $began < $lock + 2;
$prune = $t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
unlike($prune, qr/lock/, 'when the locks have ended');
like($prune, qr/^  a +[1-9]/m, 'prune deletes what was locked');
$prune = $t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
like($prune, qr/^  a +0/m, 'and nothing is left to delete');
$t->sov_is('what is kept is whole', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');

# --- who holds the host's credentials overwrites and hides all at a, and b is damaged ---
my ($endpoint) = $section{'ceph-versions'} =~ /^endpoint = (.*)/m;
my ($cred) = $section{'ceph-versions'} =~ /^credentials-file = (.*)/m;
my %key = SovTest::slurp($cred) =~ /^(\S+) = (.*)$/mg;
SovTest::spit("$d/curl.conf", qq(user = "$key{'access-key'}:$key{'secret-key'}"\n));
my %sha = ('' => 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x => '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881');
sub s3
{
	my ($method, $path, $body) = @_;
	my ($s, $o, $e) = SovTest::capture('curl', '-sS', '-f', '-K', "$d/curl.conf", '--aws-sigv4', 'aws:amz:us-east-1:s3', '-X', $method,
		$body ? ('--data-binary', $body, '-H', 'Content-Type: text/plain') : $method eq 'POST' ? ('-H', 'Content-Length: 0') : (), '-H', "x-amz-content-sha256: $sha{$body // ''}", "$endpoint/versions$path");
	diag "$method $path: $e" if $s ne '0';
	return $o;
}
my $n = 0;
for my $class (qw(p w m r))
{
	for my $name (s3('GET', "?list-type=2&prefix=locked%2F$class%2F") =~ m{<Key>([^<]*)</Key>}g)
	{
		$n++ % 2 ? s3('DELETE', "/$name") : s3('PUT', "/$name", 'x');
	}
}
ok($n > 10, "$n objects at a are overwritten or hidden");
SovTest::run_as('rm', '-rf', map { "$d/b/$_" } qw(p w m r));
($status, $out, $err) = $t->sov('verify');
is($status, 5, 'verify finds that');
like($out, qr/ 0 lost/, 'and calls nothing lost') or diag "$out$err";
($status, $out, $err) = $t->sov('restore', '-D', "$d/older");
is($status, 0, 'a restore succeeds') or diag "$out$err";
like("$out$err", qr/provider a: object \S+ was overwritten or hidden there; .* an older version of it serves/, 'from older versions, and says so') or diag "$out$err";
# what a killed process and somebody else began and never finished
my $begun = 'begun' . 'a' x 27;
sub uploads { return s3('GET', '?prefix=locked%2Fp&uploads='); }
s3('POST', "/locked/p/$_?uploads=") for $begun, 'others';
like(uploads(), qr{<Key>locked/p/$begun</Key>.*<Key>locked/p/others</Key>}s, 'two uploads in parts are begun');
$t->sov_ok('repair');
like(uploads(), qr{<Key>locked/p/$begun</Key>}, 'repair leaves what was begun today');
$t->sov_is('repair puts it all back', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');

# --- leaving a provider that locks: copied, and what may not be deleted yet is named ---
SovTest::run_as('mkdir', "$d/new");
$t->sov_ok('backup');
my $hidden = 'hidden' . 'a' x 26;
s3('PUT', "/locked/p/$hidden", 'x');
s3('PUT', '/locked/p/others', 'x');
s3('DELETE', "/locked/p/$hidden");
like(s3('GET', "?prefix=locked%2Fp%2F$hidden&versions="), qr/<VersionId>/, 'an object that somebody hid');
SovTest::spit($t->conf, "${head}[provider.a]\nstate = drain\n$section{'ceph-versions'}\nprefix = locked\nobject-lock = ${lock}s\n${tail}[provider.new]\ntype = folder\npath = $d/new\n");
($status, $out, $err) = $t->sov('apply');
is($status, 0, 'apply') or diag "$out$err";
like("$out$err", qr/lock/, 'says what is locked there') or diag "$out$err";
unlike(s3('GET', "?prefix=locked%2Fp%2F$hidden&versions="), qr/<VersionId>/, 'what was hidden is gone for good');
like(SovTest::slurp((glob "$d/state/receipts/a-*.json")[-1]), qr{"p/$hidden"}, 'and on the receipt');
like(s3('GET', '?list-type=2&prefix=locked%2Fp%2Fothers'), qr/others/, 'what is somebody else\'s stays');
unlike(uploads(), qr{<Key>locked/p/$begun</Key>}, 'the upload that was never finished is taken back');
like("$out$err", qr/1 uploads that were begun there and never finished were taken back/, 'it is told');
like(SovTest::slurp((glob "$d/state/receipts/a-*.json")[-1]), qr{"unfinished_deleted": \[\s*"p/$begun"\s*\]}, 'and on the receipt');
like(uploads(), qr{<Key>locked/p/others</Key>}, 'somebody else\'s is not');
SovTest::spit($t->conf, "${head}[provider.new]\ntype = folder\npath = $d/new\n$tail");
kill 'KILL', map { -$_ } @pids;
$t->sov_is('all is at the others', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
$t->stop($data, 'fast');
$t->sov_ok('restore', '-D', "$d/r");
$t->start("$d/r");
is($t->sql("SELECT md5(string_agg(t::text, '' ORDER BY i)) FROM t"), $rows, 'and restores');
done_testing();
