#!/bin/bash
# Encrypted columns against plain ones and pgcrypto, all in one run: INSERT
# SELECT, COPY and a scan over four encrypted columns (max of each).  Prints
# medians of backend CPU seconds and the ratio to plain; and what of that ratio the cipher
# alone takes, four times a row, as measured in the same run by bench/value.
#   ROWS (1000000), RUNS (5), MODE (random; or searchable)
. "$(dirname "$0")/common.sh"
rows=${ROWS:-1000000} runs=${RUNS:-5} mode=${MODE:-random}
root_key >"$dir/sov.conf"
server data <<CONF
fsync = off
autovacuum = off
shared_buffers = 2GB
max_wal_size = 8GB
max_parallel_workers_per_gather = 0
jit = off
sovereign.config_file = '$dir/sov.conf'
CONF

psql >/dev/null <<SQL
CREATE EXTENSION pg_sovereign; CREATE EXTENSION pgcrypto;
SELECT create_key('bench');
$cpu_function
CREATE TABLE src AS SELECT i AS id, lpad((i::int8 * 7919 % 1000000007)::text, 15, '0') AS a, 'Martin-Durand-' || lpad((i % 999983)::text, 6, '0') AS b,
	date '1930-01-01' + i % 30000 AS c, 'C' || lpad((i % 9973)::text, 7, '0') AS d FROM generate_series(1, $rows) i;
CREATE TABLE plain (id int, a text, b text, c date, d text);
CREATE TABLE sealed (id int, a encrypted_text('bench', '$mode'), b encrypted_text('bench', '$mode'), c encrypted_date('bench', '$mode'), d encrypted_text('bench', '$mode'));
CREATE TABLE pgcrypto (id int, a bytea, b bytea, c bytea, d bytea);
CREATE TABLE staged (id int, a text, b text, c date, d text);
COPY src TO '$dir/rows';
-- searchable, for index, groups and joins; long texts
CREATE TABLE plain_s AS SELECT id, a, d FROM src;
CREATE TABLE sealed_s (id int, a encrypted_text('bench', 'searchable'), d encrypted_text('bench', 'searchable'));
INSERT INTO sealed_s SELECT * FROM plain_s;
CREATE TABLE plain_long AS SELECT i AS id, (SELECT string_agg('le patient ' || (i * 31 + j) % 9973 || ' presente une toux', ', ') FROM generate_series(1, 250) j) AS t FROM generate_series(1, $rows / 100) i;
ALTER TABLE plain_long ALTER t SET STORAGE extended;
CREATE TABLE sealed_long (id int, t encrypted_text('bench'));
INSERT INTO sealed_long SELECT * FROM plain_long;
VACUUM ANALYZE;
SQL

insert_plain="INSERT INTO plain SELECT * FROM src"
insert_sealed="INSERT INTO sealed SELECT * FROM src"
k="'0123456789abcdef0123456789abcdef'::bytea, 'aes-cbc'"
insert_pgcrypto="INSERT INTO pgcrypto SELECT id, encrypt(convert_to(a, 'UTF8'), $k), encrypt(convert_to(b, 'UTF8'), $k), encrypt(convert_to(c::text, 'UTF8'), $k), encrypt(convert_to(d, 'UTF8'), $k) FROM src"
copy_plain="COPY plain FROM '$dir/rows'"
copy_sealed="COPY sealed FROM '$dir/rows'"
# pgcrypto has no type: a COPY goes through a staging table
copy_pgcrypto="COPY staged FROM '$dir/rows'; ${insert_pgcrypto/FROM src/FROM staged}"
scan_plain="SELECT max(a), max(b), max(c), max(d) FROM plain"
scan_sealed="SELECT max(a), max(b), max(c), max(d) FROM sealed"
d() { printf "convert_from(decrypt(%s, %s), 'UTF8')" "$1" "$k"; }
scan_pgcrypto="SELECT max($(d a)), max($(d b)), max($(d c)::date), max($(d d)) FROM pgcrypto"
group_plain="SELECT count(*) FROM (SELECT d, count(*) FROM plain_s GROUP BY d) s"
group_sealed="SELECT count(*) FROM (SELECT d, count(*) FROM sealed_s GROUP BY d) s"
group_pgcrypto="SELECT count(*) FROM (SELECT $(d d), count(*) FROM pgcrypto GROUP BY 1) s"
order_plain="SELECT id FROM plain_s ORDER BY a OFFSET $rows"
order_sealed="SELECT id FROM sealed_s ORDER BY a OFFSET $rows"
order_pgcrypto="SELECT id FROM pgcrypto ORDER BY $(d a) OFFSET $rows"
join_plain="SELECT count(*) FROM plain_s x JOIN plain_s y USING (a)"
join_sealed="SELECT count(*) FROM sealed_s x JOIN sealed_s y USING (a)"
join_pgcrypto="SELECT count(*) FROM pgcrypto x JOIN pgcrypto y USING (a)"
index_plain="CREATE INDEX ON plain_s (a)"
index_sealed="CREATE INDEX ON sealed_s (a)"
index_pgcrypto="CREATE INDEX ON pgcrypto (a)"
long_plain="SELECT max(length(t)) FROM plain_long"
long_sealed="SELECT max(length(t)) FROM sealed_long"

# One measurement, CPU seconds of the statement.
measure() {
	local sql=$1 before=$2
	psql <<SQL | tail -1
$before
SELECT max(id) FROM src \g /dev/null
SELECT cpu() AS c0 \gset
\o /dev/null
$sql;
\o
SELECT round((cpu() - :c0)::numeric, 2);
SQL
}
# The ratio if an encrypted type cost nothing but its cipher.
make -s -C "$here" build/bench/value
floor() {
	"$here/build/bench/value" | awk -v what="$1" -v op="$2" -v plain="$3" -v rows="$rows" '
		/^cipher alone/ { gsub(",", ""); for (i = 1; i < NF; i++) if ($i == op) ns = $(i + 1) }
		END { printf "        (%s by the cipher alone, %d ns a value: %.2fx)\n", what, ns, 1 + 4 * rows * ns / 1e9 / plain }'
}

echo "$rows rows, 4 columns (text 15, text 20, date, text 8), mode $mode, median of $runs, backend CPU seconds (ratio to plain)"
echo "group, order, join, index: one searchable text column; long: $((rows / 100)) texts of 8 kB"
printf '%-8s%18s%18s%18s\n' "" plain encrypted pgcrypto
for what in insert copy scan group order join index long; do
	line=""
	base=""
	# the variants take turns, so that a busy neighbour hits them alike
	for v in plain sealed pgcrypto; do : > "$dir/m.$v"; done
	for ((r = 0; r < runs; r++)); do
		for v in plain sealed pgcrypto; do
			sql=${what}_$v
			if [ -z "${!sql:-}" ] || { [ $v = pgcrypto ] && [ $r -ge 3 ]; }; then continue; fi
			before=""
			case $what in insert | copy) before="TRUNCATE $v, staged; CHECKPOINT;" ;; esac
			measure "${!sql}" "SET work_mem = '256MB'; SET maintenance_work_mem = '256MB'; $before" >> "$dir/m.$v"
		done
	done
	for v in plain sealed pgcrypto; do
		if [ ! -s "$dir/m.$v" ]; then continue; fi
		m=$(median < "$dir/m.$v")
		[ -z "$base" ] && base=$m
		line="$line $(awk -v m="$m" -v b="$base" 'BEGIN {printf "%8.2f (%5.2fx)", m, m / (b > 0 ? b : 0.01)}')"
	done
	printf '%-8s%s\n' "$what" "$line"
	case $what in
		insert) floor "$what" seal "$base" ;;
		scan) floor "$what" open "$base" ;;
	esac
done
psql -c "VACUUM plain, sealed, pgcrypto"
psql <<SQL | awk -F'|' '{printf "%-8s %5d MB (%5.2fx) %5d MB (%5.2fx) %5d MB (%5.2fx)\n", "size", $1, 1, $2, $2/$1, $3, $3/$1}'
SELECT pg_table_size('plain') / 1000000, pg_table_size('sealed') / 1000000, pg_table_size('pgcrypto') / 1000000
SQL
psql <<SQL | awk -F'|' '{printf "%-8s %5.1f MB (%5.2fx) %5.1f MB (%5.2fx)\n", "longsize", $1, 1, $2, $2/$1}'
SELECT pg_table_size('plain_long') / 1e6, pg_table_size('sealed_long') / 1e6
SQL
# Point lookups through the index as a client sees them (pgbench, one connection), by
# literal and by prepared statements with parameters of both types; the tables take turns.
psql -c "VACUUM ANALYZE plain_s" -c "VACUUM ANALYZE sealed_s" >/dev/null
lookup() {	# table, kind of value: milliseconds
	local protocol=prepared value=":v::$2"
	[ "$2" != literal ] || { protocol=simple value="':v'"; }
	echo "SELECT * FROM $1 WHERE a = $value;" >"$dir/lookup.sql"
	as "$bin/pgbench" -n -h "$dir" -p "$port" -U postgres -M $protocol -D v=000000100001131 -T 2 -f "$dir/lookup.sql" postgres 2>/dev/null |
		awk '/latency average/ {print $4}'
}
for kind in literal text varchar; do
	for ((r = 0; r < runs; r++)); do
		for t in plain sealed; do lookup ${t}_s $kind >>"$dir/l.$t.$kind"; done
	done
	a=$(median <"$dir/l.plain.$kind") b=$(median <"$dir/l.sealed.$kind")
	printf '%-8s%7s ms ( 1.00x)%7s ms (%5sx)        (by %s)\n' lookup "$a" "$b" "$(awk "BEGIN {printf \"%.2f\", $b / $a}")" $kind
done
