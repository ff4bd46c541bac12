# Silence: a known word goes through a database with encrypted columns and, as the
# control, through one with plain columns.  Wherever the control shows the word, the
# encrypted one must not.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use lib 'test/t';
use SovTest;

my $word = 'Zwischenfall7351';
my $t = SovTest->new;
my $d = $t->dir;
my $bin = $t->{bindir};
$t->sov_ok('init');
my $data = $t->start_new(conf => <<'CONF');
wal_level = logical
shared_preload_libraries = 'pg_stat_statements, auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
auto_explain.log_parameter_max_length = 0
work_mem = 64kB
max_parallel_workers_per_gather = 0
CONF
my $log = "$data.log";

sub psql
{
	my ($db, $sql) = @_;
	spit("$d/run.sql", $sql);
	chmod 0644, "$d/run.sql";
	return capture(as("$bin/psql", '-X', '-q', '-At', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', $db, '-f', "$d/run.sql"));
}
sub ask { my ($db, $sql) = @_; my (undef, $out, $err) = psql($db, $sql); return "$out$err"; }
sub found { my ($text) = @_; return scalar(() = $text =~ /$word/g); }

# Files under a path that hold the word.
sub files_with
{
	my (@paths) = @_;
	my @hits = `grep -rla $word @paths 2>/dev/null`;
	return scalar @hits;
}

# A statement with parameters that have no type, as drivers send them; the server is told to log them.
sub with_parameters
{
	my ($db, $sql, %values) = @_;
	spit("$d/script.sql", $sql);
	chmod 0644, "$d/script.sql";
	my @out = capture(as('env', 'PGOPTIONS=-c log_min_duration_statement=0 -c log_parameter_max_length_on_error=-1', "$bin/pgbench", '-n', '-M', 'extended', '-t', 1,
		'-h', $d, '-p', $t->{port}, '-U', 'postgres', '-f', "$d/script.sql", '-D', "w=$word parameter", (map { ('-D', "$_=$values{$_}") } keys %values), $db));
	return join '', @out;
}

my %columns = (
	sealed => "r s.encrypted_text('k'), q s.encrypted_text('k', 'searchable') UNIQUE, long s.encrypted_text('k'), j s.encrypted_jsonb('k')",
	control => 'r text, q text UNIQUE, long text, j jsonb');
# Statements get the word as a parameter: what is in a statement's own text the
# server logs where it is told to.
my $workload = <<SQL;
CREATE TABLE x (id int PRIMARY KEY, COLUMNS, CHECK (q <> '$word-check'));
ALTER TABLE x ALTER long SET STORAGE external;
PREPARE fill(int, text) AS INSERT INTO x SELECT i, \$2 || i % 10, \$2 || i, repeat(\$2, 300), jsonb_build_object('w', \$2 || i) FROM generate_series(1, \$1) i;
-- (its plan computes with the word before anything is encrypted, and would show it)
SET auto_explain.log_min_duration = -1;
EXECUTE fill(3000, '$word');
RESET auto_explain.log_min_duration;
VACUUM ANALYZE x;
PREPARE look(text) AS SELECT id FROM x WHERE q = \$1 OR r = \$1;
EXECUTE look('${word}7');
PREPARE among(text, text[]) AS SELECT id FROM x WHERE r > \$1 OR q BETWEEN \$1 AND \$1 OR q = ANY (\$2) OR q IN (\$1, 'b');
EXECUTE among('$word', '{$word,b}');
PREPARE change(text) AS UPDATE x SET r = \$1 WHERE id = 3;
EXECUTE change('$word new');
CREATE TABLE y (q text);
PREPARE copy(text) AS INSERT INTO x (id, q) VALUES (100000, \$1) ON CONFLICT (q) DO UPDATE SET r = excluded.q RETURNING id;
EXECUTE copy('${word}8');
SELECT count(*) FROM (SELECT q, r FROM x GROUP BY q, r OFFSET 0) s;
SELECT count(*) FROM x a JOIN x b ON a.q = b.q AND a.r = b.r;
SQL
my %place;
# The sealed one first: recycled WAL files keep what was in them before.
for my $db (qw(sealed control))
{
	$t->sql("CREATE DATABASE $db");
	(my $work = $workload) =~ s/COLUMNS/$columns{$db}/;
	$work = "CREATE EXTENSION pg_stat_statements;\n" . $work;
	$work = "CREATE SCHEMA s; CREATE EXTENSION pg_sovereign SCHEMA s; SELECT s.create_key('k');\n" . $work if $db eq 'sealed';
	$t->sql('SELECT pg_switch_wal()');
	my $first = $t->sql('SELECT pg_walfile_name(pg_current_wal_lsn())');
	my $log_from = length slurp($log);
	my $slot = "SELECT pg_create_logical_replication_slot('slot_$db', 'test_decoding')";
	my (undef, undef, $err) = psql($db, $slot);
	(undef, undef, $err) = psql($db, $work);
	unlike($err, qr/ERROR/, "$db: the work is done") or diag $err;

	# temporary files, while cursors keep them
	my (undef, $temp) = psql($db, <<SQL);
BEGIN;
DECLARE a CURSOR FOR SELECT id, r, q FROM x ORDER BY r, q;
FETCH 1 FROM a \\g /dev/null
DECLARE b CURSOR FOR SELECT DISTINCT r, q FROM x;
FETCH 1 FROM b \\g /dev/null
DECLARE c SCROLL CURSOR FOR WITH m AS MATERIALIZED (SELECT r, q FROM x) SELECT * FROM m ORDER BY q DESC;
FETCH 5 FROM c \\g /dev/null
DECLARE e CURSOR FOR SELECT a.r, b.q FROM x a JOIN x b ON a.q = b.q;
FETCH 5 FROM e \\g /dev/null
SET LOCAL auto_explain.log_min_duration = -1;
SELECT count(*) || ' ' || count(*) FILTER (WHERE position(convert_to('$word', 'UTF8') in pg_read_binary_file('base/pgsql_tmp/' || f, 0, 100000000, true)) > 0) FROM pg_ls_dir('base/pgsql_tmp') f;
COMMIT;
SQL
	my ($temp_files, $temp_hits) = $temp =~ /^(\d+) (\d+)$/m;
	cmp_ok($temp_files // 0, '>', 0, "$db: there are temporary files to search ($temp)");
	$place{$db}{'temporary files'} = $temp_hits;

	# errors, seen by the client and the log
	my $errors = ask($db, <<SQL);
PREPARE ins(int, text, text) AS INSERT INTO x (id, r, q) VALUES (\$1, \$2, \$3);
EXECUTE ins(200000, '$word', '${word}5');
EXECUTE ins(1, '$word', '$word-other');
EXECUTE ins(200001, '$word', '$word-check');
ALTER TABLE x ALTER r SET NOT NULL;
EXECUTE ins(200002, NULL, '$word-null');
COPY x (id, r, q) FROM STDIN;
300000	$word	$word-a	$word-too-many
\\.
COPY x (id, r, q, j) FROM STDIN;
300000	$word	$word-a	{"$word": }
\\.
DO \$\$ DECLARE v x; BEGIN SELECT * INTO v FROM x WHERE id = 5; RAISE EXCEPTION '% %', v.r, v; END \$\$;
SQL
	cmp_ok(scalar(() = $errors =~ /ERROR/g), '>=', 7, "$db: the errors come") or diag $errors;
	$errors =~ s/^.*LINE \d+:.*$//mg;	# psql's own quote of the statement
	$place{$db}{'error messages'} = found($errors);
	# what the server cannot read of what was opened, or of a parameter, which drivers give without
	# a type; and parameters that it is told to log (log_min_duration_statement)
	my $unread = ask($db, "SELECT r::int FROM x WHERE id = 3; SELECT to_date(q, 'YYYY') FROM x WHERE id = 3; DO \$\$ BEGIN PERFORM r::date FROM x WHERE id = 3; END \$\$");
	cmp_ok(scalar(() = $unread =~ /ERROR/g), '==', 3, "$db: casts fail") or diag $unread;
	$place{$db}{'cast errors'} = found($unread);
	$place{$db}{'parameters that fail'} = found(with_parameters($db, 'INSERT INTO x (id, r, j) VALUES (:id, :w, :j);', id => 400000, j => "{\"$word\": bad"));
	like(with_parameters($db, 'UPDATE x SET r = :w WHERE q = :w OR r BETWEEN :w AND :w OR q IN (:w, :w) RETURNING r;'), qr/processed: 1/, "$db: parameters go in");
	like(with_parameters($db, "SELECT 1 / (count(*) - 1) FROM x WHERE id = 1 AND r <> :w;"), qr/division by zero/, "$db: what says nothing is said");
	$place{$db}{'EXPLAIN'} = found(ask($db, "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM x WHERE q = '${word}7' OR r > '${word}8'::text; EXPLAIN (VERBOSE, FORMAT json) SELECT * FROM x WHERE q IN ('$word', 'b'::text)") =~ s/LINE.*//gr);
	$place{$db}{'statistics'} = found(ask($db, "SELECT s::text FROM pg_stats s WHERE tablename = 'x'; SELECT stavalues1::text || stavalues2::text FROM pg_statistic WHERE starelid = 'x'::regclass"));
	cmp_ok(ask($db, "SELECT count(*) FROM pg_stat_statements WHERE query ~ 'INSERT INTO x'"), '>', 0, "$db: pg_stat_statements has the statements");
	$place{$db}{'pg_stat_statements'} = found(ask($db, "SELECT query FROM pg_stat_statements WHERE query ~ '^(SELECT|INSERT|UPDATE|PREPARE)' AND query !~ 'pg_ls_dir|EXPLAIN'"));
	ask($db, "SET client_min_messages = error; CREATE VIEW v AS SELECT id FROM x WHERE q = '$word' OR r IN ('$word', 'z'); ALTER TABLE x ALTER r SET DEFAULT '$word'; CREATE RULE ru AS ON DELETE TO x WHERE old.q = '$word' DO INSTEAD NOTHING; CREATE POLICY po ON x USING (q = '$word');");
	$place{$db}{'catalogs'} = found(ask($db, "SELECT ev_action FROM pg_rewrite WHERE ev_class IN ('v'::regclass, 'x'::regclass); SELECT pg_get_viewdef('v'); SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef; SELECT pg_get_constraintdef(oid) FROM pg_constraint; SELECT * FROM pg_policies"));
	$place{$db}{'logical decoding'} = found(ask($db, "SELECT data FROM pg_logical_slot_get_changes('slot_$db', NULL, NULL)"));
	ask($db, "SELECT pg_drop_replication_slot('slot_$db'); CHECKPOINT");
	my ($oid) = ask($db, "SELECT oid FROM pg_database WHERE datname = '$db'") =~ /(\d+)/;
	$place{$db}{'heap, TOAST, indexes'} = files_with("$data/base/$oid");
	my @wal = grep { m{/([0-9A-F]{24})$} && $1 ge $first } glob("$data/pg_wal/*");
	$place{$db}{'WAL'} = files_with(@wal);
	$place{$db}{'pg_dump'} = found(join '', capture(as("$bin/pg_dump", '-h', $d, '-p', $t->{port}, '-U', 'postgres', $db)));
	$place{$db}{'server log, auto_explain'} = found(join "\n", grep { !/Query Text|^\t(SELECT|EXPLAIN|CREATE|ALTER)/ } split /\n/, substr(slurp($log), $log_from));
	$place{$db}{'providers'} = do { $t->archive; files_with(map { "$d/$_" } qw(a b c)) };
}
for my $p (sort keys %{ $place{control} })
{
	if ($p eq 'providers')
	{
		is($place{$_}{$p}, 0, "$p ($_): sealed in any case") for qw(sealed control);
		next;
	}
	# (normalised statements have no literals in any case)
	cmp_ok($place{control}{$p}, '>', 0, "$p: the search finds the word in the control ($place{control}{$p})") if $p ne 'pg_stat_statements';
	is($place{sealed}{$p}, 0, "$p: not where columns are encrypted");
}
is(ask('sealed', "SELECT r FROM x WHERE id = 3"), "$word new\n", 'and the client reads it');
done_testing();
