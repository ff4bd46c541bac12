# The server's clock is set while it runs, back and ahead: keys on loan and break-glass
# accesses end when they would have, not later and not before.
use strict;
use warnings;
use Test::More;
use SovTest;
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();
my ($lib) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1');
plan skip_all => 'libfaketime is not installed' unless $lib;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
run_as('mkdir', "$d/c1");
sub set_clock { return "printf %s $_[0] >$d/c1/new && mv $d/c1/new $d/c1/clock"; }
sub clock { run_as('sh', '-c', set_clock($_[0])); }
clock('+0');
# The command that the server runs: its custodian may be away.
spit("$d/custody", "#!/bin/sh\n. $d/mood\nexec '" . SovTest::command() . "' \"\$\@\"\n");
spit("$d/mood", '');
chmod 0755, "$d/custody";
chmod 0644, "$d/mood";
spit($t->conf, slurp($t->conf) =~ s/(root = .*)/$1\nlease = 10s\nrenew = 1s/r);
my $data = $t->start_new(conf => <<CONF);
shared_preload_libraries = 'pg_sovereign'
sovereign.command = '$d/custody'
sovereign.ship_audit = off
shared_buffers = 16MB
fsync = off
archive_mode = off
CONF
$t->stop($data, 'fast');
$t->{clusters}{$data} = 1;
my ($started, $out, $err) = capture(as('env', "LD_PRELOAD=$lib", "FAKETIME_TIMESTAMP_FILE=$d/c1/clock", 'FAKETIME_NO_CACHE=1', 'FAKETIME_DONT_FAKE_MONOTONIC=1', 'NO_FAKE_STAT=1',
	"$bin/pg_ctl", '-D', $data, '-l', "$data.log", '-w', '-t', '60', 'start'));
is($started, 0, 'a server whose clock can be set') or diag $out . $err . slurp("$data.log");

# Standard output and error of one session with these statements.
sub ask
{
	my ($user, @sql) = @_;
	my (undef, $out, $err) = capture(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', $user, '-d', 'postgres', map { ('-c', $_) } @sql));
	chomp(my $both = "$out$err");
	return $both;
}
# Seconds until it answers so, or undef.
sub becomes
{
	my ($re, $sql, $seconds) = @_;
	my $start = time;
	while (time < $start + $seconds)
	{
		return time - $start if ask('postgres', $sql) =~ $re;
		sleep 0.1;
	}
	return undef;
}
sub server_clock { return ask('postgres', 'SELECT extract(epoch FROM clock_timestamp())') - time; }

ask('postgres', 'CREATE EXTENSION pg_sovereign', 'CREATE ROLE carol LOGIN', "SELECT create_key('k')", "CREATE TABLE p (n encrypted_text('k'))", "INSERT INTO p VALUES ('Martin')", 'GRANT SELECT ON p TO carol',
	"SELECT grant_decrypt('k', 'postgres')", "SELECT allow_break_glass('k', 'carol')");
my $query = 'SELECT n::text FROM p';
is(ask('postgres', $query), 'Martin', 'it decrypts');

# --- a lease ---
clock('+1d');
cmp_ok(server_clock(), '>', 80000, 'the clock is set a day ahead');
is(ask('postgres', $query), 'Martin', 'the lease goes on');
spit("$d/mood", 'exit 3');
sleep 2;
clock('+2d');
is(ask('postgres', $query), 'Martin', 'with a custodian that is away too: it is not over');
clock('-1h');
cmp_ok(server_clock(), '<', -3500, 'the clock is set back an hour');
ok(defined(my $took = becomes(qr/ERROR:  .*exit status 3/, $query, 20)), 'and the lease ends nevertheless');
cmp_ok($took // 99, '<', 12, 'when it would have');
spit("$d/mood", '');
ok(defined becomes(qr/^Martin$/, $query, 20), 'the custodian is back, and so are the keys');

# --- break-glass ---
clock('+0');
my $denied = qr/ERROR:  user "carol" may not decrypt/;
like(ask('carol', "SELECT 1 FROM break_glass('k', 'fire', '5 s')", $query, '\! sleep 3', '\! ' . set_clock('-2.5'), '\! sleep 3', $query), qr/^1\nMartin\n$denied/, 'an access is no longer than it was to be: in its session');
like(ask('carol', $query), $denied, 'and in others');
cmp_ok(ask('postgres', 'SELECT max(until) > clock_timestamp() FROM key_glass'), 'eq', 't', '(though the clock is not there yet)');
clock('+0');
is(ask('carol', "SELECT 1 FROM break_glass('k', 'fire again', '1 hour')", '\! sleep 2', "SELECT close_break_glass('k')", '\! ' . set_clock('-1'), "SET sovereign.on_denied = 'mask'", $query), "1\nt\n***", 'one that was closed is not opened again by the clock');
clock('+0');
is(ask('carol', "SELECT 1 FROM break_glass('k', 'once more', '1 hour')", $query, '\! ' . set_clock('+30'), $query, '\! ' . set_clock('-10'), "SET sovereign.on_denied = 'mask'", $query), "1\nMartin\nMartin\n***", 'a clock before its beginning closes it, one that is a little ahead does not');
clock('+0');
done_testing();
