----------------------------------------------------------------------
-- Definitions that would betray plaintext or not work
----------------------------------------------------------------------
CREATE OR REPLACE FUNCTION check_ddl() RETURNS event_trigger
	LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'sov_check_ddl';
CREATE EVENT TRIGGER pg_sovereign_check_ddl ON ddl_command_end EXECUTE FUNCTION check_ddl();
COMMENT ON FUNCTION check_ddl() IS 'of the event trigger';
REVOKE EXECUTE ON FUNCTION check_ddl() FROM PUBLIC;
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

-- The library alone writes them, for whoever owns the table (job.c).
REVOKE ALL ON column_job, column_job_stop FROM PUBLIC;

CREATE VIEW column_jobs WITH (security_barrier = true) AS
	SELECT j.rel::regclass AS "table", a.attname AS "column", j.what, j.phase, j.rows_done, j.rows_total, j.started, j.updated,
		CASE WHEN s.pid IS NOT NULL THEN j.pid END AS pid
	FROM column_job j
	JOIN pg_catalog.pg_attribute a ON a.attrelid = j.rel AND a.attnum = j.attnum AND NOT a.attisdropped
	LEFT JOIN (SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
		WHERE l.locktype = 'object' AND l.classid = 'column_job'::regclass) s ON s.pid = j.pid
	JOIN pg_catalog.pg_class c ON c.oid = j.rel
	WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW column_jobs IS 'conversions and rotations of columns under way, or stopped (without pid), of tables that the user owns; members of pg_monitor see all';
-- A table's owner converts its columns, and shows nobody else how far that is.
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
-- options, and its indexes their names and constraints.
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
		JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = i.index AND d.objsubid = 0
	UNION ALL SELECT 7, pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE USING INDEX %I', i.on_table, i.name, i.name)
		FROM column_indexes(rel, col) i JOIN pg_catalog.pg_class x ON x.oid = i.index AND x.relkind = 'i'
		JOIN pg_catalog.pg_constraint k ON k.conindid = i.index AND k.contype = 'u';
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
			WHEN 'p' THEN 'drop it, encrypt with mode => ''searchable'', and add it again afterwards'
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
COMMENT ON FUNCTION stop_column_job(regclass, name, bool) IS 'stop a conversion, or the rotation that the column is in, after its batch; abandon: undo a conversion. False where there is none';

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
REVOKE EXECUTE ON FUNCTION key_columns(int4) FROM PUBLIC;

CREATE PROCEDURE rotate_key(key text, batch int DEFAULT 10000)
	LANGUAGE C AS 'MODULE_PATHNAME', 'sov_rotate_key';
REVOKE EXECUTE ON PROCEDURE rotate_key(text, int) FROM PUBLIC;
COMMENT ON PROCEDURE rotate_key(text, int) IS 'make a new version of a key the current one and seal all values anew, in batches that commit; called again it goes on';

