#!/usr/bin/python3
"""vault_stub.py DIR - the documented API of Vault's transit engine, for tests alone.

No Vault and no OpenBao is among the packages that tests may install.  This answers as
their API documentation says (transit: keys, encrypt, decrypt, hmac, rotate, config;
auth/token/lookup-self; sealed, denied, no route), with AES-256-GCM from Python's
cryptography.  TLS with DIR/server.pem.  Writes its port to DIR/port when it listens.

Writes what it is asked for to DIR/asked, a line "METHOD PATH" each.

Tokens: TOKEN may all; "reader" may read keys; others have expired.  DIR/mode says how
it behaves: ok, sealed, gone (no key), slow, rubbish, cut, standby, other (decrypts to something that
is no key), echo (errors repeat what was sent), long.
"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import ssl
import sys
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DIR = sys.argv[1]
KEYS = {}
TOKEN = "hvs.good-0123456789-abcdef"


class Refused(Exception):
    def __init__(self, status, *errors):
        super().__init__(status)
        self.status, self.errors = status, list(errors)


def mode():
    try:
        with open(os.path.join(DIR, "mode")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return "ok"


def new_version():
    return {"key": os.urandom(32), "hmac": os.urandom(32), "made": int(time.time())}


def version_of(key, n, least):
    if n > len(key["versions"]):
        raise Refused(400, "invalid ciphertext: version is too new")
    if n < key["min_decryption_version"] or (least and n < least):
        raise Refused(400, "ciphertext or signature version is disallowed by policy (too old)")
    return key["versions"][n - 1]


def make_key(name, body):
    KEYS.setdefault(name, {
        "type": body.get("type", "aes256-gcm96"), "exportable": body.get("exportable", False),
        "allow_plaintext_backup": body.get("allow_plaintext_backup", False), "derived": body.get("derived", False),
        "min_decryption_version": 1, "min_encryption_version": 0, "versions": [new_version()]})
    return None


def read_key(key, name):
    facts = {k: v for k, v in key.items() if k not in ("versions", "deletable")}
    facts.update(name=name, latest_version=len(key["versions"]), deletion_allowed=key.get("deletable", False), supports_encryption=True,
                 keys={str(i + 1): v["made"] for i, v in enumerate(key["versions"])})
    return facts


def encrypt(key, body):
    n = len(key["versions"])
    nonce = os.urandom(12)
    sealed = nonce + AESGCM(key["versions"][n - 1]["key"]).encrypt(nonce, base64.b64decode(body["plaintext"]), None)
    return {"ciphertext": "vault:v%d:%s" % (n, base64.b64encode(sealed).decode()), "key_version": n}


def decrypt(key, body):
    m = re.fullmatch(r"vault:v(\d+):(.*)", body["ciphertext"])
    if not m:
        raise Refused(400, "invalid ciphertext: no prefix")
    try:
        raw = base64.b64decode(m[2], validate=True)
        key_of = version_of(key, int(m[1]) or 1, 0)["key"]      # as Vault does: v0 is the first
        plain = AESGCM(key_of).decrypt(raw[:12], raw[12:], None)
    except (ValueError, InvalidTag):
        raise Refused(400, "cipher: message authentication failed")
    return {"plaintext": "AAAA" if mode() == "other" else base64.b64encode(plain).decode()}


def make_hmac(key, body):
    n = int(body.get("key_version") or len(key["versions"]))
    if key["min_encryption_version"] and n < key["min_encryption_version"]:
        raise Refused(400, "cannot generate HMAC: version is too old (disallowed by policy)")
    mac = hmac.new(version_of(key, n, 0)["hmac"], base64.b64decode(body["input"]), hashlib.sha256).digest()
    return {"hmac": "vault:v%d:%s" % (n, base64.b64encode(mac).decode())}


def config(key, body):
    key["deletable"] = body.get("deletion_allowed", key.get("deletable", False))
    for name in ("exportable", "allow_plaintext_backup"):
        key[name] = key[name] or body.get(name, False)          # never taken back
    for name in ("min_decryption_version", "min_encryption_version"):
        key[name] = int(body.get(name, key[name]))
    return None


def answer(method, path, token, namespace, body):
    with open(os.path.join(DIR, "asked"), "a") as f:
        f.write("%s %s\n" % (method, path))
    if mode() == "sealed":
        raise Refused(503, "Vault is sealed")
    if token not in (TOKEN, "reader"):
        raise Refused(403, "permission denied")
    if path == "auth/token/lookup-self":
        return {"display_name": "token", "ttl": 3600}
    m = re.fullmatch(r"transit/(keys|encrypt|decrypt|hmac)/([\w.-]+)(/rotate|/config)?", path)
    if not m or namespace not in (None, "team"):
        raise Refused(404, "no handler for route \"%s\". route entry not found." % path)
    what, name, more = m.groups()
    name = (namespace or "") + "/" + name
    if token == "reader" and method != "GET":
        raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")
    if what == "keys" and method == "POST" and not more:
        return make_key(name, body)
    key = None if mode() == "gone" else KEYS.get(name)
    if key is None:
        raise Refused(404 if what == "keys" else 400, *([] if what == "keys" else ["encryption key not found"]))
    if more == "/rotate":
        key["versions"].append(new_version())
        return None
    if more == "/config":
        return config(key, body)
    if method == "DELETE":
        if not key.get("deletable"):
            raise Refused(400, "error deleting policy %s: deletion is not allowed for this key" % m[2])
        del KEYS[name]
        return None
    return read_key(key, m[2]) if what == "keys" else {"encrypt": encrypt, "decrypt": decrypt, "hmac": make_hmac}[what](key, body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *args):
        pass

    def send(self, status, text, length=None):
        self.send_response(status)
        if mode() == "standby":
            self.send_header("Location", "https://127.0.0.1:1/")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text) if length is None else length))
        self.end_headers()
        self.wfile.write(text)

    def serve(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        how = mode()
        if how == "slow":
            time.sleep(6)
        if how == "standby":
            return self.send(307, b"")
        if how == "rubbish":
            return self.send(200, b"{\"data\": [" + os.urandom(64))
        if how == "cut":
            self.close_connection = True
            return self.send(200, b"{\"data\": {", 500)
        if how == "long":
            return self.send(200, b"{\"data\": \"" + b"x" * 100000)
        if how == "echo":
            return self.send(500, raw + self.headers.get("X-Vault-Token", "").encode())
        try:
            assert self.path.startswith("/v1/") and self.headers.get("X-Vault-Request") == "true"
            data = answer(self.command, self.path[4:], self.headers.get("X-Vault-Token"), self.headers.get("X-Vault-Namespace"),
                          json.loads(raw) if raw else {})
            if data is None:
                return self.send(204, b"")
            return self.send(200, json.dumps({"request_id": "0", "lease_id": "", "renewable": False, "data": data}).encode())
        except Refused as r:
            return self.send(r.status, json.dumps({"errors": r.errors}).encode())

    do_GET = do_POST = do_DELETE = serve


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass                                    # a client that hangs up is what is tested


server = Server(("127.0.0.1", 0), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(os.path.join(DIR, "server.pem"))
server.socket = tls.wrap_socket(server.socket, server_side=True)
with open(os.path.join(DIR, "port.new"), "w") as f:
    f.write(str(server.server_port))
os.rename(os.path.join(DIR, "port.new"), os.path.join(DIR, "port"))
server.serve_forever()
