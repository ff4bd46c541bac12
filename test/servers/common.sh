# common.sh - what the scripts of test/servers share.
#
# Each script is called "NAME.sh DIR": it starts its server below DIR (an empty
# directory of the user that runs it), waits until it is ready, writes the
# sections of its providers to DIR/providers.conf with credentials files beside
# it, and makes bucket, container or folder.  It ends with status 77 and a
# reason on standard output when the server cannot be had here.  All processes
# it started stand in DIR/pids; run.sh ends them.
set -eu
dir=$1
cd "$dir"
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

unavailable() { echo "$*"; exit 77; }
need() { for c in "$@"; do command -v "$c" >/dev/null || unavailable "$c is not installed"; done; }

# A port on which nothing listens now, from a range below the ephemeral ones.
free_port() {
	local p
	while :; do
		p=$((20000 + RANDOM % 10000))
		(exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
	done
}

# spawn NAME COMMAND...: a process of its own, output to NAME.log
spawn() {
	local name=$1
	shift
	setsid "$@" >"$name.log" 2>&1 </dev/null &
	echo $! >>pids
}

# wait_for SECONDS COMMAND...
wait_for() {
	local n=$(($1 * 5))
	shift
	while ! "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ "$n" -gt 0 ] || { echo "the server did not get ready: $*" >&2; tail -n 20 ./*.log >&2; exit 1; }
		sleep 0.2
	done
}

# An authority and a server's certificate for 127.0.0.1, ::1 and *.s3.test
make_certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=test authority" \
		-keyout ca.key -out ca.pem 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=s3.test" -keyout server.key -out server.csr 2>/dev/null
	printf 'subjectAltName=DNS:s3.test,DNS:*.s3.test,IP:127.0.0.1,IP:::1\n' >server.ext
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.crt 2>/dev/null
	chmod 600 ca.key server.key
	cat server.crt server.key >server.pem
	chmod 600 server.pem
}

# credentials NAME LINE...: a credentials file
credentials() {
	local name=$1
	shift
	(umask 077 && printf '%s\n' "$@" >"$name.cred")
}

# provider NAME LINE...: a section of providers.conf; short waits, as in a test
provider() {
	local name=$1
	shift
	{ echo "[provider.$name]"; printf '%s\n' "$@"; echo "credentials-file = $dir/${cred:-$name}.cred"
	  echo "connect-timeout = 15s"; echo "stall-timeout = 20s"; echo; } >>providers.conf
}

# make_bucket URL REGION BUCKET ACCESS SECRET [CURL-OPTION ...]
make_bucket() {
	(umask 077 && printf 'user = "%s:%s"\n' "$4" "$5" >curl.conf)
	curl -sS -f -K curl.conf --aws-sigv4 "aws:amz:$2:s3" -X PUT "$1/$3" "${@:6}" \
		-H "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" >/dev/null
	rm curl.conf
}
