# Providers that are slow, hang, throttle, fail, cut, lie or are full: archiving, backups
# and restores go on in bounded time, what is owed is seen and worked off, and no segment
# is acknowledged that too few hold.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use lib 'test/t';
use SovTest;
use SovStore;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
spit("$d/cred", "access-key = a\nsecret-key = secretsecret\n");
chmod 0600, "$d/cred";
system('chown', 'postgres', "$d/cred") if $> == 0;
my %store = map { $_ => SovStore->new($d, $_) } qw(a b c);
my $text = slurp($t->conf) =~ s/\[provider\.a\].*//sr;
spit($t->conf, $text . join('', map { $store{$_}->section("$d/cred", 'connect-timeout = 2', 'stall-timeout = 2', 'timeout = 6') } qw(a b c)));

sub timed { my ($what, $limit, @args) = @_; my $from = time; my @r = $t->sov(@args); my $took = time - $from;
	cmp_ok($took, '<', $limit, sprintf('%s: %.1f s', $what, $took)); return @r; }

$t->sov_ok('init');
my $push = join(' ', $t->sov_cmd('wal-push'));
my $data = $t->start_new(conf => "archive_library = ''\narchive_command = '$push %p'\nwal_keep_size = '1GB'\n");
$t->sql("CREATE TABLE x AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 60000) g");
$t->sov_ok('backup');

sub segment
{
	my $name = $t->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
	$t->sql("INSERT INTO x SELECT g, 'later' FROM generate_series(1, 100) g; SELECT pg_switch_wal()");
	return $name;
}

# What earlier processes knew of a provider: the next one finds out for itself.
sub forget { unlink glob "$d/state/down/*"; }

# --- one of three ---
my ($s, $o, $e);
for my $mode (qw(down 500 503 429 507 cut lie stale hang slow))
{
	$store{c}->mode($mode);
	forget() if $mode =~ /^(?:hang|slow)$/;
	my $name = segment();
	my $from = time;
	ok($t->archived(60), sprintf('%s: the segment is acknowledged, after %.1f s', $mode, time - $from));
	if ($mode eq 'hang')
	{
		my $notes = () = slurp("$data.log") =~ /provider c does not answer/g;
		$from = time;
		segment();
		ok($t->archived(60), 'the next segment too');
		cmp_ok(time - $from, '<', 1.9, 'without waiting for it again');
		is(scalar(() = slurp("$data.log") =~ /provider c does not answer/g), $notes, 'and without another line in the log');
		# nor when it is time to ask it again: another process does
		my $slowest = 0;
		for (my $end = time + 14; time < $end; sleep 0.3)
		{
			$from = time;
			segment();
			$t->archived(60) or last;
			$slowest = time - $from if $slowest < time - $from;
		}
		cmp_ok($slowest, '<', 1.9, sprintf('nor do later ones: %.1f s at most', $slowest));
	}
	if ($mode =~ /^(?:down|507)$/)
	{
		($s, $o, $e) = timed("$mode: backup", 90, 'backup');
		is($s, 0, "$mode: a backup goes on") or diag $e;
		like("$o$e", qr/owed to a provider/, "$mode: and says what is owed") or diag "$o$e";
		($s, $o, $e) = timed("$mode: list", 40, 'list');
		like($o, qr/^c\s.*\b[1-9]\d* objects, .* in the spool/m, "$mode: and to whom") or diag "$o$e";
	}
	($s, $o, $e) = timed("$mode: wal-fetch", 40, 'wal-fetch', $name, "$d/fetched");
	is($s, 0, "$mode: it is fetched") or diag $e;
	ok(slurp("$d/fetched") eq slurp("$data/pg_wal/$name"), "$mode: byte for byte");
	unlink "$d/fetched";
	if ($mode =~ /^(?:hang|lie)$/)
	{
		($s, $o, $e) = timed("$mode: restore", 90, 'restore', '-D', "$d/r_$mode");
		is($s, 0, "$mode: a restore goes on") or diag $e;
		system('rm', '-rf', "$d/r_$mode");
	}
}
# Who is patient with a provider that delivers nothing for minutes does not wait for it all the same.
my $conf = slurp($t->conf);
spit($t->conf, $conf =~ s/^((?:stall-)?timeout) = \d+/$1 = 600/gmr);
my $asked = 0;
for my $p (qw(a b c))
{
	$store{$_}->mode($_ eq $p ? 'hang GET p/' : 'ok') for qw(a b c);
	unlink "$d/$p.store/hung";
	forget();
	($s, $o, $e) = timed("$p is slow, and the others are read from: restore", 60, 'restore', '-D', "$d/r_$p");
	is($s, 0, 'all of it') or diag $e;
	$asked += $store{$p}->hung;
	system('rm', '-rf', "$d/r_$p");
}
cmp_ok($asked, '>', 0, 'they were asked');
spit($t->conf, $conf);
$store{$_}->mode('ok') for qw(a b c);
$t->sov_ok('repair');
($s, $o, $e) = $t->sov('verify', '--deep');
is($s, 0, 'when it is well again, all is repaired and proven') or diag "$o$e";
unlike($t->sov_ok('list'), qr/in the spool/, 'and nothing is owed');

# --- two of three: too few ---
$store{b}->mode('down');
$store{c}->mode('hang');
my $name = segment();
($s, $o, $e) = timed('too few: wal-push', 60, 'wal-push', "$data/pg_wal/$name");
isnt($s, 0, 'with two of three away no segment is acknowledged');
like($e, qr/\bb\b.*\bc\b|\bc\b.*\bb\b/s, 'and both are named') or diag $e;
like($e, qr/^hint: /m, 'with what to do');
$store{$_}->mode('ok') for qw(b c);
ok($t->archived(90), 'they come back: it is');
$t->sov_ok('wal-fetch', $name, "$d/fetched");
ok(slurp("$d/fetched") eq slurp("$data/pg_wal/$name"), 'and fetched');

# --- two of five ---
$t->stop($data, 'fast');
my $u = SovTest->new;
$d = $u->dir;
spit("$d/cred", "access-key = a\nsecret-key = secretsecret\n");
chmod 0600, "$d/cred";
system('chown', 'postgres', "$d/cred") if $> == 0;
%store = map { $_ => SovStore->new($d, $_) } qw(a b c d e);
$text = slurp($u->conf) =~ s/\[provider\.a\].*//sr =~ s/^needed = .*/needed = 3/mr =~ s/^shards = .*/shards = 5/mr;
spit($u->conf, $text . join('', map { $store{$_}->section("$d/cred", 'connect-timeout = 2', 'stall-timeout = 2', 'timeout = 6') } qw(a b c d e)));
$u->sov_ok('init');
$data = $u->start_new;
$u->sql("CREATE TABLE x AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 30000) g");
$u->sov_ok('backup');
# One that failed a moment ago is waited for; when it is needed it is asked all the same.
$store{b}->mode('hang');
ok($u->archive(60), 'one of five hangs: archiving goes on');
# once that is known, a thread of the helper's own asks it again, whether it is there at all;
# nobody else does
sub until_hung { my $end = time + 30; while (time < $end && !$store{b}->hung) { $u->archive(30); sleep 0.2; } }
until_hung();
my $known = time + 3;
while (time < $known) { $u->archive(30); sleep 0.2; }
unlink "$d/b.store/hung";
until_hung();
$u->archive(30) for 1 .. 3;
is(join(' ', sort { $a cmp $b } keys %{{ map { $_ => 1 } split /\n/, slurp("$d/b.store/hung") }}), 'HEAD id', 'only its identity is asked for, and WAL goes to the others');
$store{b}->mode('ok');
$store{c}->mode('hang');
$store{e}->mode('507');
ok($u->archive(30), 'it is well, and two others are not: archiving goes on');
$store{$_}->mode('ok') for qw(c e);
$u->sov_ok('repair');
for my $pair (['a', 'lie', 'b', '503'], ['c', 'hang', 'e', '507'], ['d', 'cut', 'a', 'down'])
{
	my ($one, $how, $two, $so) = @$pair;
	$store{$one}->mode($how);
	$store{$two}->mode($so);
	$u->sql("UPDATE x SET v = md5(v) WHERE id % 7 = 0");
	ok($u->archive(60), "two of five ($how, $so): archiving goes on");
	$u->sov_is('backups too', 0, qr/^backup /m, 'backup');
	$u->sov_is('and restores', 0, qr/every block checked/, 'restore', '-D', "$d/r_$how");
	$store{$_}->mode('ok') for $one, $two;
	$u->sov_ok('repair');
}
$u->sov_is('they are back, and nothing is owed or missing', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
done_testing();
