--
-- No plaintext in catalogs, plans, statistics, errors, files
--
SET client_min_messages = warning;
SELECT create_key('secret');
RESET client_min_messages;
CREATE TABLE x (id int, r encrypted_text('secret'), s encrypted_text('secret', 'searchable') DEFAULT 'Xyzzydefault', CHECK (s <> 'Xyzzycheck'));
INSERT INTO x SELECT i, 'Xyzzyvalue' || i % 10, 'Xyzzyvalue' || i % 10 FROM generate_series(1, 2000) i;
CREATE VIEW w AS SELECT id FROM x WHERE s = 'Xyzzyview';
CREATE INDEX x_s ON x (s encrypted_text_blind_ops);
CREATE STATISTICS xs (ndistinct) ON id, s FROM x;
ANALYZE x;

-- catalogs
SELECT pg_get_viewdef('w') ~ 'Xyzzy' AS view, pg_get_expr(adbin, adrelid) ~ 'Xyzzy' AS "default" FROM pg_attrdef WHERE adrelid = 'x'::regclass;
SELECT pg_get_constraintdef(oid) ~ 'Xyzzy' AS "check" FROM pg_constraint WHERE conrelid = 'x'::regclass;
SELECT attname, null_frac, n_distinct, most_common_vals, histogram_bounds, correlation FROM pg_stats WHERE tablename = 'x' AND attname <> 'id' ORDER BY 1;
SELECT count(*) FROM pg_rewrite WHERE ev_action ~ 'Xyzzy';

-- plans
CREATE FUNCTION leaks(q text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (VERBOSE) ' || q LOOP r := r || l; END LOOP;
	RETURN r ~ 'Xyzzy';
END $$;
SELECT leaks($$SELECT * FROM x WHERE s = 'Xyzzyplan'$$), leaks($$SELECT * FROM x WHERE r = 'Xyzzyplan'$$), leaks($$SELECT * FROM x WHERE s = 'Xyzzyplan'::text$$),
	leaks($$SELECT * FROM x WHERE s <> 'Xyzzyplan'::varchar$$), leaks($$SELECT * FROM x WHERE s IN ('Xyzzy1', 'Xyzzy2')$$), leaks($$INSERT INTO x VALUES (1, 'Xyzzy', 'Xyzzy')$$),
	leaks($$SELECT * FROM x WHERE r < 'Xyzzyplan'$$), leaks($$SELECT * FROM w$$);
SELECT leaks($$SELECT * FROM x WHERE s = ANY ('{Xyzzy1}'::varchar[])$$), leaks($$SELECT * FROM x WHERE s = ANY (ARRAY['Xyzzy1', 'x']::varchar[])$$),
	leaks($$SELECT * FROM x WHERE s IN ('Xyzzy1'::varchar, 'Xyzzy2'::varchar)$$), leaks($$SELECT * FROM x WHERE s <> ALL ('{Xyzzy1}'::varchar[]) AND r > ANY ('{Xyzzy1}'::varchar[])$$);

-- parameters of custom plans, which are constants in them
PREPARE p(text, text[]) AS SELECT * FROM x WHERE r > $1 AND s BETWEEN $1 AND $1 AND r <> $1 AND s = ANY ($2) AND r IN ($1, 'b'::text) AND s <> ALL ($2::varchar[]);
SELECT leaks($$EXECUTE p('Xyzzyplan', '{Xyzzy1,Xyzzy2}')$$);
EXECUTE p('Xyzzyplan', '{Xyzzy1,Xyzzy2}');
DEALLOCATE p;

-- errors
-- of what was opened: a cast that fails, also by a function
SELECT r::int FROM x WHERE id = 3;
SELECT to_date(s, 'YYYY') FROM x WHERE id = 3;
SELECT ('{' || r)::jsonb FROM x WHERE id = 3;
SELECT 1 / (id - 3) FROM x WHERE r = 'Xyzzyvalue3' AND id = 3;
SELECT 'plain'::int;
CREATE FUNCTION complaint(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
	EXECUTE q;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN regexp_replace(m || ' ' || d || ' ' || h, 'sov1:[A-Za-z0-9+/.=]*', 'sov1:...', 'g');
END $$;
CREATE UNIQUE INDEX u ON x (id, s encrypted_text_blind_ops);
SELECT complaint($$INSERT INTO x VALUES (3, 'Xyzzy', 'Xyzzyvalue3')$$);
SELECT complaint($$INSERT INTO x VALUES (1, 'Xyzzy', 'Xyzzycheck')$$);
ALTER TABLE x ALTER r SET NOT NULL;
SELECT complaint($$INSERT INTO x VALUES (1, NULL, 'Xyzzy')$$);
SELECT complaint($$DO 'DECLARE v x%ROWTYPE; BEGIN SELECT * INTO v FROM x WHERE id = 3; RAISE EXCEPTION ''% %'', v.r, v; END'$$) ~ 'Xyzzy' AS raised;

-- COPY's error context names the line, not its content
\set VERBOSITY terse
COPY x FROM stdin;
1	Xyzzy	Xyzzycheck
\.
\set VERBOSITY default
COPY x FROM stdin;
1	Xyzzy
\.
COPY x FROM stdin;
id	Xyzzy	Xyzzy
\.

-- also where a trigger's function stands before it
CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER refuses BEFORE INSERT ON x FOR EACH ROW EXECUTE FUNCTION refuses();
COPY x FROM stdin;
1	Xyzzy	Xyzzy
\.
DROP TRIGGER refuses ON x; DROP FUNCTION refuses;

-- a sort that spills leaves no plaintext in its files, nor does the table
SET work_mem = '64kB';
SET max_parallel_workers_per_gather = 0;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id, encrypted_text_out(r) FROM x ORDER BY r;
DECLARE d CURSOR FOR SELECT id, encrypted_text_out(r) FROM x ORDER BY r, id DESC;
FETCH 1 FROM d \g /dev/null
-- the client is given plaintext, the sort is not
DECLARE e CURSOR FOR SELECT id, r FROM x ORDER BY r, id DESC;
FETCH 1 FROM e \g /dev/null
DECLARE f CURSOR FOR SELECT r, s FROM x ORDER BY id % 7;
FETCH 1 FROM f \g /dev/null
SELECT count(*) > 0 AS temp_files, count(*) FILTER (WHERE pg_read_binary_file('base/pgsql_tmp/' || f)::text ~ encode('Xyzzyvalue', 'hex')) AS leaking
	FROM pg_ls_dir('base/pgsql_tmp') f;
COMMIT;
CHECKPOINT;
SELECT count(*) FILTER (WHERE pg_read_binary_file(pg_relation_filepath(c))::text ~ encode('Xyzzy', 'hex')) AS leaking FROM (VALUES ('x'::regclass), ('x_s'), ('u')) f(c);

-- a default that is a constant is sealed, whatever type it was written with
CREATE TABLE def (id int, a encrypted_int4('secret') DEFAULT -424242, b encrypted_date('secret') DEFAULT date '1234-05-06', c encrypted_text('secret') DEFAULT 'Xyzzy'::varchar,
	d encrypted_numeric('secret') DEFAULT 4242.42, e encrypted_bool('secret') DEFAULT true, f encrypted_int8('secret') DEFAULT 4242424242424);
ALTER TABLE def ADD h encrypted_float8('secret') DEFAULT 42.4242, ADD i encrypted_text('secret');
ALTER TABLE def ALTER i SET DEFAULT 'Xyzzy'::text;
INSERT INTO def DEFAULT VALUES RETURNING *;
SELECT attname, pg_get_expr(adbin, adrelid) FROM pg_attrdef d JOIN pg_attribute a ON attrelid = adrelid AND attnum = adnum WHERE adrelid = 'def'::regclass AND pg_get_expr(adbin, adrelid) !~ '^''sov1:';
ALTER TABLE def ALTER c DROP DEFAULT, ALTER i SET DEFAULT upper('x');
INSERT INTO def DEFAULT VALUES RETURNING c, i;
-- nor may one stay that the column had before, or gets in the command that makes the column
ALTER TABLE def ADD j encrypted_text('secret'), ALTER j SET DEFAULT 'Xyzzy'::text;
CREATE TABLE was (t text DEFAULT 'Xyzzy', n int DEFAULT -5, k int4 DEFAULT 7);
ALTER TABLE was ALTER t TYPE encrypted_text('secret') USING NULL;
ALTER TABLE was ALTER n TYPE encrypted_int4('secret') USING NULL;
ALTER TABLE was ALTER t DROP DEFAULT, ALTER t TYPE encrypted_text('secret') USING NULL;
ALTER TABLE was ALTER t SET DEFAULT 'Xyzzy';
INSERT INTO was DEFAULT VALUES RETURNING *;
DROP TABLE was;
DROP TABLE def;

-- nor of a domain
CREATE DOMAIN secret_age AS encrypted_int4('secret') DEFAULT 424242;
ALTER DOMAIN secret_age SET DEFAULT 434343;
ALTER DOMAIN secret_age SET DEFAULT 42::int8;
CREATE TABLE aged (id int, age secret_age, old secret_age DEFAULT 99);
INSERT INTO aged (id) VALUES (1) RETURNING *;
SELECT typdefault ~ '43' AS "default" FROM pg_type WHERE typname = 'secret_age';
SELECT pg_get_expr(adbin, adrelid) ~ '99' AS "default" FROM pg_attrdef WHERE adrelid = 'aged'::regclass;
CREATE INDEX ON aged (age);
CREATE TABLE parted (age secret_age) PARTITION BY LIST (age);
CREATE TABLE parted (age secret_age) PARTITION BY HASH (age);
CREATE STATISTICS aging ON id, age FROM aged;
DROP TABLE aged; DROP DOMAIN secret_age;

-- a column that a migration gives another type, as if it were plain, is decrypted
CREATE TABLE longer (a encrypted_text('secret'));
ALTER TABLE longer ALTER a TYPE varchar(200);
DROP TABLE longer;

-- arrays, rows and ranges have no index in plaintext order either
CREATE TYPE secret_range AS RANGE (subtype = encrypted_int4);
CREATE DOMAIN secret_word AS encrypted_text('secret', 'searchable');
CREATE TABLE deep (id int, t encrypted_text('secret', 'searchable')[], r x, g secret_range, w secret_word);
CREATE INDEX ON deep (t);
CREATE INDEX ON deep USING gin (t);
CREATE INDEX ON deep (id, r);
CREATE INDEX ON deep USING gist (g);
CREATE TABLE parted (t encrypted_text('secret', 'searchable')[]) PARTITION BY RANGE (t);
CREATE TABLE parted (t encrypted_text('secret')[]) PARTITION BY HASH (t);
CREATE INDEX ON deep USING hash (t);
CREATE INDEX ON deep USING hash (r);
ALTER TABLE deep ADD random encrypted_text('secret')[];
CREATE INDEX ON deep USING hash (random);
ALTER TABLE deep DROP random;
CREATE INDEX ON deep (w);
INSERT INTO deep (t, w) VALUES ('{a,b}', 'c');
SET enable_seqscan = off;
SELECT t, w FROM deep WHERE t = '{a,b}' AND w = 'c';
RESET enable_seqscan;
-- nor are they analysed, which would sort them
\! mv $SOV_TEST_DIR/root.key $SOV_TEST_DIR/root.away
\c -
ANALYZE deep;
\! mv $SOV_TEST_DIR/root.away $SOV_TEST_DIR/root.key
\c -
SELECT attname FROM pg_stats WHERE tablename = 'deep' ORDER BY 1;
ALTER TABLE deep ALTER t SET STATISTICS 100;
CREATE TABLE deeper AS SELECT t, 1 AS one, array_agg(w) AS ws FROM deep GROUP BY t;
SELECT attrelid::regclass, attname, coalesce(attstattarget, -1) = 0 AS left_out FROM pg_attribute WHERE attrelid IN ('deep'::regclass, 'deeper'::regclass) AND attnum > 0 AND NOT attisdropped ORDER BY 1, attnum;
DROP TABLE deeper;
DROP TABLE deep; DROP TYPE secret_range; DROP DOMAIN secret_word;
DROP VIEW w;
DROP TABLE x;
DROP FUNCTION leaks, complaint;
