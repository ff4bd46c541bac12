--
-- Nothing is for PUBLIC but what makes encrypted columns transparent, and what a table's
-- owner does with his own columns: all that PUBLIC may use, from the catalog, against the
-- list below.
--
CREATE TABLE public_may (what text PRIMARY KEY, why text NOT NULL);
INSERT INTO public_may VALUES
	('function key_on_loan(bigint)', 'says of a version, whose number each value has, whether the server has it open: for the view keys, where somebody may select it'),
	('function native_row(record)', 'prints rows; opens nothing that the session may not open'),
	('function native_rows(anyarray)', 'the same for arrays of rows'),
	('function encrypted_int4_operand(bigint)', 'seals what the caller compares a column with'),
	('function sync_column()', 'a trigger of a table under conversion: a dump is restored by the owner of the table'),
	('procedure encrypt_column(regclass,name,text,text,integer,name)', 'refuses who does not own the table'),
	('procedure decrypt_column(regclass,name,integer)', 'refuses who does not own the table, or may not decrypt'),
	('function stop_column_job(regclass,name,boolean)', 'knows only jobs of tables that the user owns'),
	('view column_jobs', 'shows only jobs of tables that the user owns'),
	('view subject_columns', 'shows only columns of tables that the user owns'),
	('function column_obstacles(regclass,name,boolean,boolean)', 'reads, as the caller, system catalogs that PUBLIC reads'),
	('function column_indexes(regclass,name)', 'the same; for encrypt_column, which runs as the owner of the table'),
	('function column_estate(regclass,name)', 'the same'),
	('function key_version_of("any")', 'of a value that the caller has; for rotate_key, whose updates run as the owner of the table'),
	('function seal_anew(anyelement)', 'the same');

CREATE VIEW member AS SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sovereign');
-- Encrypted types and their arrays.
CREATE VIEW encrypted AS SELECT t.oid, t.typname FROM pg_type t JOIN pg_type e ON e.oid IN (t.oid, t.typelem)
	JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = e.oid WHERE e.typtype = 'b' AND e.typname LIKE 'encrypted\_%';
-- What the server calls for a type, cast, operator or operator class.
CREATE VIEW behind AS
	SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze, typsubscript])::oid AS oid FROM pg_type WHERE oid IN (SELECT oid FROM encrypted)
	UNION SELECT castfunc FROM pg_cast JOIN member m ON m.classid = 'pg_cast'::regclass AND m.objid = pg_cast.oid
	UNION SELECT unnest(ARRAY[oprcode, oprrest, oprjoin])::oid FROM pg_operator JOIN member m ON m.classid = 'pg_operator'::regclass AND m.objid = pg_operator.oid
	UNION SELECT amproc::oid FROM pg_amproc JOIN member m ON m.classid = 'pg_opfamily'::regclass AND m.objid = amprocfamily;
-- Transparent: with the rights of the caller, behind a type, or of an encrypted value that he has.
CREATE VIEW transparent AS
	SELECT p.oid FROM pg_proc p WHERE NOT p.prosecdef
		AND (p.oid IN (SELECT oid FROM behind)
			OR p.oid IN (SELECT f.prosupport FROM pg_proc f WHERE f.oid IN (SELECT oid FROM behind))
			OR p.provolatile <> 'v' AND p.proargtypes::oid[] && ARRAY(SELECT oid FROM encrypted)
			OR p.provolatile = 'i' AND p.prorettype IN (SELECT oid FROM encrypted));
-- All of the extension that PUBLIC has a right to, and which.
CREATE VIEW for_public AS
	SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.oid::regprocedure AS what, a.privilege_type AS privilege
		FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
		CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		WHERE a.grantee = 0 AND p.oid NOT IN (SELECT oid FROM transparent)
	UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'S' THEN 'sequence ' ELSE 'table ' END || c.oid::regclass, a.privilege_type
		FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid CROSS JOIN aclexplode(c.relacl) a WHERE a.grantee = 0
	UNION ALL SELECT 'column ' || c.oid::regclass || '.' || t.attname, a.privilege_type
		FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a WHERE a.grantee = 0
	UNION ALL SELECT 'schema ' || n.nspname, a.privilege_type
		FROM pg_namespace n JOIN member m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid CROSS JOIN aclexplode(n.nspacl) a WHERE a.grantee = 0
	-- (row types, and arrays of them, are of tables and views, whose rights count)
	UNION ALL SELECT 'type ' || t.typname, 'USAGE' FROM pg_type t JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
		WHERE t.typrelid = 0 AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typrelid <> 0) AND t.oid NOT IN (SELECT oid FROM encrypted)
	UNION ALL SELECT pg_describe_object(m.classid, m.objid, 0), 'unknown to this test' FROM member m WHERE m.classid <> ALL (ARRAY['pg_proc', 'pg_class', 'pg_namespace',
		'pg_type', 'pg_cast', 'pg_operator', 'pg_opclass', 'pg_opfamily', 'pg_event_trigger']::regclass[]);
-- it looks at all of them
SELECT count(*) FILTER (WHERE classid = 'pg_proc'::regclass) > 2000 AS functions, count(*) FILTER (WHERE classid = 'pg_class'::regclass) > 25 AS relations,
	(SELECT count(*) FROM encrypted) AS types FROM member;
-- not in the list: none
SELECT f.* FROM for_public f LEFT JOIN public_may m USING (what) WHERE m.what IS NULL OR privilege NOT IN ('EXECUTE', 'SELECT') ORDER BY f.what COLLATE "C";
-- in the list, and not so: none
SELECT m.what FROM public_may m LEFT JOIN for_public f USING (what) WHERE f.what IS NULL ORDER BY m.what COLLATE "C";
-- no role but the extension's own was given anything
SELECT DISTINCT a.grantee::regrole FROM pg_proc p JOIN member m ON m.objid = p.oid CROSS JOIN aclexplode(p.proacl) a WHERE a.grantee NOT IN (0, p.proowner)
UNION SELECT DISTINCT a.grantee::regrole FROM pg_class c JOIN member m ON m.objid = c.oid CROSS JOIN aclexplode(c.relacl) a WHERE a.grantee NOT IN (0, c.relowner) ORDER BY 1;

-- a grant would show here
BEGIN;
GRANT EXECUTE ON FUNCTION jobs_now() TO PUBLIC;
GRANT SELECT (name) ON key_version TO PUBLIC;
GRANT SELECT ON erasures TO PUBLIC;
GRANT INSERT ON column_jobs TO PUBLIC;
CREATE FUNCTION peeks() RETURNS bool LANGUAGE sql SECURITY DEFINER RETURN true; ALTER EXTENSION pg_sovereign ADD FUNCTION peeks();
SELECT f.* FROM for_public f LEFT JOIN public_may m USING (what) WHERE m.what IS NULL OR privilege NOT IN ('EXECUTE', 'SELECT') ORDER BY f.what COLLATE "C";
ROLLBACK;

-- what somebody sees of the jobs of another's columns
SET client_min_messages = warning;
SELECT create_key('jobs');
CREATE ROLE regress_mine; CREATE ROLE regress_other; CREATE ROLE regress_watch IN ROLE pg_monitor;
GRANT CREATE, USAGE ON SCHEMA public TO regress_mine, regress_other;
SET ROLE regress_mine;
CREATE TABLE mine (id int, c text);
INSERT INTO mine SELECT i, 'm' || i FROM generate_series(1, 10) i;
RESET ROLE;
-- (as a conversion that was stopped leaves it)
INSERT INTO column_job (rel, attnum, what, phase, rows_total) VALUES ('mine'::regclass, 2, 'encrypt', 'filling', 10);
SET ROLE regress_other;
SELECT * FROM column_jobs;
SELECT stop_column_job('mine', 'c'), stop_column_job('mine', 'c', abandon => true);
CALL encrypt_column('mine', 'c', 'jobs');
SELECT * FROM column_job;
INSERT INTO column_job_stop VALUES ('mine'::regclass, 2);
SELECT * FROM erasures;
SELECT * FROM key_columns(1);
SET ROLE regress_watch;
SELECT "table", "column", what, phase FROM column_jobs;
SELECT stop_column_job('mine', 'c');
SET ROLE regress_mine;
SELECT "table", "column", what, phase FROM column_jobs;
UPDATE column_job SET new_attnum = 1;
SELECT stop_column_job('mine', 'c', abandon => true);
CALL encrypt_column('mine', 'c', 'jobs');
SELECT count(*) FROM column_jobs;
SELECT c FROM mine WHERE id = 3;
RESET ROLE;

DROP TABLE mine, public_may CASCADE;
DROP VIEW for_public, transparent, behind, encrypted, member;
REVOKE ALL ON SCHEMA public FROM regress_mine, regress_other;
DROP ROLE regress_mine, regress_other, regress_watch;
