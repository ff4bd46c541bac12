--
-- Databases of other encodings: what is sealed is UTF-8
--
CREATE DATABASE regress_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE regress_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c regress_latin1
SET client_encoding = 'UTF8';
\set VERBOSITY terse
CREATE EXTENSION pg_sovereign;
SELECT create_key('clé');
CREATE TABLE t (id int, s encrypted_text('clé', 'searchable') UNIQUE, r encrypted_text('clé'), j encrypted_jsonb('clé', 'searchable'));
INSERT INTO t VALUES (1, 'Élodie', 'garçon', '{"nom": "Zoé"}'), (2, 'Zoë', 'Été', '"é"'), (3, 'abc', '', '[]');
SELECT id, s, r, j, length(s), upper(r) FROM t ORDER BY s;
SELECT id FROM t WHERE s = 'Élodie'; SELECT id FROM t WHERE j = '{"nom": "Zoé"}'; SELECT id FROM t WHERE r LIKE 'gar_on';
SELECT id FROM t ORDER BY r; SELECT max(s) FROM t;
-- the euro is not in LATIN1
INSERT INTO t VALUES (4, '€');
-- the same bytes mean the same in UTF-8
\! pg_dump -a -t t -t key_domain -t key_version -h $SOV_TEST_DIR -p 54321 -U postgres regress_latin1 > $SOV_TEST_DIR/latin1.sql
CREATE DATABASE regress_utf8 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' TEMPLATE template0;
\c regress_utf8
CREATE EXTENSION pg_sovereign;
SET client_min_messages = warning;
CREATE TABLE t (id int, s encrypted_text('clé', 'searchable') UNIQUE, r encrypted_text('clé'), j encrypted_jsonb('clé', 'searchable'));
\! PGOPTIONS='-c sovereign.input=ciphertext' psql -X -q -h $SOV_TEST_DIR -p 54321 -U postgres -f $SOV_TEST_DIR/latin1.sql regress_utf8 > /dev/null
SELECT id, s, r, j FROM t ORDER BY id;
SELECT id FROM t WHERE s = 'Élodie'; SELECT id FROM t WHERE j = '{"nom": "Zoé"}';
\c regress_ascii
CREATE EXTENSION pg_sovereign;
SET client_min_messages = warning;
SELECT create_key('k');
CREATE TABLE t (s encrypted_text('k', 'searchable'));
INSERT INTO t VALUES ('Élodie'), ('abc');
SELECT count(*) FROM t WHERE s IN ('Élodie', 'abc');
SELECT octet_length(s) FROM t ORDER BY s;
-- the shorter string first, whatever stands behind it in memory
CREATE TABLE short (n int, s encrypted_text('k'));
INSERT INTO short SELECT length(x), x FROM (SELECT repeat('a', i) FROM generate_series(0, 400) i) v(x) ORDER BY md5(x);
SELECT bool_and(n = place - 1) AS in_order FROM (SELECT n, row_number() OVER (ORDER BY s) AS place FROM short) x;
\c regression
DROP DATABASE regress_latin1; DROP DATABASE regress_utf8; DROP DATABASE regress_ascii;
