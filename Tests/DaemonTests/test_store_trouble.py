"""A store that is damaged, not ours, or out of reach: one sentence and an exit code, or right answers and no others."""

import http.client
import json
import os
import random
import shutil
import sqlite3

import pytest

import answers
import small_disk
from contract import KIB, problem
from power_cut import PowerDisk, power_cut_possible
from test_commands import inferq
from waiting import until

PLACES = 200
BROKEN = 599        # what a stream that was cut off counts as
SEED = 20261123


def refused(gateway, code, says, timeout=20):
    """Starts a gateway that must not start: its exit code, and the one sentence that says why."""
    gateway.log_file.unlink(missing_ok=True)
    gateway.launch()
    assert gateway.process.wait(timeout) == code, gateway.log()
    assert_one_sentence(gateway, says)


def assert_one_sentence(gateway, says=""):
    sentences = [line for line in gateway.log().splitlines() if line.startswith("inferq: ")]
    assert len(sentences) == 1, gateway.log()
    assert says in sentences[0] and ": " in sentences[0]
    assert "Fatal error" not in gateway.log()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("inferq.db")}


# Damage


class Filled:
    """A store with jobs of all kinds, all that was ever answered of them, and a gateway to run on damaged copies."""

    def __init__(self, gateway, model_server, aside):
        self.gateway, self.aside = gateway, aside
        route = model_server.route("/ocr")
        large = json.dumps({"predicted_layers": [{"text": "w" * 90 * KIB}]}).encode()
        route.answer_with(*[answers.ok(b'{"predicted_layers": [{"text": "t%d"}]}' % n) for n in range(12)],
                          answers.ok(large), answers.status(400), answers.ok(b"bytes" * 5000, "image/png"))
        jobs = [gateway.submit("ocr", {"n": n, "text": "x" * n * 200}, metadata={"n": n}) for n in range(12)]
        jobs += [gateway.submit("ocr", "y" * 40 * KIB), gateway.submit("ocr", 1), gateway.submit("ocr", 2)]
        jobs += [gateway.submit_bytes("ocr", bytes(range(256)) * 300, "image/png") for _ in range(2)]
        for job in jobs:
            gateway.ended(job)
        jobs += [gateway.submit("ocr", {"later": n}, delay="1d") for n in range(6)]
        self.targets = [job["urls"][name] for job in jobs for name in ("self", "events", "history", "input", "output")]
        self.jobs = jobs
        # An event stream of a job that has not ended does not end either; its history says the same.
        self.targets = [target for target in self.targets if target not in {job["urls"]["events"] for job in jobs[-6:]}]
        self.targets += ["/v1/inference?limit=100", "/v1/inference?limit=100&status=COMPLETED&model=ocr", "/v1/models"]
        gateway.stop()
        for name in ("inferq.db", "blobs"):
            path = gateway.folder / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, aside / name)
        gateway.start()
        self.known = self.read()
        gateway.stop()
        assert {status for status, _ in self.known.values()} <= {200, 409}
        self.files = [aside / "inferq.db", *sorted((aside / "blobs").iterdir())]

    def read(self):
        connection = http.client.HTTPConnection(*self.gateway.address, timeout=20)
        found = {}
        for target in self.targets:
            connection.request("GET", target)
            answer = connection.getresponse()
            try:
                body = answer.read()
            except http.client.IncompleteRead:
                found[target] = (BROKEN, b"")
                connection.close()
                continue
            if target == "/v1/models" and answer.status == 200:
                body = b""          # it tells of ages
            found[target] = (answer.status, body)
            if answer.will_close:
                connection.close()
        connection.close()
        return found

    def restore(self):
        folder = self.gateway.folder
        for path in folder.glob("inferq.db*"):
            path.unlink()
        shutil.rmtree(folder / "blobs")
        shutil.copy(self.aside / "inferq.db", folder / "inferq.db")
        shutil.copytree(self.aside / "blobs", folder / "blobs")
        self.gateway.log_file.unlink(missing_ok=True)

    def run(self, what):
        """Starts on what there is: it must refuse in one sentence, or give right answers or none. True if it served."""
        gateway = self.gateway
        gateway.launch()

        def is_settled():
            if gateway.process.poll() is not None:
                return "ended"
            try:
                return "serves" if gateway.get("/livez").status == 200 else None
            except OSError:
                return None

        if until(is_settled, what, 20) == "ended":
            assert gateway.process.returncode == 65, f"{what}: {gateway.process.returncode}\n{gateway.log()}"
            assert_one_sentence(gateway)
            return False
        for target, (status, body) in self.read().items():
            if status == BROKEN:
                assert "notify" in target, what
            elif status >= 500:
                assert json.loads(body)["status"] == status, what
            else:
                assert (status, body) == self.known[target], f"{what}: {target} gives {status} {body[:300]}"
        gateway.process.terminate()
        assert gateway.process.wait(60) in (0, 65), f"{what}: {gateway.process.returncode}\n{gateway.log()}"
        assert "Fatal error" not in gateway.log(), what
        return True


@pytest.fixture
def filled(make_gateway, model_server, tmp_path):
    aside = tmp_path / "aside"
    aside.mkdir()
    gateway = make_gateway({"ocr": {}}, store={"retention": "0s", "min_free": "0B", "ballast": "0B"})
    gateway.errors_expected = True
    yield Filled(gateway, model_server, aside)
    if gateway.is_running:
        gateway.kill()


def damage(draw, file):
    """Changes one place of a file; what was done, in words."""
    size = file.stat().st_size
    place = draw.randrange(size)
    kind = draw.choice(["flip", "flip", "flip", "zeros", "noise", "cut"])
    if kind == "cut":
        os.truncate(file, place)
        return f"{file.name} cut at {place}"
    with file.open("r+b") as store:
        store.seek(place)
        if kind == "flip":
            old = store.read(1)[0]
            new = bytes([old ^ 1 << draw.randrange(8)])
        else:
            new = bytes(512) if kind == "zeros" else draw.randbytes(512)
            new = new[: size - place]
        store.seek(place)
        store.write(new)
    return f"{kind} in {file.name} at {place}"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_store_damaged_at_one_of_200_places_is_refused_or_answers_rightly(filled):
    draw = random.Random(SEED)
    served = 0
    for number in range(PLACES):
        filled.restore()
        file = draw.choice([filled.files[0]] * 5 + filled.files[1:])
        what = damage(draw, filled.gateway.folder / file.relative_to(filled.aside))
        served += filled.run(f"damage {number} (seed {SEED}): {what}")
    assert 10 < served < PLACES - 10, "neither all refused nor all served"


def test_a_damaged_body_is_a_500_and_a_word_in_the_log_and_all_else_is_served(filled):
    filled.restore()
    store = filled.gateway.folder / "inferq.db"
    data = store.read_bytes()
    place = data.index(b"y" * 1500)
    store.write_bytes(data[: place + 9] + b"n" + data[place + 10 :])
    assert filled.run("a flipped byte of an input")
    gateway = filled.gateway
    gateway.launch()
    until(gateway._is_ready, "readyz")
    wrong = [target for target, known in filled.read().items() if known != filled.known[target]]
    job = next(job for job in filled.jobs if job["urls"]["self"] in wrong)
    assert set(wrong) <= set(job["urls"].values())
    for name in ("self", "input"):
        problem(gateway.get(job["urls"][name]), 500)
    until(lambda: gateway.log_lines("error"), "a line that says so")


def test_a_damaged_page_is_found_without_a_gateway_too(filled, tmp_path):
    """By doctor and by backup, which would else copy it."""
    filled.restore()
    store = filled.gateway.folder / "inferq.db"
    data = store.read_bytes()
    place = data.index(b"y" * 1500)
    store.write_bytes(data[: place + 9] + b"n" + data[place + 10 :])
    filled.gateway.write_config()
    config = ("--config", str(filled.gateway.config_file))
    doctor = inferq("doctor", *config)
    assert doctor.returncode == 1 and b"wrong  store: the database" in doctor.stdout, doctor.stdout
    target = tmp_path / "backup.tar"
    backup = inferq("backup", str(target), *config)
    assert backup.returncode == 65 and b"checksum" in backup.stderr, backup
    assert not target.exists()


def test_the_doctor_misses_a_store_whose_log_is_there(make_gateway):
    gateway = make_gateway({"ocr": {}})
    gateway.submit("ocr")
    gateway.kill()
    (gateway.folder / "inferq.db").rename(gateway.folder / "elsewhere")
    doctor = inferq("doctor", "--config", str(gateway.config_file))
    assert doctor.returncode == 1 and b"-wal" in doctor.stdout, doctor


# Not a store, or none that can be had


@pytest.mark.parametrize("bytes_, says", [
    (b"", "damaged"), (b"not a database\n" * 1000, "damaged"), (b"SQLite format 3\0", "damaged"),
])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(make_gateway, bytes_, says):
    gateway = make_gateway({"ocr": {}}, started=False)
    (gateway.folder / "inferq.db").write_bytes(bytes_)
    refused(gateway, 65, says)
    assert (gateway.folder / "inferq.db").read_bytes() == bytes_


def test_the_database_of_another_program_is_refused_and_left_as_it_is(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False)
    with sqlite3.connect(gateway.folder / "inferq.db") as theirs:
        theirs.execute("CREATE TABLE theirs (x)")
    theirs.close()
    before = (gateway.folder / "inferq.db").read_bytes()
    refused(gateway, 65, "not an inferq store")
    assert (gateway.folder / "inferq.db").read_bytes() == before


def test_a_newer_store_is_refused_and_left_as_it_is(make_gateway):
    gateway = make_gateway({"ocr": {}})
    gateway.stop()
    with sqlite3.connect(gateway.folder / "inferq.db") as store:
        store.execute("PRAGMA user_version = 99")
    store.close()
    before = contents(gateway.folder)["inferq.db"]
    refused(gateway, 65, "newer")
    assert contents(gateway.folder)["inferq.db"] == before


def test_a_log_without_its_store_is_refused(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False)
    (gateway.folder / "inferq.db-wal").write_bytes(b"something")
    refused(gateway, 65, "-wal")
    assert "inferq.db" not in contents(gateway.folder)


def crashed(make_gateway, count):
    """A gateway that was killed and has left jobs in its log alone; the records of its jobs."""
    gateway = make_gateway({"ocr": {}})
    jobs = [gateway.ended(gateway.submit("ocr", {"n": n})) for n in range(count)]
    gateway.kill()
    return gateway, jobs


def test_a_crashed_store_without_its_log_is_refused_until_it_is_back(make_gateway):
    gateway, jobs = crashed(make_gateway, 5)
    log = gateway.folder / "inferq.db-wal"
    log.rename(gateway.folder / "aside")
    refused(gateway, 65, "-wal")
    assert "inferq.db-wal" not in contents(gateway.folder)
    (gateway.folder / "aside").rename(log)
    gateway.start()
    assert [gateway.record(job) for job in jobs] == jobs


def test_a_crashed_store_with_the_log_of_another_is_refused_until_its_own_is_back(make_gateway):
    (gateway, jobs), (other, _) = crashed(make_gateway, 5), crashed(make_gateway, 8)
    log = gateway.folder / "inferq.db-wal"
    own = log.read_bytes()
    log.write_bytes((other.folder / "inferq.db-wal").read_bytes())
    refused(gateway, 65, "-wal")
    log.write_bytes(b"x" + own[1:])
    refused(gateway, 65, "-wal")
    log.write_bytes(own)
    gateway.start()
    assert [gateway.record(job) for job in jobs] == jobs


def test_a_crashed_store_that_another_program_has_recovered_is_served(make_gateway):
    gateway, jobs = crashed(make_gateway, 5)
    copy = gateway.folder / "restored.db"
    gateway.start()
    gateway.stop()
    shutil.copy(gateway.folder / "inferq.db", copy)
    gateway.start()
    gateway.submit("ocr")
    gateway.kill()
    for name in contents(gateway.folder):
        if name != "inferq.db.lock":
            (gateway.folder / name).unlink()
    copy.rename(gateway.folder / "inferq.db")
    gateway.start()
    assert [gateway.record(job) for job in jobs] == jobs


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_path_that_is_no_file_is_refused(make_gateway, make):
    gateway = make_gateway({"ocr": {}}, started=False)
    make(gateway.folder / "inferq.db")
    refused(gateway, 73, "cannot be opened")


def test_a_folder_that_cannot_be_made_is_said(make_gateway):
    gateway = make_gateway({"ocr": {}}, started=False, store={"path": "/proc/inferq/inferq.db"})
    refused(gateway, 73, "/proc/inferq")


def test_a_store_that_another_process_holds_is_refused(make_gateway):
    first = make_gateway({"ocr": {}})
    second = make_gateway({"ocr": {}}, started=False, store={"path": str(first.folder / "inferq.db")})
    refused(second, 73, "held by another process")
    assert first.ended(first.submit("ocr"))["status"] == "COMPLETED"


def test_a_store_on_a_read_only_disk_is_refused_and_served_once_it_is_writable(make_gateway, tmp_path):
    if reason := small_disk.impossible():
        pytest.skip(f"a small disk: {reason}")
    with small_disk.SmallDisk(tmp_path / "disk", 32) as disk:
        settings = {"path": str(disk.path / "inferq.db"), "min_free": "1MiB", "ballast": "1MiB"}
        gateway = make_gateway({"ocr": {}}, store=settings)
        job = gateway.ended(gateway.submit("ocr"))
        gateway.stop()
        disk.remount("ro")
        refused(gateway, 73, "cannot be opened")
        disk.remount("rw")
        gateway.start()
        assert gateway.record(job) == job
        gateway.stop()


def test_a_disk_that_fails_ends_the_process_which_recovers_on_a_sound_one(make_gateway, model_server, tmp_path):
    if reason := power_cut_possible():
        pytest.skip(f"a disk that fails: {reason}")
    with PowerDisk(tmp_path, 64) as disk:
        settings = {"path": str(disk.mount / "inferq.db"), "min_free": "1MiB", "ballast": "1MiB"}
        gateway = make_gateway({"ocr": {}}, store=settings)
        job = gateway.ended(gateway.submit("ocr"))
        model_server.route("/ocr").hold()
        running = gateway.submit("ocr")
        model_server.route("/ocr").wait_calls(2)
        disk.cut()
        try:
            assert gateway.post("/v1/async/inference", {"model": "ocr"}).status != 202
        except OSError:
            pass
        assert gateway.process.wait(60) == 74, gateway.log()
        assert any("critical" in line for line in gateway.log_lines("critical"))
        disk.detach()
        disk.attach()
        model_server.route("/ocr").release()
        gateway.start()
        assert gateway.record(job) == job
        assert gateway.ended(running)["status"] == "COMPLETED"
        gateway.errors_expected = True
        gateway.stop()
