--
-- Existing columns: encrypt_column, decrypt_column, rotate_key
--
CREATE DATABASE regress_convert;
\c regress_convert
CREATE SCHEMA sov;
CREATE EXTENSION pg_sovereign SCHEMA sov;
SELECT sov.create_key('first');
SELECT sov.create_key('second');
-- values of one version of a key, by its number in the order of making
CREATE FUNCTION version_no(v int8) RETURNS int8 LANGUAGE sql RETURN (SELECT n FROM
	(SELECT version, row_number() OVER (PARTITION BY name ORDER BY created) AS n FROM sov.key_version WHERE purpose = 10) k WHERE version = v);

-- what is carried over
CREATE ROLE regress_reader;
CREATE TABLE t (id int PRIMARY KEY, c varchar(30) COLLATE "C" NOT NULL DEFAULT 'nobody', n int DEFAULT 3, d date DEFAULT CURRENT_DATE, u text, other int);
INSERT INTO t SELECT i, 'name ' || i, nullif(i % 10, 0), date '2026-01-01' + i % 100, 'u' || i FROM generate_series(1, 3000) i;
CREATE INDEX t_c ON t (c) WITH (fillfactor = 80);
CREATE INDEX t_c_hash ON t USING hash (c);
ALTER TABLE t ADD CONSTRAINT t_u UNIQUE (u);
COMMENT ON COLUMN t.c IS 'a comment';
COMMENT ON INDEX t_c IS 'an index';
GRANT SELECT (c), UPDATE (c) ON t TO regress_reader WITH GRANT OPTION;
GRANT SELECT (c) ON t TO PUBLIC;
ALTER TABLE t ALTER COLUMN c SET STATISTICS 77, ALTER COLUMN c SET (n_distinct = -1);
CREATE TABLE before AS SELECT * FROM t;
-- a trigger of the table's own does not see the conversion
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the trigger fired'; END$$;
CREATE TRIGGER audit BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION complain();
CALL sov.encrypt_column('t', 'c', 'first', 'searchable', 500);
CALL sov.encrypt_column('t', 'n', batch => 1000);
CALL sov.encrypt_column('t', 'd', 'second');
CALL sov.encrypt_column('t', 'u', 'second', 'searchable');
CALL sov.encrypt_column('t', 'u', 'second', 'searchable');
ALTER TABLE t DISABLE TRIGGER audit;
SELECT attname, format_type(atttypid, atttypmod), attnotnull, nullif(attstattarget, -1) AS attstattarget, ARRAY(SELECT o FROM unnest(attoptions) o WHERE o LIKE 'n_distinct%') AS options, attcollation::regcollation,
	col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT grantee, privilege_type, is_grantable FROM information_schema.column_privileges
	WHERE table_name = 't' AND column_name = 'c' AND grantee IN ('PUBLIC', 'regress_reader') ORDER BY 1, 2;
SELECT indexdef, obj_description(indexname::regclass) FROM pg_indexes WHERE tablename = 't' ORDER BY indexname;
SELECT count(*), bool_and(t.c = b.c), bool_and(t.n IS NOT DISTINCT FROM b.n), bool_and(t.d = b.d), bool_and(t.u = b.u) FROM t JOIN before b USING (id);
INSERT INTO t (id) VALUES (0);
SELECT c, n, d = CURRENT_DATE AS today FROM t WHERE id = 0;
SELECT attname, pg_get_expr(adbin, adrelid) ~ 'nobody' AS readable FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = 't'::regclass ORDER BY adnum;
\set VERBOSITY terse
INSERT INTO t (id, c) VALUES (-1, NULL);
INSERT INTO t (id, u) VALUES (-1, 'u7');
\set VERBOSITY default
-- a plan in one spelling for all versions of the server
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT replace(replace(line, '(InitPlan 1).col1', '$0'), ' (returns $0)', '');
	END LOOP;
END $$;
SELECT * FROM pg_temp.plan($$SELECT id FROM t WHERE u = (SELECT 'u7'::text)$$) AS plan;
SELECT * FROM sov.column_jobs;
SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass;

-- another key and mode, and back
CALL sov.encrypt_column('t', 'n', 'second', 'searchable');
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'n';
CALL sov.decrypt_column('t', 'c');
CALL sov.decrypt_column('t', 'n');
CALL sov.decrypt_column('t', 'd');
CALL sov.decrypt_column('t', 'u');
CALL sov.decrypt_column('t', 'u');
\d t
SELECT count(*), bool_and(t.c = b.c), bool_and(t.n IS NOT DISTINCT FROM b.n), bool_and(t.d = b.d), bool_and(t.u = b.u) FROM t JOIN before b USING (id);

-- every type, there and back
CREATE TABLE types (id int PRIMARY KEY, c_text text, c_varchar varchar, c_bpchar char(5), c_bytea bytea, c_bool bool, c_int4 int, c_int8 bigint, c_numeric numeric,
	c_float8 float8, c_date date, c_timestamptz timestamptz, c_uuid uuid, c_jsonb jsonb);
INSERT INTO types SELECT i, 'x' || i, 'y' || i, 'z' || i, int4send(i), i % 2 = 0, i, i * 10000000000, i / 7.0, sqrt(i), date '2000-01-01' + i,
	timestamptz '2000-01-01 00:00+00' + i * interval '1 hour', md5(i::text)::uuid, jsonb_build_object('a', i) FROM generate_series(1, 50) i;
INSERT INTO types (id, c_text, c_numeric, c_float8, c_date) VALUES (51, '', 'NaN', '-0', 'infinity'), (52, NULL, NULL, NULL, NULL);
CREATE FUNCTION digest() RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(concat_ws('|', id, c_text, c_varchar, rtrim(c_bpchar), c_bytea, c_bool, c_int4, c_int8, c_numeric, c_float8, c_date, c_timestamptz, c_uuid, c_jsonb), E'\n' ORDER BY id)) FROM types $$;
SELECT digest() AS digest \gset
SET client_min_messages = warning;
DO $$
DECLARE c name;
BEGIN
	FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = 'types'::regclass AND attname LIKE 'c\_%' ORDER BY attnum LOOP
		CALL sov.encrypt_column('types', c, 'first', batch => 7);
	END LOOP;
END $$;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'types'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname;
DO $$
DECLARE c name;
BEGIN
	FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = 'types'::regclass AND attname LIKE 'c\_%' AND NOT attisdropped ORDER BY attnum LOOP
		CALL sov.decrypt_column('types', c);
	END LOOP;
END $$;
RESET client_min_messages;
SELECT digest() = :'digest' AS same;

-- one refusal that lists all
CREATE TABLE bad (id int, c text DEFAULT 'secret of ' || CURRENT_USER, g text GENERATED ALWAYS AS (c || 'x') STORED, k text,
	CHECK (c <> 'forbidden'), CONSTRAINT bad_unique UNIQUE (c), UNIQUE (c, k), EXCLUDE (c WITH =));
CREATE TABLE bad_child (c text REFERENCES bad (c));
CREATE TABLE bad_heir () INHERITS (bad);
CREATE INDEX bad_expression ON bad (lower(c));
CREATE INDEX bad_partial ON bad (id) WHERE c IS NULL;
CREATE INDEX bad_pattern ON bad (c text_pattern_ops);
CREATE INDEX bad_gin ON bad USING gin (to_tsvector('simple', c));
CREATE VIEW bad_view AS SELECT c FROM bad;
CREATE RULE bad_rule AS ON DELETE TO bad DO INSTEAD NOTHING;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER bad_trigger BEFORE UPDATE OF c ON bad FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER bad_always AFTER UPDATE ON bad EXECUTE FUNCTION nothing();
ALTER TABLE bad ENABLE ALWAYS TRIGGER bad_always;
CREATE TRIGGER "~sov_z" BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE STATISTICS bad_statistics ON c, k FROM bad;
CREATE POLICY bad_policy ON bad USING (c <> 'x');
SET client_min_messages = error;
CREATE PUBLICATION bad_publication FOR TABLE bad (id, c);
RESET client_min_messages;
CREATE SEQUENCE bad_sequence OWNED BY bad.c;
CREATE FUNCTION bad_function() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT c FROM bad; END;
CALL sov.encrypt_column('bad', 'c', 'first', 'random');
SELECT object FROM sov.column_obstacles('bad', 'c', true) ORDER BY 1;
SELECT count(*) FROM pg_attribute WHERE attrelid = 'bad'::regclass AND attname LIKE 'sov%';
CALL sov.encrypt_column('bad_child', 'c');
CREATE TABLE bad2 (id int GENERATED ALWAYS AS IDENTITY, p text PRIMARY KEY, c text COLLATE "C", i int2, b bool);
CREATE COLLATION deaf (provider = icu, locale = 'und', deterministic = false);
ALTER TABLE bad2 ALTER COLUMN c TYPE text COLLATE deaf;
CALL sov.encrypt_column('bad2', 'p', 'first', 'searchable');
CALL sov.encrypt_column('bad2', 'id');
CALL sov.encrypt_column('bad2', 'c');
CALL sov.encrypt_column('bad2', 'i');
CALL sov.encrypt_column('bad2', 'b', 'first', 'searchable');
CALL sov.encrypt_column('bad2', 'b', 'first', 'fast');
CALL sov.encrypt_column('bad2', 'b', 'third');
CALL sov.encrypt_column('bad2', 'nothing');
CALL sov.encrypt_column('bad2', 'b', batch => 0);
CALL sov.decrypt_column('bad2', 'b');
CALL sov.encrypt_column('bad_view', 'c');
BEGIN;
CALL sov.encrypt_column('bad2', 'b');
ROLLBACK;
CREATE FUNCTION calls() RETURNS void LANGUAGE plpgsql AS $$BEGIN CALL sov.encrypt_column('bad2', 'b'); END$$;
SELECT calls();

-- interrupted in the middle: what is there then, and going on
CREATE TABLE half (id int PRIMARY KEY, c text, w int);
INSERT INTO half SELECT i, 'half ' || i, CASE WHEN i = 900 THEN -1 ELSE 1 END FROM generate_series(1, 1000) i;
ALTER TABLE half ADD CHECK (w > 0) NOT VALID;
\set VERBOSITY terse
CALL sov.encrypt_column('half', 'c', 'first', 'searchable', 100);
\set VERBOSITY default
SELECT "table", "column", what, phase, rows_done BETWEEN 100 AND 899 AS some, rows_total > 0 AS total, pid IS NULL AS stopped FROM sov.column_jobs;
INSERT INTO half VALUES (2001, 'new', 1), (2002, NULL, 1);
UPDATE half SET c = 'changed' WHERE id IN (5, 950);
UPDATE half SET sov_new_c = NULL WHERE id = 6;
UPDATE half SET sov_new_c = 'wrong'::text WHERE id IN (7, 951);
INSERT INTO half (id, c, w, sov_new_c) VALUES (2003, 'right', 1, 'wrong'::text);
UPDATE half SET c = NULL WHERE id = 8;
SELECT id, c, sov_new_c FROM half WHERE id IN (5, 6, 7, 8, 950, 951, 2001, 2002, 2003) ORDER BY id;
CALL sov.decrypt_column('half', 'c');
CALL sov.rotate_key('first');
CREATE VIEW half_view AS SELECT c FROM half;
UPDATE half SET w = 1 WHERE id = 900;
CALL sov.encrypt_column('half', 'c');
DROP VIEW half_view;
CREATE INDEX half_late ON half (c);
SELECT phase FROM sov.column_jobs;
CALL sov.encrypt_column('half', 'c');
SELECT count(*), count(c), count(*) FILTER (WHERE c = 'half ' || id) FROM half;
\d half
-- given up
ALTER TABLE half ADD CHECK (w > 1) NOT VALID;
\set VERBOSITY terse
CALL sov.decrypt_column('half', 'c');
\set VERBOSITY default
SELECT sov.stop_column_job('half', 'w'), sov.stop_column_job('half', 'c', abandon => true);
SELECT attname FROM pg_attribute WHERE attrelid = 'half'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT count(*) FROM sov.column_jobs;
-- a trigger that was switched off for a while is found out
ALTER TABLE half DROP CONSTRAINT half_w_check1;
ALTER TABLE half ADD CHECK (w > 1) NOT VALID;
\set VERBOSITY terse
CALL sov.decrypt_column('half', 'c', 10);
ALTER TABLE half DROP CONSTRAINT half_w_check1;
SET client_min_messages = warning;
ALTER TABLE half DISABLE TRIGGER "~sov_sync_c";
INSERT INTO half (id, c, w) VALUES (3000, 'unseen', 2);
ALTER TABLE half ENABLE ALWAYS TRIGGER "~sov_sync_c";
CREATE FUNCTION spoil() RETURNS void LANGUAGE sql AS $$
	ALTER TABLE half DISABLE TRIGGER "~sov_sync_c"; UPDATE half SET sov_new_c = 'false' WHERE id = 3; ALTER TABLE half ENABLE ALWAYS TRIGGER "~sov_sync_c" $$;
SELECT spoil();
CALL sov.decrypt_column('half', 'c');
\set VERBOSITY default
SELECT sov.stop_column_job('half', 'c', abandon => true);
CALL sov.decrypt_column('half', 'c');
RESET client_min_messages;
SELECT count(*), count(c), count(*) FILTER (WHERE c = 'half ' || id) FROM half;

-- an owner who is no superuser
CREATE ROLE regress_owner;
GRANT USAGE ON SCHEMA sov TO regress_owner;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET ROLE regress_owner;
CREATE TABLE owned (id int, c text);
INSERT INTO owned SELECT i, 'o' || i FROM generate_series(1, 100) i;
CREATE TRIGGER audit BEFORE UPDATE ON owned FOR EACH ROW EXECUTE FUNCTION complain();
CALL sov.encrypt_column('owned', 'c', 'first');
ALTER TABLE owned DISABLE TRIGGER audit;
CALL sov.encrypt_column('owned', 'c', 'first');
SELECT c FROM owned WHERE id = 7;
CALL sov.encrypt_column('t', 'c', 'first');
INSERT INTO sov.column_job (rel, attnum, what, phase, rows_total) VALUES ('t'::regclass, 1, 'encrypt', 'filling', 0);
INSERT INTO sov.column_job (rel, attnum, what, key, phase, rows_total) VALUES ('owned'::regclass, 1, 'rotate', 'first', 'filling', 0);
CALL sov.rotate_key('first');
ALTER TABLE owned ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CALL sov.decrypt_column('owned', 'c');
RESET ROLE;

-- functions of a table's owner do not run as the superuser who converts or rotates
SET ROLE regress_owner;
CREATE SEQUENCE ran;
CREATE FUNCTION tells(i int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'regress_owner' THEN
		RAISE EXCEPTION 'it runs as %', current_user;
	END IF;
	RETURN nextval('public.ran') > 0;
END $$;
CREATE FUNCTION tells_default() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM public.tells(0); RETURN 'd'; END$$;
CREATE TABLE sly (id int, c text DEFAULT tells_default(), CHECK (tells(id)));
INSERT INTO sly SELECT i, 'sly' || i FROM generate_series(1, 10) i;
ALTER TABLE sly ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
RESET ROLE;
SELECT last_value AS ran FROM ran \gset
CALL sov.encrypt_column('sly', 'c', 'second');
CALL sov.rotate_key('second');
SELECT last_value - :ran >= 20 AS they_ran FROM ran;
SELECT count(*), count(DISTINCT sov.key_version_of(c)), bool_and(c = 'sly' || id) FROM sly;
DROP TABLE sly;
DROP SEQUENCE ran;

-- partitions
CREATE TABLE parts (id int, c text NOT NULL DEFAULT 'none', w int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE parts_2 (w int, gone int, c text NOT NULL, id int);
ALTER TABLE parts_2 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (1000) TO (2000);
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (2000) TO (4000) PARTITION BY RANGE (id);
CREATE TABLE parts_31 PARTITION OF parts_3 FOR VALUES FROM (2000) TO (3000);
CREATE INDEX parts_c ON parts (c);
CREATE INDEX parts_31_c ON parts_31 USING hash (c);
INSERT INTO parts SELECT i, 'part ' || i, 1 FROM generate_series(0, 2999) i;
CALL sov.encrypt_column('parts_1', 'c', 'first', 'searchable');
CALL sov.encrypt_column('parts', 'id', 'first', 'searchable');
CALL sov.encrypt_column('parts', 'c', 'first', 'searchable', 100);
SELECT tableoid::regclass, count(*), count(*) FILTER (WHERE c = 'part ' || id) FROM parts GROUP BY 1 ORDER BY 1;
SELECT tablename, indexdef FROM pg_indexes WHERE tablename LIKE 'parts%' ORDER BY 1, 2;
CALL sov.encrypt_column('parts', 'w', 'first', 'searchable');

-- rotation: every column of the key, its default, its plans; no triggers, no change of tags
CREATE DOMAIN dom AS sov.encrypted_text('second', 'searchable');
CREATE DOMAIN dom2 AS dom;
CREATE TABLE r (id int PRIMARY KEY, a sov.encrypted_text('second', 'searchable') DEFAULT 'constant', b sov.encrypted_int4('second'), d dom, d2 dom2,
	f sov.encrypted_text('first'), l sov.encrypted_text('second'), arr sov.encrypted_text('second')[], byte sov.encrypted_bytea('second'));
CREATE UNIQUE INDEX r_a ON r (a sov.encrypted_text_blind_ops);
INSERT INTO r SELECT i, 'a' || i, nullif(i, 4), 'd' || i % 7, 'e' || i, 'f', repeat('long', 5000), ARRAY['x'::text]::sov.encrypted_text('second')[], '\x01' FROM generate_series(1, 500) i;
CREATE TABLE r_child (a sov.encrypted_text('second', 'searchable') REFERENCES r (a) ON UPDATE RESTRICT);
INSERT INTO r_child SELECT a FROM r WHERE id < 10;
CREATE MATERIALIZED VIEW r_view AS SELECT a FROM r;
CREATE TRIGGER audit BEFORE UPDATE ON r FOR EACH ROW EXECUTE FUNCTION complain();
PREPARE late AS INSERT INTO r (id, a, b) VALUES ($1, 'prepared', 1);
EXECUTE late(1001);
DELETE FROM r WHERE id = 1001;
CREATE TABLE kept AS SELECT id, a::text AS a, b::int AS b, d::text AS d, d2::text AS d2, f::text AS f, l::text AS l,
	substr(sov.encrypted_text_send(a), 7, 12) AS tag FROM r;
CALL sov.rotate_key('second', 100);
SELECT sov.rotate_key('second');
CALL sov.rotate_key('third');
SELECT name, version_no(('x' || lpad(version, 16, '0'))::bit(64)::int8), current, is_default FROM sov.keys ORDER BY 1, 2;
EXECUTE late(1001);
INSERT INTO r (id) VALUES (1002);
SELECT version_no(sov.key_version_of(a)) AS a, version_no(sov.key_version_of(b)) AS b, version_no(sov.key_version_of(d)) AS d, version_no(sov.key_version_of(d2)) AS d2,
	version_no(sov.key_version_of(f)) AS f, version_no(sov.key_version_of(l)) AS l, version_no(sov.key_version_of(arr[1])) AS arr, version_no(sov.key_version_of(byte)) AS byte, count(*) FROM r GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY count(*) DESC, 2;
SELECT DISTINCT version_no(sov.key_version_of(a)) FROM r_child;
SELECT count(*), bool_and(r.a = k.a), bool_and(r.b IS NOT DISTINCT FROM k.b), bool_and(r.d = k.d), bool_and(r.d2 = k.d2), bool_and(r.f = k.f), bool_and(r.l = k.l),
	bool_and(substr(sov.encrypted_text_send(r.a), 7, 12) = k.tag) AS tags FROM r JOIN kept k USING (id);
SELECT count(*) FROM r JOIN r_child USING (a);
SET enable_seqscan = off;
SELECT id FROM r WHERE a = 'a77';
RESET enable_seqscan;
CALL sov.rotate_key('first', 1000);
SELECT DISTINCT version_no(sov.key_version_of(c)) FROM parts;
SELECT sov.key_version_of('x'::text);
SELECT sov.seal_anew(1);
-- the trigger of a conversion back to a type of fixed length, and what somebody makes of it
CREATE TABLE narrow (id int, v sov.encrypted_int4, w int, b sov.encrypted_bool, c bool);
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION sov.sync_column('v', 'w');
CREATE TRIGGER u BEFORE INSERT OR UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION sov.sync_column('b', 'c');
INSERT INTO narrow (id, v, b) VALUES (1, 7, true), (2, NULL, NULL);
UPDATE narrow SET id = id + 1;
UPDATE narrow SET w = 9, c = false;
SELECT id, v, w, b, c FROM narrow ORDER BY id;
CREATE TRIGGER x BEFORE INSERT OR UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION sov.sync_column('ctid', 'w');
UPDATE narrow SET id = id + 1;
DROP TABLE narrow;

-- who may decrypt: converting and rotating need no grant, decrypting does, and a mask is never stored
CREATE ROLE regress_other SUPERUSER LOGIN;
CREATE ROLE regress_granted LOGIN;
SELECT sov.create_key('ward');
CREATE TABLE g (id int, r text, s text);
INSERT INTO g SELECT i, 'r' || i, 's' || i FROM generate_series(1, 100) i;
SELECT sov.grant_decrypt('ward', 'regress_granted');
SELECT sov.require_purpose('ward');
\c - regress_other
\set VERBOSITY terse
SET sovereign.on_denied = mask;
CALL sov.encrypt_column('g', 'r', 'ward');
CALL sov.encrypt_column('g', 's', 'ward', 'searchable');
SELECT r, s FROM g WHERE id = 1;
CALL sov.rotate_key('ward');
SELECT needs_purpose, current FROM sov.keys WHERE name = 'ward' ORDER BY created;
CALL sov.decrypt_column('g', 'r');
CALL sov.encrypt_column('g', 'r', 'first');
\c - postgres
SELECT sov.require_purpose('ward', false), sov.grant_decrypt('ward', 'regress_other');
\c - regress_other
ALTER TABLE g ADD CHECK (id <> 50) NOT VALID;
\set VERBOSITY terse
CALL sov.decrypt_column('g', 'r', 10);
\c - postgres
\set VERBOSITY terse
-- a writer who may not decrypt cannot write plaintext
SET sovereign.on_denied = mask;
INSERT INTO g (id, r) VALUES (101, 'new');
UPDATE g SET s = 'still' WHERE id = 1;
RESET sovereign.on_denied;
ALTER TABLE g DROP CONSTRAINT g_id_check;
\c - regress_other
SET client_min_messages = warning;
CALL sov.decrypt_column('g', 'r');
SELECT count(*), bool_and(r = 'r' || id) FROM g;
\c - postgres
DROP TABLE g;
SELECT count(*) FROM sov.column_job;
-- whoever takes advisory locks keeps nobody from working on columns
CREATE TABLE held (c text);
\! psql -X -q -U regress_other -c "SELECT pg_advisory_lock((SELECT oid FROM pg_class WHERE relname = 'column_job')::int4, 'held'::regclass::oid::int4), pg_sleep(1)" regress_convert >/dev/null 2>&1 &
DO $$ BEGIN FOR i IN 1 .. 2000 LOOP EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 'held'::regclass); PERFORM pg_sleep(0.01); END LOOP; END $$;
CALL sov.encrypt_column('held', 'c', 'first');
DO $$ BEGIN FOR i IN 1 .. 500 LOOP EXIT WHEN NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 'held'::regclass); PERFORM pg_sleep(0.01); END LOOP; END $$;
DROP TABLE held;
DROP TABLE owned;
DROP OWNED BY regress_owner, regress_reader;
\c postgres
DROP DATABASE regress_convert;
DROP ROLE regress_owner, regress_reader, regress_other, regress_granted;
