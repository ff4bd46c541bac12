--
-- Plain SQL over encrypted columns: functions, operators, casts, plpgsql
--
SET client_min_messages = warning;
SELECT create_key('casts');
RESET client_min_messages;
CREATE TABLE p (id int, name encrypted_text('casts'), city encrypted_text('casts', 'searchable'), note text);
INSERT INTO p VALUES (1, 'Martin', 'Lyon', 'a'), (2, 'Durand', 'Paris', 'b'), (3, 'Émile', 'Lyon', NULL), (4, NULL, NULL, 'd');

-- to every base type
SELECT name::text, name::varchar, name::varchar(3), name::char(8) || '|' AS bpchar, name::name, name::json, name::jsonb FROM p WHERE id = 1;
SELECT pg_typeof(name), pg_typeof(name::text), pg_typeof(name || ''), pg_typeof(coalesce(name, '')) FROM p WHERE id = 1;
SELECT '42'::encrypted_text::text::int + 1 AS number;
-- from them
INSERT INTO p (id, name, city) VALUES (5, 'varchar'::varchar, 'bpchar   '::char(9)), (6, 'name'::name, 12.5), (7, 'a' || 'b', true);
SELECT id, name, city, length(city) FROM p WHERE id > 4 ORDER BY id;
DELETE FROM p WHERE id > 4;

-- functions and operators of text
SELECT upper(name), lower(city), length(name), substr(name, 1, 2), name || ' of ' || city AS both, left(city, 2), reverse(name),
	replace(name, 'a', 'o'), position('a' IN name), md5(name) = md5('Martin') AS md5, name || id AS mixed, initcap(city), trim(city), repeat(name, 2)
	FROM p WHERE id = 1;
SELECT id FROM p WHERE name LIKE 'Mar%' OR name ILIKE 'é%' OR city ~ '^Par' ORDER BY id;
SELECT id, name IS NULL AS missing, coalesce(name, 'nobody') AS name, nullif(city, 'Lyon') AS not_lyon, CASE WHEN city = 'Lyon' THEN name ELSE city END AS c,
	greatest(name, city) AS g, least(name, 'E') AS l FROM p ORDER BY id;
SELECT concat(name, '/', city), concat_ws('-', id, name), format('%s lives in %s', name, city) FROM p ORDER BY id;
SELECT string_agg(name, ',' ORDER BY name), array_agg(city ORDER BY id), max(name), min(city), count(name), count(DISTINCT city) FROM p;
SELECT array_to_string(array_agg(name ORDER BY id), ';') FROM p;
SELECT row_to_json(p), to_jsonb(p) -> 'name' AS name FROM p WHERE id = 1;
SELECT json_build_object('n', name), jsonb_build_array(name, city), json_agg(city ORDER BY id), jsonb_object_agg(id, name) FROM p WHERE id < 3 GROUP BY name, city ORDER BY name;
SELECT regexp_split_to_table(name, 'r') FROM p WHERE id = 1;
SELECT city, count(*), max(name) FROM p GROUP BY city HAVING count(*) > 1 OR city = 'Paris' ORDER BY city;
SELECT name, rank() OVER (PARTITION BY city ORDER BY name) FROM p WHERE city IS NOT NULL ORDER BY city, name;
SELECT id FROM p WHERE (name, city) = ('Martin', 'Lyon');
SELECT id FROM p WHERE city IN (SELECT note FROM p) OR city = ANY (ARRAY['Paris', 'Rome']) ORDER BY id;
SELECT id FROM p WHERE city BETWEEN 'M' AND 'Q' OR name > 'N' ORDER BY id;
SELECT id FROM p WHERE city IS DISTINCT FROM 'Lyon' ORDER BY id;
SELECT DISTINCT ON (city) city, name FROM p ORDER BY city, name;
SELECT id FROM p WHERE EXISTS (SELECT FROM p q WHERE q.city = p.city AND q.id <> p.id) ORDER BY id;
WITH c AS (SELECT city, name FROM p) SELECT a.name, b.name AS other FROM c a JOIN c b USING (city) WHERE a.name < b.name;
SELECT v.name, p.id FROM (VALUES ('Martin'), ('Nobody')) v(name) LEFT JOIN p ON p.name = v.name ORDER BY 1;
WITH RECURSIVE r(n, t) AS (SELECT 1, name FROM p WHERE id = 1 UNION ALL SELECT n + 1, t FROM r WHERE n < 3) SELECT * FROM r;

-- plpgsql, views, functions, triggers, prepared statements
CREATE FUNCTION greet(int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v p.name%TYPE; t text; r record;
BEGIN
	SELECT name INTO v FROM p WHERE id = $1;
	SELECT name INTO t FROM p WHERE id = $1;
	SELECT * INTO r FROM p WHERE id = $1;
	IF v = 'Martin' AND t = v AND r.name = t THEN RETURN 'hello ' || v; END IF;
	RETURN 'who is ' || r.name || '?';
END $$;
SELECT greet(1), greet(2);
CREATE FUNCTION by_city(text) RETURNS SETOF p LANGUAGE sql AS $$ SELECT * FROM p WHERE city = $1 $$;
SELECT * FROM by_city('Lyon') ORDER BY id;
CREATE VIEW lyon AS SELECT id, name, upper(city) AS city FROM p WHERE city = 'Lyon';
SELECT * FROM lyon ORDER BY id;
SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'lyon' ORDER BY ordinal_position;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.name := upper(NEW.name); IF NEW.city = 'Rome' THEN NEW.city = 'Roma'; END IF; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION stamp();
INSERT INTO p VALUES (8, 'zoe', 'Rome') RETURNING name, city;
UPDATE p SET name = lower(name), city = name WHERE id = 8 RETURNING *;
DELETE FROM p WHERE city = 'ZOE' RETURNING id, name;
PREPARE ins(int, text, varchar) AS INSERT INTO p VALUES ($1, $2, $3) RETURNING name, city;
EXECUTE ins(9, 'ana', 'Rome');
PREPARE ins2 AS INSERT INTO p VALUES ($1, $2, $3) RETURNING name, city;
EXECUTE ins2(10, 'bob', 'Rome');
-- a constant in a prepared insert into a random column is sealed each time
PREPARE same AS INSERT INTO p (name) VALUES ('constant');
EXECUTE same; EXECUTE same; EXECUTE same; EXECUTE same; EXECUTE same; EXECUTE same; EXECUTE same;
SELECT count(*), count(DISTINCT encrypted_text_out(name)::text) FROM p WHERE name = 'CONSTANT';
MERGE INTO p USING (VALUES (1, 'Merged'), (100, 'new')) v(id, name) ON p.id = v.id
	WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.name);
SELECT id, name FROM p WHERE id IN (1, 100) ORDER BY id;
DEALLOCATE ALL;
DROP VIEW lyon;
DROP FUNCTION by_city, greet;
DROP TABLE p;
DROP FUNCTION stamp;
