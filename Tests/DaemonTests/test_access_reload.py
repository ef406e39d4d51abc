"""Key files as they change under a gateway that runs: new keys, gone ones, two at a time, and broken files."""

import contextlib
import json
import subprocess
import threading

import pytest

import wire
from contract import problem
from gateway import BINARY, environment
from keyfile import DIGITS, Keyring, digest, from_now, hash_of, key_id, make_key, table
from service import ServiceManager
from waiting import until

CLIENTS = {"alice": {}}


def status(gateway, key, target="/v1/inference"):
    return wire.exchange(gateway.address, "GET", target, headers={"Authorization": f"Bearer {key}"}).status


def wait_status(gateway, key, wanted, timeout=10.0):
    until(lambda: status(gateway, key) == wanted, f"{wanted} for {key_id(key)}", timeout)


@pytest.fixture
def keyed(make_gateway):
    return make_gateway({"ocr": {}}, clients={"alice": {}}, access={"failures": "10000/1m"})


# Expiry


def test_an_expired_key_is_refused_by_a_code_of_its_own(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {"expires": from_now(-1)}})
    answer = gateway.client("alice").get("/v1/inference")
    assert problem(answer, 401)["code"] == "key_expired"


def test_a_key_expires_without_a_reload(keyed):
    key = keyed.keys.add("brief", expires=from_now(6))
    keyed.reload_keys()
    wait_status(keyed, key, 200, timeout=5)
    wait_status(keyed, key, 401)
    assert keyed.client("brief").get("/v1/inference").json()["code"] == "key_expired"


def test_an_expiry_with_an_offset_and_one_in_whole_seconds_are_read(keyed):
    first = keyed.keys.add("first", expires="2999-02-01T00:00:00Z")
    second = keyed.keys.add("second", expires="2999-02-01T01:00:00+01:00")
    keyed.reload_keys()
    wait_status(keyed, first, 200)
    assert status(keyed, second) == 200


# Rotation


def test_two_keys_of_a_client_hold_at_a_time_and_are_one_client(keyed):
    old, new = keyed.keys["alice"], keyed.keys.rotate("alice")
    job = keyed.client(key=old).submit("ocr")
    keyed.reload_keys()
    wait_status(keyed, new, 200)
    assert status(keyed, old) == 200
    assert keyed.client(key=new).ended(job)["client"] == "alice"


def test_the_old_key_ends_with_its_overlap(keyed):
    old = keyed.keys["alice"]
    new = keyed.keys.rotate("alice", expires=from_now(6))
    keyed.reload_keys()
    wait_status(keyed, new, 200)
    wait_status(keyed, old, 401)
    assert status(keyed, new) == 200


def test_a_rotation_under_load_refuses_nobody(keyed):
    keys, refused, over = [keyed.keys["alice"]], [], threading.Event()

    def client():
        while not over.is_set():
            if (found := status(keyed, keys[-1])) != 200:
                refused.append(found)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    try:
        for _ in range(5):
            new = keyed.keys.rotate("alice")
            keyed.reload_keys()
            wait_status(keyed, new, 200)
            keys.append(new)
    finally:
        over.set()
        for each in clients:
            each.join()
    for old in keys[:-1]:
        keyed.keys.revoke("alice", old)
    keyed.reload_keys()
    wait_status(keyed, keys[0], 401)
    assert refused == [] and {status(keyed, old) for old in keys[:-1]} == {401} and status(keyed, keys[-1]) == 200


# Reload


def test_a_reload_adds_and_removes_clients(keyed):
    alice, bob = keyed.keys["alice"], keyed.keys.add("bob")
    assert status(keyed, bob) == 401, "a file counts from the reload on"
    keyed.reload_keys()
    wait_status(keyed, bob, 200)
    keyed.keys.revoke("alice")
    assert status(keyed, alice) == 200
    keyed.reload_keys()
    wait_status(keyed, alice, 401)
    assert keyed.client(key=alice).get("/v1/inference").json()["code"] == "key_invalid"
    assert status(keyed, bob) == 200


def test_a_reload_changes_scopes(keyed):
    alice = keyed.client("alice")
    assert alice.post("/v1/models/ocr/pause", b"", {}).status == 403
    keyed.keys.tables["alice"]["scopes"] = ["operate"]
    keyed.reload_keys()
    until(lambda: alice.post("/v1/models/ocr/pause", b"", {}).status == 200, "the new scope")
    assert alice.get("/v1/inference").status in (200, 403)
    assert alice.post("/v1/async/inference", {"model": "ocr"}).json()["code"] == "scope_missing"


def test_a_client_that_comes_back_has_its_jobs_again(keyed):
    job = keyed.client("alice").submit("ocr")
    gone, key = keyed.keys.tables["alice"], keyed.keys["alice"]
    keyed.keys.revoke("alice")
    keyed.reload_keys()
    wait_status(keyed, key, 401)
    keyed.keys.tables["alice"] = gone
    keyed.reload_keys()
    wait_status(keyed, key, 200)
    assert keyed.client("alice").ended(job)["client"] == "alice"


def test_a_gateway_that_ran_openly_closes_by_a_reload_or_says_why_not(make_gateway):
    gateway = make_gateway({"ocr": {}})
    gateway.use_keys({"alice": {}})
    gateway.errors_expected = True
    gateway.reload()

    def is_settled():
        return status(gateway, make_key()) == 401 or gateway.log_lines("warning", "error")

    until(is_settled, "keys are asked for, or the log says that it takes a restart")


def test_files_of_other_names_are_not_read(keyed):
    (keyed.keys.folder / "bob.toml.bak").write_text("not [ toml")
    (keyed.keys.folder / "README").write_text("not [ toml")
    (keyed.keys.folder / ".hidden.toml.swp").write_text("not [ toml")
    bob = keyed.keys.add("bob")
    keyed.reload_keys()
    wait_status(keyed, bob, 200)


def test_several_clients_may_stand_in_one_file(keyed):
    keys = {name: make_key() for name in ("x", "y")}
    text = "".join(table(name, {"hashes": [hash_of(key)], "scopes": ["read"]}) for name, key in keys.items())
    (keyed.keys.folder / "both.toml").write_text(text)
    keyed.reload()
    wait_status(keyed, keys["x"], 200)
    assert status(keyed, keys["y"]) == 200


# Broken files

FINE = make_key()
SHA = digest("infq_" + DIGITS[:49])
BROKEN = {
    "no TOML": "[keys.bob\n",
    "no table of keys": "bob = 3\n",
    "an unknown scope": table("bob", {"hashes": [], "scopes": ["reed"]}),
    "scopes that are no list": table("bob", {"hashes": [], "scopes": "read"}),
    "a hash that is none": table("bob", {"hashes": [{"id": "0" * 8, "sha256": "xyz"}], "scopes": ["read"]}),
    "a hash that is too short": table("bob", {"hashes": [{"id": SHA[:8], "sha256": SHA[:63]}], "scopes": ["read"]}),
    "an expiry that is no time": table("bob", {"hashes": [hash_of(make_key(), "soon")], "scopes": ["read"]}),
    "a rate that is none": table("bob", {"hashes": [], "scopes": ["read"], "rate": "often"}),
    "a negative bound": table("bob", {"hashes": [], "scopes": ["read"], "max_pending": -1}),
    "a priority out of range": table("bob", {"hashes": [], "scopes": ["read"], "max_priority": 101}),
    "an unknown member": table("bob", {"hashes": [], "scopes": ["read"], "colour": "red"}),
    "bytes that are no text": "[keys.bob]\nscopes = ['\udcff']\n",
}


def put(gateway, text, name="bob.toml"):
    (gateway.keys.folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_and_the_old_keys_stay(keyed, name):
    keyed.errors_expected = True
    put(keyed, BROKEN[name])
    keyed.reload()
    [said, *_] = until(lambda: keyed.error_lines(), "the log says so")
    assert "bob" in said, "the file or the table is named"
    assert status(keyed, keyed.keys["alice"]) == 200
    (keyed.keys.folder / "bob.toml").unlink()
    bob = keyed.keys.add("bob")
    keyed.reload_keys()
    wait_status(keyed, bob, 200)


def test_one_key_of_two_clients_is_refused(keyed):
    keyed.errors_expected = True
    put(keyed, table("bob", {"hashes": [hash_of(keyed.keys["alice"])], "scopes": ["*"]}))
    keyed.reload()
    until(lambda: keyed.error_lines(), "the log says so")
    me = json.loads(wire.exchange(keyed.address, "GET", "/v1/me", headers=keyed.client("alice").headers).body)
    assert me["client"] == "alice"


def test_a_key_is_not_told_by_the_log_of_a_file_that_holds_it_in_clear(keyed):
    keyed.errors_expected = True
    put(keyed, f'[keys.bob]\nkey = "{FINE}"\nhashes = ["{FINE}"]\nscopes = ["read"]\n')
    keyed.reload()
    until(lambda: keyed.error_lines(), "the log says so")
    assert FINE not in keyed.log() and FINE[5:40] not in keyed.log()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_at_the_start_is_78(make_gateway, name):
    gateway = make_gateway({"ocr": {}}, started=False, clients={"alice": {}})
    put(gateway, BROKEN[name])
    gateway.launch()
    assert gateway.process.wait(30) == 78
    assert "bob" in gateway.log()


def test_check_finds_a_broken_file(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False, clients={"alice": {}})
    gateway.write_config()
    command = [BINARY, "check", "--config", gateway.config_file]
    assert subprocess.run(command, capture_output=True, env=environment()).returncode == 0
    put(gateway, BROKEN["an unknown scope"])
    ran = subprocess.run(command, capture_output=True, env=environment())
    assert ran.returncode == 78 and b"reed" in ran.stderr + ran.stdout


def test_without_any_key_everybody_is_refused(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False, clients={})
    gateway.keys.revoke("root")
    gateway.keys.write()
    gateway.start()
    assert status(gateway, make_key()) == 401
    bob = gateway.keys.add("bob")
    gateway.reload_keys()
    wait_status(gateway, bob, 200)


# Degraded under systemd


@contextlib.contextmanager
def degraded(folder, keys, store=True):
    manager = ServiceManager(folder)
    bad = folder / "state" / "inferq.db"
    bad.parent.mkdir()
    if store:
        bad.write_bytes(b"x" * 4096)
    manager.write_config(f'[access]\nmode = "keys"\nkeys = "{keys.folder}"\n', store=bad)
    try:
        manager.start().wait_for("^STATUS=degraded: ")
        yield manager
        manager.stop()
    finally:
        manager.close()


def test_keys_hold_while_the_store_is_degraded(tmp_path):
    keys = Keyring(tmp_path / "keys.d", {"alice": {}})
    with degraded(tmp_path, keys) as manager:
        good = wire.exchange(manager.address, "GET", "/v1/inference", headers={"X-API-Key": keys["alice"]})
        stranger = wire.exchange(manager.address, "GET", "/v1/inference")
        asked = (("GET", "/"), ("GET", "//openapi.json"), ("OPTIONS", "/v1/inference"))
        free = [wire.exchange(manager.address, *each) for each in asked]
        rights = (
            ("POST", "/v1/notifications", {"X-Notify-Token": "t"}), ("PUT", "/v1/inference/x/output", {"X-Notify-Token": "t"}),
            ("GET", "/v1/async/notify/x?ticket=t", {}), ("GET", "/v1/me", {"Cookie": "inferq=c"}),
            ("POST", "/v1/session", {}), ("DELETE", "/v1/session", {}),
        )  # fmt: skip
        others = [wire.exchange(manager.address, *each[:2], headers=each[2]) for each in rights]
        wrong = wire.exchange(manager.address, "GET", "/v1/me", headers={"Cookie": "inferq=c", "X-API-Key": make_key()})
        targets = ("//livez", "http://localhost/livez", "/health/readyz/")
        states = {target: wire.exchange(manager.address, "GET", target) for target in targets}
    assert good.status == 503 and b"inferq.db" in good.body
    assert stranger.status == 401
    assert wrong.status == 401
    for answer in free + others:
        assert answer.status == 503, "a right that cannot be told now is not refused"
        assert b"its operator can see why on its host" in answer.body
        assert b"inferq.db" not in answer.body, "a stranger hears nothing of the reason"
    assert [answer.status for answer in states.values()] == [200, 200, 503]
    assert not [target for target, answer in states.items() if b"inferq.db" in answer.body], "nor here"


def test_a_broken_key_file_is_degraded_under_systemd(tmp_path):
    keys = Keyring(tmp_path / "keys.d", {"alice": {}})
    (keys.folder / "bob.toml").write_text(BROKEN["an unknown scope"])
    with degraded(tmp_path, keys, store=False) as manager:
        assert wire.exchange(manager.address, "GET", "/v1/inference").status in (401, 503)
        assert wire.exchange(manager.address, "GET", "/livez").status == 200
        (keys.folder / "bob.toml").unlink()
        manager.reload()
        until(lambda: wire.exchange(manager.address, "GET", "/v1/inference",
                                    headers={"X-API-Key": keys["alice"]}).status == 200, "the gateway itself", 25)  # fmt: skip
