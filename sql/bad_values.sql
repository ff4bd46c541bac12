--
-- Values that are damaged, foreign or of another kind; hostile surroundings
--
\set VERBOSITY terse
SELECT create_key('one'); SELECT create_key('two');
CREATE TABLE v (id int, t encrypted_text('one'), q encrypted_text('one', 'searchable'), n encrypted_int4('one'), l encrypted_text('one'), w encrypted_text('two'));
INSERT INTO v VALUES (1, 'hello', 'hello', 7, repeat('long text ', 500), 'hello');
-- the stored form of a value, and a changed one put back
CREATE FUNCTION stored(col text) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE r bytea;
BEGIN
	EXECUTE format('SELECT (CASE atttypid::regtype WHEN ''encrypted_int4''::regtype THEN encrypted_int4_send(v.n) ELSE NULL END) FROM v, pg_attribute WHERE attrelid = ''v''::regclass AND attname = %L', col) INTO r;
	IF r IS NULL THEN EXECUTE format('SELECT encrypted_text_send(%I) FROM v', col) INTO r; END IF;
	RETURN r;
END $$;
CREATE FUNCTION put(col text, value bytea) RETURNS text LANGUAGE plpgsql SET sovereign.input = ciphertext AS $$
DECLARE r text;
BEGIN
	EXECUTE format('UPDATE v SET %I = %L', col, 'sov1:' || translate(encode(value, 'base64'), E'\n', ''));
	EXECUTE format('SELECT left(%I::text, 20) FROM v', col) INTO r;
	RAISE EXCEPTION 'reads: %', r;
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(SQLERRM, '[0-9a-f]{8}', 'VERSION', 'g');
END $$;
SELECT put('t', stored('t')) AS same;
-- every byte of the head, the ciphertext and the tag
SELECT c, put(c, set_byte(stored(c), i, get_byte(stored(c), i) # 1)) AS result, count(*)
	FROM unnest('{t,q,n}'::text[]) c, generate_series(0, length(stored(c)) - 1) i GROUP BY 1, 2 ORDER BY 1, 2;
-- truncated at every length, extended
SELECT c, put(c, substr(stored(c), 1, i)) AS result, count(*) FROM unnest('{t,q,n}'::text[]) c, generate_series(0, length(stored(c)) - 1) i GROUP BY 1, 2 ORDER BY 1, 2;
SELECT c, put(c, stored(c) || '\x00') FROM unnest('{t,q,n,l}'::text[]) c ORDER BY 1;
-- the input function with anything: mutilated text forms, random bytes, random text
CREATE FUNCTION input_says(s text) RETURNS text LANGUAGE plpgsql SET sovereign.input = ciphertext AS $$
BEGIN
	PERFORM s::cstring::encrypted_text::text, encrypted_jsonb_in(s::cstring, 0, -1)::text, encrypted_numeric_in(s::cstring, 0, -1)::text;
	RETURN 'opens';
EXCEPTION WHEN invalid_text_representation OR data_corrupted OR feature_not_supported OR object_not_in_prerequisite_state OR invalid_binary_representation THEN
	RETURN 'refused';
WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT setseed(0.5);
SELECT how, input_says(s) AS says, count(*) > 0 AS some FROM (
	SELECT 'mutilated' AS how, overlay(t placing substr('AZaz09+/=: ~', 1 + (random() * 11)::int, 1) from 1 + (random() * length(t))::int for (random() * 3)::int) AS s FROM (SELECT encrypted_text_out(q)::text AS t FROM v) x, generate_series(1, 700)
	UNION ALL SELECT 'bytes', 'sov1:' || encode(substr(decode(md5(random()::text) || md5(random()::text) || md5(random()::text), 'hex'), 1, (random() * 48)::int), 'base64') FROM generate_series(1, 700)
	UNION ALL SELECT 'head', 'sov1:' || encode(decode('01' || lpad(to_hex((random() * 255)::int), 2, '0'), 'hex') || substr(decode(md5(random()::text) || md5(random()::text) || md5(random()::text), 'hex'), 1, (random() * 48)::int), 'base64') FROM generate_series(1, 700)
	UNION ALL SELECT 'text', substr('sov1:', 1, (random() * 5)::int) || md5(random()::text) FROM generate_series(1, 300)) x GROUP BY 1, 2 ORDER BY 1, 2;
DROP FUNCTION input_says;
-- of another mode, key, type
SELECT put('t', stored('q')) AS other_mode, put('q', stored('t')) AS other_mode, put('w', stored('t')) AS other_key, put('t', stored('n')) AS other_type, put('n', stored('t')) AS other_type;
-- of a database that has other keys; of a version that was removed
SELECT put('t', overlay(stored('t') placing '\x01020304' from 3 for 4)) AS other_database;
BEGIN;
DELETE FROM key_version WHERE name = 'two';
SELECT keys_changed();
SELECT put('w', stored('w')) AS destroyed;
ROLLBACK;
SELECT w FROM v;
-- a literal that looks like a value; one that begins like one
INSERT INTO v (t) SELECT encrypted_text_out(t)::text FROM v;
INSERT INTO v (t) VALUES ('sov1: is a prefix, this is plain') RETURNING t;
INSERT INTO v (t) VALUES ('sov1:AAAA') RETURNING t;
DELETE FROM v WHERE id IS NULL;
-- two names of one id cannot be made
INSERT INTO key_version SELECT 'collides', key_id, 4000000000, purpose, true, false, wrapped, commitment FROM key_version WHERE name = 'one';
-- a hostile search_path
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.stolen(encrypted_text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen %', $2; END $$;
CREATE OPERATOR hostile.= (FUNCTION = hostile.stolen, LEFTARG = encrypted_text, RIGHTARG = text);
CREATE FUNCTION hostile.encrypted_text_to_base(encrypted_text) RETURNS text LANGUAGE sql AS $$ SELECT 'stolen' $$;
CREATE TABLE hostile.key_version (LIKE key_version);
SET search_path = hostile, public;
SELECT create_key('three');
SELECT q, n FROM v WHERE q = 'hello';
CREATE INDEX ON v (q);
SELECT drop_key('three');
RESET search_path;
SELECT count(*) FROM hostile.key_version;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;
-- cancelled in the middle of sealing and of opening: what was there stays
CREATE TABLE big (t encrypted_text('one', 'searchable'));
SET statement_timeout = '30ms';
INSERT INTO big SELECT 'value ' || i FROM generate_series(1, 3000000) i;
RESET statement_timeout;
INSERT INTO big SELECT 'value ' || i FROM generate_series(1, 100000) i;
SET statement_timeout = '10ms';
SELECT max(t || t || md5(t)) FROM big a CROSS JOIN generate_series(1, 50);
RESET statement_timeout;
SELECT count(*), count(DISTINCT t), max(t) FROM big;
-- the largest values
CREATE TABLE huge (t encrypted_text('one'), b encrypted_bytea('one', 'searchable'));
INSERT INTO huge SELECT repeat('x', 100000000), decode(repeat('ab', 20000000), 'hex');
SELECT length(t), md5(t) = md5(repeat('x', 100000000)), length(b), b = decode(repeat('ab', 20000000), 'hex') FROM huge;
INSERT INTO huge SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400000) i;
SELECT length(t), md5(t) = md5((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400000) i)) FROM huge WHERE b IS NULL;
DROP TABLE v, big, huge;
DROP FUNCTION stored, put;
SELECT drop_key('one'); SELECT drop_key('two');
