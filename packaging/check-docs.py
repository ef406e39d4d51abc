#!/usr/bin/env python3
"""Holds documents against the sources: names that do not exist any more, metrics and codes that no document lists.

    packaging/check-docs.py [FOLDER]     of a copy of the project; by default, this one
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
DOCUMENTS = ["docs/architecture.md", "docs/job-lifecycle.md", "CONTRIBUTING.md"]
# Of Swift, NIO, SQLite, HTTP and systemd, not of ours.
FOREIGN = {
    "AUTOINCREMENT", "CancellationError", "DatabasePool", "EmbeddedChannel", "EventSource", "Equatable", "Glibc", "Heap",
    "HTTPTypes", "Mutex", "NIOAsyncTestingChannel", "SQLITE_FULL", "Sendable", "Service", "ServiceGroup", "Task",
    "ThreadSanitizer", "URLSession", "XCTest",
}  # fmt: skip


def homes(sources):
    """The text of the files that declare or extend each type, by its name."""
    texts = {}
    for text in sources:
        declared = r"^ *(?:[\w@()]+ )*(?:struct|class|enum|actor|protocol|extension|typealias) (?:\w+\.)*(\w+)"
        for name in set(re.findall(declared, text, re.M)):
            texts[name] = texts.get(name, "") + text
    return texts


def problem_codes(source):
    """What the member `code` of an error may say."""
    return [value or name for name, value in re.findall(r'^    case (\w+)(?: = "(\w+)")?$', source, re.M)]


def main():
    sources = {path: path.read_text() for path in (ROOT / "Sources").rglob("*.swift")}
    code = "\n".join(sources.values())
    words = set(re.findall(r"\w+", code)) | {path.stem for path in sources} | {path.name for path in sources}
    words |= {part for path in sources for part in path.relative_to(ROOT / "Sources").parts}
    words |= {path.stem for path in (ROOT / "Tests").rglob("*")} | {path.name for path in (ROOT / "Tests").rglob("*")}
    types = homes(sources.values())
    failures = []
    for name in DOCUMENTS:
        for number, line in enumerate((ROOT / name).read_text().split("\n"), 1):
            for quoted in re.findall(r"`([^`]+)`", line):
                # A type, or a member of one: `Worker.run`, `JobStore`.
                if not re.fullmatch(r"[A-Z][a-z]\w*(\.\w+)*(\([\w:]*\))?", quoted):
                    continue
                parts = re.sub(r"\(.*", "", quoted).split(".")
                if parts[0] in FOREIGN or quoted in words:
                    continue
                missing = [part for part in parts if part not in words]
                failures += [f"{name}:{number}: `{quoted}`: nothing in Sources/ is called {part}" for part in missing]
                for owner, member in zip(parts, parts[1:]) if not missing else []:
                    # What an enum's case or a function gives is not looked at.
                    if owner in types and not re.search(rf"\b{member}\b", types[owner]):
                        failures.append(f"{name}:{number}: `{quoted}`: no file that declares {owner} names {member}")
    listed = (ROOT / "docs/metrics.md").read_text()
    for metric in sorted(set(re.findall(r'"(inferq_[a-z_]+)"', code))):
        if metric not in listed:
            failures.append(f"docs/metrics.md does not list {metric}")
    table = (ROOT / "docs/operations.md").read_text()
    for code in problem_codes((ROOT / "Sources/InferqHTTP/Routes/ProblemCode.swift").read_text()):
        if f"`{code}`" not in table:
            failures.append(f"docs/operations.md does not explain the code {code}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
