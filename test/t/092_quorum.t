# A root key that is split among people: sealed data go under it, holders unlock one by
# one, wrong and mixed shares are named; it is on no disk, and in locked memory of one
# process alone; forgotten or killed, the server says so, and goes on after unlocking.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use IO::Pty;
use IO::Socket::UNIX;
use MIME::Base64;
use POSIX ();
use Test::More;
use SovTest;
use Time::HiRes qw(sleep time);
no warnings 'portable';	# addresses

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $conf = slurp($t->conf);
my $uri = "quorum:$d/q/root";
run_as('mkdir', '-m', '700', "$d/q", "$d/usb", "$d/other");
sub configured { my ($root) = @_; spit($t->conf, $conf =~ s/^root = .*/root = $root\nlease = 40s\nrenew = 1s/mr); }
configured("file:$d/root.key");
my $data = $t->start_new(conf => "shared_preload_libraries = 'pg_sovereign'\nfsync = off\n");
$t->sov_ok('init');
$t->sql('CREATE EXTENSION pg_sovereign');
$t->sql(q{SELECT create_key('k')});
$t->sql(q{CREATE TABLE secret (id int, v encrypted_text('k'))});
$t->sql(q{INSERT INTO secret VALUES (1, 'diagnosis')});
$t->sov_ok('backup');
sub reads { return eval { $t->sql('SELECT v FROM secret') } // $@; }
sub becomes { my ($re) = @_; my $end = time + 20; while (time < $end) { return 1 if reads() =~ $re; sleep 0.1; } return 0; }

# --- the ceremony ---
my @ceremony = ('--shares', 3, '--threshold', 2, map { ('--holder', $_) } 'Anna', 'Bruno', "Chlo\xc3\xa9");
$t->sov_is('shares never into the data directory', 2, qr/--output.*data directory/, 'key', 'split', @ceremony, '--output', $data, "$d/q/root");
$t->sov_is('nor to a provider', 2, qr/--output.*provider "a"/, 'key', 'split', @ceremony, '--output', "$d/a", "$d/q/root");
$t->sov_is('a name for each', 2, qr/once for each/, 'key', 'split', @ceremony[0 .. 5], "$d/q/root");
$t->sov_is('one alone is no threshold', 2, qr/threshold/, 'key', 'split', '--shares', 2, '--threshold', 1, @ceremony[4 .. 7], "$d/q/root");
ok(!glob("$d/usb/* $d/q/*"), 'nothing is left of these');
$t->sov_is('a directory that is not there', 1, qr/could not open directory/, 'key', 'split', @ceremony, '--output', "$d/none", "$d/q/root");
ok(!-e "$d/q/root", 'leaves no record');
$t->sov_is('a root key in three shares', 0, qr/any 2 open it/, 'key', 'split', @ceremony, '--output', "$d/usb", "$d/q/root");
my @share = (undef, sort glob("$d/usb/share-*"));
is(scalar @share, 4, 'three files');
is((stat $_)[2] & 07777, 0600, "mode of $_") for @share[1 .. 3], "$d/q/root";
$t->sov_is('never over another', 6, qr/exists already/, 'key', 'split', @ceremony, '--output', "$d/usb", "$d/q/root");
$t->sov_ok('key', 'split', @ceremony, '--output', "$d/other", "$d/other/root");
my @others = (undef, sort glob("$d/other/share-*"));

# --- joining ---
$t->sov_is('unlock is for split keys', 6, qr/no key that is split/, 'unlock', '--status');
$t->sov_is('locked, it takes nothing over', 3, qr/2 of 3 must give their shares/, 'key', 'rotate-root', $uri);
is(reads(), 'diagnosis', 'and nothing has changed');
spit("$d/new.conf", $conf =~ s/^root = .*/root = $uri/mr);
# As the user of the server, with the configuration that names the split key.
sub unlock_is
{
	my ($name, $status, $re, @args) = @_;
	my ($got, $out, $err) = capture(as(SovTest::command(), '-c', "$d/new.conf", 'unlock', @args));
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($got eq $status && "$out$err" =~ $re && ($err !~ /error:/ || $err =~ /^hint: ./m), $name) or diag "exit $got: $out$err";
}
unlock_is('none is given yet', 0, qr/0 of 2 .* 2 more/, '--status');
unlock_is('a share of another ceremony is named', 3, qr/of another ceremony/, '--share', $others[1]);
my $good = slurp($share[2]);
my ($mine) = slurp($share[1]) =~ /^(3 .*)$/m;
spit("$d/usb/bad", $good =~ s/^(4 .)(.)/$1 . ($2 eq 'X' ? 'Y' : 'X')/mer);
spit("$d/usb/mixed", $good =~ s/^3 .*$/$mine/mr);
for ([ bad => qr/row 4 .*mistyped/ ], [ mixed => qr/not all of one share/ ])
{
	my ($file, $re) = ("$d/usb/$_->[0]", $_->[1]);
	chmod 0600, $file;
	system('chown', 'postgres', $file) if $> == 0;
	unlock_is("a $_->[0] one is refused", 5, $re, '--share', $file);
}
unlock_is('a record is no share', 5, qr/holds no share/, '--share', "$d/q/root");
unlock_is('nor is a directory', 3, qr/is no file/, '--share', "$d/q");
chmod 0644, $share[1];
unlock_is('nor a file that others may read', 3, qr/others may read/, '--share', $share[1]);
chmod 0600, $share[1];
sleep 0.2;
ok(!-e "$d/q/root.socket", 'the process that found no share has ended');
unlock_is('one', 0, qr/Bruno.*1 of 2 .* 1 more .*Anna.*Chlo/s, '--share', $share[2]);
unlock_is('not twice', 6, qr/Bruno.*already/, '--share', $share[2]);
unlock_is('it waits', 0, qr/1 of 2/, '--status');
$t->sov_is('one share opens nothing', 3, qr/1 more must be/, 'key', 'rotate-root', $uri);

# the other one is typed, unseen, with a mistake
# Answers each prompt of a command at a terminal; (exit code, what was shown).
sub type_in
{
	my ($cmd, $prompt, $answers, $end) = @_;
	my $pty = IO::Pty->new;
	my $pid = fork();
	if ($pid == 0)
	{
		$pty->make_slave_controlling_terminal;
		my $slave = $pty->slave;
		open(STDIN, '<&', $slave); open(STDOUT, '>&', $slave); open(STDERR, '>&', $slave);
		exec(as(SovTest::command(), '-c', "$d/new.conf", @$cmd)) or POSIX::_exit(99);
	}
	$pty->close_slave;
	my ($seen, $asked) = ('', 0);
	my $deadline = time + 30;
	while (time < $deadline)
	{
		my $r = '';
		vec($r, fileno($pty), 1) = 1;
		next unless select($r, undef, undef, 1);
		last unless sysread($pty, my $text, 1000);
		$seen .= $text;
		my $prompts = () = $seen =~ /$prompt/g;
		syswrite($pty, $answers->[ $asked++ ] . ($end // "\n")) if $prompts > $asked && $asked < @$answers;
	}
	waitpid($pid, 0);
	return ($? >> 8, $seen);
}
my @rows = slurp($share[3]) =~ /^\d (.{23})$/mg;
my $row = qr/row \d of 5: /;
my ($st, $seen) = type_in(['unlock'], $row, [ "\cC" ], '');
is($st, 7, 'Ctrl-C at the prompt') or diag $seen;
($st, $seen) = type_in(['unlock'], $row, [ $rows[0], $rows[2], lc $rows[1], @rows[2 .. 4] ]);
is($st, 0, 'typed, with a mistake that is told') or diag $seen;
like($seen, qr/row 2 .*does not fit.*Chlo.*the root key is joined/s, 'and joined');
unlike($seen, qr/\Q$rows[1]\E|\Q@{[lc $rows[1]]}\E/, 'nothing typed is shown');
unlock_is('joined', 0, qr/is joined/, '--status');

# a ceremony at the terminal: each share is shown for its holder, nothing is written but the record
($st, $seen) = type_in([ 'key', 'split', @ceremony, "$d/other/shown" ], qr/Press Enter/, [ ('') x 6 ]);
is($st, 0, 'shares are shown at the terminal') or diag $seen;
my @shown = $seen =~ /alone\..*?\e\[3J(.*?)Press Enter when that is done\.\s+\e\[H\e\[2J\e\[3J/gs;
is(scalar @shown, 3, 'one after the other, each cleared after Enter');
is_deeply([ map { scalar(() = /^\d (?:\w{5}-){3}\w{5}\r?$/mg) } @shown ], [ 5, 5, 5 ], 'five rows each');
is_deeply([ sort glob("$d/other/*") ], [ sort "$d/other/root", "$d/other/shown", @others[1 .. 3] ], 'and only the record is written');
spit("$d/other/typed", slurp("$d/other/shown") . $shown[1] =~ s/\r//gr =~ s/.*^(rows )/$1/msr =~ s/\n\nWrite.*/\n/sr);
chmod 0600, "$d/other/typed";
system('chown', 'postgres', "$d/other/typed") if $> == 0;
spit("$d/shown.conf", $conf =~ s/^root = .*/root = quorum:$d\/other\/shown/mr);
my ($code, $told) = capture(as(SovTest::command(), '-c', "$d/shown.conf", 'unlock', '--share', "$d/other/typed"));
like($told, qr/Bruno.*1 more/s, 'what was shown is a share of that ceremony');
capture(as(SovTest::command(), '-c', "$d/shown.conf", 'unlock', '--forget'));


# --- what is sealed goes under it ---
$t->sov_is('wrapped under both', 0, qr/both root keys open everything/, 'key', 'rotate-root', $uri);
configured($uri);
$t->sov_is('finished', 0, qr/under quorum 2 of 3.* alone/, 'key', 'rotate-root', '--finish');
unlink "$d/root.key";
$t->sov_is('key where tells who holds it', 0, qr/any 2 of: Anna, Bruno, Chlo.*no other root key is needed/s, 'key', 'where');
ok(becomes(qr/^diagnosis$/), 'the server reads');
$t->sov_ok('backup');
$t->sov_is('the repository too', 0, qr//, 'verify');

# --- where the root key is ---
# GF(2^8) as libgfshare has it; the value at zero of the line through two shares
sub mul { my ($x, $y) = @_; my $p = 0; while ($y) { $p ^= $x if $y & 1; $x <<= 1; $x ^= 0x11d if $x & 256; $y >>= 1; } return $p; }
sub inverse { my ($x) = @_; for (1 .. 255) { return $_ if mul($x, $_) == 1; } }
sub share_bytes
{
	my %digit = map { substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', $_, 1) => sprintf('%05b', $_) } 0 .. 31;
	my $bits = join '', map { my $row = s/-//gr; substr(join('', map { $digit{$_} } split //, $row), 0, 80) } slurp($_[0]) =~ /^\d (.{23})$/mg;
	return map { oct "0b$_" } unpack('(A8)*', $bits);
}
my @a = share_bytes($share[1]);
my @b = share_bytes($share[3]);
my $over = inverse($a[11] ^ $b[11]);
my $root = join '', map { chr mul($over, mul($a[$_], $b[11]) ^ mul($b[$_], $a[11])) } 12 .. 43;
is(unpack('H*', hmac_sha256('pg_sovereign commitment v1quorum', $root)), (slurp("$d/q/root") =~ /^check (\S+)/m)[0], 'another implementation joins two shares to the same root key');
my @shapes = ($root, substr($root, 0, 16), unpack('H*', $root), encode_base64($root, ''));
my @found;
for my $file (split /\n/, `find '$d' -type f`) { my $text = slurp($file); push @found, $file if grep { index($text, $_) >= 0 } @shapes; }
is("@found", '', 'it is in no file: not of the server, its log, the providers or the state');
SKIP: {
	skip 'reading the memory of processes needs root', 2 if $> != 0;
	my ($holder, %in);
	for my $pid (map { m{/(\d+)$} } glob('/proc/[0-9]*'))
	{
		my $cmd = slurp("/proc/$pid/cmdline");
		next unless $cmd =~ /quorum-hold/ && $cmd =~ /\Q$d\E/ or slurp("/proc/$pid/environ") =~ /\Q$d\E/ or (readlink("/proc/$pid/cwd") // '') =~ /^\Q$d\E/;
		$holder = $pid if $cmd =~ /quorum-hold/;
		open(my $mem, '<:raw', "/proc/$pid/mem") or next;
		my $range;
		for my $line (split /\n/, slurp("/proc/$pid/smaps"))
		{
			$range = [ hex $1, hex $2, '' ] if $line =~ /^([0-9a-f]+)-([0-9a-f]+) r/;
			$range = undef if $line =~ /^[0-9a-f]+-[0-9a-f]+ [^r]|\[v(var|syscall|dso)\]/;
			next unless $range && $line =~ /^VmFlags: (.*)/ && $range->[1] - $range->[0] < 1 << 30;
			my $flags = $1;
			sysseek($mem, $range->[0], 0);
			my $text = '';
			sysread($mem, $text, $range->[1] - $range->[0]);
			$in{ "$pid " . ($flags =~ /\blo\b/ && $flags =~ /\bdd\b/ ? 'locked, not dumped' : "$flags") }++ if index($text, substr($root, 0, 16)) >= 0;
		}
	}
	ok($holder, 'one process holds it');
	is_deeply([ sort keys %in ], ["$holder locked, not dumped"], 'in locked memory that is not dumped, and no other process has it');
}

# --- a bad day ---
my ($pid) = map { m{/(\d+)/} } grep { slurp($_) =~ /quorum-hold\0\Q$d\E/ } glob('/proc/[0-9]*/cmdline');
kill 'KILL', $pid;
sleep 3;
is(reads(), 'diagnosis', 'the process is killed: keys on loan stay until their lease ends') or diag(join "\n", grep { defined } (split /\n/, slurp("$data.log"))[-20 .. -1]);
$t->sov_is('which check tells', 3, qr/2 of 3 must give their shares/, 'key', 'show');
# the server, which asks each second, may be there before the holder for whom the process is started
{
	my $hold = fork();
	exec(as($t->command, '-c', $t->conf, 'quorum-hold', "$d/q/root")) || POSIX::_exit(99) if $hold == 0;
	my $server;
	for (1 .. 100) { last if $server = IO::Socket::UNIX->new(Peer => "$d/q/root.socket"); sleep 0.05; }
	print $server "describe\n";
	like(scalar(<$server>), qr/1 more|2 more/, 'who wants the key is told that shares are missing');
	close $server;
	sleep 0.3;
	ok(-S "$d/q/root.socket" && IO::Socket::UNIX->new(Peer => "$d/q/root.socket"), 'and the process still waits for the first of them');
}
$t->sov_is('unlocked again', 0, qr/1 more/, 'unlock', '--share', $share[1]);
$t->sov_is('by another two', 0, qr/is joined/, 'unlock', '--share', $share[3]);
$t->sov_is('it is there', 0, qr/can be opened/, 'key', 'show');
if ($> == 0)
{
	my ($st, $out, $err) = capture(SovTest::command(), '-c', $t->conf, 'unlock', '--status');
	ok($st eq '3' && $err =~ /belongs to another user.*hint/s, 'run by another user it says whose it is') or diag "$st $out $err";
}
$t->sov_is('the holders take it back', 0, qr/no process/, 'unlock', '--forget');
ok(becomes(qr/must give their shares|custodian/), 'the server loses its keys when it next asks');
like(reads(), qr/must give their shares.*HINT:.*unlock/s, 'and says what to do');
$t->sov_ok('unlock', '--share', $share[2]);
ok(becomes(qr/1 more must be/), 'one share is not enough');
$t->sov_ok('unlock', '--share', $share[1]);
ok(becomes(qr/^diagnosis$/), 'two are: work goes on without a restart');
my (undef, $out) = capture(as('sh', '-c', "for i in \$(seq 80); do '" . SovTest::command() . "' -c '" . $t->conf . "' key show >/dev/null 2>&1 || echo failed & done; wait"));
is($out, '', '80 processes at once are served');
spit("$d/q/root", slurp("$d/q/root") =~ s/Anna/Anne/r);
$t->sov_is('a record that was changed is not believed', 5, qr/damaged.*hint.*share/s, 'key', 'show');
$t->sov_is('nor is it joined by', 5, qr/damaged/, 'unlock', '--share', $share[1]);
run_as('sh', '-c', "sed '/^rows/,\$d' '$share[3]' > $d/q/root");
$t->sov_is('it comes back from any share', 0, qr/can be opened/, 'key', 'show');
like($t->sql("SELECT string_agg(text, E'\\n' ORDER BY time) FROM audit WHERE text ~ '^unlock'"),
	qr/^unlock: the share of [^\n]*Anna[^\n]*\nunlock: the share of [^\n]*, by which the root key is joined\nunlock --forget$/m, 'who gave a share, and when it was taken back, is in the audit log');
$t->sov_ok('unlock', '--forget');
done_testing();
