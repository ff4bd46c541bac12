#!/usr/bin/python3
"""kmip_between.py DIR - stands between a client and the KMIP server of pykmip.sh, and lies.

DIR/between says how: ok (hands everything on), rubbish, long (says that much follows),
cut (half an answer), slow, other (the answer is of another operation), short (a tag of 4
bytes), denied (permission denied), busy (a general failure), inside (adds that the key is
not extractable).  Writes its port to DIR/between.port.
"""
import os
import socket
import socketserver
import ssl
import struct
import sys
import time

DIR = sys.argv[1]
os.chdir(DIR)
with open("port") as f:
    PORT = int(f.read())


def item(tag, kind, value):
    return struct.pack(">II", tag << 8 | kind, len(value)) + value + b"\0" * (-len(value) % 8)


def attribute(name, value):
    return item(0x420008, 1, item(0x42000a, 7, name) + item(0x42000b, 6, struct.pack(">Q", value)))


def refusal(reason):
    version = item(0x420069, 1, item(0x42006a, 2, struct.pack(">I", 1)) + item(0x42006b, 2, struct.pack(">I", 4)))
    head = item(0x42007a, 1, version + item(0x420092, 9, struct.pack(">Q", 1)) + item(0x42000d, 2, struct.pack(">I", 1)))
    return item(0x42007b, 1, head + item(0x42000f, 1, item(0x42007f, 5, struct.pack(">I", 1)) + item(0x42007e, 5, struct.pack(">I", reason))))


def read_message(s):
    head = b""
    while len(head) < 8:
        more = s.recv(8 - len(head))
        if not more:
            return b""
        head += more
    left = struct.unpack(">I", head[4:])[0]
    body = b""
    while len(body) < left:
        body += s.recv(left - len(body))
    return head + body


def with_attributes(answer):
    """Append to the payload, and lengthen what it is in: message, batch item, payload."""
    more = attribute(b"Extractable", 0) + attribute(b"Never Extractable", 1)
    answer = bytearray(answer)
    for tag in (0x42007b, 0x42000f, 0x42007c):
        at = answer.index(struct.pack(">I", tag << 8 | 1)) + 4
        struct.pack_into(">I", answer, at, struct.unpack_from(">I", answer, at)[0] + len(more))
    return bytes(answer) + more


def lie(how, request, answer):
    if how == "slow":
        time.sleep(6)
    if how == "rubbish":
        return os.urandom(64)
    if how == "long":
        return answer[:4] + struct.pack(">I", 1 << 30) + answer[8:]
    if how == "cut":
        return answer[:len(answer) // 2]
    if how == "other":
        return answer.replace(item(0x42005c, 5, struct.pack(">I", 8)), item(0x42005c, 5, struct.pack(">I", 10)))
    if how == "short":
        at = answer.find(struct.pack(">II", 0x4200ff << 8 | 8, 16))
        return answer if at < 0 else answer[:at + 4] + struct.pack(">I", 4) + answer[at + 8:]
    if how in ("denied", "busy"):
        return refusal(0x0c if how == "denied" else 0x100)
    if how == "inside" and item(0x42005c, 5, struct.pack(">I", 11)) in answer:
        return with_attributes(answer)
    return answer


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            client = tls.wrap_socket(self.request, server_side=True)
            there = ssl.create_default_context(cafile="ca.pem")
            there.load_cert_chain("client.crt", "client.key")
            with there.wrap_socket(socket.create_connection(("127.0.0.1", PORT)), server_hostname="127.0.0.1") as server:
                while True:
                    request = read_message(client)
                    if not request:
                        return
                    with open("between") as f:
                        how = f.read().strip()
                    server.sendall(request)
                    client.sendall(lie(how, request, read_message(server)))
                    if how == "cut":
                        client.close()
                        return
        except OSError:
            pass                                # a client that hangs up is what is tested


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("server.pem")
tls.load_verify_locations("ca.pem")
tls.verify_mode = ssl.CERT_REQUIRED
between = Server(("127.0.0.1", 0), Handler)
with open("between.new", "w") as f:
    f.write(str(between.server_address[1]))
os.rename("between.new", "between.port")
between.serve_forever()
