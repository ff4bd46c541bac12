--
-- Operations that take two persons
--
\set VERBOSITY terse
CREATE ROLE regress_dpo; CREATE ROLE regress_paul LOGIN IN ROLE regress_dpo; CREATE ROLE regress_dba SUPERUSER LOGIN; CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_both SUPERUSER LOGIN IN ROLE regress_dpo;
SELECT create_key('two'), create_key('spare');
CREATE TABLE ward (id int, name encrypted_text('two'));
INSERT INTO ward VALUES (1, 'Anna');
-- without a rule nothing changes
SELECT grant_decrypt('two', 'regress_dba');
SELECT request_approval('grant', 'two', 'regress_reader');
SELECT require_approval('grant', 'regress_dpo'), require_approval('destroy', 'regress_dpo'), require_approval('export', 'regress_dpo');
SELECT require_approval('sing', 'regress_dpo');
\c - regress_dba
\set VERBOSITY default
SELECT grant_decrypt('two', 'regress_reader');
\set VERBOSITY terse
-- past the functions too
INSERT INTO key_grant SELECT key_id, 'two', 'regress_reader' FROM key_version WHERE name = 'two';
UPDATE key_grant SET role = 'regress_reader' WHERE key = 'two';
DELETE FROM key_grant WHERE key = 'two';
TRUNCATE key_grant;
INSERT INTO key_glass SELECT key_id, 'two', 'regress_dba', 'none', now(), now() + interval '1 day', 'regress_dba'::regrole FROM key_version WHERE name = 'two';
DELETE FROM key_domain;
UPDATE key_domain SET commitment = wrapped;
UPDATE key_domain SET custodian = custodian, wrapped = wrapped;
TRUNCATE key_domain;
DELETE FROM key_version WHERE purpose <> 10;
INSERT INTO key_version SELECT 'harmless', key_id, 4711, purpose, false, false, wrapped, commitment FROM key_version WHERE name = 'two';
TRUNCATE two_person_rule;
DELETE FROM two_person_rule WHERE operation = 'grant';
SELECT waive_approval('grant');
SELECT require_approval('grant', 'regress_dba');
-- what is agreed to for one key is not for another, and rights stay with their key
INSERT INTO key_grant SELECT key_id, 'spare', 'regress_reader' FROM key_version WHERE name = 'two';
INSERT INTO key_grant VALUES (4711, 'none', 'regress_reader');
UPDATE key_version SET key_id = key_id + 1000 WHERE name = 'two';
UPDATE key_version SET purpose = 11 WHERE name = 'spare';
UPDATE key_grant SET key_id = 4711 WHERE key = 'two';
UPDATE key_version SET current = false WHERE name = 'spare'; DELETE FROM key_version WHERE name = 'spare'; UPDATE key_version SET current = true WHERE name = 'spare';
UPDATE key_version SET wrapped = '' WHERE name = 'spare';
BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM key_grant WHERE key = 'two'; ROLLBACK;
SET session_replication_role = replica; DELETE FROM key_grant WHERE key = 'two'; RESET session_replication_role;
SELECT allow_purpose('two', 'care');
SELECT allow_break_glass('two', 'regress_reader');
-- nor an approval or an access that is written by hand, by whoever logged in as this one
INSERT INTO two_person_request (operation, key, detail, requested_by, requested_oid, approved, decided_by, decided)
	SELECT 'grant', 'two', 'to regress_reader', 'regress_dba', 'regress_dba'::regrole, true, 'regress_paul', clock_timestamp();
INSERT INTO two_person_request (operation, key, detail, requested_by, requested_oid) SELECT 'grant', 'two', 'to regress_reader', 'regress_paul', 'regress_paul'::regrole;
INSERT INTO two_person_request (operation, key, detail, requested_by, requested_oid, used, used_by)
	SELECT 'grant', 'two', 'to regress_reader', 'regress_dba', 'regress_dba'::regrole, clock_timestamp(), pg_current_xact_id();
BEGIN;
INSERT INTO two_person_request (operation, key, detail, requested_by, requested_oid) SELECT 'grant', 'two', 'to regress_reader', 'regress_dba', 'regress_dba'::regrole;
SAVEPOINT s;
UPDATE two_person_request SET approved = true, decided_by = 'regress_paul', decided = clock_timestamp();
ROLLBACK TO s;
UPDATE two_person_request SET approved = true, decided_by = 'regress_dba', decided = clock_timestamp();
ROLLBACK TO s;
UPDATE two_person_request SET used = clock_timestamp(), used_by = pg_current_xact_id();
ROLLBACK;
INSERT INTO key_glass SELECT key_id, 'two', 'regress_dba', 'because', now(), 'infinity', 'regress_dba'::regrole FROM key_version WHERE name = 'two';
SET session_replication_role = replica;
INSERT INTO key_glass SELECT key_id, 'two', 'regress_dba', 'because', now(), now() + '1 minute', 'regress_dba'::regrole FROM key_version WHERE name = 'two';
RESET session_replication_role;
DELETE FROM key_version WHERE name = 'spare';
SELECT drop_key('spare');
\set VERBOSITY sqlstate
CALL decrypt_column('ward', 'name');
\set VERBOSITY terse
-- less is always allowed
SELECT require_purpose('two'), strict_audit('two'), revoke_decrypt('two', 'regress_dba');
SELECT require_purpose('two', false);
SELECT strict_audit('two', 'nobody');
SELECT request_approval('grant', 'two', 'to regress_reader') AS request \gset
SELECT grant_decrypt('two', 'regress_reader');
-- who asks does not agree, nor who is not named, superuser or not
SELECT approve(:request);
\c - regress_reader
SELECT approve(:request);
\c - regress_both
\set VERBOSITY terse
SELECT request_approval('grant', 'two', 'to regress_both') AS own \gset
SELECT approve(:own);
SET SESSION AUTHORIZATION regress_paul;
SELECT approve(:own);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION postgres; ALTER ROLE regress_both RENAME TO regress_renamed; SELECT approve(:own); ALTER ROLE regress_renamed RENAME TO regress_both; RESET SESSION AUTHORIZATION;
\c - regress_paul
\set VERBOSITY terse
SELECT operation, key, detail, requested_by, state FROM approvals ORDER BY request;
SELECT approve(:request);
SELECT approve(:request);
SELECT refuse(:own);
SELECT approve(12345);
-- for another's sake, another key, another role it is no approval
\c - regress_both
\set VERBOSITY terse
SELECT grant_decrypt('two', 'regress_reader');
SELECT grant_decrypt('two', 'regress_both');
\c - regress_dba
\set VERBOSITY terse
SELECT grant_decrypt('spare', 'regress_reader');
SELECT grant_decrypt('two', 'regress_dba');
BEGIN; SELECT grant_decrypt('two', 'regress_reader'); ROLLBACK;
SELECT grant_decrypt('two', 'regress_reader');
SELECT revoke_decrypt('two', 'regress_reader');
SELECT grant_decrypt('two', 'regress_reader');
SELECT granted_to FROM keys WHERE name = 'two';
-- one that is a day old does no more
SELECT request_approval('destroy', 'spare') AS request \gset
\c - regress_paul
SELECT approve(:request);
\c - regress_dba
\set VERBOSITY terse
ALTER TABLE two_person_request DISABLE TRIGGER guard;
UPDATE two_person_request SET decided = decided - interval '25 hours' WHERE request = :request;
ALTER TABLE two_person_request ENABLE ALWAYS TRIGGER guard;
SELECT state FROM approvals WHERE request = :request;
SELECT drop_key('spare');
ALTER TABLE two_person_request DISABLE TRIGGER guard;
UPDATE two_person_request SET decided = decided + interval '25 hours' WHERE request = :request;
ALTER TABLE two_person_request ENABLE ALWAYS TRIGGER guard;
SELECT drop_key('spare');
SELECT erase_persons('two', NULL);
-- to decrypt a column
SELECT request_approval('export', 'two', format('public.ward.name (%s)', 'ward'::regclass::oid)) AS request \gset
SELECT request_approval('grant', 'two', 'to regress_dba') AS other \gset
\c - regress_paul
SELECT regexp_replace(approve(:request), '\(\d+\)', '(OID)'), approve(:other);
\c - regress_dba
\set VERBOSITY terse
SELECT grant_decrypt('two', 'regress_dba'); SET sovereign.purpose = 'move';
SELECT strict_audit('two', 'nobody');
SELECT request_approval('grant', 'two', 'strict only for nobody') AS request \gset
\c - regress_paul
SELECT approve(:request);
\c - regress_dba
\set VERBOSITY terse
SET sovereign.purpose = 'move';
SELECT strict_audit('two', 'nobody');
CALL decrypt_column('ward', 'name');
SELECT * FROM ward;
SELECT operation, regexp_replace(detail, '\(\d+\)', '(OID)') AS detail, state FROM approvals ORDER BY request;
-- the rules themselves
SELECT request_approval(o, '*', 'no rule') FROM unnest(ARRAY['grant', 'destroy', 'export']) o;
\c - regress_paul
SELECT approve(request) FROM approvals WHERE detail = 'no rule' ORDER BY request;
\c - regress_dba
SELECT waive_approval(o) FROM unnest(ARRAY['grant', 'destroy', 'export']) o;
SELECT drop_key('two');
-- break-glass is for where sessions are on record (the cluster tests), and not for everybody
SELECT create_key('glass'), allow_break_glass('glass', 'regress_reader', '2 hours');
SELECT allow_break_glass('glass', 'regress_reader', '8 days');
SELECT break_glass_by FROM keys WHERE name = 'glass';
SELECT break_glass('glass', 'fire');
\c - regress_paul
SELECT break_glass('glass', 'fire');
\c - postgres
SELECT forbid_break_glass('glass', 'regress_reader'), drop_key('glass');
DROP TABLE ward;
DROP ROLE regress_dpo, regress_paul, regress_dba, regress_reader, regress_both;
