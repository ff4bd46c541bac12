-- further encrypted types, as extension/doc/extending.md tells
CREATE DATABASE regress_more_types;
\c regress_more_types
SET client_min_messages = warning;
CREATE EXTENSION pg_sovereign;
SELECT create_key('ward');
SELECT add_encrypted_type('interval');
SELECT add_encrypted_type('time');
SELECT add_encrypted_type('timestamp', exact => '{date}', own => '{-}');
SELECT add_encrypted_type('int2', exact => '{int4,int8}', wider => '{numeric,float8}');
CREATE TABLE shift (id int, began encrypted_timestamp('ward'), lasted encrypted_interval('ward'), pause encrypted_int2('ward'));
INSERT INTO shift VALUES (1, '2026-01-02 08:00', '7 hours 30 min', 30), (2, '2026-01-02 14:00', '8 hours', 45);
SELECT began + lasted AS ended, lasted * 2 AS twice FROM shift ORDER BY lasted DESC;
SELECT sum(lasted), avg(pause) FROM shift WHERE pause > 20;
SELECT began - '2026-01-01'::date AS since FROM shift WHERE began > '2026-01-02'::date ORDER BY id;
CREATE TABLE no (a encrypted_interval('ward', 'searchable'));
\set VERBOSITY sqlstate
INSERT INTO shift (id, pause) VALUES (3, 40000);
\set VERBOSITY default
SELECT pause + 1 FROM shift WHERE lasted = '8 hours';
COPY (SELECT count(*) FROM shift WHERE pause::text LIKE 'sov1:%') TO STDOUT;
\c regression
DROP DATABASE regress_more_types;
