#!/bin/bash
# What the audit of sessions costs: a preloaded server whose configuration has an audit
# log against one whose configuration has none, run in turn.  Prints medians of backend
# CPU seconds and their ratio: a scan, point lookups of one session (each a transaction,
# with the default key and with a strict one, which waits for the disk: elapsed time),
# and sessions that make one lookup each (CPU of the whole server).
#   ROWS (100000), RUNS (5), LOOKUPS (20000), SESSIONS (200)
#   BINDIR2: programs of another installation, for the server without a log
#   ORDER ("with without"): which server is made first.  It has been seen to scan slower
#   by up to a half on a busy machine, whichever it was: run it both ways.
. "$(dirname "$0")/common.sh"
rows=${ROWS:-100000} runs=${RUNS:-5} lookups=${LOOKUPS:-20000} sessions=${SESSIONS:-200}
root_key >"$dir/without.conf"
{ cat "$dir/without.conf"; printf '[audit]\ndirectory = %s/audit\n' "$dir"; } >"$dir/with.conf"
statements() { seq "$1" | awk '{ printf "EXECUTE q('"'C%07d'"');\n", $1 % 9973 }'; }
statements "$lookups" > "$dir/lookups"
statements 1000 > "$dir/few"
for s in ${ORDER:-with without}; do
	if [ $s = with ]; then port=54340 programs=$bin; else port=54341 programs=${BINDIR2:-$bin}; fi
	bin=$programs server $s <<CONF
shared_preload_libraries = 'pg_sovereign'
fsync = off
autovacuum = off
shared_buffers = 256MB
max_parallel_workers_per_gather = 0
jit = off
sovereign.config_file = '$dir/$s.conf'
CONF
	psql >/dev/null <<SQL
CREATE EXTENSION pg_sovereign;
SELECT create_key('bench'), create_key('strict');
$cpu_function
CREATE TABLE t (id int, a encrypted_text('bench'), b encrypted_text('bench'), d encrypted_text('bench', 'searchable'));
INSERT INTO t SELECT i, lpad(i::text, 15, '0'), 'Martin-Durand-' || i, 'C' || lpad((i % 9973)::text, 7, '0') FROM generate_series(1, $rows) i;
CREATE TABLE u (id int, d encrypted_text('strict', 'searchable'));
INSERT INTO u SELECT i, 'C' || lpad(i::text, 7, '0') FROM generate_series(1, 9973) i;
CREATE INDEX ON t (d);
CREATE INDEX ON u (d);
VACUUM ANALYZE;
SQL
done
port=54340 psql -c "SELECT strict_audit('strict')" >/dev/null

scan() { { printf "\\\\o /dev/null\nSELECT max(a), max(b), max(d) FROM t;\nSELECT cpu() AS before \\gset\n"; for i in 1 2 3 4 5 6 7 8 9 10; do echo "SELECT max(a), max(b), max(d) FROM t;"; done; printf "\\\\o\nSELECT cpu() - :before;\n"; } | port=$1 psql; }
lookups() { { printf "PREPARE q(text) AS SELECT id, d::text FROM t WHERE d = \$1 LIMIT 1;\nSELECT cpu() AS before \\gset\n\\o /dev/null\n"; cat "$dir/lookups"; printf "\\o\nSELECT cpu() - :before;\n"; } | port=$1 psql; }
strict() { { printf "PREPARE q(text) AS SELECT id, d::text FROM u WHERE d = \$1 LIMIT 1;\nSELECT clock_timestamp() AS before \\gset\n\\o /dev/null\n"; cat "$dir/few"; printf "\\o\nSELECT extract(epoch FROM clock_timestamp() - :'before');\n"; } | port=$1 psql; }
# of the postmaster's ended children, and of the audit worker
server_cpu() { local s=with pm; [ "$1" = 54341 ] && s=without; pm=$(head -1 "$dir/$s/postmaster.pid")
	cat "/proc/$pm/stat" $(for c in $(cat "/proc/$pm/task/$pm/children"); do grep -l 'pg_sovereign audit' "/proc/$c/cmdline" 2>/dev/null | sed 's/cmdline/stat/'; done) |
		sed 's/([^)]*)/x/' | awk 'NR == 1 { s = $16 + $17 } NR > 1 { s += $14 + $15 } END { print s / 100 }'; }
connects() { local a b; a=$(server_cpu "$1"); for i in $(seq "$sessions"); do port=$1 psql -c "SELECT id, d::text FROM t WHERE d = 'C0000077' LIMIT 1" >/dev/null; done
	b=$(server_cpu "$1"); echo "$b - $a" | bc; }

printf "%-34s %10s %10s %8s\n" "" with without ratio
for what in scan lookups connects strict; do
	for r in $(seq "$runs"); do
		if [ $((r % 2)) = 0 ]; then $what 54340 >> "$dir/$what.with"; fi
		$what 54341 >> "$dir/$what.without"
		if [ $((r % 2)) = 1 ]; then $what 54340 >> "$dir/$what.with"; fi
	done
	a=$(median < "$dir/$what.with") b=$(median < "$dir/$what.without")
	case $what in
		scan) name="10 scans of $rows rows, 3 columns" ;;
		lookups) name="$lookups point lookups" ;;
		connects) name="$sessions sessions of one lookup" ;;
		strict) name="1000 lookups, strict (elapsed)" ;;
	esac
	printf "%-34s %10.3f %10.3f %8.3f\n" "$name" "$a" "$b" "$(echo "$a / $b" | bc -l)"
done
