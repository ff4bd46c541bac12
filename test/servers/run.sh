#!/bin/bash
# Run the conformance suite over the providers of one server:
#   test/servers/run.sh NAME [PROGRAM]
# NAME is a script beside this one.  Prints TAP.  The server and the suite run as
# an unprivileged user (SOV_TEST_USER, else postgres) when this is run as root.
set -u
name=$1 program=$(readlink -f "${2:-build/unit/conformance}") here=$(cd "${0%/*}" && pwd) status=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/sov_server.XXXXXX")
as=
if [ "$(id -u)" = 0 ]; then
	user=${SOV_TEST_USER:-postgres}
	as="setpriv --reuid=$user --regid=$(id -g "$user") --init-groups --inh-caps=-all --"
fi
# the user may not be able to read where this was built
mkdir "$dir/bin" "$dir/run"
cp "$program" "$dir/bin/conformance"
cp "$here"/*.sh "$here"/*.py "$dir/bin/"
[ -z "$as" ] || chown -R "$user" "$dir"
finish() {
	[ ! -f "$dir/run/pids" ] || while read -r pid; do kill -9 -- "-$pid" 2>/dev/null; done <"$dir/run/pids"
	sleep 0.2
	[ -n "${KEEP:-}" ] && echo "# kept: $dir" || rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM
export TMPDIR="$dir/run" HOME="$dir/run"
cd "$dir/run"
why=$($as bash "$dir/bin/$name.sh" "$dir/run") || status=$?
if [ "$status" = 77 ]; then
	echo "1..0 # SKIP $name: $why"
	exit 0
elif [ "$status" != 0 ]; then
	echo "not ok 1 - $name starts"
	echo "1..1"
	exit 1
fi
SOV_PROVIDERS="$dir/run/providers.conf" $as "$dir/bin/conformance"
