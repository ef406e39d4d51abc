"""Fixtures. Most tests share one gateway per file and get a model of their own on it."""

import contextlib
import copy
import dataclasses
import os

import pytest

from browser import Browser
from gateway import Gateway
from modelserver import ModelServer, Route

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

PATIENCE = 5    # how much slower a machine may be for the time limits of tests
FAST = {"backoff": {"base": "50ms", "cap": "200ms"}}

_gateways = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Among several workers (`-n`), a file goes to one of them as a whole, since its tests share a gateway."""
    for item in items:
        name = item.name if item.get_closest_marker("long") else item.path.stem
        item.add_marker(pytest.mark.xdist_group(name))
        # Against what hangs for good. What waits is patient on a machine with other work (`waiting.fair`).
        limit = item.get_closest_marker("timeout")
        if limit:
            item.add_marker(pytest.mark.timeout(PATIENCE * limit.args[0]), append=False)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the state of each gateway and the end of its log with a failure."""
    report = (yield).get_result()
    if report.failed:
        for each in _gateways:
            report.sections.append((f"state of the gateway in {each.folder}", each.state()))
            report.sections.append((f"log of the gateway in {each.folder}", each.log()[-6000:]))


@dataclasses.dataclass
class Model:
    """A model that one test has for itself: its name at the gateway, and its route at the model server."""

    name: str
    route: Route

    @property
    def calls(self):
        return self.route.calls


def _run(folder, models, settings):
    """A gateway whose process, if it is still there in the end, is stopped and must end well."""
    each = Gateway(folder, models, **settings)
    _gateways.append(each)
    return each


def _close(each):
    try:
        each.close()
    finally:
        _gateways.remove(each)


@pytest.fixture(scope="module")
def _shared_server():
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(request, _shared_server, tmp_path_factory):
    """The gateway that the tests of one file share: one model for each test that asks for one, fast retries.

    What the file says beside: `SETTINGS`, more `MODELS` (without a dialect, at the path of their name), and the `CLIENTS` of
    a gateway in mode `keys`.
    """
    wanted = sum("model" in item.fixturenames for item in request.session.items if item.path == request.path)
    models = {f"m{n:03}": {"url": _shared_server.url(f"/m{n:03}")} | FAST for n in range(max(wanted, 1))}
    free = sorted(models)
    for name, keys in getattr(request.module, "MODELS", {}).items():
        models[name] = {"url": _shared_server.url("" if "dialect" in keys else "/" + name)} | FAST | keys
    settings = copy.deepcopy(getattr(request.module, "SETTINGS", {}))
    each = _run(tmp_path_factory.mktemp("gateway"), models, settings)
    each.free_models = free
    if clients := getattr(request.module, "CLIENTS", None):
        each.use_keys(copy.deepcopy(clients))
    try:
        yield each.start()
    finally:
        _shared_server.let_go()
        _close(each)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One for the tests of a file, each of which opens tabs of its own."""
    with Browser(tmp_path_factory.mktemp("chromium")) as each:
        yield each


@pytest.fixture
def model(gateway, _shared_server):
    """A model of the shared gateway that no other test uses. It answers 200 until told otherwise."""
    name = gateway.free_models.pop(0)
    each = Model(name, _shared_server.route("/" + name))
    yield each
    each.route.let_go()


@pytest.fixture
def model_server():
    """A model server of the test's own; its only route until told otherwise is `/predict`."""
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture
def make_gateway(model_server, tmp_path):
    """Starts gateways with settings of their own: `make_gateway({"ocr": {...}}, heartbeat="1s")`.

    A model without `url` gets the path `/NAME` of `model_server`. With `clients`, it is one in mode `keys`.
    """
    made = []

    def make(models, started=True, clients=None, **settings):
        models = {name: {"url": model_server.url("/" + name)} | FAST | keys for name, keys in models.items()}
        folder = tmp_path / f"gateway{len(made)}"
        folder.mkdir()
        each = _run(folder, models, settings)
        made.append(each)
        if clients is not None:
            each.use_keys(clients)
        return each.start() if started else each

    yield make
    model_server.let_go()
    with contextlib.ExitStack() as stack:
        for each in made:
            stack.callback(_close, each)        # all of them, whatever one of them meets
