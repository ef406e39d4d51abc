"""`inferq key`, and the keys that client commands show."""

import datetime
import hashlib
import http.server
import json
import os
import pathlib
import re
import stat
import subprocess
import threading
import time
import zlib

import pytest

from gateway import BINARY, environment, toml
from test_commands import inferq
from waiting import until

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def is_key(text):
    """The form of docs/security.md, by other means than the program's."""
    match = re.fullmatch(r"infq_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", text)
    number, check = zlib.crc32(match[1].encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        check = DIGITS[rest] + check
    return check == match[2]


class Site:
    """A configuration with a folder of keys, and `inferq key` with it."""

    def __init__(self, folder, mode="keys"):
        self.folder = folder / "keys.d"
        self.config = folder / "site.toml"
        self.config.write_text(
            toml({"access": {"mode": mode, "keys": str(self.folder)}, "store": {"path": str(folder / "inferq.db")},
                  "models": {"ocr": {"url": "http://127.0.0.1:9/"}}}))

    def run(self, *arguments, code=0, input=b""):
        ended = inferq("key", *arguments, "--config", self.config, input=input)
        assert ended.returncode == code, (arguments, ended.returncode, ended.stdout, ended.stderr)
        return ended.stdout.decode().splitlines(), ended.stderr.decode()

    def make(self, *arguments):
        """The key that `add` or `rotate` prints."""
        (key,), said = self.run(*arguments)
        assert is_key(key) and key not in said
        return key

    def clients(self):
        return {each["client"]: each for each in map(json.loads, self.run("list", "--json")[0])}

    def whose(self, key, code=0):
        return self.run("whose", "-", input=key.encode() + b"\n", code=code)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def seconds_until(text):
    return datetime.datetime.fromisoformat(text).timestamp() - time.time()


def test_add_makes_a_file_that_holds_the_hash_alone(site):
    key = site.make("add", "erp")
    file = site.folder / "erp.toml"
    text = file.read_text()
    assert digest(key) in text and key not in text and "infq_" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o640 and stat.S_IMODE(site.folder.stat().st_mode) == 0o750
    assert os.listdir(site.folder) == ["erp.toml"]
    erp = site.clients()["erp"]
    assert erp["scopes"] == ["submit", "read", "cancel"] and erp["models"] == [] and erp["rate"] is None
    assert erp["keys"] == [{"id": digest(key)[:8], "expires": None}]
    assert site.whose(key)[0] == [f"erp  {digest(key)[:8]}  never expires"]


def test_add_takes_scopes_models_limits_and_an_end(site):
    (key,), said = site.run(
        "add", "erp", "--scopes", "submit, read:all", "--models", "ocr,later", "--expires", "90d", "--max-pending", 5,
        "--max-running", 2, "--rate", "600/1m", "--max-priority", 7)
    erp = site.clients()["erp"]
    assert {name: erp[name] for name in ("scopes", "models", "max_pending", "max_running", "rate", "max_priority")} == {
        "scopes": ["submit", "read:all"], "models": ["ocr", "later"], "max_pending": 5, "max_running": 2,
        "rate": "600/1m", "max_priority": 7}
    assert 89.9 < seconds_until(erp["keys"][0]["expires"]) / 86400 < 90.1
    assert "no model is called later yet" in said and "ocr" not in said
    shown = site.run("list")[0]
    assert shown[0].split() == ["CLIENT", "KEY", "EXPIRES", "SCOPES", "MODELS", "LIMITS"]
    assert "submit, read:all" in shown[1] and digest(key) not in shown[1] and "rate 600/1m" in shown[1]


@pytest.mark.parametrize("arguments, says", [
    (["add", "local"], "cannot name a client"), (["add", "../x"], "cannot name a client"),
    (["add", "erp", "--scopes", "write"], 'found the string "write"'), (["add", "erp", "--rate", "fast"], "--rate"),
    (["add", "erp", "--max-priority", "101"], "101 is out of range"), (["add", "erp", "--expires", "soon"], "90d"),
    (["add", "erp", "--expires", "0s"], "90d"), (["add", "erp", "--models", "a b"], "cannot name a model"),
    (["rotate", "erp"], "inferq key add creates one"), (["revoke", "erp"], "inferq key add creates one"),
    (["rotate", "erp", "--overlap", "x"], "7d"), (["add", "erp", "--models", ""], "--models names nothing"),
    (["add", "erp", "--scopes", " ,"], "--scopes names nothing"),
])
def test_wrong_usage_is_one_sentence_and_changes_nothing(site, arguments, says):
    printed, said = site.run(*arguments, code=64)
    assert not printed and said.count("\n") == 1 and says in said
    assert not site.folder.exists() or not os.listdir(site.folder)


def test_a_client_is_made_once(site):
    site.make("add", "erp")
    assert "inferq key rotate erp gives it another key" in site.run("add", "erp", code=64)[1]
    (site.folder / "page.toml").write_text("# mine\n")
    assert "page.toml exists" in site.run("add", "page", code=64)[1]
    assert (site.folder / "page.toml").read_text() == "# mine\n"


def test_rotate_lets_the_old_keys_hold_for_the_overlap(site):
    first = site.make("add", "erp", "--expires", "1d")
    second = site.make("rotate", "erp", "--overlap", "2d")
    third = site.make("rotate", "erp", "--overlap", "7d", "--expires", "30d")
    ends = {each["id"]: seconds_until(each["expires"]) / 86400 for each in site.clients()["erp"]["keys"]}
    # Never later than it had been.
    assert {id: round(days) for id, days in ends.items()} == {
        digest(first)[:8]: 1, digest(second)[:8]: 7, digest(third)[:8]: 30}
    for key in (first, second, third):
        assert site.whose(key)[0][0].startswith("erp  ")
    last = site.make("rotate", "erp", "--overlap", "0s")
    assert "expired" in site.whose(third)[0][0] and "never expires" in site.whose(last)[0][0]
    assert [row.split()[2] for row in site.run("list")[0][1:]] == ["expired"] * 3 + ["never"]
    # What has expired goes with the next change.
    newest = site.make("rotate", "erp")
    assert [each["id"] for each in site.clients()["erp"]["keys"]] == [digest(last)[:8], digest(newest)[:8]]


def test_revoke_ends_one_key_or_all_and_the_client_stays(site):
    first = site.make("add", "erp", "--rate", "5/1s")
    second = site.make("rotate", "erp")
    assert site.run("revoke", "erp", digest(first)[:8])[0] == [f"erp {digest(first)[:8]} revoked"]
    assert "no client has" in site.whose(first, code=1)[1] and site.whose(second)[0]
    assert "no key with this id" in site.run("revoke", "erp", "00000000", code=64)[1]
    site.run("revoke", "erp")
    assert site.clients()["erp"]["keys"] == [] and site.clients()["erp"]["rate"] == "5/1s"
    assert "has no key" in site.run("revoke", "erp", code=64)[1]
    third = site.make("rotate", "erp")
    assert [each["id"] for each in site.clients()["erp"]["keys"]] == [digest(third)[:8]]


def test_what_an_operator_wrote_stays(site):
    site.make("add", "erp")
    file = site.folder / "team.toml"
    mine = "# the team's\n[keys.a]   # of A\nscopes = [\"read\"]\n[keys.b]\nhashes = [] # none yet\nscopes = []\n"
    file.write_text(mine)
    file.chmod(0o600)
    site.make("rotate", "b")
    site.make("rotate", "a")
    text = file.read_text()
    for line in ("# the team's", "[keys.a]   # of A", "] # none yet"):
        assert line in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    site.run("revoke", "a"), site.run("revoke", "b")
    assert "sha256" not in file.read_text()
    # In a form that cannot be edited, it is not touched.
    file.write_text('[keys]\na = { hashes = [], scopes = ["read"] }\n')
    assert "[keys.a]" in site.run("rotate", "a", code=64)[1]
    assert "sha256" not in file.read_text()


def test_a_broken_file_is_named(site):
    site.make("add", "erp")
    (site.folder / "page.toml").write_text("[keys.page]\nscope = []\n")
    assert "keys.page.scope: unknown key" in site.run("rotate", "page", code=78)[1]
    printed, said = site.run("list", code=78)
    assert printed[1].startswith("erp") and "page.toml" in said
    # Another one's is no reason not to end a key.
    assert "refuses its keys until this is fixed" in site.run("revoke", "erp")[1]


@pytest.mark.parametrize("text", ["", "infq_", "infq_" + "A" * 49, "hello", "\x00\xff"])
def test_whose_refuses_what_is_no_key_and_never_repeats_it(site, text):
    said = site.whose(text, code=64)[1]
    assert "no gateway key" in said and "AAAAAAAA" not in said
    key = "infq_" + "B" * 49
    said = site.run("whose", key, code=64)[1]
    assert "never an argument" in said and "BBBB" not in said


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    site = Site(tmp_path)
    site.folder.write_text("")
    assert "keys.d" in site.run("add", "erp", code=73)[1]


def test_two_at_once_lose_no_key(site):
    site.make("add", "erp")
    runs = [
        subprocess.Popen([BINARY, "key", "rotate", "erp", "--config", site.config], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, env=environment())
        for _ in range(12)
    ]
    keys = [run.communicate(timeout=60)[0].decode().strip() for run in runs]
    assert all(run.returncode == 0 for run in runs) and all(map(is_key, keys))
    ids = {each["id"] for each in site.clients()["erp"]["keys"]}
    assert {digest(key)[:8] for key in keys} < ids and len(ids) == 13


# The gateway that runs


def test_a_gateway_that_runs_reads_the_change(make_gateway, tmp_path):
    folder = tmp_path / "keys.d"
    gateway = make_gateway({"ocr": {}}, access={"mode": "keys", "keys": str(folder)})
    ended = inferq("key", "add", "erp", "--config", gateway.config_file)
    assert ended.returncode == 0, ended.stderr
    assert f"the gateway (process {gateway.process.pid}) was asked" in ended.stderr.decode()
    until(lambda: "configuration reloaded" in gateway.log(), "a reload")
    gateway.stop()
    said = inferq("key", "rotate", "erp", "--config", gateway.config_file).stderr.decode()
    assert "no gateway runs on this store" in said
    key = ended.stdout.decode().strip()
    assert key not in gateway.log() and digest(key) not in gateway.log()


def test_a_key_lets_in_from_the_moment_that_it_is_made_until_it_is_revoked(make_gateway, tmp_path):
    gateway = make_gateway({"ocr": {}}, access={"mode": "keys", "keys": str(tmp_path / "keys.d")})
    change = ("--config", gateway.config_file)
    jobs = ("jobs", "--url", gateway.url)
    refused = inferq(*jobs)
    assert refused.returncode == 64 and b"asks for a key; put it in INFERQ_KEY" in refused.stderr
    first = inferq("key", "add", "erp", *change).stdout.decode().strip()
    until(lambda: inferq(*jobs, INFERQ_KEY=first).returncode == 0, "the new key")
    second = inferq("key", "rotate", "erp", "--overlap", "1h", *change).stdout.decode().strip()
    until(lambda: inferq(*jobs, INFERQ_KEY=second).returncode == 0, "the newer key")
    assert inferq(*jobs, INFERQ_KEY=first).returncode == 0
    ended = inferq("submit", "ocr", "{}", "--watch", "--url", gateway.url, INFERQ_KEY=second)
    assert ended.returncode == 0, ended.stderr
    assert inferq("key", "revoke", "erp", digest(first)[:8], *change).returncode == 0
    until(lambda: inferq(*jobs, INFERQ_KEY=first).returncode == 64, "the end of the old key")
    said = inferq(*jobs, INFERQ_KEY=first).stderr.decode()
    assert said.count("\n") == 1 and "does not accept this key" in said and first not in said
    assert inferq(*jobs, INFERQ_KEY=second).returncode == 0
    said = inferq("models", "pause", "ocr", "--url", gateway.url, INFERQ_KEY=second)
    assert said.returncode == 64 and said.stderr.count(b"\n") == 1 and b"operate" in said.stderr
    log = gateway.log()
    assert first not in log and second not in log


def test_what_holds_the_store_and_is_no_gateway_is_left_alone(site, tmp_path):
    """As `inferq doctor` and `backup` do, which SIGHUP would end."""
    import fcntl

    with open(tmp_path / "inferq.db.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "no gateway runs" in site.run("add", "erp")[1]


def test_in_mode_open_it_says_that_nobody_is_asked(tmp_path):
    assert 'access.mode is "open", so no one is asked' in Site(tmp_path, mode="open").run("add", "erp")[1]


# What client commands show


class Listener(http.server.BaseHTTPRequestHandler):
    """Notes each `Authorization` and answers as it is told."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.shown.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


@pytest.fixture
def listener():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        server.shown, server.answer = [], (200, {"Content-Type": "application/json"}, b'{"results": [], "next": null}')
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def key(site):
    return site.make("add", "erp")


def test_a_key_comes_from_a_variable_a_file_or_standard_input(listener, key, tmp_path):
    file = tmp_path / "key"
    file.write_text(key + "\n")
    command = ("jobs", "--url", listener.url)
    for ended in (
        inferq(*command, INFERQ_KEY=key), inferq(*command, INFERQ_KEY_FILE=str(file)),
        inferq(*command, "--key-stdin", input=key.encode() + b"\n"),
        inferq(*command, "--key-stdin", input=key.encode(), INFERQ_KEY="not asked for"),
        inferq(*command, INFERQ_KEY=key, INFERQ_KEY_FILE="/nowhere"),
    ):
        assert ended.returncode == 0, ended.stderr
    assert [shown for _, shown in listener.shown] == [f"Bearer {key}"] * 5
    assert inferq(*command).returncode == 0 and listener.shown[-1][1] is None
    inferq("submit", "ocr", "-", "--url", listener.url, INFERQ_KEY=key, input=b"{}")
    assert listener.shown[-1][1] == f"Bearer {key}"


@pytest.mark.parametrize("variables, source", [
    ({"INFERQ_KEY": "secret-thing"}, "INFERQ_KEY"), ({"INFERQ_KEY": "infq_" + "A" * 49}, "INFERQ_KEY"),
    ({"INFERQ_KEY_FILE": "/nowhere/key"}, "INFERQ_KEY_FILE"), ({"INFERQ_KEY_FILE": "/"}, "INFERQ_KEY_FILE"),
    ({}, "standard input"),
])
def test_a_wrong_form_is_said_before_anything_is_sent(listener, variables, source):
    more = () if variables else ("--key-stdin",)
    ended = inferq("jobs", "--url", listener.url, *more, input=b"secret-thing", **variables)
    assert ended.returncode == 64 and ended.stderr.count(b"\n") == 1 and source.encode() in ended.stderr
    assert b"secret" not in ended.stderr and b"AAAA" not in ended.stderr and not listener.shown


def test_standard_input_is_the_key_or_the_input(listener, key):
    for more in ((), ("-",)):
        ended = inferq("submit", "ocr", *more, "--key-stdin", "--url", listener.url, input=key.encode())
        assert ended.returncode == 64 and b"cannot be the input" in ended.stderr and not listener.shown


@pytest.mark.parametrize("status, headers, body, says, code", [
    (401, {"WWW-Authenticate": "Bearer"}, b"{}", "does not accept this key", 64),
    (401, {"WWW-Authenticate": 'Basic realm="proxy"'}, b"", "answered 401", 64),
    (403, {"Content-Type": "application/problem+json"}, b'{"detail": "the key lacks the scope submit."}', "scope submit", 64),
    (429, {"Retry-After": "7"}, b'{"detail": "too many requests; wait 7 s."}', "wait 7 s", 69),
])
def test_a_refusal_is_one_sentence_without_the_key(listener, key, status, headers, body, says, code):
    listener.answer = (status, headers, body)
    for command in (["jobs"], ["models"], ["submit", "ocr", "{}"], ["backup", "-"], ["status"]):
        ended = inferq(*command, "--url", listener.url, INFERQ_KEY=key)
        said = ended.stderr.decode().splitlines()
        assert ended.returncode == code and says in said[-1] and key not in ended.stderr.decode(), (command, said)


def test_without_a_key_the_sentence_says_where_to_put_it(listener):
    listener.answer = (401, {"WWW-Authenticate": "Bearer"}, b"{}")
    ended = inferq("jobs", "--url", listener.url)
    assert ended.returncode == 64 and b"INFERQ_KEY" in ended.stderr and b"Unix socket" in ended.stderr


def test_on_a_unix_socket_none_is_shown(make_gateway, tmp_path, key):
    gateway = make_gateway({"ocr": {}}, started=False)
    path = tmp_path / "s.sock"
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{path}"]
    gateway.start()
    assert inferq("jobs", "--url", f"unix:{path}", INFERQ_KEY=key).returncode == 0
    assert key not in pathlib.Path(gateway.log_file).read_text()


# The doctor


def test_the_doctor_names_keys_that_others_may_read_and_that_end(site):
    site.make("add", "erp", "--expires", "20d")
    (site.folder / "erp.toml").chmod(0o644)
    said = inferq("doctor", "--config", site.config, "--json")
    findings = [json.loads(line) for line in said.stdout.decode().splitlines()]
    keys = [(each["verdict"], each["sentence"]) for each in findings if each["subject"] == "keys"]
    assert [verdict for verdict, _ in keys] == ["wrong", "note"] and said.returncode == 1
    assert "chmod 640" in keys[0][1] and "inferq key rotate erp" in keys[1][1]


def test_the_doctor_names_an_open_listener(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False, access={"open_network": True})
    gateway.settings["listen"] = [f"0.0.0.0:{gateway.port}"]
    gateway.start()
    gateway.settings["listen"] = []
    gateway.write_config()
    # What it listens on, whatever the file says now.
    said = inferq("doctor", "--config", gateway.config_file, "--url", gateway.url).stdout.decode()
    assert f"everyone who reaches 0.0.0.0:{gateway.port} may submit" in said
