----------------------------------------------------------------------
-- Providers
----------------------------------------------------------------------
CREATE OR REPLACE FUNCTION providers_now(OUT name text, OUT type text, OUT state text, OUT location text,
							  OUT owed_objects int8, OUT owed_bytes int8)
	RETURNS SETOF record LANGUAGE C VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'sov_providers';
COMMENT ON FUNCTION providers_now() IS 'what the view providers reads: configured providers, and what this host keeps for each; asks none';
REVOKE EXECUTE ON FUNCTION providers_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION providers_now() TO pg_monitor;

----------------------------------------------------------------------
-- Who runs the repository by SQL, and who may look at it (names that begin with pg_
-- are the server's own).  Roles are the cluster's:
-- made by the first database, never dropped with the extension.  (Who may make roles may have
-- made them before, with members of his choice: who those are is said.  A superuser
-- may do all of it anyway.)
----------------------------------------------------------------------
DO $$
DECLARE
	r text;
	members text;
BEGIN
	FOREACH r IN ARRAY ARRAY['sovereign_operator', 'sovereign_auditor'] LOOP
		IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = r) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
		END IF;
		SELECT pg_catalog.string_agg(m.rolname, ', ' ORDER BY m.rolname) INTO members FROM pg_catalog.pg_auth_members a
			JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member WHERE g.rolname = r AND NOT m.rolsuper;
		IF members IS NOT NULL THEN
			RAISE WARNING 'role % was there before this database had the extension; its members: %', r, members
				USING HINT = pg_catalog.format('REVOKE %I FROM ... whoever is not to have its rights here.', r);
		END IF;
	END LOOP;
END
$$;

-- Functions of the same name that others put beside the extension's own, for other types of
-- arguments, are called in their place where they fit better.
DO $$
DECLARE
	others text;
BEGIN
	SELECT CASE WHEN pg_catalog.bool_or(a.grantee = 0) THEN 'PUBLIC' ELSE pg_catalog.string_agg(DISTINCT r.rolname, ', ') END INTO others
		FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON NOT r.rolsuper AND r.rolname NOT LIKE 'pg\_%' AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')
		LEFT JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a ON a.privilege_type = 'CREATE'
		WHERE n.oid = '@extschema@'::regnamespace;
	IF others IS NOT NULL THEN
		RAISE WARNING 'others may create objects in schema %, where the extension is: %', '@extschema@', others
			USING HINT = 'What they put there can be called in the place of the extension''s functions, with the rights of whoever uses it. Create the extension in a schema of its own, in which only superusers may create.';
	END IF;
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

CREATE FUNCTION metrics() RETURNS text
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'sov_metrics';
COMMENT ON FUNCTION metrics() IS 'numbers for monitoring, as OpenMetrics: what the command metrics prints; asks no provider; NULL before the first command';

CREATE OR REPLACE VIEW providers AS
	SELECT n.name, n.type, coalesce(f.state, n.state) AS state, n.location, n.owed_objects, n.owed_bytes,
		f.proven AS last_proven, f.proven_shards, f.message, (r.facts ->> 'seen')::timestamptz AS seen, f.policy,
		(f.probe ->> 'time')::timestamptz AS probed, (f.probe ->> 'put_rate')::int8 AS put_rate,
		(f.probe ->> 'get_rate')::int8 AS get_rate, (f.probe ->> 'latency_ms')::float8 AS latency_ms
	FROM (SELECT repository_facts('providers') AS facts) r CROSS JOIN providers_now() n
	LEFT JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'providers')
		AS f(provider text, state text, proven timestamptz, proven_shards int8, message text, policy text, probe jsonb) ON f.provider = n.name;
COMMENT ON VIEW providers IS 'configured providers: state when a command last looked (seen), when their bytes were last proven, and what is owed to them; policy: satisfied, the rule that it breaks, or NULL where none asks; put_rate, get_rate: bytes a second, as provider probe measured them';

CREATE VIEW backups AS
	SELECT b.backup, nullif(b.label, '') AS label, b.started, b.finished, b.timeline, b.start_lsn, b.stop_lsn, b.files, b.bytes, b.stored, b.bad_pages, b.pg_version
	FROM (SELECT repository_facts('backups') AS facts) r
	CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'backups')
		AS b(backup text, label text, started timestamptz, finished timestamptz, timeline int8, start_lsn pg_lsn, stop_lsn pg_lsn,
			 files int8, bytes int8, stored int8, bad_pages int8, pg_version int4);
COMMENT ON VIEW backups IS 'backups of the repository, oldest first; bytes of the cluster, stored over all providers; pg_version: of the server that it needs (150014 is 15.14)';

CREATE VIEW wal_ranges AS
	SELECT w.cluster, w.former_cluster, w.timeline, w.from_backup, w.from_lsn, w.to_lsn, w.segment, w.marked
	FROM (SELECT repository_facts('wal') AS facts) r
	CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(r.facts -> 'wal')
		AS w(cluster int8, former_cluster bool, timeline int8, from_backup text, from_lsn pg_lsn, to_lsn pg_lsn, segment text, marked timestamptz);
COMMENT ON VIEW wal_ranges IS 'by cluster (its system identifier) and timeline: from which backup on, and up to where, WAL is stored without a gap (the newest mark); former_cluster: the repository goes on with another one since pg_upgrade';

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
REVOKE EXECUTE ON FUNCTION repository_facts(text), metrics(), jobs_now(), start_job(text, text[], bool), backup(text, int4, text, bool, bool), verify(bool, int4, bool),
	repair(bool, bool), prune(bool, bool), plan(bool), apply(bool), drill(text[], timestamptz, bool, bool), cancel_job(int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION repository_facts(text), metrics(), jobs_now() TO pg_monitor, sovereign_operator, sovereign_auditor;
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
COMMENT ON VIEW audit IS 'who opened what, and who changed what decides it, in all databases, as this host has it (seq NULL: not chained yet); quick with a condition such as time > now() - interval ''1 day'', else read from its beginning; opened: values since the session''s entry before for that key and purpose';
REVOKE ALL ON audit FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION audit_now(), audit_since(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_now(), audit_since(timestamptz) TO sovereign_auditor;
GRANT SELECT ON audit TO sovereign_auditor;

