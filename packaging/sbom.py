#!/usr/bin/env python3
"""Prints what a release is made of as SPDX 2.3: the Swift packages that are linked in, and the libraries beside them.

    packaging/sbom.py VERSION FILE...

Versions are those that Swift has resolved (Package.resolved), and those of Debian's packages on this host.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# From Debian's short names to those of SPDX.
SPDX = {"Apache-2.0-Swift-exception": "Apache-2.0 WITH Swift-exception", "Expat": "MIT", "Unicode": "Unicode-3.0"}
# Of the micro-benchmarks (INFERQ_MICRO in Package.swift), which no release holds.
BENCHMARKS = {"benchmark", "hdrhistogram-swift", "package-jemalloc", "swift-numerics", "texttable"}
LIBRARIES = {
    "libhiredis0.14": ("hiredis", "BSD-3-Clause"), "libsqlite3-0": ("sqlite3", "blessing"),
    "libsystemd0": ("systemd", "LGPL-2.1-or-later"),
}  # fmt: skip


def licenses():
    """By the name of each part that is linked in, from debian/copyright (`Files: linked/NAME/*`)."""
    found = {}
    for stanza in (ROOT / "debian/copyright").read_text().split("\n\n"):
        license_ = re.search(r"^License: (\S+)$", stanza, re.M)
        for name in re.findall(r"^(?:Files:)? linked/([^/\n]+)/\*$", stanza, re.M):
            found[name] = SPDX.get(license_[1], license_[1])
    return found


def swift_packages():
    known = licenses()
    resolved = json.loads((ROOT / "Package.resolved").read_text())
    for pin in sorted(resolved["pins"], key=lambda pin: pin["identity"]):
        if pin["identity"] in BENCHMARKS:
            continue
        version = pin["state"].get("version")
        if version is None:
            sys.exit(f"sbom: {pin['identity']} has no version in Package.resolved; run swift package resolve")
        place = pin["location"].removesuffix(".git")
        name = place.rpartition("/")[2]
        if name not in known:
            sys.exit(f"sbom: debian/copyright has no stanza for linked/{name}/*; write one")
        yield {
            "name": name, "versionInfo": version, "downloadLocation": f"git+{place}@{version}", "license": known.pop(name),
            "purl": "pkg:swift/" + re.sub(r"^https?://", "", place) + f"@{version}",
        }  # fmt: skip
    # What the toolchain and other packages bring along.
    swift = re.search(r"swift-(\S+)-RELEASE", subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout)
    for name, license_ in sorted(known.items()):
        version = swift[1] if swift and name.startswith("swift") else "NOASSERTION"
        yield {"name": name, "versionInfo": version, "downloadLocation": "NOASSERTION", "license": license_, "purl": None}


def libraries():
    for name, (source, license_) in LIBRARIES.items():
        found = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Version} ${Architecture}", name], capture_output=True, text=True)
        if found.returncode:
            sys.exit(f"sbom: the Debian package {name} is not installed, with which inferq is linked")
        version, architecture = found.stdout.split()
        yield {
            "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION", "license": license_,
            "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}&upstream={source}",
        }  # fmt: skip


def main():
    version, files = sys.argv[1], [pathlib.Path(name) for name in sys.argv[2:]]
    parts = [*swift_packages(), *libraries()]
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    about = hashlib.sha256(json.dumps([version, parts, digests]).encode()).hexdigest()
    moment = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    packages = [{
        "SPDXID": "SPDXRef-inferq", "name": "inferq", "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION",
        "comment": "".join(f"{name} has SHA-256 {digest}. " for name, digest in digests.items()).strip(),
    }]  # fmt: skip
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-inferq")]
    for part in parts:
        name = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", part["name"])
        packages.append({
            "SPDXID": name, "name": part["name"], "versionInfo": part["versionInfo"],
            "downloadLocation": part["downloadLocation"], "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": part["license"], "copyrightText": "NOASSERTION", "primaryPackagePurpose": "LIBRARY",
        })  # fmt: skip
        if part["purl"]:
            packages[-1]["externalRefs"] = [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part["purl"]}]
        if part["versionInfo"] == "NOASSERTION":
            del packages[-1]["versionInfo"]
        relations.append(("SPDXRef-inferq", "DEPENDS_ON", name))
    print(json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"inferq-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/inferq-{version}-{about}",
        "creationInfo": {"created": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: inferq-packaging/sbom.py"]},
        "packages": packages,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in relations],
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
