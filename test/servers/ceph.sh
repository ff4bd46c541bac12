#!/bin/bash
# Ceph RGW: S3 over TLS and in the clear, with one monitor and one object store
# in memory.
. "${0%/*}/common.sh"
need ceph-mon ceph-osd radosgw radosgw-admin ceph openssl
p=$(free_port) tls=$(free_port) v2=$(free_port) v1=$(free_port) low=$((31000 + RANDOM % 700)) fsid=$(cat /proc/sys/kernel/random/uuid)
mkdir mon osd run log rgw
make_certificate
cat >ceph.conf <<C
[global]
fsid=$fsid
mon host=[v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]
auth cluster required=cephx
auth service required=cephx
auth client required=cephx
ms bind port min=$low
ms bind port max=$((low + 60))
public addr=127.0.0.1
cluster addr=127.0.0.1
osd pool default size=1
osd pool default min size=1
osd pool default pg num=8
osd pool default pg autoscale mode=off
mon allow pool size one=true
mon max pg per osd=2000
osd crush chooseleaf type=0
mon data avail crit=1
memstore device bytes=4294967296
run dir=$dir/run
admin socket=$dir/run/\$name.asok
log file=$dir/log/\$name.log
pid file=$dir/run/\$name.pid
keyring=$dir/keyring
crash dir=$dir/run
[mon.a]
mon data=$dir/mon
[osd.0]
osd data=$dir/osd
osd objectstore=memstore
[client.rgw]
rgw frontends=beast endpoint=127.0.0.1:$p ssl_endpoint=127.0.0.1:$tls ssl_certificate=$dir/server.pem
rgw data=$dir/rgw
rgw dns name=s3.test
rgw enable apis=s3, admin
C
export CEPH_CONF=$dir/ceph.conf
ceph-authtool -C keyring --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >/dev/null
ceph-authtool keyring --gen-key -n client.rgw --cap mon 'allow rwx' --cap osd 'allow rwx' >/dev/null
ceph-authtool keyring --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' >/dev/null
monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]" monmap >/dev/null
ceph-mon -i a --mkfs --monmap monmap --keyring keyring
spawn mon ceph-mon -f -i a
wait_for 60 timeout 20 ceph -s
osd=$(cat /proc/sys/kernel/random/uuid)
ceph osd new "$osd" 0 >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$osd" >/dev/null 2>&1
spawn osd ceph-osd -f -i 0
wait_for 60 bash -c 'ceph osd stat | grep -q "1 up"'
spawn rgw radosgw -f -n client.rgw
wait_for 60 bash -c "exec 3<>/dev/tcp/127.0.0.1/$p"
access=TESTACCESSKEY secret=$(openssl rand -hex 20)
radosgw-admin -n client.rgw --admin-socket="" user create --uid=tester --display-name=tester --access-key=$access --secret-key="$secret" >/dev/null

make_bucket "http://127.0.0.1:$p" us-east-1 versions $access "$secret" -H "x-amz-bucket-object-lock-enabled: true"
for bucket in one two three; do
	make_bucket "http://127.0.0.1:$p" us-east-1 $bucket $access "$secret"
done
credentials ceph "access-key = $access" "secret-key = $secret"
cred=ceph
provider ceph-path "type = s3" "endpoint = http://127.0.0.1:$p" "allow-http = yes" "region = us-east-1" "bucket = one" \
	"conditional-put = yes"
provider ceph-virtual "type = s3" "endpoint = https://s3.test:$tls" "connect-to = 127.0.0.1:$tls" "ca-file = $dir/ca.pem" \
	"region = us-east-1" "bucket = two" "prefix = Some/prefix" "addressing = virtual" "part-size = 5MB" "list-version = 1" "content-md5 = yes"
# every put makes a version, and objects may be locked
provider ceph-versions "type = s3" "endpoint = http://127.0.0.1:$p" "allow-http = yes" "region = us-east-1" "bucket = versions"
