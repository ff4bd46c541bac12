#!/bin/bash
# What keys on loan cost: a preloaded server against one whose sessions ask the custodian
# themselves, run in turn.  Prints medians: a session's first decryption (microseconds,
# with planning and catalogs), and backend CPU seconds of scans in the steady state.
#   ROWS (100000), RUNS (5), SESSIONS (50)
# Throwaway clusters of its own; the extension must be installed.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
rows=${ROWS:-100000} runs=${RUNS:-5} sessions=${SESSIONS:-50}
bindir=$(${PG_CONFIG:-pg_config} --bindir)
mkroot=${MKROOT:-$here/build/pg_sovereign key create-root}
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
	as() { runuser -u postgres -- "$@"; }
fi
dir=$(mktemp -d /tmp/sov_bench.XXXXXX)
stop() {
	for s in loan own; do
		[ -f "$dir/$s/postmaster.pid" ] && as "$bindir/pg_ctl" -D "$dir/$s" -m immediate -w stop >/dev/null 2>&1
	done
	rm -rf "$dir"
}
trap stop EXIT
chmod 755 "$dir"
$mkroot "$dir/root.key" >/dev/null
printf '[custody]\nroot = file:%s/root.key\n' "$dir" > "$dir/sov.conf"
[ "$(id -u)" = 0 ] && chown -R postgres "$dir"
cd "$dir"
psql() { local p=$1; shift; as "$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$dir" -p "$p" -U postgres -d postgres "$@"; }
for s in loan own; do
	if [ $s = loan ]; then port=54340 preload=pg_sovereign; else port=54341 preload=; fi
	as "$bindir/initdb" -D "$dir/$s" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
	cat >> "$dir/$s/postgresql.conf" <<CONF
port = $port
listen_addresses = ''
unix_socket_directories = '$dir'
shared_preload_libraries = '$preload'
fsync = off
autovacuum = off
shared_buffers = 256MB
max_parallel_workers_per_gather = 0
jit = off
sovereign.config_file = '$dir/sov.conf'
CONF
	as "$bindir/pg_ctl" -D "$dir/$s" -l "$dir/$s.log" -w start >/dev/null
	psql $port >/dev/null <<SQL
CREATE EXTENSION pg_sovereign;
SELECT create_key('bench');
CREATE FUNCTION cpu() RETURNS float8 LANGUAGE sql VOLATILE AS \$\$
	SELECT (f[14]::float8 + f[15]::float8) / 100
	FROM string_to_array(regexp_replace(pg_read_file('/proc/' || pg_backend_pid() || '/stat', 0, 1000), '\([^)]*\)', 'x'), ' ') f \$\$;
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
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
firsts() { for i in $(seq "$sessions"); do psql "$1" -c 'SELECT first()'; done | median; }
scan() { { printf "\\\\o /dev/null\nSELECT max(a), max(b) FROM t;\nSELECT cpu() AS before \\gset\n"; for i in 1 2 3 4 5 6 7 8 9 10; do echo "SELECT max(a), max(b) FROM t;"; done; printf "\\\\o\nSELECT cpu() - :before;\n"; } | psql "$1"; }

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
