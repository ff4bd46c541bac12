#!/bin/bash
# Azurite, Microsoft's emulator of Azure Blob: Shared Key over TLS, and a SAS.
. "${0%/*}/common.sh"
need node openssl curl
main=${AZURITE:-}
for m in /usr/local/lib/azurite /usr/local /usr; do
	[ -n "$main" ] || ! [ -e "$m/lib/node_modules/azurite/dist/src/blob/main.js" ] || main=$m/lib/node_modules/azurite/dist/src/blob/main.js
	[ -n "$main" ] || ! [ -e "$m/node_modules/azurite/dist/src/blob/main.js" ] || main=$m/node_modules/azurite/dist/src/blob/main.js
done
[ -n "$main" ] && [ -r "$main" ] || unavailable "azurite is not installed (npm)"
p=$(free_port)
make_certificate
key=$(openssl rand -base64 48)
mkdir data
AZURITE_ACCOUNTS="acct1:$key" spawn azurite node "$main" --blobHost 127.0.0.1 --blobPort "$p" -l "$dir/data" \
	--disableTelemetry -s --cert server.crt --key server.key
wait_for 60 curl -s --cacert ca.pem "https://127.0.0.1:$p/"

# sign STRING: base64 of the account's HMAC
sign() {
	printf '%b' "$1" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(base64 -d <<<"$key" | od -An -v -tx1 | tr -d ' \n')" -binary | base64 -w0
}
for c in blobs sasblobs; do
	date=$(date -u '+%a, %d %b %Y %H:%M:%S GMT')
	auth=$(sign "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:$date\nx-ms-version:2021-08-06\n/acct1/acct1/$c\nrestype:container")
	curl -sS -f --cacert ca.pem -X PUT "https://127.0.0.1:$p/acct1/$c?restype=container" -H "x-ms-date: $date" \
		-H "x-ms-version: 2021-08-06" -H "Content-Length:" -H "Authorization: SharedKey acct1:$auth"
done
# a service SAS for the container, of version 2020-10-02: 16 lines are signed
until=$(date -u -d '+1 day' +%Y-%m-%dT%H:%M:%SZ)
sig=$(sign "racwdl\n\n$until\n/blob/acct1/sasblobs\n\n\n\n2020-10-02\nc\n\n\n\n\n\n")
sas="sv=2020-10-02&sr=c&sp=racwdl&se=${until//:/%3A}&sig=$(sed 's/+/%2B/g; s/\//%2F/g; s/=/%3D/g' <<<"$sig")"
credentials azure-key "account = acct1" "account-key = $key"
credentials azure-sas "sas-token = $sas"
cred=azure-key
provider azure-key "type = azure" "endpoint = https://127.0.0.1:$p/acct1" "ca-file = $dir/ca.pem" "container = blobs" "prefix = p"
cred=azure-sas
provider azure-sas "type = azure" "endpoint = https://127.0.0.1:$p/acct1" "ca-file = $dir/ca.pem" "container = sasblobs"
