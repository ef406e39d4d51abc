"""A consistent copy of the store as an archive while it is in use, its restore, and the check."""

import contextlib
import http.client
import io
import itertools
import sqlite3
import tarfile
import threading

import pytest

import answers
import wire
from answers import ok
from contract import KIB, MIB, problem
from waiting import until

BACKUP, CHECK = "/v1/store/backup", "/v1/store/check"
LARGE = 100 * KIB  # a body of its own file


@pytest.fixture
def local(make_gateway, tmp_path):
    """Makes a gateway that listens on a Unix socket too, which is its `socket`."""
    numbers = itertools.count()

    def make(models=None, started=True, **settings):
        gateway = make_gateway(models or {"ocr": {}}, started=False, **settings)
        gateway.socket = tmp_path / f"{next(numbers)}.sock"
        gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{gateway.socket}"]
        return gateway.start() if started else gateway

    return make


def on_socket(gateway, target, timeout=60.0):
    return wire.exchange(gateway.socket, "GET", target, timeout=timeout)


def is_alive(gateway):
    try:
        return on_socket(gateway, "/livez").status == 200
    except OSError:
        return False


def backup(gateway):
    answer = on_socket(gateway, BACKUP)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert answer.headers["Inferq-Missing-Blobs"] == "0"
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    return answer.body


def unpack(archive, folder):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder)
    return folder


@contextlib.contextmanager
def database(folder):
    """The database of an unpacked archive, as it is: no log beside it is needed."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'inferq.db'}?mode=ro", uri=True)) as connection:
        yield connection


def temporary_files(gateway):
    return [path.name for path in gateway.folder.iterdir() if ".copy" in path.name]


def blobs(gateway):
    return sorted(path.name for path in (gateway.folder / "blobs").iterdir())


def begin(gateway):
    """The head of a backup's answer is read; the rest waits until it is asked for."""
    connection = wire.connect(gateway.socket, 60)
    connection.request("GET", BACKUP)
    return connection, connection.getresponse()


@pytest.mark.parametrize("target", [BACKUP, CHECK])
def test_only_the_unix_socket_offers_it(local, target):
    gateway = local()
    document = problem(gateway.get(target), 403, "Unix socket")
    assert document["code"] == "unix_socket_only"
    assert on_socket(gateway, target).status == 200


def test_a_restored_backup_goes_on_where_the_store_was(local, model_server, tmp_path):
    gateway = local({"ocr": {}, "held": {}})
    route = model_server.route("/ocr")
    small, large = b'{"pages":[1,2.50,3]}', bytes(range(256)) * 800
    route.answer_with(ok(small), ok(large, "image/png"), answers.status(400))
    jobs = [gateway.submit("ocr", {"n": 1}, metadata={"for": "me"}), gateway.submit_bytes("ocr", large[:LARGE])]
    jobs.append(gateway.submit("ocr"))
    records = [gateway.ended(job) for job in jobs]
    assert [record["status"] for record in records] == ["COMPLETED", "COMPLETED", "ERROR"]
    events = [gateway.events(job) for job in jobs]
    held = model_server.route("/held")
    held.hold()
    waiting = [gateway.submit_bytes("held", bytes([n]) * LARGE) for n in range(3)]
    held.wait_calls(1)

    archive = backup(gateway)
    gateway.kill()
    held.release()

    restored = local({"ocr": {}, "held": {}}, started=False)
    restored.models = gateway.models
    unpack(archive, restored.folder)
    assert {path.stat().st_mode & 0o777 for path in restored.folder.rglob("*") if path.is_file()} == {0o600}
    restored.start()
    for job, record, history in zip(jobs, records, events):
        assert restored.record(job) == record
        assert restored.events(job) == history
    assert restored.get(jobs[0]["urls"]["output"]).body == small
    assert restored.get(jobs[1]["urls"]["output"]).body == large
    assert restored.get(jobs[1]["urls"]["input"]).body == large[:LARGE]
    for n, job in enumerate(waiting):
        assert restored.ended(job)["status"] == "COMPLETED"
        assert restored.get(job["urls"]["input"]).body == bytes([n]) * LARGE
    assert on_socket(restored, CHECK).json()["ok"]


def test_a_backup_under_load_holds_every_job_acknowledged_before_it(local, tmp_path):
    gateway = local({"ocr": {"concurrency": 4}})
    acknowledged, failures, over = [], [], threading.Event()

    def submit(number):
        try:
            while not over.is_set():
                acknowledged.append(gateway.submit("ocr", {"text": "x" * 3000})["id"])
                if number == 0:
                    acknowledged.append(gateway.submit_bytes("ocr", bytes(LARGE))["id"])
        except Exception as error:  # a thread's own ends would be silent
            failures.append(error)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for round in range(3):
            wanted = len(acknowledged) + 200
            until(lambda: len(acknowledged) > wanted or failures, "jobs", 60)
            before = set(acknowledged)
            folder = unpack(backup(gateway), tmp_path / f"round{round}")
            with database(folder) as db:
                assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert db.execute("PRAGMA foreign_key_check").fetchall() == []
                ids = {row[0].hex() for row in db.execute("SELECT id FROM job")}
                assert {id.replace("-", "") for id in before} <= ids
                named = db.execute(
                    "SELECT input_file, input_size FROM job WHERE input_file IS NOT NULL"
                    " UNION ALL SELECT output_file, output_size FROM job WHERE output_file IS NOT NULL"
                )
                found = {path.name: path.stat().st_size for path in (folder / "blobs").iterdir()}
                assert found == dict(named.fetchall())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    until(lambda: not temporary_files(gateway), "the temporary file goes")


def test_jobs_deleted_meanwhile_do_not_tear_it(local, tmp_path):
    gateway = local()
    bodies = {}
    for n in range(12):
        body = bytes([n]) * MIB  # more in all than the kernel keeps for a client that does not read
        job = gateway.submit_bytes("ocr", body)
        assert gateway.ended(job)["status"] == "COMPLETED"
        bodies[n] = (job, body)
    connection, response = begin(gateway)
    for job, _ in bodies.values():
        assert gateway.request("DELETE", job["urls"]["self"]).status == 204
    assert len(blobs(gateway)) == 12, "kept until the backup has ended"
    folder = unpack(response.read(), tmp_path / "restored")
    connection.close()
    found = sorted(path.read_bytes() for path in (folder / "blobs").iterdir())
    assert found == sorted(body for _, body in bodies.values())
    until(lambda: not blobs(gateway), "the blobs of the deleted jobs go")


def test_a_client_that_hangs_up_leaves_nothing_behind(local):
    gateway = local()
    for _ in range(8):
        gateway.ended(gateway.submit_bytes("ocr", bytes(4 * MIB)))
    connection, response = begin(gateway)
    assert response.read(1000)
    assert temporary_files(gateway), "the test looks at the right place"
    response.close()
    connection.close()
    until(lambda: not temporary_files(gateway), "the temporary file goes")
    assert len(backup(gateway)) > 32 * MIB, "and the next one may begin"
    until(lambda: not temporary_files(gateway), "after a complete one too")


def test_one_copy_at_a_time(local):
    gateway = local()
    for _ in range(8):
        gateway.ended(gateway.submit_bytes("ocr", bytes(4 * MIB)))
    connection, _ = begin(gateway)
    for target in (BACKUP, CHECK):
        answer = on_socket(gateway, target)
        assert problem(answer, 503)["code"] == "copy_in_progress"
        assert answer.headers["Retry-After"]
    connection.close()
    until(lambda: on_socket(gateway, CHECK).status == 200, "the check, once the first has gone")


def test_a_stop_does_not_wait_for_a_backup_that_nobody_reads(local):
    gateway = local()
    for _ in range(8):
        gateway.ended(gateway.submit_bytes("ocr", bytes(4 * MIB)))
    connection, response = begin(gateway)
    gateway.terminate()
    with pytest.raises((http.client.IncompleteRead, OSError)):
        response.read()
    connection.close()
    gateway.wait_stopped()
    assert not temporary_files(gateway)


def test_what_a_crash_left_of_a_copy_is_swept(local):
    gateway = local()
    for _ in range(8):
        gateway.ended(gateway.submit_bytes("ocr", bytes(4 * MIB)))
    connection, _ = begin(gateway)
    gateway.kill()
    connection.close()
    assert temporary_files(gateway)
    gateway.restart()
    assert not temporary_files(gateway)


@pytest.mark.parametrize("target", [BACKUP, CHECK])
def test_a_disk_without_room_for_a_copy_gives_507(local, target):
    gateway = local(store={"min_free": "900TiB"}, started=False)
    gateway.launch()
    # It is alive and, with so little room, not ready.
    until(lambda: is_alive(gateway), "livez of the gateway", 20)
    document = problem(on_socket(gateway, target), 507, "bytes")
    assert document["code"] == "no_room_for_copy"
    assert not temporary_files(gateway)


def test_head_costs_nothing(local):
    gateway = local()
    for target in (BACKUP, CHECK):
        answer = wire.exchange(gateway.socket, "HEAD", target)
        assert (answer.status, answer.body) == (200, b"")
    assert on_socket(gateway, CHECK).status == 200


# The check


def test_the_check_of_a_sound_store(local):
    gateway = local()
    for job in [gateway.submit("ocr"), gateway.submit_bytes("ocr", bytes(LARGE))]:
        gateway.ended(job)
    found = on_socket(gateway, CHECK).json()
    assert (found["ok"], found["problems"]) == (True, [])
    assert (found["jobs"], found["events"], found["blobs"], found["blobs_missing"]) == (2, 6, 1, 0)
    assert found["blob_bytes"] == LARGE and found["database_bytes"] >= 4096


def test_the_check_finds_blobs_that_are_gone_or_cut(local):
    gateway = local()
    for _ in range(2):
        gateway.ended(gateway.submit_bytes("ocr", bytes(LARGE)))
    files = sorted((gateway.folder / "blobs").iterdir())
    files[0].unlink()
    files[1].write_bytes(b"cut")
    found = on_socket(gateway, CHECK).json()
    assert (found["ok"], found["blobs_missing"], found["blobs_torn"]) == (False, 1, 1)
    assert len(found["problems"]) == 2
    answer = on_socket(gateway, BACKUP)
    assert answer.headers["Inferq-Missing-Blobs"] == "2"
    assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_the_check_finds_damage_in_the_database(local):
    gateway = local()
    # More than any connection keeps in memory.
    for number in range(200):
        job = gateway.submit("ocr", {"text": f"{number} ninety-nine red balloons " * 1500})
    gateway.ended(job)
    gateway.stop()  # all is in the database's own file then
    gateway.restart()
    with (gateway.folder / "inferq.db").open("r+b") as database:
        content = database.read()
        place = content.rindex(b"100 ninety-nine red balloons ")
        database.seek(place)
        database.write(bytes([content[place] ^ 1]))  # one bit of a body: no rule of SQL knows it to be wrong
    found = on_socket(gateway, CHECK)
    assert found.status == 200 and not found.json()["ok"] and found.json()["problems"], found
