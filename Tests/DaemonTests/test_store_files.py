"""The files of a store and their names: one gateway for one file, whatever leads to it; a file that is taken away is
noticed; and a gateway without work leaves its disk alone."""

import os
import pathlib
import re
import shutil
import threading
import time

import pytest

from contract import KIB, SUBMIT
from test_store_trouble import refused
from waiting import until


# One file, whatever leads to it


def symbolic(target, name):
    name.symlink_to(target)


def hard(target, name):
    os.link(target, name)


@pytest.mark.parametrize("link", [symbolic, hard])
def test_a_link_to_the_store_of_a_running_gateway_is_refused(make_gateway, tmp_path, link):
    first = make_gateway({"ocr": {}})
    name = tmp_path / "link.db"
    link(first.folder / "inferq.db", name)
    second = make_gateway({"ocr": {}}, started=False, store={"path": str(name)})
    refused(second, 73, "held by another process")
    assert first.ended(first.submit("ocr"))["status"] == "COMPLETED"
    name.unlink()


def test_a_link_to_a_folder_with_a_running_gateway_is_refused(make_gateway, tmp_path):
    first = make_gateway({"ocr": {}})
    symbolic(first.folder, tmp_path / "folder")
    second = make_gateway({"ocr": {}}, started=False, store={"path": str(tmp_path / "folder" / "inferq.db")})
    refused(second, 73, "held by another process")


def test_a_store_with_two_names_is_refused_until_it_has_one(make_gateway, tmp_path):
    """By its second name it would be opened without the log that is beside the first."""
    gateway = make_gateway({"ocr": {}})
    job = gateway.ended(gateway.submit("ocr"))
    gateway.kill()
    hard(gateway.folder / "inferq.db", tmp_path / "link.db")
    refused(gateway, 73, "hard links")
    (tmp_path / "link.db").unlink()
    gateway.start()
    assert gateway.record(job) == job


def test_a_store_behind_a_symbolic_link_is_served_with_all_that_belongs_to_it(make_gateway, model_server, tmp_path):
    (tmp_path / "real").mkdir()
    symbolic(tmp_path / "real" / "inferq.db", tmp_path / "link.db")
    gateway = make_gateway({"ocr": {}}, started=False, store={"path": str(tmp_path / "link.db")})
    refused(gateway, 73, "symbolic link")
    gateway.settings["store"]["path"] = str(tmp_path / "real" / "inferq.db")
    gateway.start()
    body = os.urandom(100 * KIB)
    job = gateway.ended(gateway.submit_bytes("ocr", body))
    gateway.kill()
    gateway.settings["store"]["path"] = str(tmp_path / "link.db")
    gateway.start()
    assert gateway.get(job["urls"]["input"]).body == body
    gateway.submit_bytes("ocr", body)
    assert len(list((tmp_path / "real" / "blobs").iterdir())) == 2
    assert not [each.name for each in tmp_path.iterdir() if each.name.startswith(("link.db.", "link.db-", "blobs"))]


# Taken away


def ends_with_74(gateway, within=5):
    gateway.errors_expected = True
    assert gateway.process.wait(within) == 74, gateway.log()
    assert [line for line in gateway.log_lines("critical") if "removed or replaced" in line], gateway.log()


def remove(path):
    path.unlink()


def replace(path):
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


@pytest.mark.parametrize("name", ["inferq.db", "inferq.db-wal", "inferq.db.lock"])
@pytest.mark.parametrize("deed", [remove, replace])
def test_a_file_of_the_store_that_is_taken_away_ends_an_idle_gateway(make_gateway, name, deed):
    gateway = make_gateway({"ocr": {}})
    gateway.ended(gateway.submit("ocr"))
    deed(gateway.folder / name)
    ends_with_74(gateway)


def test_a_store_that_was_taken_away_is_not_begun_anew(make_gateway):
    gateway = make_gateway({"ocr": {}})
    job = gateway.ended(gateway.submit("ocr"))
    aside = gateway.folder / "aside"
    aside.mkdir()
    for name in ("inferq.db", "inferq.db-wal", "inferq.db-shm"):
        (gateway.folder / name).rename(aside / name)
    ends_with_74(gateway)
    refused(gateway, 65, "gone")
    for path in aside.iterdir():
        path.rename(gateway.folder / path.name)
    gateway.start()
    assert gateway.record(job) == job


def test_a_folder_that_is_taken_away_ends_the_gateway(make_gateway, tmp_path):
    folder = tmp_path / "above" / "store"
    gateway = make_gateway({"ocr": {}}, store={"path": str(folder / "inferq.db")})
    job = gateway.ended(gateway.submit("ocr"))
    folder.parent.rename(tmp_path / "aside")
    try:        # of a folder further up the kernel says nothing: the next commit finds it
        assert gateway.post(SUBMIT, {"model": "ocr"}).status == 503
    except OSError:
        pass
    ends_with_74(gateway)
    (tmp_path / "aside").rename(folder.parent)
    gateway.start()
    assert gateway.record(job) == job


# Idle


def written(gateway):
    """Bytes that the process has made dirty or given to the disk, and when its files were changed last."""
    io = pathlib.Path(f"/proc/{gateway.process.pid}/io").read_text()
    files = {path.name: path.stat().st_mtime_ns for path in gateway.folder.glob("inferq.db*")}
    return int(re.search(r"^write_bytes: (\d+)", io, re.M)[1]), files


def test_an_idle_gateway_writes_nothing(make_gateway, model_server):
    """The mark of its log, above all: it was written again every 5 s."""
    gateway = make_gateway({"ocr": {}}, heartbeat="1s", store={"ballast": "0B"})
    gateway.ended(gateway.submit("ocr"))
    waiting = gateway.submit("ocr", delay="1d")
    with gateway.listen(waiting):
        before = written(gateway)
        end = time.monotonic() + 12     # two of the longest pauses between two looks at what is to be done, and more
        until(lambda: time.monotonic() > end or written(gateway) != before, "12 s of idleness", 20, every=0.5)
        assert written(gateway) == before


# Read while it is removed


def test_bodies_that_are_read_while_their_job_is_removed_are_there_or_gone(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"concurrency": 8}}, store={"retention": "1s"})
    body = os.urandom(70 * KIB)
    found, over, jobs = set(), threading.Event(), []

    def read():
        while not over.is_set():
            for job in jobs[-40:]:
                found.add(gateway.get(job["urls"]["input"]).status)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for each in readers:
        each.start()
    try:
        for _ in range(300):
            jobs.append(gateway.submit_bytes("ocr", body))
        until(lambda: gateway.get(jobs[-1]["urls"]["self"]).status == 410, "the last one is gone", 20)
    finally:
        over.set()
        for each in readers:
            each.join()
    assert found == {200, 410}
