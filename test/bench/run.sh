#!/bin/bash
# All benchmarks; each prints its own ratios, medians and machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
make -s all
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo make -s install
make -s build/bench/value
echo "== sealing and opening one value"
build/bench/value
for b in test/bench/backup.sh test/bench/peers.sh test/bench/growth.sh test/bench/wal.sh test/bench/columns.sh test/bench/lease.sh test/bench/subjects.sh test/bench/audit.sh test/bench/providers.sh test/bench/latency.sh test/bench/drain.sh test/bench/objects.sh test/bench/views.sh; do
	echo "== $b"
	"$b"
done
