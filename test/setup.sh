#!/bin/bash
# Install, from Debian's packages, what building, the demo and the tests need.
# With the argument "tests" also the clients that only the tests use, with "bench"
# the peers that are measured beside.
# SOV_SERVER: the server's major version (default 15, Debian 12's).
# Does nothing (and needs no privileges) when all of it is there.
set -eu
server=${SOV_SERVER:-15}
packages="gcc make postgresql-$server postgresql-client-$server postgresql-contrib
 postgresql-server-dev-$server libpq-dev libssl-dev libzstd-dev libinih-dev
 libgfshare-dev libjansson-dev libcurl4-openssl-dev libexpat1-dev libp11-kit-dev libipc-run-perl perl openssl ca-certificates
 util-linux procps zstd"
[ "$(uname -m)" = x86_64 ] && packages="$packages libisal-dev libipsec-mb-dev"
if [ "${1:-}" = tests ]; then
	packages="$packages python3-psycopg2 python3-psycopg libpostgresql-jdbc-java"
	command -v javac >/dev/null || packages="$packages default-jdk-headless"
	command -v node >/dev/null || packages="$packages nodejs node-pg"
	# servers of the providers' tests: S3, Swift, WebDAV, SFTP, Azure Blob
	packages="$packages ceph-mon ceph-osd radosgw swift-proxy swift-account swift-container
 swift-object memcached nginx-light libnginx-mod-http-dav-ext apache2-bin openssh-server
 curl python3"
	# promtool, which checks metrics and alert rules
	packages="$packages prometheus"
	# custodians: an HSM in software, its tool, a KMIP server, what the stub of Vault encrypts with
	packages="$packages softhsm2 opensc python3-pykmip python3-cryptography"
	# clocks that jump
	packages="$packages faketime"
	# the extension's own packages are built, installed and removed
	packages="$packages debhelper dpkg-dev fakeroot man-db systemd"
	command -v npm >/dev/null || packages="$packages npm"
fi
[ "${1:-}" = bench ] && packages="$packages pgbackrest"

missing=
for p in $packages; do
	case "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" in
		*"ok installed"*) ;;
		*) missing="$missing $p" ;;
	esac
done
# Azurite is no Debian package; without it the tests of Azure are skipped, and say so.
azurite=/usr/local/lib/azurite
need_azurite=
[ "${1:-}" != tests ] || [ -e $azurite/node_modules/azurite ] || need_azurite=1
[ -z "$missing$need_azurite" ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	command -v sudo >/dev/null || { echo "run as root, or install sudo; needed packages:$missing" >&2; exit 1; }
fi
echo "Installing from Debian's packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# Installing the server's package would create and start a cluster of the
# system's; ours are throwaway clusters, so it is told not to, for this once.
conf=/etc/postgresql-common/createcluster.conf
made=
trap '[ -z "$made" ] || $sudo rm -f $made' EXIT
if [ ! -e "$conf" ]; then
	made="$made $conf"
	$sudo mkdir -p "${conf%/*}"
	echo "create_main_cluster = false" | $sudo tee "$conf" >/dev/null
fi
# Nor shall the servers of the tests run as the system's own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	made="$made $policy"
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
fi
if [ -n "$missing" ]; then
	$sudo apt-get update -qq
	$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
if [ -n "$need_azurite" ]; then
	echo "Installing azurite (npm) into $azurite"
	$sudo npm install --silent --no-fund --no-audit --omit=dev --prefix $azurite azurite@3.35.0 >/dev/null ||
		echo "azurite could not be installed: the tests of Azure will be skipped" >&2
fi
