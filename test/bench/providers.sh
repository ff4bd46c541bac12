#!/bin/bash
# Uploads to three providers (nginx and Apache over TLS, OpenSSH): each alone,
# then all at once; first as fast as loopback goes, then over links of RATE each.
#   test/bench/providers.sh [OBJECTS] [MEGABYTES]
. "$(dirname "$0")/common.sh"
objects=${1:-16} megabytes=${2:-8} rate=${RATE:-20MB}
make -s -C "$here" build/bench/upload
cp "$here/build/bench/upload" "$here"/test/servers/*.sh "$dir/"
as mkdir "$dir"/{nginx,apache,sshd}
cd "$dir"
for s in nginx apache sshd; do HOME=$dir/$s as bash "$dir/$s.sh" "$dir/$s"; done
# of sshd the first of its two providers
for s in nginx apache sshd; do awk '/^\[/ { n++ } n == 1' "$s/providers.conf"; done >fast.conf
sed "s/^credentials-file/max-rate = $rate\n&/" fast.conf >limited.conf
chmod 644 ./*.conf
echo "$objects objects of $megabytes MB, loopback"
as ./upload fast.conf "$objects" "$megabytes"
echo "the same, $rate/s for each provider"
as ./upload limited.conf "$objects" "$megabytes"
