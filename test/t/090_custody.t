# The root key goes from a file into an HSM while the server runs: both root keys open
# everything meanwhile, kill -9 loses nothing, the old one is not needed in the end, and
# a backup older than the change comes back under the new one.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $dir = $t->dir;
my $hsm = $t->hsm('root');
plan skip_all => 'SoftHSM2 is not installed (test/setup.sh tests)' unless $hsm;

# --- before ---
my $data = $t->start_new;
$t->sov_ok('init');
my $sql = sub { return $t->sql(@_) };
$sql->('CREATE EXTENSION pg_sovereign');
$sql->(q{SELECT create_key('k')});
$sql->(q{CREATE TABLE secret (id int, v encrypted_text('k'))});
$sql->(q{INSERT INTO secret VALUES (1, 'before the change')});
$t->sov_ok('backup');
my ($first) = $t->sov_ok('list', '--json') =~ /"backup": "([^"]+)"/;
$sql->(q{SELECT pg_create_restore_point('before the change')});
$t->archive;
my ($old) = $t->sov_ok('key', 'show') =~ /root ([0-9a-f-]{36})/;
is_deeply([ $t->needed_roots ], [$old], 'key where names the one root key');
$t->sov_is('who may use what, how often it sealed, where it is', 0,
	qr/key k, version [0-9a-f]{8} \(current\).*may be used by every role; (?!0 )\d{1,3} seals counted; now wrapped, and in sessions.*no other root key is needed/s, 'key', 'where');

# --- the new one ---
$t->sov_is('a root key is made in the HSM', 0, qr/made at pkcs11:/, 'key', 'create-root', $hsm);
$t->sov_is('never over another', 6, qr/has a key of this name already/, 'key', 'create-root', $hsm);
$t->sov_is('an absent one is refused, and nothing is changed', 3, qr/no such key/, 'key', 'rotate-root', $hsm =~ s/object=root/object=none/r);
is_deeply([ $t->needed_roots ], [$old], 'still the old one alone');
$t->sov_is('nor is the configured one taken', 6, qr/configured already/, 'key', 'rotate-root', "file:$dir/root.key");
$sql->('CREATE DATABASE closed ALLOW_CONNECTIONS false');
$t->sov_is('nor where a database cannot be looked into', 6, qr/database closed allows no connections.*hint: ALTER DATABASE closed/s, 'key', 'rotate-root', $hsm);
$t->sov_is('which key where says too', 0, qr/what could not be asked may need others.*database closed allows no connections/s, 'key', 'where');
$sql->('DROP DATABASE closed');
is_deeply([ $t->needed_roots ], [$old], 'and nothing is changed');
for my $seconds (0.15, 0.4)
{
	$t->sov_killed($seconds, 'key', 'rotate-root', $hsm);
	is($sql->('SELECT v FROM secret'), 'before the change', "killed after $seconds s: the server reads");
	$t->sov_ok('list');
}
$t->sov_is('wrapped under both', 0, qr/both root keys open everything.*--finish/s, 'key', 'rotate-root', $hsm);
my @both = $t->needed_roots;
is(scalar @both, 2, 'two root keys are needed now');
my ($new) = grep { $_ ne $old } @both;
$t->sov_is('again: nothing is left to do', 0, qr/nothing was left to do/, 'key', 'rotate-root', $hsm);
is($sql->('SELECT v FROM secret'), 'before the change', 'read under the old root key');
$t->root_is($hsm);
is($sql->('SELECT v FROM secret'), 'before the change', 'and under the new one, by the helper of the server');
$sql->(q{INSERT INTO secret VALUES (2, 'in between')});
$t->sov_ok('backup');

# --- the end ---
$t->sov_killed(0.3, 'key', 'rotate-root', '--finish');
$t->sov_is('finished', 0, qr/under pkcs11 token controller .* alone/, 'key', 'rotate-root', '--finish');
is_deeply([ $t->needed_roots ], [$new], 'only the new root key is needed');
rename("$dir/root.key", "$dir/gone.key") or die;
$sql->(q{INSERT INTO secret VALUES (3, 'after')});
is($sql->('SELECT string_agg(v, $$,$$ ORDER BY id) FROM secret'), 'before the change,in between,after', 'the old root key is gone; all is read');
$t->sov_ok('backup');
$t->sov_is('the repository too', 0, qr//, 'verify');
is(scalar(map { SovTest::objects("$dir/$_", 'k') } qw(a b c)), 3, 'no keyring is left under the old root key');

like($t->sov_ok('audit', 'export'), qr/"event":"key","outcome":"failed",[^\n]*key rotate-root: 0 wrapped keys [^\n]*\n(?:.*\n)*?.*"outcome":"done",[^\n]*key rotate-root: \d wrapped keys rewritten, under pkcs11 [^\n]*\n(?:.*\n)*?.*"outcome":"done",[^\n]*key rotate-root --finish: /, 'each try is in the audit log');

# --- a backup from before the change ---
$t->archive;
$t->stop($data, 'fast');
$t->sov_ok('restore', '-D', "$dir/back", '--backup', $first, '--target-name', 'before the change');
SovTest::run_as('mv', $data, "$dir/former");
SovTest::run_as('mv', "$dir/back", $data);
SovTest::run_as('sh', '-c', "echo 'archive_mode = off' >> $data/postgresql.auto.conf");
$t->start($data);
like(eval { $sql->('SELECT v FROM secret') } // $@, qr/no token wrapped this key|does not open this key/, 'its table names the old root key');
$t->sov_is('which --finish mends from the keyring', 0, qr/rewritten/, 'key', 'rotate-root', '--finish');
is($sql->('SELECT v FROM secret'), 'before the change', 'and is read under the new one');
$t->stop($data, 'fast');
done_testing();
