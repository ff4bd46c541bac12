#!/bin/bash
# The faces of a large repository: milliseconds of each view of SQL, as psql counts them in
# a session of its own, and seconds of the report and of "list", over BACKUPS backups (1000)
# of OBJECTS objects (1000000); and the CPU of the worker that has nothing to do.
#
# The backups are made (in memory where there is /dev/shm), of a cluster that is none; a
# first one is of a real cluster, which is drilled.  The objects are simulated as views and
# report know of them: what verify counted, two years of history, 200 jobs, 365 drills, and
# OWED objects (10000) that one provider has not taken.  Neither asks a provider for more.
#   RUNS (9), IDLE (60: seconds for which the worker is watched)
[ ! -d /dev/shm ] || under=/dev/shm
. "$(dirname "$0")/common.sh"
backups=${BACKUPS:-1000} objects=${OBJECTS:-1000000} owed=${OWED:-10000} runs=${RUNS:-9} idle=${IDLE:-60}
make -s -C "$here" build/bench/many_backups
{
	cluster
	repository "$dir"
	folders "$dir"
	printf '[schedule]\nbackup = 1d\nverify = sun 02:30\n[audit]\ndirectory = %s/audit\n' "$dir"
} >"$dir/sov.conf"
as mkdir -m 700 "$dir"/{a,b,c}
cp "$here/build/bench/many_backups" "$dir"
cd "$dir"
sov() { as "$bin/pg_sovereign" -c "$dir/sov.conf" "$@"; }
sov key create-root >/dev/null 2>&1
sov init >/dev/null 2>&1
server data <<CONF
fsync = off
archive_mode = on
archive_library = 'pg_sovereign'
shared_preload_libraries = 'pg_sovereign'
sovereign.config_file = '$dir/sov.conf'
CONF
psql -c 'CREATE EXTENSION pg_sovereign' -c "SELECT create_key('k' || i) FROM generate_series(1, 20) i" >/dev/null
# (the worker does the first backup and verify that are due)
until [ "$(psql -c "SELECT count(*) FROM jobs WHERE state = 'done'")" = 2 ]; do sleep 0.5; done
sov drill --json >/dev/null
id=$(psql -c 'SELECT system_identifier FROM pg_control_system()')

echo "$(machine); median of $runs"
from=$(date +%s.%N)
as ./many_backups "$dir/sov.conf" "$backups" "$id" "$dir/none"
echo "$from $(date +%s.%N) $backups" | awk '{ printf "(%d backups of next to nothing took %.0f s)\n", $3, $2 - $1 }'
sov list >/dev/null
# What is simulated: each file has real lines, which are repeated.
as perl -e '
	use strict;
	my ($state, $objects, $owed) = @ARGV;
	sub slurp { open(my $f, "<", "$state/$_[0]") or die "$_[0]: $!"; local $/; return <$f> }
	sub spit { open(my $f, ">", "$state/$_[0]") or die "$_[0]: $!"; print $f $_[1]; close $f }
	my ($point) = slurp("history") =~ /(.*)\n\z/;
	my ($now) = $point =~ /"time_us": ?(\d+)/ or die;
	$point =~ s/"of": ?"point"/"of":"hour"/;
	spit("history", join "", map { my $t = $now - (2000 - $_) * 8 * 3600 * 1000000; ($point =~ s/("time_us": ?)\d+/$1$t/r) . "\n" } 1 .. 2000);
	spit("drills", slurp("drills") x 365);
	spit("verified", slurp("verified") =~ s/("objects": ?)\d+/$1$objects/r);
	my ($job) = sort { $a <=> $b } map { m{/(\d+)\z} } glob("$state/jobs/*");
	my $text = slurp("jobs/$job");
	spit("jobs/$_", $text =~ s/("job": ?)\d+/$1$_/r) for 100 .. 297;
' "$dir/state" "$objects" "$owed"

# Milliseconds of the first statement of a session that has connected already.
view() {
	for _ in $(seq "$runs"); do
		psql -c 'SELECT 1' -c '\timing on' -c "SELECT * FROM $1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | median
}
seconds() {
	for _ in 1 2 3; do
		local from
		from=$(date +%s.%N)
		"$@" >/dev/null
		echo "$(date +%s.%N) $from" | awk '{ print $1 - $2 }'
	done | median
}
all() {
	for v in providers backups wal_ranges redundancy jobs keys audit; do
		printf '  %-12s %8.1f ms  %6d rows\n' "$v" "$(view $v)" "$(psql -c "SELECT count(*) FROM $v")"
	done
	printf '  %-12s %8.2f s\n' 'report' "$(seconds sov report --html "$dir/report.html")"
	printf '  %-12s %8.2f s\n' 'report json' "$(seconds sov report --json)"
	printf '  %-12s %8.2f s\n' 'metrics' "$(seconds sov metrics)"
	printf '  %-12s %8.2f s  (this one asks the providers)\n' 'list' "$(seconds sov list)"
}
echo "nothing owed"
all
as mkdir -p "$dir/state/spool/c"
as perl -e 'for (1 .. $ARGV[1]) { open(my $f, ">", sprintf("%s/p,%032x.2", $ARGV[0], $_)) or die; print $f "x" x 300 }' "$dir/state/spool/c" "$owed"
echo "$owed objects owed to one provider"
# (others put them there: they are counted once)
echo "$(date +%s.%N) $(psql -c 'SELECT sum(owed_objects) FROM providers') $(date +%s.%N)" |
	awk '{ printf "  providers    %8.2f s   the first time, %d objects counted\n", $3 - $1, $2 }'
all
rm -rf "$dir/state/spool/c"

# Nanoseconds on a CPU of a process with all its threads.
busy() { cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{ n += $1 } END { print n }'; }
pids=$(ps -eo pid,ppid,args | awk -v pm="$(head -n 1 data/postmaster.pid)" '$2 == pm && /pg_sovereign worker/ { print $1 }')
pids="$pids $(pgrep -P "$pids" || true)"
for p in $pids; do eval "before_$p=$(busy "$p")"; done
sleep "$idle"
for p in $pids; do
	eval "a=\$before_$p"
	echo "$a $(busy "$p") $idle $(tr '\0' ' ' <"/proc/$p/cmdline" | cut -c 1-60)" |
		awk '{ printf "idle for %d s: %.3f %% CPU, %s\n", $3, ($2 - $1) / $3 / 1e7, substr($0, index($0, $4)) }'
done
