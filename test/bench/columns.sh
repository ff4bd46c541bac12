#!/bin/bash
# Encrypted columns against plain ones and pgcrypto, all in one run: INSERT
# SELECT, COPY and a scan over four encrypted columns (max of each).  Prints
# medians of backend CPU seconds and the ratio to plain.
#   ROWS (1000000), RUNS (5), MODE (random; or searchable)
# A throwaway cluster of its own; the extension must be installed.
# MKROOT is the command that makes a root key file.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
rows=${ROWS:-1000000} runs=${RUNS:-5} mode=${MODE:-random}
bindir=$(${PG_CONFIG:-pg_config} --bindir)
mkroot=${MKROOT:-$here/build/pg_sovereign key create-root}
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
	as() { runuser -u postgres -- "$@"; }
fi
dir=$(mktemp -d /tmp/sov_bench.XXXXXX)
stop() {
	[ -f "$dir/data/postmaster.pid" ] && as "$bindir/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
	rm -rf "$dir"
}
trap stop EXIT
$mkroot "$dir/root.key" >/dev/null
printf '[custody]\nroot = file:%s/root.key\n' "$dir" > "$dir/sov.conf"
if [ "$(id -u)" = 0 ]; then
	chown -R postgres "$dir"
fi
cd "$dir"
as "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
cat >> "$dir/data/postgresql.conf" <<CONF
port = 54321
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
autovacuum = off
shared_buffers = 512MB
max_wal_size = 8GB
max_parallel_workers_per_gather = 0
jit = off
sovereign.config_file = '$dir/sov.conf'
CONF
as "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null
psql() { as "$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$dir" -p 54321 -U postgres "$@"; }

# CPU seconds (user and system) of the backend so far.
psql -d postgres >/dev/null <<SQL
CREATE EXTENSION pg_sovereign; CREATE EXTENSION pgcrypto;
SELECT create_key('bench');
CREATE FUNCTION cpu() RETURNS float8 LANGUAGE sql VOLATILE AS \$\$
	SELECT (f[14]::float8 + f[15]::float8) / 100
	FROM string_to_array(regexp_replace(pg_read_file('/proc/' || pg_backend_pid() || '/stat', 0, 1000), '\([^)]*\)', 'x'), ' ') f \$\$;
CREATE TABLE src AS SELECT i AS id, lpad((i::int8 * 7919 % 1000000007)::text, 15, '0') AS a, 'Martin-Durand-' || lpad((i % 999983)::text, 6, '0') AS b,
	(date '1930-01-01' + i % 30000)::text AS c, 'C' || lpad((i % 9973)::text, 7, '0') AS d FROM generate_series(1, $rows) i;
CREATE TABLE plain (id int, a text, b text, c text, d text);
CREATE TABLE sealed (id int, a encrypted_text('bench', '$mode'), b encrypted_text('bench', '$mode'), c encrypted_text('bench', '$mode'), d encrypted_text('bench', '$mode'));
CREATE TABLE pgcrypto (id int, a bytea, b bytea, c bytea, d bytea);
CREATE TABLE staged (id int, a text, b text, c text, d text);
COPY src TO '$dir/rows';
VACUUM ANALYZE src;
SQL

insert_plain="INSERT INTO plain SELECT * FROM src"
insert_sealed="INSERT INTO sealed SELECT * FROM src"
k="'0123456789abcdef0123456789abcdef'::bytea, 'aes-cbc'"
insert_pgcrypto="INSERT INTO pgcrypto SELECT id, encrypt(convert_to(a, 'UTF8'), $k), encrypt(convert_to(b, 'UTF8'), $k), encrypt(convert_to(c, 'UTF8'), $k), encrypt(convert_to(d, 'UTF8'), $k) FROM src"
copy_plain="COPY plain FROM '$dir/rows'"
copy_sealed="COPY sealed FROM '$dir/rows'"
# pgcrypto has no type: a COPY goes through a staging table
copy_pgcrypto="COPY staged FROM '$dir/rows'; ${insert_pgcrypto/FROM src/FROM staged}"
scan_plain="SELECT max(a), max(b), max(c), max(d) FROM plain"
scan_sealed="SELECT max(a), max(b), max(c), max(d) FROM sealed"
d() { printf "max(convert_from(decrypt(%s, %s), 'UTF8'))" "$1" "$k"; }
scan_pgcrypto="SELECT $(d a), $(d b), $(d c), $(d d) FROM pgcrypto"

# One measurement, CPU seconds of the statement.
measure() {
	local sql=$1 before=$2
	psql -d postgres <<SQL | tail -1
$before
SELECT max(id) FROM src \g /dev/null
SELECT cpu() AS c0 \gset
\o /dev/null
$sql;
\o
SELECT round((cpu() - :c0)::numeric, 2);
SQL
}
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

echo "$rows rows, 4 columns, mode $mode, median of $runs, backend CPU seconds (ratio to plain)"
printf '%-8s%18s%18s%18s\n' "" plain encrypted_text pgcrypto
for what in insert copy scan; do
	line=""
	base=""
	# the variants take turns, so that a busy neighbour hits them alike
	for v in plain sealed pgcrypto; do : > "$dir/m.$v"; done
	for ((r = 0; r < runs; r++)); do
		for v in plain sealed pgcrypto; do
			if [ $v = pgcrypto ] && [ $r -ge 3 ]; then continue; fi
			sql=${what}_$v
			before="TRUNCATE $v, staged; CHECKPOINT;"
			[ $what = scan ] && before=""
			measure "${!sql}" "$before" >> "$dir/m.$v"
		done
	done
	for v in plain sealed pgcrypto; do
		m=$(median < "$dir/m.$v")
		[ -z "$base" ] && base=$m
		line="$line $(awk -v m="$m" -v b="$base" 'BEGIN {printf "%8.2f (%5.2fx)", m, m / (b > 0 ? b : 0.01)}')"
	done
	printf '%-8s%s\n' "$what" "$line"
done
psql -d postgres -c "VACUUM plain, sealed, pgcrypto"
psql -d postgres <<SQL | awk -F'|' '{printf "%-8s %5d MB (%5.2fx) %5d MB (%5.2fx) %5d MB (%5.2fx)\n", "size", $1, 1, $2, $2/$1, $3, $3/$1}'
SELECT pg_table_size('plain') / 1000000, pg_table_size('sealed') / 1000000, pg_table_size('pgcrypto') / 1000000
SQL
# a point lookup through the index on the equality tag
psql -d postgres >/dev/null <<SQL
CREATE TABLE look (id int, a encrypted_text('bench', 'searchable'));
INSERT INTO look SELECT id, a FROM src;
CREATE INDEX ON look (a encrypted_text_blind_ops);
CREATE INDEX ON plain (a);
VACUUM ANALYZE look; VACUUM ANALYZE plain;
SQL
lookup() {
	for ((i = 1; i <= 200; i++)); do
		printf "EXPLAIN (ANALYZE, SUMMARY) SELECT * FROM %s WHERE a = '%015d';\n" "$1" $((i * 7919 * 31 % 1000000007))
	done | psql -d postgres | awk '/Planning Time/ {p=$3} /Execution Time/ {print p + $3}' | median
}
printf '%-8s %8s ms        %8s ms\n' lookup "$(lookup plain)" "$(lookup look)"
