"""The example that maps floods: its model server by itself, and behind the gateway."""

import http.client
import json
import os
import random
import struct
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import JSON_TYPE
from waiting import until

FLOOD = Path(__file__).resolve().parents[2] / "examples" / "flood"
REQUEST = json.loads((FLOOD / "request.json").read_text())

sys.dont_write_bytecode = True
sys.path.insert(0, str(FLOOD))
from flood import components  # noqa: E402
from raster import Grid, area, read_pgm, rings  # noqa: E402


@contextmanager
def flood_server(data):
    """A running examples/flood/server.py; gives its URL and its log."""
    log = data / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(FLOOD / "server.py"), "--listen", "127.0.0.1:0", "--data", str(data)],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http"), (line, log.read_text())
        yield line.split()[-1], log
    finally:
        process.terminate()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("flood")


@pytest.fixture(scope="module")
def flood(data):
    with flood_server(data) as server:
        yield server


def post(url, body, headers=JSON_TYPE):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("POST", parts.path, body if isinstance(body, bytes) else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def fetch(uri):
    with urllib.request.urlopen(uri, timeout=30) as answer:
        return answer.read()


def new_water(data, bbox):
    """How many pixels of the box are wet in February and dry in January, counted without the example's code for it."""
    wet = {}
    for date in ("2026-01-05", "2026-02-14"):
        grid, green = read_pgm(data / "scenes" / f"{date}_green.pgm")
        _, nir = read_pgm(data / "scenes" / f"{date}_nir.pgm")
        west, south, east, north = bbox
        wet[date] = {
            (x, y)
            for y in range(grid.height) for x in range(grid.width)
            if west < grid.west + (x + 0.5) * grid.step < east and south < grid.north - (y + 0.5) * grid.step < north
            and (green[y][x] - nir[y][x]) / (green[y][x] + nir[y][x]) > 0
        }
    return wet["2026-02-14"] - wet["2026-01-05"]


def test_the_gateway_passes_the_request_on_and_the_layers_back(flood, data, make_gateway):
    gateway = make_gateway({"flood": {"url": flood[0]}})
    answer = gateway.post("/v1/async/inference", REQUEST)
    assert answer.status == 202
    job = answer.json()
    early = None
    with gateway.listen(job) as stream:
        stream.until(lambda received: b"Inf:Task:LayerReady" in received and received.endswith(b"\n\n"), 30)
        assert b"Inf:Task:Notify" in stream.received, "progress comes before the first layer"
        events = [line for line in stream.received.split(b"\n") if b"Inf:Task:LayerReady" in line]
        early = json.loads(events[0].removeprefix(b"data: "))["data"]["predicted_layers"]
        assert fetch(early[0]["uri"]).startswith(b"\x89PNG"), "a layer that was handed over early can be fetched"
        stream.to_end(30)
    record = gateway.ended(job)
    assert record["status"] == "COMPLETED", record
    layers = record["predicted_layers"]
    assert early == layers[:1]
    assert [layer["z_index"] for layer in layers] == [0, 1, 2]
    for layer in layers:
        assert set(layer) == {"uri", "display_name", "z_index", "sld_body", "bbox_pred"}
        assert layer["bbox_pred"] == pytest.approx(REQUEST["spatial_domain"]["bbox"][0])
        assert layer["sld_body"].startswith("<StyledLayerDescriptor")
    told = [event.envelope for event in gateway.events(job) if event.envelope["detail_type"] == "Inf:Task:Notify"]
    progress = [each["data"]["progress"] for each in told]
    assert len(progress) >= 3 and progress == sorted(progress)

    pixels = new_water(data, REQUEST["spatial_domain"]["bbox"][0])
    collection = json.loads(fetch(layers[2]["uri"]))
    step = 0.0004
    mapped = 0
    for feature in collection["features"]:
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1] and len(ring) >= 5
            mapped += sum(x * v - u * y for (x, y), (u, v) in zip(ring, ring[1:])) / 2 / step**2
    assert mapped == pytest.approx(len(pixels), abs=12 * 20), "the outlines enclose the pixels that are newly wet"
    assert record["output"]["flooded_hectares"] == pytest.approx(len(pixels) * 0.1194, rel=0.02)
    mask = fetch(layers[1]["uri"])
    assert struct.unpack(">II", mask[16:24]) == (450, 325)
    assert len(fetch(layers[1]["uri"].replace(".png", ".wld")).splitlines()) == 6


def test_another_time_and_another_box_give_another_map(flood):
    def ask(**change):
        status, answer = post(flood[0], REQUEST | change)
        assert status == 200, answer
        return answer

    february = ask()
    march = ask(temporal_domain=["2026-03-20"])
    january = ask(temporal_domain=["2026-01-01_2026-01-31"])
    lake = ask(spatial_domain={"bbox": [[9.16, 52.87, 9.23, 52.95], [9.05, 52.82, 9.1, 52.9]]})
    assert january["flooded_areas"] == 0 and january["flooded_hectares"] == 0
    assert 0 < march["flooded_hectares"] < february["flooded_hectares"]
    assert 0 < lake["flooded_hectares"] < february["flooded_hectares"]
    assert [layer["z_index"] for layer in lake["predicted_layers"]] == list(range(6))
    assert len({layer["uri"] for layer in lake["predicted_layers"]}) == 6


def test_a_repeated_attempt_writes_the_same_files_again(flood, data):
    headers = JSON_TYPE | {"X-Inference-Id": "01935f2e-0000-7000-8000-000000000001"}
    files = []
    for _ in range(2):
        assert post(flood[0], REQUEST, headers)[0] == 200
        folder = data / "layers" / headers["X-Inference-Id"]
        files.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert files[0] == files[1] and "flooded.geojson" in files[0]


@pytest.mark.parametrize("change, status, says", [
    ({"spatial_domain": {}}, 400, "spatial_domain.bbox"),
    ({"spatial_domain": {"bbox": [[9.2, 52.8, 9.1, 52.9]]}}, 400, "spatial_domain.bbox"),
    ({"spatial_domain": {"bbox": [[9, 52, "east", 53]]}}, 400, "spatial_domain.bbox"),
    ({"spatial_domain": {"bbox": [[20.0, 10.0, 21.0, 11.0]]}}, 422, "does not touch the scenes"),
    ({"temporal_domain": ["yesterday"]}, 400, "temporal_domain"),
    ({"temporal_domain": ["1999-01-01_1999-12-31"]}, 422, "2026-02-14"),
    ({"parameters": {"threshold": 7}}, 400, "threshold"),
])  # fmt: skip
def test_what_cannot_be_mapped_is_said_and_not_repeated(flood, change, status, says):
    answered, answer = post(flood[0], REQUEST | change)
    assert answered == status, answer
    assert says in answer["error"]


def test_a_body_that_is_no_json_or_has_no_length_is_refused(flood):
    assert post(flood[0], b"{")[0] == 400
    assert post(flood[0], b"[]")[0] == 400
    assert post(flood[0], bytes(1024 * 1024 + 1))[0] == 413


@pytest.mark.parametrize("path", ["/layers/../scenes/2026-01-05_green.pgm", "/layers/x/..%2f..%2fserver.log", "/"])
def test_only_layers_are_served(flood, path):
    address = urllib.parse.urlsplit(flood[0])
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_a_cancelled_job_stops_the_work(flood, make_gateway):
    gateway = make_gateway({"flood": {"url": flood[0]}})
    boxes = [[9.0, 52.8, 9.24, 52.96]] * 8  # several seconds of work
    job = gateway.post("/v1/async/inference", REQUEST | {"spatial_domain": {"bbox": boxes}}).json()
    gateway.wait_status(job, "RUNNING")
    with gateway.listen(job) as stream:
        stream.until(lambda received: b"Inf:Task:LayerReady" in received, 30)
    assert gateway.cancel(job).json()["status"] == "CANCELLED"
    until(lambda: "given up: the caller hung up" in flood[1].read_text(), "the model server gives up", 30)


def test_outlines_enclose_exactly_the_pixels_that_hang_together():
    for seed in range(200):
        dice = random.Random(seed)
        mask = [bytearray(dice.random() < 0.6 for _ in range(9)) for _ in range(7)]
        found = components(mask, lambda: None)
        assert sum(map(len, found)) == sum(map(sum, mask))
        for cells in found:
            outer, *holes = rings(cells)
            assert area(outer) > 0 and all(area(hole) < 0 for hole in holes), seed
            assert area(outer) + sum(map(area, holes)) == len(cells), seed


def test_a_window_takes_the_pixels_that_touch_the_box():
    grid = Grid(9.0, 52.96, 0.0004, 600, 400)
    assert grid.window([9.05, 52.82, 9.23, 52.95]) == (125, 25, 575, 350)
    assert grid.window([8.0, 50.0, 10.0, 55.0]) == (0, 0, 600, 400)
    assert grid.window([9.00001, 52.95999, 9.00002, 52.959995]) == (0, 0, 1, 1)
    assert grid.window([10.0, 50.0, 11.0, 51.0]) is None
