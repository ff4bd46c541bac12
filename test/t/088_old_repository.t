# A repository that the program of 0.1.0 wrote (test/upgrade, see make.sh there) goes on
# with the present one: listed, verified, mended, restored, backed up to, and restored
# again.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $from = "$FindBin::Bin/../upgrade";
system("cat '$from/0.1.0.key' >$d/root.key");
system('rm', '-rf', map { "$d/$_" } qw(a b c));
system('tar', '-x', '-C', $d, '-f', "$from/0.1.0.repository.tar") == 0 or die;
system('chown', '-R', 'postgres', map { "$d/$_" } qw(a b c)) if $> == 0;

# --- read ---
my ($id) = $t->sov_ok('list', '--json') =~ /"backup": "([^"]+)"/;
ok($id, 'its backup is listed');
like($t->sov_ok('list'), qr/^WAL reaches 0000000100000000/m, 'and its mark');
like($t->sov_ok('verify', '--deep'), qr/ 0 missing, 0 damaged, 0 lost/, 'every byte is right');
my ($gone) = SovTest::objects("$d/b", 'p');
unlink $gone or die;
like(($t->sov('verify'))[1], qr/ 1 missing/, 'what it lost is missed');
$t->sov_ok('repair');
like($t->sov_ok('verify', '--deep'), qr/ 0 missing, 0 damaged, 0 lost/, 'and mended');
run_as('mv', "$d/c", "$d/away");
like($t->sov_ok('restore', '-D', "$d/data"), qr/restored backup $id/, 'it is restored from two providers');
run_as('mv', "$d/away", "$d/c");

# --- a server on it, which needs the version of then ---
my ($major) = run_as("$t->{bindir}/postgres", '--version') =~ / (\d+)/;
chomp(my $theirs = SovTest::slurp("$d/data/PG_VERSION"));
SKIP: {
	skip "there is no PostgreSQL $theirs", 9 if $major ne $theirs;
	open(my $fh, '>>', "$d/data/postgresql.conf") or die;
	print $fh "port = $t->{port}\nunix_socket_directories = '$d'\nsovereign.config_file = '@{[$t->conf]}'\nlisten_addresses = ''\n";
	print $fh "dynamic_library_path = '$ENV{SOV_BUILD}:\$libdir'\nsovereign.command = '@{[SovTest::command()]}'\n" if $ENV{SOV_BUILD};
	close $fh;
	$t->start("$d/data");
	is($t->sql('ALTER EXTENSION pg_sovereign UPDATE'), '', 'its extension is updated');
	my $story = q{SELECT string_agg(what, ', ' ORDER BY what) FROM story};
	is($t->sql($story), 'in WAL, in the backup', 'WAL brought it to its end, and old values open');
	$t->sql("INSERT INTO story VALUES ('with the present version')");
	ok($t->archive, 'it archives');
	like($t->sov_ok('backup'), qr/^backup /m, 'it is backed up');
	$t->sql("INSERT INTO story VALUES ('yet later')");
	ok($t->archive, 'and archives on');
	my @ids = $t->sov_ok('list', '--json') =~ /"backup": "([^"]+)"/g;
	is("$ids[0]", $id, 'the old backup is there beside it') if is(scalar @ids, 2, 'both are listed');
	like($t->sov_ok('verify', '--deep'), qr/ 0 missing, 0 damaged, 0 lost/, 'all of it is right');
	$t->stop("$d/data", 'fast');
	$t->sov_ok('restore', '-D', "$d/again");
	$t->start("$d/again");
	is($t->sql($story), 'in WAL, in the backup, with the present version, yet later', 'and is restored');
	$t->stop("$d/again", 'fast');
}
done_testing();
