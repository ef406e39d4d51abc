"""Finds promtool, the checker that Prometheus comes with; Debian's package is called prometheus."""

import functools
import pathlib
import shutil
import subprocess

import gateway

# The package would start a server; unpacked here, it does not.
FOLDER = gateway.ROOT / ".build/promtool"


@functools.cache
def path():
    """Its path: the installed one, or one that is unpacked from Debian's package; None if neither is to be had."""
    unpacked = FOLDER / "usr/bin/promtool"
    if found := shutil.which("promtool"):
        return pathlib.Path(found)
    if not unpacked.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-q", "prometheus"], cwd=FOLDER, timeout=40, check=True)
            for package in FOLDER.glob("prometheus_*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, FOLDER], timeout=40, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
    return unpacked if unpacked.exists() else None


def check(text):
    """What promtool finds wrong with a page of metrics; empty if nothing."""
    ran = subprocess.run([path(), "check", "metrics"], input=text, capture_output=True, timeout=30)
    found = (ran.stdout + ran.stderr).decode()
    return found if ran.returncode or found.strip() else ""
