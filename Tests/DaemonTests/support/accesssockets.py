"""A gateway in mode `keys` that listens on Unix sockets too, one of them the administrator's."""

import itertools

import pytest

import wire
from accesspaths import JSON_BODY

COOKIE_NAMES = ("__Host-", "inferq")


@pytest.fixture
def sockets(make_gateway, tmp_path):
    """Makes gateways whose `local` and `admin` are paths of Unix sockets. `clients` None: mode `open`."""
    numbers = itertools.count()

    def make(models=None, clients=None, **settings):
        gateway = make_gateway(models or {"ocr": {}}, started=False, clients=clients, **settings)
        number = next(numbers)
        gateway.local, gateway.admin = (tmp_path / f"{name}{number}.sock" for name in ("local", "admin"))
        gateway.settings["listen"] = [
            f"127.0.0.1:{gateway.port}", f"unix:{gateway.local}", f"admin+unix:{gateway.admin}",
        ]  # fmt: skip
        return gateway.start()

    return make


def on(path, method, target, body=None, headers=None):
    """One request on a Unix socket."""
    fields = (JSON_BODY if body is not None else {}) | (headers or {})
    return wire.exchange(path, method, target, body, fields, timeout=60.0)


def sign_in(gateway, key, headers=None):
    """The answer to a page that sends the key that it asked for."""
    return gateway.client().post("/v1/session", {"key": key}, JSON_BODY | (headers or {}))


def cookie(answer):
    """What a browser sends back."""
    [field] = answer.headers.get_all("Set-Cookie")
    return field.partition(";")[0]
