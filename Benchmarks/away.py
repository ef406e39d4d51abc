#!/usr/bin/env python3
"""A model server that is away for a while, with 1,000 due jobs: what fails, is out of order, or is called twice.

The server's port refuses connections while it is away. One job is called at a time, so that the order can be seen.
"""

import contextlib
import http.server
import socketserver
import threading
import time

from harness import command, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import NUMBER, SECONDS
from harness.system import BODY, Gateway

JOBS = 1_000


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A model server that answers at once and keeps the ids of the jobs that it was called with."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port):
        self.called = []
        self.first = None
        super().__init__(("127.0.0.1", port), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.first = self.server.first or time.monotonic()
        self.server.called.append(self.headers["X-Inference-Id"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(port):
    with Server(port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def main(options):
    port = tools.free_port()
    settings = {"models.m.url": f"http://127.0.0.1:{port}/", "models.m.concurrency": 1}
    progress = Progress(3)
    with Model() as model, Gateway(model, settings) as gateway:
        gateway.start()
        client = Client(gateway.port)
        progress.step(f"{JOBS} jobs, and a model server that is away for {options.seconds} s")
        jobs = [client.json("POST", gateway.dialect.submit, BODY | {"model": "m"})["id"] for _ in range(JOBS)]
        time.sleep(options.seconds)
        progress.step("the model server is back")
        back = time.monotonic()
        with serving(port) as server:
            gateway.wait_ended(client, jobs[-1])
            progress.step("all have ended")
            failed = sum(gateway.status(client, job) != "COMPLETED" for job in jobs)
        client.close()
    progress.end()
    called = server.called
    found = {
        "jobs that failed": failed,
        "jobs that were called out of their order": sum(one != other for one, other in zip(called, jobs)),
        "jobs that were called twice": len(called) - len(set(called)),
    }
    rows = [[title, NUMBER.text([value]), "0: " + ("**missed**" if value else "reached")] for title, value in found.items()]
    return ["1,000 due jobs, server away", "inferq", "goal"], [
        *rows,
        ["the first call after its return", SECONDS.text([server.first - back]), "2 s"],
    ]


if __name__ == "__main__":
    command.measure("away", main, command.options(__doc__, seconds=(60, "of absence")))
