#!/bin/bash
# Leaving a live provider against plain copies of the same objects with the same client:
# four WebDAV stores over TLS (nginx), a repository of a cluster of ROWS rows (default
# 4,000,000, about 1 GB) in three of them; "drain" of one to the fourth, RUNS times there
# and back; medians.
. "$(dirname "$0")/common.sh"
runs=${RUNS:-3} rows=${ROWS:-4000000}
make -s -C "$here" build/bench/copy
cp "$here/build/bench/copy" "$here"/test/servers/*.sh "$dir/"
as mkdir "$dir/nginx"
cd "$dir"
HOME=$dir/nginx as bash "$dir/nginx.sh" "$dir/nginx"
for p in a b c d x; do as mkdir -p "nginx/store/dav/$p"; done

# configure FILE PROVIDER... ("-c": it is left)
configure() {
	local file=$1 p
	shift
	{
		cluster
		repository "$dir"
		for p in "$@"; do
			printf '[provider.%s]\n' "${p#-}"
			[ "$p" = "${p#-}" ] || echo "state = drain"
			awk '/^\[/ { n++; next } n == 1 && !/^prefix/' nginx/providers.conf
			echo "prefix = dav/${p#-}"
		done
	} >"$file"
}
sov() { as "$bin/pg_sovereign" -c "$dir/sov.conf" "$@"; }

configure sov.conf a b c
sov key create-root >/dev/null 2>&1
sov init >/dev/null
server data <<CONF
fsync = off
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '$dir/sov.conf'
max_wal_size = 4GB
CONF
psql -c "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS a, md5((g * 7)::text) AS b, md5((g * 11)::text) AS c, repeat(md5((g % 1000)::text), 4) AS d FROM generate_series(1, $rows) g"
sov backup >/dev/null
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null

: >plain.times; : >drain.times
here=c there=d
for _ in $(seq "$runs"); do
	configure all.conf "$here" x
	as ./copy all.conf "$here" x 4 >one
	cut -d' ' -f1 one >>plain.times
	rm -rf nginx/store/dav/x/*
	configure sov.conf a b "-$here" "$there"
	sov plan >/dev/null || true
	from=$(now)
	sov apply >apply.log 2>&1 || { cat apply.log >&2; exit 1; }
	since "$from" >>drain.times
	configure sov.conf a b "$there"
	sov verify >verify.log 2>&1 || { cat verify.log >&2; exit 1; }
	set -- "$there" "$here"
	here=$1 there=$2
done
read -r _ objects bytes <one
awk -v n="$objects" -v b="$bytes" -v p="$(median <plain.times)" -v d="$(median <drain.times)" -v c="$(nproc)" 'BEGIN {
	printf "%d cores; %d objects, %.0f MB: plain copies %.1f s (%.0f MB/s), drain with its checks, deletion and receipt %.1f s: %.2f of plain copies\n",
		c, n, b / 1e6, p, b / 1e6 / p, d, p / d }'
