-- A database of version 0.1.0: keys, columns of all modes, every kind of index, and
-- objects that depend on those of the extension.
CREATE SCHEMA sov;
CREATE EXTENSION pg_sovereign SCHEMA sov;
SELECT sov.create_key('ward');
SELECT sov.create_key('staff');
CREATE ROLE clerk;
GRANT SELECT ON sov.keys TO clerk;
GRANT EXECUTE ON FUNCTION sov.create_key(text) TO clerk;

CREATE TABLE patient (
	id int PRIMARY KEY,
	nir sov.encrypted_text('ward', 'searchable'),
	name sov.encrypted_text('ward', 'searchable') CHECK (name <> 'nobody'),
	note sov.encrypted_text('staff') DEFAULT 'none',
	history sov.encrypted_text('ward', 'searchable'),
	free sov.encrypted_text
);
INSERT INTO patient
	SELECT i, 'nir ' || i, 'name ' || i % 10, 'note ' || i, repeat('history ', 300) || i, CASE WHEN i % 3 > 0 THEN 'free ' || i END
	FROM generate_series(1, 40) i;
CREATE UNIQUE INDEX patient_nir ON patient (nir sov.encrypted_text_blind_ops);
CREATE INDEX patient_name ON patient USING hash (name);

CREATE VIEW found AS SELECT id, note FROM patient WHERE nir = 'nir 7';
CREATE VIEW casts AS SELECT id, nir::text AS t, name::varchar(20) AS v, note::json AS j, upper(history) AS u FROM patient;
CREATE VIEW key_names AS SELECT name, version, current, is_default, created FROM sov.keys;
CREATE VIEW provider_states AS SELECT name, state, debt_objects FROM sov.providers;
CREATE FUNCTION nir_of(int) RETURNS text LANGUAGE sql STABLE RETURN (SELECT nir FROM patient WHERE id = $1);
CREATE TABLE by_nir (nir sov.encrypted_text('ward', 'searchable') REFERENCES patient (nir));
INSERT INTO by_nir SELECT 'nir 7';
