----------------------------------------------------------------------
-- Encrypted types: one mechanism for all.  The library takes for one what is called
-- encrypted_X and has a function encrypted_X_to_base.
----------------------------------------------------------------------
CREATE OR REPLACE FUNCTION encrypted_typmod_out(int4) RETURNS cstring
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_typmod_out';
CREATE OR REPLACE FUNCTION encrypted_typanalyze(internal) RETURNS bool
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_typanalyze';
CREATE OR REPLACE FUNCTION encrypted_eq_support(internal) RETURNS internal
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_eq_support';
CREATE OR REPLACE FUNCTION encrypted_ne_support(internal) RETURNS internal
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_ne_support';
CREATE FUNCTION encrypted_cast_support(internal) RETURNS internal
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_cast_support';

CREATE FUNCTION native_row(record) RETURNS record
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_native_row';
COMMENT ON FUNCTION native_row(record) IS 'a row with its encrypted columns decrypted: what rows are printed through';

CREATE FUNCTION native_rows(anyarray) RETURNS record[]
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_native_rows';
COMMENT ON FUNCTION native_rows(anyarray) IS 'an array of rows with their encrypted columns decrypted';

-- Run a template: @T@ is the encrypted type, @B@ its base type.
CREATE FUNCTION type_template(template text, type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
BEGIN
	EXECUTE pg_catalog.replace(pg_catalog.replace(template, '@T@', pg_catalog.quote_ident(type_name)), '@B@', base::text);
END
$fn$;

-- The type, its input and output.
CREATE FUNCTION type_make(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	t pg_catalog.pg_type;
BEGIN
	SELECT * INTO t FROM pg_catalog.pg_type WHERE oid = base;
	PERFORM type_template($tpl$
CREATE TYPE @T@;
CREATE FUNCTION @T@_typmod_in(cstring[]) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_typmod_in';
CREATE FUNCTION @T@_in(cstring, oid, int4) RETURNS @T@
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_in';
CREATE FUNCTION @T@_out(@T@) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_out';
CREATE FUNCTION @T@_recv(internal, oid, int4) RETURNS @T@
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_recv';
CREATE FUNCTION @T@_send(@T@) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_send';
$tpl$, type_name, base);
	EXECUTE pg_catalog.format('CREATE TYPE %1$I (INPUT = %1$s_in, OUTPUT = %1$s_out, RECEIVE = %1$s_recv, SEND = %1$s_send, '
		'TYPMOD_IN = %1$s_typmod_in, TYPMOD_OUT = encrypted_typmod_out, ANALYZE = encrypted_typanalyze, '
		'INTERNALLENGTH = VARIABLE, STORAGE = external, CATEGORY = %2$L, COLLATABLE = %3$s)',
		type_name, t.typcategory, (t.typcollation <> 0)::text);
	EXECUTE pg_catalog.format('COMMENT ON TYPE %I IS %L', type_name,
		pg_catalog.format('%s, encrypted: %s(''key'')%s', base, type_name,
			CASE WHEN base <> 'bool'::regtype THEN pg_catalog.format(' or %s(''key'', ''searchable'')', type_name) END));
END
$fn$;

-- Comparison: also with the base type, both ways round.  Equality is LEAKPROOF: it
-- is decided by tags, and the errors of a value without one (a missing key, a
-- damaged value) do not depend on plaintext; row security can so use an index.
CREATE FUNCTION type_operators(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	make_function text := 'CREATE FUNCTION %I(%s, %s) RETURNS %s LANGUAGE C STABLE STRICT PARALLEL SAFE %s %s AS ''MODULE_PATHNAME'', %L';
	side record;
	op record;
BEGIN
	FOR side IN
		SELECT * FROM (VALUES
			(type_name::text, type_name::text, type_name::text, false),
			(type_name::text, base::text, type_name || '_base', true),
			(base::text, type_name::text, 'base_' || type_name, true)) v(l, r, prefix, mixed)
	LOOP
		FOR op IN
			SELECT * FROM (VALUES
				('eq', '=', '=', '<>', 'eqsel', 'eqjoinsel', true),
				('ne', '<>', '<>', '=', 'neqsel', 'neqjoinsel', true),
				('lt', '<', '>', '>=', 'scalarltsel', 'scalarltjoinsel', false),
				('le', '<=', '>=', '>', 'scalarlesel', 'scalarlejoinsel', false),
				('ge', '>=', '<=', '<', 'scalargesel', 'scalargejoinsel', false),
				('gt', '>', '<', '<=', 'scalargtsel', 'scalargtjoinsel', false),
				('blind_lt', '#<#', '#>#', '#>=#', 'scalarltsel', 'scalarltjoinsel', false),
				('blind_le', '#<=#', '#>=#', '#>#', 'scalarlesel', 'scalarlejoinsel', false),
				('blind_ge', '#>=#', '#<=#', '#<#', 'scalargesel', 'scalargejoinsel', false),
				('blind_gt', '#>#', '#<#', '#<=#', 'scalargtsel', 'scalargtjoinsel', false))
				v(name, symbol, commutator, negator, restrict_fn, join_fn, equality)
		LOOP
			CONTINUE WHEN side.mixed AND op.name LIKE 'blind%';
			EXECUTE pg_catalog.format(make_function, side.prefix || '_' || op.name, side.l, side.r, 'bool',
				CASE WHEN op.equality THEN 'LEAKPROOF' END,
				CASE WHEN op.equality AND side.mixed THEN pg_catalog.format('SUPPORT encrypted_%s_support', op.name) END, 'sov_' || op.name);
			EXECUTE pg_catalog.format('CREATE OPERATOR pg_catalog.%s (FUNCTION = %I, LEFTARG = %s, RIGHTARG = %s, '
				'COMMUTATOR = OPERATOR(pg_catalog.%s), NEGATOR = OPERATOR(pg_catalog.%s), RESTRICT = %s, JOIN = %s%s)',
				op.symbol, side.prefix || '_' || op.name, side.l, side.r, op.commutator, op.negator, op.restrict_fn, op.join_fn,
				CASE WHEN op.name = 'eq' THEN CASE WHEN side.mixed THEN ', HASHES' ELSE ', HASHES, MERGES' END END);
		END LOOP;
		EXECUTE pg_catalog.format(make_function, side.prefix || '_cmp', side.l, side.r, 'int4', '', '', 'sov_cmp');
		EXECUTE pg_catalog.format(make_function, side.prefix || '_blind_cmp', side.l, side.r, 'int4', '', '', 'sov_blind_cmp');
	END LOOP;
END
$fn$;

-- Operator classes.  The blind families (order and hash of the equality tags) come
-- first, so that merge joins sort by tag; int4 is in those of int8, whose tags it
-- shares.  The plaintext order sorts; it refuses every index.
CREATE FUNCTION type_classes(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	family text := CASE WHEN base = 'int4'::regtype THEN 'encrypted_int8' ELSE type_name END;
	base_cmp regproc := (SELECT p.amproc FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_amproc p
		ON p.amprocfamily = c.opcfamily AND p.amproclefttype = c.opcintype AND p.amprocrighttype = c.opcintype AND p.amprocnum = 1
		WHERE c.opcdefault AND c.opcintype = base AND c.opcmethod = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree'));
BEGIN
	IF family = type_name THEN
		PERFORM type_template($tpl$
CREATE OPERATOR FAMILY @T@_blind_ops USING btree;
CREATE OPERATOR FAMILY @T@_hash_ops USING hash;
$tpl$, type_name, base);
	END IF;
	PERFORM type_template(pg_catalog.replace($tpl$
CREATE FUNCTION @T@_base_base_blind_cmp(@B@, @B@) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_blind_cmp';
CREATE FUNCTION @T@_hash(@T@) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_hash';
CREATE FUNCTION @T@_hash_extended(@T@, int8) RETURNS int8
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_hash_extended';
CREATE FUNCTION @T@_base_hash(@B@) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_hash';
CREATE FUNCTION @T@_base_hash_extended(@B@, int8) RETURNS int8
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_hash_extended';
CREATE FUNCTION @T@_sortsupport(internal) RETURNS void
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_sortsupport';
CREATE FUNCTION @T@_blind_sortsupport(internal) RETURNS void
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_blind_sortsupport';
CREATE FUNCTION @T@_refuse_index(internal) RETURNS void
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_refuse_index';

CREATE OPERATOR CLASS @T@_blind_ops FOR TYPE @T@ USING btree FAMILY @F@_blind_ops AS
	OPERATOR 1 pg_catalog.#<#, OPERATOR 2 pg_catalog.#<=#, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.#>=#, OPERATOR 5 pg_catalog.#>#,
	FUNCTION 1 @T@_blind_cmp(@T@, @T@),
	FUNCTION 2 @T@_blind_sortsupport(internal);
ALTER OPERATOR FAMILY @F@_blind_ops USING btree ADD
	OPERATOR 3 pg_catalog.= (@T@, @B@),
	FUNCTION 1 (@T@, @B@) @T@_base_blind_cmp(@T@, @B@),
	OPERATOR 3 pg_catalog.= (@B@, @T@),
	FUNCTION 1 (@B@, @T@) base_@T@_blind_cmp(@B@, @T@),
	FUNCTION 1 (@B@, @B@) @T@_base_base_blind_cmp(@B@, @B@);
COMMENT ON OPERATOR CLASS @T@_blind_ops USING btree IS 'for indexes: the order of equality tags, which says nothing of the values';

CREATE OPERATOR CLASS @T@_hash_ops DEFAULT FOR TYPE @T@ USING hash FAMILY @F@_hash_ops AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 @T@_hash(@T@),
	FUNCTION 2 @T@_hash_extended(@T@, int8);
ALTER OPERATOR FAMILY @F@_hash_ops USING hash ADD
	OPERATOR 1 pg_catalog.= (@T@, @B@),
	OPERATOR 1 pg_catalog.= (@B@, @T@),
	FUNCTION 1 (@B@, @B@) @T@_base_hash(@B@),
	FUNCTION 2 (@B@, @B@) @T@_base_hash_extended(@B@, int8);

CREATE OPERATOR FAMILY @T@_ops USING btree;
CREATE OPERATOR CLASS @T@_ops DEFAULT FOR TYPE @T@ USING btree FAMILY @T@_ops AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 @T@_cmp(@T@, @T@),
	FUNCTION 2 @T@_sortsupport(internal),
	FUNCTION 5 @T@_refuse_index(internal);
COMMENT ON OPERATOR CLASS @T@_ops USING btree IS 'for sorting: the order of the plaintext; it refuses every index';
$tpl$, '@F@', family), type_name, base);
	PERFORM type_template(pg_catalog.replace($tpl$
ALTER OPERATOR FAMILY @T@_ops USING btree ADD
	OPERATOR 1 pg_catalog.< (@T@, @B@), OPERATOR 2 pg_catalog.<= (@T@, @B@),
	OPERATOR 3 pg_catalog.= (@T@, @B@), OPERATOR 4 pg_catalog.>= (@T@, @B@),
	OPERATOR 5 pg_catalog.> (@T@, @B@),
	FUNCTION 1 (@T@, @B@) @T@_base_cmp(@T@, @B@),
	OPERATOR 1 pg_catalog.< (@B@, @T@), OPERATOR 2 pg_catalog.<= (@B@, @T@),
	OPERATOR 3 pg_catalog.= (@B@, @T@), OPERATOR 4 pg_catalog.>= (@B@, @T@),
	OPERATOR 5 pg_catalog.> (@B@, @T@),
	FUNCTION 1 (@B@, @T@) base_@T@_cmp(@B@, @T@),
	FUNCTION 1 (@B@, @B@) @CMP@(@B@, @B@);
$tpl$, '@CMP@', base_cmp::text), type_name, base);
END
$fn$;

-- An argument as its base type.  Bodies call the function, not the cast: pg_upgrade
-- restores casts after the functions that use them.
CREATE FUNCTION type_operand(number int, type text) RETURNS text
	LANGUAGE sql AS $fn$
	SELECT CASE WHEN type LIKE 'encrypted\_%'
		THEN pg_catalog.format('%I($%s)', type || '_to_base', number) ELSE '$' || number END
$fn$;

-- A call of a function of the server; in argument: %1$s its number, %2$s its type, %3$s its parameter in a body.
CREATE FUNCTION type_call(name text, argument text, types text[]) RETURNS text
	LANGUAGE sql AS $fn$
	SELECT pg_catalog.format('pg_catalog.%I(%s)', name, pg_catalog.string_agg(pg_catalog.format(argument, i, types[i], type_operand(i, types[i])), ', ' ORDER BY i))
	FROM pg_catalog.generate_subscripts(types, 1) i
$fn$;

-- The type of an expression over a text n, which is not evaluated; NULL where the server does not know what to call.
CREATE FUNCTION type_resolves(expression text, OUT result regtype) LANGUAGE plpgsql AS $fn$
BEGIN
	EXECUTE pg_catalog.format('SELECT pg_catalog.pg_typeof(x) FROM (SELECT NULL::text AS n OFFSET 0) a LEFT JOIN LATERAL (SELECT %s AS x) v ON false', expression) INTO result;
EXCEPTION WHEN undefined_function OR ambiguous_function THEN
	NULL;
END
$fn$;

-- Casts from and to the base type.  Whatever that is cast to and from, the encrypted
-- type is, through the base type; not implicitly, as several implicit ways would make calls ambiguous.
CREATE FUNCTION type_casts(type_name name, base regtype) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	c record;
	arguments text;
BEGIN
	-- STABLE, so that no index expression or generated column takes plaintext to disk.
	PERFORM type_template($tpl$
CREATE OR REPLACE FUNCTION @T@(@T@, int4, bool) RETURNS @T@
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_coerce';
CREATE OR REPLACE FUNCTION @T@(@B@, int4, bool) RETURNS @T@
	LANGUAGE C STABLE STRICT PARALLEL SAFE SUPPORT encrypted_cast_support AS 'MODULE_PATHNAME', 'sov_from_base';
CREATE OR REPLACE FUNCTION @T@_to_base(@T@) RETURNS @B@
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_to_base';
CREATE CAST (@T@ AS @T@) WITH FUNCTION @T@(@T@, int4, bool) AS IMPLICIT;
CREATE CAST (@B@ AS @T@) WITH FUNCTION @T@(@B@, int4, bool) AS ASSIGNMENT;
CREATE CAST (@T@ AS @B@) WITH FUNCTION @T@_to_base(@T@) AS IMPLICIT;
COMMENT ON FUNCTION @T@(@T@, int4, bool) IS 'bring a value under the key and mode of its column';
COMMENT ON FUNCTION @T@(@B@, int4, bool) IS 'encrypt';
COMMENT ON FUNCTION @T@_to_base(@T@) IS 'decrypt';
$tpl$, type_name, base);
	FOR c IN
		SELECT t.typname AS other, type_name || '_to_' || pg_catalog.translate(t.typname, '"', '') AS function, pg_catalog.bool_or(x.assignment) AS assignment
		FROM (SELECT casttarget, castcontext <> 'e' FROM pg_catalog.pg_cast WHERE castsource = base AND casttarget < 16384
				AND casttarget NOT IN ('regclass'::regtype, 'json'::regtype, 'jsonb'::regtype, '"char"'::regtype, 'xml'::regtype)
			UNION ALL SELECT n::regtype, true FROM pg_catalog.unnest('{text,varchar,bpchar}'::text[]) n
			UNION ALL SELECT n::regtype, false
				FROM pg_catalog.unnest('{int2,int4,int8,numeric,float4,float8,bool,date,time,timestamp,timestamptz,interval,uuid}'::text[]) n
				WHERE base = 'text'::regtype) x(target, assignment)
		JOIN pg_catalog.pg_type t ON t.oid = x.target
		WHERE t.oid <> base GROUP BY t.typname ORDER BY t.typname
	LOOP
		-- the length of a bit string says which bits of a number it takes
		arguments := type_name || CASE WHEN c.other = 'bit' THEN ', int4, bool' ELSE '' END;
		EXECUTE pg_catalog.format('CREATE OR REPLACE FUNCTION %I(%s) RETURNS pg_catalog.%I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %s',
			c.function, arguments, c.other, pg_catalog.format(CASE WHEN c.other = 'bit' THEN 'pg_catalog.%2$I(%1$I($1), $2)' ELSE '%1$I($1)::pg_catalog.%2$I' END,
			type_name || '_to_base', c.other));
		-- varchar: what drivers say a string is; coalesce(name, $1) takes either for both
		EXECUTE pg_catalog.format('CREATE CAST (%I AS pg_catalog.%I) WITH FUNCTION %I(%s) %s', type_name, c.other, c.function, arguments,
			CASE WHEN c.other = 'varchar' AND base = 'text'::regtype THEN 'AS IMPLICIT' WHEN c.assignment THEN 'AS ASSIGNMENT' END);
	END LOOP;
	-- casts that are written as calls: date(x), text(x)
	FOR c IN
		SELECT t.typname AS other FROM pg_catalog.unnest('{text,varchar,bpchar,name,date,time,timestamp,timestamptz,interval,int2,int4,int8,float4,float8,numeric,bool,uuid,bytea}'::name[]) t(typname)
	LOOP
		IF type_resolves(type_call(c.other, 'n::%2$s', ARRAY[base::text])) = c.other::text::regtype THEN
			EXECUTE pg_catalog.format('CREATE FUNCTION pg_catalog.%I(%I) RETURNS pg_catalog.%I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %s',
				c.other, type_name, c.other, type_call(c.other, '%3$s', ARRAY[type_name::text]));
		END IF;
	END LOOP;
	FOR c IN
		SELECT t.typname AS other, x.castcontext <> 'e' AS assignment
		FROM pg_catalog.pg_cast x JOIN pg_catalog.pg_type t ON t.oid = x.castsource
		WHERE x.casttarget = base AND x.castsource <> x.casttarget AND x.castsource < 16384
		AND x.castsource NOT IN ('regclass'::regtype, '"char"'::regtype, 'cidr'::regtype, 'inet'::regtype, 'xml'::regtype)
		ORDER BY t.typname
	LOOP
		EXECUTE pg_catalog.format('CREATE OR REPLACE FUNCTION %I(pg_catalog.%I, int4, bool) RETURNS %I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %I($1::%s, $2, $3)',
			type_name, c.other, type_name, type_name, base);
		EXECUTE pg_catalog.format('CREATE CAST (pg_catalog.%I AS %I) WITH FUNCTION %I(pg_catalog.%I, int4, bool) %s', c.other, type_name,
			type_name, c.other, CASE WHEN c.assignment THEN 'AS ASSIGNMENT' END);
	END LOOP;
	-- row_to_json and to_jsonb look for these, and so give plaintext
	PERFORM type_template($tpl$
CREATE OR REPLACE FUNCTION @T@_to_json(@T@) RETURNS json LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN pg_catalog.to_json(@T@_to_base($1));
CREATE CAST (@T@ AS json) WITH FUNCTION @T@_to_json(@T@);
$tpl$, type_name, base);
	IF base <> 'jsonb'::regtype THEN
		PERFORM type_template($tpl$
CREATE OR REPLACE FUNCTION @T@_to_jsonb(@T@) RETURNS jsonb LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN pg_catalog.to_jsonb(@T@_to_base($1));
CREATE CAST (@T@ AS jsonb) WITH FUNCTION @T@_to_jsonb(@T@);
$tpl$, type_name, base);
	END IF;
END
$fn$;

-- One operator with operands of other types, by an expression over $1 and $2 that is
-- inlined; nothing where the server has no operator for lbase and rbase.
CREATE FUNCTION type_operator(symbol text, l text, r text, lbase regtype, rbase regtype, expression text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	name text := pg_catalog.format('%s_%s_%s', pg_catalog.translate(pg_catalog.replace(l, '[]', '_array'), ' "', '_'),
		CASE symbol WHEN '=' THEN 'eq' WHEN '<>' THEN 'ne' WHEN '<' THEN 'lt' WHEN '<=' THEN 'le' WHEN '>=' THEN 'ge' WHEN '>' THEN 'gt'
		WHEN '+' THEN 'plus' WHEN '-' THEN 'minus' WHEN '*' THEN 'times' WHEN '/' THEN 'divided' WHEN '%' THEN 'modulo' WHEN '^' THEN 'power' WHEN '||' THEN 'concat'
		WHEN '&' THEN 'and' WHEN '|' THEN 'or' WHEN '#' THEN 'xor'
		WHEN '@>' THEN 'contains' WHEN '<@' THEN 'contained' WHEN '&&' THEN 'overlaps' END,
		pg_catalog.translate(pg_catalog.replace(r, '[]', '_array'), ' "', '_'));
	result regtype;
BEGIN
	EXECUTE pg_catalog.format('SELECT pg_catalog.pg_typeof(NULL::%s OPERATOR(pg_catalog.%s) NULL::%s)', lbase, symbol, rbase) INTO result;
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%s, %s) RETURNS %s LANGUAGE sql STABLE PARALLEL SAFE RETURN %s', name, l, r, result,
		coalesce(expression, pg_catalog.format('%s OPERATOR(pg_catalog.%s) %s', type_operand(1, l), symbol, type_operand(2, r))));
	EXECUTE pg_catalog.format('CREATE OPERATOR pg_catalog.%s (FUNCTION = %I, LEFTARG = %s, RIGHTARG = %s%s)', symbol, name, l, r,
		CASE WHEN symbol = '<>' THEN ', NEGATOR = OPERATOR(pg_catalog.=)' END);
EXCEPTION WHEN undefined_function THEN
	NULL;
END
$fn$;

-- Comparisons of such operands in rows, as in (amount, id) > (10, 5): the server takes
-- what such an operator means from a family.  In one of their own no index and no sort
-- finds them.
CREATE OPERATOR FAMILY encrypted_mixed_ops USING btree;
CREATE FUNCTION type_comparison(l text, r text) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	name text := pg_catalog.format('%s_cmp_%s', pg_catalog.translate(l, ' "', '_'), pg_catalog.translate(r, ' "', '_'));
	members text;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.format('OPERATOR %s pg_catalog.%s (%s, %s)', s.number, s.symbol, l, r), ', ') INTO members
	FROM pg_catalog.unnest('{<,<=,=,>=,>}'::text[]) WITH ORDINALITY s(symbol, number)
	JOIN pg_catalog.pg_operator o ON o.oprname = s.symbol AND o.oprleft = l::regtype AND o.oprright = r::regtype
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_amop WHERE amopopr = o.oid);
	IF members IS NULL THEN
		RETURN;
	END IF;
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%s, %s) RETURNS int4 LANGUAGE sql STABLE STRICT PARALLEL SAFE
		RETURN CASE WHEN %s OPERATOR(pg_catalog.<) %s THEN -1 WHEN %s OPERATOR(pg_catalog.=) %s THEN 0 ELSE 1 END', name, l, r,
		type_operand(1, l), type_operand(2, r), type_operand(1, l), type_operand(2, r));
	EXECUTE pg_catalog.format('ALTER OPERATOR FAMILY encrypted_mixed_ops USING btree ADD %s, FUNCTION 1 (%s, %s) %I(%s, %s)', members, l, r, name, l, r);
END
$fn$;

-- Operands of types near the base type: without these, the server would not know
-- which way to convert.  exact: what fits the base type without loss, so that
-- equality is that of the encrypted type, with its index; wider: what the base type
-- is widened to; own: operators with the base type itself, so that
-- a literal is taken for that.
CREATE FUNCTION type_operands(type_name name, base regtype, exact regtype[], wider regtype[], own text[]) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	other regtype;
	symbol text;
	operand text;
BEGIN
	FOREACH symbol IN ARRAY '{=,<>,<,<=,>=,>,+,-,*,/,%,^,&,|,#}'::text[] LOOP
		FOREACH other IN ARRAY exact || wider LOOP
			operand := CASE WHEN other = ANY (wider) OR symbol NOT IN ('=', '<>') THEN NULL
				WHEN base = 'int4'::regtype AND other = 'int8'::regtype THEN pg_catalog.quote_ident(type_name || '_operand') || '(%s)'
				ELSE '%s::' || base END;
			PERFORM type_operator(symbol, type_name, other::text, base, other, pg_catalog.format('$1 %s ' || operand, symbol, '$2'));
			PERFORM type_operator(symbol, other::text, type_name, other, base, pg_catalog.format(operand || ' %s $2', '$1', symbol));
		END LOOP;
	END LOOP;
	FOREACH other IN ARRAY exact || wider LOOP
		PERFORM type_comparison(type_name, other::text);
		PERFORM type_comparison(other::text, type_name);
	END LOOP;
	FOREACH symbol IN ARRAY own || CASE WHEN wider <> '{}' THEN '{+,-,*,/,%,^,&,|,#}'::text[] END LOOP
		PERFORM type_operator(symbol, type_name, base::text, base, base);
		PERFORM type_operator(symbol, base::text, type_name, base, base);
		PERFORM type_operator(symbol, type_name, type_name, base, base);
	END LOOP;
END
$fn$;

-- Equality of two encrypted types that share tags, with their indexes.
CREATE FUNCTION type_equality(l name, r name, family name) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	op record;
BEGIN
	FOR op IN
		SELECT l || '_' || v.name || '_' || r AS function, v.* FROM (VALUES ('eq', '=', '<>', 'eqsel', 'eqjoinsel', ', HASHES, MERGES'),
			('ne', '<>', '=', 'neqsel', 'neqjoinsel', '')) v(name, symbol, negator, restrict_fn, join_fn, can)
	LOOP
		EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I, %I) RETURNS bool LANGUAGE C STABLE STRICT PARALLEL SAFE LEAKPROOF AS ''MODULE_PATHNAME'', %L',
			op.function, l, r, 'sov_' || op.name);
		EXECUTE pg_catalog.format('CREATE OPERATOR pg_catalog.%1$s (FUNCTION = %2$I, LEFTARG = %3$I, RIGHTARG = %4$I, '
			'COMMUTATOR = OPERATOR(pg_catalog.%1$s), NEGATOR = OPERATOR(pg_catalog.%5$s), RESTRICT = %6$s, JOIN = %7$s%8$s)',
			op.symbol, op.function, l, r, op.negator, op.restrict_fn, op.join_fn, op.can);
	END LOOP;
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I, %I) RETURNS int4 LANGUAGE C STABLE STRICT PARALLEL SAFE AS ''MODULE_PATHNAME'', ''sov_blind_cmp''',
		l || '_blind_cmp_' || r, l, r);
	EXECUTE pg_catalog.format('ALTER OPERATOR FAMILY %I USING btree ADD OPERATOR 3 pg_catalog.= (%I, %I), FUNCTION 1 (%I, %I) %I(%I, %I)',
		family || '_blind_ops', l, r, l, r, l || '_blind_cmp_' || r, l, r);
	EXECUTE pg_catalog.format('ALTER OPERATOR FAMILY %I USING hash ADD OPERATOR 1 pg_catalog.= (%I, %I)', family || '_hash_ops', l, r);
END
$fn$;

-- The encrypted types of two base types, of which the second is the wider one.
CREATE FUNCTION type_pair(a regtype, b regtype, implicit bool) RETURNS void
	LANGUAGE plpgsql AS $fn$
DECLARE
	enc_a name := 'encrypted_' || (SELECT typname FROM pg_catalog.pg_type WHERE oid = a);
	enc_b name := 'encrypted_' || (SELECT typname FROM pg_catalog.pg_type WHERE oid = b);
	one_family bool := a = 'int4'::regtype AND b = 'int8'::regtype;
	symbol text;
BEGIN
	FOREACH symbol IN ARRAY '{=,<>,<,<=,>=,>,+,-,*,/,%,^,&,|,#}'::text[] LOOP
		CONTINUE WHEN one_family AND symbol IN ('=', '<>');
		PERFORM type_operator(symbol, enc_a, enc_b, a, b);
		PERFORM type_operator(symbol, enc_b, enc_a, b, a);
	END LOOP;
	IF one_family THEN
		PERFORM type_equality(enc_a, enc_b, enc_b);
		PERFORM type_equality(enc_b, enc_a, enc_b);
	END IF;
	PERFORM type_comparison(enc_a, enc_b);
	PERFORM type_comparison(enc_b, enc_a);
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I, int4, bool) RETURNS %I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %I(%I($1)::%s, $2, $3)',
		enc_b, enc_a, enc_b, enc_b, enc_a || '_to_base', b);
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I, int4, bool) RETURNS %I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %I(%I($1)::%s, $2, $3)',
		enc_a, enc_b, enc_a, enc_a, enc_b || '_to_base', a);
	EXECUTE pg_catalog.format('CREATE CAST (%I AS %I) WITH FUNCTION %I(%I, int4, bool) AS %s', enc_a, enc_b, enc_b, enc_a,
		CASE WHEN implicit THEN 'IMPLICIT' ELSE 'ASSIGNMENT' END);
	EXECUTE pg_catalog.format('CREATE CAST (%I AS %I) WITH FUNCTION %I(%I, int4, bool) AS ASSIGNMENT', enc_b, enc_a, enc_a, enc_b);
END
$fn$;

