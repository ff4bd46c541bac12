#!/bin/bash
# The same tests on later versions of PostgreSQL: versions.sh [17] [18].
#
# Each has a chroot of the Debian suite that has that version (17: trixie, 18: forky),
# made once by debootstrap below DIR (default build/chroot, about 1.3 GB each) and kept.
# The tree is copied into it, built there against that server and installed, and
# test/run.sh runs PARTS there (default: regress and cluster).  In trixie, pg_upgrade
# from Debian 12's PostgreSQL 15 follows.  Tests of what is not
# installed in it, such as real servers of providers, are skipped and say so.
# Mounts are of a namespace of its own: nothing is left mounted.  Root only.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "a chroot is made and entered: run it as root" >&2; exit 1; }
dir=${DIR:-build/chroot} parts=${PARTS:-regress cluster}
mirror=$(sed -nE 's/^URIs: *(\S+\/debian\/?)$/\1/p; s/^deb +(\[.*\] *)?(\S+\/debian\/?) .*/\2/p' \
	/etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
[ -n "$mirror" ] || { echo "no Debian archive is named in /etc/apt" >&2; exit 1; }
command -v debootstrap >/dev/null || apt-get install -y -q debootstrap >/dev/null

suite_of() {
	case $1 in
		17) echo trixie ;;
		18) echo forky ;;
		*) echo "no suite is known that has PostgreSQL $1" >&2; exit 1 ;;
	esac
}

# inside ROOT COMMAND...
inside() {
	local root=$1
	shift
	unshare --mount --pid --fork sh -c 'root=$1; shift
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"' sh "$root" "$@"
}

# pg_upgrade_from_15 ROOT: beside 17, the server of Debian 12
pg_upgrade_from_15() {
	local old=/usr/lib/postgresql/15/bin/pg_config log=$1.log
	echo "== pg_upgrade from PostgreSQL 15"
	echo "deb $mirror bookworm main" >"$1/etc/apt/sources.list.d/bookworm.list"
	printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' >"$1/etc/apt/preferences.d/bookworm"
	inside "$1" env SOV_SERVER=15 /src/test/setup.sh >"$log" 2>&1 &&
		inside "$1" sh -c "cd /src && make -s clean && make -s -j2 PG_CONFIG=$old && make -s install PG_CONFIG=$old" >>"$log" 2>&1 ||
		{ tail -n 20 "$log" >&2; return 1; }
	inside "$1" sh -c "cd /src && PG_CONFIG=$old NEW_PG_CONFIG=${old/15/17} prove test/upgrade/pg_upgrade.t"
}

status=0
for version in ${*:-17 18}; do
	suite=$(suite_of "$version")
	root=$(mkdir -p "$dir" && cd "$dir" && pwd)/$suite
	if [ ! -e "$root/made" ]; then
		echo "== a chroot of Debian $suite"
		rm -rf "$root"
		script=/usr/share/debootstrap/scripts/$suite
		[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
		debootstrap --variant=minbase "$suite" "$root" "$mirror" "$script" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
		# a mirror may be a snapshot; what it has is signed all the same
		echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99snapshot"
		touch "$root/made"
	fi
	rm -rf "$root/src"
	mkdir "$root/src"
	git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$root/src"
	echo "== PostgreSQL $version on $suite"
	inside "$root" env SOV_SERVER="$version" /src/test/setup.sh >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
	inside "$root" env PG_CONFIG="/usr/lib/postgresql/$version/bin/pg_config" PARTS="$parts" FROM_SOURCE=1 \
		${JOBS:+JOBS="$JOBS"} ${TESTS:+TESTS="$TESTS"} /src/test/run.sh || status=1
	[ "$version" != 17 ] || pg_upgrade_from_15 "$root" || status=1
done
exit $status
