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
COMMENT ON SEQUENCE subject_groups IS 'how many groups of persons were made: the lower 24 bits of their numbers; those above are random, so that databases which were one once number new groups apart';
CREATE TABLE subject_room (
	grp int8 PRIMARY KEY,
	used int4 NOT NULL,
	made_by int8 NOT NULL
);
COMMENT ON TABLE subject_room IS 'groups with places for new persons; made_by: of this database, server and timeline; a row whose xmax is set was taken by a transaction that was rolled back, and is not used again; not in dumps, which would lose that mark; a database that was loaded from a dump or copied begins new groups';
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
SELECT pg_catalog.pg_extension_config_dump('subject', '');
SELECT pg_catalog.pg_extension_config_dump('erasure', '');
-- Changes of keys, grants, rules and persons are on record; what the library itself writes for
-- each new person is not (audit_change.c).
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['key_domain', 'key_version', 'key_grant', 'key_purpose', 'key_glass', 'key_glass_role', 'two_person_rule', 'two_person_request',
		'erasure', 'subject_epoch', 'subject_next', 'subject_group', 'subject_room', 'subject'] LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.%I FOR EACH ROW EXECUTE FUNCTION @extschema@.audit_change()', t);
		EXECUTE pg_catalog.format('CREATE TRIGGER audit_all AFTER TRUNCATE ON @extschema@.%I FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.audit_change()', t);
		EXECUTE pg_catalog.format('ALTER TABLE @extschema@.%I ENABLE ALWAYS TRIGGER audit, ENABLE ALWAYS TRIGGER audit_all', t);
	END LOOP;
END
$$;

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

-- Columns whose values are tied to persons: a table's owner asks for his own.
CREATE VIEW subject_columns WITH (security_barrier = true) AS
	SELECT g.tgrelid::regclass AS rel, a.attname AS col, pg_catalog.convert_from(pg_catalog.decode(p.args[2], 'hex'), pg_catalog.getdatabaseencoding()) AS subject, a.atttypmod >> 1 AS key_id, g.tgname AS trigger,
		g.tgenabled IN ('O', 'A') AS enabled
	FROM pg_catalog.pg_trigger g
	-- each with its NUL, a column's name may hold \000
	CROSS JOIN LATERAL (SELECT pg_catalog.string_to_array(pg_catalog.regexp_replace(pg_catalog.encode(g.tgargs, 'hex'), '..', '\& ', 'g'), '00 ') AS args) p
	JOIN pg_catalog.pg_attribute a ON a.attrelid = g.tgrelid AND NOT a.attisdropped
		AND a.attname = pg_catalog.convert_from(pg_catalog.decode(p.args[1], 'hex'), pg_catalog.getdatabaseencoding())
	JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
	WHERE g.tgfoid = 'tie_subject'::regproc AND NOT g.tgisinternal AND g.tgparentid = 0
		AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') OR EXISTS (SELECT FROM pg_catalog.pg_roles r
			WHERE r.rolname IN ('pg_monitor', 'sovereign_operator', 'sovereign_auditor') AND pg_catalog.pg_has_role(r.oid, 'USAGE')));
COMMENT ON VIEW subject_columns IS 'columns whose values are sealed per person, and the column that names the person, of tables that the user owns; members of pg_monitor, sovereign_operator and sovereign_auditor see all';
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
	PERFORM setval('@extschema@.subject_groups', (SELECT greatest(max(grp & 16777215), 1) FROM @extschema@.subject_group));
	PERFORM @extschema@.subjects_changed();
END
$fn$;
COMMENT ON FUNCTION load_subjects(jsonb) IS 'put the current keys of persons, as the repository has them, into a database that was restored';
REVOKE EXECUTE ON FUNCTION tie_subject(), subject_tag(int4, text), erase_places(int8, int4[]), subjects_changed(), run_subjects(bool), own_transaction(text),
	erase_persons(text, text[]), subject_state(), load_subjects(jsonb) FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE shred_subject(text, text[]), shred_key(text), finish_erasures() FROM PUBLIC;

