--
-- Definitions as people and ORMs write them: UNIQUE, CREATE INDEX, foreign keys,
-- partitions; what would store plaintext is warned of or refused
--
\set VERBOSITY terse
SELECT create_key('ddl');
CREATE TABLE u1 (id int PRIMARY KEY, nir encrypted_text('ddl', 'searchable') UNIQUE, d encrypted_date('ddl', 'searchable'), CONSTRAINT two UNIQUE (nir, d));
ALTER TABLE u1 ADD CONSTRAINT three UNIQUE (d);
ALTER TABLE u1 ADD COLUMN e encrypted_int4('ddl', 'searchable') UNIQUE;
CREATE INDEX ON u1 (nir);
CREATE INDEX ON u1 (id, nir) WHERE id > 0;
CREATE UNIQUE INDEX CONCURRENTLY uu ON u1 (nir);
CREATE TABLE IF NOT EXISTS u1 (nir encrypted_text('ddl', 'searchable') UNIQUE);
SELECT indexdef FROM pg_indexes WHERE tablename = 'u1' ORDER BY indexname;
CREATE TABLE u2 (id int, nir encrypted_text('ddl', 'searchable') REFERENCES u1 (nir) ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO u1 VALUES (1, 'a', '2000-01-01'), (2, 'b', '2001-01-01');
INSERT INTO u1 VALUES (3, 'a', '2002-01-01');
INSERT INTO u2 VALUES (1, 'a');
INSERT INTO u2 VALUES (1, 'zz');
INSERT INTO u1 VALUES (4, 'a', '2000-01-02') ON CONFLICT (nir) DO UPDATE SET d = excluded.d RETURNING *;
UPDATE u1 SET nir = 'a2' WHERE nir = 'a';
SELECT * FROM u2;
DELETE FROM u1 WHERE nir = 'a2';
SELECT * FROM u2;
MERGE INTO u1 USING (VALUES ('b', 'x'), ('n', 'y')) v(n, w) ON u1.nir = v.n
	WHEN MATCHED THEN UPDATE SET d = '1990-01-01' WHEN NOT MATCHED THEN INSERT (id, nir) VALUES (9, v.n);
SELECT * FROM u1 ORDER BY id;
-- they are constraints
INSERT INTO u1 VALUES (5, 'b') ON CONFLICT ON CONSTRAINT u1_nir_key DO UPDATE SET id = excluded.id RETURNING id, nir;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'u1'::regclass AND contype IN ('u', 'p') ORDER BY 1;
CREATE TABLE keyed (code encrypted_uuid('ddl', 'searchable') PRIMARY KEY, a encrypted_text('ddl', 'searchable') UNIQUE DEFERRABLE, b encrypted_text('ddl', 'searchable'));
INSERT INTO keyed SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, i, i FROM generate_series(1, 3) i;
SELECT b, count(*) FROM keyed GROUP BY code ORDER BY b;
CREATE TABLE of_keyed (code encrypted_uuid('ddl', 'searchable') REFERENCES keyed);
INSERT INTO of_keyed SELECT code FROM keyed WHERE a = '1';
INSERT INTO of_keyed VALUES ('00000000-0000-0000-0000-00000000000f');
INSERT INTO keyed (a) VALUES ('x');
INSERT INTO keyed VALUES ('00000000-0000-0000-0000-000000000002') ON CONFLICT ON CONSTRAINT keyed_pkey DO UPDATE SET b = 'again' RETURNING a, b;
UPDATE keyed SET a = 2 WHERE a = '1';
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE keyed SET a = CASE a WHEN '1' THEN '2' WHEN '2' THEN '1' ELSE a::text END;
COMMIT;
SELECT a, b FROM keyed ORDER BY b;
ALTER TABLE keyed ADD PRIMARY KEY (a);
ALTER TABLE of_keyed ADD COLUMN k encrypted_int4('ddl', 'searchable') PRIMARY KEY DEFAULT 7, ADD COLUMN l encrypted_int4('ddl', 'searchable'), ADD UNIQUE (l) INCLUDE (k);
ALTER TABLE of_keyed ADD COLUMN IF NOT EXISTS k encrypted_int4('ddl', 'searchable') UNIQUE;
ALTER TABLE IF EXISTS nosuch ADD COLUMN k encrypted_int4('ddl', 'searchable') UNIQUE;
CREATE UNIQUE INDEX bi ON keyed (b);
ALTER TABLE keyed ADD CONSTRAINT keyed_b UNIQUE USING INDEX bi;
ALTER TABLE of_keyed DROP CONSTRAINT of_keyed_pkey, ADD PRIMARY KEY (code);
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ('keyed'::regclass, 'of_keyed'::regclass) AND contype IN ('u', 'p') ORDER BY 1, 2;
SELECT attname, attnotnull FROM pg_attribute WHERE attrelid IN ('keyed'::regclass, 'of_keyed'::regclass) AND attnum > 0 ORDER BY attrelid, attnum;
-- to other types, and to a plain one
SELECT create_key('ddl2');
CREATE TABLE retyped (a encrypted_text('ddl', 'searchable') CONSTRAINT first PRIMARY KEY, b text, c encrypted_int4('ddl', 'searchable'), CONSTRAINT second UNIQUE (b, c));
INSERT INTO retyped VALUES ('x', 'y', 1), ('z', 'y', 2);
ALTER TABLE retyped ALTER a TYPE encrypted_text('ddl2', 'searchable'), ALTER b TYPE encrypted_text('ddl', 'searchable') USING b::encrypted_text, ALTER c TYPE encrypted_int8('ddl', 'searchable') USING c::int8;
INSERT INTO retyped VALUES ('x', 'new', 1);
INSERT INTO retyped VALUES ('new', 'y', 2);
SELECT indexdef FROM pg_indexes WHERE tablename = 'retyped' ORDER BY indexname;
ALTER TABLE retyped ALTER a TYPE text;
SELECT indexdef FROM pg_indexes WHERE tablename = 'retyped' ORDER BY indexname;
-- of partitions
CREATE TABLE pieces (id int, a encrypted_text('ddl', 'searchable'), PRIMARY KEY (id, a)) PARTITION BY LIST (id);
CREATE TABLE pieces1 PARTITION OF pieces FOR VALUES IN (1);
ALTER TABLE pieces ADD UNIQUE (a, id);
CREATE TABLE pieces2 (LIKE pieces INCLUDING ALL);
ALTER TABLE pieces ATTACH PARTITION pieces2 FOR VALUES IN (2);
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'pieces%' AND contype IN ('u', 'p') ORDER BY 1, 2;
-- an index that was made in the place of a constraint goes as that
CREATE UNIQUE INDEX as_before ON u1 (d, id);
ALTER TABLE u1 DROP CONSTRAINT as_before;
ALTER TABLE u1 DROP CONSTRAINT u1_nir_key;
ALTER TABLE u1 DROP CONSTRAINT two, DROP CONSTRAINT IF EXISTS nosuch, ADD UNIQUE (id, d);
ALTER TABLE u1 DROP CONSTRAINT two;
SELECT indexname FROM pg_indexes WHERE tablename = 'u1' ORDER BY 1;
-- what cannot be
CREATE TABLE bad (nir encrypted_text('ddl') PRIMARY KEY);
CREATE TABLE bad (nir encrypted_text('ddl') UNIQUE);
CREATE TABLE bad (nir encrypted_text('ddl', 'searchable'), EXCLUDE (nir WITH =));
CREATE TABLE bad (a encrypted_text('ddl', 'searchable')) PARTITION BY RANGE (a);
CREATE TABLE bad (a encrypted_text('ddl')) PARTITION BY HASH (a);
CREATE TABLE bad (a encrypted_text('ddl'), b int GENERATED ALWAYS AS (length(a)) STORED);
CREATE INDEX ON u1 (length(nir));
CREATE STATISTICS st ON nir, d FROM u1;
CREATE STATISTICS st ON (upper(nir)) FROM u1;
-- partitions by hash of the tag
CREATE TABLE part (a encrypted_text('ddl', 'searchable'), id int) PARTITION BY HASH (a);
CREATE TABLE part0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNIQUE INDEX ON part (a);
INSERT INTO part SELECT 'v' || i, i FROM generate_series(1, 50) i;
SELECT count(DISTINCT tableoid), count(*) FROM part;
SELECT * FROM part WHERE a = 'v7';
-- copies in plain text are warned of
CREATE TABLE copy1 AS SELECT nir::text, nir AS encrypted, id FROM u1;
SELECT upper(x) AS u INTO copy2 FROM (SELECT nir AS x FROM u1) s;
CREATE MATERIALIZED VIEW copy3 AS SELECT length(nir) FROM u1;
CREATE TABLE copy4 AS SELECT nir FROM u1 WHERE nir LIKE 'a%';
-- COPY table TO
\copy u1 (id, nir) to program 'grep -c sov1:'
SET sovereign.copy_plaintext = on;
COPY u1 TO STDOUT;
COPY u1 (nir, id) TO STDOUT WITH CSV HEADER;
RESET sovereign.copy_plaintext;
-- constants are sealed when a view is made
CREATE VIEW v AS SELECT id FROM u1 WHERE nir = 'secret'::text OR nir IN ('secret', 'other'::text) OR d < date '1999-12-31' OR nir = ANY ('{secret}'::text[]);
SELECT pg_get_viewdef('v') ~ 'secret|1999' AS plaintext_in_view;
DROP VIEW v;
DROP MATERIALIZED VIEW copy3;
DROP TABLE u2, u1, part, copy1, copy2, copy4;
-- who alters a table takes its lock at once: two who do wait for each other no longer than without this extension
CREATE TABLE altered (id int, a encrypted_text('ddl'));
BEGIN; INSERT INTO altered VALUES (1, 'x');
\! psql -X -q -U postgres -c 'ALTER TABLE altered ADD b int' regression >/dev/null 2>&1 &
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE relation = 'altered'::regclass AND NOT granted); PERFORM pg_sleep(0.01); END LOOP; END $$;
ALTER TABLE altered ADD c int;
COMMIT;
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP EXIT WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'altered'::regclass AND attname = 'b'); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'altered'::regclass AND attnum > 0;
DROP TABLE altered;
