#!/bin/bash
# Archiving and fetching WAL against pgBackRest, in one run on one machine.
#
# SEGMENTS: of an OLTP run (pgbench), default 112.  RUNS: of each; medians are
# printed.  pgBackRest archives asynchronously to three encrypted repositories
# (zst level 3, process-max 2), pg_sovereign to 2 of 3, all of them folders.
. "$(dirname "$0")/common.sh"
segments=${SEGMENTS:-112} runs=${RUNS:-3} scale=${SCALE:-40}
command=${SOV_BUILD:+$SOV_BUILD/build}
command=${command:-$bin}/pg_sovereign
command -v pgbackrest >/dev/null || { echo "pgbackrest is not installed: test/setup.sh bench" >&2; exit 1; }
cd "$dir"
{ cluster; repository "$dir/sov"; folders "$dir/sov"; } >conf
{
	printf '[global]\ncompress-type=zst\ncompress-level=3\nprocess-max=2\narchive-async=y\narchive-timeout=60\n'
	printf 'archive-get-queue-max=256MB\nspool-path=%s/pbr/spool\nlog-path=%s/pbr/log\nlock-path=%s/pbr/lock\nlog-level-console=error\n' "$dir" "$dir" "$dir"
	for r in 1 2 3; do printf 'repo%s-path=%s/pbr/repo%s\nrepo%s-cipher-type=aes-256-cbc\nrepo%s-cipher-pass=benchmark\n' $r "$dir" $r $r $r; done
	printf '[main]\npg1-path=%s/data\npg1-port=%s\npg1-socket-path=%s\npg1-user=postgres\n' "$dir" "$port" "$dir"
} >pbr.conf
sov() { as "$command" -c "$dir/conf" "$@"; }
pbr() { as pgbackrest --config="$dir/pbr.conf" --stanza=main "$@"; }
sql() { psql -c "$1"; }
start() { as "$bin/pg_ctl" -D "$dir/data" -l "$dir/data.log" -w start >/dev/null; }
stop() { as "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null; }
ready() { find "$dir/data/pg_wal/archive_status" -name '*.ready' | wc -l; }

# --- the WAL: an OLTP run with nobody archiving ---
server data --data-checksums <<CONF
archive_mode = on
archive_command = ''
sovereign.config_file = '$dir/conf'
sovereign.command = '$command'
${SOV_BUILD:+dynamic_library_path = '$SOV_BUILD:\$libdir'}
synchronous_commit = off
shared_buffers = 256MB
max_wal_size = 1GB
wal_keep_size = 60GB
autovacuum = off
CONF
as "$bin/pgbench" -h "$dir" -p "$port" -U postgres -i -q -s "$scale" postgres >/dev/null 2>&1
sql CHECKPOINT
sql "SELECT pg_switch_wal()" >/dev/null
first=$(sql "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
until [ "$(find "$dir/data/pg_wal/archive_status" -name '*.ready' | sed 's,.*/,,' | awk -v f="$first" '$0 >= f' | wc -l)" -ge "$segments" ]; do
	as "$bin/pgbench" -h "$dir" -p "$port" -U postgres -n -c 4 -j 2 -T 3 postgres >/dev/null 2>&1
done
stop
cd "$dir/data/pg_wal/archive_status"
for f in *.ready; do
	[[ "$f" < "$first" ]] && mv "$f" "${f%.ready}.done"
done
mapfile -t names < <(printf '%s\n' *.ready | sed 's/\.ready$//' | sort | head -n "$segments")
for f in *.ready; do
	[[ "${f%.ready}" > "${names[-1]}" ]] && mv "$f" "${f%.ready}.done"
done
cd "$dir"
total=$(awk -v n="${#names[@]}" -v s="$(stat -c %s "data/pg_wal/${names[0]}")" 'BEGIN { print n * s / 1e6 }')

# --- archiving ---
fresh_sov() {
	stop 2>/dev/null || true	# an archive module of the former repository would write into this one
	rm -rf sov
	as mkdir -p sov/a sov/b sov/c
	sov key create-root >/dev/null 2>&1
	sov init >/dev/null
}
fresh_pbr() {
	rm -rf pbr
	as mkdir -p pbr/spool pbr/log pbr/lock pbr/repo1 pbr/repo2 pbr/repo3
}
# status FROM TO: what the server thinks of them
status() { perl -e '($d, $f, $t, @n) = @ARGV; rename "$d/$_.$f", "$d/$_.$t" for @n' data/pg_wal/archive_status "$1" "$2" "${names[@]}"; }
# In one process: what looks on must not take the processor from what is measured.
wait_archived() {
	perl -e 'my $until = time + shift; sub left { opendir(my $d, "data/pg_wal/archive_status"); scalar grep { /[.]ready$/ } readdir $d } while (time < $until && left()) { select(undef, undef, undef, 0.02) }' "$1"
}
# archive SETTING: starts archiving, prints the seconds until nothing is left (or
# after limit seconds), and leaves the server running.
archive() {
	local t
	stop 2>/dev/null || true
	status ready done
	sed -i '/^archive_\(command\|library\)/d' data/postgresql.conf
	echo "$1" >>data/postgresql.conf
	start
	[ -z "${before:-}" ] || $before
	sql "SELECT pg_switch_wal()" >/dev/null
	sleep 1
	sync -f "$dir"
	status done ready
	t=$(now)
	as "$bin/pg_ctl" -D "$dir/data" reload >/dev/null
	wait_archived "${limit:-600}"
	since "$t"
}
module="archive_library = 'pg_sovereign'"
push="archive_command = '$command -c $dir/conf wal-push %p'"
peer="archive_command = 'pgbackrest --config=$dir/pbr.conf --stanza=main archive-push %p'"
size() { du -cs --apparent-size -B1 "$@" | tail -n 1 | cut -f1; }
echo "$(machine), median of $runs"
echo "${#names[@]} segments, $total MB, of pgbench at scale $scale"
stanza() { pbr stanza-create >/dev/null; }
for i in $(seq "$runs"); do
	fresh_pbr
	before=stanza archive "$peer" >>peer.txt
	fresh_sov
	archive "$module" >>module.txt
	[ "$i" = "$runs" ] && break
	fresh_sov
	archive "$push" >>push.txt
done
fresh_sov
archive "$push" >>push.txt
pbytes=$(size pbr/repo1 pbr/repo2 pbr/repo3) sbytes=$(size sov/a sov/b sov/c)
p=$(median <peer.txt) m=$(median <module.txt) u=$(median <push.txt)
awk -v t="$total" -v p="$p" -v m="$m" -v u="$u" -v pb="$pbytes" -v sb="$sbytes" 'BEGIN {
	printf "%-42s %8s %8s\n", "archiving to three folders", "MB/s", "MB"
	printf "%-42s %8.0f %8.1f\n", "pgBackRest, asynchronous, three repositories", t / p, pb / 1e6
	printf "%-42s %8.0f %8.1f\n", "pg_sovereign, archive module", t / m, sb / 1e6
	printf "%-42s %8.0f %8.1f\n", "pg_sovereign, wal-push", t / u, sb / 1e6
	printf "module / pgBackRest: %.2f, wal-push / pgBackRest: %.2f MB/s (goal at least 1.3), bytes %.3f (goal at most 0.5)\n", p / m, p / u, sb / pb
}'

# --- fetching, one call after the other as recovery does ---
fetch_all() {
	local t f
	rm -rf out
	as mkdir out
	sync -f "$dir"
	t=$(now)
	for f in "${names[@]}"; do
		"$@" "$f" out/RECOVERYXLOG || { echo "$f could not be fetched" >&2; exit 1; }
		mv out/RECOVERYXLOG "out/$f"
	done
	since "$t"
}
same() { for f in "${names[@]}"; do cmp -s "out/$f" "data/pg_wal/$f" || { echo "$f differs" >&2; exit 1; }; done; }
sov_get() { setpriv --reuid="$owner" --regid="$owner" --clear-groups "$command" -c "$dir/conf" wal-fetch "$@"; }
pbr_get() { setpriv --reuid="$owner" --regid="$owner" --clear-groups pgbackrest --config="$dir/pbr.conf" --stanza=main --log-level-console=off --log-level-stderr=off archive-get "$1" "$dir/$2"; }
[ "$(id -u)" = 0 ] || { sov_get() { sov wal-fetch "$@"; }; pbr_get() { pbr archive-get "$1" "$dir/$2"; }; }
stop
for way in "" gone; do
	if [ -n "$way" ]; then mv sov/a sov/a.away; mv pbr/repo1 pbr/repo1.away; fi
	for i in $(seq "$runs"); do
		fetch_all sov_get >>"get_sov$way.txt"
		same
		rm -rf pbr/spool/*
		fetch_all pbr_get >>"get_pbr$way.txt"
		same
	done
	if [ -n "$way" ]; then mv sov/a.away sov/a; mv pbr/repo1.away pbr/repo1; fi
	awk -v t="$total" -v s="$(median <"get_sov$way.txt")" -v p="$(median <"get_pbr$way.txt")" -v w="${way:+, one provider gone}" 'BEGIN {
		printf "wal-fetch%s: %.0f MB/s, archive-get asynchronous: %.0f MB/s: ratio %.2f (goal at least 1)\n", w, t / s, t / p, p / s
	}'
done

# --- one of three gone while archiving ---
rm -rf out
fresh_pbr
before=stanza
lose() { stanza; mv pbr/repo3 pbr/repo3.away; : >pbr/repo3; }
before=lose limit=${PATIENCE:-30} archive "$peer" >/dev/null
left=$(ready)	# the segment that was closed to begin is one more
echo "one of three gone: pgBackRest acknowledges $((left < ${#names[@]} ? ${#names[@]} - left : 0)) of ${#names[@]} in ${PATIENCE:-30} s"
before=
for how in module push; do
	fresh_sov
	lose() { mv sov/c sov/c.away; }
	t=$(before=lose archive "${!how}")
	left=$(ready)
	mv sov/c.away sov/c
	b=$(now)
	if [ "$how" = push ]; then
		# the next segment brings it
		sql "CREATE TABLE next ()"
		sql "SELECT pg_switch_wal()" >/dev/null
	fi
	while [ -n "$(find sov/state/spool -type f 2>/dev/null)" ] && awk -v a="$b" -v b="$(now)" 'BEGIN { exit !(b - a < 90) }'; do sleep 0.1; done
	awk -v n="${#names[@]}" -v l="$left" -v t="$t" -v mb="$total" -v d="$(since "$b")" -v h="$how" 'BEGIN {
		printf "one of three gone, %s: %d of %d acknowledged at %.0f MB/s; debt worked off %.1f s after its return (goal 10)\n", h, n - l, n, mb / t, d
	}'
done
