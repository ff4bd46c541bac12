--
-- encrypted_text: input, output, modes, coercion, forgeries
--
SET client_min_messages = warning;
SELECT create_key('types');
SELECT create_key('types2');
CREATE FUNCTION stored(e encrypted_text) RETURNS text LANGUAGE sql AS $$ SELECT encrypted_text_out(e)::text $$;
CREATE FUNCTION raw(e encrypted_text) RETURNS bytea LANGUAGE sql AS $$ SELECT encrypted_text_send(e) $$;
CREATE TABLE t (id int, r encrypted_text('types'), s encrypted_text('types', 'searchable'), n encrypted_text);

-- one plaintext four times: random differs, searchable and bare do not
INSERT INTO t SELECT i, 'Martin', 'Martin', 'Martin' FROM generate_series(1, 4) i;
SELECT count(DISTINCT stored(r)) AS random, count(DISTINCT stored(s)) AS searchable, count(DISTINCT stored(n)) AS bare FROM t;
SELECT r, s, n FROM t WHERE id = 1;
-- overhead in bytes
SELECT octet_length(raw(r)) - 6 AS random, octet_length(raw(s)) - 6 AS searchable FROM t WHERE id = 1;

-- the empty string, NULL, other scripts, long values
TRUNCATE t;
INSERT INTO t VALUES (1, '', '', ''), (2, NULL, NULL, NULL), (3, 'Zoë Ωμέγα 漢字 🏥', 'Zoë', 'Zoë'),
	(4, repeat('a long report ', 10000), repeat('a long report ', 10000), repeat('a long report ', 10000));
SELECT id, length(r), length(s), length(n), r = s AS rs, s = n AS sn, octet_length(raw(s)) < 1000 AS compressed FROM t ORDER BY id;
SELECT md5(r) = md5(repeat('a long report ', 10000)) AS same FROM t WHERE id = 4;
SELECT r, s FROM t WHERE id = 3;

-- "SET secret = secret" leaves the bytes; another mode or key encrypts anew
TRUNCATE t;
INSERT INTO t VALUES (1, 'Durand', 'Durand', 'Durand');
CREATE TEMP TABLE before AS SELECT stored(r) AS r, stored(s) AS s FROM t;
UPDATE t SET r = r, s = s;
SELECT t.id FROM t, before WHERE stored(t.r) = before.r AND stored(t.s) = before.s;
UPDATE t SET r = s, s = r, n = r;
SELECT r, s, n, get_byte(raw(r), 1) & 3 AS r_mode, get_byte(raw(s), 1) & 3 AS s_mode FROM t;
CREATE TABLE t2 (r encrypted_text('types2'), s encrypted_text('types2', 'searchable'));
INSERT INTO t2 SELECT r, s FROM t;
SELECT t.s = t2.s AS equal_over_keys, t.r = t2.r AS random_too, stored(t.s) <> stored(t2.s) AS other_bytes,
	substr(raw(t.s), 3, 4) <> substr(raw(t2.s), 3, 4) AS other_key FROM t, t2;
ALTER TABLE t ALTER r TYPE encrypted_text('types2', 'searchable');
SELECT t.r, substr(raw(t.r), 3, 4) = substr(raw(t2.r), 3, 4) AS key_of_types2 FROM t, t2;

-- plain to encrypted and back by ALTER TABLE
CREATE TABLE p (a text, b varchar(20), c char(10));
INSERT INTO p VALUES ('x', 'y', 'z');
ALTER TABLE p ALTER a TYPE encrypted_text('types'), ALTER b TYPE encrypted_text('types'), ALTER c TYPE encrypted_text('types');
SELECT a, b, c, stored(a) ~ '^sov1:' AS a_sealed, length(c) FROM p;
ALTER TABLE p ALTER a TYPE text, ALTER b TYPE varchar(20), ALTER c TYPE char(10);
SELECT * FROM p;

-- COPY in (plaintext), COPY out (ciphertext), text and binary
CREATE TABLE c (r encrypted_text('types'), s encrypted_text('types', 'searchable'));
COPY c FROM stdin;
Martin	2 85
\N	\N
back\\slash	tab\ttab
\.
SELECT * FROM c;
\copy c to program 'grep -c -E "^sov1:[^ ]+	sov1:"' 
COPY c TO '/dev/null' (FORMAT binary);

-- ciphertext in, only where the session says so
SELECT stored(s) AS cs, stored(r) AS cr FROM c WHERE r = 'Martin' \gset
\set VERBOSITY terse
INSERT INTO c VALUES (:'cr', :'cs');
\set VERBOSITY default
SET sovereign.input = ciphertext;
INSERT INTO c VALUES (:'cr', :'cs');
INSERT INTO c VALUES (:'cs', NULL);
INSERT INTO c VALUES ('plain', NULL);
INSERT INTO c VALUES ('sov1:????', NULL);
INSERT INTO c VALUES ('sov1:AQ==', NULL);
INSERT INTO c VALUES ('sov1:AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', NULL);
RESET sovereign.input;
SELECT * FROM c;
SET sovereign.input = guess;

-- every flipped bit is found
CREATE FUNCTION opens(b bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v encrypted_text;
BEGIN
	SET LOCAL sovereign.input = ciphertext;
	v := ('sov1:' || translate(encode(b, 'base64'), E'\n', ''))::cstring::encrypted_text;
	SET LOCAL sovereign.input = plaintext;
	PERFORM v::text;
	RETURN true;
EXCEPTION WHEN data_corrupted OR invalid_text_representation OR feature_not_supported OR object_not_in_prerequisite_state THEN
	SET LOCAL sovereign.input = plaintext;
	RETURN false;
END $$;
SELECT opens(raw(r)) AS r, opens(raw(s)) AS s FROM c WHERE r = 'Martin' LIMIT 1;
SELECT count(*) AS bits, count(*) FILTER (WHERE opens(set_bit(raw(s), i, 1 - get_bit(raw(s), i)))) AS opened
	FROM (SELECT s FROM c WHERE r = 'Martin' LIMIT 1) x, generate_series(0, 8 * 38 - 1) i;
SELECT count(*) AS lengths, count(*) FILTER (WHERE opens(substr(raw(r), 1, i))) AS opened
	FROM (SELECT r FROM c WHERE r = 'Martin' LIMIT 1) x, generate_series(0, 39) i;
-- what it says
SET sovereign.input = ciphertext;
CREATE TABLE forged (e encrypted_text);
INSERT INTO forged SELECT ('sov1:' || encode(set_byte(raw(s), 20, get_byte(raw(s), 20) # 1), 'base64'))::cstring::encrypted_text FROM c WHERE r = 'Martin'::text LIMIT 1;
RESET sovereign.input;
SELECT e FROM forged;
SET sovereign.on_denied = ciphertext;
SELECT e FROM forged;
RESET sovereign.on_denied;

-- domains, arrays, composites, defaults, checks
CREATE DOMAIN secret AS encrypted_text('types', 'searchable');
CREATE TABLE d (a secret, b encrypted_text('types', 'searchable')[], c encrypted_text('types', 'searchable') DEFAULT 'none' CHECK (c <> 'forbidden'));
INSERT INTO d VALUES ('x', ARRAY['p', 'q']::encrypted_text[]);
SELECT * FROM d;
SELECT a FROM d WHERE a = 'x' AND 'q' = ANY (b);
\set VERBOSITY terse
INSERT INTO d (c) VALUES ('forbidden'::text);
\set VERBOSITY default
DROP TABLE t, t2, p, c, d, forged;
DROP DOMAIN secret;
DROP FUNCTION opens, raw, stored;
-- every object says what it is
SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sovereign') AND obj_description(objid, classid::regclass::name) IS NULL
	AND NOT EXISTS (SELECT FROM pg_type WHERE oid = objid AND classid = 'pg_type'::regclass AND (typrelid <> 0 OR typelem <> 0)) LIMIT 10;
