"""The journal's catalog and the messages of the program: what is wrong is explained, and nothing else is."""

import re

from gateway import ROOT

LOGGED = re.compile(r'log(?:ger)?\.(notice|warning|error|critical)\(\s*"([^"\\]+)"')
THROTTLED = re.compile(r'\.log\(\s*log(?:ger)?,\s*\.(notice|warning|error|critical),\s*"([^"\\]+)"')


def logged(*levels):
    found = set()
    for file in (ROOT / "Sources").rglob("*.swift"):
        text = file.read_text()
        found |= {message for level, message in LOGGED.findall(text) + THROTTLED.findall(text) if level in levels}
    return found


def in_code():
    text = (ROOT / "Sources/inferq/Logging/MessageCatalog.swift").read_text()
    return dict(re.findall(r'"([^"]+)":\s+"([0-9a-f]{32})"', text))


def entries():
    text = (ROOT / "systemd/inferq.catalog").read_text()
    return dict(re.findall(r"^-- ([0-9a-f]{32})\nSubject: (.+)$", text, re.MULTILINE))


def test_every_error_has_an_entry():
    assert logged("error", "critical") - set(in_code()) == set()


def test_every_entry_belongs_to_a_message():
    assert set(in_code()) - logged("notice", "warning", "error", "critical") == set()
    assert set(in_code().values()) == set(entries())
    assert len(set(in_code().values())) == len(in_code()), "an id is given twice"
