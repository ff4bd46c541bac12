#!/bin/bash
# nginx with WebDAV (dav and dav-ext modules) over TLS, Basic authentication.
. "${0%/*}/common.sh"
need nginx openssl curl
module=$(find /usr/lib/nginx /usr/share/nginx -name ngx_http_dav_ext_module.so 2>/dev/null | head -n 1)
[ -n "$module" ] || unavailable "nginx's dav-ext module is not installed"
p=$(free_port) password=$(openssl rand -hex 12)
make_certificate
mkdir -p store/dav tmp
echo "backup:$(openssl passwd -apr1 "$password")" >users
cat >nginx.conf <<C
load_module $module;
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_processes 2;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $dir/tmp/b; proxy_temp_path $dir/tmp/p; fastcgi_temp_path $dir/tmp/f;
	uwsgi_temp_path $dir/tmp/u; scgi_temp_path $dir/tmp/s;
	client_max_body_size 0;
	keepalive_requests 100000;
	dav_ext_lock_zone zone=dl:1m;
	server {
		listen 127.0.0.1:$p ssl;
		listen [::1]:$p ssl;
		ssl_certificate $dir/server.crt;
		ssl_certificate_key $dir/server.key;
		root $dir/store;
		location / {
			dav_methods PUT DELETE MKCOL COPY MOVE;
			dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
			dav_ext_lock zone=dl;
			create_full_put_path on;
			auth_basic dav;
			auth_basic_user_file $dir/users;
		}
	}
}
C
spawn nginx nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
wait_for 20 curl -s --cacert ca.pem "https://127.0.0.1:$p/"
credentials nginx "user = backup" "password = $password"
provider nginx "type = webdav" "endpoint = https://127.0.0.1:$p" "ca-file = $dir/ca.pem" "prefix = dav"
