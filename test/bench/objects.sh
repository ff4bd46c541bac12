#!/bin/bash
# What verify, repair, prune and plan begin with: looking through all that is stored.
# COUNT (default 100000) small objects in three folders (in memory where there is
# /dev/shm): time and memory for each of them.
[ ! -d /dev/shm ] || under=/dev/shm
. "$(dirname "$0")/common.sh"
count=${COUNT:-100000}
make -s -C "$here" build/bench/objects
{ repository "$dir"; folders "$dir"; } >"$dir/sov.conf"
as mkdir -m 700 "$dir"/{a,b,c}
cp "$here/build/bench/objects" "$dir"
as "$bin/pg_sovereign" -c "$dir/sov.conf" key create-root >/dev/null 2>&1
as "$bin/pg_sovereign" -c "$dir/sov.conf" init >/dev/null 2>&1
as "$dir/objects" "$dir/sov.conf" "$count" | awk -v c="$(nproc)" '{
	printf "%d cores; %d objects at each of three folders are looked through in %.1f s (%.0f us each) with %.0f MB, %.0f bytes for each; a million: %.0f MB\n",
		c, $1, $2, $2 * 1e6 / $1 / 3, $4, ($4 - $3) * 1048576 / $1, $3 + ($4 - $3) * 1e6 / $1 }'
