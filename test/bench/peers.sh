#!/bin/bash
# Full and incremental backups and restores against pgBackRest, in one run.
#
# ROWS: invented patients in a plain table (default 14,000,000: more than 3 GB with
# its index).  RUNS: of each; medians are printed.  pgBackRest: encrypted
# repository in a folder, zst level 3, process-max 2, bundles and block increments
# (a beta of 2.45, the default later); pg_sovereign: 2 of 3 folders.  Data checksums
# are on; the server is at rest, its files are in the page cache.
. "$(dirname "$0")/common.sh"
rows=${ROWS:-14000000} runs=${RUNS:-3}
build=${SOV_BUILD:-}
command=${build:+$build/build}
command=${command:-$bin}/pg_sovereign
command -v pgbackrest >/dev/null || { echo "pgbackrest is not installed: test/setup.sh bench" >&2; exit 1; }
cc -O2 -w -o "$dir/gen" "$here/test/data/generate_patients.c"
as mkdir "$dir"/{a,b,c,pbr,pbr/repo,pbr/log,pbr/lock}
{ cluster; repository "$dir"; folders "$dir"; } >"$dir/conf"
{
	printf '[global]\ncompress-type=zst\ncompress-level=3\nprocess-max=2\nstart-fast=y\narchive-check=n\nbeta=y\n'
	printf 'log-path=%s/pbr/log\nlock-path=%s/pbr/lock\nlog-level-console=error\nlog-level-file=off\n' "$dir" "$dir"
	printf 'repo1-path=%s/pbr/repo\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=benchmark\nrepo1-bundle=y\nrepo1-block=y\nrepo1-retention-full=9\n' "$dir"
	printf '[main]\npg1-path=%s/data\npg1-port=%s\npg1-socket-path=%s\npg1-user=postgres\n' "$dir" "$port" "$dir"
} >"$dir/pbr.conf"
cd "$dir"
sov() { as "$command" -c "$dir/conf" "$@"; }
pbr() { as pgbackrest --config="$dir/pbr.conf" --stanza=main "$@"; }
sql() { psql -c "$1"; }
# timed NAME COMMAND...: appends "wall cpu" to NAME.t
timed() {
	local f=$1.t
	shift
	[ "$(id -u)" = 0 ] && set -- runuser -u postgres -- "$@"
	/usr/bin/env bash -c 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>err.txt || { cat err.txt; exit 1; }' _ "$@" 2>>"$f"
}
wall() { cut -d' ' -f1 "$1.t" | median; }
cpu() { awk '{ print $2 + $3 }' "$1.t" | median; }
used() { du -sb --apparent-size "$@" | awk '{ s += $1 } END { printf "%.0f\n", s }'; }
packs() { used a/p b/p c/p a/m b/m c/m; }
S=("$command" -c "$dir/conf")
P=(pgbackrest "--config=$dir/pbr.conf" --stanza=main)

sov key create-root >/dev/null 2>&1
sov init >/dev/null
server data --data-checksums <<CONF
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '$dir/conf'
sovereign.command = '$command'
${build:+dynamic_library_path = '$build:\$libdir'}
max_wal_size = 8GB
shared_buffers = 512MB
fsync = off
autovacuum = off
CONF
sql "CREATE TABLE p (id bigint, family text, given text, sex text, nir text, birth date, code text, note text) WITH (fillfactor = 90)"
./gen "$rows" | sql "COPY p FROM STDIN (FORMAT csv)"
sql "CREATE INDEX ON p (nir)"
sql "VACUUM (FREEZE, ANALYZE)"
sql CHECKPOINT
while [ "$(find data/pg_wal/archive_status -name '*.ready' | wc -l)" != 0 ]; do sleep 0.5; done
pbr stanza-create >/dev/null
bytes=$(sql "SELECT sum(pg_database_size(oid)) FROM pg_database")
pages=$(sql "SELECT relpages FROM pg_class WHERE relname = 'p'")
cat data/base/*/* >/dev/null
echo "$(machine); $(pgbackrest version); cluster $((bytes / 1000000)) MB; medians of $runs"

# --- full ---
for i in $(seq "$runs"); do
	timed pbr_full "${P[@]}" --type=full backup
	timed sov_full "${S[@]}" backup --full --jobs 2
done
pbr_full_bytes=$(($(used pbr/repo/backup) / runs))
sov_full_bytes=$(($(packs) / runs))

# --- 2 % of the pages changed at random ---
for i in $(seq "$runs"); do
	sql "UPDATE p SET note = note || '.' WHERE ctid IN (SELECT format('(%s,%s)', (random() * ($pages - 1))::int, 1 + (random() * 8)::int)::tid FROM generate_series(1, $pages / 50))"
	sql CHECKPOINT
	while [ "$(find data/pg_wal/archive_status -name '*.ready' | wc -l)" != 0 ]; do sleep 0.2; done
	before=$(used pbr/repo/backup)
	timed pbr_incr "${P[@]}" --type=incr backup
	echo $(($(used pbr/repo/backup) - before)) >>pbr_incr.b
	before=$(packs)
	timed sov_incr "${S[@]}" backup --jobs 2
	echo $(($(packs) - before)) >>sov_incr.b
	timed sov_mtime "${S[@]}" backup --jobs 2 --by-mtime
done
before=$(packs)
sov backup >/dev/null
nothing=$(($(packs) - before))

# --- restore ---
for i in $(seq "$runs"); do
	rm -rf r
	timed pbr_restore "${P[@]}" --pg1-path="$dir/r" restore
	rm -rf r
	timed sov_restore "${S[@]}" restore -D "$dir/r" --jobs 2
	rm -rf r
	timed sov_restore_lost "${S[@]}" restore -D "$dir/r" --jobs 2 --without a
done
damage() { as perl -e 'my ($f) = sort { -s $b <=> -s $a } glob("r/base/*/*"); for my $g (grep { -s $_ > 1e6 } glob("r/base/*/*")) { open my $h, "+<:raw", $g or die; my $n = int((-s $g) / 8192); for (1 .. $n / 100) { seek $h, int(rand $n) * 8192 + 100, 0; print $h "damaged" } close $h }'; }
for i in $(seq "$runs"); do
	rm -rf r
	sov restore -D "$dir/r" --jobs 2 >/dev/null
	damage
	timed sov_delta "${S[@]}" restore -D "$dir/r" --delta --jobs 2
	rm -rf r
	pbr --pg1-path="$dir/r" restore
	damage
	timed pbr_delta "${P[@]}" --pg1-path="$dir/r" --delta restore
done

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
mb() { awk -v a="$1" 'BEGIN { printf "%.1f", a / 1e6 }'; }
printf '%-44s %9s %9s %11s\n' "" "wall s" "CPU s" "stored MB"
line() { printf '%-44s %9.2f %9.2f %11s\n' "$1" "$(wall "$2")" "$(cpu "$2")" "$3"; }
line "pgBackRest full, one repository" pbr_full "$(mb "$pbr_full_bytes")"
line "pg_sovereign full, 2 of 3" sov_full "$(mb "$sov_full_bytes")"
line "pgBackRest block increment, 2 % of pages" pbr_incr "$(mb "$(median <pbr_incr.b)")"
line "pg_sovereign, 2 % of pages" sov_incr "$(mb "$(median <sov_incr.b)")"
line "pg_sovereign, right after it, --by-mtime" sov_mtime ""
line "pgBackRest restore" pbr_restore ""
line "pg_sovereign restore" sov_restore ""
line "pg_sovereign restore, a provider gone" sov_restore_lost ""
line "pgBackRest delta, 1 % of pages damaged" pbr_delta ""
line "pg_sovereign delta, 1 % of pages damaged" sov_delta ""
twice() { awk -v v="$1" 'BEGIN { print 2 * v }'; }
echo "stored by a backup when nothing changed: $(mb "$nothing") MB (goal below 1)"
echo "full / one pgBackRest run: wall $(ratio "$(wall sov_full)" "$(wall pbr_full)") (goal 0.85), CPU $(ratio "$(cpu sov_full)" "$(cpu pbr_full)") (0.75)"
echo "full / two runs, which survive one loss too: wall $(ratio "$(wall sov_full)" "$(twice "$(wall pbr_full)")") (0.45), CPU $(ratio "$(cpu sov_full)" "$(twice "$(cpu pbr_full)")") (0.4), stored $(ratio "$sov_full_bytes" "$(twice "$pbr_full_bytes")") (0.76)"
echo "increment: wall $(ratio "$(wall sov_incr)" "$(wall pbr_incr)") (0.5), stored over all providers / its two copies $(ratio "$(median <sov_incr.b)" "$(twice "$(median <pbr_incr.b)")") (0.2)"
echo "restore: wall $(ratio "$(wall sov_restore)" "$(wall pbr_restore)") (0.8); a provider gone / healthy $(ratio "$(wall sov_restore_lost)" "$(wall sov_restore)") (1.1); delta $(ratio "$(wall sov_delta)" "$(wall pbr_delta)") (0.3)"
