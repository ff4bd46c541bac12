#!/bin/bash
# Uploads to three providers (nginx and Apache over TLS, OpenSSH): each alone,
# then all at once; first as fast as loopback goes, then over links of RATE each.
#   test/bench/providers.sh [OBJECTS] [MEGABYTES]
set -eu
cd "$(dirname "$0")/../.."
objects=${1:-16} megabytes=${2:-8} rate=${RATE:-20MB}
make -s build/bench/upload
dir=$(mktemp -d "${TMPDIR:-/tmp}/sov_bench.XXXXXX")
as=
if [ "$(id -u)" = 0 ]; then
	user=${SOV_TEST_USER:-postgres}
	as="setpriv --reuid=$user --regid=$(id -g "$user") --init-groups --inh-caps=-all --"
fi
finish() {
	for f in "$dir"/*/pids; do
		[ ! -f "$f" ] || while read -r pid; do kill -9 -- "-$pid" 2>/dev/null; done <"$f"
	done
	sleep 0.2
	rm -rf "$dir"
}
trap finish EXIT
cp build/bench/upload test/servers/*.sh "$dir/"
for s in nginx apache sshd; do mkdir "$dir/$s"; done
[ -z "$as" ] || chown -R "$user" "$dir"
cd "$dir"
for s in nginx apache sshd; do HOME=$dir/$s $as bash "$dir/$s.sh" "$dir/$s"; done
# of sshd the first of its two providers
for s in nginx apache sshd; do awk '/^\[/ { n++ } n == 1' "$s/providers.conf"; done >fast.conf
sed "s/^credentials-file/max-rate = $rate\n&/" fast.conf >limited.conf
chmod 644 ./*.conf
echo "$objects objects of $megabytes MB, loopback"
$as ./upload fast.conf "$objects" "$megabytes"
echo "the same, $rate/s for each provider"
$as ./upload limited.conf "$objects" "$megabytes"
