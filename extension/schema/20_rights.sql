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
	ELSIF TG_TABLE_NAME = 'key_version' AND TG_OP = 'INSERT' THEN
		-- who approves is told a key by the name that a row with its number has
		IF EXISTS (SELECT FROM @extschema@.key_version v WHERE v.key_id = (n ->> 'key_id')::int4 AND v.purpose = 10 AND v.name <> n ->> 'name') THEN
			RAISE check_violation USING MESSAGE = format('key_id %s is not that of key "%s"', n ->> 'key_id', n ->> 'name');
		END IF;
		RETURN NEW;
	ELSIF TG_TABLE_NAME = 'key_glass' AND (
		-- what break_glass() does for who was named for it, and what ends an access, needs none
		TG_OP = 'INSERT' AND n ->> 'username' = @extschema@.authenticated_user() AND (n ->> 'opened')::timestamptz <= clock_timestamp()
			AND (n ->> 'userid')::oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = n ->> 'username')
			AND EXISTS (SELECT FROM @extschema@.key_glass_role r WHERE r.key_id = (n ->> 'key_id')::int4 AND @extschema@.authenticated_member(r.role)
				AND (n ->> 'until')::timestamptz <= clock_timestamp() + r.longest)
		OR TG_OP = 'UPDATE' AND o - 'until' = n - 'until' AND (n ->> 'until')::timestamptz <= (o ->> 'until')::timestamptz)
	THEN
		RETURN NEW;
	END IF;
	-- what is left is counted below: one after the other, and as it is now.  (Everybody can take
	-- an advisory lock, and so keep others from taking rights back.)
	PERFORM FROM @extschema@.two_person_rule ORDER BY operation FOR UPDATE;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE invalid_transaction_state USING MESSAGE = 'where two persons must agree, keys and rights are changed in transactions that are READ COMMITTED';
	END IF;
	IF TG_TABLE_NAME = 'two_person_rule' THEN
		PERFORM @extschema@.need_approval(o ->> 'operation', '*', CASE TG_OP WHEN 'DELETE' THEN 'no rule' ELSE 'approved by ' || (n ->> 'approvers') END);
	ELSIF TG_TABLE_NAME = 'key_domain' THEN
		-- (a custodian's new root key wraps it anew: UPDATE of wrapped, root_id, custodian)
		IF TG_OP = 'DELETE' OR o ->> 'id' <> n ->> 'id' OR o ->> 'commitment' <> n ->> 'commitment' THEN
			PERFORM @extschema@.need_approval('destroy', '*', 'the key of the database');
		END IF;
	ELSIF TG_TABLE_NAME = 'key_version' THEN
		IF TG_OP = 'DELETE' THEN
			PERFORM @extschema@.need_approval('destroy', coalesce(nullif(o ->> 'name', ''), '*'), CASE (o ->> 'purpose')::int WHEN 10 THEN '' ELSE 'the key of equality tags' END);
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
	ELSIF TG_TABLE_NAME = 'key_glass' THEN
		IF n IS NOT NULL THEN
			PERFORM @extschema@.need_approval('grant', coalesce(n_key, n ->> 'key'), format('break-glass by %s', n ->> 'username'));
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
-- A request that somebody agreed to: who asks, who agrees and who uses it up is who logged in.
CREATE FUNCTION guard_request() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
	login name := @extschema@.authenticated_user();
	login_oid oid := (SELECT oid FROM pg_roles WHERE rolname = login);
	decision text[] := ARRAY['approved', 'decided_by', 'decided'];
	uses text[] := ARRAY['used', 'used_by'];
	good bool;
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.two_person_rule) THEN
		RETURN NEW;
	ELSIF TG_OP = 'INSERT' THEN
		good := NEW.requested_oid = login_oid AND NEW.requested_by = login AND num_nonnulls(NEW.approved, NEW.decided_by, NEW.decided, NEW.used, NEW.used_by) = 0;
	ELSIF OLD.approved IS NULL THEN
		good := to_jsonb(NEW) - decision = to_jsonb(OLD) - decision AND OLD.requested_oid <> login_oid AND NEW.decided_by = login
			AND NEW.decided <= clock_timestamp() AND EXISTS (SELECT FROM @extschema@.two_person_rule r
				WHERE r.operation = OLD.operation AND @extschema@.authenticated_member(r.approvers));
	ELSE
		good := to_jsonb(NEW) - uses = to_jsonb(OLD) - uses AND OLD.approved AND OLD.used IS NULL AND NEW.used IS NOT NULL
			AND OLD.requested_oid = login_oid AND NEW.used_by = pg_current_xact_id();
	END IF;
	IF good IS NOT TRUE THEN
		RAISE insufficient_privilege USING MESSAGE = 'requests are made, decided and used up by those who log in, and by the functions alone',
			HINT = 'SELECT @extschema@.request_approval(operation, key, detail), @extschema@.approve(request) or @extschema@.refuse(request)';
	END IF;
	RETURN NEW;
END
$fn$;
COMMENT ON FUNCTION guard_request() IS 'keeps the two-person rule for changes of the table of requests, by whatever means';

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
	require_approval(text, regrole), waive_approval(text), guard_change(), guard_request(), guard_truncate() FROM PUBLIC;
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['key_domain', 'key_version', 'key_grant', 'key_purpose', 'key_glass', 'key_glass_role', 'two_person_rule'] LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER guard BEFORE %s ON @extschema@.%I FOR EACH ROW EXECUTE FUNCTION @extschema@.guard_change()',
			CASE WHEN t IN ('key_domain', 'two_person_rule') THEN 'UPDATE OR DELETE' ELSE 'INSERT OR UPDATE OR DELETE' END, t);
		EXECUTE pg_catalog.format('CREATE TRIGGER guard_all BEFORE TRUNCATE ON @extschema@.%I FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.guard_truncate()', t);
		EXECUTE pg_catalog.format('ALTER TABLE @extschema@.%I ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_all', t);
	END LOOP;
END
$$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON two_person_request FOR EACH ROW EXECUTE FUNCTION guard_request();
ALTER TABLE two_person_request ENABLE ALWAYS TRIGGER guard;

-- Changes of keys, grants and rules, by whatever means, are on record.
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'sov_audit_change';
COMMENT ON FUNCTION audit_change() IS 'puts a change of the tables of keys, persons, grants and rules on record';
-- Its triggers are made in 30_persons.sql, when all of these tables are there.

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

