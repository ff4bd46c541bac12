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
-- what is shown instead
SET sovereign.on_denied = mask; SELECT name, note, days, free FROM stay WHERE id = 1; SELECT sum(days) FROM stay;
SELECT id FROM stay ORDER BY note LIMIT 1;
SET sovereign.on_denied = ciphertext; SELECT left(note, 5) FROM stay WHERE id = 1; SELECT days FROM stay WHERE id = 1;
RESET sovereign.on_denied;
-- members of the granted role may, in parallel workers too
\c - regress_doctor
\set VERBOSITY terse
SELECT name, note, days FROM stay WHERE id = 1;
SELECT peek();
SET force_parallel_mode = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT max(note) FROM stay WHERE id < 100;
\c - regress_clerk
\set VERBOSITY terse
SET force_parallel_mode = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
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
-- keys in use stay
SELECT drop_key('ward');
SELECT drop_key('nosuch');
DROP EXTENSION pg_sovereign;
DROP VIEW stays; DROP TABLE stay;
SELECT drop_key('ward'); SELECT drop_key('open');
SELECT count(*) FROM keys WHERE name IN ('ward', 'open');
DROP FUNCTION peek;
DROP ROLE regress_doctor, regress_clerk, regress_ward, regress_boss;
