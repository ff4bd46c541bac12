#!/bin/bash
# man.sh PROGRAM DIRECTORY: the manual pages, from what PROGRAM --help and
# PROGRAM COMMAND --help say, so that they cannot disagree with it: one page for
# the program, one for each command that its own help lists.
set -eu -o pipefail
program=$(readlink -f "$1") out=$2
version=$("$program" --version | sed 's/.* //')
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%d)
mkdir -p "$out"
commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p')
pages="pg_sovereign $(printf 'pg_sovereign-%s ' $commands)"
for page in $pages; do
	command=${page#pg_sovereign}
	"$program" ${command:+"${command#-}"} --help |
		awk -v page="$page" -v pages="$pages" -v version="$version" -v date="$date" -f "${0%/*}/man.awk" >"$out/$page.1"
done
