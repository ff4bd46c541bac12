#!/bin/bash
# Run sql/*.sql against a throwaway cluster of its own: an unprivileged user, a
# directory under /tmp, a unix socket only.  The extension must be installed
# (make install).  Arguments: names of tests (default: all of sql/).
# MKROOT is the command that makes a root key file.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
bindir=$(${PG_CONFIG:-pg_config} --bindir)
regress=$(${PG_CONFIG:-pg_config} --pgxs | sed 's,makefiles/pgxs.mk,test/regress/pg_regress,')
mkroot=${MKROOT:-$here/build/pg_sovereign key create-root}

as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
	as() { runuser -u postgres -- "$@"; }
fi

dir=$(mktemp -d /tmp/sov_regress.XXXXXX)
stop() {
	[ -f "$dir/data/postmaster.pid" ] && as "$bindir/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
	rm -rf "$dir"
}
trap stop EXIT

mkdir "$dir/in" "$dir/out" "$dir/results"
cp -r "$here/sql" "$here/expected" "$dir/in/"
$mkroot "$dir/root.key" >/dev/null
$mkroot "$dir/other.key" >/dev/null
cat > "$dir/sov.conf" <<CONF
[custody]
root = file:$dir/root.key
[cluster]
connection = host=$dir port=54321 user=postgres dbname=postgres
CONF
if [ "$(id -u)" = 0 ]; then
	chown -R postgres "$dir"
fi
chmod 755 "$dir"
cd "$dir"
as "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
cat >> "$dir/data/postgresql.conf" <<CONF
port = 54321
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
sovereign.config_file = '$dir/sov.conf'
CONF
as "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null || { cat "$dir/log" >&2; exit 1; }

if [ $# -gt 0 ]; then tests=$*; else tests=$(cd "$here/sql" && ls *.sql | sed 's/\.sql$//'); fi
export SOV_TEST_DIR=$dir PATH=$bindir:$PATH
status=0
as env SOV_TEST_DIR="$dir" PATH="$PATH" "$regress" --bindir="$bindir" --inputdir="$dir/in" --outputdir="$dir/out" \
	--host="$dir" --port=54321 --user=postgres --load-extension=pg_sovereign $tests || status=$?
if [ $status != 0 ] && [ -f "$dir/out/regression.diffs" ]; then
	cat "$dir/out/regression.diffs"
fi
# For a developer: RESULTS=directory keeps what the tests printed.
[ -n "${RESULTS:-}" ] && cp -r "$dir/out/results/." "$RESULTS/"
exit $status
