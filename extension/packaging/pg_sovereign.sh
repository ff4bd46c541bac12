#!/bin/sh
# The command of the newest server version that has it, or of PG_SOVEREIGN_PG (15, ...).
program=$(ls -d /usr/lib/postgresql/${PG_SOVEREIGN_PG:-*}/bin/pg_sovereign 2>/dev/null | sort -t/ -k5,5nr | head -n 1)
if [ -z "$program" ]; then
	echo "pg_sovereign: the package postgresql-${PG_SOVEREIGN_PG:-VERSION}-sovereign is not installed" >&2
	exit 127
fi
exec "$program" "$@"
