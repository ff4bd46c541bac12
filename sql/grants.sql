--
-- Who may decrypt: grants per key, purpose, what is shown to the others
--
\set VERBOSITY terse
SELECT create_key('ward'); SELECT create_key('open');
CREATE ROLE regress_doctor LOGIN; CREATE ROLE regress_clerk LOGIN; CREATE ROLE regress_ward; CREATE ROLE regress_boss SUPERUSER LOGIN;
GRANT regress_ward TO regress_doctor;
CREATE TABLE stay (id int, name encrypted_text('ward', 'searchable'), note encrypted_text('ward'), days encrypted_int4('ward'), free encrypted_text('open'));
INSERT INTO stay SELECT i, 'name' || i, 'note' || i, i, 'free' || i FROM generate_series(1, 100) i;
CREATE INDEX ON stay (name);
GRANT SELECT, INSERT, UPDATE ON stay TO PUBLIC;
CREATE VIEW stays AS SELECT id, name::text AS n FROM stay;
GRANT SELECT ON stays TO PUBLIC;
CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT note::text FROM stay WHERE id = 2';
-- no grants: whoever may select
\c - regress_clerk
SELECT name, note, days FROM stay WHERE id = 1;
SELECT grant_decrypt('ward', 'regress_clerk');
\c - postgres
\set VERBOSITY terse
SELECT grant_decrypt('ward', 'regress_ward');
SELECT grant_decrypt('nosuch', 'regress_ward');
SELECT name, granted_to FROM keys WHERE name IN ('ward', 'open') ORDER BY 1;
-- a superuser is no exception, nor is SET ROLE a way
SELECT note FROM stay WHERE id = 1;
SET ROLE regress_doctor; SELECT note FROM stay WHERE id = 1; RESET ROLE;
SET SESSION AUTHORIZATION regress_doctor; SELECT note FROM stay WHERE id = 1; RESET SESSION AUTHORIZATION;
\c - regress_boss
\set VERBOSITY terse
SELECT note FROM stay WHERE id = 1;
\c - regress_clerk
\set VERBOSITY terse
SELECT note FROM stay WHERE id = 1; SELECT n FROM stays WHERE id = 1; SELECT peek(); SELECT max(days) FROM stay; SELECT id FROM stay ORDER BY note LIMIT 1;
SELECT id FROM stay WHERE note = 'note1'; SELECT id FROM stay WHERE days > 3;
-- of other keys, and what needs no opening
SELECT free FROM stay WHERE id = 1;
SELECT id FROM stay WHERE name = 'name7'; SELECT count(*) FROM stay a JOIN stay b USING (name); SELECT count(DISTINCT name) FROM stay;
INSERT INTO stay VALUES (101, 'name101', 'note101', 101, 'f') RETURNING id;
UPDATE stay SET note = 'new' WHERE name = 'name101';
PREPARE twice AS SELECT id FROM stay WHERE name = $1 AND length($1) > 3; EXECUTE twice('name7'); PREPARE mixed AS SELECT $1 FROM stay WHERE name = $1;
-- what is shown instead
SET sovereign.on_denied = mask; SELECT name, note, days, free FROM stay WHERE id = 1; SELECT sum(days) FROM stay;
SELECT id FROM stay ORDER BY note LIMIT 1;
SET sovereign.on_denied = ciphertext; SELECT left(note, 5) FROM stay WHERE id = 1; SELECT days FROM stay WHERE id = 1;
-- a mask is never stored, nor does it choose what is changed; what is returned may be one
SET sovereign.on_denied = mask;
UPDATE stay SET note = note || '!' WHERE id = 1; UPDATE stay SET days = days + 1; UPDATE stay SET free = 'x' WHERE note LIKE '***'; UPDATE stay SET free = 'x' WHERE days::int IS NULL;
INSERT INTO stay (id, free) SELECT id, note::text FROM stay WHERE id = 1; INSERT INTO stay (id, free) SELECT id, n FROM stays WHERE id = 1;
WITH s AS (SELECT n FROM stays WHERE id = 1), i AS (INSERT INTO stay (id, free) SELECT 1000, n FROM s) SELECT;
PREPARE changed AS UPDATE stay SET note = note || $1; EXECUTE changed('!');
UPDATE stay SET free = free WHERE id = 1 RETURNING name, note, days;
\c - regress_boss
\set VERBOSITY terse
SET sovereign.on_denied = mask;
SET client_min_messages = error;
ALTER TABLE stay ALTER days TYPE int; ALTER TABLE stay ALTER note TYPE text;
CREATE TEMP TABLE kept AS SELECT note::text FROM stay; CREATE MATERIALIZED VIEW kept AS SELECT note::text FROM stay;
CREATE MATERIALIZED VIEW kept AS SELECT note::text FROM stay WITH NO DATA; REFRESH MATERIALIZED VIEW kept; DROP MATERIALIZED VIEW kept;
\c - regress_doctor
SELECT count(*) FROM stay WHERE note = 'note' || id AND days = id;
\c - regress_clerk
\set VERBOSITY terse
-- nothing brings a value under a key that one may use: each of these must be refused
DO $$
DECLARE attack text; got text;
BEGIN
	FOREACH attack IN ARRAY ARRAY[
		'UPDATE stay SET free = note WHERE id = 1', 'INSERT INTO stay (id, free) SELECT id, note FROM stay', 'UPDATE stay SET free = free || note WHERE id = 1',
		$a$SELECT note::encrypted_text('open')::text FROM stay WHERE id = 1$a$, $a$SELECT name::encrypted_text('open') FROM stay WHERE id = 1$a$,
		$a$SELECT note::encrypted_text('open', 'searchable') = 'note1' FROM stay WHERE id = 1$a$, $a$SELECT count(*) FROM stay a, stay b WHERE a.note = b.name$a$,
		'SELECT note, count(*) FROM stay GROUP BY note', 'SELECT count(*) FROM stay a JOIN stay b USING (note)', 'SELECT days::encrypted_int8 = 1 FROM stay WHERE id = 1',
		'SELECT days::encrypted_numeric + 0 FROM stay WHERE id = 1', 'SELECT row_to_json(stay) FROM stay WHERE id = 1', 'SELECT to_jsonb(note) FROM stay WHERE id = 1',
		'SELECT string_agg(note, NULL) FROM stay', 'SELECT array_agg(note)::text[] FROM stay', 'SELECT length(note) FROM stay WHERE id = 1',
		$a$SELECT count(*) FROM stay WHERE note LIKE 'n%'$a$, $a$SELECT count(*) FROM stay WHERE name < 'name5'$a$, $a$CREATE TEMP TABLE got AS SELECT note::text FROM stay$a$,
		$a$CREATE TEMP TABLE got (x text); INSERT INTO got SELECT note FROM stay$a$, $a$SELECT CASE WHEN note > 'note1' THEN 1 END FROM stay WHERE id = 2$a$,
		$a$SELECT xmlforest(note::text AS x) FROM stay WHERE id = 1$a$, $a$SELECT min(days) FROM stay$a$]
	LOOP
		BEGIN
			EXECUTE attack INTO got;
			RAISE WARNING 'not refused: % gave %', attack, got;
		EXCEPTION WHEN OTHERS THEN
			IF SQLERRM NOT LIKE '%may not decrypt%' AND SQLSTATE <> '42501' THEN RAISE WARNING '%: % (%)', attack, SQLERRM, SQLSTATE; END IF;
		END;
	END LOOP;
END $$;
-- ciphertext may be moved about, but it stays what it is
BEGIN;
SET LOCAL sovereign.input = ciphertext; SET LOCAL sovereign.on_denied = ciphertext;
SELECT note AS stolen FROM stay WHERE id = 1 \gset
UPDATE stay SET free = :'stolen' WHERE id = 1; UPDATE stay SET free = note WHERE id = 2;
SET LOCAL sovereign.on_denied = error; SET LOCAL sovereign.input = plaintext;
SAVEPOINT s; SELECT free FROM stay WHERE id = 1;
ROLLBACK TO s; SELECT free FROM stay WHERE id = 2;
ROLLBACK TO s; UPDATE stay SET free = free || '' WHERE id = 1;
ROLLBACK;
-- nor is it taken for a literal of the statement by a setting that changes while the statement is read (a domain's input runs what users write)
CREATE FUNCTION pg_temp.turn(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('sovereign.input', 'plaintext', false); RETURN true; END $$;
CREATE DOMAIN pg_temp.turning AS int CHECK (pg_temp.turn(VALUE));
SET sovereign.input = ciphertext; SELECT :'stolen'::encrypted_text('open')::text, '{1}'::pg_temp.turning[];
SET sovereign.input = ciphertext; SELECT s = 'note1' FROM (SELECT :'stolen'::encrypted_text('ward', 'searchable'), '{1}'::pg_temp.turning[]) x(s);
SHOW sovereign.input;
-- members of the granted role may, in parallel workers too
\c - regress_doctor
\set VERBOSITY terse
SELECT name, note, days FROM stay WHERE id = 1;
SELECT peek();
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT max(note) FROM stay WHERE id < 100;
\c - regress_clerk
\set VERBOSITY terse
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT max(note) FROM stay;
-- a membership that ends, a grant that is taken back: at once
\c - regress_doctor
\set VERBOSITY terse
SELECT note FROM stay WHERE id = 1;
\! psql -X -q -U postgres -c 'REVOKE regress_ward FROM regress_doctor' regression
SELECT note FROM stay WHERE id = 1;
\! psql -X -q -U postgres -c 'GRANT regress_ward TO regress_doctor' regression
SELECT note FROM stay WHERE id = 1;
\! psql -X -q -At -U postgres -c "SELECT revoke_decrypt('ward', 'regress_ward')" regression
SELECT note FROM stay WHERE id = 1;
\! psql -X -q -At -U postgres -c "SELECT granted_to FROM keys WHERE name = 'ward'" regression
\! psql -X -q -At -U postgres -c "SELECT grant_decrypt('ward', 'regress_doctor')" regression
SELECT note FROM stay WHERE id = 1;
-- purpose
\! psql -X -q -At -U postgres -c "SELECT require_purpose('ward')" regression
SELECT note FROM stay WHERE id = 1;
SET sovereign.purpose = 'care of patient 1';
SELECT note FROM stay WHERE id = 1;
RESET sovereign.purpose;
SELECT note FROM stay WHERE id = 1;
SELECT id FROM stay WHERE name = 'name7';
SET sovereign.purpose = E'two\nlines';
SELECT require_purpose('ward', false);
\c - postgres
\set VERBOSITY terse
SELECT require_purpose('ward', false);
SELECT allow_purpose('ward', 'billing'); SELECT allow_purpose('ward', 'care'); SELECT allow_purpose('ward', ''); SELECT allow_purpose('nosuch', 'care');
SELECT needs_purpose, purposes FROM keys WHERE name = 'ward';
\c - regress_doctor
\set VERBOSITY terse
SELECT note FROM stay WHERE id = 1;
SET sovereign.purpose = 'curiosity'; SELECT note FROM stay WHERE id = 1;
SET sovereign.purpose = 'care'; SELECT note FROM stay WHERE id = 1;
\! psql -X -q -At -U postgres -c "SELECT forbid_purpose('ward', 'care'); SELECT forbid_purpose('ward', 'billing'); SELECT purposes FROM keys WHERE name = 'ward'" regression
SELECT note FROM stay WHERE id = 1;
SET sovereign.purpose = 'research'; SELECT note FROM stay WHERE id = 1;
SELECT allow_purpose('ward', 'research');
\c - postgres
\set VERBOSITY terse
SELECT require_purpose('ward', false);
-- whoever may open one key only, or only write: literals, parameters and constants are no obstacle
SELECT revoke_decrypt('ward', 'regress_doctor'); SELECT grant_decrypt('ward', 'regress_ward'); SELECT grant_decrypt('open', 'regress_clerk');
\c - regress_clerk
\set VERBOSITY terse
INSERT INTO stay VALUES (201, 'lit', 'lit', 201, 'lit'), (202, 'lit2', 'lit2', 202, NULL);
PREPARE q AS INSERT INTO stay VALUES ($1, $2, $3, $4, $5); EXECUTE q(203, 'par', 'par', 203, 'par');
PREPARE u AS UPDATE stay SET note = $2, free = $2, days = $3 WHERE name = $1; EXECUTE u('par', 'new', -1);
SELECT name, parameter_types FROM pg_prepared_statements ORDER BY 1;
SELECT id, free, coalesce(free, 'none') FROM stay WHERE id > 200 ORDER BY 1;
SELECT id FROM stay WHERE free > 'k' AND id > 200 ORDER BY free; SELECT id FROM stay WHERE free IN ('lit', 'new') ORDER BY free;
PREPARE c AS SELECT id FROM stay WHERE free > $1 AND id > 200 ORDER BY free; EXECUTE c('k');
SELECT id FROM stay WHERE free > note;
\c - regress_boss
\set VERBOSITY terse
INSERT INTO stay VALUES (301, 'lit', 'lit', 301, 'lit'); UPDATE stay SET note = 'x', free = 'y' WHERE name = 'lit';
PREPARE q AS INSERT INTO stay VALUES ($1, $2, $3, $4, $5); EXECUTE q(303, 'par', 'par', 303, 'par'); EXECUTE q(304, 'par', 'par', 303, 'par');
SELECT count(DISTINCT encrypted_text_out(note)::text) FROM stay WHERE id > 302;
UPDATE stay SET note = name WHERE id = 301;
SELECT id FROM stay WHERE name = 'par' ORDER BY id;
SELECT free FROM stay WHERE id = 301; SELECT note FROM stay WHERE id = 301; UPDATE stay SET free = note;
\c - regress_doctor
SELECT id, note, days FROM stay WHERE id > 200 ORDER BY id;
\c - postgres
\set VERBOSITY terse
-- who owns an index has nobody open values for him who analyses or reindexes: there the owner must be allowed too
SELECT grant_decrypt('ward', 'postgres'), grant_decrypt('open', 'postgres');
CREATE SCHEMA trap AUTHORIZATION regress_clerk;
\c - regress_clerk
\set VERBOSITY terse
CREATE TABLE trap.loot (x text); CREATE TABLE trap.bait (i int); INSERT INTO trap.bait VALUES (1), (2);
CREATE FUNCTION trap.take() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO trap.loot SELECT note::text FROM public.stay WHERE id = 2;
	EXCEPTION WHEN insufficient_privilege THEN INSERT INTO trap.loot VALUES (SQLERRM); END $$;
CREATE FUNCTION trap.look(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.take(); RETURN i; END $$;
CREATE INDEX ON trap.bait (trap.look(i));
CREATE TABLE trap.box (id int, n encrypted_text('ward') DEFAULT 'none'); INSERT INTO trap.box VALUES (1, 'one');
\c - postgres
\set VERBOSITY terse
SELECT note FROM stay WHERE id = 2;
ANALYZE trap.bait; REINDEX TABLE trap.bait;
SELECT DISTINCT x FROM trap.loot ORDER BY 1;
-- but what is converted for the caller is
CALL decrypt_column('trap.box', 'n'); INSERT INTO trap.box VALUES (2); SELECT * FROM trap.box ORDER BY 1;
SELECT grant_decrypt('ward', 'regress_clerk');
ANALYZE trap.bait;
SELECT DISTINCT x FROM trap.loot WHERE x NOT LIKE '%may not%';
SET client_min_messages = warning; DROP SCHEMA trap CASCADE; RESET client_min_messages;
-- a role made later under the name of one that was granted is another one
CREATE ROLE regress_past; SELECT grant_decrypt('ward', 'regress_past'); DROP ROLE regress_past; CREATE ROLE regress_past ROLE regress_boss;
\c - regress_boss
\set VERBOSITY terse
SELECT note FROM stay WHERE id = 2;
SELECT grant_decrypt('ward', 'regress_past');
SELECT note FROM stay WHERE id = 2;
SELECT revoke_decrypt('ward', 'regress_past'); DROP ROLE regress_past;
\c - postgres
\set VERBOSITY terse
-- keys in use stay
SELECT drop_key('ward');
SELECT drop_key('nosuch');
DROP EXTENSION pg_sovereign;
DROP VIEW stays; DROP TABLE stay;
SELECT drop_key('ward'); SELECT drop_key('open');
SELECT count(*) FROM keys WHERE name IN ('ward', 'open');
DROP FUNCTION peek;
DROP ROLE regress_doctor, regress_clerk, regress_ward, regress_boss;
