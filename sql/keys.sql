--
-- Keys: creation, names, privileges, and every way a root key can be missing
--
CREATE DATABASE regress_keys;
\c regress_keys
CREATE EXTENSION pg_sovereign;
-- Run a statement; print its error without the paths of this machine.
CREATE FUNCTION attempt(stmt text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text; s text;
BEGIN
	EXECUTE stmt;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, s = RETURNED_SQLSTATE;
	RETURN regexp_replace(regexp_replace(s || ' ' || m || ' HINT: ' || h, '/[^ :,"]*/', '.../', 'g'),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'UUID', 'g');
END $$;

-- no key yet
CREATE TABLE t (a encrypted_text);
INSERT INTO t VALUES ('x');
CREATE TABLE u (a encrypted_text('patients'));
INSERT INTO u VALUES ('x'::text);
DROP TABLE u;

-- no configuration, then one
\! mv $SOV_TEST_DIR/sov.conf $SOV_TEST_DIR/sov.conf.away
SELECT attempt($$SELECT create_key('patients')$$);
\! mv $SOV_TEST_DIR/sov.conf.away $SOV_TEST_DIR/sov.conf
SELECT create_key('patients');
SELECT create_key('patients');
SELECT create_key('');
SELECT create_key('12345');
SELECT create_key(repeat('k', 64));
SELECT create_key('données d''été');
SELECT name, version ~ '^[0-9a-f]{8}$' AS version, current, is_default FROM keys ORDER BY created, name;
SELECT count(DISTINCT version) FROM key_version;
SELECT purpose, octet_length(wrapped), octet_length(commitment) FROM key_version ORDER BY purpose, name;

-- the first key serves where a column names none
INSERT INTO t VALUES ('x');
SELECT a FROM t;

-- type modifiers
CREATE TABLE m (a encrypted_text('données d''été', 'searchable'), b encrypted_text('patients', 'random'), c encrypted_text('later'));
SELECT attname, format_type(atttypid, atttypmod) ~ '^encrypted_text\(\d+\)$' AS number,
	CASE WHEN attname <> 'c' THEN format_type(atttypid, atttypmod) END AS type
	FROM pg_attribute WHERE attrelid = 'm'::regclass AND attnum > 0 ORDER BY attnum;
CREATE TABLE bad (a encrypted_text('patients', 'fast'));
CREATE TABLE bad (a encrypted_text('patients', 'random', 'x'));
CREATE TABLE bad (a encrypted_text('9999999999'));
CREATE TABLE bad (a encrypted_text(''));

-- a key that is rolled back is gone from this backend too
BEGIN;
SELECT create_key('fleeting');
SELECT 'x'::encrypted_text('fleeting');
SELECT 'x'::text::encrypted_text('fleeting')::text;
ROLLBACK;
SELECT 'x'::text::encrypted_text('fleeting')::text IS NULL AS must_fail;
-- tables of a later version of the extension are not read as if they were of this one
BEGIN; ALTER TABLE key_version ADD later int; SELECT 'x'::encrypted_text; ROLLBACK;

-- who has the key, how often it sealed at most, whether the server holds it
SELECT custodian ~ '^file .*root' AS custodian, sealed > 0 AS sealed, on_loan FROM keys WHERE is_default AND current;

-- nobody reads or writes them by default
CREATE ROLE regress_nurse;
SET ROLE regress_nurse;
SELECT * FROM key_version;
SELECT * FROM key_domain;
SELECT * FROM keys;
SELECT create_key('mine');
SELECT * FROM providers;
-- but a column can be used
RESET ROLE;
GRANT SELECT ON t TO regress_nurse;
SET ROLE regress_nurse;
SELECT a FROM t;
RESET ROLE;
REVOKE ALL ON t FROM regress_nurse;
DROP ROLE regress_nurse;

-- the root key file: readable by all, missing, another one, damaged
\! chmod 644 $SOV_TEST_DIR/root.key
\c -
SELECT attempt('SELECT a::text FROM t');
\! chmod 600 $SOV_TEST_DIR/root.key; mv $SOV_TEST_DIR/root.key $SOV_TEST_DIR/root.away
\c -
SELECT attempt('SELECT a::text FROM t');
SELECT attempt($$INSERT INTO t VALUES ('y')$$);
-- without it: ciphertext goes out, and nothing of the table's upkeep needs it
VACUUM t;
SELECT encrypted_text_out(a)::text ~ '^sov1:[A-Za-z0-9+/]+=*$' AS ciphertext FROM t;
SET sovereign.on_denied = ciphertext;
SELECT a ~ '^sov1:' AS ciphertext FROM t;
RESET sovereign.on_denied;
ANALYZE t;
CREATE TABLE copied AS SELECT * FROM t;
\! cp -p $SOV_TEST_DIR/other.key $SOV_TEST_DIR/root.key
\c -
SELECT attempt('SELECT a::text FROM t');
SELECT attempt($$SELECT create_key('second')$$);
\! rm $SOV_TEST_DIR/root.key; echo nonsense > $SOV_TEST_DIR/root.key; chmod 600 $SOV_TEST_DIR/root.key
\c -
SELECT attempt('SELECT a::text FROM t');
-- and back
\! rm $SOV_TEST_DIR/root.key; mv $SOV_TEST_DIR/root.away $SOV_TEST_DIR/root.key
\c -
SELECT a FROM t;
SELECT a FROM copied;

-- rows of the key tables that were tampered with
\c -
BEGIN;
UPDATE key_version SET name = 'other' WHERE name = 'patients';
SELECT attempt('SELECT a::text FROM t');
ROLLBACK;
\c -
BEGIN;
UPDATE key_version SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) WHERE purpose = 10;
SELECT attempt('SELECT a::text FROM t');
ROLLBACK;
\c -
BEGIN;
UPDATE key_version SET commitment = set_byte(commitment, 0, get_byte(commitment, 0) # 1) WHERE purpose = 11;
SELECT attempt('SELECT a::text FROM t');
ROLLBACK;
\c -
BEGIN;
UPDATE key_domain SET wrapped = set_byte(wrapped, 0, get_byte(wrapped, 0) # 1);
SELECT attempt('SELECT a::text FROM t');
ROLLBACK;
\c -
BEGIN;
UPDATE key_version SET wrapped = '\x00';
SELECT attempt('SELECT a::text FROM t');
ROLLBACK;
\c -
SELECT a FROM t;
\c postgres
DROP DATABASE regress_keys;
