#!/bin/bash
# WAL to three providers far away: WebDAV over TLS (nginx), each behind a link that
# delays every byte by LATENCY ms both ways together.  The same segments by the archive
# module's helper one after the other, and with the ready ones going along.
#
# Beside them the limit: a round trip for each segment, or for as many as are on the way
# at once; and what the links, TLS and the server give in the same run to bare PUTs of
# as many bytes, with as many at once (curl; the time of twice as many less that of
# once, so that connecting is not counted).
#
# SEGSIZE: MB, a list (default "1 16"); MEGABYTES of WAL of each (default 384);
# RUNS: of each; medians are printed.
. "$(dirname "$0")/common.sh"
runs=${RUNS:-3} latency=${LATENCY:-50} megabytes=${MEGABYTES:-384}
make -s -C "$here" build/bench/delay
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; leave' EXIT
cp "$here/build/bench/delay" "$here"/test/servers/*.sh "$dir/"
as mkdir "$dir/nginx"
cd "$dir"
HOME=$dir/nginx as bash "$dir/nginx.sh" "$dir/nginx"
target=$(sed -n 's/^endpoint = .*:\([0-9]*\)$/\1/p' nginx/providers.conf | head -1)
user=$(sed -n 's/^user = //p' nginx/*.cred):$(sed -n 's/^password = //p' nginx/*.cred)
ports=()
for p in a b c; do
	port=$((20000 + RANDOM % 20000))
	./delay $port "$target" $((latency / 2)) &
	pids+=($!)
	ports+=($port)
done

configure() {
	local i=0 p
	{
		printf '[cluster]\ndata-directory = %s/data\n[repository]\nname = bench\nneeded = 2\nshards = 3\nstate-directory = %s/%s.state\n[custody]\nroot = file:%s/%s.key\n' \
			"$dir" "$dir" "$1" "$dir" "$1"
		for p in a b c; do
			printf '[provider.%s]\n' $p
			awk '/^\[/ { n++; next } n == 1 && !/^prefix/' nginx/providers.conf
			printf 'prefix = dav/%s%s\nconnect-to = 127.0.0.1:%s\nparallel = 32\n' "$1" $p "${ports[$i]}"
			i=$((i + 1))
		done
	} >"$1.conf"
	for p in a b c; do as mkdir -p "nginx/store/dav/$1$p"; done
	as "$bin/pg_sovereign" -c "$dir/$1.conf" key create-root >/dev/null 2>&1
	as "$bin/pg_sovereign" -c "$dir/$1.conf" init >/dev/null 2>&1
}

# All segments of the list, asked for in order as the archiver does: seconds.  They are
# ready from the beginning, or (one) each only when it is asked for.
push_all() {
	local conf=$1 from name answer
	coproc helper { as "$bin/pg_sovereign" -c "$dir/$conf.conf" wal-pushd "$dir/data/pg_wal"; }
	# opening the repository and the first connections are not what is measured
	echo "PUSH ${first[0]}" >&"${helper[1]}"
	read -r answer <&"${helper[0]}"
	[ "$2" = one ] || (cd data/pg_wal/archive_status && as touch "${names[@]/%/.ready}")
	from=$(now)
	for name in "${names[@]}"; do
		echo "PUSH $name" >&"${helper[1]}"
		while read -r answer <&"${helper[0]}"; do
			case $answer in
				"OK $name") break ;;
				FAIL*) echo "$answer" >&2; exit 1 ;;
			esac
		done
		rm -f "data/pg_wal/archive_status/$name.ready"
	done
	since "$from"
	eval "exec ${helper[1]}>&-"
	wait "$helper_PID" 2>/dev/null || true
}

# Bare PUTs of $1 segments, $2 at once, each a shard to every provider: seconds.
bare_puts() {
	local i p from
	{
		printf 'parallel\nparallel-immediate\nparallel-max = %s\nhttp1.1\nno-progress-meter\nfail\ncacert = %s\nuser = "%s"\nheader = "Expect:"\n' \
			$((3 * $2)) "$dir/nginx/ca.pem" "$user"
		for ((i = 0; i < $1; i++)); do
			for p in "${ports[@]}"; do printf 'url = https://127.0.0.1:%s/dav/bare%s/%s\nupload-file = %s\noutput = /dev/null\n' "$p" "$p" "$i" "$dir/shard"; done
		done
	} >bare.conf
	from=$(now)
	curl -K bare.conf
	since "$from"
	rm -rf nginx/store/dav/bare*
}

# The same less connecting.
link_limit() {
	local once twice
	once=$(bare_puts "$1" "$2")
	twice=$(bare_puts $((2 * $1)) "$2")
	awk -v a="$once" -v b="$twice" 'BEGIN { print b - a }'
}

# Looking through all that is stored, which plan of moves, apply, verify, repair and prune begin
# with: seconds, objects at each provider.
plan_all() {
	from=$(now)
	as "$bin/pg_sovereign" -c "$dir/$1.conf" verify --sample 1 >/dev/null
	awk -v a="$from" -v b="$(now)" -v n="$(find "nginx/store/dav/$1a" -type f | wc -l)" 'BEGIN { print b - a, n }'
}

echo "$(nproc) cores, $latency ms of latency to each of three providers, $megabytes MB of WAL, medians of $runs"
for size in ${SEGSIZE:-1 16}; do
	at_once=$((384 / size > 48 ? 48 : 384 / size)) # sov_wal_at_once()
	rm -rf data
	as "$bin/initdb" -D data -U postgres -A trust --no-sync --wal-segsize="$size" >/dev/null
	printf "port = %s\nlisten_addresses = ''\nunix_socket_directories = '%s'\narchive_mode = on\narchive_command = ''\nmax_wal_size = '20GB'\nsynchronous_commit = off\n" \
		$((20000 + RANDOM % 20000)) "$dir" >>data/postgresql.conf
	as "$bin/pg_ctl" -D data -l log -w start >/dev/null
	port=$(sed -n 4p data/postmaster.pid)
	sql() { as "$bin/psql" -X -q -h "$dir" -p "$port" -U postgres -c "$1" postgres; }
	sql "CREATE TABLE w (id bigint, a text, b timestamptz)"
	while [ "$(find data/pg_wal/archive_status -name '*.ready' | wc -l)" -lt $((megabytes / size)) ]; do
		sql "INSERT INTO w SELECT g, md5(g::text), now() FROM generate_series(1, 200000) g"
	done
	as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
	mapfile -t all < <(find data/pg_wal/archive_status -name '*.ready' -printf '%f\n' | grep -E '^[0-9A-F]{24}\.ready$' | sort | head -$((megabytes / size)))
	first=("${all[0]%.ready}")
	all=("${all[@]:1}")
	names=("${all[@]%.ready}")
	: >one.times; : >all.times; : >plan.times; : >one.limit; : >all.limit
	for run in $(seq "$runs"); do
		for how in one all; do
			rm -f data/pg_wal/archive_status/*.ready
			configure "$how$size$run"
			push_all "$how$size$run" $how >>$how.times
			if [ $run$how = 1one ]; then # a shard of the mean length
				find nginx/store/dav/"$how$size$run"[abc]/w -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%d\n", n / NR }' >shard.len
				head -c "$(cat shard.len)" /dev/urandom >shard
			fi
			link_limit ${#names[@]} $([ $how = one ] && echo 1 || echo $at_once) >>$how.limit
			[ $how = one ] || plan_all "$how$size$run" >>plan.times
			rm -rf nginx/store/dav/"$how"*
		done
	done
	awk -v s="$size" -v n="${#names[@]}" -v l="$latency" -v one="$(median <one.times)" -v all="$(median <all.times)" 'BEGIN {
		printf "segments of %d MB: one after the other %.1f MB/s (%.0f ms each, %.1f round trips), together %.1f MB/s: %.1f times\n", s, n * s / one, one * 1000 / n, one * 1000 / n / l, n * s / all, one / all }'
	awk -v s="$size" -v n="${#names[@]}" -v one="$(median <one.times)" -v all="$(median <all.times)" -v lone="$(median <one.limit)" -v lall="$(median <all.limit)" \
		-v l="$latency" -v at="$at_once" -v shard="$(cat shard.len)" 'BEGIN {
		printf "  limit: a round trip for each %.1f MB/s (%.0f %%), for %d on the way at once %.1f MB/s (%.0f %%)\n", s * 1000 / l, 100 * l * n / 1000 / one, at, at * s * 1000 / l, 100 * l * n / at / 1000 / all
		printf "  bare PUTs of the same shards (%.2f MB): one after the other %.1f MB/s (%.0f ms each; %.0f %%), %d at once %.1f MB/s (%.0f %%)\n", shard / 1048576, n * s / lone, lone * 1000 / n, 100 * lone / one, at, n * s / lall, 100 * lall / all }'
	awk -v l="$latency" -v t="$(cut -d' ' -f1 plan.times | median)" '{ n = $2 } END {
		printf "verify over %d objects at each of three: %.1f s, %.2f of a round trip for each header\n", n, t, t * 1000 / l / (3 * n) }' plan.times
done
