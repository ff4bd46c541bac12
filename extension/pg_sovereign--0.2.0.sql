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
	PRIMARY KEY (key, role)
);
COMMENT ON TABLE key_grant IS 'who may decrypt values of a key that has grants; roles by name, so that a dump restores them';
REVOKE ALL ON key_grant FROM PUBLIC;
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

CREATE TABLE key_glass (
	key_id int4 NOT NULL,
	key text NOT NULL,
	username name NOT NULL,
	reason text NOT NULL,
	opened timestamptz NOT NULL,
	until timestamptz NOT NULL,
	userid oid NOT NULL
);
COMMENT ON TABLE key_glass IS 'break-glass accesses, those that are over too; not in dumps';
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

CREATE OR REPLACE VIEW keys AS
	SELECT name, pg_catalog.lpad(pg_catalog.to_hex(version), 8, '0') AS version, current, is_default, created, needs_purpose,
		(SELECT coalesce(pg_catalog.array_agg(g.role ORDER BY g.role) FILTER (WHERE g.role <> ''), '{}')
			FROM key_grant g WHERE g.key = name HAVING pg_catalog.count(*) > 0) AS granted_to,
		(ARRAY['host', 'providers'])[strict] AS strict,
		(SELECT coalesce(pg_catalog.array_agg(p.purpose ORDER BY p.purpose) FILTER (WHERE p.purpose <> ''), '{}')
			FROM key_purpose p WHERE p.key = name HAVING pg_catalog.count(*) > 0) AS purposes,
		(SELECT pg_catalog.array_agg(r.role ORDER BY r.role) FROM key_glass_role r WHERE r.key = name) AS break_glass_by
	FROM key_version WHERE purpose = 10;
COMMENT ON VIEW keys IS 'keys and their versions; granted_to: the roles that may decrypt, {}: nobody, NULL: whoever may select the column; strict: who must hold the audit entry before a value is opened, NULL: it may follow; purposes: those allowed where one is needed, {}: none, NULL: any; break_glass_by: the roles that may open values without a grant, on record and for a limited time';
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
	INSERT INTO @extschema@.key_grant
		VALUES (@extschema@.key_id_of(key), key, (SELECT rolname FROM pg_roles WHERE oid = role)) ON CONFLICT DO NOTHING;
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

----------------------------------------------------------------------
-- Break-glass: for an emergency, on record and over by itself
----------------------------------------------------------------------
CREATE FUNCTION authenticated_user() RETURNS name LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'sov_authenticated_user';
COMMENT ON FUNCTION authenticated_user() IS 'who logged in, whatever SET ROLE, SET SESSION AUTHORIZATION and security-definer functions make of it';
CREATE FUNCTION authenticated_member(role name) RETURNS bool LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'sov_authenticated_member';
COMMENT ON FUNCTION authenticated_member(name) IS 'is who logged in a member of the role? A superuser is not for being one';
CREATE FUNCTION sessions_on_record() RETURNS void LANGUAGE C AS 'MODULE_PATHNAME', 'sov_sessions_on_record';
COMMENT ON FUNCTION sessions_on_record() IS 'an error where what sessions open is not on record';

CREATE FUNCTION allow_break_glass(key text, role regrole, longest interval DEFAULT '1 hour') RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
BEGIN
	IF longest <= '0' OR longest > '7 days' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'break-glass access lasts up to 7 days', HINT = 'For longer grant it: SELECT @extschema@.grant_decrypt(key, role)';
	END IF;
	INSERT INTO @extschema@.key_glass_role AS r VALUES (id, key, (SELECT rolname FROM pg_roles WHERE oid = role), longest)
		ON CONFLICT ON CONSTRAINT key_glass_role_pkey DO UPDATE SET longest = excluded.longest WHERE r.longest <> excluded.longest;
	EXECUTE format('GRANT EXECUTE ON FUNCTION @extschema@.break_glass(text, text, interval), @extschema@.close_break_glass(text, name) TO %s', role);
END
$fn$;
COMMENT ON FUNCTION allow_break_glass(text, regrole, interval) IS 'let members of this role open values of the key in an emergency, by break_glass(), for at most so long';

CREATE FUNCTION forbid_break_glass(key text, role regrole) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
BEGIN
	DELETE FROM @extschema@.key_glass_role r WHERE r.key_id = id AND r.role = (SELECT rolname FROM pg_roles WHERE oid = forbid_break_glass.role);
	IF NOT EXISTS (SELECT FROM @extschema@.key_glass_role r JOIN pg_roles p ON p.rolname = r.role WHERE p.oid = forbid_break_glass.role) THEN
		EXECUTE format('REVOKE EXECUTE ON FUNCTION @extschema@.break_glass(text, text, interval), @extschema@.close_break_glass(text, name) FROM %s', role);
	END IF;
END
$fn$;
COMMENT ON FUNCTION forbid_break_glass(text, regrole) IS 'the opposite of allow_break_glass; what is open stays so until its time, or close_break_glass()';

CREATE FUNCTION break_glass(key text, reason text, duration interval DEFAULT NULL) RETURNS timestamptz
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
	login name := @extschema@.authenticated_user();
	longest interval := (SELECT max(r.longest) FROM @extschema@.key_glass_role r WHERE r.key_id = id AND @extschema@.authenticated_member(r.role));
	until timestamptz;
BEGIN
	PERFORM @extschema@.sessions_on_record();
	IF longest IS NULL THEN
		RAISE insufficient_privilege USING MESSAGE = format('user "%s" may not break the glass of key "%s"', login, key),
			HINT = 'The user that logged in counts. Who may is set beforehand: SELECT @extschema@.allow_break_glass(key, role)';
	ELSIF reason IS NULL OR reason !~ '[^[:space:]]' OR reason ~ '[[:cntrl:]]' OR octet_length(reason) > 300 THEN
		RAISE invalid_parameter_value USING MESSAGE = 'break-glass access needs a reason of 1 to 300 bytes without control characters';
	ELSIF duration <= '0' OR duration > longest THEN
		RAISE invalid_parameter_value USING MESSAGE = format('break-glass access to key "%s" lasts up to %s', key, longest);
	END IF;
	until := clock_timestamp() + coalesce(duration, least(longest, '1 hour'));
	INSERT INTO @extschema@.key_glass VALUES (id, key, login, reason, clock_timestamp(), until, (SELECT oid FROM pg_roles WHERE rolname = login));
	PERFORM @extschema@.keys_changed();
	RAISE LOG 'break-glass access to key "%" opened by user "%" until %', key, login, until;
	RETURN until;
END
$fn$;
COMMENT ON FUNCTION break_glass(text, text, interval) IS 'open values of a key without a grant or purpose until the time returned, each statement on record; for roles that allow_break_glass() names, over by itself';

CREATE FUNCTION close_break_glass(key text, username name DEFAULT NULL) RETURNS bool
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	login name := @extschema@.authenticated_user();
	id int4 := @extschema@.key_id_of(key);
	whose name := coalesce(username, login);
	closed bool;
BEGIN
	IF whose <> login AND NOT pg_has_role(login, 'sovereign_operator', 'MEMBER') THEN
		RAISE insufficient_privilege USING MESSAGE = format('user "%s" may not close what "%s" opened', login, whose), HINT = 'Members of sovereign_operator may.';
	END IF;
	UPDATE @extschema@.key_glass g SET until = clock_timestamp() WHERE g.key_id = id AND g.username = whose AND g.until > clock_timestamp();
	closed := FOUND;
	PERFORM @extschema@.keys_changed();
	RETURN closed;
END
$fn$;
COMMENT ON FUNCTION close_break_glass(text, name) IS 'end a break-glass access before its time, of another user as a member of sovereign_operator; false: there is none';

CREATE VIEW break_glass_accesses AS
	SELECT key, username, reason, opened, until, until > pg_catalog.clock_timestamp() AS open FROM key_glass;
COMMENT ON VIEW break_glass_accesses IS 'who broke the glass of which key, why, and until when; what was opened is in the view audit';
REVOKE ALL ON break_glass_accesses FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION authenticated_user(), authenticated_member(name), sessions_on_record(), allow_break_glass(text, regrole, interval),
	forbid_break_glass(text, regrole), break_glass(text, text, interval), close_break_glass(text, name) FROM PUBLIC;

----------------------------------------------------------------------
-- Two persons: chosen operations wait until somebody else agrees
----------------------------------------------------------------------
CREATE TABLE two_person_rule (
	operation text PRIMARY KEY CHECK (operation IN ('grant', 'destroy', 'export')),
	approvers name NOT NULL
);
COMMENT ON TABLE two_person_rule IS 'for which operations a second person must agree, who is a member of approvers';
CREATE TABLE two_person_request (
	request int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	operation text NOT NULL,
	key text NOT NULL,
	detail text NOT NULL,
	requested_by name NOT NULL,
	requested_oid oid NOT NULL,
	requested timestamptz NOT NULL DEFAULT clock_timestamp(),
	approved bool,
	decided_by name,
	decided timestamptz,
	used timestamptz,
	used_by xid8
);
COMMENT ON SEQUENCE two_person_request_request_seq IS 'numbers of requests';
COMMENT ON TABLE two_person_request IS 'what was asked for, who agreed, and when it was carried out; not in dumps';
REVOKE ALL ON two_person_rule, two_person_request FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('two_person_rule', '');

CREATE VIEW approvals AS
	SELECT q.request, q.operation, q.key, q.detail, q.requested_by, q.requested,
		CASE WHEN q.used IS NOT NULL THEN 'carried out' WHEN NOT q.approved THEN 'refused'
			WHEN coalesce(q.decided, q.requested) < pg_catalog.clock_timestamp() - interval '1 day' THEN 'expired'
			WHEN q.approved THEN 'approved' ELSE 'waits for ' || coalesce(r.approvers, 'nobody: there is no rule') END AS state,
		q.decided_by, q.decided, q.used
	FROM two_person_request q LEFT JOIN two_person_rule r USING (operation);
COMMENT ON VIEW approvals IS 'requests under the two-person rule; each is for one time, and for a day';
REVOKE ALL ON approvals FROM PUBLIC;

-- Goes on when no rule asks for approval or there is one, which is used up; else an error.
CREATE FUNCTION need_approval(operation text, key text, detail text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	others name;
	login oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = @extschema@.authenticated_user());
BEGIN
	SELECT r.approvers INTO others FROM @extschema@.two_person_rule r WHERE r.operation = need_approval.operation;
	-- what this transaction has done already, it may: the versions of a key go one by one
	IF NOT FOUND OR EXISTS (SELECT FROM @extschema@.two_person_request w WHERE w.used_by = pg_current_xact_id() AND w.requested_oid = login
		AND w.operation = need_approval.operation AND w.key = need_approval.key AND w.detail = need_approval.detail)
	THEN
		RETURN;
	END IF;
	UPDATE @extschema@.two_person_request q SET used = clock_timestamp(), used_by = pg_current_xact_id() WHERE q.request = (
		SELECT w.request FROM @extschema@.two_person_request w
		WHERE w.operation = need_approval.operation AND w.key = need_approval.key AND w.detail = need_approval.detail
			AND w.requested_oid = login AND w.approved AND w.used IS NULL
			AND w.decided BETWEEN clock_timestamp() - interval '1 day' AND clock_timestamp()
		ORDER BY w.request LIMIT 1 FOR UPDATE);
	IF NOT FOUND THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('two persons must agree to this: %s, key %s, %s', operation, key, CASE detail WHEN '' THEN 'all of it' ELSE detail END),
			HINT = format('Ask: SELECT %s.request_approval(%L, %L, %L); a member of "%s" agrees: SELECT %s.approve(request); then do this again.',
				'@extschema@', operation, key, detail, others, '@extschema@');
	END IF;
END
$fn$;
COMMENT ON FUNCTION need_approval(text, text, text) IS 'an error unless the two-person rule is kept for this operation';

CREATE FUNCTION request_approval(operation text, key text, detail text DEFAULT '') RETURNS int8
	LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int8;
BEGIN
	PERFORM FROM @extschema@.two_person_rule r WHERE r.operation = request_approval.operation;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('no rule asks for approval of "%s"', operation),
			HINT = 'SELECT @extschema@.require_approval(operation, approvers) makes one for ''grant'', ''destroy'' or ''export''.';
	END IF;
	INSERT INTO @extschema@.two_person_request (operation, key, detail, requested_by, requested_oid)
		SELECT request_approval.operation, request_approval.key, request_approval.detail, rolname, oid FROM pg_roles
		WHERE rolname = @extschema@.authenticated_user() RETURNING request INTO id;
	RETURN id;
END
$fn$;
COMMENT ON FUNCTION request_approval(text, text, text) IS 'ask a second person to agree to an operation; the error that the operation gives says with which arguments';

CREATE FUNCTION decide_approval(request int8, agreed bool) RETURNS text
	LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	q @extschema@.two_person_request;
	others name;
	login name := @extschema@.authenticated_user();
BEGIN
	SELECT * INTO q FROM @extschema@.two_person_request t WHERE t.request = decide_approval.request FOR UPDATE;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('there is no request %s', request), HINT = 'SELECT * FROM @extschema@.approvals lists them.';
	END IF;
	SELECT r.approvers INTO others FROM @extschema@.two_person_rule r WHERE r.operation = q.operation;
	IF others IS NULL OR NOT @extschema@.authenticated_member(others) THEN
		RAISE insufficient_privilege USING MESSAGE = format('user "%s" does not approve this operation: %s', login, q.operation),
			HINT = format('Members of "%s" do; the user that logged in counts.', others);
	ELSIF q.requested_oid = (SELECT oid FROM pg_roles WHERE rolname = login) THEN
		RAISE insufficient_privilege USING MESSAGE = 'who asks does not agree too: it takes two persons';
	ELSIF q.approved IS NOT NULL OR q.requested < clock_timestamp() - interval '1 day' THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('request %s is %s', request, CASE WHEN q.approved IS NULL THEN 'more than a day old' ELSE 'decided already' END),
			HINT = 'It can be asked for again.';
	END IF;
	UPDATE @extschema@.two_person_request t SET approved = agreed, decided_by = login, decided = clock_timestamp() WHERE t.request = q.request;
	RETURN format('%s of key %s %s, asked for by %s: %s', q.operation, q.key, q.detail, q.requested_by, CASE WHEN agreed THEN 'approved' ELSE 'refused' END);
END
$fn$;
COMMENT ON FUNCTION decide_approval(int8, bool) IS 'what approve() and refuse() do';
CREATE FUNCTION approve(request int8) RETURNS text LANGUAGE sql STRICT RETURN decide_approval(request, true);
COMMENT ON FUNCTION approve(int8) IS 'agree to what somebody else asked for; who asked then does it, once, within a day';
CREATE FUNCTION refuse(request int8) RETURNS text LANGUAGE sql STRICT RETURN decide_approval(request, false);
COMMENT ON FUNCTION refuse(int8) IS 'do not agree to what somebody else asked for';

CREATE FUNCTION require_approval(operation text, approvers regrole) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
	IF operation NOT IN ('grant', 'destroy', 'export') THEN
		RAISE invalid_parameter_value USING MESSAGE = format('approval cannot be required for "%s"', operation),
			HINT = 'It can be for ''grant'' (who may decrypt, and under which rules), ''destroy'' (keys) and ''export'' (decrypt_column).';
	END IF;
	INSERT INTO @extschema@.two_person_rule AS r VALUES (operation, (SELECT rolname FROM pg_roles WHERE oid = approvers))
		ON CONFLICT ON CONSTRAINT two_person_rule_pkey DO UPDATE SET approvers = excluded.approvers;
	EXECUTE format('GRANT EXECUTE ON FUNCTION @extschema@.decide_approval(int8, bool), @extschema@.approve(int8), @extschema@.refuse(int8) TO %s', approvers);
	EXECUTE format('GRANT SELECT ON @extschema@.approvals TO %s', approvers);
END
$fn$;
COMMENT ON FUNCTION require_approval(text, regrole) IS 'from now on grant, destroy or export needs the approval of a second person, who is a member of the role; changing that does too';
CREATE FUNCTION waive_approval(operation text) RETURNS bool
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	others name;
	approver regrole;
BEGIN
	DELETE FROM @extschema@.two_person_rule r WHERE r.operation = waive_approval.operation RETURNING r.approvers INTO others;
	SELECT p.oid INTO approver FROM pg_roles p WHERE p.rolname = others AND NOT EXISTS (SELECT FROM @extschema@.two_person_rule r WHERE r.approvers = others);
	IF approver IS NOT NULL THEN
		EXECUTE format('REVOKE EXECUTE ON FUNCTION @extschema@.decide_approval(int8, bool), @extschema@.approve(int8), @extschema@.refuse(int8) FROM %s', approver);
		EXECUTE format('REVOKE SELECT ON @extschema@.approvals FROM %s', approver);
	END IF;
	RETURN others IS NOT NULL;
END
$fn$;
COMMENT ON FUNCTION waive_approval(text) IS 'the opposite of require_approval, which needs that approval a last time';

-- Whatever gives more rights or destroys a key, by the functions or past them.
CREATE FUNCTION guard_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	o jsonb := CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END;
	n jsonb := CASE WHEN TG_OP IN ('UPDATE', 'INSERT') THEN to_jsonb(NEW) END;
	-- of rights: what their key_id makes them, whatever their text says
	o_key text := (SELECT v.name FROM @extschema@.key_version v WHERE v.key_id = (o ->> 'key_id')::int4 AND v.purpose = 10 LIMIT 1);
	n_key text := (SELECT v.name FROM @extschema@.key_version v WHERE v.key_id = (n ->> 'key_id')::int4 AND v.purpose = 10 LIMIT 1);
	fixed text[] := ARRAY['name', 'key_id', 'version', 'purpose', 'wrapped', 'commitment'];
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.two_person_rule) THEN
		RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
	END IF;
	-- what is left is counted below: one after the other, and as it is now
	PERFORM pg_advisory_xact_lock(TG_RELID::int8);
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE invalid_transaction_state USING MESSAGE = 'where two persons must agree, keys and rights are changed in transactions that are READ COMMITTED';
	END IF;
	IF TG_TABLE_NAME = 'two_person_rule' THEN
		PERFORM @extschema@.need_approval(o ->> 'operation', '*', CASE TG_OP WHEN 'DELETE' THEN 'no rule' ELSE 'approved by ' || (n ->> 'approvers') END);
	ELSIF TG_TABLE_NAME = 'key_version' THEN
		IF TG_OP = 'DELETE' THEN
			IF (o ->> 'purpose')::int = 10 THEN
				PERFORM @extschema@.need_approval('destroy', o ->> 'name', '');
			END IF;
			RETURN OLD;
		ELSIF EXISTS (SELECT FROM unnest(fixed) f WHERE o -> f <> n -> f) THEN
			PERFORM @extschema@.need_approval('destroy', o ->> 'name', '');
		END IF;
		IF (n ->> 'strict')::int < (o ->> 'strict')::int THEN
			PERFORM @extschema@.need_approval('grant', o ->> 'name', 'strict only for ' || (ARRAY['nobody', 'host'])[(n ->> 'strict')::int + 1]);
		END IF;
		IF (o ->> 'needs_purpose')::bool AND NOT (n ->> 'needs_purpose')::bool THEN
			PERFORM @extschema@.need_approval('grant', o ->> 'name', 'any purpose');
		END IF;
	ELSE
		-- the last row of a key that goes on leaves it open
		IF o_key IS NOT NULL AND n ->> 'key_id' IS DISTINCT FROM o ->> 'key_id' THEN
			IF TG_TABLE_NAME = 'key_grant' AND NOT EXISTS (SELECT FROM @extschema@.key_grant g WHERE g.key_id = (o ->> 'key_id')::int4 AND g.role <> o ->> 'role') THEN
				PERFORM @extschema@.need_approval('grant', o_key, 'open to everybody');
			ELSIF TG_TABLE_NAME = 'key_purpose' AND NOT EXISTS (SELECT FROM @extschema@.key_purpose p WHERE p.key_id = (o ->> 'key_id')::int4 AND p.purpose <> o ->> 'purpose') THEN
				PERFORM @extschema@.need_approval('grant', o_key, 'any purpose');
			END IF;
		END IF;
		IF n IS NOT NULL THEN
			IF n_key IS DISTINCT FROM n ->> 'key' THEN
				RAISE check_violation USING MESSAGE = format('key_id %s is not that of key "%s"', n ->> 'key_id', n ->> 'key');
			END IF;
			PERFORM @extschema@.need_approval('grant', n_key, d.detail) FROM (SELECT CASE TG_TABLE_NAME
				WHEN 'key_grant' THEN 'to ' || nullif(n ->> 'role', '')
				WHEN 'key_purpose' THEN 'purpose ' || nullif(n ->> 'purpose', '')
				ELSE format('break-glass to %s for %s s', n ->> 'role', extract(epoch FROM (n ->> 'longest')::interval)::int8) END) AS d(detail) WHERE d.detail IS NOT NULL;
		END IF;
	END IF;
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$fn$;
COMMENT ON FUNCTION guard_change() IS 'keeps the two-person rule for changes of the tables of keys and grants, by whatever means';
CREATE FUNCTION guard_truncate() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
	PERFORM @extschema@.need_approval(r.operation, '*', 'all of ' || TG_TABLE_NAME) FROM @extschema@.two_person_rule r
		WHERE r.operation IN ('grant', 'destroy') OR TG_TABLE_NAME = 'two_person_rule';
	RETURN NULL;
END
$fn$;
COMMENT ON FUNCTION guard_truncate() IS 'the same for TRUNCATE';
REVOKE EXECUTE ON FUNCTION need_approval(text, text, text), request_approval(text, text, text), decide_approval(int8, bool), approve(int8), refuse(int8),
	require_approval(text, regrole), waive_approval(text), guard_change(), guard_truncate() FROM PUBLIC;
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['key_version', 'key_grant', 'key_purpose', 'key_glass_role', 'two_person_rule'] LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER guard BEFORE %s ON @extschema@.%I FOR EACH ROW EXECUTE FUNCTION @extschema@.guard_change()',
			CASE WHEN t IN ('key_version', 'two_person_rule') THEN 'UPDATE OR DELETE' ELSE 'INSERT OR UPDATE OR DELETE' END, t);
		EXECUTE pg_catalog.format('CREATE TRIGGER guard_all BEFORE TRUNCATE ON @extschema@.%I FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.guard_truncate()', t);
		EXECUTE pg_catalog.format('ALTER TABLE @extschema@.%I ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_all', t);
	END LOOP;
END
$$;

-- Changes of keys, grants and rules, by whatever means, are on record.
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'sov_audit_change';
COMMENT ON FUNCTION audit_change() IS 'puts a change of the tables of keys, grants and rules on record';
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['key_version', 'key_grant', 'key_purpose', 'key_glass', 'key_glass_role', 'two_person_rule', 'two_person_request'] LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.%I FOR EACH ROW EXECUTE FUNCTION @extschema@.audit_change()', t);
		EXECUTE pg_catalog.format('CREATE TRIGGER audit_all AFTER TRUNCATE ON @extschema@.%I FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.audit_change()', t);
		EXECUTE pg_catalog.format('ALTER TABLE @extschema@.%I ENABLE ALWAYS TRIGGER audit, ENABLE ALWAYS TRIGGER audit_all', t);
	END LOOP;
END
$$;

CREATE FUNCTION drop_key(key text) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
	columns text;
BEGIN
	SELECT string_agg(described, ', ' ORDER BY rel, attnum) INTO columns FROM @extschema@.key_columns(id);
	IF columns IS NOT NULL THEN
		RAISE dependent_objects_still_exist USING MESSAGE = format('key "%s" is in use', key), DETAIL = 'Columns: ' || columns,
			HINT = 'Give them another key (ALTER TABLE ... ALTER COLUMN ... TYPE) or decrypt them first.';
	END IF;
	DELETE FROM @extschema@.key_version WHERE key_id = id AND purpose = 10;
	DELETE FROM @extschema@.key_grant WHERE key_id = id;
	DELETE FROM @extschema@.key_purpose WHERE key_id = id;
	DELETE FROM @extschema@.key_glass_role WHERE key_id = id;
	-- operands are sealed under the default key: there is always one
	UPDATE @extschema@.key_version SET is_default = true WHERE purpose = 10
		AND NOT EXISTS (SELECT FROM @extschema@.key_version WHERE is_default AND current)
		AND name = (SELECT name FROM @extschema@.key_version WHERE purpose = 10 AND current ORDER BY created, name LIMIT 1);
	PERFORM @extschema@.keys_changed();
END
$fn$;
COMMENT ON FUNCTION drop_key(text) IS 'remove a key that no column uses, with all its versions: what else was sealed under it, in backups too, is lost';
REVOKE EXECUTE ON FUNCTION create_key(text), keys_changed(), key_id_of(text), grant_decrypt(text, regrole),
	revoke_decrypt(text, regrole), require_purpose(text, bool), allow_purpose(text, text), forbid_purpose(text, text), strict_audit(text, text), audit_change(), drop_key(text) FROM PUBLIC;

----------------------------------------------------------------------
-- Erasable persons: what lies here is of use only while the custodian has the key of
-- its epoch
----------------------------------------------------------------------
CREATE TABLE subject_epoch (
	epoch int8 PRIMARY KEY,
	id uuid NOT NULL,
	root_id uuid NOT NULL,
	custodian text NOT NULL,
	grade text NOT NULL,
	wrapped bytea NOT NULL,
	commitment bytea NOT NULL,
	created timestamptz NOT NULL DEFAULT now(),
	server text NOT NULL,
	beside text NOT NULL
);
COMMENT ON TABLE subject_epoch IS 'the key of the current epoch, wrapped under an erasable key of the custodian; a former one stands here until it is destroyed. beside: the URI beside which that key was made, server: system identifier and timeline of the server that may end it';
CREATE TABLE subject_next (
	id uuid PRIMARY KEY
);
COMMENT ON TABLE subject_next IS 'the epoch whose key is being made';
CREATE TABLE subject_group (
	grp int8 PRIMARY KEY,
	epoch int8 NOT NULL,
	wrapped bytea NOT NULL,
	commitment bytea NOT NULL,
	sealed bytea NOT NULL
);
ALTER TABLE subject_group ALTER sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE subject_group IS 'secrets of 256 persons each, under a group key that is wrapped under the key of the epoch';
CREATE SEQUENCE subject_groups;
COMMENT ON SEQUENCE subject_groups IS 'numbers of groups of persons';
CREATE TABLE subject_room (
	grp int8 PRIMARY KEY,
	used int4 NOT NULL
);
COMMENT ON TABLE subject_room IS 'groups with places for new persons; a row whose xmax is set was taken by a transaction that was rolled back, and is not used again';
CREATE TABLE subject (
	key_id int4 NOT NULL,
	tag bytea NOT NULL,
	number int8 NOT NULL,
	PRIMARY KEY (key_id, tag)
);
COMMENT ON TABLE subject IS 'numbers of persons, by a keyed tag of what names them';
CREATE TABLE erasure (
	id int8 PRIMARY KEY,
	number int8 NOT NULL,
	asked timestamptz NOT NULL,
	key text NOT NULL,
	key_id int4 NOT NULL,
	tag bytea NOT NULL,
	asked_by text NOT NULL,
	columns text[] NOT NULL,
	untied text[] NOT NULL,
	epoch int8 NOT NULL,
	epoch_id uuid,
	destroyed timestamptz,
	custodian text,
	grade text,
	repository text
);
CREATE UNIQUE INDEX erasure_number ON erasure (number);
COMMENT ON TABLE erasure IS 'persons whose key was destroyed, or is to be (destroyed is null); epoch: the last in which it existed';
REVOKE ALL ON subject_epoch, subject_next, subject_group, subject_groups, subject_room, subject, erasure FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('subject_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('subject_group', '');
SELECT pg_catalog.pg_extension_config_dump('subject_groups', '');
SELECT pg_catalog.pg_extension_config_dump('subject_room', '');
SELECT pg_catalog.pg_extension_config_dump('subject', '');
SELECT pg_catalog.pg_extension_config_dump('erasure', '');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON erasure FOR EACH ROW EXECUTE FUNCTION audit_change();
CREATE TRIGGER audit_all AFTER TRUNCATE ON erasure FOR EACH STATEMENT EXECUTE FUNCTION audit_change();
ALTER TABLE erasure ENABLE ALWAYS TRIGGER audit, ENABLE ALWAYS TRIGGER audit_all;

CREATE VIEW erasures AS
	SELECT id, key, pg_catalog.encode(tag, 'hex') AS person_tag, number AS person_number, asked, asked_by, destroyed,
		CASE WHEN destroyed IS NULL THEN 'not complete' ELSE 'complete' END AS state,
		pg_catalog.jsonb_build_object('erasure', id, 'database', pg_catalog.current_database(), 'key', key,
			'person_tag', pg_catalog.encode(tag, 'hex'), 'person_number', number, 'asked', asked, 'asked_by', asked_by,
			'columns', pg_catalog.to_jsonb(columns), 'not_covered', pg_catalog.to_jsonb(untied),
			'epoch', epoch, 'epoch_id', epoch_id, 'epoch_key_destroyed', destroyed,
			'custodian', custodian, 'custodian_grade', grade, 'repository', repository,
			'limits', pg_catalog.to_jsonb(pg_catalog.array_remove(ARRAY[
				CASE grade WHEN 'destroy' THEN 'backups of the custodian''s device or service made before: they must have expired, or be destroyed too'
					WHEN 'effort' THEN 'the key was a file: it was overwritten and removed, which a disk, a file system or a copy of it may have survived' END,
				'plaintext copied out of the columns: dumps in plaintext, exports, replicas under other software, logs',
				'values of columns that are not tied to the person (searchable, or plain)',
				'values written while the trigger that ties them was disabled'], NULL))) AS certificate,
		pg_catalog.format(E'Certificate of erasure %s\nDatabase %s, key %s, person %s (tag), number %s\nAsked by %s at %s\nColumns covered: %s\nCustodian: %s\nGrade: %s\nKey of epoch %s (%s) destroyed: %s\nRepository: %s',
			id, pg_catalog.current_database(), key, pg_catalog.encode(tag, 'hex'), number, asked_by, asked, pg_catalog.array_to_string(columns, ', '),
			coalesce(custodian, '-'), coalesce(grade, '-'), epoch, coalesce(epoch_id::text, '-'), coalesce(destroyed::text, 'NOT YET'), coalesce(repository, 'none')) AS text
	FROM erasure;
COMMENT ON VIEW erasures IS 'persons that were erased, each with its certificate as JSON and as text; no name stands in it, but a keyed tag of it';
REVOKE ALL ON erasures FROM PUBLIC;

CREATE FUNCTION tie_subject() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'sov_tie_subject';
COMMENT ON FUNCTION tie_subject() IS 'seals the values of a column under the keys of the persons that another column names';
CREATE FUNCTION subject_tag(key_id int4, person text) RETURNS bytea LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_subject_tag';
COMMENT ON FUNCTION subject_tag(int4, text) IS 'the keyed tag of a person under a key';
CREATE FUNCTION erase_places(grp int8, places int4[]) RETURNS void LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_erase_places';
COMMENT ON FUNCTION erase_places(int8, int4[]) IS 'take secrets out of a group of persons and seal it anew';
CREATE FUNCTION subjects_changed() RETURNS void LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_subjects_changed';
COMMENT ON FUNCTION subjects_changed() IS 'at commit every session forgets the opened keys of persons';
CREATE FUNCTION run_subjects(begin bool DEFAULT false) RETURNS void LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_run_subjects';
COMMENT ON FUNCTION run_subjects(bool) IS 'run the command pg_sovereign key subjects and wait for it; begin: make the first epoch of this database';

CREATE FUNCTION own_transaction(name text) RETURNS void LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_own_transaction';
COMMENT ON FUNCTION own_transaction(text) IS 'refuses a procedure that commits within a transaction block';

-- Columns whose values are tied to persons.
CREATE VIEW subject_columns AS
	SELECT g.tgrelid::regclass AS rel, a.attname AS col, pg_catalog.convert_from(pg_catalog.decode(p.args[2], 'escape'), pg_catalog.getdatabaseencoding()) AS subject, a.atttypmod >> 1 AS key_id, g.tgname AS trigger,
		g.tgenabled IN ('O', 'A') AS enabled
	FROM pg_catalog.pg_trigger g
	CROSS JOIN LATERAL (SELECT pg_catalog.string_to_array(pg_catalog.encode(g.tgargs, 'escape'), '\000') AS args) p
	JOIN pg_catalog.pg_attribute a ON a.attrelid = g.tgrelid AND NOT a.attisdropped
		AND a.attname = pg_catalog.convert_from(pg_catalog.decode(p.args[1], 'escape'), pg_catalog.getdatabaseencoding())
	WHERE g.tgfoid = 'tie_subject'::regproc AND NOT g.tgisinternal AND g.tgparentid = 0;
COMMENT ON VIEW subject_columns IS 'columns whose values are sealed per person, and the column that names the person';
GRANT SELECT ON subject_columns TO PUBLIC;

-- persons NULL: all of the key.
CREATE FUNCTION erase_persons(key text, persons text[]) RETURNS int8
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	id int4 := @extschema@.key_id_of(key);
	tied text[] := coalesce((SELECT array_agg(format('%s.%I', c.rel, c.col) ORDER BY c.rel::text, c.col) FROM @extschema@.subject_columns c
		WHERE c.key_id = id), '{}');
	untied text[] := coalesce((SELECT array_agg(k.described ORDER BY k.described) FROM @extschema@.key_columns(id) k
		WHERE NOT EXISTS (SELECT FROM @extschema@.subject_columns c JOIN pg_attribute a ON a.attrelid = c.rel AND a.attname = c.col
			WHERE c.rel = k.rel AND a.attnum = k.attnum)), '{}');
	tags bytea[];
	numbers int8[];
	n int8;
	g record;
BEGIN
	PERFORM @extschema@.need_approval('destroy', key, CASE WHEN persons IS NULL THEN 'erase all persons'
		ELSE 'erase ' || (SELECT string_agg(encode(@extschema@.subject_tag(id, p), 'hex'), ' ' ORDER BY p) FROM unnest(persons) p) END);
	LOCK TABLE @extschema@.subject_epoch, @extschema@.erasure IN SHARE ROW EXCLUSIVE MODE;
	IF persons IS NULL AND untied <> '{}' THEN
		RAISE object_not_in_prerequisite_state USING MESSAGE = format('key "%s" cannot be shredded: it seals columns that are tied to no persons', key),
			DETAIL = 'Columns: ' || array_to_string(untied, ', '),
			HINT = 'CALL encrypt_column(table, column, key => ..., subject => ...) ties a column.';
	END IF;
	WITH gone AS (DELETE FROM @extschema@.subject s WHERE s.key_id = id
			AND (persons IS NULL OR s.tag IN (SELECT @extschema@.subject_tag(id, p) FROM unnest(persons) p)) RETURNING s.tag, s.number)
		SELECT coalesce(array_agg(gone.tag ORDER BY gone.number), '{}'), coalesce(array_agg(gone.number ORDER BY gone.number), '{}') INTO tags, numbers FROM gone;
	SELECT count(*) INTO n FROM unnest(persons) p WHERE @extschema@.subject_tag(id, p) <> ALL (tags);
	IF n > 0 THEN
		RAISE NOTICE '% of the persons have no values under key "%", or were erased before', n, key;
	END IF;
	INSERT INTO @extschema@.erasure (id, number, asked, key, key_id, tag, asked_by, columns, untied, epoch)
		SELECT (SELECT coalesce(max(e.id), 0) FROM @extschema@.erasure e) + u.i, u.number, now(), key, id, u.tag, @extschema@.authenticated_user(), tied, untied,
			(SELECT max(p.epoch) FROM @extschema@.subject_epoch p) FROM unnest(tags, numbers) WITH ORDINALITY u(tag, number, i);
	FOR g IN SELECT u / 256 AS grp, array_agg((u % 256)::int4) AS places FROM unnest(numbers) u GROUP BY 1 ORDER BY 1 LOOP
		PERFORM @extschema@.erase_places(g.grp, g.places);
	END LOOP;
	PERFORM @extschema@.subjects_changed();
	RETURN cardinality(numbers);
END
$fn$;
COMMENT ON FUNCTION erase_persons(text, text[]) IS 'the first step of shred_subject and shred_key: when it commits nobody in this database reads these persons'' values';

CREATE PROCEDURE shred_subject(key text, VARIADIC persons text[])
	LANGUAGE plpgsql AS $fn$
BEGIN
	PERFORM @extschema@.own_transaction('shred_subject');
	IF @extschema@.erase_persons(key, persons) OPERATOR(pg_catalog.>) 0 THEN
		COMMIT;
		PERFORM @extschema@.run_subjects();
	END IF;
END
$fn$;
COMMENT ON PROCEDURE shred_subject(text, text[]) IS 'destroy the keys of persons, in this database at once and in every older copy: several persons in one call share one epoch';
CREATE PROCEDURE shred_key(key text)
	LANGUAGE plpgsql AS $fn$
BEGIN
	PERFORM @extschema@.own_transaction('shred_key');
	IF @extschema@.erase_persons(key, NULL) OPERATOR(pg_catalog.>) 0 THEN
		COMMIT;
		PERFORM @extschema@.run_subjects();
	END IF;
END
$fn$;
COMMENT ON PROCEDURE shred_key(text) IS 'destroy the keys of all persons under a key, all of whose columns are tied to persons: all that it sealed';
CREATE PROCEDURE finish_erasures()
	LANGUAGE plpgsql AS $fn$
BEGIN
	PERFORM @extschema@.run_subjects();
END
$fn$;
COMMENT ON PROCEDURE finish_erasures() IS 'go on with erasures that are not complete';

-- The current keys of persons, for the repository, and back from there after a restore.
CREATE FUNCTION subject_state() RETURNS jsonb
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT pg_catalog.jsonb_build_object(
		'epoch', (SELECT pg_catalog.max(e.epoch) FROM subject_epoch e),
		'epochs', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e)) FROM subject_epoch e WHERE e.epoch = (SELECT pg_catalog.max(m.epoch) FROM subject_epoch m)),
		'groups', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('g', g.grp, 'e', g.epoch, 'w', pg_catalog.encode(g.wrapped, 'base64'),
			'c', pg_catalog.encode(g.commitment, 'base64'), 's', pg_catalog.encode(g.sealed, 'base64'))), '[]') FROM subject_group g),
		'erasures', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(x)), '[]') FROM erasure x));
END;
COMMENT ON FUNCTION subject_state() IS 'the current keys of persons, as the repository keeps them: wrapped under the key of the current epoch';
CREATE FUNCTION load_subjects(state jsonb) RETURNS void
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
	LOCK TABLE @extschema@.subject_epoch, @extschema@.subject_group, @extschema@.subject_room, @extschema@.subject, @extschema@.erasure IN SHARE ROW EXCLUSIVE MODE;
	DELETE FROM @extschema@.subject_epoch;
	DELETE FROM @extschema@.subject_group;
	DELETE FROM @extschema@.subject_room;	-- what is free here may not be free there
	DELETE FROM @extschema@.erasure;
	INSERT INTO @extschema@.subject_epoch SELECT (jsonb_populate_record(NULL::@extschema@.subject_epoch, e)).* FROM jsonb_array_elements(state -> 'epochs') e;
	INSERT INTO @extschema@.subject_group SELECT (g ->> 'g')::int8, (g ->> 'e')::int8, decode(g ->> 'w', 'base64'), decode(g ->> 'c', 'base64'), decode(g ->> 's', 'base64')
		FROM jsonb_array_elements(state -> 'groups') g;
	INSERT INTO @extschema@.erasure SELECT (jsonb_populate_record(NULL::@extschema@.erasure, e)).* FROM jsonb_array_elements(state -> 'erasures') e;
	DELETE FROM @extschema@.subject s USING @extschema@.erasure e WHERE e.number = s.number;
	PERFORM setval('@extschema@.subject_groups', (SELECT greatest(max(grp), 1) FROM @extschema@.subject_group));
	PERFORM @extschema@.subjects_changed();
END
$fn$;
COMMENT ON FUNCTION load_subjects(jsonb) IS 'put the current keys of persons, as the repository has them, into a database that was restored';
REVOKE EXECUTE ON FUNCTION tie_subject(), subject_tag(int4, text), erase_places(int8, int4[]), subjects_changed(), run_subjects(bool), own_transaction(text),
	erase_persons(text, text[]), subject_state(), load_subjects(jsonb) FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE shred_subject(text, text[]), shred_key(text), finish_erasures() FROM PUBLIC;

----------------------------------------------------------------------
-- Providers
----------------------------------------------------------------------
CREATE OR REPLACE FUNCTION providers_now(OUT name text, OUT type text, OUT state text, OUT location text,
							  OUT debt_objects int8, OUT debt_bytes int8)
	RETURNS SETOF record LANGUAGE C VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'sov_providers';
COMMENT ON FUNCTION providers_now() IS 'what the view providers reads: asks each provider';
REVOKE EXECUTE ON FUNCTION providers_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION providers_now() TO pg_monitor;

----------------------------------------------------------------------
-- Who runs the repository by SQL, and who may look at it (names that begin with pg_
-- are the server's own).  Roles are the cluster's:
-- made by the first database, never dropped with the extension.
----------------------------------------------------------------------
DO $$
DECLARE
	r text;
BEGIN
	FOREACH r IN ARRAY ARRAY['sovereign_operator', 'sovereign_auditor'] LOOP
		IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = r) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
		END IF;
	END LOOP;
END
$$;

GRANT SELECT ON break_glass_accesses, approvals TO sovereign_auditor, sovereign_operator;
GRANT EXECUTE ON FUNCTION close_break_glass(text, name) TO sovereign_operator;

CREATE FUNCTION repository_facts(part text DEFAULT NULL) RETURNS jsonb
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'sov_facts_json';
COMMENT ON FUNCTION repository_facts(text) IS 'what this host knows of the repository without asking providers, of its lists only one (providers, backups, wal, redundancy) or all; NULL before the first command';
CREATE FUNCTION jobs_now() RETURNS jsonb
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'sov_jobs_json';
COMMENT ON FUNCTION jobs_now() IS 'all jobs, newest first';

CREATE OR REPLACE VIEW providers AS
	SELECT n.name, n.type, coalesce(f.state, n.state) AS state, n.location, n.debt_objects, n.debt_bytes,
		f.proven AS last_proven, f.proven_shards, f.message, (r.facts ->> 'seen')::timestamptz AS seen, f.policy,
		(f.probe ->> 'time')::timestamptz AS probed, (f.probe ->> 'put_rate')::int8 AS put_rate,
		(f.probe ->> 'get_rate')::int8 AS get_rate, (f.probe ->> 'latency_ms')::float8 AS latency_ms
	FROM (SELECT repository_facts('providers') AS facts) r CROSS JOIN providers_now() n
	LEFT JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'providers')
		AS f(provider text, state text, proven timestamptz, proven_shards int8, message text, policy text, probe jsonb) ON f.provider = n.name;
COMMENT ON VIEW providers IS 'configured providers: state when a command last looked (seen), when their bytes were last proven, and what is owed to them; policy: ok, the rule that it breaks, or NULL where none asks; put_rate, get_rate: bytes a second, as provider probe measured them';

CREATE VIEW backups AS
	SELECT b.backup, nullif(b.label, '') AS label, b.started, b.finished, b.timeline, b.start_lsn, b.stop_lsn, b.files, b.bytes, b.stored, b.bad_pages, b.pg_version
	FROM (SELECT repository_facts('backups') AS facts) r
	CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'backups')
		AS b(backup text, label text, started timestamptz, finished timestamptz, timeline int8, start_lsn pg_lsn, stop_lsn pg_lsn,
			 files int8, bytes int8, stored int8, bad_pages int8, pg_version int4);
COMMENT ON VIEW backups IS 'backups of the repository, oldest first; bytes of the cluster, stored over all providers; pg_version: of the server that it needs (150014 is 15.14)';

CREATE VIEW wal_ranges AS
	SELECT w.timeline, w.from_backup, w.from_lsn, w.to_lsn, w.segment, w.marked
	FROM (SELECT repository_facts('wal') AS facts) r
	CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'wal')
		AS w(timeline int8, from_backup text, from_lsn pg_lsn, to_lsn pg_lsn, segment text, marked timestamptz);
COMMENT ON VIEW wal_ranges IS 'by timeline: from which backup on, and up to where, WAL is stored without a gap (the newest mark)';

CREATE VIEW redundancy AS
	SELECT d.class, d.needed, d.holders, d.owed_objects, d.losses_tolerated
	FROM (SELECT repository_facts('redundancy') AS facts) r
	CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'redundancy')
		AS d(class text, needed int4, holders int4, owed_objects int8, losses_tolerated int4);
COMMENT ON VIEW redundancy IS 'by class of object: how many providers are needed, hold all of it now, and may still vanish';

CREATE VIEW jobs AS
	SELECT j.job, j.command, j.arguments, j.role, j.state, j.asked, j.began, j.ended, j.phase, j.done, j.total,
		CASE WHEN j.total > 0 THEN pg_catalog.round(100.0 * least(j.done, j.total) / j.total, 1) END AS percent,
		j.exit_status, j.message, j.hint, j.result
	FROM pg_catalog.jsonb_to_recordset(jobs_now())
		AS j(job int8, command text, arguments text[], role text, state text, asked timestamptz, began timestamptz, ended timestamptz,
			 phase text, done int8, total int8, exit_status int4, message text, hint text, result jsonb);
COMMENT ON VIEW jobs IS 'commands started by SQL, newest first: how far they are, how they ended, what they found';

-- Not for users: the functions below say what may be started with what.
CREATE FUNCTION start_job(command text, arguments text[], wait bool) RETURNS int8
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_start_job';
COMMENT ON FUNCTION start_job(text, text[], bool) IS 'start a command of pg_sovereign in a process of its own';

CREATE FUNCTION backup(label text DEFAULT NULL, jobs int4 DEFAULT NULL, max_rate text DEFAULT NULL, "full" bool DEFAULT false, wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('backup', ARRAY['--json', '--label=' || label, '--jobs=' || jobs, '--max-rate=' || max_rate, CASE WHEN "full" THEN '--full' END], wait);
END;
COMMENT ON FUNCTION backup(text, int4, text, bool, bool) IS 'back the cluster up to all providers: starts a job; wait => true waits for its end';

CREATE FUNCTION verify(deep bool DEFAULT false, sample int4 DEFAULT NULL, wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('verify', ARRAY['--json', CASE WHEN deep THEN '--deep' END, '--sample=' || sample], wait);
END;
COMMENT ON FUNCTION verify(bool, int4, bool) IS 'find what is missing or damaged at the providers: starts a job';

CREATE FUNCTION repair(quick bool DEFAULT false, wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('repair', ARRAY['--json', CASE WHEN quick THEN '--quick' END], wait);
END;
COMMENT ON FUNCTION repair(bool, bool) IS 'rebuild what is missing or damaged at the providers: starts a job';

CREATE FUNCTION prune(dry_run bool DEFAULT false, wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('prune', ARRAY['--json', CASE WHEN dry_run THEN '--dry-run' END], wait);
END;
COMMENT ON FUNCTION prune(bool, bool) IS 'delete what the rules of [retention] do not keep: starts a job';

CREATE FUNCTION plan(wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('plan', ARRAY['--json'], wait);
END;
COMMENT ON FUNCTION plan(bool) IS 'show what a changed configuration moves: starts a job, the plan is its result';

CREATE FUNCTION apply(wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('apply', ARRAY['--json'], wait);
END;
COMMENT ON FUNCTION apply(bool) IS 'carry out a changed configuration: starts a job';

CREATE FUNCTION drill(without text[] DEFAULT '{}', target_time timestamptz DEFAULT NULL, amcheck bool DEFAULT false, wait bool DEFAULT false)
	RETURNS int8 LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT start_job('drill', ARRAY['--json', CASE WHEN amcheck THEN '--amcheck' END,
			'--target-time=' || pg_catalog.to_char(target_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00']
		|| ARRAY(SELECT '--without=' || w FROM pg_catalog.unnest(without) w), wait);
END;
COMMENT ON FUNCTION drill(text[], timestamptz, bool, bool) IS 'prove that a restore works: starts a job';

CREATE FUNCTION cancel_job(job int8) RETURNS void
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_cancel_job';
COMMENT ON FUNCTION cancel_job(int8) IS 'stop a job: what it had committed stays, and it can be started again';

REVOKE ALL ON providers, backups, wal_ranges, redundancy, jobs FROM PUBLIC;
GRANT SELECT ON providers, backups, wal_ranges, redundancy, jobs TO pg_monitor, sovereign_operator, sovereign_auditor;
REVOKE EXECUTE ON FUNCTION repository_facts(text), jobs_now(), start_job(text, text[], bool), backup(text, int4, text, bool, bool), verify(bool, int4, bool),
	repair(bool, bool), prune(bool, bool), plan(bool), apply(bool), drill(text[], timestamptz, bool, bool), cancel_job(int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION repository_facts(text), jobs_now() TO pg_monitor, sovereign_operator, sovereign_auditor;
GRANT EXECUTE ON FUNCTION providers_now() TO sovereign_operator, sovereign_auditor;
GRANT EXECUTE ON FUNCTION backup(text, int4, text, bool, bool), verify(bool, int4, bool), repair(bool, bool), prune(bool, bool), plan(bool), apply(bool),
	drill(text[], timestamptz, bool, bool), cancel_job(int8) TO sovereign_operator;

----------------------------------------------------------------------
-- Keys on loan, where the library is in shared_preload_libraries
----------------------------------------------------------------------
CREATE FUNCTION lock() RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_lock';
COMMENT ON FUNCTION lock() IS 'take the keys of all databases away from this server, at once: queries that need them fail until unlock()';
CREATE FUNCTION unlock() RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_unlock';
COMMENT ON FUNCTION unlock() IS 'let this server borrow keys from the custodian again';
CREATE FUNCTION lease_now(OUT database text, OUT state text, OUT until timestamptz, OUT keys int4, OUT custodian text, OUT message text)
	RETURNS SETOF record LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_lease_now';
COMMENT ON FUNCTION lease_now() IS 'keys that this server has on loan now';
CREATE VIEW lease AS SELECT * FROM lease_now();
COMMENT ON VIEW lease IS 'keys that this server has on loan: a row for each database that asked for some, until when, and what the custodian last said; "locked" alone after lock(); empty without preloading';
REVOKE ALL ON lease FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION lock(), unlock(), lease_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock(), unlock() TO sovereign_operator;
GRANT EXECUTE ON FUNCTION lease_now() TO pg_monitor, sovereign_operator, sovereign_auditor;
GRANT SELECT ON lease TO pg_monitor, sovereign_operator, sovereign_auditor;

----------------------------------------------------------------------
-- The audit log, as this host has it
----------------------------------------------------------------------
CREATE FUNCTION audit_now(OUT seq int8, OUT "time" timestamptz, OUT event text, OUT outcome text, OUT process int4, OUT username text,
						  OUT current_username text, OUT client text, OUT application text, OUT database text, OUT key text, OUT purpose text,
						  OUT query_id int8, OUT opened int8, OUT text text)
	RETURNS SETOF record LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_audit_now';
COMMENT ON FUNCTION audit_now() IS 'the audit log of this host, unproven: pg_sovereign audit verify proves it';
CREATE FUNCTION audit_since(since timestamptz, OUT seq int8, OUT "time" timestamptz, OUT event text, OUT outcome text, OUT process int4, OUT username text,
						  OUT current_username text, OUT client text, OUT application text, OUT database text, OUT key text, OUT purpose text,
						  OUT query_id int8, OUT opened int8, OUT text text)
	RETURNS SETOF record LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'sov_audit_since';
COMMENT ON FUNCTION audit_since(timestamptz) IS 'the entries of the view audit from a moment on: quick where the log is long, as older ones are passed over unread';
CREATE VIEW audit AS SELECT * FROM audit_now();
COMMENT ON VIEW audit IS 'who opened what, and who changed what decides it, in all databases, as this host has it (seq NULL: not chained yet), from its beginning on: audit_since() is quicker; opened: values since the session''s entry before for that key and purpose';
REVOKE ALL ON audit FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION audit_now(), audit_since(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_now(), audit_since(timestamptz) TO sovereign_auditor;
GRANT SELECT ON audit TO sovereign_auditor;

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
	EXECUTE pg_catalog.format('CREATE OPERATOR pg_catalog.%s (FUNCTION = %I, LEFTARG = %s, RIGHTARG = %s)', symbol, name, l, r);
EXCEPTION WHEN undefined_function THEN
	NULL;
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
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I, int4, bool) RETURNS %I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %I(%I($1)::%s, $2, $3)',
		enc_b, enc_a, enc_b, enc_b, enc_a || '_to_base', b);
	EXECUTE pg_catalog.format('CREATE FUNCTION %I(%I, int4, bool) RETURNS %I LANGUAGE sql STABLE STRICT PARALLEL SAFE RETURN %I(%I($1)::%s, $2, $3)',
		enc_a, enc_b, enc_a, enc_a, enc_b || '_to_base', a);
	EXECUTE pg_catalog.format('CREATE CAST (%I AS %I) WITH FUNCTION %I(%I, int4, bool) AS %s', enc_a, enc_b, enc_b, enc_a,
		CASE WHEN implicit THEN 'IMPLICIT' ELSE 'ASSIGNMENT' END);
	EXECUTE pg_catalog.format('CREATE CAST (%I AS %I) WITH FUNCTION %I(%I, int4, bool) AS ASSIGNMENT', enc_b, enc_a, enc_a, enc_b);
END
$fn$;

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
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_int4_operand';
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
	type_classes(name, regtype), type_ranges(name, regtype), type_casts(name, regtype), type_operand(int, text), type_operator(text, text, text, regtype, regtype, text), type_equality(name, name, name), type_pair(regtype, regtype, bool),
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

----------------------------------------------------------------------
-- Definitions that would betray plaintext or not work
----------------------------------------------------------------------
CREATE OR REPLACE FUNCTION check_ddl() RETURNS event_trigger
	LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'sov_check_ddl';
CREATE EVENT TRIGGER pg_sovereign_check_ddl ON ddl_command_end EXECUTE FUNCTION check_ddl();
COMMENT ON FUNCTION check_ddl() IS 'of the event trigger';
COMMENT ON EVENT TRIGGER pg_sovereign_check_ddl IS 'refuses definitions that would put plaintext, or its order, on disk';
ALTER EVENT TRIGGER pg_sovereign_check_ddl ENABLE ALWAYS;

----------------------------------------------------------------------
-- Existing columns: conversion and rotation, in batches that commit
----------------------------------------------------------------------
-- The state of the work; not dumped (oids and blocks mean nothing elsewhere).
CREATE TABLE column_job (
	rel oid NOT NULL,
	attnum int2 NOT NULL,
	new_attnum int2 NOT NULL DEFAULT 0,
	what text NOT NULL CHECK (what IN ('encrypt', 'decrypt', 'rotate')),
	key text,
	phase text NOT NULL,
	part oid NOT NULL DEFAULT 0,
	filenode oid NOT NULL DEFAULT 0,
	block int8 NOT NULL DEFAULT 0,
	end_block int8 NOT NULL DEFAULT -1,
	pass_rows int8 NOT NULL DEFAULT 0,
	rows_done int8 NOT NULL DEFAULT 0,
	rows_total int8 NOT NULL,
	pid int4,
	started timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	updated timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (rel, attnum)
);
COMMENT ON TABLE column_job IS 'conversions and rotations under way; the view column_jobs shows them';
-- A table of its own, so that nobody waits for a batch to ask for a stop.
CREATE TABLE column_job_stop (rel oid, attnum int2, PRIMARY KEY (rel, attnum));
COMMENT ON TABLE column_job_stop IS 'jobs that are to stop after their batch';

-- A table's owner converts its columns: so its jobs are the owner's.
CREATE FUNCTION owns_table(rel oid) RETURNS bool LANGUAGE sql STABLE
	RETURN coalesce((SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid = $1), true);
COMMENT ON FUNCTION owns_table(oid) IS 'has the current user the rights of the table''s owner? (true where the table is gone)';
ALTER TABLE column_job ENABLE ROW LEVEL SECURITY;
ALTER TABLE column_job_stop ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner ON column_job USING (owns_table(rel)) WITH CHECK (owns_table(rel) AND what <> 'rotate');
CREATE POLICY owner ON column_job_stop USING (owns_table(rel));
CREATE POLICY monitor ON column_job FOR SELECT TO pg_monitor USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON column_job, column_job_stop TO PUBLIC;

CREATE VIEW column_jobs WITH (security_invoker = true) AS
	SELECT j.rel::regclass AS "table", a.attname AS "column", j.what, j.phase, j.rows_done, j.rows_total, j.started, j.updated,
		CASE WHEN s.pid IS NOT NULL THEN j.pid END AS pid
	FROM column_job j
	JOIN pg_catalog.pg_attribute a ON a.attrelid = j.rel AND a.attnum = j.attnum AND NOT a.attisdropped
	LEFT JOIN (SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
		WHERE l.locktype = 'advisory' AND l.classid = 'column_job'::regclass) s ON s.pid = j.pid;
COMMENT ON VIEW column_jobs IS 'conversions and rotations of columns under way, or stopped (without pid)';
GRANT SELECT ON column_jobs TO PUBLIC;

-- Indexes of a column (also of partitions) that can be carried over to a column of
-- another type, and what has been made of them so far.
CREATE FUNCTION column_indexes(rel regclass, col name)
	RETURNS TABLE (index oid, name name, lead text, made_as text, on_table text, method text, tail text,
				   may_be_concurrent bool, made bool, half_made text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH RECURSIVE member(oid) AS (
		SELECT column_indexes.rel::oid
		UNION ALL SELECT i.inhrelid FROM member m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid)
	SELECT i.indexrelid, c.relname,
		CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX' ELSE 'CREATE INDEX' END,
		'sov_new_' || i.indexrelid, pg_catalog.format('%I.%I', s.nspname, t.relname), am.amname::text,
		CASE WHEN i.indnullsnotdistinct THEN ' NULLS NOT DISTINCT' ELSE '' END
			|| coalesce(' WITH (' || pg_catalog.array_to_string(c.reloptions, ', ') || ')', '')
			|| coalesce(' TABLESPACE ' || pg_catalog.quote_ident(ts.spcname), ''),
		t.relkind = 'r' AND t.relpersistence <> 't',
		n.indisvalid IS TRUE,
		CASE WHEN NOT n.indisvalid THEN pg_catalog.format('%I.%I', s.nspname, nc.relname) END
	FROM member m
	JOIN pg_catalog.pg_attribute a ON a.attrelid = m.oid AND a.attname = col
	JOIN pg_catalog.pg_class t ON t.oid = m.oid
	JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace
	JOIN pg_catalog.pg_index i ON i.indrelid = m.oid AND i.indnatts = 1 AND i.indkey[0] = a.attnum
	JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
	JOIN pg_catalog.pg_am am ON am.oid = c.relam AND am.amname IN ('btree', 'hash')
	JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[0] AND (o.opcdefault OR o.opcname LIKE 'encrypted\_%\_blind\_ops')
	LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace
	LEFT JOIN pg_catalog.pg_class nc ON nc.relname = 'sov_new_' || i.indexrelid AND nc.relnamespace = c.relnamespace
	LEFT JOIN pg_catalog.pg_index n ON n.indexrelid = nc.oid
	WHERE i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid AND i.indimmediate
		AND NOT (i.indisprimary OR i.indisexclusion OR i.indisclustered OR i.indisreplident)
	ORDER BY i.indexrelid;
END;
COMMENT ON FUNCTION column_indexes(regclass, name) IS 'indexes of a column that a conversion carries over';

-- Statements that give a converted column its grants, comment, statistics target,
-- options, and its indexes their names.
CREATE FUNCTION column_estate(rel regclass, col name) RETURNS TABLE (place int, statement text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH RECURSIVE member(oid) AS (
		SELECT column_estate.rel::oid
		UNION ALL SELECT i.inhrelid FROM member m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid),
	col AS (
		SELECT a.attrelid, a.attnum, a.attname, a.attacl, a.attstattarget, a.attoptions,
			pg_catalog.format('%I.%I', s.nspname, t.relname) AS of_table
		FROM member m JOIN pg_catalog.pg_attribute a ON a.attrelid = m.oid AND a.attname = col
		JOIN pg_catalog.pg_class t ON t.oid = m.oid JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace)
	SELECT 1, pg_catalog.format('GRANT %s (%I) ON %s TO %s%s', x.privilege_type, c.attname, c.of_table,
			CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END,
			CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM col c, pg_catalog.aclexplode(c.attacl) x
	UNION ALL SELECT 2, pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', c.of_table, c.attname, d.description)
		FROM col c JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = c.attrelid AND d.objsubid = c.attnum
	UNION ALL SELECT 3, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS %s', c.of_table, c.attname, c.attstattarget)
		FROM col c WHERE c.attstattarget >= 0
	UNION ALL SELECT 4, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %I SET (%s)', c.of_table, c.attname, o)
		FROM col c, pg_catalog.unnest(c.attoptions) o WHERE o LIKE 'n\_distinct%'
	UNION ALL SELECT 5, pg_catalog.format('ALTER INDEX %I.%I RENAME TO %I', s.nspname, i.made_as, i.name)
		FROM column_indexes(rel, col) i JOIN pg_catalog.pg_class x ON x.oid = i.index JOIN pg_catalog.pg_namespace s ON s.oid = x.relnamespace
	UNION ALL SELECT 6, pg_catalog.format('COMMENT ON INDEX %I.%I IS %L', s.nspname, i.name, d.description)
		FROM column_indexes(rel, col) i JOIN pg_catalog.pg_class x ON x.oid = i.index JOIN pg_catalog.pg_namespace s ON s.oid = x.relnamespace
		JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = i.index AND d.objsubid = 0;
END;
COMMENT ON FUNCTION column_estate(regclass, name) IS 'what a converted column inherits from the one whose place it takes, as statements';

CREATE FUNCTION sync_column() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'sov_sync_column';
COMMENT ON FUNCTION sync_column() IS 'keeps a column that is being converted equal to the old one';

-- What stands in the way of a conversion, and what to do about it.  indexable: the
-- new column will be searchable or plain.
CREATE FUNCTION column_obstacles(rel regclass, col name, indexable bool DEFAULT false, begun bool DEFAULT false)
	RETURNS TABLE (object text, remedy text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH RECURSIVE member(oid, is_root) AS (
		SELECT column_obstacles.rel::oid, true
		UNION ALL SELECT i.inhrelid, false FROM member m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid),
	tab AS (
		SELECT m.is_root, c.oid, c.relname, c.relkind, c.relispartition, c.relam, c.reloftype,
			a.attnum, a.attidentity, a.attgenerated, a.attinhcount, a.attcollation
		FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid
		JOIN pg_catalog.pg_attribute a ON a.attrelid = m.oid AND a.attname = col AND NOT a.attisdropped),
	carried AS (SELECT i.index FROM column_indexes(rel, col) i),
	dep AS (
		SELECT DISTINCT d.classid, d.objid, d.objsubid, d.deptype, tab.oid AS relid, tab.attnum,
			pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS described
		FROM tab JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass
			AND d.refobjid = tab.oid AND d.refobjsubid = tab.attnum)
	-- the table
	SELECT 'table ' || relname, 'only ordinary and partitioned tables are converted'
		FROM tab WHERE is_root AND relkind NOT IN ('r', 'p')
	UNION SELECT 'table ' || t.relname, 'it is a partition of ' || i.inhparent::regclass || ': convert that table'
		FROM tab t JOIN pg_catalog.pg_inherits i ON i.inhrelid = t.oid WHERE t.is_root AND t.relispartition
	UNION SELECT 'table ' || t.relname, 'it inherits the column or hands it down: end the inheritance (ALTER TABLE ... NO INHERIT) first'
		FROM tab t WHERE NOT t.relispartition AND (NOT t.is_root OR t.attinhcount > 0)
	UNION SELECT 'table ' || t.relname, 'it is of a type (OF): ALTER TABLE ... NOT OF first' FROM tab t WHERE t.reloftype <> 0
	UNION SELECT 'partition ' || t.relname, 'it is a foreign table: detach it, and convert it where it is' FROM tab t WHERE NOT t.is_root AND t.relkind = 'f'
	UNION SELECT 'table ' || t.relname, 'its access method is not heap: ALTER TABLE ... SET ACCESS METHOD heap first'
		FROM tab t JOIN pg_catalog.pg_am am ON am.oid = t.relam WHERE t.relkind = 'r' AND am.amname <> 'heap'
	UNION SELECT 'row security of table ' || t.relname, 'it hides rows from you: call the procedure as a superuser or a role with BYPASSRLS'
		FROM tab t WHERE pg_catalog.row_security_active(t.oid)
	UNION SELECT 'rule ' || r.rulename || ' on table ' || t.relname, 'it may rewrite the conversion''s statements: drop it before and create it again afterwards'
		FROM tab t JOIN pg_catalog.pg_rewrite r ON r.ev_class = t.oid AND r.ev_type <> '1'
	UNION SELECT 'publication ' || p.pubname, 'subscribers would get a column that they do not have: take the table out (ALTER PUBLICATION ... DROP TABLE), convert it on both sides, add it again'
		FROM pg_catalog.pg_publication p, pg_catalog.pg_get_publication_tables(p.pubname::text) g JOIN tab t ON t.oid = g.relid
	UNION SELECT 'trigger ' || g.tgname || ' on table ' || t.relname,
			CASE WHEN g.tgenabled = 'O' THEN 'it would fire for every row of the table: call the procedure as a superuser (or GRANT SET ON PARAMETER session_replication_role), or disable it meanwhile'
				ELSE 'it fires always, and so would for every row of the table: disable it meanwhile' END
		FROM tab t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgtype & 16 <> 0
		WHERE g.tgfoid NOT IN ('sync_column'::regproc, 'tie_subject'::regproc) AND g.tgparentid = 0
			AND (g.tgenabled IN ('A', 'R') OR g.tgenabled = 'O' AND NOT pg_catalog.has_parameter_privilege('session_replication_role', 'SET'))
	UNION SELECT 'trigger ' || g.tgname || ' on table ' || t.relname, 'its name sorts after that of the conversion''s own trigger, which must fire last: rename it'
		FROM tab t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgtype & 3 = 3 AND g.tgname > '~sov'
		WHERE g.tgfoid NOT IN ('sync_column'::regproc, 'tie_subject'::regproc) AND g.tgparentid = 0
	-- the column
	UNION SELECT 'identity', 'an encrypted column cannot be one: ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY first' FROM tab t WHERE t.attidentity <> ''
	UNION SELECT 'generated column', 'it would have to be computed from plaintext: ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION first' FROM tab t WHERE t.attgenerated <> ''
	UNION SELECT 'collation ' || c.collname, 'it is nondeterministic, which encrypted columns cannot be: change it first' FROM tab t
		JOIN pg_catalog.pg_collation c ON c.oid = t.attcollation WHERE NOT c.collisdeterministic
	UNION SELECT 'partition key of table ' || t.relname, 'the column is part of it: the table must be partitioned by another one'
		FROM tab t JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = t.oid
		WHERE t.attnum = ANY (p.partattrs::int2[]) OR p.partexprs IS NOT NULL AND pg_catalog.pg_get_partkeydef(t.oid) ~ ('\m' || pg_catalog.regexp_replace(col::text, '([^\w])', '\\\1', 'g') || '\M')
	UNION SELECT 'security label of provider ' || l.provider, 'remove it, and set it again afterwards' FROM tab t
		JOIN pg_catalog.pg_seclabel l ON l.classoid = 'pg_catalog.pg_class'::regclass AND l.objoid = t.oid AND l.objsubid = t.attnum
	-- what depends on it
	UNION SELECT d.described, CASE WHEN i.index IS NOT NULL THEN 'a column in random mode has nothing to index: encrypt with mode => ''searchable'', or drop the index'
			ELSE 'only a valid btree or hash index on the column alone, of the default class, neither clustered on nor replica identity, is carried over: drop it, and create one afterwards' END
		FROM dep d JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'I') AND NOT c.relispartition
		LEFT JOIN carried i ON i.index = c.oid
		WHERE (i.index IS NULL OR NOT indexable)
	UNION SELECT d.described, CASE c.contype
			WHEN 'p' THEN 'a primary key stays plain: move it to another column, and put a UNIQUE index on the searchable one'
			WHEN 'f' THEN 'drop it, convert the columns of both tables with mode => ''searchable'' and a unique blind index on the referenced one, and add it again'
			WHEN 'c' THEN 'drop it, and add it again afterwards (encrypted constants in it are sealed)'
			WHEN 'u' THEN CASE WHEN i.index IS NOT NULL THEN 'a column in random mode has nothing to be unique by: encrypt with mode => ''searchable'', or drop the constraint'
				ELSE 'only a constraint on the column alone that is not deferrable is carried over: drop it, and create a unique index afterwards' END
			ELSE 'drop it' END
		FROM dep d JOIN pg_catalog.pg_constraint c ON d.classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = d.objid AND c.contype <> 'n' AND c.conparentid = 0
		LEFT JOIN carried i ON i.index = c.conindid AND c.contype = 'u'
		WHERE i.index IS NULL OR NOT indexable
	UNION SELECT d.described, CASE d.classid
			WHEN 'pg_catalog.pg_rewrite'::regclass THEN 'drop the view (or rule) before, and create it again afterwards'
			WHEN 'pg_catalog.pg_trigger'::regclass THEN 'its column list or condition names the column: drop it before, and create it again afterwards'
			WHEN 'pg_catalog.pg_policy'::regclass THEN 'drop it before, and create it again afterwards'
			WHEN 'pg_catalog.pg_publication_rel'::regclass THEN 'its column list or row filter names the column: take the table out of the publication'
			WHEN 'pg_catalog.pg_statistic_ext'::regclass THEN 'drop it: extended statistics would keep values'
			WHEN 'pg_catalog.pg_proc'::regclass THEN 'its body names the column: drop it before, and create it again afterwards'
			WHEN 'pg_catalog.pg_class'::regclass THEN 'it belongs to the column: ALTER SEQUENCE ... OWNED BY NONE first'
			WHEN 'pg_catalog.pg_attrdef'::regclass THEN 'that column is generated from this one: drop it, as plaintext cannot be kept beside'
			ELSE 'it depends on the column: drop it before, and create it again afterwards' END
		FROM dep d LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid
		LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
		LEFT JOIN pg_catalog.pg_trigger g ON d.classid = 'pg_catalog.pg_trigger'::regclass AND g.oid = d.objid
		WHERE d.classid <> 'pg_catalog.pg_constraint'::regclass
			AND (c.oid IS NULL OR c.relkind NOT IN ('i', 'I') AND d.deptype <> 'i')
			AND (f.oid IS NULL OR f.adrelid <> d.relid OR f.adnum <> d.attnum)
			AND (g.oid IS NULL OR g.tgparentid = 0);
END;
COMMENT ON FUNCTION column_obstacles(regclass, name, bool, bool) IS 'what stands in the way of converting a column, and what to do about it';

CREATE PROCEDURE encrypt_column(rel regclass, col name, key text DEFAULT NULL, mode text DEFAULT 'random', batch int DEFAULT 10000, subject name DEFAULT NULL)
	LANGUAGE C AS 'MODULE_PATHNAME', 'sov_encrypt_column';
COMMENT ON PROCEDURE encrypt_column(regclass, name, text, text, int, name) IS 'encrypt an existing column, in batches that commit; called again it goes on. subject: the column that names the person to whom each value belongs, who can then be erased';
CREATE PROCEDURE decrypt_column(rel regclass, col name, batch int DEFAULT 10000)
	LANGUAGE C AS 'MODULE_PATHNAME', 'sov_decrypt_column';
COMMENT ON PROCEDURE decrypt_column(regclass, name, int) IS 'give an encrypted column its base type, in batches that commit; called again it goes on';
CREATE FUNCTION stop_column_job(rel regclass, col name, abandon bool DEFAULT false) RETURNS bool
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'sov_stop_column_job';
COMMENT ON FUNCTION stop_column_job(regclass, name, bool) IS 'stop a conversion or rotation after its batch; abandon: undo a conversion. False where there is none';

CREATE FUNCTION key_version_of("any") RETURNS int8
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_key_version_of';
COMMENT ON FUNCTION key_version_of("any") IS 'the key version of an encrypted value, which is not opened';
CREATE FUNCTION seal_anew(anyelement) RETURNS anyelement
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sov_seal_anew';
COMMENT ON FUNCTION seal_anew(anyelement) IS 'the same value under the current version of its key';

-- Columns that a key seals; in_place: an UPDATE reaches them.
CREATE FUNCTION key_columns(key_id int4)
	RETURNS TABLE (rel oid, attnum int2, in_place bool, described text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH RECURSIVE uses(type, typmod, array_of) AS (
		SELECT t.oid, NULL::int4, false FROM pg_catalog.pg_type t WHERE t.typname LIKE 'encrypted\_%' AND t.typtype = 'b' AND t.typelem = 0
			AND t.typnamespace = (SELECT x.extnamespace FROM pg_catalog.pg_extension x WHERE x.extname = 'pg_sovereign')
		UNION ALL SELECT t.oid, CASE WHEN t.typtype = 'd' AND u.typmod IS NULL THEN nullif(t.typtypmod, -1) ELSE u.typmod END, u.array_of OR t.typtype <> 'd'
			FROM uses u JOIN pg_catalog.pg_type t ON t.typbasetype = u.type AND t.typtype = 'd' OR t.typelem = u.type AND t.typcategory = 'A')
	SELECT c.oid, a.attnum, c.relkind IN ('r', 'p') AND NOT u.array_of, pg_catalog.format('%s.%I', c.oid::regclass, a.attname)
	FROM uses u JOIN pg_catalog.pg_attribute a ON a.atttypid = u.type AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
	WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)
		AND (coalesce(u.typmod, a.atttypmod) < 0 OR coalesce(u.typmod, a.atttypmod) >> 1 = key_columns.key_id);
END;
COMMENT ON FUNCTION key_columns(int4) IS 'columns whose values a key seals, or may: any key can be in a column without a modifier';

CREATE PROCEDURE rotate_key(key text, batch int DEFAULT 10000)
	LANGUAGE C AS 'MODULE_PATHNAME', 'sov_rotate_key';
REVOKE EXECUTE ON PROCEDURE rotate_key(text, int) FROM PUBLIC;
COMMENT ON PROCEDURE rotate_key(text, int) IS 'make a new version of a key the current one and seal all values anew, in batches that commit; called again it goes on';

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
