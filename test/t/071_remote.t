# A repository over three providers behind a network, of three kinds: S3 (Ceph),
# WebDAV (nginx) and SFTP (OpenSSH).  Backup, WAL, the loss of one, restore; and
# no secret in what anybody can read.
use strict;
use warnings;
use Test::More;
use POSIX ();
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my @servers = qw(ceph nginx sshd);
my %pids;
my $sections = '';
SovTest::run_as('mkdir', "$d/bin");
system("cp test/servers/*.sh $d/bin/") == 0 or die;
for my $s (@servers)
{
	SovTest::run_as('mkdir', "$d/$s");
	my ($status, $out, $err) = SovTest::capture(SovTest::as('env', "HOME=$d/$s", 'bash', "$d/bin/$s.sh", "$d/$s"));
	$pids{$s} = [split /\n/, SovTest::slurp("$d/$s/pids")];
	plan skip_all => "$s: $out" if $status == 77;
	is($status, 0, "$s starts") or diag "$out$err";
	my ($first) = SovTest::slurp("$d/$s/providers.conf") =~ /\A(.*?\n)\n/s;
	$sections .= "$first\n";
}
sub end_server { for my $s (@_) { kill 'KILL', map { -$_ } @{ $pids{$s} }; $pids{$s} = []; } }
END { my $status = $?; end_server(keys %pids); $? = $status; }

my $text = SovTest::slurp($t->conf);
$text =~ s/\[provider\.a\].*//s;
SovTest::spit($t->conf, $text . $sections);

# What anybody sees of our processes meanwhile.
my $watcher = fork();
if ($watcher == 0)
{
	my %line;
	$SIG{TERM} = sub { SovTest::spit("$d/processes", join("\n", keys %line)); POSIX::_exit(0); };
	while (1)
	{
		for my $file (glob '/proc/[0-9]*/cmdline')
		{
			open(my $f, '<', $file) or next;
			local $/;
			my $text = <$f> // '';
			$line{$text} = 1 if index($text, 'pg_sovereign') >= 0;
		}
		select(undef, undef, undef, 0.02);
	}
}

# A request of the environment's that libcurl would follow.
$ENV{SSLKEYLOGFILE} = "$d/tls-secrets";
$t->sov_ok('init');
$t->start_new;
$t->sql("CREATE TABLE big AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 100000) g");
$t->sov_ok('backup');
$t->sql("INSERT INTO big SELECT g, 'later' FROM generate_series(1, 1000) g; SELECT pg_switch_wal()");
ok($t->archive, 'WAL is archived to three providers of three kinds');
like($t->sov_ok('verify'), qr/./, 'all that is there is verified');
$t->stop($t->{data} || "$d/data");

end_server('ceph');
my ($status, $out, $err) = $t->sov('restore', '-D', "$d/restored");
is($status, 0, 'restore without the S3 provider') or diag "$out$err";
$t->start("$d/restored");
is($t->sql('SELECT count(*) FROM big'), '101000', 'all rows are there');
$t->stop("$d/restored");

my @secrets;
push @secrets, SovTest::slurp($_) =~ /(?:secret-key|password) = (\S+)/ for glob("$d/*/*.cred");
is(scalar(@secrets), 2, 'there are secrets to look for');
kill 'TERM', $watcher;
waitpid($watcher, 0);
my $processes = SovTest::slurp("$d/processes");
like($processes, qr/pg_sovereign.*\bbackup\b/s, 'processes were watched');
my $seen = "$out$err$processes";
$seen .= SovTest::slurp($_) for glob("$d/*.log"), glob("$d/log/*"), glob("$d/state/*");
is(scalar(grep { index($seen, $_) >= 0 } @secrets), 0, 'and none is in a log, a message, the list of processes or the state');
ok(!-e "$d/tls-secrets", 'nor are the secrets of connections');
done_testing();
