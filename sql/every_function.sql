--
-- Every function, aggregate, window function and operator of the server that takes a
-- column of a plain table: the same answers, or the same errors, from encrypted columns.
-- What wants a cast is listed here, and nothing else may.
--
SET client_min_messages = warning;
CREATE TABLE plain (id int, a text, b bytea, c bool, d int4, e int8, f date, g timestamptz, h uuid, i numeric, j float8, l jsonb);
SELECT create_key('every function');
CREATE TABLE enc (LIKE plain);
DO $$ BEGIN
	EXECUTE (SELECT string_agg(format('ALTER TABLE enc ALTER %I TYPE encrypted_%s(''every function''%s) USING NULL', attname, typname,
			CASE WHEN typname <> 'bool' AND attname < 'i' THEN ', ''searchable''' END), ';')
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE attrelid = 'plain'::regclass AND attnum > 1);
END $$;
INSERT INTO plain VALUES
	(1, 'x', '\x00ff', true, 5, 6, '1999-12-31', '2020-01-01 10:00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1.50, -0.0, '{"a": 1.0, "b": [1.10, "x"]}'),
	(2, '', '', false, -5, 9e15, 'infinity', '-infinity', '00000000-0000-0000-0000-000000000000', 'NaN', 'NaN', '1.50'),
	(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(4, 'Écrit', '\xff', true, 2147483647, -9223372036854775808, '2024-02-29', 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff', -123456789.000000001, '-Infinity', '[]'),
	(5, '5', '\x35', NULL, 3, 0, '-infinity', '1970-01-01', NULL, 2, 0.5, '"scalar"');
INSERT INTO enc SELECT * FROM plain;

-- A value of a type, as SQL.
CREATE FUNCTION sample(type oid) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN type IN (SELECT oid FROM pg_type WHERE typname IN ('any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray')) THEN '1'
		WHEN type IN ('anyarray'::regtype, 'anycompatiblearray'::regtype) THEN 'ARRAY[1,2]'
		ELSE coalesce((SELECT quote_literal(v) FROM (VALUES ('text', 'x'), ('name', 'x'), ('varchar', 'x'), ('bpchar', 'x'), ('"char"', 'x'), ('bytea', '\x41'),
			('bool', 't'), ('int2', '2'), ('int4', '2'), ('int8', '2'), ('float4', '0.5'), ('float8', '0.5'), ('numeric', '1.5'), ('date', '2001-02-03'), ('time', '10:30'),
			('timetz', '10:30+00'), ('timestamp', '2001-02-03 04:05'), ('timestamptz', '2001-02-03 04:05+00'), ('interval', '1 day'), ('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
			('json', '{"a": 1}'), ('jsonb', '{"a": 1}'), ('text[]', '{a,b}'), ('jsonpath', '$.a'), ('int4[]', '{1,2}'), ('float8[]', '{0.5,0.7}'), ('int8[]', '{1,2}'),
			('numeric[]', '{1.5}'), ('regconfig', 'english'), ('oid', '2'), ('tsvector', 'a b'), ('tsquery', 'a'), ('daterange', '[1990-01-01,2000-01-01)'),
			('int4range', '[1,9)'), ('int8range', '[1,9)'), ('numrange', '[1,9)'), ('tstzrange', '[1990-01-01,2000-01-01)')) s(n, v) WHERE n::regtype = type), 'NULL')
			|| '::' || type::regtype END
$$;
CREATE FUNCTION answer(expression text, kind "char", tab text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	got text;
BEGIN
	IF kind = 'a' THEN
		EXECUTE format('SELECT (%s)::text FROM %I t', expression, tab) INTO got;
	ELSE
		EXECUTE format('SELECT string_agg(coalesce(x::text, ''NULL''), ''|'' ORDER BY id) || '' '' || (SELECT typname FROM pg_type WHERE oid = min(pg_typeof(x)::oid)) FROM (SELECT id, (%s)%s AS x FROM %I t) s',
			expression, CASE WHEN kind = 'w' THEN ' OVER (ORDER BY id)' END, tab) INTO got;
	END IF;
	RETURN replace(got, 'encrypted_', '');
EXCEPTION WHEN OTHERS THEN
	RETURN 'ERROR: ' || replace(SQLERRM, 'encrypted_', '');
END $$;
CREATE TABLE other_answer (f text, q text, plain text, encrypted text);
CREATE FUNCTION ask(name text, expression text, kind "char") RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	want text := answer(expression, kind, 'plain');
	got text;
BEGIN
	IF want ~ '^ERROR: (function|operator|could not determine|syntax|malformed)' THEN
		RETURN;
	END IF;
	got := answer(expression, kind, 'enc');
	-- the message does not quote what was to be encrypted
	IF got IS DISTINCT FROM want AND NOT (got ~ '^ERROR: invalid input for type' AND want ~ '^ERROR: (invalid input|value .* out of range|integer out of range)') THEN
		INSERT INTO other_answer VALUES (name, expression, want, got);
	END IF;
END $$;

-- Functions: the column in each place, and in all places.
DO $$
DECLARE
	f record;
	place int;
	args text;
	col text;
BEGIN
	FOR f IN
		SELECT p.proname, p.prokind, p.pronargs, p.proargtypes::oid[] AS types, coalesce(a.aggkind, 'n') AS agg, coalesce(a.aggnumdirectargs, 0) AS direct
		FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384 AND p.pronargs BETWEEN 1 AND 4 AND NOT p.proretset AND p.provolatile <> 'v'
		AND p.prorettype NOT IN ('internal'::regtype, 'cstring'::regtype) AND NOT 'internal'::regtype = ANY (p.proargtypes) AND NOT 'cstring'::regtype = ANY (p.proargtypes)
		AND coalesce(a.aggkind, 'n') <> 'h' AND p.proname !~ '^(pg_|has_|row_security|ts_|txid_|.*_to_xml|.*_to_xmlschema|.*_xml_and_xmlschema|.*_subdiff|.*_validator|.*send)'
		-- what stands behind operators, casts, aggregates and indexes
		AND NOT EXISTS (SELECT FROM pg_operator WHERE oprcode = p.oid OR oprrest = p.oid OR oprjoin = p.oid)
		AND NOT EXISTS (SELECT FROM pg_aggregate x WHERE p.oid IN (x.aggtransfn, x.aggmtransfn, x.aggminvtransfn, x.aggfinalfn, x.aggcombinefn))
		AND NOT EXISTS (SELECT FROM pg_amproc x WHERE x.amproc = p.oid)
		ORDER BY p.proname, p.oid
	LOOP
		CONTINUE WHEN f.agg = 'o' AND f.direct = f.pronargs;
		FOREACH col IN ARRAY '{a,b,c,d,e,f,g,h,i,j,l}'::text[] LOOP
			FOR place IN CASE WHEN f.pronargs = 1 THEN 1 ELSE 0 END .. f.pronargs LOOP
				SELECT string_agg(CASE WHEN f.agg = 'o' AND i = f.direct + 1 THEN ') WITHIN GROUP (ORDER BY ' WHEN i > 1 THEN ', ' ELSE '' END
					|| CASE WHEN place IN (0, i) THEN 't.' || col ELSE sample(f.types[i - 1]) END, '' ORDER BY i) INTO args FROM generate_series(1, f.pronargs) i;
				PERFORM ask(f.proname, format('pg_catalog.%I(%s%s)', f.proname, args, CASE WHEN f.prokind = 'a' AND f.agg = 'n' THEN ' ORDER BY t.id' END), f.prokind);
			END LOOP;
		END LOOP;
	END LOOP;
END $$;

-- Operators: the column on each side; the other side a value, a literal, or a column.
DO $$
DECLARE
	o record;
	col text;
	other text;
BEGIN
	FOR o IN SELECT DISTINCT oprname, sample(oprleft) AS l, sample(oprright) AS r, oprleft = 0 AS prefix FROM pg_operator
		WHERE oprnamespace = 'pg_catalog'::regnamespace AND oid < 16384 ORDER BY 1, 2, 3
	LOOP
		FOREACH col IN ARRAY '{a,b,c,d,e,f,g,h,i,j,l}'::text[] LOOP
			CONTINUE WHEN o.l LIKE 'NULL::%' AND o.r LIKE 'NULL::%';
			IF o.prefix THEN
				PERFORM ask('operator ' || o.oprname, format('%s t.%s', o.oprname, col), 'f');
			ELSE
				PERFORM ask('operator ' || o.oprname, format('t.%s %s %s', col, o.oprname, o.r), 'f');
				PERFORM ask('operator ' || o.oprname, format('%s %s t.%s', o.l, o.oprname, col), 'f');
			END IF;
		END LOOP;
	END LOOP;
	FOR o IN SELECT DISTINCT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oid < 16384 AND oprleft <> 0 AND oprname !~ '#<|#>|#=' ORDER BY 1 LOOP
		FOREACH col IN ARRAY '{a,b,c,d,e,f,g,h,i,j,l}'::text[] LOOP
			FOREACH other IN ARRAY ARRAY['NULL', '''5''', '''2001-02-03''', '''{"a": 1}''', '5', '1.5', 't.a', 't.d', 't.e', 't.f', 't.g', 't.i', 't.j', 't.l'] LOOP
				PERFORM ask('operator ' || o.oprname, format('t.%s %s %s', col, o.oprname, other), 'f');
				PERFORM ask('operator ' || o.oprname, format('%s %s t.%s', other, o.oprname, col), 'f');
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
-- other answers: none
SELECT q, left(plain, 60) AS plain, left(encrypted, 60) AS encrypted FROM other_answer WHERE encrypted !~ '^ERROR: (function|operator) .*does not exist' ORDER BY 1 LIMIT 30;
-- these want a cast where the plain type would be widened; nothing else does
SELECT f, q, encrypted FROM other_answer WHERE encrypted ~ '^ERROR: (function|operator) .*does not exist'
	AND f <> ALL ('{mod,gcd,lcm,power,pow,array_position,array_positions,array_remove,array_replace,operator ||,width_bucket,percentile_cont,percentile_disc,operator |/,operator ||/}')
	AND encrypted !~ '\m(oid|inet|money|pg_lsn|name|regclass|circle|bit|json|jsonb)\M'
	-- functions that only the server itself calls
	AND f !~ '^(numeric_|int[248]|d(exp|log|round|trunc)|to_tsq|.*_to_ts|(web|phrase|plain).*_tsq|acl|makeacl|satisfies_|.*description|format_type|nameconcat|timetz)'
	AND f <> ALL ('{bpchar,varchar,numeric,timestamp,timestamptz,length,convert,convert_from,convert_to,to_ascii,to_tsvector,get_bit,set_bit}') ORDER BY q;
DROP TABLE plain, enc, other_answer;
DROP FUNCTION sample, answer, ask;
