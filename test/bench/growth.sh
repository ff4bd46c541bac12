#!/bin/bash
# What a backup costs as the cluster grows: time, CPU and memory of a full backup, of
# one where nothing changed, the same by file times, and of one after a fixed number of
# changed pages.
#
# SIZES: GB of the clusters, in ascending order (default "1 4 16"); what does not fit on
# the disk is left out.  2 of 3 folders; one run of each.
set -euo pipefail
sizes=${SIZES:-1 4 16}
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(${PG_CONFIG:-pg_config} --bindir)
as() { "$@"; }
owner=$(id -un)
[ "$(id -u)" = 0 ] && { as() { runuser -u postgres -- "$@"; }; owner=postgres; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/sov_bench.XXXXXX")
chmod 755 "$dir"
cleanup() {
	[ -f "$dir/data/postmaster.pid" ] && as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
	rm -rf "$dir"
}
trap cleanup EXIT
cc -O2 -w -o "$dir/gen" "$here/test/data/generate_patients.c"
mkdir "$dir"/{a,b,c}
port=$((20000 + RANDOM % 20000))
{
	printf '[cluster]\ndata-directory = %s/data\nconnection = host=%s port=%s user=postgres dbname=postgres\n' "$dir" "$dir" "$port"
	printf '[repository]\nname = bench\nneeded = 2\nshards = 3\nstate-directory = %s/state\n[custody]\nroot = file:%s/root.key\n' "$dir" "$dir"
	for p in a b c; do printf '[provider.%s]\ntype = folder\npath = %s/%s\n' $p "$dir" $p; done
} >"$dir/conf"
chown -R "$owner" "$dir"
cd "$dir"
sov() { as "$bin/pg_sovereign" -c "$dir/conf" "$@"; }
sql() { as "$bin/psql" -X -q -At -h "$dir" -p "$port" -U postgres -c "$1" postgres; }
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
as "$bin/initdb" -D "$dir/data" -U postgres -A trust --data-checksums --no-sync >/dev/null
cat >>data/postgresql.conf <<CONF
port = $port
listen_addresses = ''
unix_socket_directories = '$dir'
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '$dir/conf'
max_wal_size = 8GB
shared_buffers = 512MB
fsync = off
autovacuum = off
CONF
as "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null
sql "CREATE TABLE p (id bigint, family text, given text, sex text, nir text, birth date, code text, note text) WITH (fillfactor = 90)"
echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1); one run of each"
printf '%8s  %-34s %8s %8s %10s\n' GB backup "wall s" "CPU s" "memory MB"
for want in $sizes; do
	free=$(df --output=avail -B1G "$dir" | tail -n 1)
	[ "$free" -gt $((want * 3)) ] || { echo "$want GB: only $free GB are free, left out"; continue; }
	while [ "$(sql "SELECT pg_database_size('postgres') / 1000000000")" -lt "$want" ]; do
		./gen 3500000 | as "$bin/psql" -X -q -h "$dir" -p "$port" -U postgres -c "COPY p FROM STDIN (FORMAT csv)" postgres
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
