"""The machine and the state of the sources, for the heading of a table."""

import datetime
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def machine():
    """Model of the CPU, cores, memory, system, kernel: one line."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    parts = [cpu[1] if cpu else os.uname().machine, f"{os.cpu_count()} cores", f"{memory:.0f} GiB"]
    return ", ".join([*parts, system[1] if system else "Linux", f"kernel {os.uname().release.split('-')[0]}"])


def commit():
    """The commit of the sources, with a plus when something is changed and not committed."""

    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "Sources", "Package.swift")
    return git("rev-parse", "--short=7", "HEAD") + ("+" if changed else "")


def heading():
    return f"{machine()}; commit {commit()}, {datetime.date.today().isoformat()}."
