#!/bin/bash
# All tests: build, install, unit tests (also under AddressSanitizer and UBSan),
# fuzz targets, pg_regress, clusters, and a small demo.  The last line is the sum
# over every single test: "N passed, N failed, N skipped".
#
# A test program writes TAP; one that ends with another status than its TAP says,
# without a plan, or with a wrong count is a failure of its own.  PARTS chooses
# parts by name (default: all), TESTS those of the clusters (default: all), JOBS how many programs run at a time (default: one
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
	skip=$(grep -cE '^ok\b.*# *SKIP' "$log")
	good=$(($(grep -cE '^ok\b' "$log") - skip))
	bad=$(grep -cE '^not ok\b' "$log")
	plan=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$log" | tail -n 1)
	if grep -qE '^1\.\.0 *# *SKIP' "$log"; then
		skip=$((skip + 1))
		remember "skipped: $name: $(sed -nE 's/^1\.\.0 *# *SKIP *//p' "$log")"
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
	while read -r line; do remember "skipped: $name: $line"; done < <(grep -E '^ok\b.*# *SKIP' "$log")
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

# Several at a time, JOBS of them; counted in their order when all have ended.
queued=()
queue() {
	while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
	run "$@" &
	queued+=("$1")
}
count_queue() {
	wait
	for name in "${queued[@]}"; do count "$name"; done
	queued=()
}

# single NAME COMMAND...: one test that passes when the command succeeds
single() {
	local name=$1 log="$logs/${1//\//_}"
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf '  %-34s    1 passed\n' "$name"
	else
		failed=$((failed + 1))
		remember "FAILED: $name"
		tail -n 60 "$log" | sed 's/^/    /'
	fi
}

begin() {
	part=$1 started=$SECONDS
	case " $parts " in *" $part "*) echo "== $2"; return 0 ;; esac
	return 1
}
end() { echo "== $part took $((SECONDS - started)) s"; }

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

if begin arrows "arrows point one way"; then
	single arrows make -s arrows
	end
fi

if begin unit "unit tests and conformance, also under AddressSanitizer and UBSan"; then
	single "unit tests build" make -s -j"$jobs" unit-programs
	for t in $(make -s --no-print-directory unit-names); do
		queue "unit/$t" "build/unit/$t"
		queue "san/$t" "build/san/unit/$t"
	done
	count_queue
	end
fi

if begin fuzz "fuzz targets: corpus and mutations of it"; then
	single "fuzz targets build" make -s -j"$jobs" fuzz-programs
	for t in $(make -s --no-print-directory fuzz-names); do
		queue "fuzz/$t" "build/fuzz/$t" -n 1000 "test/fuzz/corpus/$t"
	done
	count_queue
	end
fi

if begin regress "pg_regress"; then
	# Its lines "test NAME ... ok" and "... FAILED" (TAP from 16 on) are the results.
	test/pg_regress.sh >"$logs/regress" 2>&1
	status=$?
	good=$(grep -cE '^((test )? *[a-z_0-9]+ +\.\.\. ok|ok [0-9])' "$logs/regress")
	bad=$(grep -cE '^((test )? *[a-z_0-9]+ +\.\.\. FAILED|not ok [0-9])' "$logs/regress")
	[ "$status" != 0 ] && [ "$bad" = 0 ] && bad=1
	[ $((good + bad)) = "$(ls sql/*.sql | wc -l)" ] || bad=$((bad + 1))
	[ "$bad" = 0 ] || tail -n 80 "$logs/regress" | sed 's/^/    /'
	[ "$bad" = 0 ] || remember "FAILED: pg_regress: $(grep -oE '^((test )? *[a-z_0-9]+ +\.\.\. FAILED|not ok .*)' "$logs/regress" | tr -s ' ' | tr '\n' ' ')"
	passed=$((passed + good)) failed=$((failed + bad))
	printf '  %-34s %4d passed %3d failed\n' pg_regress "$good" "$bad"
	end
fi

if begin cluster "real clusters"; then
	for t in ${TESTS:-test/t/*.t}; do
		[ -e "$t" ] && queue "$t" perl -Itest/t "$t"
	done
	count_queue
	end
fi

if begin servers "providers: the conformance suite over real servers"; then
	single "conformance build" make -s build/unit/conformance
	for t in ceph swift azurite nginx apache sshd; do
		queue "servers/$t" test/servers/run.sh $t build/unit/conformance
	done
	count_queue
	end
fi

if begin demo "the demo with fewer rows"; then
	single "demo" env ROWS=20000 NO_SETUP=1 test/demo.sh
	end
fi

if begin packages "packages: what is in them, and that they leave nothing"; then
	tap packages test/packages.sh ${packaged:+installed}
	end
fi

cat "$logs/remembered"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
