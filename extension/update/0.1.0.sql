-- pg_sovereign from 0.1.0 to @VERSION@
--
-- First what 0.1.0 has is brought to where CREATE EXTENSION has it at its mark; then
-- the rest of that script runs (the Makefile appends it).  What columns, indexes and
-- views of users depend on keeps its OID: the type encrypted_text, its functions,
-- operators and operator classes.
\echo Use "ALTER EXTENSION pg_sovereign UPDATE" to load this file. \quit

-- Until 0.2.0 all states of the development called themselves 0.1.0.
DO $$
BEGIN
	IF (SELECT prosrc FROM pg_catalog.pg_proc WHERE oid = pg_catalog.to_regproc('@extschema@.encrypted_text_in')) IS DISTINCT FROM 'encrypted_text_in' THEN
		RAISE feature_not_supported USING MESSAGE = 'pg_sovereign of this database is not 0.1.0, but a state of the development after it: it cannot be updated in place',
			HINT = 'Dump the database with pg_dump, restore it into a new one (PGOPTIONS=''-c sovereign.input=ciphertext''), which then has the new version, and drop this one.';
	END IF;
END
$$;

-- The script makes it again; meanwhile it would watch the script.
DROP EVENT TRIGGER pg_sovereign_check_ddl;

ALTER TABLE key_version
	ADD COLUMN needs_purpose bool NOT NULL DEFAULT false,
	ADD COLUMN first_unit int8 NOT NULL DEFAULT 0,
	ADD COLUMN strict int2 NOT NULL DEFAULT 0 CHECK (strict BETWEEN 0 AND 2);
-- 0.1.0 did not count seals: its key versions are full (2^32, in units of 64), so that
-- the next seal makes a new one.
UPDATE key_version SET first_unit = -67108864 WHERE purpose = 10;

ALTER FUNCTION encrypted_typmod_in(cstring[]) RENAME TO encrypted_text_typmod_in;
ALTER FUNCTION encrypted_refuse_index(internal) RENAME TO encrypted_text_refuse_index;
ALTER FUNCTION encrypted_text_to_text(encrypted_text) RENAME TO encrypted_text_to_base;

-- One symbol of the library now serves all types: encrypted_text_in is sov_in.
DO $$
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT p.prosrc, pg_catalog.pg_get_functiondef(p.oid) AS definition
		FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.objid
		WHERE d.deptype = 'e' AND d.classid = 'pg_catalog.pg_proc'::regclass
		AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'pg_sovereign') AND p.prosrc NOT LIKE 'sov\_%'
	LOOP
		EXECUTE pg_catalog.replace(f.definition, '$function$' || f.prosrc || '$function$', pg_catalog.quote_literal(
			CASE WHEN f.prosrc LIKE '%\_from\_%' THEN 'sov_from_base' WHEN f.prosrc LIKE '%\_to\_%' THEN 'sov_to_base'
			ELSE pg_catalog.regexp_replace(f.prosrc, '^(base_|encrypted_|text_)+', 'sov_') END));
	END LOOP;
END
$$;

COMMENT ON OPERATOR CLASS encrypted_text_blind_ops USING btree IS 'for indexes: the order of equality tags, which says nothing of the values';
COMMENT ON OPERATOR CLASS encrypted_text_ops USING btree IS 'for sorting: the order of the plaintext; it refuses every index';

-- Columns of a view are renamed in place, for what stands on it; results of a function are
-- not, so the view lets go of it until the script makes both again.
ALTER VIEW providers RENAME COLUMN debt_objects TO owed_objects;
ALTER VIEW providers RENAME COLUMN debt_bytes TO owed_bytes;
CREATE OR REPLACE VIEW providers AS
	SELECT NULL::text AS name, NULL::text AS type, NULL::text AS state, NULL::text AS location, NULL::int8 AS owed_objects, NULL::int8 AS owed_bytes;
DROP FUNCTION providers_now();

-- Nothing depends on a cast (only on its function): all are made again.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM pg_catalog.pg_cast WHERE 'encrypted_text'::regtype IN (castsource, casttarget) LOOP
		EXECUTE pg_catalog.format('DROP CAST (%s AS %s)', c.castsource::regtype, c.casttarget::regtype);
	END LOOP;
END
$$;

-- What follows is pg_sovereign--@VERSION@.sql.
