"""No one listens openly by accident: without keys, an address that others can reach is refused."""

import socket

import pytest

import wire
from ports import free_port
from service import ServiceManager
from waiting import until

REACHABLE = ["0.0.0.0:{port}", "[::]:{port}", "tls://0.0.0.0:{port}"]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
        return True
    except OSError:
        return False


def listening(make_gateway, address, clients=None, **access):
    """A gateway that is started and may end at once."""
    gateway = make_gateway({"ocr": {}}, started=False, clients=clients)
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", address.format(port=free_port())]
    gateway.settings["access"] = gateway.settings.get("access", {}) | access
    gateway.launch()
    return gateway


def is_ready(gateway):
    assert gateway.is_running, gateway.log()
    try:
        return wire.exchange(gateway.address, "GET", "/livez").status == 200
    except OSError:
        return False


@pytest.mark.parametrize("address", REACHABLE)
@pytest.mark.parametrize("access", [{}, {"mode": "open"}, {"open_network": False}], ids=str)
def test_an_open_gateway_on_the_network_is_refused(make_gateway, address, access):
    gateway = listening(make_gateway, address, **access)
    assert gateway.process.wait(30) == 78
    if not address.startswith("tls"):
        assert "open_network" in gateway.log() and "keys" in gateway.log(), "both ways out are named"


@pytest.mark.parametrize("address", ["0.0.0.0:{port}", "[::]:{port}"])
def test_who_says_so_gets_it(make_gateway, address):
    if address.startswith("[") and not has_ipv6():
        pytest.skip("no IPv6")
    gateway = listening(make_gateway, address, open_network=True)
    until(lambda: is_ready(gateway), "the gateway")
    assert gateway.get("/v1/inference").status == 200


def test_with_keys_it_is_served(make_gateway):
    gateway = listening(make_gateway, "0.0.0.0:{port}", clients={"alice": {}})
    until(lambda: is_ready(gateway), "the gateway")
    assert wire.exchange(gateway.address, "GET", "/v1/inference").status == 401
    assert gateway.client("alice").get("/v1/inference").status == 200


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "127.0.0.53:{port}"])
def test_loopback_is_no_network(make_gateway, address):
    gateway = listening(make_gateway, address)
    until(lambda: is_ready(gateway), "the gateway")


def test_a_reload_opens_nothing(make_gateway):
    gateway = listening(make_gateway, "0.0.0.0:{port}", clients={"alice": {}})
    until(lambda: is_ready(gateway), "the gateway")
    gateway.errors_expected = True
    gateway.settings["access"] = {"mode": "open"}
    gateway.reload()
    until(lambda: gateway.log_lines("warning", "error"), "the refusal is told")
    assert wire.exchange(gateway.address, "GET", "/v1/inference").status == 401


@pytest.mark.parametrize("access", [{"mode": "closed"}, {"keys": 3}, {"failures": "often"}, {"nonsense": True}], ids=str)
def test_an_access_table_that_cannot_be_is_78(make_gateway, access):
    gateway = make_gateway({"ocr": {}}, started=False)
    gateway.settings["access"] = access
    gateway.launch()
    assert gateway.process.wait(30) == 78
    assert "access" in gateway.log()


def test_an_inherited_socket_on_the_network_is_degraded_until_it_is_said(tmp_path):
    manager = ServiceManager(tmp_path)
    manager.tcp.close()
    manager.tcp = socket.create_server(("0.0.0.0", 0), backlog=128)
    address = ("127.0.0.1", manager.tcp.getsockname()[1])
    try:
        manager.write_config()
        manager.start().wait_for("^STATUS=degraded: ")
        assert wire.exchange(address, "GET", "/v1/inference").status in (401, 503)
        assert wire.exchange(address, "GET", "/livez").status == 200
        manager.write_config("[access]\nopen_network = true\n")
        manager.reload()
        until(lambda: wire.exchange(address, "GET", "/v1/inference").status == 200, "the gateway itself", 25)
        manager.stop()
    finally:
        manager.close()
