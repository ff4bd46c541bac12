#!/bin/bash
# dist.sh VERSION DIRECTORY: pg_sovereign-VERSION.zip of what is committed, with
# META.json at its top, as PGXN takes it.
set -eu
name=pg_sovereign-$1 out=$2
cd "${0%/*}/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
sed "s/@VERSION@/$1/g" extension/packaging/META.json.in >"$work/META.json"
git archive --format=zip --prefix="$name/" --add-file="$work/META.json" -o "$out/$name.zip" HEAD
echo "$out/$name.zip"
