#!/bin/bash
# All benchmarks; each prints its own ratios, medians and machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
make -s all
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo make -s install
for b in test/bench/backup.sh test/bench/columns.sh; do
	echo "== $b"
	"$b"
done
