# The root key goes from a file into Vault (a stub of its API), from there to a KMIP server
# (PyKMIP), and back into a file, while the server runs: `key where` tells which are needed,
# what is refused is told, a custodian that is away costs nothing but what is asked meanwhile.
use strict;
use warnings;
use Test::More;
use FindBin;
use SovService;
use SovTest;

my $python = '/usr/bin/python3';
plan skip_all => SovTest::unable() if SovTest::unable();
plan skip_all => 'python3-cryptography is not installed (test/setup.sh tests)' if system("$python -c 'import cryptography' 2>/dev/null") != 0;

my $t = SovTest->new;
my $dir = $t->dir;
my $servers = "$FindBin::Bin/../servers";
my $root = '';

# From the configured custodian to another one, to the end.
sub moved
{
	my ($name, $uri, $described) = @_;
	$t->sov_is("$name: wrapped under both", 0, qr/both root keys open everything/, 'key', 'rotate-root', $uri);
	$t->root_is($uri);
	is($t->sql('SELECT v FROM secret'), 'kept', "$name: read under the new one");
	$t->sov_is("$name: finished", 0, $described, 'key', 'rotate-root', '--finish');
	my @now = $t->needed_roots;
	ok(@now == 1 && $now[0] ne $root, "$name: only the new root key is needed");
	($root) = @now;
	is($t->sql('SELECT v FROM secret'), 'kept', "$name: and opens what is sealed");
}

my $home = "$dir/vault";
mkdir $home;
is(system('bash', '-c', ". '$servers/common.sh' '$home' && make_certificate"), 0, 'certificates');
my $port = service($home, $python, "$servers/vault_stub.py", $home);
private("$dir/token", "hvs.good-0123456789-abcdef\n");
my $vault = "vault:https://127.0.0.1:$port/transit/keys/pg-root?token-file=$dir/token&ca-file=$home/ca.pem";

my $data = $t->start_new;
$t->sov_ok('init');
$t->sql($_) for ('CREATE EXTENSION pg_sovereign', q{SELECT create_key('k')},
	q{CREATE TABLE secret (v encrypted_text('k'))}, q{INSERT INTO secret VALUES ('kept')});
$t->sov_is('a root key is made in Vault', 0, qr/made at vault:/, 'key', 'create-root', $vault);
($root) = $t->needed_roots;
moved('to Vault', $vault, qr/under vault key pg-root of transit at 127\.0\.0\.1, version 1, not exportable, root [0-9a-f-]{36} alone/);
run_as('mkdir', '-m', '700', "$dir/given");
run_as('cp', '-p', "$dir/token", "$dir/given/vault.token");
$t->root_is($vault =~ s/token-file=[^&]*/token-file=credential:vault.token/r);
$t->sov_is('its token as a credential of systemd, where there is none', 2, qr/CREDENTIALS_DIRECTORY is not set/, 'key', 'show');
$ENV{CREDENTIALS_DIRECTORY} = "$dir/given";
$t->sov_is('and where there is', 0, qr/vault key pg-root/, 'key', 'show');
delete $ENV{CREDENTIALS_DIRECTORY};
$t->root_is($vault);
$t->sov_is('key show', 0, qr/vault key pg-root.*not exportable.*can be opened/s, 'key', 'show');
$t->sov_is('key where', 0, qr/custodian "vault".*key-encryption key at vault key pg-root/s, 'key', 'where');
rename("$dir/root.key", "$dir/away.key") or die;
$t->sov_is('the repository is read without the old root key', 0, qr//, 'verify');

SovTest::spit("$home/mode", "sealed\n");
$t->sov_is('sealed: the command says so', 3, qr/it is sealed\n.*hint: unseal it/s, 'list');
like(eval { $t->sql('SELECT v FROM secret') } // $@, qr/it is sealed/, 'sealed: so does the server');
SovTest::spit("$home/mode", "ok\n");
is($t->sql('SELECT v FROM secret'), 'kept', 'unsealed: work goes on');

my $kmip_home = "$dir/kmip";
mkdir $kmip_home;
my $kmip_group = kmip_service($kmip_home);
SKIP:
{
	skip 'PyKMIP is not installed (test/setup.sh tests)', 10 unless $kmip_group;
	chomp(my $kmip_port = SovTest::slurp("$kmip_home/port"));
	private("$kmip_home/client.key");
	my $kmip = "kmip:127.0.0.1:$kmip_port/pg-root?cert-file=$kmip_home/client.crt&key-file=$kmip_home/client.key&ca-file=$kmip_home/ca.pem";
	$t->sov_is('a root key is made by the KMIP server', 0, qr/made at kmip:/, 'key', 'create-root', $kmip);
	moved('to KMIP', $kmip, qr/under kmip key pg-root at 127\.0\.0\.1, EXTRACTABLE.*alone/);
	$t->sov_is('key where', 0, qr/custodian "kmip".*key-encryption key at kmip key pg-root/s, 'key', 'where');
	$t->sov_is('the repository is read under it', 0, qr//, 'list');
	kill '-STOP', $kmip_group;
	$t->sov_is('a KMIP server that hangs', 3, qr/KMIP server .*\n.*hint: /s, 'key', 'show');
	kill '-CONT', $kmip_group;
	is($t->sql('SELECT v FROM secret'), 'kept', 'it is back: work goes on');
}

rename("$dir/away.key", "$dir/root.key") or die;
moved('back to the file', "file:$dir/root.key", qr/under file /);
$t->stop($data);
done_testing();
