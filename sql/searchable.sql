--
-- Equality, indexes, joins, order
--
SET client_min_messages = warning;
SELECT create_key('search');
SET client_min_messages = notice;
CREATE TABLE s (id int, nir encrypted_text('search', 'searchable'), name encrypted_text('search'), plain text);
INSERT INTO s SELECT i, 'n' || i % 1000, 'name ' || i % 100, 'n' || i % 1000 FROM generate_series(1, 3000) i;

-- the tag is indexed, whatever is said; refused: EXCLUDE, expressions, random columns
CREATE INDEX ON s (nir);
CREATE UNIQUE INDEX ON s (id, nir);
CREATE TABLE bad (a encrypted_text('search', 'searchable'), EXCLUDE (a WITH =));
CREATE INDEX ON s (id) INCLUDE (nir);
CREATE INDEX ON s (name encrypted_text_blind_ops);
CREATE INDEX ON s USING hash (name);
CREATE INDEX ON s ((nir::text));
CREATE INDEX ON s (upper(nir));
ALTER TABLE s ADD COLUMN g text GENERATED ALWAYS AS (nir::text) STORED;

CREATE INDEX s_btree ON s (nir encrypted_text_blind_ops);
ANALYZE s;
-- a function that tells the plan's first line, without literals
CREATE FUNCTION plan(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		CONTINUE WHEN l ~ '^ *Disabled: true';	-- said from 18 on
		r := r || regexp_replace(trim(l), 'sov1:[^'',}]*', 'sov1:...', 'g') || E'\n';
	END LOOP;
	RETURN rtrim(r, E'\n');
END $$;
SELECT plan($$SELECT id FROM s WHERE nir = 'n7'$$);
SELECT plan($$SELECT id FROM s WHERE nir = 'n7'::text$$);
SELECT plan($$SELECT id FROM s WHERE 'n7'::varchar = nir$$);
SELECT plan($$SELECT id FROM s WHERE nir IN ('n7', 'n8')$$);
SELECT plan($$SELECT id FROM s WHERE nir = ANY (ARRAY['n7', 'n8']::text[])$$);
SELECT id FROM s WHERE nir = 'n7' ORDER BY id;
SELECT id FROM s WHERE nir = 'n7'::text ORDER BY id;
SELECT id FROM s WHERE 'n7'::varchar = nir ORDER BY id;
SELECT id FROM s WHERE nir IN ('n7', 'n8') ORDER BY id;
SELECT id FROM s WHERE nir = ANY (ARRAY['n7', 'n8']::text[]) ORDER BY id;
SELECT count(*) FROM s WHERE nir <> 'n7';
SELECT count(*) FROM s WHERE nir <> 'n7'::text;
SELECT id FROM s WHERE nir = 'absent';
SELECT count(*) FROM s WHERE name = 'name 7';
SELECT count(*) FROM s WHERE nir::text = plain;
SELECT count(*) FROM s WHERE nir = plain;
PREPARE q(text) AS SELECT id FROM s WHERE nir = $1 ORDER BY id;
EXECUTE q('n9');
SET plan_cache_mode = force_generic_plan;
SELECT plan($$EXECUTE q('n9')$$);
EXECUTE q('n9');
RESET plan_cache_mode;
DEALLOCATE q;

-- with an empty search_path the same operators are found
SET search_path = '';
SELECT public.plan($$SELECT id FROM public.s WHERE nir = 'n7'::text$$);
RESET search_path;

-- hash index, unique index, foreign key, ON CONFLICT
DROP INDEX s_btree;
CREATE INDEX s_hash ON s USING hash (nir);
SET enable_seqscan = off;
SELECT plan($$SELECT id FROM s WHERE nir = 'n7'$$);
SELECT id FROM s WHERE nir = 'n7' ORDER BY id;
SELECT id FROM s WHERE nir = 'n7'::text ORDER BY id;
RESET enable_seqscan;
CREATE TABLE u (nir encrypted_text('search', 'searchable'), v int);
CREATE UNIQUE INDEX ON u (nir encrypted_text_blind_ops);
INSERT INTO u VALUES ('a', 1), ('b', 2);
\set VERBOSITY terse
INSERT INTO u VALUES ('a', 3);
DO $$ BEGIN INSERT INTO u VALUES ('a', 3); EXCEPTION WHEN unique_violation THEN
	RAISE NOTICE '% %', SQLERRM, (SELECT sqlerrm ~ 'sov1'); END $$;
\set VERBOSITY default
INSERT INTO u VALUES ('a', 4), ('c', 5) ON CONFLICT (nir) DO UPDATE SET v = excluded.v;
SELECT * FROM u ORDER BY v;
CREATE TABLE child (nir encrypted_text('search', 'searchable') REFERENCES u (nir));
INSERT INTO child VALUES ('a');
\set VERBOSITY sqlstate
INSERT INTO child VALUES ('z');
DELETE FROM u WHERE nir = 'a';
\set VERBOSITY default

-- every join method agrees, over modes and with plain text
CREATE TABLE j (k encrypted_text('search'), t text);
INSERT INTO j SELECT 'n' || i, 'n' || i FROM generate_series(1, 20) i;
SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT count(*) FROM s JOIN j ON s.nir = j.k; SELECT count(*) FROM s JOIN j ON s.nir = j.t; SELECT count(*) FROM j a JOIN j b ON a.k = b.k;
SET enable_hashjoin = on; SET enable_nestloop = off;
SELECT count(*) FROM s JOIN j ON s.nir = j.k; SELECT count(*) FROM s JOIN j ON s.nir = j.t; SELECT count(*) FROM j a JOIN j b ON a.k = b.k;
SET enable_hashjoin = off; SET enable_mergejoin = on;
SELECT count(*) FROM s JOIN j ON s.nir = j.k; SELECT count(*) FROM s JOIN j ON s.nir = j.t; SELECT count(*) FROM j a JOIN j b ON a.k = b.k;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_nestloop;

-- order, groups, distinct
SELECT name FROM s GROUP BY name ORDER BY name LIMIT 3;
SELECT name, count(*) FROM s WHERE name < 'name 12' GROUP BY name ORDER BY name DESC LIMIT 3;
SELECT count(DISTINCT name), count(DISTINCT nir), count(DISTINCT plain) FROM s;
SET work_mem = '64kB';
SELECT count(DISTINCT name), count(DISTINCT nir), mode() WITHIN GROUP (ORDER BY name) FROM s;
RESET work_mem;
SELECT count(*) FROM (SELECT DISTINCT nir FROM s) x;
SET enable_hashagg = off;
SELECT count(*) FROM (SELECT DISTINCT nir FROM s) x;
RESET enable_hashagg;
SELECT count(*) FROM (SELECT name, lag(name) OVER (ORDER BY name) AS before FROM s) x WHERE before > name;
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT plain, lag(plain) OVER (ORDER BY nir) AS before FROM s) x WHERE before > plain;
RESET work_mem;
SELECT count(*) FROM s WHERE name >= 'name 5' AND name <= 'name 50'::text AND 'name 41' < name;
SELECT min(name), max(name) FROM s;

-- a nondeterministic collation is refused
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT count(*) FROM s WHERE nir = 'n7' COLLATE loose;
SELECT count(*) FROM (SELECT DISTINCT nir COLLATE loose FROM s WHERE id < 3) x;
SELECT count(*) FROM s JOIN j ON s.nir = 'x' || j.t COLLATE loose;
DROP COLLATION loose;

-- VACUUM and cluster-wide upkeep without a key
DELETE FROM s WHERE id % 2 = 0;
DROP INDEX s_hash;
CREATE INDEX s_btree ON s (nir encrypted_text_blind_ops);
DELETE FROM s WHERE id % 3 = 0;
\! mv $SOV_TEST_DIR/root.key $SOV_TEST_DIR/root.away
\c -
VACUUM (ANALYZE) s;
REINDEX INDEX s_btree;
\! mv $SOV_TEST_DIR/root.away $SOV_TEST_DIR/root.key
SET enable_seqscan = off;
SELECT id FROM s WHERE nir = 'n7';
RESET enable_seqscan;

-- row security uses the index: equality is leakproof
SELECT proname FROM pg_proc WHERE proname IN ('encrypted_text_eq', 'encrypted_text_base_eq') AND proleakproof ORDER BY 1;

-- int4 and int8 share their tags: joins, in memory and by index, and foreign keys
CREATE TABLE small (id int, k encrypted_int4('search', 'searchable'), r encrypted_int4('search'));
CREATE TABLE big (id int, k encrypted_int8('search', 'searchable') UNIQUE, r encrypted_int8('search'));
INSERT INTO small SELECT i, i - 5, i FROM generate_series(1, 100) i;
INSERT INTO big SELECT i, i - 5, i FROM generate_series(1, 100) i UNION ALL SELECT 0, 5000000000, 5000000000;
ALTER TABLE small ADD FOREIGN KEY (k) REFERENCES big (k);
\set VERBOSITY terse
INSERT INTO small VALUES (0, 1000);
\set VERBOSITY default
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = off;
SELECT plan('SELECT FROM small JOIN big ON small.k = big.k WHERE small.id = 9');
SELECT small.id, big.id FROM small JOIN big ON small.k = big.k WHERE small.k = -3 OR big.k = 7 ORDER BY 1;
RESET enable_mergejoin;
SET enable_nestloop = off;
SELECT count(*), sum(abs(small.id - big.id)) FROM small JOIN big ON small.k = big.k;
SELECT count(*), sum(small.id - big.id) FROM small JOIN big ON small.k = big.r;
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_seqscan;
SELECT count(*), sum(small.id - big.id) FROM small JOIN big ON small.r = big.r;
DROP TABLE small, big;
DROP TABLE child, u, j, s;
DROP FUNCTION plan(text);
