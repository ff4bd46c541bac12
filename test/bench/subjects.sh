#!/bin/bash
# Columns by person against one key per column: lookups by primary key, a scan that only
# reads, a scan that returns the rows, inserts; persons with one row each, and the scans
# also with 20 rows a person, which lie together or at random.  Prints medians and ratios; and
# for scans the ratio if a value by person cost nothing more than what its ciphers do, as
# bench/value measures them in the same run: the second one, with the person's key expanded
# already, and where the key is expanded for each value.
#   PERSONS (100000), RUNS (7)
. "$(dirname "$0")/common.sh"
persons=${PERSONS:-100000} runs=${RUNS:-7}
{ cluster; root_key; } >"$dir/sov.conf"
server data <<CONF
fsync = off
autovacuum = off
shared_buffers = 512MB
max_parallel_workers_per_gather = 0
jit = off
shared_preload_libraries = 'pg_sovereign'
sovereign.config_file = '$dir/sov.conf'
CONF
psql <<SQL 2>/dev/null
CREATE EXTENSION pg_sovereign; SELECT create_key('bench');
$cpu_function
CREATE TABLE one (id bigint PRIMARY KEY, patient bigint, name encrypted_text('bench'));
CREATE TABLE two (LIKE one INCLUDING ALL);
CALL encrypt_column('two', 'name', key => 'bench', subject => 'patient');
CREATE TABLE together (LIKE one INCLUDING ALL);
CALL encrypt_column('together', 'name', key => 'bench', subject => 'patient');
CREATE TABLE mixed (LIKE one INCLUDING ALL);
CALL encrypt_column('mixed', 'name', key => 'bench', subject => 'patient');
SQL

# Milliseconds of CPU of the backend for one statement: the mean of ten, after a first one.
ms() {
	psql -c '\o /dev/null' -c "$1" -c '\o' -c 'SELECT cpu()' -c '\o /dev/null' -c "$1" -c "$1" -c "$1" -c "$1" -c "$1" -c "$1" -c "$1" -c "$1" -c "$1" -c "$1" -c '\o' -c 'SELECT cpu()' |
		awk 'NR == 1 {a = $1} NR == 2 {print ($1 - a) * 100}'
}
once() { psql -c 'SELECT cpu()' -c "$1" -c 'SELECT cpu()' | awk 'NR == 1 {a = $1} NR == 2 {print ($1 - a) * 1000}'; }
# NAME UNIT A B
line() { awk -v n="$1" -v u="$2" -v a="$3" -v b="$4" 'BEGIN {printf "%-38s %10.3f %10.3f %s   ratio %.2f\n", n, a, b, u, b / a}'; }
for t in one two; do
	eval "insert_$t=$(once "INSERT INTO $t SELECT i, i, 'Martin Dupont ' || i FROM generate_series(1, $persons) i")"
	psql -c "VACUUM ANALYZE $t"
done
psql -c "INSERT INTO together SELECT i, i / 20, 'Martin Dupont ' || i FROM generate_series(1, $persons) i" \
	-c "INSERT INTO mixed SELECT i, (i * 7919::bigint) % ($persons / 20), 'Martin Dupont ' || i FROM generate_series(1, $persons) i"
for t in together mixed; do psql -c "VACUUM ANALYZE $t"; done
make -s -C "$here" build/bench/value
# Nanoseconds that a value of 16 bytes takes more: of a key that is expanded, and of one that is not.
read -r second expanded < <("$here/build/bench/value" | awk '
	/^random +16 bytes/ { gsub(",", ""); for (i = 1; i < NF; i++) if ($i == "open") open = $(i + 1) }
	/^a person.s 16 bytes/ { n[++k] = $5 }
	END { printf "%d %d\n", n[1] - open, n[2] - open }')
# MILLISECONDS OF ONE KEY
floor() {
	awk -v one="$1" -v n="$persons" -v a="$second" -v b="$expanded" 'BEGIN {
		printf "        (by the ciphers alone, %d ns a value more, or %d where its key is expanded: %.2f, %.2f)\n", a, b, 1 + n * a / 1e6 / one, 1 + n * b / 1e6 / one }'
}
# FUNCTION NAME UNIT [TABLE BY PERSON]
each() {
	local two=${4:-two}
	for t in one $two; do : >"$dir/m.$t"; done
	for _ in $(seq "$runs"); do for t in one $two; do $1 $t >>"$dir/m.$t"; done; done
	line "$2" "$3" "$(median <"$dir/m.one")" "$(median <"$dir/m.$two")"
}
scan() { ms "SELECT sum(length(name)) FROM $1"; }
fetch() { ms "SELECT id, name FROM $1"; }
lookup() {
	printf '\\set i random(1, %d)\nSELECT name FROM %s WHERE id = :i;\n' "$persons" "$1" >"$dir/$1.sql"
	as "$bin/pgbench" -h "$dir" -p "$port" -U postgres -n -M prepared -T 2 -f "$dir/$1.sql" postgres | sed -n 's/^latency average = \([0-9.]*\) ms/\1/p'
}
echo "$persons persons with one row each; medians of $runs, CPU of the backend (lookups: latency); $(nproc) processors"
printf '%-38s %10s %10s\n' '' 'one key' 'by person'
line "insert, new persons (once)" ms "$insert_one" "$insert_two"
each scan "scan, sum(length(name))" ms
each scan "the same, 20 rows a person together" ms together
each scan "the same, at random" ms mixed
floor "$(median <"$dir/m.one")"
each fetch "scan, rows to the client" ms
each fetch "the same, 20 rows a person together" ms together
each fetch "the same, at random" ms mixed
floor "$(median <"$dir/m.one")"
each lookup "lookup by primary key" ms
