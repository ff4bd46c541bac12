SELECT to_tsvector('english', note) FROM person ORDER BY id LIMIT 5

SELECT id FROM person WHERE to_tsvector('simple', name) @@ to_tsquery('simple', 'martin') ORDER BY 1

SELECT id FROM person WHERE to_tsvector(name) @@ plainto_tsquery('martin') ORDER BY 1

SELECT id FROM person WHERE name @@ 'martin' ORDER BY 1

SELECT ts_headline('simple', note, to_tsquery('simple', 'note')) FROM person ORDER BY id LIMIT 3

SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY name), percentile_disc(0.5) WITHIN GROUP (ORDER BY birth), percentile_disc(ARRAY[0.1,0.9]) WITHIN GROUP (ORDER BY n) FROM person

SELECT mode() WITHIN GROUP (ORDER BY n), mode() WITHIN GROUP (ORDER BY ok), mode() WITHIN GROUP (ORDER BY birth) FROM person

SELECT rank('M') WITHIN GROUP (ORDER BY name), dense_rank(3) WITHIN GROUP (ORDER BY n), percent_rank('1950-01-01') WITHIN GROUP (ORDER BY birth), cume_dist(3) WITHIN GROUP (ORDER BY n) FROM person

SELECT rank('M'::text) WITHIN GROUP (ORDER BY name), rank(3::int) WITHIN GROUP (ORDER BY n), rank(date '1950-01-01') WITHIN GROUP (ORDER BY birth) FROM person

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio), percentile_cont(ARRAY[0.5,0.9]) WITHIN GROUP (ORDER BY ratio) FROM person WHERE id < 10

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seen - timestamptz '2020-01-01') FROM person

SELECT stddev(n), stddev_pop(n), stddev_samp(big), variance(big), var_pop(n), var_samp(amount), stddev(ratio) FROM person WHERE id < 10

SELECT regr_slope(ratio, n::float8), regr_intercept(ratio, ratio), regr_r2(ratio, ratio), regr_avgx(ratio, ratio), regr_sxx(ratio,ratio), regr_sxy(ratio,ratio) FROM person WHERE id < 10

SELECT every(ok), every(n > -100), bit_and(n), bit_or(big), bit_xor(n) FROM person

SELECT max(seen), min(seen), max(code::text), count(code), max(raw::text) FROM person

SELECT sum(ratio), avg(ratio), sum(amount) FILTER (WHERE ok), avg(n) FILTER (WHERE name = 'Martin') FROM person WHERE id < 10

SELECT sum(n)::text, avg(big), pg_typeof(sum(n)), pg_typeof(avg(n)), pg_typeof(sum(big)), pg_typeof(sum(amount)), pg_typeof(avg(ratio)), pg_typeof(sum(ratio)) FROM person WHERE id < 10

SELECT array_agg(n ORDER BY n DESC), array_agg(birth ORDER BY id), array_agg(doc ORDER BY id) FROM person WHERE id < 4

SELECT array_agg(ARRAY[name, note] ORDER BY id) FROM person WHERE id < 4

SELECT json_agg(p ORDER BY id) FROM person p WHERE id < 3

SELECT jsonb_agg(p ORDER BY id) FROM person p WHERE id < 3

SELECT json_agg(row_to_json(p) ORDER BY id) FROM person p WHERE id < 3

SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.id), '[]'::json) FROM (SELECT id, name, birth FROM person WHERE n = 3) x

SELECT json_build_object('p', p) FROM person p WHERE id = 1

SELECT jsonb_build_object(name, n, 'x', birth) FROM person WHERE id < 3 ORDER BY id

SELECT json_build_array(name, n, birth, raw, code, seen, ratio, amount, ok, doc) FROM person WHERE id < 3 ORDER BY id

SELECT json_object(ARRAY['a', name]) FROM person WHERE id = 1

SELECT jsonb_object_agg(name, n ORDER BY id) FROM person WHERE id < 5

SELECT jsonb_object_agg(id, doc ORDER BY id) FROM person WHERE id < 5

SELECT json_object_agg(n, birth ORDER BY id) FROM person WHERE id < 5

SELECT to_json(name), to_json(n), to_json(birth), to_json(doc), to_jsonb(seen), to_jsonb(amount), to_jsonb(ok), to_jsonb(raw), to_jsonb(code) FROM person WHERE id = 2

SELECT to_json(ARRAY[name, note]), to_jsonb(ARRAY[n]), array_to_json(ARRAY[birth]) FROM person WHERE id = 1

SELECT row_to_json(row(name, n, birth)) FROM person WHERE id = 1

SELECT row_to_json(p, true) FROM person p WHERE id = 1

SELECT row_to_json(t) FROM (SELECT p, v FROM person p JOIN visit v ON p.nir = v.nir WHERE p.id = 1 ORDER BY v.id LIMIT 1) t

SELECT json_strip_nulls(row_to_json(p)) FROM person p WHERE id = 5

SELECT (json_populate_record(NULL::person, '{"id": 1, "name": "J", "n": 3, "birth": "2000-01-01", "doc": {"a":1}}')).*

SELECT * FROM jsonb_populate_record(NULL::person, '{"id": 1, "name": "J", "n": 3, "birth": "2000-01-01", "ok": true, "ratio": 1.5}')

SELECT id, name, n FROM json_populate_recordset(NULL::person, '[{"id": 1, "name": "J", "n": 3},{"id":2,"name":"K"}]')

INSERT INTO person SELECT * FROM json_populate_record(NULL::person, '{"id": 901, "name": "J", "n": 3}') RETURNING id, name, n

SELECT * FROM jsonb_to_recordset((SELECT jsonb_agg(doc ORDER BY id) FROM person WHERE id < 3)) AS x(k int, tags jsonb)

SELECT name, count(*) FROM person GROUP BY GROUPING SETS ((name), (ok), ()) ORDER BY 1, 2

SELECT name, ok, grouping(name, ok), sum(n) FROM person GROUP BY GROUPING SETS ((name, ok), (name), ()) ORDER BY 1, 2, 3

SELECT birth, name, count(*) FROM person WHERE id < 20 GROUP BY CUBE(birth, name) ORDER BY birth, name, 3

SELECT p.*, count(v.id) FROM person p LEFT JOIN visit v USING (nir) GROUP BY p.id ORDER BY p.id LIMIT 3

SELECT DISTINCT ON (birth) birth, name FROM person ORDER BY birth DESC, name LIMIT 5

SELECT DISTINCT name, birth FROM person WHERE id < 10 ORDER BY birth

SELECT DISTINCT lower(name) FROM person ORDER BY 1

SELECT DISTINCT name || '' AS x FROM person ORDER BY x DESC

SELECT DISTINCT doc -> 'tags' FROM person ORDER BY 1

SELECT p.id, l.* FROM person p CROSS JOIN LATERAL (SELECT p.name || '!' AS e, p.n + 1 AS m, p.birth) l WHERE p.id < 3 ORDER BY 1

SELECT p.id, w FROM person p, LATERAL regexp_split_to_table(p.note, ' ') w WHERE p.id < 3 ORDER BY 1, 2

SELECT p.id, w FROM person p, unnest(string_to_array(p.note, ' ')) WITH ORDINALITY u(w, o) WHERE p.id < 3 ORDER BY 1, o

SELECT p.id, e FROM person p, jsonb_array_elements(p.doc -> 'tags') e WHERE p.id < 3 ORDER BY 1, 2

SELECT p.id, e FROM person p, jsonb_array_elements_text(doc -> 'tags') e WHERE p.id < 3 ORDER BY 1, 2

SELECT id, k FROM person, jsonb_object_keys(doc) k WHERE id < 3 ORDER BY 1, 2

SELECT id, (jsonb_each_text(doc)).* FROM person WHERE id < 3 ORDER BY 1, 2

SELECT id, x.* FROM person, jsonb_to_record(doc) AS x(k int, tags jsonb) WHERE id < 3 ORDER BY 1

SELECT jsonb_path_query(doc, '$.tags[*]') FROM person WHERE id < 3 ORDER BY id

SELECT jsonb_path_query_array(doc, '$.tags[*]'), jsonb_path_query_first(doc, '$.k'), jsonb_path_exists(doc, '$.k ? (@ > 2)'), jsonb_path_match(doc, '$.k > 2') FROM person WHERE id < 4 ORDER BY id

SELECT id FROM person WHERE doc @@ '$.k > 55' ORDER BY 1

UPDATE person SET doc = jsonb_set(doc, '{k}', '5') WHERE id = 1 RETURNING doc

UPDATE person SET doc = doc || jsonb_build_object('name', name) WHERE id = 1 RETURNING doc

UPDATE person SET doc = doc - 'k' - 'sub' WHERE id = 1 RETURNING doc

UPDATE person SET doc = doc #- '{tags,0}' WHERE id = 1 RETURNING doc

SELECT doc #> '{tags,0}', doc ?| ARRAY['k','x'], doc ?& ARRAY['k','x'], doc <@ '{"k": 1}', '{"k": 1}' <@ doc, '{"k":1}'::jsonb <@ doc, doc = '{"k": 1}', doc <> '{}'::jsonb FROM person WHERE id < 3 ORDER BY id

SELECT id FROM person WHERE doc = '{"k": 3, "sub": {"z": null}, "tags": ["a", 0]}' ORDER BY 1

SELECT id FROM person WHERE doc ->> 'k' = '3' AND (doc -> 'sub') ? 'z' ORDER BY 1

SELECT jsonb_strip_nulls(doc), jsonb_insert(doc, '{tags,0}', '"q"'), doc::text, doc::json ->> 'k', doc::varchar FROM person WHERE id = 1

SELECT count(*) FROM person WHERE doc IS NOT NULL AND doc != 'null'

SELECT id, sum(n) OVER (ORDER BY birth RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 year' FOLLOWING) FROM person ORDER BY id

SELECT id, sum(n) OVER (ORDER BY n RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING), count(*) OVER (ORDER BY big RANGE BETWEEN 20000000000 PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY amount RANGE BETWEEN 2.5 PRECEDING AND CURRENT ROW) FROM person ORDER BY id

SELECT id, count(*) OVER (ORDER BY seen RANGE BETWEEN '1 day' PRECEDING AND '1 day' FOLLOWING), count(*) OVER (ORDER BY ratio RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM person WHERE id < 30 ORDER BY id

SELECT id, count(*) OVER (ORDER BY name GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES), count(*) OVER (ORDER BY name RANGE CURRENT ROW) FROM person ORDER BY id

SELECT id, string_agg(name, ',') OVER (ORDER BY id ROWS 2 PRECEDING), array_agg(n) OVER (ORDER BY id ROWS 1 PRECEDING), percent_rank() OVER (ORDER BY birth), cume_dist() OVER (ORDER BY n) FROM person ORDER BY id LIMIT 6

SELECT id, lag(n, 1, 0) OVER (ORDER BY id), lag(birth, 1, date '2000-01-01') OVER (ORDER BY id), lead(name, 1, 'x') OVER (ORDER BY id), lag(n,1,n) OVER (ORDER BY id) FROM person ORDER BY id LIMIT 6

SELECT id, n - lag(n) OVER (ORDER BY id) AS d, birth - lag(birth) OVER (ORDER BY id), first_value(birth) OVER (PARTITION BY name ORDER BY birth) FROM person ORDER BY id LIMIT 9

SELECT id, max(name) OVER (PARTITION BY ok), min(birth) OVER (PARTITION BY n), max(amount) OVER (), bool_or(ok) OVER (PARTITION BY name) FROM person ORDER BY id LIMIT 9

SELECT * FROM (SELECT id, name, row_number() OVER (PARTITION BY name ORDER BY birth DESC) AS rn FROM person) t WHERE rn = 1 ORDER BY name

SELECT p FROM person p WHERE id = 1

SELECT p::text FROM person p WHERE id = 1

SELECT ROW(name, n) FROM person WHERE id = 1

SELECT (name, birth) FROM person WHERE id = 1

SELECT (p).name, (p).n FROM person p WHERE id = 1

SELECT (SELECT p FROM person p WHERE id = 1)

SELECT count(DISTINCT p) FROM person p

SELECT count(*) FROM (SELECT DISTINCT p FROM person p) x

SELECT p.* IS NULL, p IS NOT NULL FROM person p WHERE id IN (1,2) ORDER BY id

SELECT count(*) FROM person a JOIN person b ON a = b

SELECT count(*) FROM person a JOIN person b ON a.* IS NOT DISTINCT FROM b.*

SELECT a.id FROM person a WHERE (a.name, a.n, a.birth) IN (SELECT b.name, b.n, b.birth FROM person b WHERE b.id < 4) ORDER BY 1

SELECT a.id FROM person a WHERE (a.name, a.n) IN (SELECT v.ward, v.patient FROM visit v) ORDER BY 1

SELECT a.id FROM person a WHERE ROW(a.name, a.birth) >= ROW('Martin', date '1950-01-01') ORDER BY 1

SELECT a.id FROM person a WHERE ROW(a.name, a.n) IS DISTINCT FROM ROW('Martin', 0) ORDER BY 1

SELECT a.id FROM person a WHERE (name, n, id) > ('Martin', 2, 5) ORDER BY name, n, id

SELECT NULLIF(n, 3), NULLIF(n, id), NULLIF(birth, '1940-05-07'), NULLIF(amount, 2.2), NULLIF(name, note), NULLIF('Martin', name), NULLIF(id, n) FROM person ORDER BY id LIMIT 12

SELECT n FROM person UNION SELECT big FROM person ORDER BY 1 LIMIT 5

SELECT n FROM person UNION SELECT id FROM visit ORDER BY 1 LIMIT 5

SELECT id FROM visit UNION SELECT n FROM person ORDER BY 1 LIMIT 5

SELECT name FROM person UNION SELECT 'x'::varchar ORDER BY 1

SELECT 'x' AS name UNION SELECT name FROM person ORDER BY name

SELECT NULL AS name UNION SELECT name FROM person ORDER BY name

SELECT NULL UNION ALL SELECT birth FROM person WHERE id = 1

SELECT relname::text FROM pg_class WHERE relname = 'pg_class' UNION SELECT name FROM person ORDER BY 1

SELECT n FROM person INTERSECT SELECT id FROM person ORDER BY 1

SELECT id FROM person EXCEPT SELECT n FROM person ORDER BY 1

SELECT name, n FROM person EXCEPT SELECT ward, patient::int FROM visit ORDER BY 1, 2

SELECT name FROM person INTERSECT VALUES ('Martin'), ('Zed')

SELECT 'Martin' INTERSECT SELECT name FROM person

SELECT v.x FROM (VALUES (1), (2), (3)) v(x) WHERE v.x IN (SELECT n FROM person) ORDER BY 1

SELECT v.x FROM (VALUES (1::bigint), (2), (300)) v(x) WHERE v.x NOT IN (SELECT n FROM person) ORDER BY 1

SELECT v.x FROM (VALUES ('Martin'::varchar), ('no')) v(x) WHERE v.x IN (SELECT name FROM person) ORDER BY 1

SELECT v.x FROM (VALUES (1.0), (2.5)) v(x) JOIN person p ON p.n = v.x ORDER BY 1

SELECT v.d FROM (VALUES (timestamp '1940-05-07')) v(d) JOIN person p ON p.birth = v.d ORDER BY 1

SELECT p.id FROM person p JOIN (SELECT generate_series(date '1940-01-01', '1941-12-31', '1 day') AS d) g ON g.d = p.birth ORDER BY 1

SELECT g, p.name FROM generate_series(-3, 3) g LEFT JOIN person p ON p.n = g ORDER BY 1, p.id

SELECT g::date, count(p.id) FROM generate_series(date '1940-01-01', date '1950-01-01', interval '1 year') g LEFT JOIN person p ON date_trunc('year', p.birth) = g GROUP BY 1 ORDER BY 1

SELECT generate_series(birth, birth + 2, '1 day') FROM person WHERE id = 1

SELECT id FROM person WHERE name = ANY ($1::text[]) -- error: no parameter

SELECT id FROM person WHERE name = ANY ('{Martin,"Éloïse"}') ORDER BY 1

SELECT id FROM person WHERE name = ANY ('{Martin}'::varchar[]) ORDER BY 1

SELECT id FROM person WHERE name <> ALL ('{Martin,Bernard}'::text[]) ORDER BY 1

SELECT id FROM person WHERE name LIKE ANY (ARRAY['M%', 'B%']) ORDER BY 1

SELECT id FROM person WHERE name ILIKE ANY (ARRAY['m%', 'b%']) AND name NOT LIKE ALL (ARRAY['Mar%']) ORDER BY 1

SELECT id FROM person WHERE n = ANY ('{1,2}'::bigint[]) ORDER BY 1

SELECT id FROM person WHERE n IN (1, 2, 3.0) ORDER BY 1

SELECT id FROM person WHERE n IN (1, NULL, 2) ORDER BY 1

SELECT id FROM person WHERE n NOT IN (1, NULL) ORDER BY 1

SELECT id FROM person WHERE n = ANY (ARRAY[1, id]) ORDER BY 1

SELECT id FROM person WHERE n IN (id - 9, 3) ORDER BY 1

SELECT id FROM person WHERE 'Martin' IN (name, note) ORDER BY 1

SELECT id FROM person WHERE '1945-01-01' < birth AND 3 >= n AND 'M' <= name ORDER BY 1

SELECT id FROM person WHERE big IN (9999999995, '19999999995') ORDER BY 1

SELECT id FROM person WHERE amount IN (1.1, 2.20, 3) ORDER BY 1

SELECT id FROM person WHERE birth IN ('1940-05-07', date '1940-08-12') ORDER BY 1

SELECT id FROM person WHERE birth = ANY (ARRAY['1940-05-07', '1940-08-12']::date[]) ORDER BY 1

SELECT id FROM person WHERE code IN ('00000000-0000-4000-8000-000000000007', '00000000-0000-4000-8000-000000000008'::uuid) ORDER BY 1

SELECT id FROM person WHERE code = ANY (ARRAY['00000000-0000-4000-8000-000000000007']::uuid[]) ORDER BY 1

SELECT id FROM person WHERE code::text LIKE '%07' ORDER BY 1

SELECT id FROM person WHERE name SIMILAR TO '%(tin|nard)' ESCAPE '#' ORDER BY 1

SELECT id FROM person WHERE note LIKE '%100#%%' ESCAPE '#' ORDER BY 1

SELECT id FROM person WHERE name LIKE name || '%' AND 'Martin' LIKE left(name, 2) || '%' ORDER BY 1

SELECT id FROM person WHERE 'Martin and others' LIKE name || '%' AND name <> '' ORDER BY 1

SELECT id FROM person WHERE 'Martin' LIKE name ORDER BY 1

SELECT id FROM person WHERE 'Martin' ~ name AND 'x' !~ name ORDER BY 1

SELECT id FROM person WHERE upper(name) LIKE upper('mar%') ORDER BY 1

SELECT id FROM person WHERE UPPER(name::text) LIKE UPPER('mar%') ORDER BY 1

SELECT id FROM person WHERE name::text LIKE '%art%' ESCAPE '\' OR name COLLATE "C" = 'Robert' ORDER BY 1

SELECT id FROM person WHERE name ~~* 'm%' OR name ^@ 'Ber' ORDER BY 1

SELECT id FROM person WHERE name ~>~ 'R' OR name ~<~ 'B' ORDER BY 1

SELECT id FROM person WHERE name COLLATE "C" > 'M' AND name < 'Z' COLLATE "POSIX" ORDER BY 1

SELECT regexp_replace(name, '(.)r', '\1R'), regexp_replace(note, '\d', '#', 'g'), regexp_count(name, 'a'), regexp_instr(name, 'r'), regexp_substr(name, '[aeiou]+'), regexp_like(name, '^M') FROM person ORDER BY id LIMIT 9

SELECT substring(name FROM '[A-Z]..'), substring(name SIMILAR 'M#"%#"n' ESCAPE '#'), substring(name, 1, 2), substring(name FROM 2 FOR 3), btrim(note, 'n"'), trim(both 'n' from name), trim(leading 'M' from name) FROM person ORDER BY id LIMIT 9

SELECT name || ' ' || note || n || birth || ok || amount, n || 'x', birth || ' ' || name, name || id, name || 1.5 FROM person ORDER BY id LIMIT 9

SELECT to_char(n, '999'), to_char(big, '9,999,999,999'), to_char(amount, 'FM999.00'), to_char(ratio, '9.99'), to_char(seen, 'Day DD'), to_char(birth, 'YYYY"-W"IW'), to_char(birth, 'TMMonth'), to_hex(n), to_hex(big) FROM person ORDER BY id LIMIT 9

SELECT to_date(name, 'YYYY'), 1 FROM person WHERE id = 1 -- error: input

SELECT to_date('2020' || lpad(abs(n)::text, 2, '0'), 'YYYYMM'), to_number(nir, '9 99 99999'), to_timestamp(ratio), to_timestamp(big / 1000) FROM person WHERE id IN (1, 2, 3, 4) ORDER BY id

SELECT extract(year FROM birth), extract(dow FROM birth), extract(epoch FROM seen), extract(hour FROM seen), date_part('year', birth), date_part('hour', seen), extract(isoyear from birth), extract(quarter from birth) FROM person ORDER BY id LIMIT 9

SELECT date_trunc('month', birth), date_trunc('day', seen), date_trunc('hour', seen, 'Europe/Paris'), date_bin('1 day', seen, timestamptz '2020-01-01') FROM person ORDER BY id LIMIT 9

SELECT birth - birth, birth - date '1940-01-01', date '2000-01-01' - birth, birth + n, birth + 7, birth - n, birth - interval '1 day', birth + time '10:00', seen - seen, seen - birth, birth - seen, current_date - birth > 0, now() - seen > '0' FROM person ORDER BY id LIMIT 9

SELECT age(birth, '1930-01-01'), age(timestamptz '2024-01-01', birth), age('2024-01-01', seen), extract(year FROM age('2024-01-01', birth)), age(birth) > interval '1 year', date_part('year', age('2024-01-01', birth)) FROM person ORDER BY id LIMIT 9

SELECT (birth, birth + 10) OVERLAPS (date '1940-05-10', date '1940-06-01') FROM person ORDER BY id LIMIT 3

SELECT make_date(extract(year FROM birth)::int, 1, 1), make_interval(days => n), make_timestamp(2020, abs(n) + 1, 1, 0, 0, 0), justify_days(make_interval(days => n * 10)) FROM person ORDER BY id LIMIT 3

SELECT seen AT TIME ZONE 'UTC', timezone('UTC', seen), seen::timestamp, seen::time, seen::timetz, birth::timestamptz, seen::date = birth, (seen AT TIME ZONE 'Asia/Tokyo')::date FROM person ORDER BY id LIMIT 3

SELECT birth::timestamp - seen::timestamp, daterange(birth, birth + 5), birth <@ daterange('1940-01-01', '1941-01-01'), daterange('1940-01-01', '1941-01-01') @> birth, tstzrange(seen, NULL) && tstzrange('2020-01-03', '2020-01-04'), int4range(n, n + 3), numrange(0, 10) @> amount, n <@ int4range(0, 3), tstzrange('2020-01-02', '2020-01-03') @> seen FROM person ORDER BY id LIMIT 9

SELECT n + n, n + big, n * amount, n / 2.0, n ^ 2, n % 4, n | 1, n # 3, ~n, @ n, |/ abs(n), n::int2, n::smallint + 1, +n, - n, n = -(-n), n + 1.5, n + ratio, amount / 3, amount % 2, amount ^ 2, - amount, @ amount FROM person WHERE id < 7 AND id > 1 ORDER BY id

SELECT 1 + n, 10 - n, 2 * n, 100 / nullif(n, 0), 2 ^ n, 1.5 * n, 2::smallint + n, 2::bigint * n, 1 + big, 1.5 + ratio, 3 + amount, 2::float4 + n, n + 2::int2, big - 1::int2, n * 2::float4 FROM person WHERE id < 7 ORDER BY id

SELECT pg_typeof(n + n), pg_typeof(n + big), pg_typeof(1 + n), pg_typeof(1.5 * n), pg_typeof(2::smallint + n), pg_typeof(n + 2::bigint), pg_typeof(n * 2::float4), pg_typeof(n / 2), pg_typeof(amount + n), pg_typeof(ratio + n), pg_typeof(birth - 1), pg_typeof(birth - birth), pg_typeof(seen - seen), pg_typeof(birth + interval '1 day'), pg_typeof(-n), pg_typeof(n << 2), pg_typeof(big & 3), pg_typeof(n ^ 2), pg_typeof(seen - birth), pg_typeof(n = 1) FROM person WHERE id = 1

SELECT abs(n), abs(big), abs(amount), abs(ratio), ceil(ratio), floor(ratio), round(ratio), round(amount, 1), trunc(amount, 1), trunc(ratio), sign(amount), sqrt(abs(amount)), exp(n), ln(abs(amount)), log(10, abs(amount)), power(ratio, 2), power(n, 3), power(amount, 2), mod(n, 3), mod(big, 7), mod(amount, 3), gcd(n, 4), lcm(n, 4), div(amount, 2), degrees(ratio), radians(ratio), sin(ratio), atan2(ratio, 1), cbrt(ratio), factorial(abs(n)), scale(amount), trim_scale(amount), width_bucket(amount, 0, 100, 5), width_bucket(ratio, 0, 100, 5) FROM person WHERE id IN (2, 3, 4) ORDER BY id

SELECT width_bucket(n, ARRAY[0, 3, 6]), width_bucket(birth, ARRAY[date '1945-01-01']) FROM person ORDER BY id LIMIT 3

SELECT round(n), ceil(n), floor(n), sqrt(abs(n)), ln(abs(n) + 1), round(n, 1), round(big, -3), trunc(n), exp(n), log(abs(n) + 1) FROM person WHERE id IN (2, 3, 4) ORDER BY id

SELECT round(n / 3, 2), round(avg(n), 2), round(sum(amount) / count(*), 2) FROM person GROUP BY n ORDER BY 1, 2

SELECT name::bytea, name::regclass FROM person WHERE id = 1 -- error: input

SELECT string_agg(raw, '\x00' ORDER BY id), string_agg(name::varchar, ', ' ORDER BY id), string_agg(n::text, '' ORDER BY n, id), string_agg(name, note ORDER BY id) FROM person WHERE id < 5

SELECT quote_ident(name), quote_literal(n), quote_literal(birth), quote_nullable(note), format('%s %I %L %s', name, name, n, birth), concat(name, note, n), concat_ws(',', VARIADIC ARRAY[name, note]), format('%s', VARIADIC ARRAY[name, note]), num_nulls(name, note, amount), num_nonnulls(note, n) FROM person WHERE id < 6 ORDER BY id

SELECT array_position(ARRAY['a', name], name), array_append(ARRAY['x'], name), ARRAY['x'] || name, name || ARRAY['x'], array_prepend(name, ARRAY['x']), array_remove(ARRAY['Martin', 'x'], name), name = ANY(ARRAY['Martin', note]), ARRAY[name] && ARRAY['Martin'], ARRAY[name, note] @> ARRAY['Martin'], ARRAY['Martin'] <@ ARRAY[name], cardinality(ARRAY[name, note]), array_to_string(ARRAY[name, note], '/', '-'), array_length(ARRAY[name], 1), ARRAY[n, id], ARRAY[n, big], ARRAY[name, 'x'], array_fill(name, ARRAY[2]), (ARRAY[name, note])[1], unnest(ARRAY[name, note]) FROM person WHERE id < 6 AND id > 3 ORDER BY id

SELECT array_agg(name ORDER BY name) @> ARRAY['Martin'], array_agg(n) && ARRAY[3, 4], 'Martin' = ANY(array_agg(name)), array_to_json(array_agg(name ORDER BY id)), array_remove(array_agg(note ORDER BY id), NULL), (array_agg(name ORDER BY birth))[1], array_length(array_agg(n), 1), array_to_string(array_agg(birth ORDER BY id), ','), cardinality(array_agg(DISTINCT name)) FROM person WHERE id < 9

SELECT array_agg(name) = array_agg(name), array_agg(name ORDER BY id) = ARRAY['Bernard', 'Dubois'], array_agg(name ORDER BY id)::text, array_agg(name ORDER BY id)::text[] FROM person WHERE id < 3

SELECT x, count(*) FROM person, unnest(ARRAY[name, note]) x GROUP BY x ORDER BY x LIMIT 5

SELECT id, n FROM person ORDER BY n NULLS LAST, big DESC, ratio, code, raw, seen, ok, doc LIMIT 4

SELECT id FROM person ORDER BY CASE WHEN name = 'Martin' THEN 0 ELSE 1 END, name, id LIMIT 10

SELECT name FROM person ORDER BY length(name), name LIMIT 10

SELECT name AS nm FROM person ORDER BY nm || '' LIMIT 1 -- error: column

SELECT max(name) || '!' , min(n) + 1, max(birth) - min(birth) FROM person

SELECT id, name FROM person ORDER BY 2 DESC, 1 FETCH FIRST 3 ROWS WITH TIES

SELECT name, sum(n) s FROM person GROUP BY name HAVING sum(n) > 0 AND name > 'B' ORDER BY s, 1

SELECT left(name, 1) AS i, count(*) FROM person GROUP BY i ORDER BY i

SELECT date_trunc('year', birth) y, count(*), sum(amount) FROM person GROUP BY 1 ORDER BY 1

SELECT n % 3 AS m, count(*) FROM person GROUP BY n % 3 ORDER BY m

SELECT name, CASE WHEN n > 0 THEN 'pos' ELSE 'neg' END sgn, count(*) FROM person GROUP BY name, CASE WHEN n > 0 THEN 'pos' ELSE 'neg' END ORDER BY 1, 2

SELECT coalesce(note, name) c, count(*) FROM person GROUP BY coalesce(note, name) ORDER BY 1 LIMIT 4

SELECT name || '' x, count(*) FROM person GROUP BY name || '' ORDER BY 1

SELECT doc -> 'tags' t, count(*) FROM person GROUP BY 1 ORDER BY 1

SELECT doc ->> 'k' k, count(*) FROM person GROUP BY doc ->> 'k' ORDER BY 1 LIMIT 4

SELECT ok, count(*) FROM person GROUP BY ok ORDER BY ok NULLS FIRST

SELECT note, count(*) FROM person GROUP BY note HAVING count(*) > 1 OR note LIKE '%1 %' ORDER BY note

SELECT count(DISTINCT (name, n)), count(DISTINCT lower(name)), count(DISTINCT note), count(DISTINCT ok), count(DISTINCT doc), count(DISTINCT seen), count(DISTINCT birth), count(DISTINCT amount), count(DISTINCT ratio), count(DISTINCT raw), count(DISTINCT code) FROM person

PREPARE a(varchar) AS SELECT id FROM person WHERE name = COALESCE($1, name) ORDER BY 1; EXECUTE a('Martin'); EXECUTE a(NULL)

PREPARE a(varchar, varchar) AS UPDATE person SET name = COALESCE($1, name), note = COALESCE(note, $2) WHERE id < 6 RETURNING id, name, note; EXECUTE a('x', 'y'); EXECUTE a(NULL, NULL)

PREPARE a(text) AS SELECT COALESCE(note, $1) FROM person WHERE id < 6 ORDER BY id; EXECUTE a('y')

PREPARE a AS SELECT COALESCE(note, $1) FROM person WHERE id < 6 ORDER BY id; EXECUTE a('y')

PREPARE a(int2) AS SELECT id FROM person WHERE n = $1 OR big = $1 OR amount > $1 ORDER BY id; EXECUTE a(3)

PREPARE a(int8) AS SELECT id FROM person WHERE n = $1 ORDER BY id; EXECUTE a(3); EXECUTE a(3000000000)

PREPARE a(int4) AS SELECT id FROM person WHERE big = $1 OR amount = $1 OR ratio = $1 ORDER BY id; EXECUTE a(3)

PREPARE a(numeric) AS SELECT id FROM person WHERE n = $1 OR big = $1 OR amount = $1 OR ratio = $1 ORDER BY id; EXECUTE a(2.2); EXECUTE a(3)

PREPARE a(float8) AS SELECT id FROM person WHERE n = $1 OR big = $1 OR ratio = $1 OR amount = $1 ORDER BY id; EXECUTE a(3)

PREPARE a(float4) AS SELECT id FROM person WHERE n = $1 OR ratio < $1 ORDER BY id; EXECUTE a(3)

PREPARE a(timestamp, timestamptz) AS SELECT id FROM person WHERE birth = $1 OR birth >= $2 OR seen = $1 OR seen < $2 ORDER BY id; EXECUTE a('1940-05-07', '2020-01-03')

PREPARE a(date) AS SELECT id FROM person WHERE seen > $1 AND birth <> $1 ORDER BY id; EXECUTE a('2020-01-10')

PREPARE a(text, text) AS INSERT INTO person (id, name, birth, n, doc, code, ok, amount) VALUES (9000, $1, $2::date, $2::date - date '2000-01-01', '{}', gen_random_uuid(), true, 1) RETURNING name, birth, n; EXECUTE a('a', '2000-01-05')

PREPARE a(varchar, varchar) AS INSERT INTO person (id, name, nir) VALUES (9000, $1, $2) ON CONFLICT (nir) DO UPDATE SET name = EXCLUDED.name RETURNING id, name; EXECUTE a('a', '1 53 00003'); EXECUTE a('b', 'new')

PREPARE a(bpchar) AS SELECT id FROM person WHERE name = $1 ORDER BY id; EXECUTE a('Martin'); EXECUTE a('Martin   ')

PREPARE a(int[]) AS SELECT id FROM person WHERE n = ANY($1) AND big <> ALL($1) ORDER BY id; EXECUTE a('{1,2}')

PREPARE a(varchar[]) AS SELECT id FROM person WHERE name = ANY($1) ORDER BY id; EXECUTE a('{Martin,Dubois}')

PREPARE a(uuid, jsonb, bytea, bool) AS SELECT id FROM person WHERE code = $1 OR doc @> $2 OR raw = $3 OR (ok = $4 AND id < 10) ORDER BY id; EXECUTE a('00000000-0000-4000-8000-000000000007', '{"k": 8}', '\x0009', true)

PREPARE a(text) AS SELECT id FROM person WHERE name LIKE $1 OR name ILIKE '%' || $1 || '%' ORDER BY 1; EXECUTE a('mar')

PREPARE a(text) AS SELECT id, CASE WHEN name = $1 THEN 'x' ELSE name END, NULLIF(name, $1), name || $1 FROM person ORDER BY 1 LIMIT 9; EXECUTE a('Martin')

PREPARE a(varchar) AS SELECT id, CASE WHEN name = $1 THEN $1 ELSE name END, NULLIF(name, $1), name || $1, GREATEST(name, $1), concat(name, $1) FROM person ORDER BY 1 LIMIT 9; EXECUTE a('Martin')

PREPARE a(int, int) AS SELECT id, name FROM person WHERE name > 'A' ORDER BY name, id LIMIT $1 OFFSET $2; EXECUTE a(3, 2)

INSERT INTO person (id, name, note) VALUES (9001, 'a', 'b'), (9002, NULL, DEFAULT), (9003, 'x'::varchar, upper('q')) RETURNING *

INSERT INTO person (id, name) VALUES (1, 'dup') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name || person.name, n = person.n + 1 WHERE person.name <> EXCLUDED.name RETURNING id, name, n

INSERT INTO person (id, name, n) VALUES (1, 'dup', 5) ON CONFLICT (id) DO UPDATE SET (name, n, note) = (EXCLUDED.name, EXCLUDED.n, COALESCE(EXCLUDED.note, person.note)) RETURNING *

INSERT INTO person (id, nir, name) SELECT 9100 + id, nir || 'z', ward FROM visit WHERE id < 5 RETURNING id, nir, name

INSERT INTO person (id, nir) SELECT 9100, nir FROM visit WHERE id = 3 ON CONFLICT (nir) DO UPDATE SET note = 'hit ' || EXCLUDED.nir RETURNING id, note

UPDATE person p SET name = s.name || '2', n = s.m FROM (SELECT name, max(n) AS m FROM person GROUP BY name) s WHERE s.name = p.name AND p.id < 5 RETURNING p.id, p.name, p.n

UPDATE person SET name = DEFAULT, n = NULL WHERE id = 1 RETURNING name, n

UPDATE person SET name = (SELECT ward FROM visit WHERE visit.nir = person.nir ORDER BY id LIMIT 1), amount = amount * 1.1, seen = seen + interval '1 hour', ratio = ratio / 2, ok = NOT ok, raw = raw || '\x01', code = '00000000-0000-4000-8000-0000000000ff' WHERE id = 3 RETURNING *

UPDATE person SET (name, note) = ('p', 'q') WHERE id = 4 RETURNING name, note

UPDATE person SET (name, note) = ROW(note, name) WHERE id = 4 RETURNING name, note

UPDATE person SET n = CASE id WHEN 1 THEN 10 WHEN 2 THEN 20 END WHERE id IN (1,2) RETURNING id, n

UPDATE person AS p SET name = v.name, birth = v.birth::date FROM (VALUES (1, 'a', '2001-01-01'), (2, 'b', '2002-02-02')) AS v(id, name, birth) WHERE v.id = p.id RETURNING p.id, p.name, p.birth

WITH u AS (UPDATE person SET n = n + 100 WHERE id < 4 RETURNING *), i AS (INSERT INTO person (id, name, n) SELECT id + 500, name, n FROM u RETURNING *) SELECT id, name, n FROM i UNION ALL SELECT id, name, n FROM u ORDER BY 1

WITH t AS (DELETE FROM person WHERE name = 'Martin' RETURNING *) SELECT count(*), sum(n), string_agg(name, ',' ORDER BY id), json_agg(t.name ORDER BY id) FROM t

MERGE INTO person p USING (SELECT 1 AS id, 'm' AS name, 3 AS n UNION ALL SELECT 777, 'new', 4) s ON p.id = s.id WHEN MATCHED AND p.name <> s.name THEN UPDATE SET name = s.name || p.name, n = p.n + s.n WHEN NOT MATCHED THEN INSERT (id, name, n) VALUES (s.id, s.name, s.n); SELECT id, name, n FROM person WHERE id IN (1, 777) ORDER BY 1

MERGE INTO visit v USING person p ON v.nir = p.nir AND v.id < 10 WHEN MATCHED AND p.name = 'Martin' THEN DELETE WHEN MATCHED THEN UPDATE SET ward = p.name, day = p.birth; SELECT * FROM visit WHERE id < 10 ORDER BY id

MERGE INTO person p USING visit v ON p.n = v.patient AND v.id = 3 AND p.id = 6 WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED AND v.id = 4 THEN INSERT (id, name, birth, big) VALUES (888, v.ward, v.day, v.patient); SELECT id, name, birth, big FROM person WHERE id > 100

DO $$ DECLARE r person%ROWTYPE; v person.name%TYPE; i person.n%TYPE := 5; d person.birth%TYPE; t text; c int := 0; BEGIN FOR r IN SELECT * FROM person WHERE id < 6 ORDER BY id LOOP v := r.name || '!'; i := i + r.n; IF r.birth < date '1941-01-01' THEN c := c + 1; END IF; IF v LIKE 'M%' OR r.note IS NULL THEN RAISE NOTICE '%', upper(v); END IF; END LOOP; d := '2000-01-01'; d := d + 1; t := v; RAISE NOTICE '% % % % %', t, i::int, c, d::date, length(v); END $$

DO $$ DECLARE r record; x text; BEGIN FOR r IN SELECT id, name, n, birth, note FROM person WHERE id < 6 ORDER BY id LOOP x := r.name; RAISE NOTICE '% % % %', r.id, x, r.n + 1, r.birth + 1; IF r.name = 'Thomas' AND r.n = -5 THEN RAISE NOTICE 'T'; END IF; END LOOP; END $$

DO $$ DECLARE r record; t text; k int; BEGIN EXECUTE 'SELECT name, n FROM person WHERE name = $1 AND n = $2 AND birth > $3' INTO r USING 'Martin', 0, date '1900-01-01'; RAISE NOTICE '% %', r.name::text, r.n + 0; EXECUTE format('SELECT count(*) FROM person WHERE name = %L', 'Martin') INTO k; RAISE NOTICE '%', k; UPDATE person SET note = 'z' WHERE name = 'Martin' RETURNING name INTO t; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END $$

DO $$ DECLARE names text[]; ns int[]; t text; a record; BEGIN SELECT array_agg(name ORDER BY id), array_agg(n ORDER BY id) INTO names, ns FROM person WHERE id < 4; RAISE NOTICE '% %', names, ns; FOREACH t IN ARRAY names LOOP RAISE NOTICE '%', t; END LOOP; names := ARRAY(SELECT name FROM person WHERE id < 3 ORDER BY id); RAISE NOTICE '%', names; END $$

DO $$ DECLARE c CURSOR (w text) FOR SELECT id, name FROM person WHERE name = w ORDER BY id; BEGIN FOR r IN c('Martin') LOOP RAISE NOTICE '% %', r.id, r.name::text; UPDATE person SET note = 'c' WHERE CURRENT OF c; END LOOP; END $$ -- error: both or none

DO $$ DECLARE c CURSOR FOR SELECT id, name FROM person FOR UPDATE; BEGIN FOR r IN c LOOP UPDATE person SET note = r.name || 'c' WHERE CURRENT OF c; END LOOP; END $$; SELECT id, note FROM person ORDER BY id LIMIT 5

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name IS DISTINCT FROM OLD.name THEN RAISE NOTICE 'changed % to %', OLD.name::text, NEW.name::text; END IF; IF NEW.* IS DISTINCT FROM OLD.* THEN NEW.note := 'row changed'; END IF; IF OLD.n = NEW.n THEN RAISE NOTICE 'same n'; END IF; IF row_to_json(NEW)::text <> row_to_json(OLD)::text THEN RAISE NOTICE 'json %', row_to_json(NEW) ->> 'name'; END IF; RETURN NEW; END $$; CREATE TRIGGER t BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tg(); UPDATE person SET name = name WHERE id = 1 RETURNING note; UPDATE person SET name = 'Zed' WHERE id = 2 RETURNING note; UPDATE person SET n = n + 0, birth = birth::text::date WHERE id = 3 RETURNING note

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'fired'; RETURN NEW; END $$; CREATE TRIGGER t BEFORE UPDATE ON person FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION tg(); UPDATE person SET name = 'Bernard' WHERE id = 1; UPDATE person SET name = 'X' WHERE id = 1

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'fired'; RETURN NEW; END $$; CREATE TRIGGER t BEFORE UPDATE ON person FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION tg(); UPDATE person SET name = 'Bernard', note = note || '' WHERE id = 1; UPDATE person SET name = 'X' WHERE id = 1

CREATE TRIGGER t BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(); UPDATE person SET name = name WHERE id = 1 RETURNING id

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO visit SELECT id + 5000, nir, name, birth, n FROM newt; RETURN NULL; END $$; CREATE TRIGGER t AFTER INSERT ON person REFERENCING NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION tg(); INSERT INTO person (id, nir, name, birth, n) VALUES (700, 'x', 'y', '2000-01-01', 4); SELECT * FROM visit WHERE id > 5000

CREATE TABLE audit (t text, old jsonb, new jsonb); CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(NEW)); RETURN NEW; END $$; CREATE TRIGGER t AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tg(); UPDATE person SET name = 'X' WHERE id = 1; SELECT * FROM audit

CREATE FUNCTION f(person) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.name || $1.n'; SELECT f(p), p.f FROM person p ORDER BY id LIMIT 3

CREATE FUNCTION f(a text, b int DEFAULT 3) RETURNS TABLE (x text, y int) LANGUAGE sql STABLE AS 'SELECT name, n FROM person WHERE name = a AND n = b'; SELECT * FROM f('Martin', 0); SELECT p.id, x FROM person p, f(p.name, p.n) ORDER BY 1 LIMIT 3

CREATE FUNCTION f() RETURNS SETOF text LANGUAGE plpgsql AS 'DECLARE r record; BEGIN FOR r IN SELECT name FROM person ORDER BY id LIMIT 2 LOOP RETURN NEXT r.name; END LOOP; END'; SELECT * FROM f()

CREATE FUNCTION f() RETURNS SETOF person LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM person ORDER BY id LIMIT 2; END'; SELECT id, name, n FROM f()

CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT name FROM person WHERE id = 1'; SELECT f()

CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT name FROM person WHERE id = 1; END; SELECT f()

CREATE FUNCTION f(OUT a text, OUT b int) LANGUAGE sql AS 'SELECT name, n FROM person WHERE id = 1'; SELECT * FROM f()

CREATE FUNCTION f(varchar) RETURNS varchar LANGUAGE sql AS 'SELECT $1 || ''.'''; SELECT f(name) FROM person ORDER BY id LIMIT 2

CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT ''text ''||$1'; CREATE FUNCTION f(varchar) RETURNS text LANGUAGE sql AS 'SELECT ''varchar ''||$1'; SELECT f(name) FROM person ORDER BY id LIMIT 2

CREATE FUNCTION f(anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1'; SELECT f(n), f(name), f(birth) FROM person ORDER BY id LIMIT 2

CREATE FUNCTION f(VARIADIC text[]) RETURNS int LANGUAGE sql AS 'SELECT cardinality($1)'; SELECT f(name, note) FROM person ORDER BY id LIMIT 2

CREATE PROCEDURE pr(INOUT x text) LANGUAGE plpgsql AS 'BEGIN SELECT name INTO x FROM person WHERE name = x LIMIT 1; END'; CALL pr('Martin')

CREATE AGGREGATE cat(text) (SFUNC = textcat, STYPE = text); SELECT cat(name ORDER BY id) FROM person WHERE id < 4

CREATE VIEW vv AS SELECT p.id, p.name, upper(p.name) u, v.ward, COALESCE(p.note, 'none') c, count(*) OVER () FROM person p JOIN visit v USING (nir) WHERE p.birth < '1950-01-01'; SELECT * FROM vv WHERE name = 'Martin' ORDER BY id, ward; SELECT u, count(*) FROM vv GROUP BY u ORDER BY u

CREATE VIEW vv AS SELECT * FROM person WHERE name > 'M' WITH CHECK OPTION; INSERT INTO vv (id, name) VALUES (800, 'N') RETURNING name; INSERT INTO vv (id, name) VALUES (801, 'A') -- error: check option

CREATE RECURSIVE VIEW rv(i, t) AS SELECT 1, name FROM person WHERE id = 1 UNION ALL SELECT i + 1, t FROM rv WHERE i < 3; SELECT * FROM rv

WITH RECURSIVE r AS (SELECT id, name, n FROM person WHERE id = 1 UNION ALL SELECT p.id, p.name, p.n FROM person p JOIN r ON p.id = r.id + 1 WHERE r.id < 4) SELECT * FROM r ORDER BY id

WITH RECURSIVE r AS (SELECT id, name::text AS path FROM person WHERE id = 1 UNION ALL SELECT p.id, r.path || '/' || p.name FROM person p JOIN r ON p.id = r.id + 1 WHERE r.id < 4) SELECT * FROM r ORDER BY id

WITH RECURSIVE r AS (SELECT id, name FROM person WHERE id = 1 UNION SELECT p.id, p.name FROM person p JOIN r ON p.n = r.id) SELECT * FROM r ORDER BY id

WITH RECURSIVE r AS (SELECT id, name FROM person WHERE id < 4 UNION ALL SELECT p.id, p.name FROM person p JOIN r ON p.id = r.id + 10 WHERE p.id < 20) SEARCH DEPTH FIRST BY name SET o SELECT id, name FROM r ORDER BY o, id

DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id, name, birth FROM person ORDER BY birth DESC; FETCH FORWARD 2 FROM c; FETCH ABSOLUTE -1 FROM c; FETCH RELATIVE -1 FROM c; CLOSE c

SELECT id, name FROM person WHERE name = 'Martin' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

SELECT id FROM person p WHERE p.name = 'Martin' FOR SHARE OF p NOWAIT

SELECT * INTO TEMP tt FROM person; SELECT id, name, n FROM tt WHERE name = 'Martin' ORDER BY id; SELECT count(*) FROM tt JOIN person p USING (nir)

CREATE TEMP TABLE tt AS SELECT name, count(*) c FROM person GROUP BY name; SELECT * FROM tt ORDER BY name; CREATE INDEX ON tt (c)

CREATE TEMP TABLE tt (LIKE person INCLUDING ALL); INSERT INTO tt SELECT * FROM person; SELECT id, name FROM tt ORDER BY id LIMIT 2

CREATE TABLE kid (x int) INHERITS (person); INSERT INTO kid (id, name, x) VALUES (950, 'kid', 1); SELECT id, name, tableoid::regclass::text LIKE '%kid' FROM person WHERE name IN ('kid', 'Martin') ORDER BY id; UPDATE person SET name = 'kidd' WHERE name = 'kid'; SELECT id, name FROM kid; SELECT id FROM ONLY person WHERE name = 'kidd'

CREATE TYPE comp AS (a text, b int); SELECT ROW(name, n)::comp, (ROW(name, n)::comp).a FROM person ORDER BY id LIMIT 2

CREATE DOMAIN dom AS text CHECK (VALUE <> 'bad'); SELECT name::dom FROM person ORDER BY id LIMIT 2

CREATE TYPE mood AS ENUM ('Martin', 'Bernard'); SELECT name::mood FROM person WHERE id = 1

SELECT '127.0.0.1'::text::inet, (CASE WHEN id = 1 THEN '10.0.0.1' ELSE name END)::inet FROM person WHERE id = 1

SELECT name::xml, ('<a>' || name || '</a>')::xml, xpath('/a/text()', ('<a>' || name || '</a>')::xml) FROM person WHERE id = 1

SELECT id FROM person WHERE ARRAY[name] = ARRAY['Martin'] ORDER BY 1

SELECT (ARRAY[name, note])[1:2], (ARRAY[n, id])[2] FROM person WHERE id < 3 ORDER BY id

SELECT name, note FROM person WHERE id < 3 ORDER BY id \gx

SELECT name AS v1, birth AS v2 FROM person WHERE id = 1 \gset
\echo :v1 :v2
SELECT id FROM person WHERE name = :'v1' ORDER BY id
;

\copy (SELECT id, name, birth FROM person WHERE id < 4 ORDER BY id) TO STDOUT CSV HEADER FORCE QUOTE *

COPY (SELECT p.name, count(v.id) FROM person p LEFT JOIN visit v USING (nir) GROUP BY p.name ORDER BY 1) TO STDOUT (FORMAT csv, DELIMITER ';', NULL 'nil')

COPY person (id, name, birth, n) FROM STDIN (FORMAT csv);
960,"a ""q"", b",2000-01-01,5
961,,,
\.
SELECT id, name, birth, n FROM person WHERE id > 900 ORDER BY id

COPY person (id, name, n) FROM STDIN WITH (DELIMITER '|', NULL 'x') WHERE id > 970;
970|a|1
971|x|2
\.
SELECT id, name, birth, n FROM person WHERE id > 900 ORDER BY id

SELECT pg_column_size(id), name IS NORMALIZED, normalize(name, NFD) = name, name::text COLLATE "C" < 'M' FROM person ORDER BY id LIMIT 3

SELECT name = 'Martin' COLLATE "C", name IN ('Martin' COLLATE "C") FROM person ORDER BY id LIMIT 3

SELECT min(birth) FILTER (WHERE name = 'Martin'), max(seen)::date, sum(n) * 2, avg(amount)::numeric(10,2), sum(amount)::text, count(*) FILTER (WHERE birth > '1950-01-01') * 100.0 / count(*) FROM person

SELECT name, avg(extract(year FROM age('2024-01-01', birth)))::int FROM person GROUP BY name HAVING avg(n) > -3 ORDER BY 2 DESC, 1

SELECT date_part('year', birth)::int / 10 * 10 AS decade, name, count(*), sum(count(*)) OVER (PARTITION BY name ORDER BY date_part('year', birth)::int / 10) FROM person GROUP BY 1, name, date_part('year', birth)::int / 10 ORDER BY 1, 2

SELECT name, n, sum(n) FILTER (WHERE ok) OVER (PARTITION BY name), rank() OVER (PARTITION BY name ORDER BY sum(n) DESC) FROM person GROUP BY name, n, ok ORDER BY 1, 2, 3, 4

SELECT EXISTS (SELECT 1 FROM person WHERE name = 'Martin'), NOT EXISTS (SELECT FROM person WHERE n > 100), (SELECT count(*) FROM person WHERE name = ANY (SELECT ward FROM visit))

SELECT id, (SELECT string_agg(ward, ',' ORDER BY id) FROM visit v WHERE v.nir = p.nir) FROM person p ORDER BY id LIMIT 5

SELECT id FROM person WHERE ok = 't' OR ok = 'no' OR ok IN (true) OR NOT ok ORDER BY id

SELECT id FROM person WHERE ok IS NOT TRUE AND ok IS DISTINCT FROM true AND COALESCE(ok, true) ORDER BY id

SELECT id FROM person WHERE (ok AND n > 0) OR (ok = (n < 0)) ORDER BY id

SELECT id FROM person WHERE ok::text = 'true' OR ok::int = 0 ORDER BY id

SELECT power(amount, 2), power(2, amount), power(amount, 2.0), power(amount, '2'), amount ^ 2, width_bucket(amount, 0, 3, 10) FROM person ORDER BY id

PREPARE a AS SELECT power(amount, $1), log(2, amount), amount * $2 FROM person WHERE amount > 0 ORDER BY id; EXECUTE a(3, 2)

SELECT n::bit(8), n::bit(3), n::bit, big::bit(40) FROM person ORDER BY id

SELECT coalesce(note, 'x'::varchar), greatest(name, 'M'::varchar), CASE WHEN ok THEN name ELSE 'y'::varchar END FROM person ORDER BY id

SELECT array_agg(name ORDER BY id) = array_agg(name ORDER BY id), array_agg(n ORDER BY id) < array_agg(n ORDER BY id DESC), array_agg(name) && array_agg(note) FROM person WHERE id < 6

SELECT a.id, b.id FROM person a JOIN person b ON ARRAY[a.name, a.nir] = ARRAY[b.name, b.nir] WHERE a.id < 4 ORDER BY 1, 2

CREATE TABLE tagged AS SELECT id, ARRAY[name, note] AS tags FROM person; SELECT id FROM tagged WHERE tags @> '{Martin}' OR tags && '{Thomas,none}' OR tags = ARRAY['Dubois', 'x'] ORDER BY id; SELECT tags[1], count(*) FROM tagged GROUP BY tags[1] ORDER BY 1; SELECT DISTINCT tags FROM tagged ORDER BY tags; SELECT count(*) FROM tagged a JOIN tagged b USING (tags)

SELECT concat_ws(',', VARIADIC ARRAY[name, note]), format('%s-%s', VARIADIC ARRAY[name, nir]), concat(VARIADIC ARRAY[n, id]) FROM person ORDER BY id

CREATE TYPE mood AS ENUM ('Martin', 'Bernard'); SELECT name::mood, (name || '')::mood FROM person WHERE name IN ('Martin', 'Bernard') ORDER BY id

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n), round(corr(n, big)::numeric, 9) FROM person

SELECT width_bucket(n, -8, 8, 4) FROM person ORDER BY id

SELECT count(*) FROM person WHERE (birth, birth) OVERLAPS (birth, birth)

SELECT count(*) FROM person p JOIN pg_class c ON c.relname = p.name

SELECT coalesce(big, '0'), coalesce(amount, 0.0), coalesce(amount, '0'), coalesce(n::numeric, 0.5), sum(CASE WHEN ok THEN amount END), sum(amount) FILTER (WHERE ok) FROM person GROUP BY id ORDER BY id

CREATE FUNCTION f() RETURNS TABLE (x text, y int, z date) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT name, n, birth FROM person ORDER BY id LIMIT 2; RETURN QUERY SELECT DISTINCT name, n, birth FROM person WHERE id < 4 ORDER BY birth DESC; RETURN QUERY SELECT ''a'', 1, birth FROM person WHERE id = 4; END'; SELECT * FROM f(); SELECT * FROM f() WHERE x LIKE 'B%'

CREATE FUNCTION f(w text) RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT name FROM person WHERE name = w UNION ALL SELECT nir FROM person WHERE name = w ORDER BY 1; RETURN NEXT ''end''; END'; SELECT * FROM f('Martin'); SELECT f('Thomas'); SELECT f(name) FROM person WHERE id = 1

CREATE FUNCTION f() RETURNS SETOF person LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM person ORDER BY id LIMIT 2; END'; SELECT id, name, n, doc FROM f(); CREATE TABLE kept AS SELECT * FROM f(); SELECT name FROM kept ORDER BY id

CREATE FUNCTION f() RETURNS TABLE (id int, p person, u text) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT q.id, q, q.name FROM person q ORDER BY q.id LIMIT 2; END'; SELECT id, (p).name, u FROM f()

CREATE FUNCTION f() RETURNS SETOF varchar LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT name::varchar FROM person ORDER BY id LIMIT 2; END'; SELECT * FROM f()

CREATE FUNCTION f() RETURNS TABLE (a text, b int8) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY UPDATE person SET note = name WHERE id < 3 RETURNING name, big; RETURN QUERY WITH x AS (DELETE FROM person WHERE id = 5 RETURNING name, big) SELECT * FROM x; END'; SELECT * FROM f()

CREATE FUNCTION f(k int) RETURNS TABLE (a text) LANGUAGE plpgsql AS 'BEGIN IF k > 0 THEN RETURN QUERY SELECT name || a.a FROM person, f(k - 1) a WHERE id = k; END IF; RETURN QUERY SELECT name FROM person WHERE id = k + 1; END'; SELECT * FROM f(3)

CREATE FUNCTION f() RETURNS TABLE (a text) LANGUAGE plpgsql AS 'BEGIN BEGIN RETURN QUERY SELECT name FROM person WHERE 1 / (id - 1) > 0; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN QUERY SELECT name FROM person WHERE id = 1; END'; SELECT * FROM f(); SELECT * FROM f(); ALTER TABLE person ADD q int; SELECT * FROM f()

CREATE FUNCTION f() RETURNS TABLE (a int) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT name FROM person; END'; SELECT * FROM f() -- error: structure

CREATE FUNCTION f() RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT name, n FROM person ORDER BY id LIMIT 2; END'; SELECT * FROM f() AS t(a text, b int)

CREATE FUNCTION f() RETURNS SETOF text[] LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT array_agg(name ORDER BY id) FROM person WHERE id < 4; END'; SELECT * FROM f()

CREATE FUNCTION f() RETURNS TABLE (x text, y int, z date) LANGUAGE plpgsql AS 'DECLARE t text := ''person''; BEGIN RETURN QUERY EXECUTE ''SELECT name, n, birth FROM '' || t || '' ORDER BY id LIMIT 2''; RETURN QUERY EXECUTE format(''SELECT DISTINCT name, n, birth FROM %I WHERE id < 4 ORDER BY birth DESC'', t); END'; SELECT * FROM f(); SELECT * FROM f() WHERE x LIKE 'B%'

CREATE FUNCTION f(w text, k int) RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''SELECT name FROM person WHERE name = $1 OR id = $2 UNION ALL SELECT nir FROM person WHERE name = $1 ORDER BY 1'' USING w, k; RETURN QUERY EXECUTE ''SELECT name FROM person WHERE id = $1'' USING k; END'; SELECT * FROM f('Martin', 2); SELECT f(name, 1) FROM person WHERE id = 1

CREATE FUNCTION f() RETURNS TABLE (a text) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE (SELECT ''SELECT name FROM person WHERE id = '' || min(id) FROM person); RETURN QUERY EXECUTE ''SELECT $1 || name FROM person WHERE id = 2'' USING (SELECT name FROM person WHERE id = 1); END'; SELECT * FROM f(); SELECT name FROM person WHERE id = 1

CREATE FUNCTION f() RETURNS TABLE (a text) LANGUAGE plpgsql AS 'BEGIN BEGIN RETURN QUERY EXECUTE ''SELECT name FROM person WHERE 1 / (id - 1) > 0''; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN QUERY EXECUTE ''SELECT name FROM person WHERE id = 1''; END'; SELECT * FROM f(); SELECT * FROM f()

CREATE FUNCTION f(k int) RETURNS TABLE (a text) LANGUAGE plpgsql AS 'BEGIN IF k > 0 THEN RETURN QUERY EXECUTE ''SELECT name || a.a FROM person, f($1 - 1) a WHERE id = $1'' USING k; END IF; RETURN QUERY EXECUTE ''SELECT name FROM person WHERE id = $1 + 1'' USING k; END'; SELECT * FROM f(3)

CREATE FUNCTION f() RETURNS SETOF person LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''SELECT * FROM person ORDER BY id LIMIT 2''; END'; SELECT id, name, n, doc FROM f(); CREATE TABLE kept AS SELECT * FROM f(); SELECT name FROM kept ORDER BY id

CREATE FUNCTION f() RETURNS TABLE (a text) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''SELECT 1 / 0, name FROM person''; END'; SELECT * FROM f() -- error: division

CREATE FUNCTION f() RETURNS TABLE (a text, b int8) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''UPDATE person SET note = name WHERE id < 3 RETURNING name, big''; END'; SELECT * FROM f()


-- as people and ORMs write them: upserts, windows, sets, JSON, dates
INSERT INTO person (id, nir, name, n) VALUES (201, '1 51 00001', 'Upsert', 3) ON CONFLICT (nir) DO UPDATE SET name = excluded.name, n = person.n + excluded.n WHERE person.n IS DISTINCT FROM excluded.n RETURNING id, nir, name, n

INSERT INTO person (id, nir, name) VALUES (202, '1 51 00001', 'x'), (203, 'new one', 'y') ON CONFLICT (nir) DO NOTHING RETURNING id, name

INSERT INTO person (id, name) SELECT id + 300, name FROM person WHERE n > 6 ORDER BY id ON CONFLICT (id) DO UPDATE SET name = upper(excluded.name) RETURNING id, name

SELECT p.id, v.day, v.ward FROM person p LEFT JOIN LATERAL (SELECT day, ward FROM visit WHERE visit.patient = p.n ORDER BY day DESC LIMIT 1) v ON true WHERE p.id < 20 ORDER BY p.id

SELECT p.id, x.up FROM person p CROSS JOIN LATERAL (SELECT upper(p.name) AS up) x WHERE x.up LIKE 'M%' ORDER BY 1

SELECT name, ward, count(*) FROM person JOIN visit ON patient = n GROUP BY GROUPING SETS ((name), (ward), ()) ORDER BY 1 NULLS LAST, 2 NULLS LAST

SELECT name, n, count(*), grouping(name, n) FROM person WHERE n BETWEEN 0 AND 2 GROUP BY CUBE (name, n) ORDER BY 1 NULLS FIRST, 2 NULLS FIRST

SELECT count(*) FILTER (WHERE name = 'Martin') AS m, sum(amount) FILTER (WHERE n > 0) AS s, array_agg(name ORDER BY id) FILTER (WHERE name > 'R' AND id < 30) AS a FROM person

SELECT DISTINCT ON (name) name, birth, id FROM person ORDER BY name, birth DESC, id

SELECT DISTINCT ON (ward, patient) ward, patient, day FROM visit WHERE id < 40 ORDER BY ward, patient, day

SELECT id, sum(n) OVER (PARTITION BY name ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), first_value(birth) OVER (PARTITION BY name ORDER BY birth), last_value(name) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM person WHERE id < 25 ORDER BY id

SELECT id, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, ntile(3) OVER w FROM person WHERE id < 20 WINDOW w AS (ORDER BY name, n) ORDER BY id

SELECT id, lag(name) OVER (ORDER BY id), lead(amount, 2) OVER (ORDER BY id), lag(n, 1) OVER (ORDER BY id) FROM person WHERE id < 15 ORDER BY id

SELECT id, count(*) OVER (ORDER BY name GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM person WHERE id < 20 ORDER BY id

WITH RECURSIVE chain(id, name, path) AS (SELECT id, name::text, ARRAY[name::text] FROM person WHERE id = 1 UNION ALL SELECT p.id, p.name, c.path || p.name::text FROM chain c JOIN person p ON p.id = c.id + 7 WHERE cardinality(c.path) < 4) SELECT * FROM chain ORDER BY id

WITH RECURSIVE t(id) AS (SELECT id FROM person WHERE name = 'Martin' AND id < 20 UNION SELECT v.id FROM t JOIN visit v ON v.id = t.id * 2 WHERE v.ward <> 'ward 3') SELECT id FROM t ORDER BY 1

MERGE INTO person p USING (SELECT id, ward, patient FROM visit WHERE id < 6) v ON p.id = v.id WHEN MATCHED AND p.n > 0 THEN DELETE WHEN MATCHED THEN UPDATE SET name = v.ward, n = v.patient::int WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.ward);
SELECT id, name, n FROM person WHERE id < 8 ORDER BY id

MERGE INTO person p USING visit v ON p.nir = v.nir AND v.id < 70 WHEN MATCHED AND p.id < 5 THEN UPDATE SET note = v.ward || '!' WHEN NOT MATCHED AND v.id > 148 THEN INSERT (id, nir, name) VALUES (v.id + 1000, v.nir || 'm', 'merged');
SELECT id, nir, name, note FROM person WHERE id < 6 OR id > 1000 ORDER BY id

UPDATE person p SET name = v.ward, birth = v.day FROM visit v WHERE v.nir = p.nir AND v.id < 10 RETURNING p.id, p.name, p.birth, v.day

UPDATE person SET (name, n) = (SELECT ward, patient::int FROM visit WHERE visit.id = person.id) WHERE id < 4 RETURNING id, name, n

WITH u AS (UPDATE person SET name = 'same', note = DEFAULT WHERE id IN (SELECT v.id FROM visit v WHERE v.ward = 'ward 1' ORDER BY v.day LIMIT 3) RETURNING id, name, note) SELECT * FROM u ORDER BY id

DELETE FROM person p USING visit v WHERE v.nir = p.nir AND v.ward = 'ward 2' AND v.id < 30 RETURNING p.id, p.name, v.day

WITH gone AS (DELETE FROM visit WHERE ward = 'ward 3' AND id < 40 RETURNING id, ward, day), kept AS (INSERT INTO person (id, name, birth) SELECT id + 500, ward, day FROM gone RETURNING id, name, birth) SELECT * FROM kept ORDER BY id

SELECT json_agg(name ORDER BY id), jsonb_agg(n ORDER BY id), json_agg(birth ORDER BY id) FROM person WHERE id < 6

SELECT json_build_object('id', id, 'name', name, 'n', n, 'doc', doc, 'amount', amount, 'ok', ok) FROM person WHERE id < 5 ORDER BY id

SELECT json_agg(x) FROM (SELECT id, name, birth, doc FROM person WHERE id < 4 ORDER BY id) x

SELECT jsonb_object_agg(nir, n ORDER BY id) FROM person WHERE id < 6

SELECT row_to_json(r) FROM (SELECT id, name, amount FROM person WHERE id < 4 ORDER BY id) r

SELECT to_jsonb(name), to_json(n), to_jsonb(birth), to_jsonb(ok) FROM person WHERE id = 3

SELECT date_trunc('month', birth), date_trunc('day', seen), extract(year FROM birth), date_part('dow', birth), extract(epoch FROM seen) FROM person WHERE id < 6 ORDER BY id

SELECT age(timestamptz '2021-01-01', seen), age(date '2021-01-01', birth), date '2021-01-01' - birth, birth + 30, birth + interval '1 month', seen - interval '1 day' FROM person WHERE id < 6 ORDER BY id

SELECT date_trunc('year', birth) AS y, count(*), min(name) FROM person GROUP BY 1 ORDER BY 1

SELECT extract(month FROM birth) AS m, avg(amount), max(birth) FROM person GROUP BY extract(month FROM birth) HAVING count(*) > 3 ORDER BY 1

SELECT to_char(birth, 'DD/MM/YYYY'), to_char(seen, 'YYYY-MM-DD HH24:MI'), to_char(amount, 'FM999G990D00'), to_char(n, 'S00') FROM person WHERE id < 6 ORDER BY id

SELECT id FROM person WHERE (birth, birth + 100) OVERLAPS (date '1941-01-01', date '1942-01-01') ORDER BY id

SELECT id FROM person WHERE note ILIKE '%100!%!_%' ESCAPE '!' AND UPPER(name) LIKE UPPER('mar%') ORDER BY id

SELECT id FROM person WHERE UPPER(name::text) = UPPER('martin') OR name LIKE '%\_%' ESCAPE '\' ORDER BY id

SELECT id FROM person WHERE name SIMILAR TO '%(t|b)in' OR name NOT SIMILAR TO '[A-Z]%' ORDER BY id

SELECT id, substring(name FROM 2 FOR 3), position('r' IN name), overlay(name PLACING 'XX' FROM 2), trim(both 'M' FROM name), substring(name SIMILAR 'M#"%#"n' ESCAPE '#') FROM person WHERE id < 9 ORDER BY id

CREATE TABLE made (LIKE person INCLUDING DEFAULTS, g bigint GENERATED ALWAYS AS IDENTITY);
INSERT INTO made (id, name, birth) VALUES (1, 'a', '2000-01-01'), (2, 'b', NULL) RETURNING g, id, name, birth;
INSERT INTO made (id, name) OVERRIDING SYSTEM VALUE SELECT id, name FROM made RETURNING g, name, made.n

SELECT * FROM (SELECT id, name FROM person ORDER BY name FETCH FIRST 3 ROWS WITH TIES) t ORDER BY id

SELECT name, n FROM person WHERE n IS NOT NULL ORDER BY n DESC, name OFFSET 2 ROWS FETCH NEXT 4 ROWS ONLY

SELECT count(*), min(name), max(n), count(DISTINCT birth) FROM person TABLESAMPLE BERNOULLI (100)

SELECT count(name) FROM person TABLESAMPLE SYSTEM (100) REPEATABLE (7) WHERE name <> 'Martin'

PREPARE all_types(text, date, timestamptz, int, bigint, numeric, float8, bool, uuid, jsonb, bytea) AS INSERT INTO person (id, name, birth, seen, n, big, amount, ratio, ok, code, doc, raw) VALUES (700, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING name, birth, seen, n, big, amount, ratio, ok, code, doc, raw;
EXECUTE all_types('p', '2001-02-03', '2001-02-03 04:05+00', 4, 5, 6.50, 7.5, true, '00000000-0000-4000-8000-000000000700', '{"a": 1}', '\x0102')

PREPARE where_all(text, date, int, bigint, numeric, float8, uuid, bytea) AS SELECT id FROM person WHERE name = $1 OR birth = $2 OR n = $3 OR big = $4 OR amount = $5 OR ratio = $6 OR code = $7 OR raw = $8 ORDER BY id;
EXECUTE where_all('Dubois', '1940-05-07', 3, 9999999995, 2.20, 1, '00000000-0000-4000-8000-000000000007', '\x0008'); EXECUTE where_all(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)

PREPARE listed(text[]) AS SELECT id FROM person WHERE name = ANY ($1) ORDER BY id;
SET LOCAL plan_cache_mode = force_generic_plan;
EXECUTE listed('{Martin,ano}'); EXECUTE listed('{}')

PREPARE paged(text, int, int) AS SELECT id, name FROM person WHERE $1 IS NULL OR name ILIKE '%' || $1 || '%' ORDER BY name, id LIMIT $2 OFFSET $3;
EXECUTE paged('ar', 3, 2); EXECUTE paged(NULL, 2, 0)

SELECT EXISTS (SELECT 1 AS one FROM person WHERE name = 'Martin' AND id <> 4 LIMIT 1) AS found

SELECT "person"."id" AS t0_r0, "person"."name" AS t0_r1, "visit"."ward" AS t1_r0 FROM "person" LEFT OUTER JOIN "visit" ON "visit"."nir" = "person"."nir" WHERE "person"."name" IN ('Martin', 'Robert') AND "visit"."ward" IS NOT NULL ORDER BY 1, 3

SELECT COUNT(*) FROM (SELECT DISTINCT "person"."name" AS "col1", "person"."n" FROM "person" WHERE NOT ("person"."n" = 3 AND "person"."n" IS NOT NULL)) subquery

SELECT p.name, (SELECT count(*) FROM visit v WHERE v.nir = p.nir) AS visits FROM person p WHERE (SELECT max(day) FROM visit v WHERE v.nir = p.nir) > '2024-02-01' ORDER BY p.id

SELECT name, CASE WHEN n < 0 THEN 'neg' WHEN n = 0 THEN 'zero' ELSE 'pos' END AS sign, COALESCE(note, 'none'), NULLIF(name, 'Martin') FROM person WHERE id < 12 ORDER BY id

SELECT CASE name WHEN 'Martin' THEN 1 WHEN 'Dubois' THEN 2 ELSE 0 END AS k, count(*) FROM person GROUP BY 1 ORDER BY 1

SELECT id FROM person ORDER BY CASE WHEN name = 'Robert' THEN 0 ELSE 1 END, name DESC NULLS LAST, id LIMIT 12

SELECT name FROM person WHERE n > 3 INTERSECT SELECT name FROM person WHERE ok ORDER BY 1

SELECT nir FROM visit EXCEPT ALL SELECT nir FROM person ORDER BY 1

SELECT p.name, q.name FROM person p FULL JOIN person q ON p.n = q.n AND p.id < 5 AND q.id BETWEEN 18 AND 22 WHERE p.id < 5 OR q.id BETWEEN 18 AND 22 ORDER BY p.id, q.id

SELECT string_agg(DISTINCT name, ', ' ORDER BY name), percentile_disc(0.5) WITHIN GROUP (ORDER BY amount), mode() WITHIN GROUP (ORDER BY name), bool_and(ok), every(n > -100), stddev(n), corr(ratio, n) IS NULL FROM person WHERE ratio <> 'NaN'

SELECT doc ->> 'k', doc #>> '{tags,0}', doc @> '{"k": 3}', doc ? 'sub', jsonb_typeof(doc -> 'sub'), jsonb_path_query_first(doc, '$.tags[1]') FROM person WHERE id < 5 ORDER BY id

SELECT id, t.v FROM person, jsonb_array_elements_text(doc -> 'tags') WITH ORDINALITY AS t(v, i) WHERE id < 4 ORDER BY id, i

SELECT id FROM person WHERE name = 'Martin' FOR UPDATE SKIP LOCKED

-- the same over parallel plans
SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL min_parallel_index_scan_size = 0; SET LOCAL max_parallel_workers_per_gather = 2;
SELECT count(*), sum(n), min(name), max(birth), sum(amount) FROM person WHERE name > 'B' AND note LIKE 'note%';
SELECT name, count(*), sum(n) FROM person GROUP BY name ORDER BY name;
SELECT p.id, v.ward FROM person p JOIN visit v USING (nir) WHERE v.day > '2024-02-01' ORDER BY v.day, p.id;
SELECT id, name FROM person ORDER BY name, id LIMIT 20

-- rows that functions return, what is inlined, triggers and rules, definitions, cursors, COPY
CREATE TYPE nn AS (x text, y int); CREATE FUNCTION f() RETURNS SETOF nn LANGUAGE plpgsql AS 'DECLARE r record; BEGIN FOR r IN SELECT name, n FROM person ORDER BY id LIMIT 3 LOOP RETURN NEXT r; END LOOP; END'; SELECT * FROM f(); SELECT x || y FROM f()

CREATE TYPE nn AS (x text, y int); CREATE FUNCTION f() RETURNS nn LANGUAGE plpgsql AS 'DECLARE r record; BEGIN SELECT name, n INTO r FROM person WHERE id = 1; RETURN r; END'; SELECT * FROM f(); SELECT (f()).x, f()

CREATE FUNCTION f() RETURNS SETOF record LANGUAGE plpgsql AS 'DECLARE r record; BEGIN FOR r IN SELECT name, n FROM person ORDER BY id LIMIT 3 LOOP RETURN NEXT r; IF r.n > 0 THEN r.name := r.name || ''!''; RETURN NEXT r; END IF; END LOOP; END'; SELECT * FROM f() AS t(a text, b int)

CREATE FUNCTION f() RETURNS SETOF person LANGUAGE plpgsql AS 'DECLARE r person; BEGIN FOR r IN SELECT * FROM person ORDER BY id LIMIT 3 LOOP r.name := upper(r.name); RETURN NEXT r; END LOOP; END'; SELECT id, name, n, birth FROM f()

CREATE TYPE nn AS (x text, y int); CREATE FUNCTION f() RETURNS SETOF nn LANGUAGE plpgsql AS 'DECLARE r nn; BEGIN FOR r IN SELECT name, n FROM person ORDER BY id LIMIT 3 LOOP RETURN NEXT r; END LOOP; END'; SELECT * FROM f()

CREATE TYPE nn AS (x text, y int); CREATE FUNCTION f() RETURNS SETOF nn LANGUAGE sql AS 'SELECT name, n FROM person ORDER BY id LIMIT 3'; SELECT * FROM f(); SELECT x, count(*) FROM f() GROUP BY x ORDER BY x

CREATE FUNCTION f() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT name FROM person ORDER BY id LIMIT 3'; SELECT * FROM f(); SELECT upper(f) FROM f()

CREATE FUNCTION f(OUT x text, OUT y int) RETURNS SETOF record LANGUAGE sql BEGIN ATOMIC SELECT name, n FROM person ORDER BY id LIMIT 3; END; SELECT * FROM f()

CREATE FUNCTION f(OUT x text, OUT y date) RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN FOR x, y IN SELECT name, birth FROM person ORDER BY id LIMIT 3 LOOP RETURN NEXT; END LOOP; END'; SELECT * FROM f()

DO $$ DECLARE a text[]; x text; i int; BEGIN SELECT array_agg(name ORDER BY id) INTO a FROM person WHERE id < 4; FOREACH x IN ARRAY (SELECT array_agg(nir ORDER BY id) FROM person WHERE id < 4) LOOP RAISE NOTICE '%', x; END LOOP; FOR i IN array_lower(a, 1) .. array_upper(a, 1) LOOP RAISE NOTICE '% %', i, a[i]; END LOOP; END $$

DO $$ DECLARE c refcursor; x text; d date; BEGIN OPEN c FOR SELECT name, birth FROM person ORDER BY id; FETCH c INTO x, d; RAISE NOTICE '% %', x, d; MOVE 2 FROM c; FETCH c INTO x, d; RAISE NOTICE '% %', x, d; CLOSE c; OPEN c FOR EXECUTE 'SELECT name, birth FROM person WHERE n = $1 ORDER BY id' USING 3; FETCH c INTO x, d; RAISE NOTICE '% %', x, d; END $$

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE t text; BEGIN SELECT string_agg(name, ',' ORDER BY id) INTO t FROM oldt; RAISE NOTICE 'old %', t; FOR t IN SELECT n.name || '<' || o.name FROM newt n JOIN oldt o USING (id) ORDER BY id LOOP RAISE NOTICE '%', t; END LOOP; RETURN NULL; END $$; CREATE TRIGGER t AFTER UPDATE ON person REFERENCING NEW TABLE AS newt OLD TABLE AS oldt FOR EACH STATEMENT EXECUTE FUNCTION tg(); UPDATE person SET name = lower(name) WHERE id < 4

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO visit (id, ward, day) VALUES (NEW.id + 9000, NEW.name, NEW.birth); RETURN NEW; END $$; CREATE VIEW vp AS SELECT id, name, birth FROM person; CREATE TRIGGER t INSTEAD OF INSERT ON vp FOR EACH ROW EXECUTE FUNCTION tg(); INSERT INTO vp VALUES (1, 'trig', '2001-01-01'); SELECT id, ward, day FROM visit WHERE id > 9000

CREATE TABLE log (id int, was text, born date); CREATE RULE r AS ON UPDATE TO person WHERE OLD.name <> NEW.name DO ALSO INSERT INTO log VALUES (OLD.id, OLD.name, NEW.birth); UPDATE person SET name = 'ruled' WHERE id < 3; SELECT * FROM log ORDER BY id

CREATE TRIGGER t BEFORE UPDATE OF name ON person FOR EACH ROW WHEN (NEW.name = 'block' OR NEW.n > 100) EXECUTE FUNCTION upped(); UPDATE person SET name = 'block' WHERE id = 1 RETURNING name; UPDATE person SET name = 'pass' WHERE id = 1 RETURNING name

CREATE TABLE fk1 (nir text); DROP TABLE fk1; CREATE TABLE kid AS SELECT nir, ward FROM visit WHERE nir IN (SELECT nir FROM person); ALTER TABLE kid ADD FOREIGN KEY (nir) REFERENCES person (nir) ON DELETE SET NULL ON UPDATE CASCADE; UPDATE person SET nir = nir || 'u' WHERE id < 5; DELETE FROM person WHERE id = 7; SELECT nir, count(*) FROM kid GROUP BY nir ORDER BY nir NULLS FIRST LIMIT 8

CREATE TABLE kid AS SELECT nir FROM person; ALTER TABLE kid ADD FOREIGN KEY (nir) REFERENCES person (nir) DEFERRABLE INITIALLY DEFERRED; INSERT INTO kid VALUES ('later'); INSERT INTO person (id, nir) VALUES (888, 'later'); SET CONSTRAINTS ALL IMMEDIATE; SELECT count(*) FROM kid

CREATE TABLE kid (k int); ALTER TABLE kid ADD UNIQUE (k); INSERT INTO kid SELECT DISTINCT n FROM person; CREATE TABLE toy AS SELECT id, n FROM person; ALTER TABLE toy ADD FOREIGN KEY (n) REFERENCES kid (k) ON UPDATE CASCADE ON DELETE CASCADE; UPDATE kid SET k = 1000 WHERE k = 3; DELETE FROM kid WHERE k = 4; SELECT n, count(*) FROM toy GROUP BY n ORDER BY n

CREATE TABLE part (LIKE person) PARTITION BY RANGE (id); CREATE TABLE p0 PARTITION OF part FOR VALUES FROM (0) TO (20); CREATE TABLE p1 PARTITION OF part DEFAULT; CREATE UNIQUE INDEX ON part (id, nir); INSERT INTO part SELECT * FROM person; SELECT name, count(*) FROM part GROUP BY name ORDER BY name; SELECT id, name FROM part ORDER BY name, id LIMIT 5; INSERT INTO part (id, nir, name) VALUES (1, (SELECT nir FROM person WHERE id = 1), 'again') ON CONFLICT (id, nir) DO UPDATE SET name = excluded.name RETURNING id, name; SET enable_partitionwise_join = on; SET enable_partitionwise_aggregate = on; SELECT count(*) FROM part a JOIN part b USING (id, nir); SELECT id, max(name) FROM part GROUP BY id ORDER BY id LIMIT 3

CREATE TABLE ca AS SELECT id, name, birth FROM person WHERE n > 2 WITH NO DATA; INSERT INTO ca SELECT id, name, birth FROM person WHERE n > 6; SELECT * FROM ca ORDER BY id; ALTER TABLE ca ALTER name SET NOT NULL, ALTER birth SET DEFAULT '2000-01-01', ALTER name SET STORAGE MAIN, ALTER name SET STATISTICS 10, ALTER name SET COMPRESSION pglz; INSERT INTO ca (id, name) VALUES (1, 'x') RETURNING *; INSERT INTO ca (id) VALUES (2) -- error: null

CREATE TABLE ca AS SELECT id, name, birth FROM person; ALTER TABLE ca ADD COLUMN s text; UPDATE ca SET s = name || birth; ALTER TABLE ca RENAME name TO nom; ALTER TABLE ca ADD CHECK (nom <> 'forbidden' AND length(nom) < 20 AND birth > '1900-01-01'); INSERT INTO ca (id, nom) VALUES (1, 'ok') RETURNING nom; INSERT INTO ca (id, nom) VALUES (1, 'forbidden') -- error: check

CREATE TABLE ca AS SELECT id, name, birth FROM person; ALTER TABLE ca ADD CHECK (length(name) < 20) NO INHERIT, ADD CONSTRAINT c2 CHECK (birth IS NOT NULL) NOT VALID; ALTER TABLE ca VALIDATE CONSTRAINT c2; INSERT INTO ca VALUES (1, repeat('x', 30), now()::date) -- error: check

CREATE MATERIALIZED VIEW mv AS SELECT id, nir, name, n FROM person; CREATE UNIQUE INDEX ON mv (nir); REFRESH MATERIALIZED VIEW mv; UPDATE person SET name = 'refreshed' WHERE id < 3; REFRESH MATERIALIZED VIEW CONCURRENTLY mv; SELECT id, name FROM mv WHERE id < 4 ORDER BY id

DECLARE c CURSOR FOR SELECT id, name FROM person FOR UPDATE; FETCH 2 FROM c; UPDATE person SET note = 'current' WHERE CURRENT OF c; SELECT id, note FROM person WHERE note = 'current'; DELETE FROM person WHERE CURRENT OF c; SELECT count(*) FROM person

DECLARE c CURSOR FOR SELECT id, name FROM person ORDER BY id FOR UPDATE; FETCH 2 FROM c; UPDATE person SET note = 'current' WHERE CURRENT OF c; SELECT id, note FROM person WHERE note = 'current'

SELECT xmlforest(name AS nom, n, birth), xmlelement(name p, xmlattributes(name AS nm, n), birth), xmlconcat(xmlelement(name a, name), xmlcomment(name)) FROM person WHERE id = 1

SELECT id FROM person WHERE n BETWEEN SYMMETRIC 3 AND -1 AND n NOT BETWEEN 2 AND 3 AND birth NOT BETWEEN '1950-01-01' AND '1960-01-01' ORDER BY id

SELECT id FROM person WHERE ROW(name, n) = ANY (SELECT ward, patient FROM visit) OR (n, name) < ALL (SELECT 100, 'x') ORDER BY id

SELECT string_agg(DISTINCT name, ',' ORDER BY name DESC), string_agg(name, ',' ORDER BY n DESC, name) FILTER (WHERE ok), array_agg(DISTINCT name ORDER BY name), array_agg(DISTINCT birth ORDER BY birth DESC) FILTER (WHERE id < 5) FROM person

SELECT count(DISTINCT (name, ok)) FILTER (WHERE n > 0), count(*) FILTER (WHERE note LIKE '%1%'), sum(n) FILTER (WHERE name IN ('Martin', 'Thomas')), max(birth) FILTER (WHERE birth < date '1945-01-01') FROM person

SELECT ok, sum(n) OVER w, count(*) FILTER (WHERE name = 'Martin') OVER w, first_value(name) OVER w, nth_value(birth, 2) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM person WHERE id < 15 WINDOW w AS (PARTITION BY ok ORDER BY id) ORDER BY id

SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY name DESC), percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY ratio), mode() WITHIN GROUP (ORDER BY lower(name)), percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(year FROM birth)::float8), percentile_cont(0.5) WITHIN GROUP (ORDER BY amount), percentile_cont(0.5) WITHIN GROUP (ORDER BY n DESC) FROM person WHERE ratio <> 'NaN'

SELECT name, GROUPING(name), GROUPING(date_trunc('year', birth)), date_trunc('year', birth), count(*) FROM person WHERE id < 20 GROUP BY GROUPING SETS ((name, date_trunc('year', birth)), (name), ()) ORDER BY 1, 4

SELECT name, ok, count(*) FROM person GROUP BY DISTINCT ROLLUP (name, ok), ROLLUP (name) ORDER BY 1, 2, 3

SELECT DISTINCT name, count(*) OVER (PARTITION BY name) FROM person ORDER BY 2 DESC, 1

SELECT d::date, count(p.id) FROM generate_series('1940-01-01'::date, '1942-01-01', '3 months') d LEFT JOIN person p ON p.birth >= d AND p.birth < d + interval '3 months' GROUP BY 1 ORDER BY 1

SELECT d FROM generate_series((SELECT min(birth) FROM person), (SELECT min(birth) FROM person) + 3, interval '1 day') d

SELECT generate_series(n, n + 1), generate_subscripts(ARRAY[name], 1) FROM person WHERE id < 3 ORDER BY 1

SELECT i, name FROM person, generate_series(1, abs(n)) i WHERE id < 8 ORDER BY id, i

SELECT doc @? '$.tags[*] ? (@ == "a")', doc @@ '$.k == 2', doc #> ARRAY['tags', '1'], doc #>> ARRAY['sub'], doc['k']::int + 1, doc['tags'][0], jsonb_path_query_array(doc, '$.tags[*] ? (@ > $x)', '{"x": 0}'), jsonb_path_exists_tz(doc, '$.k') FROM person ORDER BY id LIMIT 4

SELECT jsonb_build_object('a', doc, 'b', doc -> 'k'), doc || jsonb_build_object('name', name, 'birth', birth), jsonb_set(doc, ARRAY['name'], to_jsonb(name)), doc - ARRAY['k', 'sub'], jsonb_set_lax(doc, '{k}', NULL, true, 'delete_key'), (doc ->> 'k')::int * n, doc -> -1, doc::text::json -> 'k' FROM person ORDER BY id LIMIT 3

SELECT jsonb_agg(DISTINCT name ORDER BY name), jsonb_object_agg(name, n) IS NOT NULL, json_agg(DISTINCT n), jsonb_agg(doc ORDER BY id) FILTER (WHERE id < 3) FROM person

SELECT (jsonb_populate_record(p, '{"name": "changed", "n": 77}')).name, (jsonb_populate_record(p, '{"n": 77}')).n FROM person p WHERE id = 1

SELECT array_agg(x ORDER BY x) FROM person, unnest(ARRAY[name, note]) x WHERE id < 5

SELECT u.a, u.b FROM person p, unnest(ARRAY[p.name, p.note], ARRAY[p.n]) AS u(a, b) WHERE p.id < 3 ORDER BY p.id, u.b NULLS LAST

SELECT array_position(array_agg(name ORDER BY id), 'Dubois'), array_cat(array_agg(name ORDER BY id), ARRAY['z']), array_agg(name ORDER BY id) || ARRAY['z'], array_agg(name ORDER BY id) || 'z'::text, array_ndims(array_agg(name)), array_upper(array_agg(n), 1), array_dims(array_agg(birth)) FROM person WHERE id < 4

CREATE TABLE many AS SELECT id, array_agg(name) OVER (ORDER BY id ROWS 1 PRECEDING) AS names, array_agg(birth) OVER (ORDER BY id ROWS 1 PRECEDING) AS days FROM person; ANALYZE many; SELECT id FROM many WHERE 'Martin' = ANY (names) ORDER BY id; SELECT id, names[1], cardinality(names), days[2] - days[1] FROM many ORDER BY id LIMIT 4; UPDATE many SET names = names || ARRAY['more'] WHERE id = 1 RETURNING names; UPDATE many SET names[2] = 'second' WHERE id = 1 RETURNING names; UPDATE many SET names = array_append(names, 'z') WHERE id = 2 RETURNING names; SELECT x, count(*) FROM many, unnest(names) x GROUP BY x ORDER BY x; SELECT id FROM many WHERE names && ARRAY['Robert'] OR names @> '{ano}' ORDER BY id LIMIT 5; SELECT DISTINCT names FROM many ORDER BY names LIMIT 3; SELECT names, count(*) FROM many GROUP BY names ORDER BY 2 DESC, 1 LIMIT 2; INSERT INTO many VALUES (900, '{a,"b c",NULL}', ARRAY['2000-01-01', NULL]::date[]) RETURNING names, days

CREATE TABLE homes AS SELECT id, p FROM person p; SELECT (p).name, (p).n FROM homes ORDER BY id LIMIT 2; SELECT p FROM homes WHERE id = 1; SELECT to_jsonb(p) FROM homes WHERE id = 1; SELECT id FROM homes WHERE (p).name = 'Martin' ORDER BY id; ANALYZE homes; SELECT count(DISTINCT p) FROM homes; SELECT (p).* FROM homes WHERE id = 2

WITH RECURSIVE t(id, name, depth) AS (SELECT id, name, 1 FROM person WHERE id = 1 UNION ALL SELECT p.id, p.name, t.depth + 1 FROM person p, t WHERE p.id = t.id + 5 AND depth < 4) CYCLE name SET looped USING path SELECT id, name, depth, looped FROM t ORDER BY depth

WITH a AS NOT MATERIALIZED (SELECT name, n FROM person), b AS MATERIALIZED (SELECT name FROM a WHERE n > 2) SELECT a.name, count(*) FROM a JOIN b USING (name) GROUP BY a.name HAVING count(*) > 1 ORDER BY 1

MERGE INTO person p USING (SELECT DISTINCT nir, ward FROM visit WHERE id < 4) s ON s.nir = p.nir WHEN MATCHED AND p.n < 0 THEN UPDATE SET name = s.ward, n = DEFAULT, amount = amount + 1 WHEN MATCHED THEN DELETE; SELECT id, name, n, amount FROM person WHERE id < 6 ORDER BY id

MERGE INTO visit v USING (VALUES ('1 51 00001', 'A', date '2030-01-01'), ('none', 'B', NULL)) s(nir, ward, day) ON v.nir = s.nir WHEN MATCHED THEN UPDATE SET ward = s.ward, day = coalesce(s.day, v.day) WHEN NOT MATCHED THEN INSERT (id, nir, ward, day) VALUES (9999, s.nir, s.ward, s.day); SELECT id, nir, ward, day FROM visit WHERE ward IN ('A', 'B') ORDER BY id

INSERT INTO person AS p (id, nir, name, n) VALUES (1, 'q', 'conflict', 3) ON CONFLICT (id) DO UPDATE SET n = coalesce(p.n, 0) + EXCLUDED.n, name = CASE WHEN p.name = 'Bernard' THEN EXCLUDED.name ELSE p.name END WHERE p.nir <> EXCLUDED.nir RETURNING p.n, p.name

INSERT INTO person (id, nir) SELECT id + 100, nir FROM visit WHERE id < 5 ON CONFLICT (nir) DO NOTHING RETURNING id

CREATE UNIQUE INDEX ON visit (nir, day); INSERT INTO visit (id, nir, day, ward) SELECT id, nir, day, 'again' FROM visit WHERE id < 3 ON CONFLICT (nir, day) DO UPDATE SET ward = excluded.ward || visit.ward RETURNING ward

CREATE INDEX ON person (n, name DESC NULLS LAST); CREATE INDEX ON person (birth) INCLUDE (name); CREATE INDEX ON person USING hash (name); SET enable_seqscan = off; SELECT id FROM person WHERE n = 3 AND name = 'Robert' ORDER BY id; SELECT name FROM person WHERE birth = '1940-05-07'; SELECT id FROM person WHERE name = 'Martin' AND n IN (0, 1, 2) ORDER BY id; SELECT id FROM person WHERE n IS NULL OR n = 1 ORDER BY id; SELECT n, count(*) FROM person GROUP BY n ORDER BY n; SELECT max(n), min(birth) FROM person; SELECT id FROM person ORDER BY birth LIMIT 3

CREATE INDEX ON person (name) WHERE note IS NOT NULL; SET enable_seqscan = off; SELECT id FROM person WHERE name = 'Martin' AND note IS NOT NULL ORDER BY id

PREPARE a(text, text) AS SELECT id FROM person WHERE name BETWEEN $1 AND $2 AND name > $1 AND note >= $1 ORDER BY id; EXECUTE a('A', 'N'); EXECUTE a('M', 'S'); EXECUTE a(NULL, 'S')

PREPARE a(date, date) AS SELECT id FROM person WHERE birth BETWEEN $1 AND $2 OR birth < $1 - 3650 OR birth > $2 + interval '1 year' ORDER BY id; EXECUTE a('1941-01-01', '1942-01-01')

PREPARE a(int[], text[], date[]) AS SELECT id FROM person WHERE n = ANY ($1) AND name = ANY ($2) AND birth <> ALL ($3) ORDER BY id; EXECUTE a('{0,1,2,NULL}', '{Martin,Bernard}', '{1940-05-07}'); EXECUTE a('{}', '{}', '{}'); EXECUTE a(NULL, '{Martin}', NULL)

PREPARE a(text, text, text) AS SELECT id FROM person WHERE name IN ($1, $2, $3) AND note NOT IN ($1, $2) ORDER BY id; EXECUTE a('Martin', 'Dubois', NULL); EXECUTE a('Martin', 'Dubois', 'ano')

PREPARE a(numeric, float8, bigint) AS SELECT id FROM person WHERE amount BETWEEN $1 AND $1 * 2 AND ratio >= $2 AND big < $3 ORDER BY id; EXECUTE a(11, 1.5, 900000000000)

PREPARE a(varchar[]) AS SELECT id FROM person WHERE name = ANY ($1) OR nir = ANY ($1::text[]) ORDER BY id; EXECUTE a('{Martin,"1 51 00001"}')

PREPARE a(text) AS SELECT id, name FROM person WHERE upper(name) = upper($1) OR name LIKE $1 || '%' ORDER BY name DESC, id; EXECUTE a('Mar'); EXECUTE a('')

PREPARE a AS INSERT INTO person (id, name, note, nir) VALUES ($1, $2, $2, $2) RETURNING name, note, nir; EXECUTE a(5001, 'thrice')

PREPARE a AS UPDATE person SET name = $2, n = n + $3, birth = $4, amount = $5, doc = $6 WHERE nir = $1 RETURNING name, n, birth, amount, doc; EXECUTE a('1 53 00003', 'new', 2, '2000-02-29', 1.25, '{"z": [1]}')

PREPARE a(text, int) AS SELECT id FROM person WHERE ($1 IS NULL OR name = $1) AND ($2 IS NULL OR n >= $2) ORDER BY id LIMIT 5; EXECUTE a('Martin', NULL); EXECUTE a(NULL, 3)

PREPARE a AS DELETE FROM person WHERE birth < $1 AND name <> $2 RETURNING id; EXECUTE a('1940-12-31', 'Martin')

PREPARE a AS WITH t AS (SELECT id, name FROM person WHERE name = $1) SELECT count(*), max(name) FROM t WHERE id > $2; EXECUTE a('Martin', 10)

PREPARE a AS VALUES ($1, $2); EXECUTE a('x', 'y')

PREPARE a(int) AS SELECT name FROM person ORDER BY name, id LIMIT $1; EXECUTE a(2); SET plan_cache_mode = force_custom_plan; EXECUTE a(3); ALTER TABLE person ADD zz int; EXECUTE a(1)

SELECT sum(n * amount), sum(n) * 1.0 / count(*), avg(n * 2), sum(amount * 2) FILTER (WHERE n > 0), sum(coalesce(amount, 0.0)), avg(coalesce(n, 0)), stddev_samp(n), sum(case when n > 0 then n else 0 end), sum(case when n > 0 then amount end), max(n) - min(n), count(n), sum(n) > 3 FROM person

SELECT n, sum(amount) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING), avg(n) OVER (), n * 100.0 / sum(n) OVER (PARTITION BY ok), n - avg(n) OVER (PARTITION BY name) FROM person WHERE id < 10 ORDER BY id

UPDATE person SET name = upper(name) FROM (SELECT id, row_number() OVER (PARTITION BY name ORDER BY birth) rn FROM person) r WHERE r.id = person.id AND r.rn = 1 RETURNING person.id, name

COPY person (id, name, birth) FROM STDIN (FORMAT csv, FORCE_NULL (name), FORCE_NOT_NULL (birth), HEADER, QUOTE '''', ESCAPE '\', DELIMITER ';');
id;name;birth
970;'';'2000-01-01'
971;'a;b';'2001-01-01'
\.
SELECT id, name, birth FROM person WHERE id > 900 ORDER BY id

COPY person (id, name, n) FROM STDIN WHERE name LIKE 'k%' AND n > 2;
980	keep	3
981	drop	3
982	kept	1
\.
SELECT id, name, n FROM person WHERE id > 900

CREATE VIEW cv AS SELECT id, name FROM person; CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO person (id, name) VALUES (NEW.id, NEW.name || ''!''); RETURN NEW; END'; CREATE TRIGGER t INSTEAD OF INSERT ON cv FOR EACH ROW EXECUTE FUNCTION tg(); COPY cv FROM STDIN;
991	viewed
\.
SELECT id, name FROM person WHERE id = 991

COPY (SELECT id, name, note, n, birth, amount, ok, doc, raw FROM person WHERE id < 6 ORDER BY id) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE (name), NULL '~')

COPY (UPDATE person SET name = lower(name) WHERE id < 3 RETURNING id, name) TO STDOUT

CREATE FUNCTION f(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a * b'; SELECT f(n, 2), f(n, id), f(2, n) FROM person ORDER BY id LIMIT 2

CREATE FUNCTION f(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > ''M'''; SELECT count(*) FROM person WHERE f(name); SELECT f(name), count(*) FROM person GROUP BY f(name) ORDER BY 1

CREATE FUNCTION f(anyarray) RETURNS int LANGUAGE sql AS 'SELECT cardinality($1)'; SELECT f(array_agg(name)), f(ARRAY[n, 1]) FROM person GROUP BY n ORDER BY 1, 2 LIMIT 2

CREATE FUNCTION f(anycompatible, anycompatible) RETURNS anycompatible LANGUAGE sql AS 'SELECT CASE WHEN $1 > $2 THEN $1 ELSE $2 END'; SELECT f(name, note), f(n, 3), f(name, 'M'), f(birth, date '1945-01-01') FROM person ORDER BY id LIMIT 6

CREATE AGGREGATE firsts(text) (SFUNC = textcat, STYPE = text, INITCOND = ''); CREATE AGGREGATE mysum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0'); SELECT firsts(left(name, 1) ORDER BY id), mysum(n), mysum(n) FILTER (WHERE ok) FROM person

CREATE OPERATOR === (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text); SELECT id FROM person WHERE name === 'Martin' ORDER BY id

SELECT id, ts_rank(to_tsvector('simple', coalesce(note, '')), plainto_tsquery('simple', 'note')) > 0, to_tsvector('simple', name || ' ' || coalesce(note, '')) @@ websearch_to_tsquery('simple', 'note') FROM person ORDER BY id LIMIT 4

SELECT setweight(to_tsvector('simple', name), 'A') || to_tsvector('simple', note), jsonb_to_tsvector('simple', doc, '"all"'), to_tsvector('simple', doc), phraseto_tsquery('simple', name) FROM person WHERE id < 3 ORDER BY id

SET enable_incremental_sort = on; SET enable_hashagg = off; CREATE INDEX ON person (id); SELECT id / 10, name FROM person ORDER BY id / 10, name; SELECT id, name FROM (SELECT * FROM person ORDER BY id) x ORDER BY id, name LIMIT 3

INSERT INTO person (id, name, birth) SELECT p0::INTEGER, p1::VARCHAR, p2::DATE FROM (VALUES (8001, 'a', '2000-01-01', 0), (8002, NULL, NULL, 1)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter RETURNING person.id, person.name, person.id AS id__1

INSERT INTO person (id, nir, name) VALUES (8003, '1 51 00001', 'ups'), (8004, 'brand new', 'ins') ON CONFLICT (nir) DO UPDATE SET note = (CASE WHEN (person.name IS NOT DISTINCT FROM excluded.name) THEN person.note ELSE 'touched' END), name = excluded.name RETURNING id, name, note

UPDATE "person" SET "name" = (CASE WHEN ("person"."id" = 1) THEN 'a' WHEN ("person"."id" = 2) THEN 'b' ELSE NULL END)::varchar(200), "n" = (CASE WHEN ("person"."id" = 1) THEN 5 ELSE NULL END)::integer, "birth" = CASE WHEN ("person"."id" = 1) THEN '2000-01-01'::date ELSE "person"."birth" END, doc = CASE WHEN id = 1 THEN '{"a": 1}'::jsonb ELSE doc END WHERE "person"."id" IN (1, 2) RETURNING id, name, n, birth, doc

SELECT DISTINCT "distinctAlias"."p_id" AS "ids", "distinctAlias"."p_name" FROM (SELECT "p"."id" AS "p_id", "p"."name" AS "p_name", "v"."ward" AS "v_ward" FROM "person" "p" LEFT JOIN "visit" "v" ON "v"."nir" = "p"."nir" WHERE "p"."name" <> '') "distinctAlias" ORDER BY "distinctAlias"."p_name" ASC, "p_id" ASC LIMIT 4

SELECT p.name, count(*) FILTER (WHERE v.ward = 'ward 1') AS w1, string_agg(DISTINCT v.ward, ',' ORDER BY v.ward) FROM person p JOIN visit v USING (nir) GROUP BY p.name ORDER BY w1 DESC, p.name

CREATE PROCEDURE pr(a text, INOUT b date DEFAULT NULL) LANGUAGE plpgsql AS 'BEGIN UPDATE person SET name = a WHERE id = 1; SELECT birth INTO b FROM person WHERE name = a; END'; CALL pr('called')

CREATE FUNCTION f(VARIADIC names text[]) RETURNS SETOF int LANGUAGE sql AS 'SELECT id FROM person WHERE name = ANY (names) ORDER BY id'; SELECT * FROM f('Martin', 'Dubois') LIMIT 3; SELECT count(*) FROM f(VARIADIC ARRAY(SELECT name FROM person WHERE id < 3))

CREATE TABLE plainp (name text PRIMARY KEY, day date); INSERT INTO plainp SELECT DISTINCT ON (name) name, birth FROM person ORDER BY name, birth; INSERT INTO plainp SELECT DISTINCT ON (name) name, birth FROM person ORDER BY name, birth DESC ON CONFLICT (name) DO UPDATE SET day = greatest(plainp.day, excluded.day); SELECT p.id FROM person p JOIN plainp q ON q.name = p.name AND q.day = p.birth ORDER BY 1; SELECT q.name FROM plainp q WHERE q.name IN (SELECT name FROM person WHERE n = 3) ORDER BY 1; SET enable_hashjoin = off; SET enable_mergejoin = off; SELECT count(*) FROM person p JOIN plainp q USING (name); SET enable_nestloop = off; SET enable_mergejoin = on; SELECT count(*) FROM person p JOIN plainp q USING (name)

SELECT extract(isodow FROM birth), extract(julian FROM birth), date_part('century', birth), to_char(birth, 'IYYY-IW-ID'), to_char(seen, 'HH12:MI:SS AM TZ'), birth::timestamptz AT TIME ZONE 'UTC', make_date(date_part('year', birth)::int, 2, 1), birth + '1 mon'::interval, birth - '1970-01-01', date '2000-01-01' > birth, birth IN (date '1940-05-07'), (birth, birth + 5) OVERLAPS (birth + 4, birth + 9) FROM person ORDER BY id LIMIT 2

SELECT sum(x) FROM (SELECT unnest(ARRAY[n, id]) x FROM person) q; SELECT max(x) FROM (SELECT unnest(ARRAY[name, note]) x FROM person) q

CREATE FUNCTION f(person) RETURNS text LANGUAGE sql STABLE AS 'SELECT concat($1.name, ''-'', $1.n)'; SELECT f(p), p.f FROM person p ORDER BY id LIMIT 2; SELECT p.id FROM person p WHERE p.f = 'Martin-0' ORDER BY 1

CREATE FUNCTION f(person) RETURNS text LANGUAGE sql STABLE RETURN format('%s/%L', ($1).name, ($1).birth); SELECT f(p), p.f FROM person p ORDER BY id LIMIT 2

CREATE FUNCTION f(p person) RETURNS text LANGUAGE sql STABLE AS 'SELECT p::text'; SELECT f(p) FROM person p WHERE id = 1

CREATE FUNCTION f(p person) RETURNS text LANGUAGE sql STABLE RETURN p::text; SELECT f(p) FROM person p WHERE id = 1

CREATE FUNCTION f(anyelement) RETURNS text LANGUAGE sql STABLE AS 'SELECT concat($1, ''!'')'; SELECT f(name), f(n), f(birth), f(p) FROM person p WHERE id = 1

CREATE FUNCTION f(anyelement) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1::text'; SELECT f(name), f(n), f(birth) FROM person p WHERE id = 1

CREATE FUNCTION f(anyarray) RETURNS text LANGUAGE sql STABLE AS 'SELECT array_to_string($1, ''-'')'; SELECT f(array_agg(name ORDER BY id)), f(array_agg(n ORDER BY id)) FROM person p WHERE id < 4

CREATE FUNCTION f(a text, b text) RETURNS text LANGUAGE sql STABLE AS 'SELECT concat_ws('' '', a, b)'; SELECT f(name, note), f(name, n::text) FROM person ORDER BY id LIMIT 3

CREATE FUNCTION f(lim int) RETURNS SETOF text LANGUAGE sql STABLE BEGIN ATOMIC SELECT concat(name, n) FROM person ORDER BY id LIMIT lim; END; SELECT * FROM f(2); SELECT f.* FROM f(2) f WHERE f LIKE 'B%'

CREATE FUNCTION f() RETURNS TABLE (x text, y text) LANGUAGE sql STABLE BEGIN ATOMIC SELECT name, array_to_string(array_agg(n ORDER BY id), ',') FROM person GROUP BY name ORDER BY name; END; SELECT * FROM f()

CREATE TABLE log (t text); CREATE RULE r AS ON UPDATE TO person DO ALSO INSERT INTO log VALUES (concat(OLD.name, '>', NEW.name, NEW.n)); UPDATE person SET name = 'ruled' WHERE id < 3; SELECT * FROM log ORDER BY 1

CREATE FUNCTION f(p person) RETURNS jsonb LANGUAGE sql STABLE AS 'SELECT jsonb_build_object(''n'', p.name, ''row'', to_jsonb(p) - ''doc'')'; SELECT f(p) FROM person p WHERE id = 1

CREATE FUNCTION f(p person) RETURNS bool LANGUAGE sql STABLE AS 'SELECT p.name = ''Martin'' AND p.n > -3 OR p.birth < ''1940-06-01'''; SELECT id FROM person p WHERE f(p) ORDER BY 1; SELECT id FROM person p WHERE p.f ORDER BY 1 LIMIT 2

CREATE FUNCTION f(person) RETURNS SETOF visit LANGUAGE sql STABLE AS 'SELECT * FROM visit WHERE nir = $1.nir'; SELECT p.id, v.ward FROM person p, f(p) v WHERE p.id < 4 ORDER BY 1, 2

CREATE FUNCTION f(text) RETURNS SETOF person LANGUAGE sql STABLE BEGIN ATOMIC SELECT * FROM person WHERE name = $1 AND birth > '1940-01-01' AND n >= 0; END; SELECT id, name FROM f('Martin') ORDER BY id; SELECT count(*) FROM visit v JOIN f('Dubois') p USING (nir)

CREATE FUNCTION f(OUT a text, OUT b text) LANGUAGE sql BEGIN ATOMIC UPDATE person SET name = name || '!' WHERE id = 1 RETURNING name, concat(note, n); END; SELECT * FROM f()

SELECT r, r = ROW('Bernard'::text, -7), r IS DISTINCT FROM ROW('x'::text, 1), r < ROW('C'::text, 0) FROM (SELECT ROW(name, n) AS r FROM person WHERE id < 3) s ORDER BY r

SELECT a.r FROM (SELECT array_agg(ROW(name, n) ORDER BY id) AS r FROM person WHERE id < 3) a

SELECT count(*) FROM (SELECT ROW(name, n) AS r FROM person) a JOIN (SELECT ROW(ward, patient::int) AS r FROM visit UNION ALL SELECT ROW(name, n) FROM person) b ON a.r = b.r

SELECT DISTINCT r FROM (SELECT ROW(name, ok) AS r FROM person) s ORDER BY r

SELECT CASE WHEN id = 1 THEN ROW(name, n) ELSE ROW(note, id) END FROM person WHERE id < 3 ORDER BY id

DO $$ DECLARE a person[]; p person; BEGIN SELECT array_agg(q ORDER BY id) INTO a FROM person q WHERE id < 4; FOREACH p IN ARRAY a LOOP RAISE NOTICE '% %', p.id, upper(p.name); END LOOP; RAISE NOTICE '%', a[2].name || ''; END $$

DO $$ DECLARE p person; q person; BEGIN SELECT * INTO p FROM person WHERE id = 1; SELECT * INTO q FROM person WHERE id = 1; IF p IS DISTINCT FROM q THEN RAISE NOTICE 'differs'; ELSE RAISE NOTICE 'same'; END IF; q.name := 'other'; RAISE NOTICE '%', p = q; p := jsonb_populate_record(p, '{"name": "pop", "n": 99}'); RAISE NOTICE '% %', p.name || '', p.n + 1; p := ROW(1, 'nir', 'nm', NULL, '2000-01-01', NULL, 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL); RAISE NOTICE '% % %', p.nir || p.name, p.birth + 1, p.n * 2; END $$

CREATE FUNCTION f() RETURNS SETOF person LANGUAGE plpgsql AS 'BEGIN RETURN QUERY UPDATE person SET name = name || ''!'' WHERE id < 3 RETURNING *; END'; SELECT id, name FROM f() ORDER BY id

CREATE FUNCTION f(VARIADIC ids int[]) RETURNS TABLE (id int, j jsonb) LANGUAGE plpgsql AS 'BEGIN FOR id, j IN SELECT p.id, to_jsonb(p) - ''doc'' FROM person p WHERE p.id = ANY (ids) ORDER BY 1 LOOP RETURN NEXT; END LOOP; END'; SELECT * FROM f(1, 2)

DO $$ DECLARE x text; y date; r record; BEGIN EXECUTE 'SELECT name, birth FROM person WHERE id = $1' INTO x, y USING 3; RAISE NOTICE '% %', x, y; EXECUTE 'UPDATE person SET name = $1, birth = $2 WHERE id = 3 RETURNING name, birth' INTO r USING x || '?', y + 1; x := r.name; y := r.birth; RAISE NOTICE '% %', x, y; EXECUTE 'SELECT count(*) FROM person WHERE name = ANY ($1)' INTO x USING ARRAY['Martin', 'Dubois']; RAISE NOTICE '%', x; FOR r IN EXECUTE 'SELECT * FROM person WHERE birth > $1 AND n = $2 ORDER BY id LIMIT 2' USING y, 3 LOOP x := r.id || r.name; RAISE NOTICE '%', x; END LOOP; END $$

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'INSERT' THEN NEW.note := coalesce(NEW.note, 'by ' || NEW.name); NEW.n := coalesce(NEW.n, 0) + 1; NEW.amount := NEW.n * 1.5; NEW.doc := jsonb_build_object('name', NEW.name, 'was', NEW.doc); NEW.birth := coalesce(NEW.birth, date '2000-01-01') + NEW.n; END IF; IF TG_OP = 'UPDATE' AND NEW.name <> OLD.name THEN NEW.note := OLD.name || '->' || NEW.name; END IF; IF NEW.name = 'skip' THEN RETURN NULL; END IF; RETURN NEW; END $$; CREATE TRIGGER t BEFORE INSERT OR UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tg(); INSERT INTO person (id, name) VALUES (4001, 'trig'), (4002, 'skip') RETURNING id, name, note, n, amount, doc, birth; UPDATE person SET name = 'renamed' WHERE id = 1 RETURNING note; INSERT INTO person (id, name) VALUES (4001, 'again') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING name, note

CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT 1 FROM visit v WHERE v.nir = OLD.nir AND v.day > OLD.birth) THEN RAISE EXCEPTION 'has visits' USING ERRCODE = 'P0099'; END IF; RETURN OLD; END $$; CREATE CONSTRAINT TRIGGER t AFTER DELETE ON person DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tg(); DELETE FROM person WHERE id = 1; SET CONSTRAINTS ALL IMMEDIATE -- error: the trigger's

CREATE TABLE ref (k text UNIQUE, v int); INSERT INTO ref SELECT DISTINCT name, 1 FROM person; CREATE TABLE chi (id int, name text REFERENCES ref (k) ON DELETE SET NULL); INSERT INTO chi SELECT id, name FROM person; DELETE FROM ref WHERE k = 'Martin'; SELECT name, count(*) FROM chi GROUP BY name ORDER BY name NULLS FIRST; INSERT INTO chi VALUES (1, 'Nobody') -- error: fk

CREATE TABLE ta AS SELECT id, nir, n FROM person; CREATE UNIQUE INDEX ON ta (nir, n); CREATE TABLE tb AS SELECT nir, n, id AS bid FROM person WHERE id < 9; ALTER TABLE tb ADD FOREIGN KEY (nir, n) REFERENCES ta (nir, n) MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL; UPDATE ta SET n = n + 100 WHERE id = 2; UPDATE ta SET nir = 'new' WHERE id = 3; DELETE FROM ta WHERE id = 4; SELECT * FROM tb ORDER BY bid; INSERT INTO tb VALUES ('new', NULL, 1) -- error: match full

CREATE TABLE tree AS SELECT nir AS id, NULL::text AS x, nir AS parent FROM person WHERE id < 5; CREATE UNIQUE INDEX ON tree (id); ALTER TABLE tree ADD FOREIGN KEY (parent) REFERENCES tree (id) ON DELETE CASCADE; INSERT INTO tree (id, parent) VALUES ('kid', '1 51 00001'), ('grandkid', 'kid'); WITH RECURSIVE r AS (SELECT id, parent, 0 AS d FROM tree WHERE id = '1 51 00001' UNION ALL SELECT t.id, t.parent, d + 1 FROM tree t JOIN r ON t.parent = r.id WHERE t.id <> r.id) SELECT id, d FROM r ORDER BY d; DELETE FROM tree WHERE id = 'kid'; SELECT count(*) FROM tree

CREATE VIEW vw AS SELECT id, name, n FROM person WHERE n > 0; CREATE VIEW vx AS SELECT * FROM vw WHERE name > 'C' WITH CASCADED CHECK OPTION; INSERT INTO vx VALUES (6001, 'Zed', 3) RETURNING *; UPDATE vx SET n = n + 1, name = upper(name) WHERE name = 'Zed' RETURNING *; DELETE FROM vx WHERE id = 6001 RETURNING name; INSERT INTO vx VALUES (6002, 'Zed', -3) -- error: check option

CREATE VIEW vs WITH (security_barrier) AS SELECT * FROM person WHERE name <> 'Martin'; CREATE FUNCTION noisy(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN IF $1 = ''Martin'' THEN RAISE NOTICE ''leak''; END IF; RETURN true; END'; SELECT count(*) FROM vs WHERE noisy(name)

SELECT name, sum(n) FILTER (WHERE birth < '1945-01-01') OVER (PARTITION BY name ORDER BY birth ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), string_agg(note, ';') OVER (PARTITION BY name ORDER BY id ROWS 1 PRECEDING), max(birth) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) FROM person WHERE id < 12 ORDER BY id

SELECT id FROM person WHERE name = ANY (string_to_array('Martin,Dubois', ',')) AND birth = ANY (ARRAY(SELECT birth FROM person WHERE n = 0)) ORDER BY id

INSERT INTO person SELECT (jsonb_populate_record(NULL::person, jsonb_build_object('id', id + 7000, 'name', name, 'n', n, 'birth', birth))).* FROM person WHERE id < 3 RETURNING id, name, n, birth

INSERT INTO person SELECT p.* FROM person q, LATERAL (SELECT q.id + 8000, q.nir || 'x', q.name, q.note, q.birth, q.seen, q.n, q.big, q.amount, q.ratio, q.ok, q.code, q.doc, q.raw) p WHERE q.id < 3 RETURNING id, nir, name, birth, n, doc

UPDATE person SET doc = jsonb_set(coalesce(doc, '{}'), '{history}', coalesce(doc -> 'history', '[]') || jsonb_build_object('name', name, 'at', birth)), name = initcap(lower(name)), note = concat_ws('; ', note, name, to_char(birth, 'YYYY')) WHERE id < 3 RETURNING doc, name, note

WITH moved AS (DELETE FROM visit WHERE day < '2024-01-10' RETURNING *), ins AS (INSERT INTO person (id, nir, name, birth, n) SELECT id + 10000, 'm' || nir, ward, day, patient FROM moved RETURNING id, nir, name) SELECT m.id, i.nir, i.name FROM moved m JOIN ins i ON i.nir = 'm' || m.nir ORDER BY 1

-- what stands in a statement twice is one expression: constants of types whose equal values are not the same bytes
SELECT grouping(amount > 10.0), (amount > 10.0)::int, count(*) FROM person GROUP BY ROLLUP (amount > 10.0) ORDER BY 1, 2

SELECT grouping(coalesce(amount, 0.0)), coalesce(amount, 0.0) + 1, max(n) FROM person GROUP BY ROLLUP (coalesce(amount, 0.0)) ORDER BY 1, 2

SELECT (ratio IN (0.5, 1.25, 2))::int, (doc = '{"k": 3}'::jsonb)::int, count(*) FROM person GROUP BY CUBE (ratio IN (0.5, 1.25, 2), doc = '{"k": 3}'::jsonb) ORDER BY 1, 2, 3

PREPARE a(numeric, float8) AS SELECT (amount > $1)::int, (ratio = ANY (ARRAY[$2, 0.5]))::int, count(*) FROM person GROUP BY CUBE (amount > $1, ratio = ANY (ARRAY[$2, 0.5])) ORDER BY 1, 2, 3; EXECUTE a(10, 1.25); SET plan_cache_mode = force_generic_plan; EXECUTE a(10, 1.25)

SELECT coalesce(doc, '{}'), count(*) FROM person GROUP BY coalesce(doc, '{}') ORDER BY 1 LIMIT 5

SELECT DISTINCT coalesce(amount, '0') FROM person ORDER BY coalesce(amount, '0') LIMIT 5

SELECT DISTINCT ON (coalesce(ratio, '0')) coalesce(ratio, '0'), id FROM person ORDER BY coalesce(ratio, '0'), id LIMIT 5

SELECT CASE WHEN amount > '10' THEN 'big' ELSE 'small' END, count(*) FROM person GROUP BY CASE WHEN amount > '10' THEN 'big' ELSE 'small' END ORDER BY 1

SELECT amount = '3.3' AS e, sum(n) FROM person GROUP BY amount = '3.3' HAVING (amount = '3.3') IS NOT NULL ORDER BY amount = '3.3'

-- rows with values of types near the columns' own, as drivers send numbers
SELECT id FROM person WHERE (amount, id) > (10, 5) AND (n, id) > (2::int2, 5::int2) ORDER BY id

SELECT id FROM person WHERE (name, n) IN (('Martin', 0::int2), ('Dubois', 2::int8)) OR (n, amount) = (1, 2) OR (big, n) <> (5, 6::int2) AND id < 9 ORDER BY id

SELECT id FROM person WHERE (seen, id) > (date '2020-01-05', 5) AND (n, id) < (1.5, 50) AND (n, id) < (5000000000, 1) AND (birth, n) < (seen, big) ORDER BY id LIMIT 9

SELECT id FROM person WHERE (n, big) IN (SELECT patient, id FROM visit) OR (big, n) NOT IN (SELECT id, patient FROM visit WHERE patient IS NOT NULL) AND id < 20 ORDER BY id

-- the type of a parameter that is an array
PREPARE a AS SELECT id FROM person WHERE name = ANY ($1) AND n <> ALL ($2) AND birth < ANY ($3) ORDER BY id; SELECT parameter_types FROM pg_prepared_statements; EXECUTE a('{Martin,Dubois,NULL}', '{0,2}', '{1945-01-01}'); EXECUTE a('{}', NULL, '{}')

CREATE TABLE lists AS SELECT id, ARRAY[name, note] AS names FROM person; PREPARE a AS INSERT INTO lists VALUES (1000, $1) RETURNING *; SELECT parameter_types FROM pg_prepared_statements; EXECUTE a('{a,NULL}'); PREPARE b AS SELECT id FROM lists WHERE names = $1 OR names && $2; EXECUTE b('{a,NULL}', '{Martin}')

-- constraints, by their names
CREATE TABLE keyed (LIKE person); ALTER TABLE keyed ADD PRIMARY KEY (nir), ADD UNIQUE (name, n, birth); INSERT INTO keyed SELECT * FROM person; INSERT INTO keyed (id, nir, name) VALUES (1, '1 51 00001', 'again') ON CONFLICT ON CONSTRAINT keyed_pkey DO UPDATE SET name = excluded.name RETURNING nir, name, birth; INSERT INTO keyed SELECT * FROM person WHERE id = 2 ON CONFLICT ON CONSTRAINT keyed_name_n_birth_key DO NOTHING; SELECT name, birth, count(*) FROM keyed GROUP BY nir ORDER BY nir LIMIT 3

CREATE TABLE keyed (LIKE person); ALTER TABLE keyed ADD CONSTRAINT late UNIQUE (nir) DEFERRABLE INITIALLY DEFERRED; INSERT INTO keyed SELECT * FROM person; UPDATE keyed SET nir = '1 51 00001' WHERE id = 5; UPDATE keyed SET nir = 'moved' WHERE id = 1; SET CONSTRAINTS ALL IMMEDIATE; SELECT id, nir FROM keyed ORDER BY id LIMIT 6; UPDATE keyed SET nir = 'moved' WHERE id = 9 -- error: unique

CREATE TABLE parts (LIKE person) PARTITION BY LIST (id); CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1); ALTER TABLE parts ADD UNIQUE (id, nir); SELECT conrelid::regclass, conname, contype FROM pg_constraint WHERE conrelid::regclass::text ~ 'parts' AND contype = 'u' ORDER BY 1
