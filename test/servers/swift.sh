#!/bin/bash
# OpenStack Swift: its own protocol (tempauth, and Keystone's by a stand-in that
# hands out tempauth's tokens) and S3 (s3api), one replica on one device.
. "${0%/*}/common.sh"
need swift-ring-builder swift-proxy-server swift-object-server memcached curl python3
[ -r /etc/swift/swift.conf ] || unavailable "/etc/swift/swift.conf is not there"
p=$(free_port) mc=$(free_port) ks=$(free_port) user=$(id -un)
mkdir -p etc dev/d1
cp /etc/swift/swift.conf etc/
for t in object container account; do
	port=$(free_port) b=etc/$t.builder
	{ swift-ring-builder $b create 4 1 0; swift-ring-builder $b add "r1z1-127.0.0.1:$port/d1" 1; swift-ring-builder $b rebalance; } >ring.log
	cat >etc/$t-server.conf <<C
[DEFAULT]
bind_ip=127.0.0.1
bind_port=$port
workers=0
user=$user
swift_dir=$dir/etc
devices=$dir/dev
mount_check=false
[pipeline:main]
pipeline=$t-server
[app:$t-server]
use=egg:swift#$t
C
done
{
	cat <<C
[DEFAULT]
bind_ip=127.0.0.1
bind_port=$p
workers=0
user=$user
swift_dir=$dir/etc
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use=egg:swift#proxy
account_autocreate=true
[filter:tempauth]
use=egg:swift#tempauth
user_test_tester = testing-password .admin
token_life = 20
[filter:s3api]
use=egg:swift#s3api
location=us-east-1
[filter:cache]
use=egg:swift#memcache
memcache_servers=127.0.0.1:$mc
[filter:proxy-logging]
use=egg:swift#proxy_logging
[filter:versioned_writes]
use=egg:swift#versioned_writes
allow_object_versioning=true
allow_versioned_writes=true
C
	for f in catch_errors gatekeeper healthcheck listing_formats bulk tempurl copy slo dlo symlink; do
		printf '[filter:%s]\nuse=egg:swift#%s\n' $f $f
	done
} >etc/proxy-server.conf
spawn memcached memcached -l 127.0.0.1 -p "$mc" -U 0 -m 16
for n in object container account proxy; do spawn $n swift-$n-server etc/$n-server.conf; done
wait_for 60 curl -sf "http://127.0.0.1:$p/healthcheck"

token() { curl -sf -i -H "X-Auth-User: test:tester" -H "X-Auth-Key: testing-password" "http://127.0.0.1:$p/auth/v1.0" | tr -d '\r'; }
wait_for 30 token
answer=$(token)
key=$(sed -n 's/^[Xx]-[Aa]uth-[Tt]oken: //p' <<<"$answer") url=$(sed -n 's/^[Xx]-[Ss]torage-[Uu]rl: //p' <<<"$answer")
make_container() { wait_for 30 curl -sf -X PUT -H "X-Auth-Token: $key" "${@:2}" "$url/$1"; }
for c in native keystone s3bucket archive; do make_container $c; done
make_container versions -H "X-Versions-Enabled: true"
make_container stack -H "X-Versions-Location: archive"
make_container history -H "X-History-Location: archive"

cp "${0%/*}/keystone.py" .
spawn keystone python3 keystone.py "$ks" "$p"
wait_for 20 curl -s "http://127.0.0.1:$ks/"

credentials swift "user = test:tester" "password = testing-password"
cred=swift
provider swift-native "type = swift" "endpoint = http://127.0.0.1:$p/auth/v1.0" "allow-http = yes" "container = native"
provider swift-keystone "type = swift" "endpoint = http://127.0.0.1:$ks/v3" "allow-http = yes" "container = keystone" \
	"auth = keystone" "project = test" "region = one" "prefix = deep/er"
for c in versions stack history; do provider swift-$c "type = swift" "endpoint = http://127.0.0.1:$p/auth/v1.0" "allow-http = yes" "container = $c"; done
credentials swift-s3 "access-key = test:tester" "secret-key = testing-password"
cred=swift-s3
provider swift-s3 "type = s3" "endpoint = http://127.0.0.1:$p" "allow-http = yes" "region = us-east-1" "bucket = s3bucket" "part-size = 8MB"
