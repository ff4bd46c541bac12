#!/bin/bash
# tree.sh DIRECTORY: the server of PG_CONFIG once more, below that directory, where
# another pg_sovereign may be installed; prints its bin directory.  Programs are
# copied, as a server looks for its files beside itself; all else is linked.
set -eu
config=${PG_CONFIG:-pg_config} to=$1
bin=$("$config" --bindir) lib=$("$config" --pkglibdir) share=$("$config" --sharedir)
mkdir -p "$to$bin" "$to$lib" "$to$share/extension"
cp -L "$bin"/{postgres,initdb,pg_ctl,pg_config,psql,pg_dump} "$to$bin"
cp "$bin/pg_sovereign" "$to$bin" 2>/dev/null || true
cp -as "$lib/." "$to$lib"
for file in "$share"/*; do
	[ "${file##*/}" = extension ] || ln -s "$file" "$to$share"
done
cp -as "$share/extension/." "$to$share/extension"
echo "$to$bin"
