#!/bin/bash
# What a backup costs as the cluster grows: time, CPU and memory of a full backup, of
# one where nothing changed, the same by file times, and of one after a fixed number of
# changed pages.
#
# SIZES: GB of the clusters, in ascending order (default "1 4 16"); what does not fit on
# the disk is left out.  2 of 3 folders; one run of each.
. "$(dirname "$0")/common.sh"
sizes=${SIZES:-1 4 16}
cc -O2 -w -o "$dir/gen" "$here/test/data/generate_patients.c"
as mkdir "$dir"/{a,b,c}
{ cluster; repository "$dir"; folders "$dir"; } >"$dir/conf"
cd "$dir"
sov() { as "$bin/pg_sovereign" -c "$dir/conf" "$@"; }
sql() { psql -c "$1"; }
# measured NAME COMMAND...: a line "NAME wall cpu MB-of-memory"
measured() {
	local name=$1
	shift
	as perl -MTime::HiRes=time -MPOSIX -e '
		my $t = time; my $pid = fork // die; my $peak = 0;
		if (!$pid) { open STDOUT, ">", "/dev/null"; exec @ARGV or POSIX::_exit(99) }
		while (waitpid($pid, WNOHANG) == 0) {
			if (open my $f, "<", "/proc/$pid/status") { while (<$f>) { $peak = $1 if /^VmHWM:\s+(\d+)/ && $1 > $peak } }
			select undef, undef, undef, 0.02 }
		$? and die "it failed\n";
		my (undef, undef, $u, $s) = times; printf "%.1f %.1f %d\n", time - $t, $u + $s, $peak / 1024' "$@" |
		while read -r wall cpu memory; do printf '%8.1f  %-34s %8s %8s %10s\n' "$size" "$name" "$wall" "$cpu" "$memory"; done
}
sov key create-root >/dev/null 2>&1
sov init >/dev/null
server data --data-checksums <<CONF
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '$dir/conf'
max_wal_size = 8GB
shared_buffers = 512MB
fsync = off
autovacuum = off
CONF
sql "CREATE TABLE p (id bigint, family text, given text, sex text, nir text, birth date, code text, note text) WITH (fillfactor = 90)"
echo "$(machine); one run of each"
printf '%8s  %-34s %8s %8s %10s\n' GB backup "wall s" "CPU s" "memory MB"
for want in $sizes; do
	free=$(df --output=avail -B1G "$dir" | tail -n 1)
	[ "$free" -gt $((want * 3)) ] || { echo "$want GB: only $free GB are free, left out"; continue; }
	while [ "$(sql "SELECT pg_database_size('postgres') / 1000000000")" -lt "$want" ]; do
		./gen 3500000 | sql "COPY p FROM STDIN (FORMAT csv)"
	done
	sql "VACUUM (FREEZE, ANALYZE)"
	sql CHECKPOINT
	while [ "$(find data/pg_wal/archive_status -name '*.ready' | wc -l)" != 0 ]; do sleep 0.5; done
	size=$(sql "SELECT round(pg_database_size('postgres') / 1e9, 1)")
	measured "full" "$bin/pg_sovereign" -c "$dir/conf" backup --full --jobs 2
	measured "nothing changed" "$bin/pg_sovereign" -c "$dir/conf" backup --jobs 2
	sleep 3		# a file's time must be older than the backup that it is compared with
	measured "nothing changed, --by-mtime" "$bin/pg_sovereign" -c "$dir/conf" backup --jobs 2 --by-mtime
	sql "UPDATE p SET note = note || '.' WHERE ctid IN (SELECT format('(%s,%s)', (random() * 100000)::int, 1 + (random() * 8)::int)::tid FROM generate_series(1, 2000))"
	sql CHECKPOINT
	measured "2,000 pages changed" "$bin/pg_sovereign" -c "$dir/conf" backup --jobs 2
	sov prune --keep-last 1 --grace 0 --orphan-grace 0 >/dev/null
done
