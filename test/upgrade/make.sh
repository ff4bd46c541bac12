#!/bin/bash
# make.sh COMMIT [database|repository]: makes what 089_upgrade.t starts from, with the
# version that a commit of this repository is: pg_sovereign--0.1.0.sql (its install
# script), 0.1.0.sql (a dump of the database of before.sql, with values that its library
# sealed) and 0.1.0.key (their root key); under that key 0.1.0.repository.tar, the three
# folders of a repository with a backup of a small cluster, and WAL.  What lies here
# was made from 519a4ef, the first version that was landed, on PostgreSQL 15.
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
sql() { as "$bin/psql" -X -q -h "$work" -U postgres -v ON_ERROR_STOP=1 "$@"; }
database() {
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
	as "$bin/pg_ctl" -D "$work/data" -m fast -w stop >/dev/null
	rm -rf "$work/data"
}

# One database and small segments, so that it is small.
repository() {
	sov() { as "$work/src/build/pg_sovereign" -c "$work/repository.conf" "$@"; }
	as mkdir -m 700 "$work/a" "$work/b" "$work/c"
	cp "$here/0.1.0.key" "$work/root.key"
	[ "$(id -u)" != 0 ] || chown postgres "$work/root.key"
	chmod 600 "$work/root.key"
	{
		printf '[cluster]\ndata-directory = %s/data\nconnection = host=%s user=postgres dbname=postgres\n' "$work" "$work"
		printf '[repository]\nname = old\nneeded = 2\nshards = 3\nstate-directory = %s/state\n[custody]\nroot = file:%s/root.key\n' "$work" "$work"
		for p in a b c; do printf '[provider.%s]\ntype = folder\npath = %s/%s\n' $p "$work" $p; done
	} >"$work/repository.conf"
	as "$bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --locale=C --wal-segsize=1 --data-checksums --no-sync >/dev/null
	cat >>"$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
sovereign.config_file = '$work/repository.conf'
archive_library = 'pg_sovereign'
autovacuum = off
full_page_writes = off
max_wal_size = 4MB
min_wal_size = 2MB
CONF
	as "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w start >/dev/null
	sql -c "UPDATE pg_database SET datistemplate = false" -c "DROP DATABASE template0" -c "DROP DATABASE template1" -c "DROP SCHEMA information_schema CASCADE" \
		-c "DELETE FROM pg_description" -c "DELETE FROM pg_collation WHERE collprovider = 'i'" -c "VACUUM FULL" postgres
	sov init
	echo "archive_mode = on" >>"$work/data/postgresql.conf"
	as "$bin/pg_ctl" -D "$work/data" -l "$work/log" -m fast -w restart >/dev/null
	sql -c "CREATE SCHEMA sov" -c "CREATE EXTENSION pg_sovereign SCHEMA sov" -c "SELECT sov.create_key('k')" \
		-c "CREATE TABLE story (what sov.encrypted_text('k'))" -c "INSERT INTO story VALUES ('in the backup')" postgres >/dev/null
	sov backup
	sql -c "INSERT INTO story VALUES ('in WAL')" -c "SELECT pg_switch_wal()" postgres >/dev/null
	as "$bin/pg_ctl" -D "$work/data" -m fast -w stop >/dev/null
	sov list
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -cf "$here/0.1.0.repository.tar" a b c
}

case ${2:-} in
	database | repository) "$2" ;;
	*) database && repository ;;
esac
