# ALTER EXTENSION UPDATE from 0.1.0, the first version that was landed: a database that
# its library made and sealed (test/upgrade, see make.sh there) is restored under its
# catalogue; the library is exchanged, as an administrator does it; then the update.
use strict;
use warnings;
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my ($t, $tree, $bin);
my $from = "$FindBin::Bin/../upgrade";
END { my $status = $?; undef $t; system('rm', '-rf', $tree) if $tree; $? = $status; }
BEGIN
{
	# where the old library and script may be installed
	$tree = tempdir('/tmp/sov_tree.XXXXXX', CLEANUP => 0);
	chmod 0755, $tree;
	chomp($bin = `'$FindBin::Bin/../upgrade/tree.sh' $tree`);
	$ENV{SOV_BINDIR} = $bin if $? == 0;
}
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();
my %dir = map { chomp(my $path = run_as($ENV{PG_CONFIG} || 'pg_config', "--$_")); $_ => $path } qw(pkglibdir sharedir includedir-server);
plan skip_all => "there are no headers of the server in \"$dir{'includedir-server'}\"" unless -f "$dir{'includedir-server'}/postgres.h";
my $lib = "$tree$dir{pkglibdir}";

# --- the old library and script ---
my $script = SovTest::slurp("$from/pg_sovereign--0.1.0.sql");
my %symbol = map { $_ => 1 } $script =~ /AS 'MODULE_PATHNAME', '(\w+)'/g, $script =~ /CREATE FUNCTION (\w+)[^;]*AS 'MODULE_PATHNAME';/g;
delete @symbol{ SovTest::slurp("$from/old.c") =~ /^FUNCTION\((\w+)\)/mg };
spit("$tree/not_here.h", join '', map { "NOT_HERE($_)\n" } sort keys %symbol);
rename "$lib/pg_sovereign.so", "$lib/new.so" or die;
system("\${CC:-cc} -shared -fPIC -I$dir{'includedir-server'} -I$from/../../include -I$tree $from/old.c -o $lib/pg_sovereign.so") == 0
	or die 'old.c does not compile';
spit("$tree$dir{sharedir}/extension/pg_sovereign--0.1.0.sql", $script);

$t = SovTest->new;
my $d = $t->dir;
system("cat '$from/0.1.0.key' >$d/root.key");
my $data = $t->start_new(conf => "fsync = off\narchive_mode = off\nautovacuum = off\n");
my ($version) = SovTest::slurp("$dir{sharedir}/extension/pg_sovereign.control") =~ /default_version = '(.*)'/;

sub psql
{
	my ($db, @args) = @_;
	my (undef, $out, $err) = capture(as("$bin/psql", '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=default',
		'-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', $db, map { /^[\/-]/ ? $_ : ('-c', $_) } @args));
	return "$out$err" =~ s/\n\z//r;
}
# The statements that make a database, also the members of extensions.
sub definitions
{
	my ($db) = @_;
	my $text = run_as("$bin/pg_dump", '--binary-upgrade', '-s', '-h', $d, '-p', $t->{port}, '-U', 'postgres', $db);
	$text =~ s/^(--|SELECT pg_catalog\.binary_upgrade_set_|\\(un)?restrict ).*\n//mg;
	$text =~ s/\(('pg_sovereign', .*?), '\{[\d,]+\}'/($1/;		# OIDs of tables
	return map { s/^\s+//r => 1 } grep { !/relfrozenxid/ } split /;\n+/, $text;
}
sub dependencies
{
	return psql($_[0], q{SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ' ' || d.deptype || ' ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
		FROM pg_depend e JOIN pg_depend d USING (classid, objid) WHERE e.deptype = 'e' AND e.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sovereign') ORDER BY 1});
}

# --- a database of 0.1.0 ---
spit("$d/0.1.0.sql", "CREATE ROLE clerk;\nSET enable_mergejoin = off;\n" . SovTest::slurp("$from/0.1.0.sql") =~ s/(CREATE EXTENSION .* SCHEMA sov)/$1 VERSION '0.1.0'/r);
like(psql('postgres', '-f', "$d/0.1.0.sql"), qr/^\d*\s*\z/, 'a database of 0.1.0 is there');
my $nodes = q{SELECT string_agg(oid || ' ' || relfilenode, ',' ORDER BY oid) FROM pg_class WHERE relname IN ('patient', 'patient_nir', 'patient_name', 'by_nir')};
my $oids = q{SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_proc WHERE proname ~ '^(base_)?encrypted_text(_base)?_(in|out|recv|send|eq|ne|lt|cmp|blind_cmp|hash)$'};
my $before = psql('postgres', $nodes, $oids);

# --- the library is exchanged ---
$t->stop($data, 'fast');
rename "$lib/new.so", "$lib/pg_sovereign.so" or die;
$t->start($data);
is(psql('postgres', "BEGIN; ALTER EXTENSION pg_sovereign UPDATE; ROLLBACK"), '', 'an update that is rolled back');
is(psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'pg_sovereign'"), '0.1.0', 'leaves the old version');
is(psql('postgres', 'ALTER EXTENSION pg_sovereign UPDATE'), '', 'the update says nothing');
is(psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'pg_sovereign'"), $version, 'the new version is there');
is(psql('postgres', $nodes, $oids), $before, 'tables and indexes were not written anew, functions kept their OIDs');

# --- what it made is what CREATE EXTENSION makes ---
psql('postgres', 'CREATE DATABASE fresh');
is(psql('fresh', 'CREATE SCHEMA sov; CREATE EXTENSION pg_sovereign SCHEMA sov'), '', 'a database that begins with the new version');
my %updated = definitions('postgres');
my %fresh = definitions('fresh');
cmp_ok(scalar(keys %fresh), '>', 3000, 'its definitions');
is(join("\n", grep { !$updated{$_} } sort keys %fresh), '', 'nothing of them is missing after an update');
is(join("\n", grep { !$fresh{$_} && !/public\.(patient|by_nir|nir_of|casts|found|key_names|provider_states)\b| TO clerk$/ } sort keys %updated), '',
	'and nothing is left over but what users made');
my @depend = map { { map { $_ => 1 } split /\n/, dependencies($_) } } 'postgres', 'fresh';
is(join("\n", map { my $o = $depend[1 - $_]; grep { !$o->{$_} } sort keys %{ $depend[$_] } } 0, 1), '', 'dependencies are the same');

# --- old values, indexes, constraints, views, grants ---
my $whole = q{SELECT count(*) FROM patient WHERE nir = 'nir ' || id AND name = 'name ' || id % 10 AND note = 'note ' || id
	AND history = repeat('history ', 300) || id AND free IS NOT DISTINCT FROM CASE WHEN id % 3 > 0 THEN 'free ' || id END};
is(psql('postgres', $whole), 40, 'every old value opens');
for (['nir', 'patient_nir', "'nir 7'", '7'], ['name', 'patient_name', "'name 3'", '3,13,23,33'])
{
	my ($column, $index, $value, $ids) = @$_;
	my $query = "SELECT string_agg(id::text, ',' ORDER BY id) FROM patient WHERE $column = $value";
	like(psql('postgres', 'SET enable_seqscan = off', "EXPLAIN $query"), qr/$index/, "$index is used");
	is(psql('postgres', 'SET enable_seqscan = off', $query), $ids, 'and finds');
}
is(psql('postgres', q{SELECT string_agg(note, ',') FROM found}), 'note 7', 'a view that compares with a sealed constant');
is(psql('postgres', q{SELECT count(*) FROM casts WHERE t = 'nir ' || id AND v = 'name ' || id % 10 AND j::text = to_json('note ' || id)::text AND length(u) > 2400}), 40, 'a view with casts');
is(psql('postgres', q{SELECT nir_of(3)}, q{SELECT count(*) FROM patient JOIN by_nir USING (nir)}), "nir 3\n1", 'a function, a join');
is(psql('postgres', q{SELECT string_agg(name, ',' ORDER BY name) FROM key_names WHERE current}, q{SELECT count(debt_objects) FROM provider_states}), "staff,ward\n3", "views over the extension's own, also by a column that is called otherwise now");
is(psql('postgres', q{GRANT USAGE ON SCHEMA sov TO clerk}, q{SET ROLE clerk}, q{SELECT count(*) FROM sov.keys}, q{SELECT sov.create_key('of a clerk')}), "3\n", 'grants are kept');
like(psql('postgres', q{INSERT INTO patient (id, nir) VALUES (41, 'nir 7')}), qr/unique constraint "patient_nir"/, 'unique index');
like(psql('postgres', q{INSERT INTO patient (id, name) VALUES (41, 'nobody')}), qr/patient_name_check/, 'CHECK');
like(psql('postgres', q{INSERT INTO by_nir VALUES ('nir 99')}), qr/by_nir_nir_fkey/, 'foreign key');

# --- and with them what is new ---
is(psql('postgres', q{INSERT INTO patient (id, nir) VALUES (41, 'nir 41') RETURNING note}, q{SELECT count(*) FROM sov.keys WHERE name = 'ward'}), "none\n2",
	'a new value: its key has a new version, as nobody had counted what the old one sealed');
is(psql('postgres', q{ALTER TABLE patient ADD born date}, q{UPDATE patient SET born = date '2000-01-01' + id}, q{CALL sov.encrypt_column('patient', 'born', 'ward')},
	q{SELECT pg_typeof(born)::text, born::text FROM patient WHERE id = 5}) =~ s/\n(?:NOTICE|HINT|DETAIL).*//gr, 'sov.encrypted_date|2000-01-06', 'a new type, encrypt_column');
is(psql('postgres', q{CALL sov.rotate_key('staff')}, "$whole AND id < 41") =~ s/\n(?:NOTICE|HINT|DETAIL).*//gr, '40', 'rotate_key');

# --- dumped and restored ---
run_as("$bin/pg_dump", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-f', "$d/dump.sql", 'postgres');
psql('postgres', 'CREATE DATABASE again');
$ENV{PGOPTIONS} = '-c sovereign.input=ciphertext';
like(psql('again', '-f', "$d/dump.sql"), qr/^[\d\s]*\z/, 'a dump restores');
delete $ENV{PGOPTIONS};
is(psql('again', $whole), 40, 'with every value');

# --- a catalogue that calls itself 0.1.0 and is not ---
psql('fresh', q{UPDATE pg_extension SET extversion = '0.1.0' WHERE extname = 'pg_sovereign'});
like(psql('fresh', 'ALTER EXTENSION pg_sovereign UPDATE'), qr/ERROR:  .*not 0\.1\.0, but a state of the development.*HINT:  Dump the database/s, 'states in between are refused, with what to do');
is(psql('fresh', q{SELECT extversion FROM pg_extension WHERE extname = 'pg_sovereign'}, 'SELECT count(*) FROM sov.keys'), "0.1.0\n0", 'and left as they are');

done_testing();
