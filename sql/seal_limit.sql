--
-- A key version seals a limited number of values, then retires by itself
--
\set VERBOSITY terse
SELECT create_key('busy');
CREATE TABLE sealed (id int, t encrypted_text('busy'));
CREATE ROLE regress_writer;
GRANT INSERT ON sealed TO regress_writer;
SET sovereign.seal_limit = 0;
SET sovereign.seal_limit = 100000;
SET sovereign.seal_limit = 1;
SET ROLE regress_writer;
SET sovereign.seal_limit = 2;
-- 65,536 seals, of a role that may not write the key tables
INSERT INTO sealed SELECT i, 'value ' || i FROM generate_series(1, 150000) i;
RESET ROLE;
SELECT count(*) AS versions, count(*) FILTER (WHERE current) AS current FROM keys WHERE name = 'busy';
SELECT bool_and(sealed BETWEEN 65536 AND 2 * 65536) AS counted FROM keys WHERE name = 'busy' AND NOT current;
SELECT count(DISTINCT key_version_of(t)) > 1 AS several, max(c) <= 65536 + 65536 AS bounded
	FROM (SELECT t, count(*) OVER (PARTITION BY key_version_of(t)) AS c FROM sealed) s;
-- all of them are read
SELECT count(*), count(DISTINCT t::text), min(t), max(t) FROM sealed;
-- what is rolled back is counted all the same
SELECT last_value AS before FROM key_seals \gset
BEGIN; INSERT INTO sealed SELECT i, 'more' FROM generate_series(1, 70000) i; ROLLBACK;
SELECT last_value - :before > 1000 AS counted FROM key_seals;
SELECT count(*) AS versions FROM keys WHERE name = 'busy';
-- nothing is counted where nothing can be stored
SELECT last_value AS before FROM key_seals \gset
BEGIN READ ONLY; SELECT count(*) FROM sealed WHERE t = 'value 7'; COMMIT;
RESET sovereign.seal_limit;
SELECT last_value - :before AS counted FROM key_seals;
DROP TABLE sealed;
SELECT drop_key('busy');
DROP ROLE regress_writer;
