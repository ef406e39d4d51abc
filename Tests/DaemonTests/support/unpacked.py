"""Programs of Debian packages that would start a server if they were installed: unpacked in `.build`, they do not."""

import functools
import pathlib
import shutil
import subprocess

import gateway


@functools.cache
def program(package, path):
    """Where the program is that a package has at `path`: the installed one, or one that is unpacked from the package; None
    if neither is to be had."""
    if found := shutil.which(pathlib.Path(path).name) or shutil.which("/" + path):
        return pathlib.Path(found)
    folder = gateway.ROOT / ".build" / pathlib.Path(path).name
    unpacked = folder / path
    if not unpacked.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, timeout=40, check=True)
            for found in folder.glob(f"{package}_*.deb"):
                subprocess.run(["dpkg-deb", "-x", found, folder], timeout=40, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
    return unpacked if unpacked.exists() else None
