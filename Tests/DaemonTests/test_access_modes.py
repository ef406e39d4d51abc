"""Where the gateway may listen without keys, and what becomes of files of keys that are broken."""

import pytest

import wire
from gateway import toml
from ports import free_port
from service import ServiceManager
from test_commands import inferq
from waiting import until

HASH = '{ id = "aaaaaaaa", sha256 = "' + "a" * 64 + '" }'
ERP = f'[keys.erp]\nhashes = [{HASH}]\nscopes = ["submit"]\n'


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys.d"
    folder.mkdir()
    return folder


def told(gateway, text):
    until(lambda: text in gateway.log(), f"a line with {text!r}; its log:\n{gateway.log()}")


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_an_open_gateway_refuses_to_listen_for_other_hosts(tmp_path, address):
    file = tmp_path / "inferq.toml"
    listen = f"{address}:{free_port()}"
    file.write_text(toml({"listen": [listen], "store": {"path": str(tmp_path / "inferq.db")}}))
    for command in ("serve", "check"):
        ended = inferq(command, "--config", file)
        said = ended.stderr.decode().splitlines()
        assert ended.returncode == 78 and len(said) == 1, said
        assert listen in said[0] and "inferq key add NAME" in said[0] and "access.open_network = true" in said[0]
    assert not (tmp_path / "inferq.db").exists()


def test_an_open_gateway_listens_for_other_hosts_if_it_is_told_to(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False, access={"open_network": True})
    gateway.settings["listen"] = [f"0.0.0.0:{gateway.port}"]
    gateway.start()
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"


def test_with_an_open_socket_from_systemd_it_is_degraded_until_it_is_told_to(tmp_path):
    manager = ServiceManager(tmp_path, host="0.0.0.0")
    try:
        manager.write_config()
        manager.start()
        manager.wait_for("^STATUS=degraded: .*access.mode")
        answer = wire.exchange(manager.address, "GET", "/readyz")
        assert answer.status == 503 and f"0.0.0.0:{manager.address[1]}".encode() in answer.body
        manager.write_config("[access]\nopen_network = true")
        manager.reload()
        until(lambda: wire.exchange(manager.address, "GET", "/readyz").status == 200, "readiness")
        manager.stop()
    finally:
        manager.close()


def test_a_reload_to_mode_open_is_refused_while_other_hosts_reach_it(make_gateway, keys):
    gateway = make_gateway({"ocr": {}}, started=False, access={"mode": "keys", "keys": str(keys)})
    gateway.settings["listen"] = [f"0.0.0.0:{gateway.port}"]
    gateway.errors_expected = True
    gateway.start()
    gateway.settings["access"] = {"mode": "open"}
    gateway.settings["heartbeat"] = "1s"
    gateway.reload()
    told(gateway, "the new configuration is refused, the old one stays")
    # What is listened on counts, not what will be.
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}"]
    gateway.reload()
    until(lambda: gateway.log().count("the new configuration is refused") == 2, "the second refusal")
    gateway.settings["access"]["open_network"] = True
    gateway.reload()
    told(gateway, "configuration reloaded")


def test_a_broken_file_of_keys_is_refused_as_a_whole(make_gateway, keys):
    gateway = make_gateway({"ocr": {}}, started=False, access={"mode": "keys", "keys": str(keys)})
    gateway.errors_expected = True
    (keys / "erp.toml").write_text(ERP)
    gateway.start()
    (keys / "page.toml").write_text(ERP.replace("erp", "page"))
    gateway.reload()
    told(gateway, f"{keys}/page.toml: keys.page.hashes: the key aaaaaaaa also belongs to keys.erp")
    gateway.kill()
    for command in ("serve", "check"):
        ended = inferq(command, "--config", gateway.config_file)
        assert ended.returncode == 78 and b"page.toml: keys.page.hashes" in ended.stderr
    (keys / "page.toml").unlink()
    assert b"keys: 1 client, 1 key in " in inferq("check", "--config", gateway.config_file).stdout
    gateway.start()


def test_without_keys_a_line_says_that_nobody_can_come_in(make_gateway, keys):
    keys.rmdir()
    gateway = make_gateway({"ocr": {}}, access={"mode": "keys", "keys": str(keys)})
    told(gateway, "create one with inferq key add NAME")


def test_among_settings_keys_are_refused(tmp_path):
    file = tmp_path / "inferq.toml"
    file.write_text(ERP)
    ended = inferq("check", "--config", file)
    assert ended.returncode == 78 and b"move the table to a file in /etc/inferq/keys.d" in ended.stderr


@pytest.mark.parametrize("mode", ["keys", "open"])
def test_check_looks_at_the_keys_in_either_mode(tmp_path, keys, mode):
    key = "infq_" + "A" * 49
    (keys / "erp.toml").write_text(f'[keys.erp]\nscopes = ["submit"]\nhashes = [{{ id = "a", sha256 = "{key}" }}]\n')
    file = tmp_path / "inferq.toml"
    file.write_text(f'[access]\nmode = "{mode}"\nkeys = "{keys}"\n')
    ended = inferq("check", "--config", file)
    assert ended.returncode == (78 if mode == "keys" else 0)
    assert b"erp.toml: keys.erp.hashes: item 1: sha256 holds a key itself" in ended.stderr
    assert b"AAAAAAAA" not in ended.stderr + ended.stdout
