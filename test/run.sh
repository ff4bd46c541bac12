#!/bin/bash
# All tests: build, install, unit tests (also under AddressSanitizer and UBSan),
# fuzz targets, pg_regress, clusters, and a small demo.  The last line is the sum
# over every single test: "N passed, N failed, N skipped".
#
# A test program writes TAP; one that ends with another status than its TAP says,
# without a plan, or with a wrong count is a failure of its own.  PARTS chooses
# parts by name (default: all), TESTS those of the clusters (default: all), JOBS how
# many programs run at a time (default: one
# a processor).
set -u
cd "$(dirname "$0")/.."
parts=${PARTS:-"arrows unit fuzz regress cluster servers demo packages"}
logs=$(mktemp -d /tmp/sov_test.XXXXXX)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 skipped=0
jobs=${JOBS:-$(nproc)}
: >"$logs/remembered"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

# run NAME COMMAND...: what it prints and its status, for count
run() {
	local log="$logs/${1//\//_}" status=0 from=$SECONDS
	shift
	"$@" >"$log" 2>"$log.err" || status=$?
	echo $((SECONDS - from)) >"$log.seconds"
	echo "$status" >"$log.status"
}

# count NAME: the results of what ran
count() {
	local name=$1 log="$logs/${1//\//_}" good bad skip plan status
	status=$(cat "$log.status")
	skip=$(grep -cEi '^ok\b.* # *skip\b' "$log")
	good=$(($(grep -cE '^ok\b' "$log") - skip))
	bad=$(grep -cE '^not ok\b' "$log")
	plan=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$log" | tail -n 1)
	if grep -qEi '^1\.\.0 *# *skip' "$log"; then
		skip=$((skip + 1))
		remember "skipped: $name: $(sed -nE 's/^1\.\.0 *# *SKIP *//Ip' "$log")"
	elif [ -z "$plan" ] || [ "$plan" != $((good + bad + skip)) ] || { [ "$status" != 0 ] && [ "$bad" = 0 ]; }; then
		bad=$((bad + 1))
		echo "  $name did not run to its end (status $status, plan ${plan:-none}, $((good + bad + skip - 1)) results)"
		tail -n 15 "$log.err" | sed 's/^/    /'
	fi
	if [ "$bad" != 0 ]; then
		grep -E -A4 '^not ok' "$log" | head -n 60 | sed 's/^/    /'
		tail -n 25 "$log.err" | sed 's/^/    /'
		remember "FAILED: $name: $(grep -m 1 -E '^not ok' "$log" || echo 'did not run to its end')"
	fi
	while read -r line; do remember "skipped: $name: $line"; done < <(grep -Ei '^ok\b.* # *skip\b' "$log")
	passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '  %-34s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$good" "$bad" "$skip" "$(cat "$log.seconds")"
}

# Said at once, and again before the sum.
remember() {
	echo "  $1"
	echo "$1" >>"$logs/remembered"
}

# tap NAME COMMAND...: run and count
tap() {
	run "$@"
	count "$1"
}

# Several at a time, JOBS of them, over all parts: a machine does not idle while the
# last of a part ends.  Each is counted when it ends.
declare -A running=()
ended() {
	local pid=
	wait -n -p pid
	[ -n "${running[${pid:-0}]:-}" ] || return 0	# (bash 5.3 tells of "< <(...)" too)
	count "${running[$pid]}"
	unset "running[$pid]"
}
queue() {
	while [ "${#running[@]}" -ge "$jobs" ]; do ended; done
	run "$@" &
	running[$!]=$1
}
all_ended() {
	while [ "${#running[@]}" -gt 0 ]; do ended; done
}

# step COMMAND...: TAP of one test that passes when the command succeeds
step() {
	local status=0
	"$@" >&2 || status=$?
	[ "$status" = 0 ] && echo "ok 1 - $*" || echo "not ok 1 - $* (status $status)"
	echo "1..1"
}

# pg_regress's lines "test NAME ... ok" and "... FAILED" (TAP from 16 on) as TAP
regress() {
	local n=0 status=0 name result
	test/pg_regress.sh >"$logs/regress" 2>&1 || status=$?
	while read -r name result; do
		[ "$result" = ok ] && echo "ok $((++n)) - $name" || echo "not ok $((++n)) - $name"
	done < <(sed -nE 's/^(test )? *([a-z_0-9]+) +\.\.\. (ok|FAILED).*/\2 \3/p; s/^(ok|not ok) +[0-9]+ +[-+] ([a-z_0-9]+).*/\2 \1/p' "$logs/regress")
	[ "$status" = 0 ] || tail -n 80 "$logs/regress" >&2
	echo "1..$(ls sql/*.sql | wc -l)"
	return "$status"
}

has() { case " $parts " in *" $1 "*) return 0 ;; esac; return 1; }

# Where the server is Debian's, what is tested is what the packages install, unless
# FROM_SOURCE asks for what "make install" does.
packaged=
[ -n "${SOV_BUILD:-}${FROM_SOURCE:-}" ] || ! dpkg -S "$(readlink -f "$(${PG_CONFIG:-pg_config} --bindir)/postgres")" >/dev/null 2>&1 || packaged=1
install_it() {
	[ -n "$packaged" ] || { $sudo make -s install; return; }
	$sudo make -s uninstall && make -s deb && $sudo dpkg -i build/deb/*sovereign_*.deb
}
echo "== build and install${packaged:+ from packages}"
started=$SECONDS
make -s -j"$jobs" all >"$logs/build" 2>&1 && install_it >>"$logs/build" 2>&1 || {
	tail -n 100 "$logs/build"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}
echo "== build took $((SECONDS - started)) s"

started=$SECONDS
has arrows && tap arrows step make -s arrows
# Programs are built before anything runs beside.
has unit && tap "unit tests build" step make -s -j"$jobs" unit-programs
has fuzz && tap "fuzz targets build" step make -s -j"$jobs" fuzz-programs
has servers && tap "conformance build" step make -s build/unit/conformance
echo "== building tests took $((SECONDS - started)) s"

started=$SECONDS
if has unit; then # also under AddressSanitizer and UBSan
	for t in $(make -s --no-print-directory unit-names); do
		queue "unit/$t" "build/unit/$t"
		queue "san/$t" "build/san/unit/$t"
	done
fi
if has fuzz; then # the corpus and mutations of it
	for t in $(make -s --no-print-directory fuzz-names); do
		queue "fuzz/$t" "build/fuzz/$t" -n 1000 "test/fuzz/corpus/$t"
	done
fi
has regress && queue pg_regress regress
if has servers; then # the conformance suite over real servers
	for t in ceph swift azurite nginx apache sshd; do
		queue "servers/$t" test/servers/run.sh $t build/unit/conformance
	done
fi
if has cluster; then
	for t in ${TESTS:-test/t/*.t}; do
		[ -e "$t" ] && queue "$t" perl -Itest/t "$t"
	done
fi
has demo && queue demo step env ROWS=20000 NO_SETUP=1 test/demo.sh
all_ended
# What is in the packages, and that they leave nothing: it removes what the others use.
has packages && tap packages test/packages.sh ${packaged:+installed}
echo "== tests took $((SECONDS - started)) s"

cat "$logs/remembered"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
