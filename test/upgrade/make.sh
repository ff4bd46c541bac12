#!/bin/bash
# make.sh COMMIT: makes what 089_upgrade.t starts from, with the version that a commit
# of this repository is: pg_sovereign--0.1.0.sql (its install script), 0.1.0.sql (a
# dump of the database of before.sql, with values that its library sealed) and
# 0.1.0.key (their root key).  What lies here was made from 519a4ef, the first version
# that was landed, on PostgreSQL 15.
set -eu
here=$(cd "${0%/*}" && pwd)
work=$(mktemp -d /tmp/sov_make.XXXXXX)
bin=$("$here/tree.sh" "$work/tree")
git clone -q "$here/../.." "$work/src"
git -C "$work/src" checkout -q "$1"
# what is built and installed there finds its headers where they are
root=${bin%/lib/postgresql/*/bin}
ln -s /usr/include "$root/include"
ln -s /usr/share/postgresql-common "$root/share/postgresql-common"
export PG_CONFIG=$bin/pg_config PATH=$bin:$PATH
rm -f "$(pg_config --pkglibdir)"/pg_sovereign* "$(pg_config --sharedir)"/extension/pg_sovereign*
make -s -C "$work/src" all install

as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
stop() {
	as "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || true
	rm -rf "$work"
}
trap stop EXIT
chmod 755 "$work"
[ "$(id -u)" != 0 ] || chown postgres "$work"
as "$work/src/build/pg_sovereign" key create-root "$work/root.key"
printf '[custody]\nroot = file:%s\n' "$work/root.key" >"$work/sov.conf"
as "$bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
cat >>"$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
sovereign.config_file = '$work/sov.conf'
CONF
as "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w start >/dev/null
as "$bin/psql" -X -q -h "$work" -U postgres -v ON_ERROR_STOP=1 -f - postgres <"$here/before.sql" >/dev/null
as "$bin/pg_dump" -h "$work" -U postgres postgres | grep -v '^\\\(un\)\?restrict ' >"$here/0.1.0.sql"
cp "$work/src/extension/pg_sovereign--0.1.0.sql" "$here"
cp "$work/root.key" "$here/0.1.0.key"
