# Clients of several languages see plain types, without code of their own.
use strict;
use warnings;
use FindBin;
use Test::More;
use lib 'test/t';
use SovTest;

my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
my $here = "$d/clients";		# the user who runs them may not read the checkout
system('cp', '-r', "$FindBin::Bin/../clients", $here);
system('chmod', '-R', 'a+rX', $here);
$t->sov_ok('init');
my $data = $t->start_new(conf => "listen_addresses = '127.0.0.1'\n");
$t->sql("CREATE SCHEMA s");
$t->sql("CREATE EXTENSION pg_sovereign SCHEMA s");
$t->sql("SELECT s.create_key('k')");
# The application's definition; the schema is not in its search_path.
$t->sql(<<'SQL');
CREATE TABLE client (id int PRIMARY KEY, a s.encrypted_text('k', 'searchable') UNIQUE, b s.encrypted_bytea('k', 'searchable'), c s.encrypted_bool('k'),
	d s.encrypted_int4('k', 'searchable'), e s.encrypted_int8('k', 'searchable'), f s.encrypted_date('k', 'searchable'),
	g s.encrypted_timestamptz('k', 'searchable'), h s.encrypted_uuid('k', 'searchable'), i s.encrypted_numeric('k', 'searchable'),
	j s.encrypted_float8('k'), l s.encrypted_jsonb('k'))
SQL

# Run one client and take over its results.
sub client
{
	my ($name, @command) = @_;
	my ($status, $out, $err) = capture(as(@command));
	my $n = 0;
	for (split /\n/, $out)
	{
		next unless /^(not )?ok - (.*)$/;
		ok(!$1, $2);
		$n++;
	}
	ok($status eq '0' && $n > 4, "$name ran to its end") or diag "$status $out$err";
}
sub there { my ($status) = capture(@_); return $status eq '0'; }

my $conn = "host=$d port=$t->{port} user=postgres dbname=postgres";
for my $driver (qw(psycopg2 psycopg))
{
	SKIP:
	{
		skip "$driver is not installed", 1 unless there('/usr/bin/python3', '-c', "import $driver");
		client($driver, '/usr/bin/python3', "$here/python_client.py", $driver, $conn);
	}
}
SKIP:
{
	my ($pg) = grep { -d } '/usr/share/nodejs/pg', '/usr/lib/nodejs/pg';
	if (!$pg && there('sh', '-c', 'command -v node && command -v npm'))
	{
		$pg = "$d/node/node_modules/pg";
		mkdir "$d/node";
		there('timeout', '120', 'npm', 'install', '--silent', '--fetch-retries=1', '--fetch-timeout=30000', '--no-audit', '--no-fund', '--prefix', "$d/node", 'pg');
		system('chmod', '-R', 'a+rX', "$d/node");
	}
	skip 'node-postgres is not installed', 1 unless $pg && -d $pg;
	client('node-postgres', 'node', "$here/node_client.js", $pg, $d, $t->{port}, 'postgres');
}
SKIP:
{
	my $jar = '/usr/share/java/postgresql.jar';
	skip 'no JDBC driver, or no Java compiler', 1 unless -e $jar && there('sh', '-c', 'command -v javac');
	client('JDBC', 'java', '-cp', $jar, "$here/JdbcClient.java", "jdbc:postgresql://127.0.0.1:$t->{port}/postgres?user=postgres");
}
{
	my ($status, $out, $err) = capture('sh', '-c', "gcc -Wall -Wextra -Werror -I \$('$bin/pg_config' --includedir) -o $d/binary_client $here/binary_client.c -L \$('$bin/pg_config' --libdir) -lpq");
	is($status, 0, 'binary_client.c compiles') or diag $err;
	client('libpq', "$d/binary_client", $conn);
}
done_testing();
