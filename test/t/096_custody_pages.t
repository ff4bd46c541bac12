# The pages on custody, keys on loan and the audit log work: their blocks are run as they
# stand, with SoftHSM2 (found by p11-kit), a stub of Vault's API, PyKMIP and people at a
# terminal; the policy for Vault is what Vault is asked for, no less and no more.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IO::Pty;
use POSIX ();
use SovMachine;
use SovService;
use SovTest;
use Test::More;
use Time::HiRes qw(time);

my $python = '/usr/bin/python3';
plan skip_all => SovTest::unable() if SovTest::unable();
plan skip_all => 'p11-kit does not know SoftHSM2 (test/setup.sh tests)' if !glob('/usr/share/p11-kit/modules/softhsm2.module');
plan skip_all => 'python3-cryptography is not installed (test/setup.sh tests)' if system("$python -c 'import cryptography' 2>/dev/null") != 0;

sub page { return slurp("$FindBin::Bin/../../extension/doc/$_[0].md"); }
my $m = SovMachine->new((map { "srv/$_/entrepot" } qw(one two three)), 'media/vault');
my ($t, $dir, $data) = @{$m}{qw(t dir data)};
my $etc = "$dir/etc/pg_sovereign";

# --- three tokens, Vault, a KMIP server ---
$t->hsm('root');
run_as('softhsm2-util', '--init-token', '--free', '--label', $_, '--so-pin', '5678', '--pin', '1234') for qw(new vault);
run_as('cp', '-p', "$dir/pin", "$etc/pin");
mkdir "$dir/vault";
is(system('bash', '-c', ". '$FindBin::Bin/../servers/common.sh' '$dir/vault' && make_certificate"), 0, 'certificates');
my $vault_port = service("$dir/vault", $python, "$FindBin::Bin/../servers/vault_stub.py", "$dir/vault");
private("$etc/vault.token", "hvs.good-0123456789-abcdef\n");
private("$etc/vault-ca.pem", slurp("$dir/vault/ca.pem"));
mkdir "$dir/kmip";
my $kmip_is_there = kmip_service("$dir/kmip");
chomp(my $kmip_port = slurp("$dir/kmip/port"));
private("$etc/kmip.$_", slurp("$dir/kmip/client.$_")) for $kmip_is_there ? qw(crt key) : ();
private("$etc/kmip-ca.pem", slurp("$dir/kmip/ca.pem")) if $kmip_is_there;

sub here
{
	my ($text) = @_;
	$text =~ s{vault\.example\.org:8200}{127.0.0.1:$vault_port}g;
	$text =~ s{kms\.example\.org:5696}{127.0.0.1:$kmip_port}g;
	return $m->here($text);
}

my $rest = here(<<'CONF');
[cluster]
data-directory = /var/lib/postgresql/15/main
connection = host=/var/run/postgresql dbname=postgres
[provider.one]
type = folder
path = /srv/one/entrepot
[provider.two]
type = folder
path = /srv/two/entrepot
[provider.three]
type = folder
path = /srv/three/entrepot
CONF
my $repository = here("name = entrepot\nneeded = 2\nshards = 3\nstate-directory = /var/lib/pg_sovereign/entrepot\n");
my $file = here('file:/etc/pg_sovereign/root.key');
# The configuration with this in [custody]
sub configure
{
	my ($custody, $more) = @_;
	$m->configure("[repository]\n$repository$rest\[custody]\n$custody\n" . ($more // ''));
}
sub runs
{
	my ($name, $script, $re) = @_;
	my ($status, $out, $err) = $m->shell($script);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($status eq '0' && "$out$err" =~ ($re // qr//), $name) or diag "$status $script\n$out$err";
	return $out;
}
# The root key that a block made is one that can be used.
sub serves
{
	my ($name, $block) = @_;
	my ($uri) = $block =~ /create-root '([^']+)'/ or die $block;
	configure("root = $uri");
	runs("$name: and opened", 'pg_sovereign key show', qr/can be opened/);
	configure("root = $file");
}

# A script at a terminal; each prompt is answered by what $answer->(number, shown) gives.
sub at_terminal
{
	my ($script, $answer) = @_;
	my $pty = IO::Pty->new;
	my $pid = fork();
	if ($pid == 0)
	{
		$pty->make_slave_controlling_terminal;
		my $slave = $pty->slave;
		open(STDIN, '<&', $slave); open(STDOUT, '>&', $slave); open(STDERR, '>&', $slave);
		exec($m->shell_command($script)) or POSIX::_exit(99);
	}
	$pty->close_slave;
	my ($seen, $asked, $deadline) = ('', 0, time + 60);
	while (time < $deadline)
	{
		my $r = '';
		vec($r, fileno($pty), 1) = 1;
		next unless select($r, undef, undef, 1);
		last unless sysread($pty, my $text, 1000);
		$seen .= $text;
		my $prompts = () = $seen =~ /Press Enter|row \d of 5: |PIN of token "\w+": /g;
		syswrite($pty, $answer->($asked++, $seen) . "\n") if $prompts > $asked;
	}
	waitpid($pid, 0);
	return ($? >> 8, $seen);
}

# Without pin-source the PIN is asked for, and not shown.
sub asks_for_pin
{
	my ($uri) = $_[0] =~ /create-root '([^'?]+)/;
	configure("root = $uri");
	my ($status, $seen) = at_terminal('pg_sovereign key show', sub { return '1234'; });
	ok($status == 0 && $seen =~ /PIN of token "controller": .*can be opened/s && $seen !~ /1234/, 'the PIN is asked for at the terminal') or diag "$status $seen";
	configure("root = $file");
}

# --- a database and a repository under a file ---
configure("root = $file");
$m->settings("archive_mode = on\narchive_library = 'pg_sovereign'\n");
runs('a root key in a file, and a repository', 'pg_sovereign key create-root && pg_sovereign init');
$t->start($data);
is(($m->sql("CREATE EXTENSION pg_sovereign; SELECT create_key('k'); CREATE TABLE c (n encrypted_text('k')); INSERT INTO c VALUES ('Martin')"))[0], '0', 'a database');
is(($m->shell('pg_sovereign backup'))[0], '0', 'a backup');
sub reads { my ($name) = @_; is($t->sql('SELECT n FROM c'), 'Martin', "$name: the database reads"); }

my %asked;						# of Vault, after a mark: method and path
sub vault_was_asked { my $text = slurp("$dir/vault/asked"); return $text =~ /^(\S+ \S+)$/mg; }

# Encrypted as the page says, and given to the command as systemd would.  (systemd keeps the
# host's key in a directory, for which another one stands here, in a mount namespace.)
sub as_a_credential
{
	my ($heading, $text) = @_;
	my ($encrypt, $unit) = split /^(?=\[Service\])/m, $text;
	my ($name, $encrypted) = $unit =~ /^LoadCredentialEncrypted=([^:]+):(\S+)$/m or die $text;
	SKIP:
	{
		skip 'systemd-creds needs root, and mount namespaces', 3 if $> != 0 || system('systemd-creds --version >/dev/null 2>&1 && unshare -m true 2>/dev/null') != 0;
		mkdir "$dir/$_" for qw(systemd given);
		my ($status, $out, $err) = capture('unshare', '-m', 'sh', '-e', '-c', "mount --bind $dir/systemd /var/lib/systemd\n${encrypt}systemd-creds decrypt --name=$name $encrypted $dir/given/$name");
		is($status, 0, "$heading: the root key is encrypted to this host, and comes back") or diag "$out$err";
		private("$dir/given/$name");
		configure("root = file:credential:$name");
		runs("$heading: and opened", "CREDENTIALS_DIRECTORY=$dir/given pg_sovereign key show", qr/can be opened/);
		configure("root = $file");
		spit("$dir/here.service", "${unit}ExecStart=/bin/true\n");
		is(system("systemd-analyze verify $dir/here.service"), 0, "$heading: systemd understands the unit's line");
	}
}

my %done;
for my $block (blocks(page('custody')))
{
	my ($kind, $text, $heading) = ($block->[0], here($block->[1]), $block->[2]);
	$done{"$kind $heading"}++;
	if ($kind eq 'text')
	{
		as_a_credential($heading, $text);
		next;
	}
	if ($heading eq 'KMIP' && !$kmip_is_there)
	{
		SKIP: { skip 'PyKMIP is not installed (test/setup.sh tests)', 1; }
	}
	elsif ($kind eq 'sh' && $text =~ /key create-root/)
	{
		runs("$heading: a root key is made", $text, qr/made at/);
		asks_for_pin($text) if $heading =~ /HSM/;
		unlink "$dir/vault/asked";
		serves($heading, $text);
	}
	elsif ($kind eq 'hcl')
	{
		# what it takes to wrap and unwrap: the database goes there and back
		my ($uri) = map { here($_) =~ /create-root '([^']+)'/ } grep { /vault:/ } map { $_->[1] } blocks(page('custody'));
		runs("$heading: the database goes there", "pg_sovereign key rotate-root '$uri'");
		configure("root = $uri");
		runs("$heading: for good", 'pg_sovereign key rotate-root --finish');
		$t->sql('SELECT pg_reload_conf()');
		reads($heading);
		my %may = map { $_->[0] => $_->[1] eq 'read' ? 'GET' : 'POST' } map { [/^path "(\S+)"\s*\{ capabilities = \["(\w+)"\] \}$/] } split /\n/, $text;
		is_deeply([ sort keys %{ { map { $_ => 1 } vault_was_asked() } } ], [ sort map { "$may{$_} $_" } keys %may ], "$heading: it was asked for what its policy permits, for all of it and no more");
		runs("$heading: and back", "pg_sovereign key rotate-root '$file'");
		configure("root = $file");
		runs("$heading: for good", 'pg_sovereign key rotate-root --finish');
	}
	elsif ($heading eq 'A quorum of people')
	{
		my ($record) = $text =~ m{ (\S+root\.quorum)$}m;
		configure("root = quorum:$record");
		my @rows;
		my ($status, $seen) = at_terminal($text, sub {
			my ($n, $shown) = @_;
			@rows = map { [ /^\d ((?:\w{5}-){3}\w{5})\r?$/mg ] } $shown =~ /alone\..*?\e\[3J(.*?)Press Enter when that is done/gs if $n == 5;
			return $n < 6 ? '' : $rows[0][ $n - 6 ];
		});
		ok($status == 0 && $seen =~ /Anna.*1 more/s, "$heading: shares are shown, the first holder types hers") or diag "$status $seen";
		($status, $seen) = at_terminal('pg_sovereign unlock', sub { return $rows[2][ $_[0] ]; });
		ok($status == 0 && $seen =~ /the root key is joined/, "$heading: and another one") or diag "$status $seen";
		runs("$heading: opened", 'pg_sovereign key show', qr/quorum 2 of 3.*can be opened/s);
		runs("$heading: and told", 'pg_sovereign key where', qr/any 2 of: Anna Ek, Bruno Sy, Cleo Aas/);
		configure("root = $file");
	}
	elsif ($text =~ /rotate-root/)
	{
		my ($uri) = $text =~ /rotate-root '([^']+)'/;
		my ($before, $after) = $text =~ /\A(.*?)^(# write that URI.*)\z/ms or die $text;
		runs("$heading: a new one", "pg_sovereign key create-root '$uri'");
		runs("$heading: wrapped under both", $before, qr/both root keys/);
		reads($heading);
		configure("root = $uri");
		$t->sql('SELECT pg_reload_conf()');
		runs("$heading: finished", $after, qr/root key \S+ is needed\nno other root key is needed/);
		reads($heading);
		is(($m->shell("pg_sovereign key rotate-root '$file'"))[0], '0', "$heading: and back to the file");
		configure("root = $file");
		$t->sql('SELECT pg_reload_conf()');
		runs("$heading: for good", 'pg_sovereign key rotate-root --finish');
	}
	elsif ($kind eq 'ini')
	{
		my ($make) = map { here($_) } page('custody') =~ /make the content root key: `(pg_sovereign key create-root\s+\S+)`/;
		my ($line) = map { here($_) } page('custody') =~ /the line\s+`(content = \S+)` in `\[custody\]`/;
		runs("$heading: step 1", $make =~ s/\s+/ /gr);
		configure("root = $file\n$line");
		runs("$heading: step 2", 'pg_sovereign key write-only');
		$text =~ s/^name = entrepot\n/$repository/m or die $text;
		$m->configure($text . $rest);
		runs("$heading: step 3", 'pg_sovereign check --no-archive', qr/ok    write-only host/);
		is(($m->shell('pg_sovereign backup'))[0], '0', "$heading: it backs up");
		is(($m->shell("pg_sovereign restore -D $dir/r"))[0], '3', "$heading: and restores nothing");
		configure("root = $file\n$line");
		runs("$heading: step 4", "pg_sovereign drill --scratch $dir");
	}
	elsif ($text =~ /rotate-content/)
	{
		my ($uri) = $text =~ /rotate-content '([^']+)'/;
		runs("$heading: another custodian for content", "pg_sovereign key create-root '$uri'");
		runs("$heading: a new pair, twice", $text);
		configure("root = $file\ncontent = $uri");
		is(($m->shell('pg_sovereign backup'))[0], '0', "$heading: a backup under the new pair");
		runs("$heading: opens by the new custodian", "pg_sovereign restore -D $dir/r");
	}
	else { fail("$heading: this test knows no block of the kind $kind"); }
}
is(join(', ', sort keys %done), join(', ', sort 'sh HSM (PKCS#11)', 'sh Vault and OpenBao', 'hcl Vault and OpenBao', 'sh KMIP', 'sh A quorum of people',
	'sh A new root key, or another custodian', 'text Credentials of systemd', 'ini A write-only host', 'sh A write-only host'), 'all of the page');

# --- keys on loan, and the settings of the audit log ---
configure("root = $file");
for my $block (blocks(page('keys')), grep { $_->[0] eq 'ini' } blocks(page('audit')))
{
	my ($kind, $text) = ($block->[0], here($block->[1]));
	if ($kind eq '')
	{
		$m->settings($text);
		$t->restart($data);
		next;
	}
	$text =~ /^\[custody\]/ ? configure($text =~ s/^\[custody\]\n//r) : configure("root = $file", $text);
	runs('understood: ' . $text =~ s/\n.*//sr, 'pg_sovereign list');
	$t->sql('SELECT pg_reload_conf()');
	reads('preloaded');
	is($t->sql("SELECT until BETWEEN now() + '55 min' AND now() + '1 hour' FROM lease"), 't', 'for as long as the page says') if $text =~ /^lease = 1h/m;
	runs('the directory of the page', 'pg_sovereign audit ship && ls ' . here('/var/lib/pg_sovereign/audit/log')) if $text =~ /^directory/m;
}

# --- persons' keys beside another custodian than the root key, which people hold ---
for my $block (grep { $_->[0] eq 'ini' } blocks(page('erasure')))
{
	my ($custody) = here($block->[1]) =~ /^\[custody\]\n(.*)/s;
	$m->configure("[repository]\n$repository$rest\[custody]\n$custody");
	runs('the page on erasure: the root key is with people', 'pg_sovereign key show', qr/quorum 2 of 3.*can be opened/s);
}
runs('forgotten', 'pg_sovereign unlock --forget');
$t->stop($data, 'fast');
done_testing();
