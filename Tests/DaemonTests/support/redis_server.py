"""A real Redis that can be hurt in every way it is hurt in the field, a plain client of it, and a line to it to cut."""

import contextlib
import pathlib
import select
import shutil
import socket
import struct
import threading
import time
import urllib.parse

from ports import free_port
from redis_process import Process
from waiting import until

BINARY = shutil.which("redis-server")
MISSING = None if BINARY else "redis-server is not installed: apt-get install redis-server"
BROKEN = (OSError, EOFError)


class RedisError(Exception):
    """An error that Redis answered: its first word is the code, as in `OOM command not allowed ...`."""


class Client(contextlib.AbstractContextManager):
    """One connection that speaks RESP2. Bulk strings are bytes, simple ones text."""

    def __init__(self, address, user=None, password=None, timeout=5.0):
        """`address` is `(host, port)` or the path of a Unix socket."""
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address, timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(address))
        self._buffer = b""
        try:
            if password:
                self("AUTH", *([user] if user else []), password)
        except BaseException:
            self.socket.close()
            raise

    def __exit__(self, *_):
        self.socket.close()

    def __call__(self, *arguments):
        self.send(*arguments)
        return self.read()

    def send(self, *arguments):
        parts = [each if isinstance(each, bytes) else str(each).encode() for each in arguments]
        bulks = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(b"*%d\r\n%s" % (len(parts), bulks))

    def read(self):
        """The next reply."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest) + 2)[:-2]
        assert kind == b"*", line
        return None if rest == b"-1" else [self._item() for _ in range(int(rest))]

    def has_more(self, patience):
        """Whether something comes within `patience` seconds. What has begun to come is then read with `read`."""
        return bool(self._buffer) or bool(select.select([self.socket], [], [], max(0, patience))[0])

    def _item(self):
        try:
            return self.read()
        except RedisError as error:
            return error

    def _more(self):
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise EOFError("Redis hung up")
        self._buffer += piece

    def _line(self):
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size):
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


class Subscription(contextlib.AbstractContextManager):
    """What is published on the channels of a pattern, from now on: an iterator of (channel, bytes).

    It fails if nothing comes for `timeout` seconds. A context manager: leaving it hangs up.
    """

    def __init__(self, client, pattern, timeout):
        self._client, self._pattern, self._timeout = client, pattern, timeout
        client("PSUBSCRIBE", pattern)

    def __exit__(self, *_):
        self._client.__exit__()

    def __iter__(self):
        return self

    def __next__(self):
        assert self._client.has_more(self._timeout), f"nothing on {self._pattern} for {self._timeout} s"
        kind, _, channel, payload = self._client.read()
        assert kind == b"pmessage", kind
        return channel.decode(), payload

    def until(self, condition):
        """All that comes, up to the first of which `condition(channel, bytes)` is true."""
        found = []
        for channel, payload in self:
            found.append((channel, payload))
            if condition(channel, payload):
                return found

    def rest(self, quiet):
        """All that comes, until nothing has come for `quiet` seconds."""
        found = []
        while self._client.has_more(quiet):
            found.append(next(self))
        return found


class RedisServer(Process):
    """One redis-server on a port or a Unix socket, without persistence.

    `password` is that of the user `default`, unless `user` is given: then `default` is switched off, and `user` may do
    what `rules` say. Our own commands come from a user of theirs.
    """

    OWN = ("tests", "tests-own-password")

    def __init__(
        self, folder, host="127.0.0.1", port=None, unix=None, user=None, password=None, rules="~* &* +@all",
        maxmemory=None, launcher=(),
    ):  # fmt: skip
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.host, self.port, self.unix = host, None if unix else port or free_port(), unix
        self.user, self.password, self.rules, self.maxmemory = user, password, rules, maxmemory
        self._data, self._config = self.folder / "data", self.folder / "redis.conf"
        self._dump = self._data / "dump.rdb"
        self._data.mkdir(exist_ok=True)
        super().__init__([BINARY or "redis-server", self._config], self.folder / "redis.log", launcher)

    @property
    def address(self):
        return self.unix or (self.host, self.port)

    @property
    def url(self):
        """For the setting `broker.redis`."""
        return self.url_with(self.user, self.password)

    def url_with(self, user, password):
        if self.unix:
            return f"unix:{self.unix}"
        login = f"{urllib.parse.quote(user or '', '')}:{urllib.parse.quote(password, '')}@" if password else ""
        return f"redis://{login}{self.host}:{self.port}/0"

    # The process

    def write_config(self):
        lines = [f"bind {self.host}", f"port {self.port or 0}", f"dir {self._data}", 'save ""', "appendonly no"]
        lines += ["daemonize no", "protected-mode no", "maxmemory-policy noeviction", "enable-debug-command yes"]
        lines += [f"unixsocket {self.unix}", "unixsocketperm 700"] if self.unix else []
        lines += [f"maxmemory {self.maxmemory}"] if self.maxmemory else []
        lines += ["user {} on >{} ~* &* +@all".format(*self.OWN)]
        if self.user:
            lines += ["user default off", f'user {self.user} on ">{self.password}" resetchannels {self.rules}']
        elif self.password:
            lines += [f'requirepass "{self.password}"']
        self._config.write_text("\n".join(lines) + "\n")

    def launch(self):
        self.write_config()
        super().launch()

    def start(self, timeout=10.0):
        self.launch()
        return self.wait_ready(timeout)

    def wait_ready(self, timeout=10.0):
        until(self.answers, f"an answer of Redis; its log:\n{self.log()[-2000:]}", timeout)
        return self

    def answers(self):
        """Whether it serves: not while it is away, frozen or loading."""
        assert self.process.poll() is None, f"redis-server ended with {self.process.poll()}:\n{self.log()[-2000:]}"
        try:
            return self.command("PING", timeout=1.0) == "PONG"
        except (*BROKEN, RedisError):
            return False

    def restart(self, empty=True):
        """Kills it, if it still runs, and starts it again at the same address. Without `empty` it keeps its data."""
        if not empty:
            self.command("SAVE")
        if self.is_running:
            self.kill()
        if empty:
            self._dump.unlink(missing_ok=True)
        return self.start()

    def restart_loading(self, seconds):
        """Starts it again with its data: for some `seconds` from now on it answers LOADING."""
        keys = 1000
        for number in range(keys):
            self.command("SET", f"filler:{number}", "x" * 64)
        self.command("SAVE")
        self.kill()
        command = list(self.command_line)
        self.command_line += ["--key-load-delay", str(int(seconds * 1e6 / keys))]
        self.command_line += ["--loading-process-events-interval-bytes", "1024"]
        try:
            self.launch()
        finally:
            self.command_line = command
        until(self.is_loading, "LOADING")

    def is_loading(self):
        try:
            return self.command("PING") is None
        except RedisError as error:
            return str(error).startswith("LOADING")
        except BROKEN:
            return False

    # Commands of ours

    def client(self, timeout=5.0):
        return Client(self.address, *self.OWN, timeout=timeout)

    def command(self, *arguments, timeout=5.0):
        """One command on a connection of its own."""
        with self.client(timeout) as client:
            return client(*arguments)

    def subscribe(self, pattern, timeout=10.0):
        return Subscription(self.client(timeout), pattern, timeout)

    def info(self, section):
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def keys(self, pattern="*"):
        found, cursor = set(), b"0"
        with self.client() as client:
            while True:
                cursor, some = client("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                found |= {key.decode() for key in some}
                if cursor == b"0":
                    return sorted(found)

    def streams(self, prefix="inferq"):
        """The keys below a prefix that are streams."""
        with self.client() as client:
            return [key for key in self.keys(prefix + "*") if client("TYPE", key) == "stream"]

    def leftovers(self, prefix="inferq"):
        """What streams and groups below a prefix still hold, in words: nothing when all is idle."""
        found = []
        with self.client() as client:
            for key in self.streams(prefix):
                if count := client("XLEN", key):
                    found.append(f"{key} has {count} entries")
                for group in client("XINFO", "GROUPS", key):
                    fields = dict(zip(group[::2], group[1::2]))
                    name = fields[b"name"].decode()
                    if count := client("XPENDING", key, name)[0]:
                        found.append(f"{count} entries of {key} are pending in group {name}")
        return found

    def logged_in(self):
        """The users of all connections but ours."""
        lines = self.command("CLIENT", "LIST").decode().splitlines()
        fields = [dict(item.split("=", 1) for item in line.split(" ") if "=" in item) for line in lines]
        return {each["user"] for each in fields} - {self.OWN[0]}

    # Trouble beside that of the process

    def hang_up(self):
        """Closes all connections but ours."""
        with self.client() as client:
            for kind in ("normal", "pubsub"):
                client("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def set_password(self, password):
        """Another password for those who come from now on; who is there is sent away."""
        self.password = password
        self.command("CONFIG", "SET", "requirepass", password)
        self.hang_up()

    def fill(self):
        """Takes all of its memory: it answers writes with OOM."""
        self.command("SET", "filler", bytes(1 << 20))
        self.command("CONFIG", "SET", "maxmemory", "1mb")

    def make_room(self):
        self.command("CONFIG", "SET", "maxmemory", "0")
        self.command("DEL", "filler")

    def fail_to_save(self):
        """Puts a folder in the place of its dump: it answers writes with MISCONF."""
        self._dump.unlink(missing_ok=True)
        self._dump.mkdir()
        self.command("CONFIG", "SET", "save", "3600 1")
        self.command("BGSAVE")
        until(lambda: self.info("persistence")["rdb_last_bgsave_status"] == "err", "a failed save of Redis")

    def stop_saving(self):
        self.command("CONFIG", "SET", "save", "")
        self._dump.rmdir()

    def follow_a_dead_master(self):
        """Makes it a replica: it answers writes with READONLY."""
        self.command("REPLICAOF", "127.0.0.1", free_port())

    def follow_nobody(self):
        self.command("REPLICAOF", "NO", "ONE")

    def close(self):
        if self.is_running:
            self.thaw()
        super().close()


class Link(contextlib.AbstractContextManager):
    """A line to a TCP address: it can be cut, fall silent or be slow. Servers are reached through `url`."""

    def __init__(self, target, host="127.0.0.1", delay=0.0):
        self.target, self.host, self.port = target, host, free_port()
        self.delay = delay  # seconds that each piece takes, each way
        self._passes, self._lock, self._sockets, self._listener = threading.Event(), threading.Lock(), set(), None
        self.mend()

    @property
    def url(self):
        return f"redis://{self.host}:{self.port}/0"

    def cut(self):
        """Resets what is open and refuses what comes."""
        with self._lock:
            listener, self._listener = self._listener, None
            sockets, self._sockets = self._sockets, set()
        if listener:
            _shut(listener)
            listener.close()
        self._passes.set()  # anyone who waits finds its socket shut
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _shut(sock)

    def silence(self):
        """Takes connections and bytes, and passes nothing on; what was taken is passed on by `mend`."""
        self._passes.clear()

    def mend(self):
        self._passes.set()
        if not self._listener:
            self._listener = socket.create_server((self.host, self.port), backlog=128)
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def __exit__(self, *_):
        self.cut()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                if listener is not self._listener:
                    near.close(), far.close()
                    return
                self._sockets |= {near, far}
            done = threading.Barrier(2, action=lambda pair=(near, far): self._forget(*pair))
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=[source, sink, done], daemon=True).start()

    def _pump(self, source, sink, done):
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                self._passes.wait()
                if self.delay:
                    time.sleep(self.delay)
                sink.sendall(piece)
        self._passes.wait()
        _shut(sink), _shut(source)
        done.wait()

    def _forget(self, near, far):
        with self._lock:
            self._sockets -= {near, far}
        near.close(), far.close()


def _shut(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
