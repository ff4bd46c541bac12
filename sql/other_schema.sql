--
-- Any schema, any search_path, other preloaded libraries, DROP EXTENSION
--
CREATE DATABASE regress_other;
ALTER DATABASE regress_other SET session_preload_libraries = 'auto_explain';
\c regress_other
CREATE SCHEMA "Très Privé";
CREATE ROLE regress_early; GRANT sovereign_operator TO regress_early;
CREATE EXTENSION pg_sovereign SCHEMA "Très Privé";
REVOKE sovereign_operator FROM regress_early;
-- who may put functions beside its own is told
DROP EXTENSION pg_sovereign; GRANT CREATE ON SCHEMA "Très Privé" TO regress_early;
CREATE EXTENSION pg_sovereign SCHEMA "Très Privé";
REVOKE CREATE ON SCHEMA "Très Privé" FROM regress_early; DROP ROLE regress_early;
SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database());
SELECT "Très Privé".create_key('k');
CREATE TABLE t (id int, a "Très Privé".encrypted_text('k', 'searchable'));
CREATE INDEX ON t (a "Très Privé".encrypted_text_blind_ops);
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 1000) i;
ANALYZE t;
\c -
SHOW session_preload_libraries;
SELECT a FROM t WHERE a = 'v7';
SET search_path = '';
SELECT a FROM public.t WHERE a = 'v7'::text;
-- a plan in one spelling for all versions of the server
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT replace(replace(line, '(InitPlan 1).col1', '$0'), ' (returns $0)', '');
	END LOOP;
END $$;
SELECT * FROM pg_temp.plan($$SELECT 1 FROM public.t WHERE a = (SELECT 'v7'::text)$$) AS plan;
RESET search_path;
CREATE INDEX ON t (a);
ALTER EXTENSION pg_sovereign SET SCHEMA public;
ALTER SCHEMA "Très Privé" RENAME TO sealed;
SELECT a FROM t WHERE a = 'v8';
\d t
DROP EXTENSION pg_sovereign;
DROP TABLE t;
DROP EXTENSION pg_sovereign;
SELECT 1 AS still_works;
-- created again: other keys
CREATE EXTENSION pg_sovereign SCHEMA sealed;
SELECT sealed.create_key('k');
SELECT 'x'::sealed.encrypted_text('k');
\c postgres
DROP DATABASE regress_other;
