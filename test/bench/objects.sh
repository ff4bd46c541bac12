#!/bin/bash
# What verify, repair, prune and plan begin with: looking through all that is stored.
# COUNT (default 100000) small objects in three folders (in memory where there is
# /dev/shm): time and memory for each of them.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${COUNT:-100000}
bin=$(${PG_CONFIG:-pg_config} --bindir)
make -s build/bench/objects
dir=$(mktemp -d "$([ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/sov_bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
{
	printf '[repository]\nname = bench\nneeded = 2\nshards = 3\nstate-directory = %s/state\n[custody]\nroot = file:%s/root.key\n' "$dir" "$dir"
	for p in a b c; do
		mkdir -m 700 "$dir/$p"
		printf '[provider.%s]\ntype = folder\npath = %s/%s\n' $p "$dir" $p
	done
} >"$dir/sov.conf"
"$bin/pg_sovereign" -c "$dir/sov.conf" key create-root >/dev/null 2>&1
"$bin/pg_sovereign" -c "$dir/sov.conf" init >/dev/null 2>&1
build/bench/objects "$dir/sov.conf" "$count" | awk -v c="$(nproc)" '{
	printf "%d cores; %d objects at each of three folders are looked through in %.1f s (%.0f us each) with %.0f MB, %.0f bytes for each; a million: %.0f MB\n",
		c, $1, $2, $2 * 1e6 / $1 / 3, $4, ($4 - $3) * 1048576 / $1, $3 + ($4 - $3) * 1e6 / $1 }'
