"""Commands of the command line that are watched while they run, and what is between them and the gateway."""

import os
import pty
import re
import select
import socket
import subprocess
import threading

from gateway import BINARY, environment
from waiting import until


class Command:
    """A command whose output is read while it runs. A context manager."""

    def __init__(self, *arguments, url):
        self.output, self.errors = b"", b""
        self._process = subprocess.Popen(
            [BINARY, *arguments, "--url", url], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(),
        )
        self._readers = [threading.Thread(target=self._read, args=(name, pipe), daemon=True)
                         for name, pipe in (("output", self._process.stdout), ("errors", self._process.stderr))]
        for reader in self._readers:
            reader.start()

    def _read(self, name, pipe):
        while part := os.read(pipe.fileno(), 65536):
            setattr(self, name, getattr(self, name) + part)

    def wait_output(self, wanted, timeout=10.0):
        until(lambda: self.output == wanted, f"{wanted}", timeout)

    def wait_errors(self, part, timeout=10.0):
        until(lambda: part in self.errors, f"{part}", timeout)

    def end(self, timeout=30.0):
        """The exit code; what was written is in `output` and `errors`."""
        code = self._process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    @property
    def names(self):
        """The id and the event_id of a job that was submitted, as it told them."""
        found = re.search(r"job (\S+) accepted; watch it again with: inferq watch --output (\S+)", self.errors.decode())
        return found.groups()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()


def on_terminal(*arguments, url, after="", gate=None):
    """The exit code of a command on a terminal, and all that it wrote there; `gate` is set once it has written `after`."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BINARY, *arguments, "--url", url], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment(TERM="xterm", NO_COLOR="1"),
    )
    os.close(theirs)
    written = b""
    try:
        while select.select([ours], [], [], 30)[0]:
            written += os.read(ours, 65536)
            if gate and after.encode() in written:
                gate.set()
    except OSError:
        pass                                        # all of the other side is closed
    finally:
        os.close(ours)
    return process.wait(30), written.decode()


class TerminalCommand:
    """A command on a terminal, read while it runs. A context manager; what it wrote is in `written`."""

    def __init__(self, *arguments, **variables):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [BINARY, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment(TERM="xterm", NO_COLOR="1", **variables),
        )
        os.close(theirs)
        self.written = ""

    def wait_for(self, pattern):
        """The first match in what was written."""
        while not (found := re.search(pattern, self.written)):
            assert self._read(), (pattern, self.written)
        return found

    def _read(self):
        try:
            part = os.read(self._ours, 65536)
        except OSError:
            return False                                # all of the other side is closed
        self.written += part.decode().replace("\r\n", "\n")
        return bool(part)

    def end(self):
        """The exit code, once all that it started has let go of the terminal."""
        while self._read():
            pass
        return self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def screen(written):
    """The lines that are left to see, when lines that were drawn again are gone."""
    return [text.rpartition("\r\x1b[K")[2].rpartition("\x1b[K")[2].strip("\r") for text in written.split("\r\n")]


class Relay:
    """Passes bytes on to an address, until it is cut: then all of its connections end, and new ones are taken."""

    def __init__(self, address):
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._address)
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass(source, sink):
        try:
            while part := source.recv(65536):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open = []

    def close(self):
        self._listener.close()
        self.cut()
