"""Runs promtool, the checker that Prometheus comes with."""

import subprocess

import unpacked


def path():
    """Its path; None if it is not to be had."""
    return unpacked.program("prometheus", "usr/bin/promtool")


def check(text):
    """What promtool finds wrong with a page of metrics; empty if nothing."""
    ran = subprocess.run([path(), "check", "metrics"], input=text, capture_output=True, timeout=30)
    found = (ran.stdout + ran.stderr).decode()
    return found if ran.returncode or found.strip() else ""
