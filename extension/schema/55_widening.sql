-- Functions that take the base type only by widening it, which an encrypted argument
-- is not: variants whose bodies are the call with the base type, so that the server
-- decides as it does for a plain column.  One for each choice of places.
CREATE FUNCTION type_functions(type_name name, base regtype, names text[]) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	f record;
	places int[];
	types text[];
	plain text[];
	result regtype;
BEGIN
	FOR f IN
		SELECT p.proname, p.proargtypes::oid[] AS args, p.proisstrict AS is_strict, p.proretset AS is_set
		FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (names) AND p.prokind = 'f' AND p.pronargs BETWEEN 1 AND 4 AND p.oid < 16384
		-- numeric is widened only where no function takes it: a variant of float8 would be preferred to power(numeric, numeric)
		AND NOT (base = 'numeric'::regtype AND EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.pronamespace = p.pronamespace AND o.proname = p.proname
			AND o.pronargs = p.pronargs AND base = ANY (o.proargtypes) AND o.oid < 16384))
		ORDER BY p.proname, p.oid
	LOOP
		SELECT pg_catalog.array_agg(i) INTO places FROM pg_catalog.generate_subscripts(f.args, 1) i
			WHERE f.args[i] = base OR EXISTS (SELECT FROM pg_catalog.pg_cast WHERE castsource = base AND casttarget = f.args[i] AND castcontext = 'i');
		FOR which IN 1 .. (1 << coalesce(pg_catalog.cardinality(places), 0)) - 1 LOOP
			SELECT pg_catalog.array_agg(CASE WHEN here THEN type_name::text ELSE f.args[i]::regtype::text END ORDER BY i),
				pg_catalog.array_agg(CASE WHEN here THEN base::text ELSE f.args[i]::regtype::text END ORDER BY i) INTO types, plain
			FROM pg_catalog.generate_subscripts(f.args, 1) i, coalesce(which & (1 << (pg_catalog.array_position(places, i) - 1)) <> 0, false) here;
			CONTINUE WHEN pg_catalog.to_regprocedure(pg_catalog.format('pg_catalog.%I(%s)', f.proname, pg_catalog.array_to_string(types, ','))) IS NOT NULL;
			result := type_resolves(type_call(f.proname, 'n::%2$s', plain));
			CONTINUE WHEN result IS NULL;
			EXECUTE pg_catalog.format('CREATE FUNCTION pg_catalog.%I(%s) RETURNS %s %s LANGUAGE sql STABLE %s PARALLEL SAFE RETURN %s',
				f.proname, pg_catalog.array_to_string(types, ', '), CASE WHEN f.is_set THEN 'SETOF' END, result,
				CASE WHEN f.is_strict THEN 'STRICT' END, type_call(f.proname, '%3$s', types));
		END LOOP;
	END LOOP;
END
$fn$;

-- Aggregates of float8, which integers and numeric are widened to: of two arguments
-- (corr and regr_*), for every pair of types ...
CREATE FUNCTION type_regression(types text[]) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	pair record;
	agg record;
BEGIN
	FOR pair IN
		SELECT l, r, pg_catalog.format('%s_%s', pg_catalog.split_part(l, ' ', 1), pg_catalog.split_part(r, ' ', 1)) AS suffix
		FROM pg_catalog.unnest(types) l, pg_catalog.unnest(types) r WHERE (l || r) ~ 'encrypted_(int|num)'
	LOOP
		FOR agg IN
			SELECT aggtransfn::regproc::text AS step, aggtranstype::regtype::text AS state,
				pg_catalog.array_agg(pg_catalog.format('CREATE AGGREGATE pg_catalog.%s(%s, %s) (SFUNC = %s, STYPE = %s, INITCOND = %L%s)', p.proname, pair.l, pair.r,
					aggtransfn::regproc || '_' || pair.suffix, aggtranstype::regtype, agginitval,
					CASE WHEN aggfinalfn <> 0 THEN ', FINALFUNC = pg_catalog.' || aggfinalfn::regproc END)) AS make
			FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid
			WHERE aggkind = 'n' AND p.oid < 16384 AND p.proargtypes = '701 701'
			GROUP BY 1, 2
		LOOP
			EXECUTE pg_catalog.format('CREATE FUNCTION %I(%s, %s, %s) RETURNS %s LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN pg_catalog.%s($1, %s::float8, %s::float8)',
				agg.step || '_' || pair.suffix, agg.state, pair.l, pair.r, agg.state, agg.step, type_operand(2, pair.l), type_operand(3, pair.r));
			FOR i IN 1 .. pg_catalog.cardinality(agg.make) LOOP
				EXECUTE agg.make[i];
			END LOOP;
		END LOOP;
	END LOOP;
END
$fn$;

-- ... and percentile_cont, which gathers what is stored and opens it at the end.
CREATE FUNCTION type_percentile(type_name name) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	fraction text;
BEGIN
	FOREACH fraction IN ARRAY '{float8,float8[]}'::text[] LOOP
		EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I[], %s) RETURNS %s LANGUAGE sql STABLE PARALLEL SAFE
			RETURN (SELECT pg_catalog.percentile_cont($2) WITHIN GROUP (ORDER BY %I(x)::float8) FROM pg_catalog.unnest($1) x)',
			type_name || '_percentile', type_name, fraction, fraction, type_name || '_to_base');
		EXECUTE pg_catalog.format('CREATE AGGREGATE pg_catalog.percentile_cont(%s ORDER BY %I) (SFUNC = pg_catalog.array_append, STYPE = %I[], FINALFUNC = %I)',
			fraction, type_name, type_name, type_name || '_percentile');
	END LOOP;
END
$fn$;

-- Is a value in a range, or in several?
CREATE FUNCTION type_in_ranges(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	r regtype;
BEGIN
	FOR r IN SELECT pg_catalog.unnest(ARRAY[rngtypid, rngmultitypid]) FROM pg_catalog.pg_range WHERE rngsubtype = base AND rngtypid < 16384 LOOP
		PERFORM type_operator('@>', r::text, type_name, r, base);
		PERFORM type_operator('<@', type_name, r::text, base, r);
	END LOOP;
END
$fn$;

-- Arrays against arrays of the base type; and of the type itself, or the server would not
-- know which way to convert, and would take a literal for an array in plaintext.
CREATE FUNCTION type_array_operators(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	enc text := pg_catalog.format('%I[]', type_name);
	plain regtype := (base::text || '[]')::regtype;
	o record;
BEGIN
	FOR o IN SELECT oprname AS symbol, oprcode AS function FROM pg_catalog.pg_operator
		WHERE oprleft = 'anyarray'::regtype AND oprright = 'anyarray'::regtype AND oprname IN ('=', '<>', '<', '<=', '>=', '>', '@>', '<@', '&&') AND oid < 16384
		ORDER BY oprname
	LOOP
		PERFORM type_operator(o.symbol, enc, plain::text, plain, plain, pg_catalog.format('$1::%s OPERATOR(pg_catalog.%s) $2', plain, o.symbol));
		PERFORM type_operator(o.symbol, plain::text, enc, plain, plain, pg_catalog.format('$1 OPERATOR(pg_catalog.%s) $2::%s', o.symbol, plain));
		PERFORM type_operator(o.symbol, enc, enc, plain, plain, pg_catalog.format('pg_catalog.%s($1, $2)', o.function));
	END LOOP;
END
$fn$;

-- RANGE frames of windows, as far as the base type has them.
CREATE FUNCTION type_ranges(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	r record;
BEGIN
	FOR r IN
		SELECT p.amprocrighttype::regtype AS distance
		FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_amproc p ON p.amprocfamily = c.opcfamily
		WHERE c.opcintype = base AND c.opcdefault AND c.opcmethod = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')
		AND p.amproclefttype = base AND p.amprocnum = 3
	LOOP
		EXECUTE pg_catalog.format('CREATE FUNCTION %1$I(%2$I, %2$I, %3$s, bool, bool) RETURNS bool LANGUAGE sql STABLE STRICT PARALLEL SAFE
			RETURN pg_catalog.in_range(%4$I($1), %4$I($2), $3, $4, $5)', type_name || '_in_range', type_name, r.distance, type_name || '_to_base');
		EXECUTE pg_catalog.format('ALTER OPERATOR FAMILY %1$I USING btree ADD FUNCTION 3 (%2$I, %3$s) %4$I(%2$I, %2$I, %3$s, bool, bool)',
			type_name || '_ops', type_name, r.distance, type_name || '_in_range');
	END LOOP;
END
$fn$;

-- What stands around the type, its operators and its classes.
CREATE FUNCTION type_complete(type_name name, base regtype, exact regtype[] DEFAULT '{}', wider regtype[] DEFAULT '{}', own text[] DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql AS $fn$
BEGIN
	PERFORM type_casts(type_name, base);
	PERFORM type_ranges(type_name, base);
	PERFORM type_in_ranges(type_name, base);
	PERFORM type_array_operators(type_name, base);
	IF base = 'int4'::regtype THEN
		PERFORM type_template($tpl$
CREATE FUNCTION @T@_operand(int8) RETURNS @T@
	LANGUAGE C STABLE STRICT PARALLEL SAFE SUPPORT encrypted_cast_support AS 'MODULE_PATHNAME', 'sov_int4_operand';
$tpl$, type_name, base);
	END IF;
	PERFORM type_operands(type_name, base, exact, wider, own);
END
$fn$;

-- A further base type is one call, in a script of the extension.
CREATE FUNCTION add_encrypted_type(base regtype, exact regtype[] DEFAULT '{}', wider regtype[] DEFAULT '{}', own text[] DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	type_name name := 'encrypted_' || (SELECT typname FROM pg_catalog.pg_type WHERE oid = base);
BEGIN
	PERFORM type_make(type_name, base);
	PERFORM type_operators(type_name, base);
	PERFORM type_classes(type_name, base);
	PERFORM type_complete(type_name, base, exact, wider, own);
END
$fn$;
COMMENT ON FUNCTION add_encrypted_type(regtype, regtype[], regtype[], text[]) IS 'for the extension''s own scripts: make one more encrypted type';
REVOKE EXECUTE ON FUNCTION type_template(text, name, regtype), type_make(name, regtype), type_operators(name, regtype),
	type_classes(name, regtype), type_ranges(name, regtype), type_casts(name, regtype), type_operand(int, text), type_operator(text, text, text, regtype, regtype, text), type_comparison(text, text), type_equality(name, name, name), type_pair(regtype, regtype, bool),
	type_operands(name, regtype, regtype[], regtype[], text[]), type_functions(name, regtype, text[]), type_resolves(text), type_call(text, text, text[]), type_regression(text[]), type_percentile(name),
	type_in_ranges(name, regtype), type_array_operators(name, regtype),
	type_complete(name, regtype, regtype[], regtype[], text[]), add_encrypted_type(regtype, regtype[], regtype[], text[]) FROM PUBLIC;

SELECT add_encrypted_type('text', exact => '{name}');
SELECT add_encrypted_type('bytea', own => '{||}');
SELECT add_encrypted_type('bool');
SELECT add_encrypted_type('int8', exact => '{int2,int4}', wider => '{numeric,float8}');
SELECT add_encrypted_type('int4', exact => '{int2,int8}', wider => '{numeric,float8}');
SELECT add_encrypted_type('date', own => '{-}');
SELECT add_encrypted_type('timestamptz', exact => '{date,timestamp}', own => '{-}');
SELECT add_encrypted_type('uuid');
SELECT add_encrypted_type('numeric', exact => '{int2,int4,int8}', wider => '{float8}');
SELECT add_encrypted_type('float8', exact => '{float4}', own => '{+,-,*,/,^}');
SELECT add_encrypted_type('jsonb', own => '{||}');

-- doc['key'], as of jsonb
CREATE FUNCTION encrypted_jsonb_subscript(internal) RETURNS internal LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_jsonb_subscript';
COMMENT ON FUNCTION encrypted_jsonb_subscript(internal) IS 'subscripts of encrypted_jsonb, for reading';
ALTER TYPE encrypted_jsonb SET (SUBSCRIPT = encrypted_jsonb_subscript);

SELECT type_pair(a::regtype, b::regtype, a <> 'date') FROM (VALUES ('int4', 'int8'), ('int4', 'numeric'), ('int4', 'float8'),
	('int8', 'numeric'), ('int8', 'float8'), ('numeric', 'float8'), ('date', 'timestamptz')) v(a, b);
-- int4 first: its variants must stand before those of the types that it is widened to
SELECT type_functions(('encrypted_' || b)::name, b::regtype, '{round,trunc,div,factorial,scale,min_scale,trim_scale,width_bucket,
	sqrt,cbrt,exp,ln,log,log10,power,pow,ceil,ceiling,floor,sign,degrees,radians,sin,cos,tan,cot,asin,acos,atan,atan2,sinh,cosh,tanh,asinh,acosh,atanh,
	sind,cosd,tand,cotd,asind,acosd,atand,atan2d,erf,erfc,gamma,lgamma,point,to_timestamp,make_time,generate_series,int8range,numrange}')
	FROM pg_catalog.unnest('{int4,int8,numeric}'::text[]) b;
SELECT type_operator(symbol, enc, 'interval', base, 'interval'), type_operator(symbol, 'interval', enc, 'interval', base)
	FROM (SELECT 'encrypted_' || b AS enc, b::regtype AS base FROM pg_catalog.unnest('{int4,int8,numeric,float8}'::text[]) b) t, pg_catalog.unnest('{*,/}'::text[]) symbol;
SELECT type_operator('-', other::text, 'encrypted_date', other, 'date'), type_operator('-', 'encrypted_date', other::text, 'date', other)
	FROM pg_catalog.unnest('{timestamp,timestamptz}'::regtype[]) other;
SELECT type_functions('encrypted_date', 'date', '{date_trunc,to_char,timezone,age,overlaps,date_bin,date_add,date_subtract,tsrange,tstzrange,generate_series}');
SELECT type_regression('{double precision,encrypted_int4,encrypted_int8,encrypted_numeric,encrypted_float8}');
SELECT type_percentile(('encrypted_' || b)::name) FROM pg_catalog.unnest('{int4,int8,numeric}'::text[]) b;

-- What the templates made says what it is: \df+ and \do+ show it.  In one statement, as
-- 2,700 times COMMENT ON takes half a second.
INSERT INTO pg_catalog.pg_description (objoid, classoid, objsubid, description)
	SELECT d.objid, d.classid, 0, CASE d.classid
		WHEN 'pg_catalog.pg_operator'::regclass THEN (SELECT CASE WHEN oprname LIKE '%#%' AND oprname <> '#' THEN 'order of equality tags: says nothing of the values'
			ELSE 'as for the base type' END FROM pg_catalog.pg_operator WHERE oid = d.objid)
		WHEN 'pg_catalog.pg_cast'::regclass THEN (SELECT CASE WHEN s.n AND t.n THEN 'bring a value under another key, mode or type' WHEN s.n THEN 'decrypt' ELSE 'encrypt' END
			FROM pg_catalog.pg_cast, LATERAL (SELECT castsource::regtype::text LIKE '%encrypted\_%') s(n), LATERAL (SELECT casttarget::regtype::text LIKE '%encrypted\_%') t(n) WHERE oid = d.objid)
		WHEN 'pg_catalog.pg_opfamily'::regclass THEN 'operators of encrypted types'
		WHEN 'pg_catalog.pg_opclass'::regclass THEN 'equality by tags'
		ELSE (SELECT CASE WHEN p.pronamespace = 'pg_catalog'::regnamespace THEN 'as for the base type'
				WHEN p.oid IN (SELECT oprcode::oid FROM pg_catalog.pg_operator) THEN 'implementation of an operator'
				WHEN p.proname ~ '_(in|out|recv|send|typmod_in|typmod_out)$' THEN 'I/O'
				WHEN p.proname ~ '^type_' THEN 'for the extension''s own scripts'
				WHEN p.proname ~ '_to_|^encrypted_[a-z0-9]*$' THEN 'implementation of a cast'
				ELSE 'support of encrypted types' END FROM pg_catalog.pg_proc p WHERE p.oid = d.objid) END
	FROM pg_catalog.pg_depend d
	WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'pg_sovereign')
	AND d.classid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_cast'::regclass,
		'pg_catalog.pg_opclass'::regclass, 'pg_catalog.pg_opfamily'::regclass)
	AND pg_catalog.obj_description(d.objid, d.classid::regclass::name) IS NULL;

