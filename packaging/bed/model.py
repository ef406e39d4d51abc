#!/usr/bin/env python3
"""A model server for the bed: answers each call after `?ms=` milliseconds.

    model.py PORT | ADDRESS:PORT | /PATH
"""

import http.server
import json
import socket
import socketserver
import sys
import time
import urllib.parse


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        time.sleep(int(query.get("ms", ["5"])[0]) / 1000)
        answer = json.dumps({"predicted_layers": [{"bytes": len(body)}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class UnixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    # That of HTTPServer asks for the name of an address.
    server_bind = socketserver.TCPServer.server_bind


place = sys.argv[1]
if place.startswith("/"):
    server = UnixServer(place, Model)
else:
    host, _, port = place.rpartition(":")
    server = http.server.ThreadingHTTPServer((host or "127.0.0.1", int(port)), Model)
server.serve_forever()
