# The command's frame: usage, exit codes, the root key file, and that mistakes
# are told with file, line and what to do.  Needs no server.
use strict;
use warnings;
use Cwd qw(getcwd);
use File::Temp qw(tempdir);
use Test::More;

my $bin = $ENV{PG_SOVEREIGN} || getcwd() . '/build/pg_sovereign';
plan skip_all => "no $bin (make build/pg_sovereign)" unless -x $bin;
delete $ENV{PG_SOVEREIGN_CONFIG};
my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

# Runs the command; returns exit code, standard output, standard error.
sub run_cli
{
	my @args = @_;
	my ($out, $err) = ("$dir/out", "$dir/err");
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDOUT, '>', $out) && open(STDERR, '>', $err) or die;
		exec($bin, @args) or exit 99;
	}
	waitpid($pid, 0);
	my $status = $? & 127 ? "signal " . ($? & 127) : $? >> 8;
	return ($status, slurp($out), slurp($err));
}

sub slurp
{
	my ($file) = @_;
	open(my $fh, '<', $file) or return '';
	local $/;
	return <$fh> // '';
}

sub spit
{
	my ($file, $text) = @_;
	open(my $fh, '>', $file) or die;
	print $fh $text;
	close $fh;
}

sub gives
{
	my ($what, $code, $out_re, $err_re, @args) = @_;
	subtest $what => sub {
		my ($status, $out, $err) = run_cli(@args);
		is($status, $code, "exit code of: @args");
		like($out, $out_re, 'standard output');
		like($err, $err_re, 'standard error');
		like($err, qr/\nhint: ./, 'says what to do') if $err =~ /error:/;
	};
}

my $nothing = qr/\A\z/;

# --- usage ---
gives('--help', 0, qr/Usage:.*Commands:.*key .*Exit status:/s, $nothing, '--help');
gives('--version', 0, qr/\Apg_sovereign \d+\.\d+\.\d+\n\z/, $nothing, '--version');
gives('no command', 2, $nothing, qr/command is missing.*--help/s);
gives('unknown command', 127, $nothing, qr/no command "zebra"/, 'zebra');
gives('misspelt command', 127, $nothing, qr/did you mean "key"/, 'kye');
gives('unknown option', 2, $nothing, qr/unknown option "--colour"/, '--colour', 'key');
gives('-c without a file', 2, $nothing, qr/-c needs a file/, '-c');
gives('help of a command', 0, qr/\Apg_sovereign key - .*create-root/s, $nothing, 'key', '--help');
gives('help wins over mistakes', 0, qr/create-root/, $nothing, 'key', 'zebra', '--help');
gives('command without its word', 2, $nothing, qr/create-root, split, show, where, rotate-root, subjects, write-only or rotate-content.*hint: pg_sovereign key --help/s, 'key');
gives('unknown word', 2, $nothing, qr/no "key zebra"/, 'key', 'zebra');
gives('misspelt option', 2, $nothing, qr/unknown option "--jsn"; did you mean "--json"/, 'key', 'show', '--jsn');
gives('value too much', 2, $nothing, qr/"--json" takes no value/, 'key', 'show', '--json=x');
gives('unknown short option', 2, $nothing, qr/unknown option "-z"/, 'key', 'show', '-z');
gives('-c behind the command', 2, $nothing, qr/stands before the command/, 'key', 'show', '-c', 'x');
gives('too many arguments', 2, $nothing, qr/too many arguments/, 'key', 'show', 'x');

# every command has a help text that begins like its line in the usage
my ($status, $usage) = run_cli('--help');
my ($list) = $usage =~ /Commands:\n(.*?)\n\n/s;
for my $line (split /\n/, $list)
{
	my ($name) = $line =~ /^  (\S+)/;
	my ($code, $out, $err) = run_cli($name, '--help');
	ok($code == 0 && $out =~ /\Apg_sovereign \Q$name\E - .*Usage:/s && $err eq '', "$name --help");
}

# --- wal-fetch: never "not there" by mistake ---
my ($code) = run_cli('--colour', 'wal-fetch', 'x', 'y');
cmp_ok($code, '>=', 126, 'wal-fetch: an unknown option stops recovery');
($code) = run_cli('-c', "$dir/none", 'wal-fetch', '000000010000000000000001', "$dir/x");
cmp_ok($code, '>=', 126, 'wal-fetch: an absent configuration stops recovery');
($code) = run_cli('wal-ftch', 'x', 'y');
cmp_ok($code, '>=', 126, 'wal-fetch misspelt stops recovery');

# --- configuration ---
my $conf = "$dir/x.conf";
my $key = "$dir/root.key";
gives('absent configuration', 2, $nothing, qr/could not open configuration file "\Q$conf\E".*hint: .*-c FILE/s, '-c', $conf, 'key', 'show');
spit($conf, "[custody]\nrot = file:$key\n");
gives('misspelt name', 2, $nothing, qr/\Q$conf\E:2: unknown name "rot".*hint: did you mean "root"/s, '-c', $conf, 'key', 'show');
spit($conf, "[policy]\njurisdiction = Europe\n");
gives('a policy that is none is told', 2, $nothing, qr/\Q$conf\E:2: "jurisdiction = Europe" is not allowed/, '-c', $conf, 'key', 'show');

# --- the root key ---
spit($conf, "[custody]\nroot = file:$key\n");
gives('no root key yet', 3, $nothing, qr/does not exist.*hint: .*create-root/s, '-c', $conf, 'key', 'show');
gives('create-root', 0, qr/root key [0-9a-f-]{36}\nwritten to \Q$key\E/, qr/copy/, '-c', $conf, 'key', 'create-root');
is((stat $key)[2] & 07777, 0600, 'mode 0600');
my $text = slurp($key);
like($text, qr/\Apg_sovereign root key v1\nid [0-9a-f-]{36}\nkey [A-Za-z0-9+\/]{43}=\ncheck [0-9a-f]{16}\n\z/, 'layout of the file');
my ($secret) = $text =~ /^key (\S+)/m;
my ($id) = $text =~ /^id (\S+)/m;
gives('create-root does not overwrite', 6, $nothing, qr/exists already/, '-c', $conf, 'key', 'create-root');
is(slurp($key), $text, 'and leaves the file');
gives('show', 0, qr/\Q$key\E.*\Q$id\E/, $nothing, '-c', $conf, 'key', 'show');
gives('where', 0, qr/\Q$key\E.*line 2/, $nothing, '-c', $conf, 'key', 'where');
gives('show --json', 0, qr/"root_id": "\Q$id\E"/, $nothing, '-c', $conf, 'key', 'show', '--json');
gives('where --json', 0, qr/"custodian": "file"/, $nothing, '-c', $conf, 'key', 'where', '--json');
for my $what (['show'], ['show', '--json'], ['where'])
{
	my ($c, $out, $err) = run_cli('-c', $conf, 'key', @$what);
	unlike("$out$err", qr/\Q$secret\E/, "@$what does not show the key");
}
$ENV{PG_SOVEREIGN_CONFIG} = $conf;
gives('configuration from the environment', 0, qr/\Q$id\E/, $nothing, 'key', 'show');
delete $ENV{PG_SOVEREIGN_CONFIG};

chmod 0644, $key;
gives('world-readable root key', 3, $nothing, qr/may be read or written by others \(mode 0644\).*hint: chmod 0600/s, '-c', $conf, 'key', 'show');
chmod 0600, $key;
(my $damaged = $text) =~ s/^key (.)/"key " . ($1 eq 'A' ? 'B' : 'A')/me;
spit("$dir/damaged.key", $damaged);
chmod 0600, "$dir/damaged.key";
spit("$dir/damaged.conf", "[custody]\nroot = file:$dir/damaged.key\n");
gives('damaged root key', 5, $nothing, qr/is damaged/, '-c', "$dir/damaged.conf", 'key', 'show');
gives('create-root PATH', 0, qr/\Q$dir\E\/second.key/, qr/copy/, '-c', $conf, 'key', 'create-root', "$dir/second.key");
gives('create-root in an absent directory', 1, $nothing, qr/could not open directory.*hint: make the directory/s, '-c', $conf, 'key', 'create-root', "$dir/none/x.key");

spit($conf, "[cluster]\ndata-directory = $dir/data\n[custody]\nroot = file:$dir/data/root.key\n");
mkdir "$dir/data";
gives('root key inside the data directory', 2, $nothing, qr/\Q$conf\E:4: .*inside the data directory/, '-c', $conf, 'key', 'create-root');
ok(!-e "$dir/data/root.key", 'is not written');
spit($conf, "[custody]\nroot = file:$key\n[provider.paris]\ntype = folder\npath = $dir\n");
gives('root key inside a provider', 2, $nothing, qr/inside provider "paris"/, '-c', $conf, 'key', 'show');

# --- credentials of systemd ---
spit("$dir/given.conf", "[custody]\nroot = file:credential:root.key\n");
gives('a credential where none are', 2, $nothing, qr/CREDENTIALS_DIRECTORY is not set here\nhint: .*LoadCredential/, '-c', "$dir/given.conf", 'key', 'show');
mkdir "$dir/given", 0700;
system('cp', "$dir/second.key", "$dir/given/root.key");
chmod 0400, "$dir/given/root.key";
chmod 0500, "$dir/given";
$ENV{CREDENTIALS_DIRECTORY} = "$dir/given";
gives('a root key as a credential', 0, qr/file \Q$dir\E\/given\/root\.key, root /, $nothing, '-c', "$dir/given.conf", 'key', 'show');
gives('is not made here', 2, $nothing, qr/names a credential of systemd, which is not made here\nhint: .*systemd-creds encrypt/, '-c', "$dir/given.conf", 'key', 'create-root');
chmod 0700, "$dir/given";
rename "$dir/given/root.key", "$dir/given/another";
gives('one that the unit was not given', 2, $nothing, qr/there is no credential "root.key" in .*\nhint: add LoadCredential/, '-c', "$dir/given.conf", 'key', 'show');
delete $ENV{CREDENTIALS_DIRECTORY};
spit("$dir/given.conf", "[custody]\nroot = file:credential:../root.key\n");
gives('a name that is none', 2, $nothing, qr/given\.conf:2: .*no name of letters/, '-c', "$dir/given.conf", 'key', 'show');

# --- output that cannot be written ---
SKIP:
{
	skip 'no /dev/full', 1 unless -c '/dev/full';
	system("'$bin' --help >/dev/full 2>'$dir/err'");
	is($? >> 8, 8, 'a full disk under standard output is an error');
}

done_testing();
