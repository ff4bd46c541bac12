--
-- Keys of persons: values tied to whom a column names, erasing them
--
\set VERBOSITY terse
SELECT create_key('clinic'); SELECT create_key('other');
CREATE FUNCTION says(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE t text; BEGIN EXECUTE sql INTO t; RETURN t; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d{4}-\d\d-\d\d', 'DATE'); END $$;
CREATE TABLE visit (id int PRIMARY KEY, patient bigint, note text, day date, code encrypted_text('clinic'));
INSERT INTO visit SELECT i, i % 10, 'note' || i, DATE '2026-01-01' + i, 'code' || i FROM generate_series(1, 50) i;
-- what cannot be
CALL encrypt_column('visit', 'note', key => 'clinic', subject => 'nosuch');
CALL encrypt_column('visit', 'note', key => 'clinic', subject => 'note');
CALL encrypt_column('visit', 'note', key => 'clinic', subject => 'day');
CALL encrypt_column('visit', 'note', key => 'clinic', mode => 'searchable', subject => 'patient');
SELECT erase_persons('clinic', '{1}');
SELECT count(*) FROM subject_epoch;
-- plain columns, and one that is encrypted already
CALL encrypt_column('visit', 'note', key => 'clinic', subject => 'patient');
CALL encrypt_column('visit', 'day', key => 'clinic', subject => 'patient');
CALL encrypt_column('visit', 'code', key => 'clinic', subject => 'patient');
CALL encrypt_column('visit', 'code', key => 'clinic', subject => 'patient');
SELECT rel, col, subject, trigger, enabled FROM subject_columns ORDER BY 2;
SELECT count(*), count(DISTINCT number), min(octet_length(tag)) FROM subject;
SELECT id, patient, note, extract(day FROM day) AS day, code FROM visit WHERE id IN (7, 17, 8) ORDER BY id;
SELECT min(get_byte(decode(substr(v, 6), 'base64'), 1)), max(get_byte(decode(substr(v, 6), 'base64'), 1)) FROM (SELECT encrypted_text_out(note)::text AS v FROM visit) x;
-- new rows, changed ones, another person
INSERT INTO visit (id, patient, note, code) VALUES (100, 99, 'new', 'c') RETURNING id, note;
INSERT INTO visit (id, note) VALUES (101, 'nobody');
INSERT INTO visit (id) VALUES (102);
CREATE TABLE seen AS SELECT id, md5(v::text) AS bytes FROM visit v;
UPDATE visit SET patient = patient, note = note;
SELECT count(*) FROM visit v JOIN seen s ON s.id = v.id AND s.bytes = md5(v::text);
UPDATE visit SET note = 'changed' WHERE id = 100; UPDATE visit SET patient = 98 WHERE id = 100;
SELECT note, code FROM visit WHERE id = 100;
BEGIN; INSERT INTO visit (id, patient, note) VALUES (200, 200, 'x'); SAVEPOINT s; INSERT INTO visit (id, patient, note) VALUES (201, 201, 'x'); ROLLBACK TO s;
INSERT INTO visit (id, patient, note) SELECT i, i, 'many' || i FROM generate_series(202, 800) i; COMMIT;
BEGIN; INSERT INTO visit (id, patient, note) VALUES (900, 900, 'x'); ROLLBACK;
INSERT INTO visit (id, patient, note) VALUES (901, 901, 'y');
-- what a transaction sealed with that was rolled back is nobody's afterwards
BEGIN; INSERT INTO visit (id, patient, note) VALUES (950, 950, 'x'); SELECT number AS drawn FROM subject ORDER BY age(xmin) LIMIT 1 \gset
ROLLBACK;
INSERT INTO visit (id, patient, note) VALUES (951, 951, 'y');
SELECT number <> :drawn AS another FROM subject ORDER BY age(xmin) LIMIT 1;
DELETE FROM visit WHERE id = 951; DELETE FROM subject WHERE number = (SELECT number FROM subject ORDER BY age(xmin) LIMIT 1);
-- nor when VACUUM came in between
BEGIN; INSERT INTO visit (id, patient, note) VALUES (960, 960, 'x'); SELECT number AS drawn FROM subject ORDER BY age(xmin) LIMIT 1 \gset
ROLLBACK;
VACUUM (FREEZE) subject_room;
INSERT INTO visit (id, patient, note) VALUES (961, 961, 'y');
SELECT number <> :drawn AS another FROM subject ORDER BY age(xmin) LIMIT 1;
DELETE FROM visit WHERE id = 961; DELETE FROM subject WHERE number = (SELECT number FROM subject ORDER BY age(xmin) LIMIT 1);
SELECT count(*), count(DISTINCT number) FROM subject;
SELECT count(note::text) FROM visit;
-- ciphertext comes back byte for byte
CREATE TABLE copied (LIKE visit); INSERT INTO copied SELECT * FROM visit WHERE id = 1;
SELECT note = (SELECT note::text FROM visit WHERE id = 1) AS same FROM copied;
-- rotation keeps persons
CALL rotate_key('clinic');
SELECT id, note, code FROM visit WHERE id IN (7, 8) ORDER BY id;
-- erasing
CALL shred_subject('clinic', '7', '98', 'unknown');
SELECT says('SELECT note::text FROM visit WHERE id = 7'); SELECT says('SELECT code::text FROM visit WHERE id = 100');
SELECT count(note::text), count(code::text) FROM visit WHERE patient NOT IN (7, 98);
SET sovereign.on_denied = mask; SELECT note, day, code FROM visit WHERE id = 7; RESET sovereign.on_denied;
UPDATE visit SET id = 1007 WHERE id = 7;
SELECT says('UPDATE visit SET patient = 8 WHERE id = 1007');
UPDATE visit SET note = 'again' WHERE id = 1007;
SELECT note FROM visit WHERE id = 1007;
SELECT id, key, state, asked_by, certificate -> 'columns' AS columns, certificate ->> 'custodian_grade' AS grade, certificate ->> 'epoch' AS epoch,
	destroyed >= asked AS destroyed, jsonb_array_length(certificate -> 'limits') AS limits, certificate::text ~ '"(7|98)"' AS names_the_person FROM erasures ORDER BY id;
SELECT epoch FROM subject_epoch;
CALL rotate_key('clinic');
SELECT count(note::text) FROM visit WHERE id NOT IN (17, 27, 37, 47, 100);
CALL shred_subject('clinic', '8'); CALL finish_erasures();
SELECT epoch FROM subject_epoch;
BEGIN; CALL shred_subject('clinic', '9'); ROLLBACK;
SELECT note FROM visit WHERE id = 9;
-- a whole key
CREATE TABLE extra (id int, t encrypted_text('clinic'));
CALL shred_key('clinic');
DROP TABLE extra, copied;
CALL shred_key('clinic');
SELECT count(*) FILTER (WHERE state = 'complete') AS complete, count(*) FROM erasures;
SELECT regexp_replace(says('SELECT note::text FROM visit WHERE id = 9'), 'erasure \d+', 'erasure N') AS says;
-- a new one under the same name is another
INSERT INTO visit (id, patient, note) VALUES (2007, 7, 'back again');
SELECT note FROM visit WHERE id = 2007;
-- the way back, and who may
CREATE TABLE plain (id int, p text, t text); INSERT INTO plain VALUES (1, 'a', 'x');
CALL encrypt_column('plain', 't', key => 'other', subject => 'p');
CALL decrypt_column('plain', 't');
SELECT t, (SELECT count(*) FROM subject_columns WHERE rel = 'plain'::regclass) AS tied FROM plain;
CREATE ROLE regress_nobody; SET ROLE regress_nobody;
CALL shred_subject('clinic', '7');
SELECT * FROM erasures;
RESET ROLE; DROP ROLE regress_nobody;
-- a value of a key that one may not open is not opened by tying it to somebody
CREATE TABLE held (t encrypted_text('other')); INSERT INTO held VALUES ('top secret');
CREATE TABLE bag (id int, p int, v encrypted_text('clinic')); CALL encrypt_column('bag', 'v', key => 'clinic', subject => 'p');
CREATE TABLE guess (id int, p encrypted_text('clinic'), v encrypted_text('clinic')); CALL encrypt_column('guess', 'v', key => 'clinic', subject => 'p');
CREATE ROLE regress_mallory LOGIN; GRANT ALL ON guess TO regress_mallory; SELECT grant_decrypt('other', 'postgres'); GRANT SELECT ON held TO regress_mallory; GRANT ALL ON bag TO regress_mallory;
\c - regress_mallory
\set VERBOSITY terse
SET sovereign.on_denied = ciphertext;
SELECT t::text AS secret, encrypted_text_out('x'::text::encrypted_text('clinic'))::text AS own FROM held \gset
RESET sovereign.on_denied; SET sovereign.input = ciphertext;
INSERT INTO bag VALUES (1, 5, :'secret');
SELECT v::text FROM bag;
INSERT INTO guess VALUES (1, :'secret', :'own');
\c - postgres
DROP TABLE held, bag, guess; DROP ROLE regress_mallory;
-- a table's owner ties his columns, under keys whose values he may open
CREATE ROLE regress_owner LOGIN; CREATE SCHEMA mine AUTHORIZATION regress_owner;
\c - regress_owner
\set VERBOSITY terse
CREATE TABLE mine.letter (id int, who text, body text, other_who encrypted_text('other'));
INSERT INTO mine.letter (id, who, body) SELECT i, 'p' || i % 3, 'letter ' || i FROM generate_series(1, 9) i;
CALL encrypt_column('mine.letter', 'body', key => 'other', subject => 'who');
CALL encrypt_column('mine.letter', 'body', key => 'clinic', subject => 'other_who');
CALL encrypt_column('visit', 'note', key => 'clinic', subject => 'id');
CREATE TRIGGER my_own BEFORE INSERT ON mine.letter FOR EACH ROW EXECUTE FUNCTION tie_subject('body', 'who');
SELECT count(*) FROM subject_columns;		-- (those of others are not shown)
CALL encrypt_column('mine.letter', 'body', key => 'clinic', subject => 'who');
SELECT col, subject, enabled FROM subject_columns WHERE rel = 'mine.letter'::regclass;
INSERT INTO mine.letter (id, who, body) VALUES (10, 'p10', 'letter 10');
UPDATE mine.letter SET who = 'p0', body = 'second ' || id WHERE id = 1;
SELECT id, body FROM mine.letter WHERE id IN (1, 2, 10) ORDER BY id;
SELECT get_byte(decode(substr(v, 6), 'base64'), 1) AS flags, count(*) FROM (SELECT encrypted_text_out(body)::text AS v FROM mine.letter) x GROUP BY 1;
-- whatever he calls a column, the view that erasures read tells of it
CREATE TABLE mine.odd (id int, "a\000b" int, v text);
CALL encrypt_column('mine.odd', 'v', key => 'clinic', subject => 'a\000b');
SELECT col, subject, enabled FROM subject_columns WHERE rel = 'mine.odd'::regclass;
DROP TABLE mine.odd;
-- his trigger does not open for him what he may not, whatever he makes of the columns
ALTER TABLE mine.letter RENAME who TO was; ALTER TABLE mine.letter RENAME other_who TO who;
INSERT INTO mine.letter (id, who, body) VALUES (11, 'p11', 'x');
ALTER TABLE mine.letter RENAME who TO other_who; ALTER TABLE mine.letter RENAME was TO who;
ALTER TABLE mine.letter RENAME body TO kept; ALTER TABLE mine.letter ADD body encrypted_text('other');
INSERT INTO mine.letter (id, who, body) VALUES (12, 'p12', 'x');
ALTER TABLE mine.letter DROP body; ALTER TABLE mine.letter RENAME kept TO body;
-- keys that he may use it takes, once the column is tied again; the values stay
CALL encrypt_column('mine.letter', 'who', key => 'clinic');
INSERT INTO mine.letter (id, who, body) VALUES (13, 'p1', 'letter 13');
CALL encrypt_column('mine.letter', 'body', key => 'clinic', subject => 'who');
SELECT pg_get_triggerdef(oid) ~ $$'who', '\d+', '\d+'\)$$ AS bound FROM pg_trigger WHERE tgrelid = 'mine.letter'::regclass;
INSERT INTO mine.letter (id, who, body) VALUES (14, 'p1', 'letter 14');
SELECT count(body::text) FROM mine.letter;
\c - postgres
\set VERBOSITY terse
CALL shred_subject('clinic', 'p1');
SELECT string_agg(id::text, ' ' ORDER BY id) AS erased FROM mine.letter WHERE says(format('SELECT body::text FROM mine.letter WHERE id = %s', id)) ~ 'was destroyed';
DROP SCHEMA mine CASCADE; DROP ROLE regress_owner;
DROP TABLE visit, plain, seen; DROP FUNCTION says(text);
