#!/bin/bash
# deb.sh VERSION PG_CONFIG DIRECTORY: builds Debian packages of this tree for the
# server that PG_CONFIG belongs to, and puts them into DIRECTORY.
set -eu
version=$1 pg=$("$2" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/') out=$3
root=$(cd "${0%/*}/../.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/pg-sovereign-$version
mkdir "$tree"
tar -C "$root" -cf - Makefile CHANGELOG.md LICENSE README.md extension include providers sql test/unit test/conformance test/fuzz \
	--exclude='*.o' --exclude='*.bc' | tar -C "$tree" -xf -
cp -r "$root/extension/packaging/debian" "$tree/debian"
sed "s/@PG@/$pg/g" "$tree/debian/control.in" >"$tree/debian/control"
rm "$tree/debian/control.in"
cp "$root/LICENSE" "$tree/debian/copyright"
cat >"$tree/debian/changelog" <<C
pg-sovereign ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- pg_sovereign developers <developers@pg-sovereign.invalid>  $(LC_ALL=C date -u -R -r "$root/CHANGELOG.md")
C
cd "$tree"
export DEB_BUILD_OPTIONS="nocheck parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}"
dpkg-buildpackage -b -us -uc
rm -f "$out"/*.deb
cp "$work"/*.deb "$out"
