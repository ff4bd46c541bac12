# What the benchmarks begin with, sourced: throwaway servers in a directory of their own,
# reached by a socket there alone.  The extension must be installed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$("${PG_CONFIG:-pg_config}" --bindir)
port=54321

# as COMMAND ...: as a user that may run a server.
owner=$(id -un)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
	owner=postgres
	as() { runuser -u "$owner" -- "$@"; }
fi

dir=$(mktemp -d "${under:-${TMPDIR:-/tmp}}/sov_bench.XXXXXX")
[ "$(id -u)" != 0 ] || chown "$owner" "$dir"
chmod 755 "$dir"
leave() {
	local f pid
	for f in "$dir"/*/postmaster.pid; do
		[ ! -f "$f" ] || as "$bin/pg_ctl" -D "${f%/*}" -m immediate -w stop >/dev/null 2>&1 || true
	done
	# those of test/servers
	for f in "$dir"/*/pids; do
		[ ! -f "$f" ] || while read -r pid; do kill -9 -- "-$pid" 2>/dev/null || true; done <"$f"
	done
	rm -rf "$dir" || { sleep 0.2; rm -rf "$dir"; }
}
trap leave EXIT

# server NAME [OPTION OF INITDB ...]: makes and starts one in $dir/NAME, at $port; further
# settings are read.
server() {
	local name=$1
	shift
	as "$bin/initdb" -D "$dir/$name" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync "$@" >/dev/null
	{
		printf "port = %s\nlisten_addresses = ''\nunix_socket_directories = '%s'\n" "$port" "$dir"
		cat
	} >>"$dir/$name/postgresql.conf"
	as "$bin/pg_ctl" -D "$dir/$name" -l "$dir/$name.log" -w start >/dev/null
}
psql() { as "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres -d postgres "$@"; }

# Sections of a configuration: the server "data"; a repository whose state and root key are
# in a directory; its providers, the folders a, b and c there.
repository() { printf '[repository]\nname = bench\nneeded = 2\nshards = 3\nstate-directory = %s/state\n[custody]\nroot = file:%s/root.key\n' "$1" "$1"; }
folders() { for p in a b c; do printf '[provider.%s]\ntype = folder\npath = %s/%s\n' $p "$1" $p; done; }
cluster() { printf '[cluster]\ndata-directory = %s/data\nconnection = host=%s port=%s user=postgres dbname=postgres\n' "$dir" "$dir" "$port"; }

# For encrypted columns: a configuration with a root key, and the CPU seconds (user and
# system) of a backend so far.
root_key() {
	as "$bin/pg_sovereign" key create-root "$dir/root.key" >/dev/null 2>&1
	printf '[custody]\nroot = file:%s/root.key\n' "$dir"
}
cpu_function="CREATE FUNCTION cpu() RETURNS float8 LANGUAGE sql VOLATILE AS \$\$
	SELECT (f[14]::float8 + f[15]::float8) / 100
	FROM string_to_array(regexp_replace(pg_read_file('/proc/' || pg_backend_pid() || '/stat', 0, 1000), '\([^)]*\)', 'x'), ' ') f \$\$;"

machine() { echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"; }
median() { sort -g | awk '{ v[NR] = $1 } END { printf "%.10g\n", (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { print b - a }'; }
