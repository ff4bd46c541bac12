#!/bin/bash
# PyKMIP, for the tests of custodians (not one of providers, so that run.sh does not run
# it): "pykmip.sh DIR".  DIR/port is its port; DIR/client.* may work, DIR/other.* is
# another client, DIR/expired.* has ended, DIR/stranger.* is of an authority that the
# server does not know.  Certificates as .crt, keys as .key, the authority is DIR/ca.pem.
. "${0%/*}/common.sh"
need openssl /usr/bin/pykmip-server
/usr/bin/python3 -c 'import kmip' 2>/dev/null || unavailable "python3-pykmip is not installed"
make_certificate
printf 'extendedKeyUsage=clientAuth\n' >client.ext

# client NAME AUTHORITY DAYS
client() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$3" -extfile client.ext -out "$1.crt" 2>/dev/null
	chmod 600 "$1.key"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=unknown authority" -keyout none.key -out none.pem 2>/dev/null
client client ca 2
client other ca 2
client stranger none 2
client expired ca -1
port=$(free_port)
mkdir policy
cat >server.conf <<C
[server]
hostname=127.0.0.1
port=$port
certificate_path=$dir/server.crt
key_path=$dir/server.key
ca_path=$dir/ca.pem
auth_suite=TLS1.2
policy_path=$dir/policy
enable_tls_client_auth=True
database_path=$dir/pykmip.db
logging_level=WARNING
C
spawn pykmip /usr/bin/python3 -W ignore /usr/bin/pykmip-server -f "$dir/server.conf" -l "$dir/pykmip-server.log"
wait_for 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
echo "$port" >port
