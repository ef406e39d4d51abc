"""The model server of the benchmarks, and a small HTTP client for figures and control."""

import http.client
import json
import socket
import subprocess

from harness import tools


class Client:
    """One kept-alive connection to a port of loopback."""

    def __init__(self, port, timeout=120.0):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method, path, body=None, headers=None):
        """Status and bytes. `body` goes out as JSON."""
        data = None if body is None else json.dumps(body).encode()
        fields = {"Content-Type": "application/json"} if data else {}
        self._connection.request(method, path, data, fields | (headers or {}))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def json(self, method, path, body=None, headers=None):
        """The JSON of a 2xx answer; anything else is an error."""
        status, data = self.request(method, path, body, headers)
        if not 200 <= status < 300:
            raise tools.ToolError(f"{method} {path} was answered with {status}: {data[:300]!r}")
        return json.loads(data)

    def close(self):
        self._connection.close()


class Model:
    """A process that answers every call after a delay, or holds all answers while its gate is closed."""

    def __init__(self):
        self.process = subprocess.Popen([tools.BUILT / "model_server", "0"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self._client = Client(self.port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/infer"

    def set(self, **values):
        """`delay_ms`, `gate` (1 holds all answers), `reset` (1 zeroes the counts)."""
        self._client.json("GET", "/control?" + "&".join(f"{key}={value}" for key, value in values.items()))

    def stats(self):
        """`started` and `done` calls, `active` now and `most_active` ever."""
        return self._client.json("GET", "/stats")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.close()
        tools.end(self.process)
