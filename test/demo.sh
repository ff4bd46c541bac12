#!/bin/bash
# The main job, end to end, on a throwaway cluster with folder providers.
#
# Everything lies in one temporary directory; the cluster listens on a unix
# socket there and on nothing else.  ROWS: how many patients to invent.  KEEP=1
# keeps the directory.  NO_SETUP=1: built and installed already.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
rows=${ROWS:-1000000}
pg_config=${PG_CONFIG:-pg_config}
bin=$("$pg_config" --bindir)

if [ "$(id -u)" = 0 ]; then
	as() { runuser -u postgres -- "$@"; }
	owner=postgres
else
	as() { "$@"; }
	owner=$(id -un)
fi

# --- telling and comparing ---
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold= plain=; fi
failures=0
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*" | fold -s -w 78 | sed 's/^/  /'; }
show() { printf '  $ %s\n' "$*"; }
indent() { sed 's/^/    /'; }
same() {	# same WHAT EXPECTED FOUND
	if [ "$2" = "$3" ]; then
		printf '  [same]  %s: %s\n' "$1" "$2"
	else
		printf '  [DIFFERENT]  %s: expected %s, found %s\n' "$1" "$2" "$3"
		failures=$((failures + 1))
	fi
}
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
mb() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1e6 }'; }
bytes_in() { du -sb --apparent-size "$1" | cut -f1; }

# --- a place of its own ---
dir=$(mktemp -d /tmp/pg_sovereign_demo.XXXXXX)
chmod 755 "$dir"
cd "$dir"
writer= holder=
cleanup() {
	local status=$?
	[ -n "$writer" ] && kill "$writer" 2>/dev/null || true
	[ -n "$holder" ] && kill "$holder" 2>/dev/null || true
	for d in data data2; do
		[ -f "$dir/$d/postmaster.pid" ] && as "$bin/pg_ctl" -D "$dir/$d" -m immediate -w stop >/dev/null 2>&1 || true
	done
	if [ $status != 0 ]; then
		echo "--- end of the server's log"
		tail -n 30 "$dir"/server*.log 2>/dev/null || true
	fi
	if [ "${KEEP:-}" = 1 ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
}
trap cleanup EXIT

if [ "${NO_SETUP:-}" != 1 ]; then
	step "Build and install into PostgreSQL $("$pg_config" --version | grep -oE '[0-9.]+' | head -n 1)"
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	(cd "$here" && make -s all && $sudo make -s install) >"$dir/build.log" 2>&1 || { cat "$dir/build.log"; exit 1; }
	say "done; the command is $bin/pg_sovereign"
fi
cc -O2 -w -o generate_patients "$here/test/data/generate_patients.c"
./generate_patients "$rows" >patients.csv
cp "$here"/test/data/*.csv .
chown -R "$owner" "$dir"
port=$((20000 + RANDOM % 20000))
sov() { as "$bin/pg_sovereign" -c "$dir/pg_sovereign.conf" "$@"; }
sql() { as "$bin/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres "$@" postgres; }

provider() { printf '[provider.%s]\ntype = folder\npath = %s/provider-%s\n' "$1" "$dir" "$1"; }
configure() {	# providers...
	{
		printf '[cluster]\ndata-directory = %s/data\nconnection = host=%s port=%s user=postgres dbname=postgres\n' "$dir" "$dir" "$port"
		printf '[repository]\nname = demo\nneeded = 2\nshards = 3\nstate-directory = %s/state\n' "$dir"
		printf '[custody]\nroot = file:%s/root.key\n' "$dir"
		for p in "$@"; do provider "$p"; done
	} >pg_sovereign.conf.new
	chmod 644 pg_sovereign.conf.new
	mv pg_sovereign.conf.new pg_sovereign.conf
}
for p in paris gravelines frankfurt helsinki; do as mkdir -m 700 "provider-$p"; done
configure paris gravelines frankfurt

begun=$(now)
step "1. Columns are encrypted with a key that lies outside the cluster"
say "A root key is made (here a file; it wraps all other keys and is never written to the cluster or to a provider), and a throwaway cluster with the extension in a schema called sante."
show "pg_sovereign key create-root"
sov key create-root 2>/dev/null | indent
as "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
cat >>data/postgresql.conf <<CONF
port = $port
listen_addresses = ''
unix_socket_directories = '$dir'
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '$dir/pg_sovereign.conf'
max_wal_size = 2GB
work_mem = 4MB
maintenance_work_mem = 64MB
CONF
sov init >init.log
as "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w start >/dev/null
sql <<'SQL'
CREATE SCHEMA sante;
CREATE EXTENSION pg_sovereign SCHEMA sante;
SELECT sante.create_key('patients') IS NOT NULL AS key_created \gset
CREATE TABLE patient (
    id     bigint PRIMARY KEY,
    family sante.encrypted_text('patients'),
    given  sante.encrypted_text('patients'),
    sex    text,
    nir    sante.encrypted_text('patients', 'searchable'),
    birth  sante.encrypted_date('patients'),
    code   text,
    note   sante.encrypted_text('patients'));
CREATE TABLE visit (id bigserial PRIMARY KEY, patient bigint, at timestamptz DEFAULT clock_timestamp(), note sante.encrypted_text('patients'));
CREATE TABLE flchain (id int, age int, sex sante.encrypted_text('patients'), sample_yr int, kappa float8, lambda float8,
    flc_grp int, creatinine float8, mgus int, futime int, death int, chapter sante.encrypted_text('patients'));
CREATE TABLE rotterdam (pid int, year int, age int, meno int, size sante.encrypted_text('patients'), grade int, nodes int,
    pgr int, er int, hormon int, chemo int, rtime int, recur int, dtime int, death int);
SQL
say "Real study data (7,874 residents of Olmsted County, 2,982 patients of the Rotterdam tumour bank) and $rows invented patients go in by plain COPY and INSERT."
t=$(now)
sql -c "\\copy flchain from '$dir/flchain.csv' with (format csv, header)"
sql -c "\\copy rotterdam from '$dir/rotterdam.csv' with (format csv, header)"
sql -c "\\copy patient from '$dir/patients.csv' with (format csv)"
load_time=$(since "$t")
sql -c "CREATE UNIQUE INDEX patient_nir ON patient (nir)" -c "ANALYZE patient"
sql -c "INSERT INTO visit (patient, note) SELECT id, 'vu en consultation externe' FROM patient LIMIT 1000"
say "$rows patients loaded in $load_time s."
line=$(sed -n "$((rows / 2))p" patients.csv)
nir=$(echo "$line" | cut -d, -f5)
family=$(echo "$line" | cut -d, -f2)
show "SELECT family, given, birth, note FROM patient WHERE nir = '$nir'"
sql -c "SELECT family, given, birth, note FROM patient WHERE nir = '$nir'" | indent
same "family name found by national number" "$family" "$(sql -c "SELECT family FROM patient WHERE nir = '$nir'")"
plan=$(sql -c "EXPLAIN (COSTS OFF) SELECT family FROM patient WHERE nir = '$nir'")
echo "$plan" | cut -c 1-110 | indent
same "the plan uses the index" yes "$(grep -q 'Index.*Scan.*patient_nir' <<<"$plan" && echo yes || echo no)"
same "the plan shows no plaintext" yes "$(grep -q "$nir" <<<"$plan" && echo no || echo yes)"
same "cause-of-death chapters of the study" "$(tail -n +2 flchain.csv | grep -c Circulatory)" "$(sql -c "SELECT count(*) FROM flchain WHERE chapter = 'Circulatory'")"

say "Now every byte of the data directory (tables, indexes, WAL, temporary files) is searched for known plaintext. The same search is tried on the CSV file first: it must find something there."
# A session holds a sort that has spilled, so that there are temporary files.
mkfifo hold
sql <hold >/dev/null &
holder=$!
exec 9>hold
cat >&9 <<'SQL'
SET work_mem = '64kB';
BEGIN;
DECLARE c CURSOR FOR SELECT note FROM patient ORDER BY note;
FETCH 1 FROM c \g /dev/null
SQL
for _ in $(seq 600); do [ -n "$(as find data/base/pgsql_tmp -type f -size +0 2>/dev/null)" ] && break; sleep 0.1; done
sql -c "CHECKPOINT"
same "there are temporary files to search" yes "$([ -n "$(as find data/base/pgsql_tmp -type f -size +0 2>/dev/null)" ] && echo yes || echo no)"
for word in "$nir" "$family" "suivi psychiatrique" "metformine" "consultation externe" "Circulatory"; do
	in_csv=no
	grep -qaF -- "$word" patients.csv flchain.csv && in_csv=yes
	[ "$word" = "consultation externe" ] || same "\"$word\" is in the CSV files" yes "$in_csv"
	same "files of the data directory with \"$word\"" 0 "$(as grep -raFl -- "$word" data | wc -l || true)"
done
exec 9>&-
wait "$holder"
holder=

step "2. A backup over three providers, any two of which restore everything"
say "Three folders stand for three hosters. Writes go on during the backup."
show "pg_sovereign check"
sov check --timeout 120 | indent
(while :; do
	sql -c "INSERT INTO visit (patient, note) VALUES (1, 'ecrit pendant la sauvegarde')" || true
	sleep 0.02
done) >/dev/null 2>&1 &
writer=$!
before=$(sql -c "SELECT count(*) FROM visit")
show "pg_sovereign backup"
t=$(now)
sov backup --label demo | indent
backup_time=$(since "$t")
kill $writer
wait $writer 2>/dev/null || true
writer=
same "rows were written during the backup" yes "$([ "$(sql -c "SELECT count(*) FROM visit")" -gt "$before" ] && echo yes || echo no)"
backup_stored=$(for p in paris gravelines frankfurt; do bytes_in "provider-$p/p"; bytes_in "provider-$p/m"; done | awk '{ s += $1 } END { print s }')
plain_copy=$(as tar -C data --exclude=pg_wal -cf - . 2>/dev/null | zstd -q -1 | wc -c)

fingerprint="SELECT count(*), sum(hashtextextended(family::text || given::text || nir::text || birth::text || note::text, 0)) FROM patient"
visits="SELECT count(*), sum(hashtextextended(id || note::text, 0)) FROM visit"
studies="SELECT (SELECT count(*) || ' ' || sum(hashtextextended(sex::text || coalesce(chapter::text, ''), 0)) FROM flchain), (SELECT count(*) || ' ' || sum(hashtextextended(size::text, 0)) FROM rotterdam)"
sql -c "UPDATE patient SET note = 'mis a jour apres la sauvegarde' WHERE id % 1000 = 0"
want_patients=$(sql -c "$fingerprint")
want_visits=$(sql -c "$visits")
want_studies=$(sql -c "$studies")
sleep 1.1
target=$(sql -c "SELECT clock_timestamp()")
sleep 1.1
sql -c "DELETE FROM patient WHERE id <= $((rows / 10))" -c "INSERT INTO visit (patient, note) VALUES (1, 'a perdre')"
sql -c "SELECT pg_switch_wal()" >/dev/null
sql -c "INSERT INTO visit (patient, note) VALUES (1, 'a perdre')"
sql -c "SELECT pg_switch_wal()" >/dev/null
wait_archived() {	# until the archiver has nothing left to do
	for _ in $(seq 1200); do
		[ "$(sql -c "SELECT count(*) FROM pg_ls_dir('pg_wal/archive_status') f WHERE f LIKE '%.ready'")" = 0 ] && return
		sleep 0.1
	done
	echo "WAL was not archived in time" >&2
	return 1
}
wait_archived

step "3. Disaster: a provider and the whole data directory are gone"
say "After the target time $target a tenth of the patients was deleted by mistake. Then the provider gravelines and the server's disk vanish."
as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
rm -rf data provider-gravelines
show "pg_sovereign restore -D data --target-time '$target'"
t=$(now)
sov restore -D "$dir/data" --target-time "$target" 2>&1 | indent
as "$bin/pg_ctl" -D "$dir/data" -l "$dir/server2.log" -w -t 300 start >/dev/null
for i in $(seq 1200); do [ "$(sql -c "SELECT pg_is_in_recovery()")" = f ] && break; sleep 0.1; done
restore_time=$(since "$t")
say "restored, recovered and open again in $restore_time s"
same "patients (count, checksum)" "$want_patients" "$(sql -c "$fingerprint")"
same "visits (count, checksum)" "$want_visits" "$(sql -c "$visits")"
same "study data (counts, checksums)" "$want_studies" "$(sql -c "$studies")"
same "writes after the target" 0 "$(sql -c "SELECT count(*) FROM visit WHERE note::text = 'a perdre'")"

step "4. Leaving a provider is an edit of the configuration"
say "In pg_sovereign.conf the section gravelines becomes helsinki, an empty folder."
configure paris helsinki frankfurt
show "pg_sovereign plan"
sov plan 2>&1 | indent
show "pg_sovereign apply"
t=$(now)
sov apply 2>&1 | indent
apply_time=$(since "$t")
sql -c "INSERT INTO visit (patient, note) VALUES (2, 'apres le changement')"
want_visits=$(sql -c "$visits")
sql -c "SELECT pg_switch_wal()" >/dev/null
wait_archived
verify=$(sov verify --deep 2>&1) && ok=yes || ok=no
echo "$verify" | indent
same "verify --deep finds everything whole" yes "$ok"
after=$(for p in paris helsinki frankfurt; do printf '%s %s\n' "$p" "$(bytes_in "provider-$p")"; done)
say "Then paris, one of the first three, vanishes as well, with the server."
as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
rm -rf data provider-paris
show "pg_sovereign restore -D data2"
t=$(now)
sov restore -D "$dir/data2" 2>&1 | indent
as "$bin/pg_ctl" -D "$dir/data2" -l "$dir/server3.log" -w -t 300 start >/dev/null
for i in $(seq 1200); do [ "$(sql -c "SELECT pg_is_in_recovery()")" = f ] && break; sleep 0.1; done
second_time=$(since "$t")
same "patients (count, checksum)" "$want_patients" "$(sql -c "$fingerprint")"
same "visits (count, checksum)" "$want_visits" "$(sql -c "$visits")"
same "study data (counts, checksums)" "$want_studies" "$(sql -c "$studies")"

step "5. Summary"
total=$(awk '{ s += $2 } END { print s }' <<<"$after")
row() { printf '  %-44s %s\n' "$1" "$2"; }
row "patients, encrypted columns each" "$rows, 5"
row "load by COPY" "$load_time s"
row "backup, with writes going on" "$backup_time s"
row "restore to a second, two providers left" "$restore_time s"
row "moving to a new provider" "$apply_time s"
row "restore from the new and one old provider" "$second_time s"
row "one plain compressed copy (tar, zstd -1, no WAL)" "$(mb "$plain_copy") MB"
row "the backup, stored over the three providers" "$(mb "$backup_stored") MB, $(awk -v a="$backup_stored" -v b="$plain_copy" 'BEGIN { printf "%.2f", a / b }') of that"
while read -r p b; do row "stored at $p, WAL included" "$(mb "$b") MB"; done <<<"$after"
row "stored in all, WAL included" "$(mb "$total") MB"
row "may still be lost" "with three providers any one; with two, as now, none: add one and apply"
row "whole demo" "$(since "$begun") s"
echo
if [ "$failures" = 0 ]; then
	echo "demo passed"
else
	echo "demo failed: $failures comparisons differ"
	exit 1
fi
