#!/bin/bash
# Apache with mod_dav over TLS, Basic authentication.
. "${0%/*}/common.sh"
need apache2 openssl curl
m=/usr/lib/apache2/modules
[ -e $m/mod_dav_fs.so ] || unavailable "mod_dav is not installed"
p=$(free_port) password=$(openssl rand -hex 12)
make_certificate
mkdir -p store locks mutex
echo "backup:$(openssl passwd -apr1 "$password")" >users
cat >apache.conf <<C
ServerRoot $dir
ServerName 127.0.0.1
PidFile $dir/apache.pid
ErrorLog $dir/error.log
Mutex file:$dir/mutex
Listen 127.0.0.1:$p
LoadModule mpm_event_module $m/mod_mpm_event.so
LoadModule authn_core_module $m/mod_authn_core.so
LoadModule authn_file_module $m/mod_authn_file.so
LoadModule authz_core_module $m/mod_authz_core.so
LoadModule authz_user_module $m/mod_authz_user.so
LoadModule auth_basic_module $m/mod_auth_basic.so
LoadModule dav_module $m/mod_dav.so
LoadModule dav_fs_module $m/mod_dav_fs.so
LoadModule ssl_module $m/mod_ssl.so
LoadModule socache_shmcb_module $m/mod_socache_shmcb.so
SSLEngine on
SSLCertificateFile $dir/server.crt
SSLCertificateKeyFile $dir/server.key
SSLSessionCache shmcb:$dir/cache(512000)
KeepAlive On
MaxKeepAliveRequests 0
DavLockDB $dir/locks/db
DocumentRoot $dir/store
<Directory $dir/store>
	Dav On
	AuthType Basic
	AuthName dav
	AuthUserFile $dir/users
	Require valid-user
</Directory>
C
spawn apache apache2 -D FOREGROUND -f "$dir/apache.conf"
wait_for 20 curl -s --cacert ca.pem "https://127.0.0.1:$p/"
credentials apache "user = backup" "password = $password"
provider apache "type = webdav" "endpoint = https://127.0.0.1:$p/" "ca-file = $dir/ca.pem"
