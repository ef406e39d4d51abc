"""Power cuts and failing disks on an exact model of a disk (shadow_disk.c), and the proof that it would show a loss.

By hand, for longer: `python3 shadow_loop.py --bin .build/debug/inferq --cycles 100`.
"""

import re
import shutil
import subprocess
import sys

import pytest

import shadow_disk
import shadow_loop
from contract import KIB, SUBMIT, problem
from gateway import BINARY
from test_store_trouble import refused
from waiting import until

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed: make test-setup"),
    pytest.mark.timeout(150),
]


def run(*options, within=120):
    """Runs the loop for at most `within` seconds; its exit code, and what it printed."""
    command = [sys.executable, shadow_loop.__file__, "--bin", str(BINARY), "--seconds", "20", *options]
    loop = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = loop.communicate(timeout=within)
    finally:
        if loop.poll() is None:
            loop.terminate()        # it ends the gateway
            printed, _ = loop.communicate(timeout=20)
            print(printed)
    print(printed)
    return loop.returncode, printed


# The loop


def test_power_cuts_under_load_break_no_promise():
    code, printed = run("--cycles", "5", "--past", "1")
    assert code == 0, printed


def test_power_cuts_after_a_sync_that_failed_break_no_promise():
    """With a log that is not copied into the database in between, as by default: jobs stood behind a hole in it."""
    code, printed = run("--cycles", "6", "--past", "1", "--fail", "0.7", "--wal-limit", "64MiB", "--modes", "strict")
    assert code == 0, printed


def test_power_cuts_lose_acknowledged_jobs_without_full_sync():
    """The proof that the tests above can fail."""
    code, printed = run("--cycles", "20", "--synchronous", "normal", "--stop-at-loss", "--modes", "strict")
    assert code == 1, printed
    assert int(re.search(r"(\d+) lost", printed)[1]) > 0, printed


# One gateway on that disk


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shadow_disk.build(tmp_path_factory.mktemp("library"))


@pytest.fixture
def shadowed(make_gateway, library, tmp_path):
    """A gateway with its store on such a disk, not started."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    gateway = make_gateway({"ocr": {}}, started=False, store={"path": str(disk / "inferq.db"), "ballast": "0B"})
    gateway.disk, gateway.records, gateway.unreadable = disk, tmp_path / "records", tmp_path / "unreadable"
    gateway.launcher = ["env", f"LD_PRELOAD={library}", f"SHADOW_FOLDER={disk}",
                        f"SHADOW_LOG={gateway.records}", f"SHADOW_UNREADABLE={gateway.unreadable}"]
    return gateway


def test_the_names_of_all_files_are_synced_before_the_first_answer(shadowed):
    shadowed.start()
    shadowed.submit_bytes("ocr", b"x" * 70 * KIB)
    shadow = shadow_disk.Shadow(shadowed.disk)
    for record in shadow_disk.records(shadowed.records):
        shadow.apply(record)
        if record.kind == shadow_disk.ANSWER:
            break
    kept = {path.removeprefix(str(shadowed.disk)) for path in shadow.image()}
    assert {"/inferq.db", "/inferq.db-wal", "/blobs"} <= kept
    assert [path for path in kept if path.startswith("/blobs/")]


def test_a_disk_that_cannot_read_is_503_for_readers_and_74_for_a_change(shadowed):
    shadowed.start()
    shadowed.errors_expected = True
    jobs = [shadowed.submit("ocr", "x" * 60 * KIB) for _ in range(100)]
    for job in jobs:
        shadowed.ended(job, timeout=30)
    shadowed.stop()
    shadowed.start()
    shadowed.unreadable.touch()
    found = [shadowed.get(target) for target in [job["urls"]["self"] for job in jobs[:9]] + ["/v1/inference?limit=100"]]
    # Pages that were read before the fault are in memory, and what is on them is still answered.
    refusals = [answer for answer in found if answer.status != 200]
    assert len(refusals) >= 5, found
    for answer in refusals:
        assert problem(answer, 503)["code"] == "store_unavailable"
        assert answer.headers["Retry-After"]
    assert shadowed.is_running
    shadowed.unreadable.unlink()
    assert shadowed.record(jobs[0])["status"] == "COMPLETED"
    shadowed.unreadable.touch()
    for job in jobs:        # until one of them needs a page that was not read yet
        try:
            shadowed.request("DELETE", job["urls"]["self"])
        except OSError:
            break
    assert shadowed.process.wait(60) == 74, shadowed.log()
    refused(shadowed, 74, "disk of the store failed")
    shadowed.unreadable.unlink()
    shadowed.start()


def test_a_check_of_a_disk_that_cannot_read_finds_no_damage(shadowed):
    shadowed.settings["listen"] = [f"127.0.0.1:{shadowed.port}", f"unix:{shadowed.folder}/s"]
    shadowed.start()
    shadowed.errors_expected = True
    for _ in range(100):
        shadowed.submit("ocr", "x" * 60 * KIB, delay="1d")
    shadowed.stop()
    shadowed.start()
    shadowed.unreadable.touch()
    command = [BINARY, "doctor", "--config", shadowed.config_file]
    doctor = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert doctor.returncode == 1 and "the disk of the store failed" in doctor.stdout, doctor.stdout
    assert "damaged" not in doctor.stdout and "restore" not in doctor.stdout, doctor.stdout
    shadowed.unreadable.unlink()
    until(lambda: shadowed.get("/readyz").status == 200, "it goes on")
