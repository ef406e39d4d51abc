"""Crashes and power cuts under load from 8 clients, and the proof that the power cuts would show a loss.

By hand, for longer: `python3 crash_loop.py --bin .build/debug/inferq --cycles 300`.
"""

import re
import signal
import subprocess
import sys

import crash_loop
import pytest
from gateway import BINARY


@pytest.fixture(scope="module")
def power():
    """Skips, with the reason, where the power of a file system cannot be cut."""
    if reason := crash_loop.power_cut_possible():
        pytest.skip(f"power cuts: {reason}")


def run(*options, within):
    """Runs the loop for at most `within` seconds; its exit code, and what it printed."""
    command = [sys.executable, crash_loop.__file__, "--bin", str(BINARY), *options]
    loop = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = loop.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        loop.send_signal(signal.SIGUSR1)        # it says where each of its threads is
        loop.terminate()        # it ends the gateway and unmounts its disk
        printed, _ = loop.communicate(timeout=60)
        pytest.fail(f"not done after {within} s: {printed}")
    finally:
        if loop.poll() is None:
            loop.kill()
            loop.communicate()
    print(printed)
    return loop.returncode, printed


@pytest.mark.long
@pytest.mark.timeout(220)
def test_thirty_kills_under_load_break_no_promise():
    code, printed = run("--mode", "kill", "--cycles", "30", within=150)
    assert code == 0, printed


@pytest.mark.long
@pytest.mark.timeout(260)
def test_twelve_power_cuts_under_load_break_no_promise(power):
    code, printed = run("--mode", "power", "--cycles", "12", within=180)
    assert code == 0, printed


@pytest.mark.long
@pytest.mark.timeout(260)
def test_power_cuts_lose_acknowledged_jobs_without_full_sync(power):
    """The proof that the test above can fail."""
    options = ["--mode", "power", "--cycles", "12", "--synchronous", "normal", "--stop-at-loss", "--seconds-max", "0.5"]
    code, printed = run(*options, within=180)
    assert code == 1, printed
    assert int(re.search(r"(\d+) lost", printed)[1]) > 0, printed
