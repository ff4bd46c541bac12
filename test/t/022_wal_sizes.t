# Sizes of segments from 1 MB to 1 GB, each with a real cluster: archived by the
# module and by wal-push, restored over a switch of timelines; .partial, .history
# and .backup files; a standby that follows the archive; pg_rewind.  The memory that
# all of that takes, also of a segment that does not compress.
use strict;
use warnings;
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);
use lib 'test/t';
use SovTest;

my $bin = do { my $c = $ENV{PG_CONFIG} || 'pg_config'; my $b = `$c --bindir`; chomp $b; $b };
my ($s, $o, $e);

sub segment { return $_[0]->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"); }
sub append { my ($file, $text) = @_; open(my $fh, '>>', $file) or die; print $fh $text; close $fh; }
# The most memory of their own that archiving processes have while the code runs, kB:
# not pages of files (the mapped segment, large buffers), which the kernel writes out
# and takes away when it needs room.
sub peak
{
	my ($t, $code) = @_;
	my $file = "$t->{dir}/peak";
	my $pid = fork();
	if ($pid == 0)
	{
		my ($max, $stop) = (0, 0);
		local $SIG{TERM} = sub { $stop = 1; };
		until ($stop)
		{
			for my $p (map { m{(\d+)} } glob('/proc/[0-9]*'))
			{
				my $c = slurp("/proc/$p/cmdline");
				next unless $c =~ /wal-push|wal-fetch|verify/ && $c =~ /\Q$t->{dir}\E/;
				my $sum = 0;
				$sum += $_ for slurp("/proc/$p/status") =~ /^Rss(?:Anon|Shmem):\s+(\d+)/mg;
				$max = $sum if $sum > $max;
			}
			sleep 0.02;
		}
		spit($file, $max);
		POSIX::_exit(0);
	}
	$code->();
	kill 'TERM', $pid;
	waitpid($pid, 0);
	return slurp($file);
}

for my $size (1, 16, 64, 1024)
{
	my $t = SovTest->new;
	my $d = $t->dir;
	$t->sov_ok('init');
	# the last one by archive_command
	my $by = $size == 64 ? "archive_library = ''\narchive_command = '" . SovTest::command() . " -c @{[$t->conf]} wal-push %p'\n" : '';
	my $data = $t->start_new(initdb => ['--data-checksums', "--wal-segsize=$size"], conf => "min_wal_size = @{[2 * $size]}MB\nmax_wal_size = @{[4 * $size > 256 ? 4 * $size : 256]}MB\n$by");
	$t->sql("CREATE TABLE x (id bigserial, v text)");
	$t->sov_ok('backup');
	my $rounds = $size == 1024 ? 1 : 3;
	my @names;
	my $pushing = peak($t, sub {
		for (1 .. $rounds)
		{
			push @names, segment($t);
			$t->sql("INSERT INTO x (v) SELECT md5(g::text) FROM generate_series(1, 20000) g");
			$t->sql("SELECT pg_switch_wal()");
		}
		$t->sql("INSERT INTO x (v) VALUES ('last')");
		ok($t->archive(180), "$size MB: archived") or diag slurp("$data.log");
	});
	cmp_ok($pushing, '>', 0, "memory was measured");
	cmp_ok($pushing, '<', 512 * 1024, "$size MB: with less than 512 MiB of memory");
	my $want = $t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x");
	my ($backup) = map { s{.*/}{}r } sort glob("$data/pg_wal/*.backup");
	ok($backup, "$size MB: a .backup file is there");
	($s, $o, $e) = $t->sov('wal-fetch', $backup, "$d/fetched");
	is($s, 0, "$size MB: and archived") or diag $e;
	ok(slurp("$d/fetched") eq slurp("$data/pg_wal/$backup"), 'the same');
	my $fetching = peak($t, sub { ($s, $o, $e) = $t->sov('wal-fetch', $names[-1], "$d/fetched"); });
	note("$size MB: $pushing kB to push, $fetching kB to fetch");
	cmp_ok($fetching, '<', 512 * 1024, "$size MB: fetched with less than 512 MiB");
	is($s, 0, "$size MB: a segment is fetched") or diag $e;
	is(-s "$d/fetched", $size << 20, 'of its length');
	run_as('rm', '-f', "$d/fetched");
	$t->stop($data, 'fast');

	# --- a switch of timelines ---
	for my $tli (2, 3)
	{
		my $r = "$d/r$tli";
		($s, $o, $e) = $t->sov('restore', '-D', $r);
		is($s, 0, "$size MB: restore to timeline $tli") or diag "$o$e";
		$t->start($r);
		is($t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x"), $want, 'has everything');
		is(substr(segment($t), 0, 8), "0000000$tli", 'on a new timeline');
		$t->sql("INSERT INTO x (v) VALUES ('on timeline $tli')");
		ok($t->archive(180), 'which is archived') or diag slurp("$r.log");
		($s, $o, $e) = $t->sov('wal-fetch', "0000000$tli.history", "$d/h");
		is($s, 0, 'and so is its history') or diag $e;
		ok(slurp("$d/h") eq slurp("$r/pg_wal/0000000$tli.history"), 'the same');
		$want = $t->sql("SELECT count(*) || ' ' || sum(hashtext(v)::bigint) FROM x");
		$t->stop($r, 'fast');
		last if $size == 1024;
	}
	($s, $o, $e) = $t->sov('verify', '--deep');
	is($s, 0, "$size MB: all is whole") or diag "$o$e";
	next if $size != 1024;

	# --- one that does not compress, of a timeline of its own ---
	my $name = sprintf('%08X%08X%08X', 9, 0, 3);
	my $random = do { open(my $fh, '<:raw', '/dev/urandom') or die; read($fh, my $r, 64 << 20); $r };	# beyond zstd's window
	run_as('mkdir', "$d/big");
	my ($first) = sort glob("$d/r2/pg_wal/0000000[12]0*");
	open(my $in, '<:raw', $first) or die;
	read($in, my $head, 40) == 40 or die;
	open(my $fh, '>:raw', "$d/big/$name") or die;
	print $fh substr($head, 0, 8), pack('Q<', 3 << 30), substr($head, 16), substr($random, 40), map { $random } 1 .. 15;
	close $fh;
	chmod 0644, "$d/big/$name";
	my %took;
	for my $how (['wal-push', "$d/big/$name"], ['wal-fetch', $name, "$d/fetched"], ['verify', '--deep'])
	{
		$took{ $how->[0] } = peak($t, sub { ($s, $o, $e) = $t->sov(@$how); });
		is($s, 0, "a segment that does not compress: $how->[0]") or diag "$o$e";
		cmp_ok($took{ $how->[0] }, '<', 512 * 1024, 'with less than 512 MiB');
	}
	note("1024 MB that do not compress: $took{'wal-push'} kB to push, $took{'wal-fetch'} kB to fetch, $took{verify} kB to verify");
	is(system('cmp', '-s', "$d/fetched", "$d/big/$name"), 0, 'and it is the same');
}

# --- promotion leaves a .partial; pg_rewind by restore_command ---
{
	my $t = SovTest->new;
	my $d = $t->dir;
	$t->sov_ok('init');
	my $data = $t->start_new(initdb => ['--data-checksums', '--wal-segsize=1'], conf => "wal_log_hints = on\nmax_wal_size = 32MB\nmin_wal_size = 2MB\n");
	$t->sql("CREATE TABLE x AS SELECT g AS id FROM generate_series(1, 1000) g");
	$t->sov_ok('backup');
	my $standby = "$d/standby";
	($s, $o, $e) = $t->sov('restore', '-D', $standby);
	is($s, 0, 'a restore, to be a standby') or diag "$o$e";
	run_as('rm', '-f', "$standby/recovery.signal");
	run_as('touch', "$standby/standby.signal");
	my $port = SovTest::free_port();
	append("$standby/postgresql.auto.conf", "port = $port\nhot_standby = on\n");
	$t->sql("INSERT INTO x SELECT g FROM generate_series(1001, 2000) g");
	ok($t->archive, 'more, archived');
	my $first_port = $t->{port};
	$t->{port} = $port;
	$t->{keep_recovery} = 1;
	$t->start($standby);
	my $end = time + 60;
	sleep 0.2 while $t->sql('SELECT count(*) FROM x', nofail => 1) ne '2000' && time < $end;
	is($t->sql('SELECT count(*) FROM x'), '2000', 'a standby follows the archive');
	$t->{port} = $first_port;
	for (1 .. 4)
	{
		$t->sql("INSERT INTO x SELECT g FROM generate_series(1, 5000) g");
		$t->sql("SELECT pg_switch_wal()");
	}
	# what the standby does not get: the old primary goes on after the promotion
	ok($t->archived, 'all of it archived');
	$t->{port} = $port;
	$end = time + 60;
	sleep 0.2 while $t->sql('SELECT count(*) FROM x', nofail => 1) ne '22000' && time < $end;
	is($t->sql('SELECT count(*) FROM x'), '22000', 'the standby has it from the archive');
	$t->sql('SELECT pg_promote()');
	$t->{keep_recovery} = 0;
	$end = time + 60;
	sleep 0.2 while $t->sql('SELECT pg_is_in_recovery()') ne 'f' && time < $end;
	$t->sql("INSERT INTO x SELECT g FROM generate_series(1, 500) g");
	ok($t->archive, 'the new timeline is archived');
	my $want = $t->sql('SELECT count(*) FROM x');
	$t->{port} = $first_port;
	$t->sql("INSERT INTO x SELECT g FROM generate_series(1, 5000) g");	# lost: on the old timeline
	$t->sql("CHECKPOINT");
	$t->stop($data, 'fast');
	my @partial = map { s{.*/|\.ready$|\.done$}{}gr } glob("$standby/pg_wal/archive_status/*.partial.*");
	if (!@partial)
	{
		# promoted at the boundary of a segment: a .partial as the server makes it
		my ($last) = reverse sort grep { m{/00000001[0-9A-F]{16}$} } glob("$standby/pg_wal/0*");
		my $name = $last =~ s{.*/}{}r;
		run_as('cp', $last, "$d/$name.partial");
		($s, $o, $e) = $t->sov('wal-push', "$d/$name.partial");
		is($s, 0, 'a .partial is archived') or diag $e;
		@partial = ("$name.partial");
		run_as('cp', "$d/$name.partial", "$standby/pg_wal/$name.partial");
	}
	for my $p (@partial)
	{
		($s, $o, $e) = $t->sov('wal-fetch', $p, "$d/fetched");
		is($s, 0, "$p is archived") or diag $e;
		ok(slurp("$d/fetched") eq slurp("$standby/pg_wal/$p"), 'the same');
	}
	# the old primary has only the WAL that it had no time to archive: pg_rewind fetches the rest
	my ($keep) = `$bin/pg_controldata '$data'` =~ /REDO WAL file: +(\w+)/;
	unlink grep { !/\Q$keep\E/ } glob("$data/pg_wal/00000001*");
	append("$data/postgresql.conf", "restore_command = '" . SovTest::command() . " -c @{[$t->conf]} wal-fetch %f \"%p\"'\n");
	$t->{port} = $port;
	run_as('cp', "$standby/postgresql.auto.conf", "$d/auto.conf");
	$t->sql('CHECKPOINT');	# 15: only then is it known to be on another timeline
	my @rewind = ("$bin/pg_rewind", '-D', $data, "--source-server=host=$d port=$port user=postgres dbname=postgres");
	($s, $o, $e) = capture(as(@rewind, '-n'));
	ok($s ne '0' && "$o$e" =~ /could not (open|read)/, 'pg_rewind misses WAL') or diag "$o$e";
	($s, $o, $e) = capture(as(@rewind, '-c'));
	ok($s eq '0' && "$o$e" =~ /rewinding from/, 'it finds it with restore_command') or diag "$o$e";
	$t->stop($standby, 'fast');
	my $r = "$d/again";
	($s, $o, $e) = $t->sov('restore', '-D', $r);
	is($s, 0, 'a restore over the promotion') or diag "$o$e";
	$t->{port} = $first_port;
	$t->start($r);
	is($t->sql('SELECT count(*) FROM x'), $want, 'has what was promoted, not what the old primary wrote after it');
	$t->stop($r);
}
done_testing();
