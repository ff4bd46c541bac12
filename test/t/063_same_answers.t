# Transparent: the same SQL over plain columns and over encrypted ones gives the same
# answers, names and types of results, and the same errors.
#
# Two schemas hold the same tables with the same rows, plain in one and encrypted in
# the other; each statement runs in both, with nothing but search_path changed.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
$t->start_new(conf => "fsync = off\narchive_mode = off\n");
my @psql = ("$t->{bindir}/psql", '-X', '-q', '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', 'postgres');

$t->sql(<<'SQL');
CREATE SCHEMA sov; CREATE EXTENSION pg_sovereign SCHEMA sov;
SELECT sov.create_key('one'); SELECT sov.create_key('two');
CREATE SCHEMA plain; CREATE SCHEMA enc;
SQL
# columns by name: type, and the modifier of the encrypted one
my %columns = (
	person => [['nir', 'text', "'one', 'searchable'"], ['name', 'text', "'one', 'searchable'"], ['note', 'text', "'one'"], ['birth', 'date', "'one', 'searchable'"],
		['seen', 'timestamptz', "'two'"], ['n', 'int4', "'one', 'searchable'"], ['big', 'int8', "'two', 'searchable'"], ['amount', 'numeric', "'one', 'searchable'"],
		['ratio', 'float8', "'one', 'searchable'"], ['ok', 'bool', "'one'"], ['code', 'uuid', "'two', 'searchable'"], ['doc', 'jsonb', "'one'"], ['raw', 'bytea', "'one', 'searchable'"]],
	visit => [['nir', 'text', "'two', 'searchable'"], ['ward', 'text', "'two', 'searchable'"], ['day', 'date', "'two', 'searchable'"], ['patient', 'int8', "'two', 'searchable'"]]);
for my $schema (qw(plain enc))
{
	for my $table (sort keys %columns)
	{
		my $list = join(', ', map { my ($name, $type, $mod) = @$_; $schema eq 'plain' ? "$name $type" : "$name sov.encrypted_$type($mod)" } @{ $columns{$table} });
		$t->sql("CREATE TABLE $schema.$table (id int PRIMARY KEY, $list)");
	}
	$t->sql(<<SQL);
SET search_path = $schema;
INSERT INTO person SELECT i, '1 ' || (50 + i % 40) || ' ' || lpad(i::text, 5, '0'), (ARRAY['Martin', 'Bernard', 'Dubois', 'Thomas', 'Robert', 'Éloïse', 'ano', ''])[1 + i % 8],
	CASE WHEN i % 5 = 0 THEN NULL ELSE 'note ' || i || ' of 100%_\\ "x"' END, date '1940-01-31' + i * 97, timestamptz '2020-01-01 12:00+00' + i * interval '7 hours',
	i % 17 - 8, i::int8 * 10000000000 - 5, CASE WHEN i % 7 = 0 THEN NULL ELSE (i * 1.10)::numeric(10, 2) END, CASE i % 11 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' ELSE i / 3.0 END,
	CASE i % 3 WHEN 0 THEN true WHEN 1 THEN false END, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, jsonb_build_object('k', i, 'tags', jsonb_build_array('a', i % 3), 'sub', jsonb_build_object('z', null)),
	decode(lpad(to_hex(i), 4, '0'), 'hex') FROM generate_series(1, 60) i;
INSERT INTO visit SELECT i, '1 ' || (50 + (i % 70) % 40) || ' ' || lpad((i % 70)::text, 5, '0'), 'ward ' || i % 4, date '2024-01-01' + i, i % 17 - 8 FROM generate_series(1, 150) i;
CREATE UNIQUE INDEX ON person (nir); CREATE INDEX ON visit (nir); CREATE INDEX ON person (name); ANALYZE;
CREATE VIEW grown AS SELECT id, name, birth FROM person WHERE birth < date '1950-01-01';
CREATE FUNCTION named(w text) RETURNS SETOF person LANGUAGE sql STABLE AS 'SELECT * FROM $schema.person WHERE name = w';
CREATE FUNCTION counted(w text) RETURNS int LANGUAGE plpgsql AS 'DECLARE r $schema.person; c int := 0; BEGIN FOR r IN SELECT * FROM $schema.person LOOP IF r.name = w AND r.n > 0 THEN c := c + r.n; END IF; END LOOP; RETURN c; END';
CREATE FUNCTION upped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); IF NEW.n > 100 THEN RAISE EXCEPTION ''too much''; END IF; RETURN NEW; END';
SQL
}

# One statement (or several) a paragraph; those below and those of 063_same_answers.sql.
my @statements = grep { /\S/ } split /\n\n+/, do { local $/; <DATA> } . "\n\n" . slurp(__FILE__ =~ s/t$/sql/r);
sub answers
{
	my ($schema) = @_;
	my $script = "SET search_path = $schema;\nSET timezone = 'UTC';\n\\pset null '(null)'\n\\set VERBOSITY sqlstate\n";
	my $i = 0;
	$script .= "\\echo ==== @{[$i++]}\nDEALLOCATE ALL;\nBEGIN;\n$_\n;\nROLLBACK;\n" for @statements;
	spit("$d/$schema.sql", $script);
	my (undef, $out) = capture(as('sh', '-c', '"$@" 2>&1', 'sh', @psql, '-f', "$d/$schema.sql"));
	$out =~ s/^psql:\S+: //mg;
	$out =~ s/\b$schema\b/SCHEMA/g;
	my @parts = split /^==== \d+\n/m, $out;
	shift @parts;
	return @parts;
}
my @plain = answers('plain');
my @enc = answers('enc');
is(scalar(@plain), scalar(@statements), 'all statements ran over plain columns');
is(scalar(@enc), scalar(@statements), 'and over encrypted ones');
for my $i (0 .. $#statements)
{
	my $said = $statements[$i] =~ s/\s+/ /gr;
	is($enc[$i], $plain[$i], substr($said, 0, 120));
}
my @failed = grep { $plain[$_] =~ /^ERROR/m && $statements[$_] !~ /-- error/ } 0 .. $#statements;
is(join('; ', map { $statements[$_] } @failed), '', 'what is no test of an error is none') or diag map { $plain[$_] } @failed;

# Where the server would have to find a type that neither operand has, there is an error,
# never another answer; a cast helps.  extension/doc/threat-model.md lists these.
for my $limit ('SELECT coalesce(big, 0) FROM person', 'SELECT sum(CASE WHEN ok THEN amount ELSE 0 END) FROM person', 'SELECT n FROM person UNION SELECT 1.5',
	'SELECT coalesce(seen, birth) FROM person', 'SELECT power(amount, 2::float8) FROM person',
	'WITH RECURSIVE r(n) AS (SELECT n FROM person WHERE id = 1 UNION ALL SELECT r.n + 1 FROM r WHERE r.n < 0) SELECT * FROM r')
{
	my (undef, $out, $err) = capture(as(@psql, '-c', 'SET search_path = enc', '-c', $limit));
	ok($out eq '' && $err =~ /^ERROR/m, "an error: $limit");
}

# Parallel workers open values with the rights of who asks, and are really there.
my $parallel = 'SET search_path = enc; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off; ';
my $sums = "SELECT count(*), sum(n), min(name) FROM person WHERE name > 'B'";
(undef, my $plan) = capture(as(@psql, '-At', '-c', $parallel, '-c', "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $sums"));
like($plan, qr/Workers Launched: [1-9]/, 'workers filter and aggregate encrypted columns');
(undef, my $serial) = capture(as(@psql, '-At', '-c', 'SET search_path = enc', '-c', $sums));
(undef, my $gathered) = capture(as(@psql, '-At', '-c', $parallel, '-c', $sums));
is($gathered, $serial, 'and give what one process gives');
$t->sql("CREATE ROLE reader_s; SELECT sov.grant_decrypt('one', 'reader_s')");	# the first grant shuts out all others
$t->sql('CREATE ROLE nobody_s LOGIN; GRANT USAGE ON SCHEMA enc, sov TO nobody_s; GRANT SELECT ON ALL TABLES IN SCHEMA enc TO nobody_s');
for my $denied ('error', 'mask', 'ciphertext')
{
	my $ask = "SELECT count(*) FROM person WHERE note LIKE 'note%'";
	my (undef, $one, $one_err) = capture(as(@psql, '-At', '-c', "SET search_path = enc; SET ROLE nobody_s; SET sovereign.on_denied = '$denied'", '-c', $ask));
	my (undef, $many, $many_err) = capture(as(@psql, '-At', '-c', "$parallel SET ROLE nobody_s; SET sovereign.on_denied = '$denied'", '-c', $ask));
	is("$many" . ($many_err =~ /^(ERROR.*)/m ? $1 : ''), "$one" . ($one_err =~ /^(ERROR.*)/m ? $1 : ''), "without a grant, on_denied = $denied: a worker does what one process does");
	unlike($many, qr/^[1-9]/m, "and finds nothing that he may not read");
	like($many_err, qr/ERROR.*decrypt/, 'but is told why') if $denied eq 'error';
}

# Foreign tables.  A foreign column of an encrypted type is written only where its server is told
# that ciphertext comes; else it is refused, never encrypted twice.
# What may be read the user mapping says.
SKIP:
{
	(undef, my $there) = capture(as(@psql, '-At', '-c', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'"));
	skip 'postgres_fdw is not installed', 9 unless $there eq "1\n";
	$t->sql(<<SQL);
SELECT sov.grant_decrypt('one', 'postgres');
CREATE EXTENSION postgres_fdw;
CREATE TABLE sov.far (id int, t sov.encrypted_text('one', 'searchable'), n sov.encrypted_int4('one'));
INSERT INTO sov.far VALUES (1, 'abc', 5), (2, 'def', 7);
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$d', port '$t->{port}', dbname 'postgres');
CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'postgres');
CREATE SERVER sealed FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$d', port '$t->{port}', dbname 'postgres', options '-c sovereign.input=ciphertext');
CREATE USER MAPPING FOR postgres SERVER sealed OPTIONS (user 'postgres');
CREATE USER MAPPING FOR nobody_s SERVER sealed OPTIONS (user 'nobody_s', password_required 'false');
CREATE FOREIGN TABLE sov.here (id int, t sov.encrypted_text('one', 'searchable'), n sov.encrypted_int4('one')) SERVER sealed OPTIONS (schema_name 'sov', table_name 'far');
CREATE FOREIGN TABLE sov.away (id int, t text, n int) SERVER far OPTIONS (schema_name 'sov', table_name 'far');
GRANT SELECT ON sov.here, sov.far TO nobody_s;
SQL
	my $fdw = sub { my (undef, $out, $err) = capture(as(@psql, '-At', '-c', 'SET search_path = sov', '-c', $_[0])); return "$out$err"; };
	is($fdw->("SELECT id, t, n FROM $_ WHERE t IN ('abc', 'def') AND n > 5"), "2|def|7\n", "$_: read and filtered") for qw(here away);
	is($fdw->("INSERT INTO here VALUES (4, 'jkl', 11); UPDATE here SET t = 'x' WHERE id = 2"), '', 'written and changed as ciphertext');
	is($fdw->("SELECT id, t, n FROM far WHERE t IN ('x', 'jkl') ORDER BY id"), "2|x|7\n4|jkl|11\n", 'which its own server finds and opens');
	$t->sql("CREATE FOREIGN TABLE sov.untold (id int, t sov.encrypted_text('one', 'searchable')) SERVER far OPTIONS (schema_name 'sov', table_name 'far')");
	like($fdw->("INSERT INTO untold VALUES (5, 'mno')"), qr/ERROR.*encrypted already.*foreign server/s, 'a server that is not told refuses ciphertext');
	like($fdw->("INSERT INTO away VALUES (3, 'ghi', 9)"), qr/^$/, 'written as plain: sealed by the server that has the table');
	like($fdw->("SELECT encrypted_text_out(t) FROM far WHERE id = 3"), qr/^sov1:/, 'there it is ciphertext');
	is($fdw->('SELECT t FROM away ORDER BY id'), "abc\nx\nghi\njkl\n", 'and is read');
	like($fdw->('SET ROLE nobody_s; SELECT t FROM here WHERE id = 1'), qr/ERROR.*decrypt/, 'a user mapping without a grant gets nothing');
}
done_testing();

__DATA__
SELECT * FROM person ORDER BY id LIMIT 12

SELECT id FROM person WHERE name = 'Martin' ORDER BY 1

SELECT id FROM person WHERE name <> 'Martin' AND birth >= '1945-01-01' AND n < 3 ORDER BY 1

SELECT id FROM person WHERE name > 'M' ORDER BY 1

SELECT id FROM person WHERE nir IN ('1 51 00001', '1 52 00002', 'nobody') ORDER BY 1

SELECT id FROM person WHERE nir = ANY (ARRAY['1 51 00001', '1 53 00003']) ORDER BY 1

SELECT id FROM person WHERE n = ANY ('{1,2,3}'::int[]) ORDER BY 1

SELECT id FROM person WHERE name = ALL (ARRAY['Martin']) ORDER BY 1

SELECT id FROM person WHERE nir NOT IN (SELECT nir FROM visit) ORDER BY 1

SELECT id FROM person WHERE birth BETWEEN '1941-01-01' AND '1943-12-31' ORDER BY 1

SELECT id FROM person WHERE birth BETWEEN SYMMETRIC '1943-12-31' AND '1941-01-01' ORDER BY 1

SELECT id FROM person WHERE name LIKE 'M%' ORDER BY 1

SELECT id FROM person WHERE note LIKE '%100\%\_%' ORDER BY 1

SELECT id FROM person WHERE name NOT LIKE '%o%' ORDER BY 1

SELECT id FROM person WHERE name ILIKE 'mAR%' OR name ILIKE 'é%' ORDER BY 1

SELECT id FROM person WHERE name ~ '^[MB]' AND name !~* 'NARD$' ORDER BY 1

SELECT id FROM person WHERE name SIMILAR TO '(M|D)%' ORDER BY 1

SELECT id FROM person WHERE note IS NULL ORDER BY 1

SELECT id FROM person WHERE note IS NOT DISTINCT FROM NULL AND name IS DISTINCT FROM 'Martin' ORDER BY 1

SELECT id FROM person WHERE ok ORDER BY 1

SELECT id FROM person WHERE NOT ok OR ok IS UNKNOWN ORDER BY 1

SELECT id FROM person WHERE ok IS TRUE AND ok = true ORDER BY 1

SELECT id FROM person WHERE (name, n) = ('Martin', 0) OR (name, n) IN (('Dubois', 2), ('Thomas', 3)) ORDER BY 1

SELECT id FROM person WHERE (name, birth) < ('Bernard', '1945-01-01') ORDER BY 1

SELECT id FROM person WHERE name = '' ORDER BY 1

SELECT id FROM person WHERE ratio = 'NaN' OR ratio = 0 ORDER BY 1

SELECT id FROM person WHERE amount = 2.2 OR amount = 3.300 ORDER BY 1

SELECT id FROM person WHERE code = '00000000-0000-4000-8000-000000000007' OR raw = '\x0008' ORDER BY 1

SELECT id FROM person WHERE big > 100000000000 AND n = 2::int8 ORDER BY 1

SELECT id FROM person WHERE birth = timestamp '1940-05-07' OR seen > '2020-01-15' ORDER BY 1

SELECT lower(name), upper(name), length(name), char_length(note), octet_length(name), initcap(name), reverse(name) FROM person ORDER BY id

SELECT substr(name, 2, 3), substring(name FROM 2), substring(note FROM '[0-9]+'), left(name, 2), right(name, 2), position('a' IN name), strpos(name, 'r') FROM person ORDER BY id

SELECT replace(name, 'a', 'A'), regexp_replace(name, '[aeiou]', '*', 'g'), split_part(note, ' ', 2), lpad(name, 10, '.'), rpad(name, 3), trim(name), ltrim(note, 'n'), overlay(name PLACING 'xx' FROM 1) FROM person ORDER BY id

SELECT name || '!', 'M. ' || name, name || n, note || NULL, name || nir FROM person ORDER BY id

SELECT concat(name, ' ', n, birth), concat_ws('-', name, ok, amount), format('%s:%L:%I', name, note, nir) FROM person ORDER BY id LIMIT 20

SELECT md5(name), ascii(name), repeat(name, 2), translate(name, 'ar', 'AR'), starts_with(name, 'M'), quote_literal(note), quote_nullable(note) FROM person ORDER BY id

SELECT string_to_array(note, ' '), regexp_match(name, '(.)a'), regexp_split_to_array(name, 'a') FROM person ORDER BY id

SELECT n + 1, n - 1, n * 2, n / 3, n % 3, -n, abs(n), n & 3, n << 1, power(n, 2), sign(n), n::text, n::float8 FROM person ORDER BY id

SELECT big + n, big / 7, mod(big, 1000), big::numeric FROM person ORDER BY id

SELECT amount + 1, amount * 2.5, round(amount), round(amount, 1), ceil(amount), floor(amount), trunc(amount), amount::int, width_bucket(amount, 0, 70, 7) FROM person ORDER BY id

SELECT ratio + 1, sqrt(abs(ratio)), ratio::numeric(10,3), ratio::text FROM person WHERE ratio <> 'NaN' ORDER BY id

SELECT birth + 1, birth - 30, birth - date '1940-01-01', birth + interval '1 month', extract(year FROM birth), date_part('dow', birth), date_trunc('month', birth), to_char(birth, 'DD/MM/YYYY') FROM person ORDER BY id

SELECT age(birth, date '1940-01-01'), birth::timestamp, birth::text, isfinite(birth) FROM person ORDER BY id

SELECT seen + interval '1 day', seen - timestamptz '2020-01-01', seen AT TIME ZONE 'Europe/Paris', seen::date, extract(epoch FROM seen), to_char(seen, 'YYYY-MM-DD HH24:MI') FROM person ORDER BY id

SELECT doc ->> 'k', doc -> 'tags' -> 0, doc #>> '{sub,z}', doc @> '{"tags": ["a"]}', doc ? 'k', jsonb_typeof(doc), jsonb_array_length(doc -> 'tags') FROM person ORDER BY id

SELECT id, e.key, e.value FROM person, jsonb_each(doc) e WHERE id < 4 ORDER BY 1, 2

SELECT id FROM person WHERE doc @? '$.k ? (@ > 55)' ORDER BY 1

SELECT doc || '{"x": 1}', doc - 'k', jsonb_set(doc, '{k}', '0'), jsonb_pretty(doc) FROM person WHERE id < 3 ORDER BY id

SELECT encode(raw, 'hex'), length(raw), raw || '\xff', get_byte(raw, 1), sha256(raw), substring(raw FROM 1 FOR 1) FROM person ORDER BY id

SELECT code::text, upper(code::text), code IS NOT NULL FROM person ORDER BY code

SELECT name::varchar(3), name::char(5), name::name, n::bigint, big::text, birth::text, ok::text, ok::int, amount::text, doc::text FROM person ORDER BY id

SELECT COALESCE(note, name), COALESCE(note, 'none'), NULLIF(name, 'Martin'), GREATEST(n, 0), LEAST(birth, date '1945-01-01') FROM person ORDER BY id

SELECT CASE name WHEN 'Martin' THEN 1 WHEN 'Dubois' THEN 2 ELSE 0 END, CASE WHEN n > 0 THEN name ELSE note END FROM person ORDER BY id

SELECT name FROM person WHERE id < 10 UNION SELECT ward FROM visit ORDER BY 1

SELECT name FROM person UNION ALL SELECT 'x' ORDER BY 1

SELECT nir FROM person INTERSECT SELECT nir FROM visit ORDER BY 1

SELECT nir FROM visit EXCEPT SELECT nir FROM person ORDER BY 1

SELECT nir FROM visit EXCEPT ALL SELECT nir FROM person ORDER BY 1

SELECT p.id, v.w FROM person p JOIN (VALUES ('Martin', 1), ('Dubois', 2)) v(m, w) ON p.name = v.m ORDER BY 1

SELECT name, note FROM person ORDER BY name, note

SELECT id FROM person ORDER BY name COLLATE "C" DESC, birth DESC NULLS FIRST, id

SELECT id FROM person ORDER BY amount NULLS FIRST, id

SELECT id FROM person ORDER BY ratio, id

SELECT id FROM person ORDER BY doc, ok, raw DESC, id LIMIT 20 OFFSET 5

SELECT id FROM person ORDER BY lower(name), n + 1 DESC, id

SELECT DISTINCT name FROM person ORDER BY name

SELECT DISTINCT n, ok FROM person ORDER BY n, ok

SELECT DISTINCT ON (name) name, id, birth FROM person ORDER BY name, birth DESC

SELECT count(DISTINCT name), count(DISTINCT n), count(note), count(*) FROM person

SELECT name, count(*) FROM person GROUP BY name ORDER BY name

SELECT name, ok, sum(n), avg(n), min(birth), max(birth) FROM person GROUP BY name, ok ORDER BY 1, 2

SELECT name, count(*) FROM person GROUP BY 1 HAVING count(*) > 7 AND max(n) > 2 ORDER BY 2, 1

SELECT name, ok, count(*) FROM person GROUP BY ROLLUP (name, ok) ORDER BY 1, 2, 3

SELECT name, ok, count(*), grouping(name) FROM person GROUP BY CUBE (name, ok) ORDER BY 1, 2, 3, 4

SELECT extract(decade FROM birth) AS d, count(*) FROM person GROUP BY d ORDER BY d

SELECT sum(n), avg(n), min(n), max(n), sum(big), sum(amount), avg(amount), stddev(amount), variance(n), bool_and(ok), bool_or(ok), bit_or(n) FROM person

SELECT min(name), max(name), min(note), max(seen), min(amount), max(ratio) FROM person

SELECT string_agg(name, ',' ORDER BY id), array_agg(name ORDER BY id), json_agg(name ORDER BY id), jsonb_agg(birth ORDER BY id) FROM person

SELECT string_agg(DISTINCT name, ',' ORDER BY name), sum(DISTINCT n), array_agg(DISTINCT n ORDER BY n) FROM person

SELECT count(*) FILTER (WHERE name = 'Martin'), sum(n) FILTER (WHERE ok) FROM person

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n::float8), percentile_disc(0.25) WITHIN GROUP (ORDER BY amount), mode() WITHIN GROUP (ORDER BY name), percentile_cont(0.9) WITHIN GROUP (ORDER BY ratio) FROM person WHERE ratio <> 'NaN'

SELECT corr(ratio, ratio), regr_count(ratio, ratio), round(covar_pop(n::float8, n::float8)::numeric, 6) FROM person WHERE ratio <> 'NaN'

SELECT json_object_agg(nir, name ORDER BY id) FROM person WHERE id < 5

SELECT id, row_number() OVER (ORDER BY name, id), rank() OVER (ORDER BY name), dense_rank() OVER (ORDER BY birth), ntile(4) OVER (ORDER BY amount, id) FROM person ORDER BY id

SELECT id, sum(n) OVER (PARTITION BY name ORDER BY birth), avg(amount) OVER (PARTITION BY ok), count(*) OVER (PARTITION BY name) FROM person ORDER BY id

SELECT id, lag(name) OVER w, lead(birth, 2) OVER w, first_value(name) OVER w, last_value(n) OVER w, nth_value(note, 2) OVER w FROM person WINDOW w AS (ORDER BY id) ORDER BY id

SELECT id, lag(name, 1, 'none') OVER (ORDER BY id), sum(n) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM person ORDER BY id

SELECT id, count(*) OVER (ORDER BY birth RANGE BETWEEN '1 year' PRECEDING AND CURRENT ROW) FROM person ORDER BY id

SELECT p.id, v.id FROM person p JOIN visit v ON p.nir = v.nir ORDER BY 1, 2

SELECT p.id, v.id FROM person p LEFT JOIN visit v USING (nir) ORDER BY 1, 2

SELECT nir, p.id, v.id FROM person p RIGHT JOIN visit v USING (nir) ORDER BY 1, 2, 3

SELECT nir, p.id, v.id FROM person p FULL JOIN visit v USING (nir) ORDER BY 1, 2, 3

SELECT count(*) FROM person p NATURAL JOIN (SELECT nir, ward FROM visit) v

SELECT count(*) FROM person p, visit v WHERE p.birth < v.day AND p.nir <> v.nir

SELECT count(*) FROM person a JOIN person b ON a.name = b.name AND a.n = b.n AND a.birth <= b.birth

SELECT count(*) FROM person a JOIN person b ON a.n = b.big

SELECT a.id, b.id FROM person a JOIN person b ON a.n = b.id ORDER BY 1, 2

SELECT count(*) FROM person p JOIN pg_class c ON c.relname = p.name::name

SELECT p.id FROM person p WHERE EXISTS (SELECT 1 FROM visit v WHERE v.nir = p.nir AND v.ward = 'ward 1') ORDER BY 1

SELECT p.id FROM person p WHERE NOT EXISTS (SELECT 1 FROM visit v WHERE v.nir = p.nir) ORDER BY 1

SELECT p.id, l.day FROM person p, LATERAL (SELECT day FROM visit v WHERE v.nir = p.nir ORDER BY day DESC LIMIT 1) l ORDER BY 1

SET enable_hashjoin = off; SET enable_mergejoin = off; SELECT count(*), sum(v.id) FROM person p JOIN visit v ON p.nir = v.nir

SET enable_hashjoin = off; SET enable_nestloop = off; SELECT count(*), sum(v.id) FROM person p JOIN visit v ON p.nir = v.nir

SET enable_nestloop = off; SET enable_mergejoin = off; SELECT count(*), sum(v.id) FROM person p JOIN visit v ON p.nir = v.nir

SET enable_seqscan = off; SELECT p.id, v.id FROM person p JOIN visit v ON p.nir = v.nir WHERE p.nir = '1 53 00003' ORDER BY 1, 2

SET enable_hashagg = off; SELECT name, count(*) FROM person GROUP BY name ORDER BY name

SELECT (SELECT max(v.day) FROM visit v WHERE v.nir = p.nir), p.name FROM person p ORDER BY p.id

SELECT id FROM person WHERE n = (SELECT max(n) FROM person) ORDER BY 1

SELECT id FROM person WHERE n > ALL (SELECT n FROM person WHERE name = 'Martin') ORDER BY 1

WITH m AS (SELECT name, count(*) AS c FROM person GROUP BY name) SELECT p.id, m.c FROM person p JOIN m USING (name) ORDER BY 1

WITH RECURSIVE r(n, d) AS (SELECT n + 0, 0 FROM person WHERE id = 1 UNION ALL SELECT r.n + 1, d + 1 FROM r WHERE d < 5) SELECT * FROM r ORDER BY d

WITH x AS MATERIALIZED (SELECT name, birth FROM person) SELECT * FROM x WHERE birth > '1950-01-01' ORDER BY birth

INSERT INTO person (id, name, n) VALUES (1000, 'new', 1), (1001, NULL, 2) RETURNING id, name, n, upper(name)

INSERT INTO person (id, name) SELECT id + 1000, name FROM person ORDER BY id RETURNING id, name

INSERT INTO visit SELECT id + 1000, nir, name, birth FROM person; SELECT ward, count(*) FROM visit GROUP BY 1 ORDER BY 1

INSERT INTO person (id, nir, name) VALUES (2000, '1 53 00003', 'twice') ON CONFLICT (nir) DO UPDATE SET name = excluded.name || '!' || person.name RETURNING id, name

INSERT INTO person (id, nir) VALUES (2000, '1 53 00003') ON CONFLICT DO NOTHING RETURNING id

INSERT INTO person (id, nir) VALUES (2000, '1 53 00003') -- error: unique

UPDATE person SET name = name, n = n; SELECT id, name, n FROM person ORDER BY id

UPDATE person SET name = upper(name), n = n + 1, birth = birth + 1, doc = doc || '{"u": 1}' WHERE ok RETURNING id, name, n, birth, doc

UPDATE person SET note = name, name = note WHERE note IS NOT NULL; SELECT id, name, note FROM person ORDER BY id

UPDATE person p SET note = v.ward FROM visit v WHERE v.nir = p.nir AND v.id < 20; SELECT id, note FROM person ORDER BY id

UPDATE person SET (name, n) = (SELECT ward, 5 FROM visit WHERE visit.nir = person.nir LIMIT 1) WHERE id < 10; SELECT id, name, n FROM person ORDER BY id

DELETE FROM person USING visit v WHERE v.nir = person.nir AND v.ward = 'ward 2'; SELECT id FROM person ORDER BY id

DELETE FROM person WHERE name = 'Martin' RETURNING *

MERGE INTO person p USING visit v ON p.nir = v.nir AND v.id <= 70 WHEN MATCHED AND v.ward = 'ward 1' THEN DELETE WHEN MATCHED THEN UPDATE SET note = v.ward, birth = v.day WHEN NOT MATCHED AND v.id BETWEEN 60 AND 70 THEN INSERT (id, nir, name) VALUES (v.id + 5000, v.nir || 'x', v.ward); SELECT id, nir, name, note, birth FROM person ORDER BY id

WITH gone AS (DELETE FROM person WHERE n < 0 RETURNING name, n) SELECT name, sum(n) FROM gone GROUP BY name ORDER BY name

SELECT p.id, v.id FROM person p JOIN visit v ON p.n = v.patient ORDER BY 1, 2

SET enable_hashjoin = off; SET enable_nestloop = off; SELECT p.id, v.id, v.patient FROM person p FULL JOIN visit v ON p.n = v.patient AND p.id < 30 ORDER BY 1, 2

SET enable_hashjoin = off; SET enable_mergejoin = off; CREATE INDEX ON visit (patient); SELECT p.id, v.id FROM person p JOIN visit v ON p.n = v.patient WHERE p.n IN (1, 3, 5) OR v.patient = -2 ORDER BY 1, 2

SELECT id, n FROM person p WHERE n <> ALL (SELECT patient FROM visit WHERE patient < 5) ORDER BY id

SELECT count(*) FROM person p JOIN visit v ON p.n = v.patient AND v.patient = p.id

SELECT count(*) FROM person p, visit v WHERE v.patient = p.n::bigint AND p.n = v.patient::int AND p.n <> v.patient + 1

WITH gone AS (DELETE FROM person WHERE n < 0 RETURNING name, n) SELECT DISTINCT name FROM gone ORDER BY name

WITH gone AS (DELETE FROM person WHERE n < 0 RETURNING id, name, birth), old AS (SELECT nir, name FROM person WHERE id < 9) SELECT name, birth FROM gone UNION SELECT name, NULL FROM old WHERE EXISTS (SELECT FROM gone WHERE gone.name = old.name AND gone.id IN (WITH twice AS (SELECT id FROM gone) SELECT id FROM twice)) ORDER BY 1, 2

WITH RECURSIVE up AS (UPDATE person SET n = n + 1 WHERE id < 4 RETURNING id, name, n), r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 3) SELECT name, n, i FROM up JOIN r ON r.i = up.id ORDER BY n, name; SELECT id, n FROM person WHERE id < 5 ORDER BY id

WITH ins AS (INSERT INTO person (id, name) VALUES (7000, 'w') RETURNING name) INSERT INTO person (id, name) SELECT 7001, name || '!' FROM ins RETURNING id, name

WITH a AS (SELECT name FROM person WHERE id < 20) SELECT name, count(*) OVER (PARTITION BY name) FROM a WHERE name IN (SELECT name FROM a EXCEPT SELECT name FROM a WHERE name > 'N') ORDER BY name

PREPARE a(text) AS SELECT id FROM person WHERE nir = $1; EXECUTE a('1 53 00003'); EXECUTE a('none')

PREPARE a(varchar) AS SELECT id FROM person WHERE nir = $1; EXECUTE a('1 53 00003')

PREPARE a(char(20)) AS SELECT id FROM person WHERE nir = $1; EXECUTE a('1 53 00003')

PREPARE a AS SELECT id, name FROM person WHERE nir = $1 AND birth = $2; EXECUTE a('1 53 00003', '1940-11-17')

PREPARE a(date, int, numeric) AS SELECT id FROM person WHERE birth > $1 AND n > $2 AND amount > $3 ORDER BY id; EXECUTE a('1945-01-01', 2, 20)

PREPARE a(text[]) AS SELECT id FROM person WHERE name = ANY ($1) ORDER BY id; EXECUTE a('{Martin,Dubois}')

PREPARE a AS INSERT INTO person (id, name, birth) VALUES ($1, $2, $3) RETURNING *; EXECUTE a(3000, 'p', '2000-01-01'); EXECUTE a(3001, NULL, NULL)

SET plan_cache_mode = force_generic_plan; PREPARE a(text, int) AS SELECT id FROM person WHERE name = $1 AND n = $2 ORDER BY id; EXECUTE a('Martin', 0); EXECUTE a('Bernard', 1)

SELECT * FROM grown ORDER BY id

SELECT count(*) FROM grown WHERE name = 'Martin'

UPDATE grown SET name = 'x' WHERE id = 3 RETURNING name, birth

SELECT id, name, birth FROM named('Martin') ORDER BY id

SELECT counted('Martin'), counted('Bernard')

CREATE TRIGGER up BEFORE INSERT OR UPDATE ON person FOR EACH ROW EXECUTE FUNCTION upped(); INSERT INTO person (id, name) VALUES (4000, 'low') RETURNING name; UPDATE person SET name = 'again' WHERE id < 3 RETURNING name

CREATE TRIGGER up BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION upped(); INSERT INTO person (id, n) VALUES (4000, 101) -- error: the trigger's

DO $$ DECLARE v text; d date; r record; BEGIN SELECT name, birth INTO v, d FROM person WHERE id = 1; RAISE NOTICE '% %', v, d; SELECT name || 'x' AS y INTO r FROM person WHERE id = 2; RAISE NOTICE '%', r.y; END $$

CREATE FUNCTION f(x text, y int) RETURNS text LANGUAGE sql AS 'SELECT x || y'; SELECT f(name, n) FROM person ORDER BY id

DECLARE c CURSOR FOR SELECT name, birth FROM person ORDER BY id; FETCH 3 FROM c; MOVE 2 IN c; FETCH 1 FROM c; CLOSE c

DECLARE c SCROLL CURSOR FOR SELECT id, name FROM person ORDER BY name, id; FETCH LAST FROM c; FETCH PRIOR FROM c; FETCH FIRST FROM c

COPY (SELECT id, name, note, birth, doc FROM person ORDER BY id) TO STDOUT

COPY (SELECT name, amount, ok FROM person ORDER BY id) TO STDOUT (FORMAT csv, HEADER)

SELECT row_to_json(p) FROM (SELECT id, name, birth, n, ok, doc FROM person) p ORDER BY id

SELECT to_jsonb(p) FROM person p ORDER BY id LIMIT 5

SELECT json_build_object('name', name, 'n', n, 'birth', birth), jsonb_build_array(name, ok, amount) FROM person ORDER BY id

SELECT ARRAY[name, note], ARRAY(SELECT name FROM person ORDER BY id LIMIT 3) FROM person WHERE id < 4 ORDER BY id

SELECT x FROM unnest(ARRAY(SELECT name FROM person WHERE id < 5)) x ORDER BY x

SELECT pg_typeof(name || ''), pg_typeof(n + 1), pg_typeof(birth + 1), pg_typeof(amount * 1), pg_typeof(lower(name)) FROM person WHERE id = 1

SELECT name AS "the Name", n total, birth FROM person WHERE id < 3 ORDER BY "the Name", total

SELECT p.* FROM person p WHERE p.id = 7

SELECT count(*) FROM person TABLESAMPLE SYSTEM (100)

SELECT id, name FROM person WHERE id = 3 FOR UPDATE

SELECT n / 0 FROM person -- error: division

SELECT name::int FROM person WHERE name = 'Martin' -- error: input

INSERT INTO person (id, birth) VALUES (5000, 'no date') -- error: input

INSERT INTO person (id, n) VALUES (5000, 99999999999) -- error: range

INSERT INTO person (id, n) VALUES (5000, '12') RETURNING n

INSERT INTO person (id, amount, n) VALUES (5000, 7, 3.7) RETURNING amount, n

SELECT nosuch FROM person -- error: column

SELECT name FROM person GROUP BY birth -- error: grouping

SELECT * FROM person WHERE name = 5 -- error: operator

CREATE TEMP TABLE tt (a int, b text); INSERT INTO tt SELECT id, name FROM person; SELECT * FROM tt ORDER BY a

TABLE visit ORDER BY id LIMIT 3

VALUES ((SELECT name FROM person WHERE id = 1), (SELECT max(n) FROM person))

SELECT id, name FROM (SELECT * FROM person ORDER BY name, id LIMIT 5) s ORDER BY id

SELECT a.name, b.ward FROM (SELECT DISTINCT name FROM person) a CROSS JOIN (SELECT DISTINCT ward FROM visit) b ORDER BY 1, 2

SELECT id FROM person WHERE name || '' IN (SELECT 'Martin') ORDER BY 1

SELECT id FROM person WHERE lower(name) = 'martin' AND name IN (SELECT name FROM person WHERE n > 0) ORDER BY 1

SELECT day, count(*) FROM visit WHERE day IN (date '2024-01-05', date '2024-01-06') GROUP BY day ORDER BY day

SELECT width_bucket(n::float8, -8, 8, 4) AS b, min(name), max(name) FROM person GROUP BY b ORDER BY b

SELECT id FROM person WHERE birth + interval '80 years' > timestamp '2023-01-01' ORDER BY 1

SELECT id FROM person WHERE extract(month FROM birth) = 5 OR to_char(birth, 'YYYY') = '1944' ORDER BY 1

SELECT generate_series(1, n) FROM person WHERE n BETWEEN 1 AND 2 ORDER BY 1

SELECT regexp_matches(note, '([0-9]+)') FROM person WHERE id < 5 ORDER BY id

SELECT id, CASE WHEN ok THEN 'yes' WHEN NOT ok THEN 'no' END FROM person ORDER BY id

SELECT bool_and(ok) OVER (ORDER BY id) FROM person ORDER BY id LIMIT 5

SELECT name FROM person WHERE id = 1 UNION ALL SELECT name FROM person WHERE id = 2 ORDER BY name DESC

SELECT max(nir COLLATE "C"), min(name COLLATE "C") FROM person

SELECT id FROM person ORDER BY name USING >, id

SELECT sum(CASE WHEN name = 'Martin' THEN 1 ELSE 0 END), sum((birth < '1945-01-01')::int) FROM person

SELECT id FROM person WHERE coalesce(note, 'x') = 'x' ORDER BY id

SELECT id FROM person WHERE nullif(name, '') IS NULL ORDER BY id

SELECT xmlelement(name p, name) FROM person WHERE id = 1

SELECT id, name FROM person WHERE (doc ->> 'k')::int = n + 9 ORDER BY id

SELECT hashtext(name) = hashtext(name::text) FROM person WHERE id = 1

SELECT name <-> 'x' FROM person -- error: operator
