-- pg_sovereign 0.1.0
--
-- Types, functions and tables live in the extension's schema; operators live in
-- pg_catalog, so that they are found whatever search_path is: otherwise
-- "nir = $1" would silently become "nir::text = $1", a sequential scan with the
-- plaintext in the plan.
\echo Use "CREATE EXTENSION pg_sovereign" to load this file. \quit

----------------------------------------------------------------------
-- Keys: what lies here is wrapped under the custodian's root key
----------------------------------------------------------------------
CREATE TABLE key_domain (
	domain text PRIMARY KEY CHECK (domain = 'database'),
	id uuid NOT NULL,
	root_id uuid NOT NULL,
	custodian text NOT NULL,
	wrapped bytea NOT NULL,
	commitment bytea NOT NULL,
	created timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE key_domain IS 'the key-encryption key of this database, wrapped by the custodian';

CREATE TABLE key_version (
	name text NOT NULL,
	key_id int4 NOT NULL,
	version int8 NOT NULL UNIQUE,
	purpose int2 NOT NULL,
	current bool NOT NULL,
	is_default bool NOT NULL,
	wrapped bytea NOT NULL,
	commitment bytea NOT NULL,
	created timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (purpose, name, version)
);
CREATE UNIQUE INDEX key_version_id ON key_version (purpose, key_id) WHERE current;
CREATE UNIQUE INDEX key_version_default ON key_version (is_default) WHERE is_default AND current;
COMMENT ON TABLE key_version IS 'data keys and the equality key, wrapped under the key of key_domain';

REVOKE ALL ON key_domain, key_version FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('key_domain', '');
SELECT pg_catalog.pg_extension_config_dump('key_version', '');

CREATE VIEW keys AS
	SELECT name, pg_catalog.lpad(pg_catalog.to_hex(version), 8, '0') AS version, current, is_default, created
	FROM key_version WHERE purpose = 10;
REVOKE ALL ON keys FROM PUBLIC;
GRANT SELECT ON keys TO pg_monitor;

CREATE FUNCTION create_key(name text) RETURNS void
	LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'sov_create_key';
REVOKE EXECUTE ON FUNCTION create_key(text) FROM PUBLIC;
COMMENT ON FUNCTION create_key(text) IS 'create a key for encrypted columns; the first one is the default key of the database';

----------------------------------------------------------------------
-- Providers
----------------------------------------------------------------------
CREATE FUNCTION providers_now(OUT name text, OUT type text, OUT state text, OUT location text,
							  OUT debt_objects int8, OUT debt_bytes int8)
	RETURNS SETOF record LANGUAGE C VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'sov_providers';
REVOKE EXECUTE ON FUNCTION providers_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION providers_now() TO pg_monitor;
CREATE VIEW providers AS SELECT * FROM providers_now();
REVOKE ALL ON providers FROM PUBLIC;
GRANT SELECT ON providers TO pg_monitor;
COMMENT ON VIEW providers IS 'configured providers, and what each of them still misses';

----------------------------------------------------------------------
-- encrypted_text
----------------------------------------------------------------------
CREATE FUNCTION encrypted_typmod_in(cstring[]) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_typmod_out(int4) RETURNS cstring
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_typanalyze(internal) RETURNS bool
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';

CREATE TYPE encrypted_text;
CREATE FUNCTION encrypted_text_in(cstring, oid, int4) RETURNS encrypted_text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_out(encrypted_text) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_recv(internal, oid, int4) RETURNS encrypted_text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_send(encrypted_text) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE TYPE encrypted_text (
	INPUT = encrypted_text_in, OUTPUT = encrypted_text_out,
	RECEIVE = encrypted_text_recv, SEND = encrypted_text_send,
	TYPMOD_IN = encrypted_typmod_in, TYPMOD_OUT = encrypted_typmod_out,
	ANALYZE = encrypted_typanalyze,
	INTERNALLENGTH = VARIABLE, STORAGE = external,
	CATEGORY = 'S', COLLATABLE = true
);
COMMENT ON TYPE encrypted_text IS 'text, encrypted: encrypted_text(''key'') or encrypted_text(''key'', ''searchable'')';

-- Casts: STABLE, so that no index expression or generated column takes
-- plaintext to disk.
CREATE FUNCTION encrypted_text(encrypted_text, int4, bool) RETURNS encrypted_text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'encrypted_text_coerce';
CREATE FUNCTION encrypted_text(text, int4, bool) RETURNS encrypted_text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'encrypted_text_from_text';
CREATE FUNCTION encrypted_text(varchar, int4, bool) RETURNS encrypted_text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'encrypted_text_from_text';
CREATE FUNCTION encrypted_text(bpchar, int4, bool) RETURNS encrypted_text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'encrypted_text_from_bpchar';
CREATE FUNCTION encrypted_text_to_text(encrypted_text) RETURNS text
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_to_varchar(encrypted_text) RETURNS varchar
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'encrypted_text_to_text';
CREATE FUNCTION encrypted_text_to_bpchar(encrypted_text) RETURNS bpchar
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'encrypted_text_to_text';
CREATE FUNCTION encrypted_text_to_name(encrypted_text) RETURNS name
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_to_json(encrypted_text) RETURNS json
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_to_jsonb(encrypted_text) RETURNS jsonb
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE CAST (encrypted_text AS encrypted_text) WITH FUNCTION encrypted_text(encrypted_text, int4, bool) AS IMPLICIT;
CREATE CAST (text AS encrypted_text) WITH FUNCTION encrypted_text(text, int4, bool) AS ASSIGNMENT;
CREATE CAST (varchar AS encrypted_text) WITH FUNCTION encrypted_text(varchar, int4, bool) AS ASSIGNMENT;
CREATE CAST (bpchar AS encrypted_text) WITH FUNCTION encrypted_text(bpchar, int4, bool) AS ASSIGNMENT;
CREATE CAST (encrypted_text AS text) WITH FUNCTION encrypted_text_to_text(encrypted_text) AS IMPLICIT;
CREATE CAST (encrypted_text AS varchar) WITH FUNCTION encrypted_text_to_varchar(encrypted_text) AS ASSIGNMENT;
CREATE CAST (encrypted_text AS bpchar) WITH FUNCTION encrypted_text_to_bpchar(encrypted_text) AS ASSIGNMENT;
CREATE CAST (encrypted_text AS name) WITH FUNCTION encrypted_text_to_name(encrypted_text) AS ASSIGNMENT;
CREATE CAST (encrypted_text AS json) WITH FUNCTION encrypted_text_to_json(encrypted_text);
CREATE CAST (encrypted_text AS jsonb) WITH FUNCTION encrypted_text_to_jsonb(encrypted_text);

-- Operators, also with the base type, both ways round.
CREATE FUNCTION encrypted_eq_support(internal) RETURNS internal
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_ne_support(internal) RETURNS internal
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';

-- LEAKPROOF: decided by tags; the errors of a value without one (a missing key,
-- a damaged value) do not depend on plaintext.  Row security can so use an index.
CREATE FUNCTION encrypted_text_eq(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_ne(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_lt(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_le(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_ge(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_gt(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_cmp(encrypted_text, encrypted_text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_eq(encrypted_text, text) RETURNS bool
	LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE SUPPORT encrypted_eq_support AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_ne(encrypted_text, text) RETURNS bool
	LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE SUPPORT encrypted_ne_support AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_lt(encrypted_text, text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_le(encrypted_text, text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_ge(encrypted_text, text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_gt(encrypted_text, text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_cmp(encrypted_text, text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_eq(text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE SUPPORT encrypted_eq_support AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_ne(text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE SUPPORT encrypted_ne_support AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_lt(text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_le(text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_ge(text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_gt(text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_cmp(text, encrypted_text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE FUNCTION encrypted_text_blind_lt(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_blind_le(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_blind_ge(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_blind_gt(encrypted_text, encrypted_text) RETURNS bool
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_blind_cmp(encrypted_text, encrypted_text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_blind_cmp(encrypted_text, text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION base_encrypted_text_blind_cmp(text, encrypted_text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_base_blind_cmp(text, text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'base_text_blind_cmp';
CREATE FUNCTION encrypted_text_hash(encrypted_text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_hash_extended(encrypted_text, int8) RETURNS int8
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_hash(text) RETURNS int4
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_base_hash_extended(text, int8) RETURNS int8
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_sortsupport(internal) RETURNS void
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_text_blind_sortsupport(internal) RETURNS void
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION encrypted_refuse_index(internal) RETURNS void
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';

CREATE OPERATOR pg_catalog.= (FUNCTION = encrypted_text_eq, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR pg_catalog.<> (FUNCTION = encrypted_text_ne, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR pg_catalog.< (FUNCTION = encrypted_text_lt, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR pg_catalog.<= (FUNCTION = encrypted_text_le, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR pg_catalog.>= (FUNCTION = encrypted_text_ge, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel);
CREATE OPERATOR pg_catalog.> (FUNCTION = encrypted_text_gt, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel);

CREATE OPERATOR pg_catalog.= (FUNCTION = encrypted_text_base_eq, LEFTARG = encrypted_text, RIGHTARG = text,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES);
CREATE OPERATOR pg_catalog.<> (FUNCTION = encrypted_text_base_ne, LEFTARG = encrypted_text, RIGHTARG = text,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR pg_catalog.< (FUNCTION = encrypted_text_base_lt, LEFTARG = encrypted_text, RIGHTARG = text,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR pg_catalog.<= (FUNCTION = encrypted_text_base_le, LEFTARG = encrypted_text, RIGHTARG = text,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR pg_catalog.>= (FUNCTION = encrypted_text_base_ge, LEFTARG = encrypted_text, RIGHTARG = text,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel);
CREATE OPERATOR pg_catalog.> (FUNCTION = encrypted_text_base_gt, LEFTARG = encrypted_text, RIGHTARG = text,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel);

CREATE OPERATOR pg_catalog.= (FUNCTION = base_encrypted_text_eq, LEFTARG = text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES);
CREATE OPERATOR pg_catalog.<> (FUNCTION = base_encrypted_text_ne, LEFTARG = text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR pg_catalog.< (FUNCTION = base_encrypted_text_lt, LEFTARG = text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR pg_catalog.<= (FUNCTION = base_encrypted_text_le, LEFTARG = text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR pg_catalog.>= (FUNCTION = base_encrypted_text_ge, LEFTARG = text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel);
CREATE OPERATOR pg_catalog.> (FUNCTION = base_encrypted_text_gt, LEFTARG = text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel);

-- Order of the equality tags, for indexes and merge joins.
CREATE OPERATOR pg_catalog.#<# (FUNCTION = encrypted_text_blind_lt, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.#>#), NEGATOR = OPERATOR(pg_catalog.#>=#), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR pg_catalog.#<=# (FUNCTION = encrypted_text_blind_le, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.#>=#), NEGATOR = OPERATOR(pg_catalog.#>#), RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR pg_catalog.#>=# (FUNCTION = encrypted_text_blind_ge, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.#<=#), NEGATOR = OPERATOR(pg_catalog.#<#), RESTRICT = scalargesel, JOIN = scalargejoinsel);
CREATE OPERATOR pg_catalog.#># (FUNCTION = encrypted_text_blind_gt, LEFTARG = encrypted_text, RIGHTARG = encrypted_text,
	COMMUTATOR = OPERATOR(pg_catalog.#<#), NEGATOR = OPERATOR(pg_catalog.#<=#), RESTRICT = scalargtsel, JOIN = scalargtjoinsel);

-- The blind families come first, so that merge joins sort by tag.
CREATE OPERATOR FAMILY encrypted_text_blind_ops USING btree;
CREATE OPERATOR CLASS encrypted_text_blind_ops FOR TYPE encrypted_text USING btree FAMILY encrypted_text_blind_ops AS
	OPERATOR 1 pg_catalog.#<#, OPERATOR 2 pg_catalog.#<=#, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.#>=#, OPERATOR 5 pg_catalog.#>#,
	FUNCTION 1 encrypted_text_blind_cmp(encrypted_text, encrypted_text),
	FUNCTION 2 encrypted_text_blind_sortsupport(internal);
ALTER OPERATOR FAMILY encrypted_text_blind_ops USING btree ADD
	OPERATOR 3 pg_catalog.= (encrypted_text, text),
	FUNCTION 1 (encrypted_text, text) encrypted_text_base_blind_cmp(encrypted_text, text),
	OPERATOR 3 pg_catalog.= (text, encrypted_text),
	FUNCTION 1 (text, encrypted_text) base_encrypted_text_blind_cmp(text, encrypted_text),
	FUNCTION 1 (text, text) encrypted_text_base_base_blind_cmp(text, text);

CREATE OPERATOR FAMILY encrypted_text_hash_ops USING hash;
CREATE OPERATOR CLASS encrypted_text_hash_ops DEFAULT FOR TYPE encrypted_text USING hash FAMILY encrypted_text_hash_ops AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 encrypted_text_hash(encrypted_text),
	FUNCTION 2 encrypted_text_hash_extended(encrypted_text, int8);
ALTER OPERATOR FAMILY encrypted_text_hash_ops USING hash ADD
	OPERATOR 1 pg_catalog.= (encrypted_text, text),
	OPERATOR 1 pg_catalog.= (text, encrypted_text),
	FUNCTION 1 (text, text) encrypted_text_base_hash(text),
	FUNCTION 2 (text, text) encrypted_text_base_hash_extended(text, int8);

-- The plaintext order sorts; it refuses every index.
CREATE OPERATOR FAMILY encrypted_text_ops USING btree;
CREATE OPERATOR CLASS encrypted_text_ops DEFAULT FOR TYPE encrypted_text USING btree FAMILY encrypted_text_ops AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 encrypted_text_cmp(encrypted_text, encrypted_text),
	FUNCTION 2 encrypted_text_sortsupport(internal),
	FUNCTION 5 encrypted_refuse_index(internal);
ALTER OPERATOR FAMILY encrypted_text_ops USING btree ADD
	OPERATOR 1 pg_catalog.< (encrypted_text, text), OPERATOR 2 pg_catalog.<= (encrypted_text, text),
	OPERATOR 3 pg_catalog.= (encrypted_text, text), OPERATOR 4 pg_catalog.>= (encrypted_text, text),
	OPERATOR 5 pg_catalog.> (encrypted_text, text),
	FUNCTION 1 (encrypted_text, text) encrypted_text_base_cmp(encrypted_text, text),
	OPERATOR 1 pg_catalog.< (text, encrypted_text), OPERATOR 2 pg_catalog.<= (text, encrypted_text),
	OPERATOR 3 pg_catalog.= (text, encrypted_text), OPERATOR 4 pg_catalog.>= (text, encrypted_text),
	OPERATOR 5 pg_catalog.> (text, encrypted_text),
	FUNCTION 1 (text, encrypted_text) base_encrypted_text_cmp(text, encrypted_text),
	FUNCTION 1 (text, text) pg_catalog.bttextcmp(text, text);

----------------------------------------------------------------------
-- Definitions that would betray plaintext or not work
----------------------------------------------------------------------
CREATE FUNCTION check_ddl() RETURNS event_trigger
	LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'sov_check_ddl';
CREATE EVENT TRIGGER pg_sovereign_check_ddl ON ddl_command_end EXECUTE FUNCTION check_ddl();
ALTER EVENT TRIGGER pg_sovereign_check_ddl ENABLE ALWAYS;

----------------------------------------------------------------------
-- Every session of this database loads the library, so that its first query is
-- like its second.  What the database, or else the server, preloads already is
-- kept.
----------------------------------------------------------------------
DO $$
DECLARE
	present text := pg_catalog.current_setting('session_preload_libraries');
	wanted text;
BEGIN
	SELECT pg_catalog.substr(c, pg_catalog.length('session_preload_libraries=') + 1) INTO wanted
		FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
		WHERE s.setrole = 0 AND c LIKE 'session\_preload\_libraries=%'
		AND s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database());
	present := coalesce(wanted, present);
	IF present ~ '(^|[,"/ ])pg_sovereign($|[,"/ ])' THEN
		RETURN;
	END IF;
	SELECT pg_catalog.string_agg(pg_catalog.quote_literal(pg_catalog.btrim(l, ' "')), ', ') INTO wanted
		FROM pg_catalog.unnest(pg_catalog.string_to_array(present, ',') || 'pg_sovereign'::text) l
		WHERE pg_catalog.btrim(l, ' "') <> '';
	EXECUTE pg_catalog.format('ALTER DATABASE %I SET session_preload_libraries = %s',
							  pg_catalog.current_database(), wanted);
END
$$;
