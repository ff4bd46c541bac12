--
-- pg_dump and restore, without a key on either side
--
CREATE DATABASE regress_dump;
\c regress_dump
SET client_min_messages = warning;
CREATE SCHEMA sov;
CREATE EXTENSION pg_sovereign SCHEMA sov;
SELECT sov.create_key('dumped');
CREATE TABLE t (id int PRIMARY KEY, r sov.encrypted_text('dumped'), s sov.encrypted_text('dumped', 'searchable') DEFAULT 'none' CHECK (s <> 'forbidden'), b sov.encrypted_text);
CREATE UNIQUE INDEX ON t (s sov.encrypted_text_blind_ops);
INSERT INTO t SELECT i, 'random ' || i, 'searchable ' || i, repeat('long ', 1000) || i FROM generate_series(1, 50) i;
CREATE VIEW v AS SELECT id FROM t WHERE s = 'searchable 7';
-- a place that a rolled back transaction used, which a dump cannot tell from a free one
CREATE TABLE visit (p int, note text); CALL sov.encrypt_column('visit', 'note', key => 'dumped', subject => 'p');
INSERT INTO visit VALUES (1, 'first');
BEGIN; INSERT INTO visit VALUES (2, 'rolled back'); SELECT number AS n FROM sov.subject ORDER BY age(xmin) LIMIT 1 \gset
ROLLBACK;
CREATE TABLE drawn AS SELECT :n::int8 AS n;
CREATE TABLE before AS SELECT id, md5(sov.encrypted_text_send(r) || sov.encrypted_text_send(s) || sov.encrypted_text_send(b)) AS m FROM t;
\! mv $SOV_TEST_DIR/root.key $SOV_TEST_DIR/root.away
\! pg_dump -h $SOV_TEST_DIR -p 54321 -U postgres -Fc -f $SOV_TEST_DIR/dump regress_dump && echo dumped
\! pg_dump -h $SOV_TEST_DIR -p 54321 -U postgres --inserts -f $SOV_TEST_DIR/dump.sql regress_dump && echo dumped
\! grep -c -a -E 'random 7|searchable 7|long long' $SOV_TEST_DIR/dump.sql
\c postgres
CREATE DATABASE regress_dump2;
CREATE DATABASE regress_dump3;
-- without the setting nothing is encrypted twice
\! pg_restore -h $SOV_TEST_DIR -p 54321 -U postgres -d regress_dump2 $SOV_TEST_DIR/dump 2>&1 | grep -o -m 1 'this value is encrypted already'
DROP DATABASE regress_dump2;
CREATE DATABASE regress_dump2;
\! PGOPTIONS='-c sovereign.input=ciphertext' pg_restore -h $SOV_TEST_DIR -p 54321 -U postgres -d regress_dump2 -e $SOV_TEST_DIR/dump && echo restored
\! PGOPTIONS='-c sovereign.input=ciphertext' psql -X -q -h $SOV_TEST_DIR -p 54321 -U postgres -d regress_dump3 -v ON_ERROR_STOP=1 -f $SOV_TEST_DIR/dump.sql >/dev/null && echo restored
\! mv $SOV_TEST_DIR/root.away $SOV_TEST_DIR/root.key
\c regress_dump2
SELECT count(*) FROM before JOIN t USING (id) WHERE m = md5(sov.encrypted_text_send(r) || sov.encrypted_text_send(s) || sov.encrypted_text_send(b));
SELECT r, s, right(b, 2) FROM t WHERE s = 'searchable 7';
SELECT * FROM v;
INSERT INTO t (id, r) VALUES (100, 'new');
SELECT r, s FROM t WHERE id = 100;
INSERT INTO visit VALUES (1, 'again'), (3, 'of another');
SELECT p, note FROM visit ORDER BY p, note;
SELECT count(*) AS persons, count(*) FILTER (WHERE number = n) AS given_twice FROM sov.subject, drawn;
-- keys of new persons are its own: a value of one whom the source has met since is not misread
\c regress_dump
INSERT INTO visit VALUES (4, 'of the source'); SELECT sov.encrypted_text_out(note)::text AS v FROM visit WHERE p = 4 \gset
\c regress_dump2
SET sovereign.input = ciphertext; INSERT INTO visit VALUES (4, :'v'); RESET sovereign.input;
SELECT note FROM visit WHERE p = 4;
DELETE FROM visit WHERE p = 4; CREATE TABLE known AS SELECT number FROM sov.subject;
-- nor of a copy that was made from it as a template
\c postgres
CREATE DATABASE regress_dump4 TEMPLATE regress_dump2;
\c regress_dump4
INSERT INTO visit VALUES (5, 'in the copy'); SELECT p, note FROM visit ORDER BY p, note;
SELECT number AS n FROM sov.subject EXCEPT TABLE known \gset
\c regress_dump2
INSERT INTO visit VALUES (6, 'in the template'); SELECT number = :n AS same_number FROM (SELECT number FROM sov.subject EXCEPT TABLE known) x;
\c postgres
DROP DATABASE regress_dump4;
\c regress_dump2
\set VERBOSITY terse
INSERT INTO t (id, s) VALUES (101, 'forbidden'), (102, 'searchable 1');
INSERT INTO t (id, s) VALUES (102, 'searchable 1');
\set VERBOSITY default
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0;
SELECT name, is_default FROM sov.keys;
\c regress_dump3
SELECT count(*) FROM before JOIN t USING (id) WHERE m = md5(sov.encrypted_text_send(r) || sov.encrypted_text_send(s) || sov.encrypted_text_send(b));
\c postgres
DROP DATABASE regress_dump;
DROP DATABASE regress_dump2;
DROP DATABASE regress_dump3;
