#!/bin/bash
# Backup and restore against the limit of this machine, in one run.
#
# ROWS: invented patients in a plain table (default 2,000,000: about 0.5 GB with
# its index).  RUNS: of each, medians are printed.  JOBS: threads of both.
. "$(dirname "$0")/common.sh"
rows=${ROWS:-2000000} runs=${RUNS:-3} jobs=${JOBS:-2}
make -s -C "$here" build/bench/limit
cc -O2 -w -o "$dir/gen" "$here/test/data/generate_patients.c"
"$dir/gen" "$rows" >"$dir/patients.csv"
as mkdir "$dir/a" "$dir/b" "$dir/c" "$dir/out1" "$dir/out2" "$dir/out3"
cp "$here/build/bench/limit" "$dir/"
{ cluster; repository "$dir"; folders "$dir"; } >"$dir/conf"
cd "$dir"
sov() { as "$bin/pg_sovereign" -c "$dir/conf" "$@"; }
sov key create-root >/dev/null 2>&1
sov init >/dev/null
server data --data-checksums <<CONF
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '$dir/conf'
wal_level = replica
max_wal_size = 4GB
autovacuum = off
CONF
psql -c "CREATE TABLE p (id bigint, family text, given text, sex text, nir text, birth date, code text, note text)"
psql -c "\\copy p from '$dir/patients.csv' with (format csv)"
psql -c "CREATE INDEX ON p (nir)" -c "VACUUM FREEZE" -c "CHECKPOINT" -c "SELECT pg_switch_wal()" >/dev/null
while [ "$(psql -c "SELECT count(*) FROM pg_ls_dir('pg_wal/archive_status') f WHERE f LIKE '%.ready'")" != 0 ]; do sleep 0.5; done

# timed FILE COMMAND...: appends "wall cpu"
timed() {
	local f=$1
	shift
	/usr/bin/env bash -c 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>&1' _ "$@" 2>>"$f"
}
echo "$(machine), $jobs threads, median of $runs"
for i in $(seq "$runs"); do
	rm -f out1/* out2/* out3/*
	as ./limit "$dir/data" "$jobs" 2 3 "$dir/out1" "$dir/out2" "$dir/out3" >>limit.txt
	if [ "$(id -u)" = 0 ]; then
		timed backup.txt runuser -u postgres -- "$bin/pg_sovereign" -c "$dir/conf" backup --full --jobs "$jobs"
		timed restore.txt runuser -u postgres -- "$bin/pg_sovereign" -c "$dir/conf" restore -D "$dir/r$i" --jobs "$jobs"
	else
		timed backup.txt "$bin/pg_sovereign" -c "$dir/conf" backup --full --jobs "$jobs"
		timed restore.txt "$bin/pg_sovereign" -c "$dir/conf" restore -D "$dir/r$i" --jobs "$jobs"
	fi
	rm -rf "r$i"
	timed copy.txt bash -c "cp -r '$dir/data' '$dir/copy' && sync -f '$dir/copy'"
	rm -rf copy
done
bytes=$(sov list --json | sed -n 's/.*"bytes": \([0-9]*\).*/\1/p' | tail -n 1)
stored=$(sov list --json | sed -n 's/.*"stored": \([0-9]*\).*/\1/p' | tail -n 1)
limit_bytes=$(awk 'END { print $1 }' limit.txt)
limit_wall=$(cut -d' ' -f2 limit.txt | median) limit_cpu=$(cut -d' ' -f3 limit.txt | median)
backup_wall=$(cut -d' ' -f1 backup.txt | median) backup_cpu=$(awk '{ print $2 + $3 }' backup.txt | median)
restore_wall=$(cut -d' ' -f1 restore.txt | median) restore_cpu=$(awk '{ print $2 + $3 }' restore.txt | median)
copy_wall=$(cut -d' ' -f1 copy.txt | median) copy_cpu=$(awk '{ print $2 + $3 }' copy.txt | median)
copied=$(du -sb data | cut -f1)
plain=$(as tar -C data --exclude=pg_wal -cf - . 2>/dev/null | zstd -q -1 | wc -c)
awk -v b="$bytes" -v s="$stored" -v p="$plain" -v lb="$limit_bytes" -v lw="$limit_wall" -v lc="$limit_cpu" \
	-v bw="$backup_wall" -v bc="$backup_cpu" -v rw="$restore_wall" -v rc="$restore_cpu" \
	-v cb="$copied" -v cw="$copy_wall" -v cc="$copy_cpu" 'BEGIN {
	printf "source %.0f MB; 2 of 3 folders\n", b / 1e6
	printf "%-34s %10s %14s\n", "", "MB/s wall", "MB/s per core"
	printf "%-34s %10.0f %14.0f\n", "limit (read, zstd-1, GCM, RS, write)", lb / 1e6 / lw, lb / 1e6 / lc
	printf "%-34s %10.0f %14.0f\n", "pg_sovereign backup", b / 1e6 / bw, b / 1e6 / bc
	printf "%-34s %10.0f %14.0f\n", "plain copy of the directory (cp)", cb / 1e6 / cw, cb / 1e6 / cc
	printf "%-34s %10.0f %14.0f\n", "pg_sovereign restore", b / 1e6 / rw, b / 1e6 / rc
	printf "backup / limit: %.2f wall (checkpoint and WAL wait included), %.2f per core (goal at least 0.7)\n", (b / bw) / (lb / lw), (b / bc) / (lb / lc)
	printf "restore / plain copy: %.2f wall\n", (b / rw) / (cb / cw)
	printf "stored / plain compressed (tar, zstd -1): %.2f (goal at most 1.55)\n", s / p
}'
