--
-- What a client sees: base types for its own queries, ciphertext elsewhere
--
SET client_min_messages = warning;
SELECT create_key('native');
RESET client_min_messages;
CREATE TABLE n (id int, a encrypted_text('native'), s encrypted_text('native', 'searchable'));
INSERT INTO n VALUES (1, 'one', 'x'), (2, 'two', 'y'), (3, 'three', 'x');

-- result types as the client is told them
SELECT a, s FROM n \gdesc
INSERT INTO n VALUES (4, 'four', 'z') RETURNING a, s \gdesc
SELECT a FROM n UNION SELECT s FROM n \gdesc
SELECT array_agg(a) FROM n \gdesc
VALUES ('p'::encrypted_text), ('q') \gdesc

SELECT * FROM n ORDER BY id;
TABLE n;
VALUES ('p'::encrypted_text), ('q');
SELECT a FROM n ORDER BY a;
SELECT a FROM n ORDER BY s, a DESC;
SELECT s, count(*) FROM n GROUP BY s ORDER BY s;
SELECT s, count(*) FROM n GROUP BY ROLLUP (s) ORDER BY s;
SELECT DISTINCT s FROM n ORDER BY s;
SELECT DISTINCT ON (s) s, a FROM n ORDER BY s, a;
SELECT a FROM n UNION ALL SELECT s FROM n ORDER BY 1;
SELECT a FROM n EXCEPT SELECT a FROM n WHERE id > 1;
SELECT coalesce(a, s) FROM n ORDER BY coalesce(a, s);
SELECT a AS x FROM n ORDER BY x LIMIT 1 OFFSET 1;
SELECT a, first_value(a) OVER (PARTITION BY s ORDER BY a) FROM n ORDER BY id;
SELECT a FROM n WHERE id = 1 FOR UPDATE;
SELECT (SELECT a FROM n WHERE id = 2), ARRAY(SELECT s FROM n ORDER BY id);
WITH w AS (INSERT INTO n VALUES (5, 'five', 'x') RETURNING a, s) SELECT * FROM w;
UPDATE n SET a = 'FIVE' WHERE id = 5 RETURNING a, s AS renamed;
DELETE FROM n WHERE id = 5 RETURNING *;
SELECT x.* FROM n, LATERAL (SELECT n.a) x WHERE id = 1;
COPY (SELECT a, s FROM n ORDER BY id) TO stdout;
COPY (DELETE FROM n WHERE id = 99 RETURNING a) TO stdout;
BEGIN;
DECLARE c CURSOR FOR SELECT a FROM n ORDER BY id;
FETCH 2 FROM c;
CLOSE c;
COMMIT;

-- prepared statements keep their result type over an invalidation
PREPARE q AS SELECT a FROM n WHERE id = $1;
EXECUTE q(1);
ALTER TABLE n ADD COLUMN extra int;
EXECUTE q(1);
EXPLAIN (COSTS OFF) EXECUTE q(1);
ANALYZE n;
EXECUTE q(2);
CREATE TABLE leak AS EXECUTE q(1);
DEALLOCATE q;

-- ciphertext stays: CREATE TABLE AS, views, INSERT SELECT, COPY of a table
CREATE TABLE kept AS SELECT a, s FROM n;
SELECT pg_typeof(a), pg_typeof(s) FROM kept LIMIT 1;
CREATE MATERIALIZED VIEW mv AS SELECT a FROM n;
SELECT pg_typeof(a) FROM mv LIMIT 1;
SELECT a FROM mv ORDER BY a;
CREATE VIEW v AS SELECT a, s FROM n;
SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'v'::regclass;
SELECT a FROM v ORDER BY a;
CREATE TEMP TABLE lines (l text);
COPY n (a, s) TO '/tmp/sov_regress_native.out';
COPY lines FROM '/tmp/sov_regress_native.out' (DELIMITER E'\x02');
\! rm /tmp/sov_regress_native.out
SELECT count(*) AS lines, count(*) FILTER (WHERE l ~ '^sov1:\S+\tsov1:\S+$') AS sealed FROM lines;
DO $$ DECLARE r record; BEGIN
	SELECT a INTO r FROM n WHERE id = 1;
	RAISE NOTICE 'in plpgsql: %', pg_typeof(r.a);
	RAISE NOTICE 'printed: %', left(format('%s', r), 6);
END $$;

-- what takes any type prints values, wherever it stands
CREATE VIEW joined AS SELECT concat(a, '-', s) AS c FROM n WHERE id = 1;
SELECT c FROM joined;
CREATE FUNCTION joined() RETURNS text LANGUAGE sql AS 'SELECT concat_ws(''/'', a, s) FROM n WHERE id = 1';
SELECT joined();
DO $$ DECLARE r n; t text; BEGIN
	SELECT * INTO r FROM n WHERE id = 1;
	SELECT format('%s %L', a, s) INTO t FROM n WHERE id = 2;
	RAISE NOTICE '% %', concat(r.a, r.s), t;
END $$;
CREATE TABLE taken AS SELECT concat(a) AS c FROM n WHERE id = 1;
SELECT c FROM taken;
DROP VIEW joined; DROP FUNCTION joined(); DROP TABLE taken;

-- so do rows, and what is cast by way of text
CREATE TYPE word AS ENUM ('one', 'two');
CREATE TABLE rows (id int, gone int, t encrypted_text('native')[], r n, n encrypted_int4('native'));
ALTER TABLE rows DROP COLUMN gone;
INSERT INTO rows SELECT 1, ARRAY[a, NULL, s], n, 42 FROM n WHERE id = 1;
INSERT INTO rows (id) VALUES (2);
SELECT rows FROM rows ORDER BY id;
SELECT rows FROM rows \gdesc
SELECT r::text, row(id, t, r)::text, rows::text FROM rows ORDER BY id;
SELECT row(a, 2) FROM n WHERE id = 1;
SELECT DISTINCT row(s) FROM n ORDER BY 1;
SELECT x::text, x IS NULL AS none FROM n LEFT JOIN (SELECT * FROM rows WHERE id = 1) x USING (id) WHERE n.id < 3 ORDER BY n.id;
SELECT json_build_object('row', rows), to_jsonb(rows), array_agg(t)::text, array_to_string(array_agg(n), '-'), xmlelement(name x, row(min(n))) FROM rows WHERE id = 1 GROUP BY rows.*;
SELECT a::word, a::"char", a::xml, ARRAY[a]::text, ARRAY[a]::word[], array_agg(a)::text, percentile_disc(ARRAY[0.5]) WITHIN GROUP (ORDER BY a) FROM n WHERE id = 1 GROUP BY a;
CREATE VIEW printed AS SELECT rows::text, ARRAY(SELECT a FROM n ORDER BY id)::text AS all FROM rows WHERE id = 1;
SELECT * FROM printed;
DO $$ DECLARE r n; t text; BEGIN
	SELECT * INTO r FROM n WHERE id = 2;
	t := r::text;
	RAISE NOTICE '%', t;
END $$;
UPDATE rows SET n = 43 WHERE id = 2 RETURNING rows;
SELECT array_agg(rows ORDER BY id), array_agg(rows ORDER BY id)::text, array_to_string(array_agg(row(n, 'a') ORDER BY id), '; ') FROM rows;
SELECT row(array_agg(rows ORDER BY id), 1), row(array_agg(n ORDER BY id))::text, array_agg(row(id) ORDER BY id), ARRAY[row(1)]::text FROM rows;
SELECT array_agg(row(id, n) ORDER BY id), ARRAY[row(min(n))], ARRAY(SELECT r FROM rows ORDER BY id) FROM rows;
-- subscripts of jsonb
CREATE TABLE docs (id int, doc encrypted_jsonb('native'));
INSERT INTO docs VALUES (1, '{"a": {"b": [1, 2]}, "c": "x"}'), (2, NULL);
SELECT doc['c'], doc['a']['b'][1], doc['none'] FROM docs ORDER BY id;
SELECT id FROM docs WHERE doc['c'] = '"x"';
CREATE VIEW printed_docs AS SELECT doc['a'] AS a FROM docs;
SELECT a FROM printed_docs ORDER BY 1; SELECT pg_get_viewdef('printed_docs') ~ 'jsonb.*a.*text' AS viewdef;
SELECT doc[1:2] FROM docs;
UPDATE docs SET doc['c'] = '1' WHERE id = 1;
UPDATE docs SET doc = jsonb_set(doc, '{c}', '1') WHERE id = 1 RETURNING doc['c'];
DROP VIEW printed_docs; DROP TABLE docs;
DROP VIEW printed; DROP TABLE rows; DROP TYPE word;

-- switched off
SET sovereign.native_results = off;
SELECT a FROM n \gdesc
RESET sovereign.native_results;
SELECT a::text FROM n \gdesc

-- the first query of a session is like its second
\c -
SELECT a FROM n WHERE id = 1;
DROP VIEW v;
DROP MATERIALIZED VIEW mv;
DROP TABLE n, kept;
