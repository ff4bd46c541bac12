#!/bin/bash
# What keys on loan cost: a preloaded server against one whose sessions ask the custodian
# themselves, run in turn.  Prints medians: a session's first decryption (microseconds,
# with planning and catalogs), and backend CPU seconds of scans in the steady state.
#   ROWS (100000), RUNS (5), SESSIONS (50)
. "$(dirname "$0")/common.sh"
rows=${ROWS:-100000} runs=${RUNS:-5} sessions=${SESSIONS:-50}
root_key >"$dir/sov.conf"
for s in loan own; do
	if [ $s = loan ]; then port=54340 preload=pg_sovereign; else port=54341 preload=; fi
	server $s <<CONF
shared_preload_libraries = '$preload'
fsync = off
autovacuum = off
shared_buffers = 256MB
max_parallel_workers_per_gather = 0
jit = off
sovereign.config_file = '$dir/sov.conf'
CONF
	psql >/dev/null <<SQL
CREATE EXTENSION pg_sovereign;
SELECT create_key('bench');
$cpu_function
CREATE TABLE t (id int PRIMARY KEY, a encrypted_text('bench'), b encrypted_text('bench'));
INSERT INTO t SELECT i, lpad(i::text, 15, '0'), 'Martin-Durand-' || i FROM generate_series(1, $rows) i;
CREATE FUNCTION first() RETURNS float8 LANGUAGE plpgsql AS \$\$
DECLARE
	began timestamptz;
	got text;
BEGIN
	SELECT id::text INTO got FROM t WHERE id = 2;
	began := clock_timestamp();
	SELECT a::text INTO got FROM t WHERE id = 1;
	RETURN extract(epoch FROM clock_timestamp() - began) * 1e6;
END \$\$;
VACUUM ANALYZE;
SELECT first();
SQL
done
firsts() { for i in $(seq "$sessions"); do port=$1 psql -c 'SELECT first()'; done | median; }
scan() { { printf "\\\\o /dev/null\nSELECT max(a), max(b) FROM t;\nSELECT cpu() AS before \\gset\n"; for i in 1 2 3 4 5 6 7 8 9 10; do echo "SELECT max(a), max(b) FROM t;"; done; printf "\\\\o\nSELECT cpu() - :before;\n"; } | port=$1 psql; }

printf "%-40s %10s %10s %8s\n" "" "on loan" own ratio
for what in firsts scan; do
	for r in $(seq "$runs"); do
		if [ $((r % 2)) = 0 ]; then $what 54340 >> "$dir/$what.loan"; fi
		$what 54341 >> "$dir/$what.own"
		if [ $((r % 2)) = 1 ]; then $what 54340 >> "$dir/$what.loan"; fi
	done
	a=$(median < "$dir/$what.loan") b=$(median < "$dir/$what.own")
	name="10 scans of $rows rows, 2 columns, CPU s"
	[ $what = firsts ] && name="first decryption of a session, us"
	printf "%-40s %10.3f %10.3f %8.3f\n" "$name" "$a" "$b" "$(echo "$a / $b" | bc -l)"
done
