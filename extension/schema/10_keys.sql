-- pg_sovereign 0.2.0
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
	needs_purpose bool NOT NULL DEFAULT false,
	first_unit int8 NOT NULL DEFAULT 0,
	strict int2 NOT NULL DEFAULT 0 CHECK (strict BETWEEN 0 AND 2),
	PRIMARY KEY (purpose, name, version)
);
CREATE UNIQUE INDEX key_version_id ON key_version (purpose, key_id) WHERE current;
CREATE UNIQUE INDEX key_version_default ON key_version (is_default) WHERE is_default AND current;
COMMENT ON TABLE key_version IS 'data keys and the equality key, wrapped under the key of key_domain';

REVOKE ALL ON key_domain, key_version FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('key_domain', '');
SELECT pg_catalog.pg_extension_config_dump('key_version', '');

-- CREATE OR REPLACE stands where 0.1.0 has the function or view already.
-- The update from 0.1.0 goes on here (see the Makefile).

-- Values sealed so far, under all keys, in units of 64.
CREATE SEQUENCE key_seals MINVALUE 0 START 0;
COMMENT ON SEQUENCE key_seals IS 'values sealed so far, under all keys, in units of 64: past 2^32 a key version is retired';
REVOKE ALL ON key_seals FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('key_seals', '');

CREATE TABLE key_grant (
	key_id int4 NOT NULL,
	key text NOT NULL,
	role name NOT NULL,
	role_id oid,
	PRIMARY KEY (key, role)
);
COMMENT ON TABLE key_grant IS 'who may decrypt values of a key that has grants; roles by name, so that a dump restores them; role_id: which role had that name then, so that a later one does not inherit the grant';
REVOKE ALL ON key_grant FROM PUBLIC;
CREATE FUNCTION grant_role_id() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
	NEW.role_id := (SELECT r.oid FROM pg_roles r WHERE r.rolname = NEW.role);
	RETURN NEW;
END
$fn$;
COMMENT ON FUNCTION grant_role_id() IS 'remembers which role a grant is for, here and where a dump is loaded';
REVOKE EXECUTE ON FUNCTION grant_role_id() FROM PUBLIC;
CREATE TRIGGER role_id BEFORE INSERT OR UPDATE ON key_grant FOR EACH ROW EXECUTE FUNCTION grant_role_id();
ALTER TABLE key_grant ENABLE ALWAYS TRIGGER role_id;
SELECT pg_catalog.pg_extension_config_dump('key_grant', '');

CREATE TABLE key_purpose (
	key_id int4 NOT NULL,
	key text NOT NULL,
	purpose text NOT NULL,
	PRIMARY KEY (key, purpose)
);
COMMENT ON TABLE key_purpose IS 'for which purposes values of a key may be decrypted, where it needs one; without rows: any';
REVOKE ALL ON key_purpose FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('key_purpose', '');

CREATE FUNCTION boot_clock() RETURNS text LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'sov_boot_clock';
COMMENT ON FUNCTION boot_clock() IS 'which boot of which machine this is, and its microseconds until now, which no clock that is set changes';
REVOKE EXECUTE ON FUNCTION boot_clock() FROM PUBLIC;
CREATE TABLE key_glass (
	key_id int4 NOT NULL,
	key text NOT NULL,
	username name NOT NULL,
	reason text NOT NULL,
	opened timestamptz NOT NULL,
	until timestamptz NOT NULL,
	userid oid NOT NULL,
	boot text NOT NULL DEFAULT boot_clock()
);
COMMENT ON TABLE key_glass IS 'break-glass accesses, those that are over too; boot: when it was opened, by boot_clock(); not in dumps';
CREATE TABLE key_glass_role (
	key_id int4 NOT NULL,
	key text NOT NULL,
	role name NOT NULL,
	longest interval NOT NULL,
	PRIMARY KEY (key, role)
);
COMMENT ON TABLE key_glass_role IS 'who may break the glass of a key, and for how long at most';
REVOKE ALL ON key_glass, key_glass_role FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('key_glass_role', '');

CREATE FUNCTION key_on_loan(version int8) RETURNS bool LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_key_on_loan';
COMMENT ON FUNCTION key_on_loan(int8) IS 'does this server hold this version of a key, opened, in its memory now? NULL without preloading, where each session has its own';

CREATE OR REPLACE VIEW keys AS
	SELECT name, pg_catalog.lpad(pg_catalog.to_hex(version), 8, '0') AS version, current, is_default, created, needs_purpose,
		(SELECT coalesce(pg_catalog.array_agg(g.role ORDER BY g.role) FILTER (WHERE g.role <> ''), '{}')
			FROM key_grant g WHERE g.key = name HAVING pg_catalog.count(*) > 0) AS granted_to,
		(ARRAY['host', 'providers'])[strict] AS strict,
		(SELECT coalesce(pg_catalog.array_agg(p.purpose ORDER BY p.purpose) FILTER (WHERE p.purpose <> ''), '{}')
			FROM key_purpose p WHERE p.key = name HAVING pg_catalog.count(*) > 0) AS purposes,
		(SELECT pg_catalog.array_agg(r.role ORDER BY r.role) FROM key_glass_role r WHERE r.key = name) AS break_glass_by,
		(SELECT d.custodian FROM key_domain d) AS custodian,
		(coalesce(pg_catalog.lead(first_unit) OVER (PARTITION BY name ORDER BY first_unit, created, current), (SELECT s.last_value FROM key_seals s)) - first_unit + (SELECT s.is_called::int4 FROM key_seals s)) * 64 AS sealed,
		key_on_loan(version) AS on_loan
	FROM key_version WHERE purpose = 10;
COMMENT ON VIEW keys IS 'keys and their versions; granted_to: the roles that may decrypt, {}: nobody, NULL: whoever may select the column; strict: who must hold the audit entry before a value is opened, NULL: it may follow; purposes: those allowed where one is needed, {}: none, NULL: any; break_glass_by: the roles that may open values without a grant, on record and for a limited time; custodian: who has the root key under which it is wrapped, and of which device or ceremony that is; sealed: for so many seals under all keys sessions counted while it was the current version; on_loan: it is, opened, in this server''s memory now, NULL: in sessions of their own, without preloading';
REVOKE ALL ON keys FROM PUBLIC;
GRANT SELECT ON keys TO pg_monitor;

CREATE OR REPLACE FUNCTION create_key(name text) RETURNS void
	LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'sov_create_key';
COMMENT ON FUNCTION create_key(text) IS 'create a key for encrypted columns; the first one is the default key of the database';

CREATE FUNCTION keys_changed() RETURNS void LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_keys_changed';
COMMENT ON FUNCTION keys_changed() IS 'every backend drops its opened keys and asks again who may use them';

-- The id of a key of this name, or an error.
CREATE FUNCTION key_id_of(key text) RETURNS int4
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4;
BEGIN
	SELECT key_id INTO id FROM @extschema@.key_version WHERE name = key AND purpose = 10 AND current;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('key "%s" does not exist', key),
			HINT = 'SELECT name FROM @extschema@.keys lists them.';
	END IF;
	RETURN id;
END
$fn$;
COMMENT ON FUNCTION key_id_of(text) IS 'the number of a key in the modifier of a column';

CREATE FUNCTION grant_decrypt(key text, role regrole) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
	INSERT INTO @extschema@.key_grant AS g VALUES (@extschema@.key_id_of(key), key, (SELECT rolname FROM pg_roles WHERE oid = role))
		ON CONFLICT ON CONSTRAINT key_grant_pkey DO UPDATE SET role_id = excluded.role_id WHERE g.role_id IS DISTINCT FROM excluded.role_id;
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION grant_decrypt(text, regrole) IS 'let this role, and its members, decrypt values of the key; the first grant shuts out all others, superusers too';

CREATE FUNCTION revoke_decrypt(key text, role regrole) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
BEGIN
	-- the last grant leaves a mark behind, or the key would be open to all again
	INSERT INTO @extschema@.key_grant SELECT id, key, ''
		WHERE EXISTS (SELECT FROM @extschema@.key_grant g WHERE g.key_id = id) ON CONFLICT DO NOTHING;
	DELETE FROM @extschema@.key_grant g WHERE g.key_id = id AND g.role = (SELECT rolname FROM pg_roles WHERE oid = revoke_decrypt.role);
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION revoke_decrypt(text, regrole) IS 'take a grant back; after the last one nobody may decrypt until somebody is granted again';

CREATE FUNCTION require_purpose(key text, required bool DEFAULT true) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
	UPDATE @extschema@.key_version SET needs_purpose = required WHERE key_id = @extschema@.key_id_of(key) AND purpose = 10;
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION require_purpose(text, bool) IS 'decrypt values of the key only where the session has set sovereign.purpose';

CREATE FUNCTION allow_purpose(key text, purpose text) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
BEGIN
	IF purpose !~ '^[^[:cntrl:]]+$' OR octet_length(purpose) > 200 THEN
		RAISE invalid_parameter_value USING MESSAGE = 'a purpose has 1 to 200 bytes and no control characters';
	END IF;
	INSERT INTO @extschema@.key_purpose VALUES (id, key, purpose) ON CONFLICT DO NOTHING;
	UPDATE @extschema@.key_version SET needs_purpose = true WHERE key_id = id AND key_version.purpose = 10 AND NOT needs_purpose;
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION allow_purpose(text, text) IS 'decrypt values of the key for this purpose (sovereign.purpose); the first one shuts out all others';

CREATE FUNCTION forbid_purpose(key text, purpose text) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
BEGIN
	-- the last one leaves a mark behind, or any purpose would do again
	INSERT INTO @extschema@.key_purpose SELECT id, key, ''
		WHERE EXISTS (SELECT FROM @extschema@.key_purpose p WHERE p.key_id = id) ON CONFLICT DO NOTHING;
	DELETE FROM @extschema@.key_purpose p WHERE p.key_id = id AND p.purpose = forbid_purpose.purpose AND p.purpose <> '';
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION forbid_purpose(text, text) IS 'take a purpose back; after the last one there is none until another is allowed, or require_purpose(key, false)';

CREATE FUNCTION strict_audit(key text, held_by text DEFAULT 'host') RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	level int2 := array_position(ARRAY['nobody', 'host', 'providers'], held_by) - 1;
BEGIN
	IF level IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = format('an audit entry cannot be held by "%s"', held_by),
			HINT = 'held_by is ''host'', ''providers'', or ''nobody'' for a key that is not strict.';
	END IF;
	UPDATE @extschema@.key_version SET strict = level WHERE key_id = @extschema@.key_id_of(key) AND purpose = 10;
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION strict_audit(text, text) IS 'open values of the key only when the statement''s audit entry is on disk (host), or at enough providers; nobody: the entry may follow';

