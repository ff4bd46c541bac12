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
