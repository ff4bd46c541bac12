"""A stand-in for Keystone: POST /v3/auth/tokens with the right user, password,
domains and project gives a token of Swift's tempauth and a catalogue.
Usage: keystone.py PORT SWIFT_PORT"""
import http.server
import json
import sys
import urllib.request

port, swift = int(sys.argv[1]), int(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(300, {"versions": {}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["auth"]
        user = asked["identity"]["password"]["user"]
        project = asked["scope"]["project"]
        if (self.path != "/v3/auth/tokens" or asked["identity"]["methods"] != ["password"]
                or user["domain"] != {"name": "Default"} or project != {"name": "test", "domain": {"name": "Default"}}):
            return self.answer(401, {"error": {"code": 401, "title": "Unauthorized"}})
        request = urllib.request.Request(f"http://127.0.0.1:{swift}/auth/v1.0",
                                         headers={"X-Auth-User": user["name"], "X-Auth-Key": user["password"]})
        try:
            with urllib.request.urlopen(request) as reply:
                token, url = reply.headers["X-Auth-Token"], reply.headers["X-Storage-Url"]
        except urllib.error.HTTPError:
            return self.answer(401, {"error": {"code": 401, "title": "Unauthorized"}})
        endpoints = [{"interface": "admin", "region": "one", "region_id": "one", "url": "http://127.0.0.1:1/"},
                     {"interface": "public", "region": "two", "region_id": "two", "url": "http://127.0.0.1:1/"},
                     {"interface": "public", "region": "one", "region_id": "one", "url": url}]
        self.answer(201, {"token": {"catalog": [{"type": "identity", "endpoints": []},
                                                {"type": "object-store", "endpoints": endpoints}]}},
                    [("X-Subject-Token", token)])

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
