"""Hosts on one machine: network namespaces on a bridge, or addresses of loopback where they cannot be made."""

import ctypes
import functools
import os
import shutil
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


@functools.cache
def namespaces_impossible():
    """Nothing if namespaces with a bridge can be made here, else the reason why not."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if os.geteuid():
        return "needs root, to make network namespaces"
    if missing := [name for name in ("ip", "mount", "nsenter", "unshare") if not shutil.which(name)]:
        return f"{', '.join(missing)} not installed: apt-get install iproute2 util-linux"
    try:
        run("unshare", "--net", "--mount", "ip", "link", "add", "br0", "type", "bridge")
    except OSError as error:
        return str(error)
    return None


class Namespaces:
    """A host for each name, whose cable can be pulled. This process moves into a namespace of its own.

    Mounts and interfaces belong to it, so all of it ends with this process and its children, come what may.
    """

    OWN = "10.213.0.1"

    def __init__(self, names):
        self._numbers = {name: number for number, name in enumerate(names, start=2)}
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        run("mount", "--make-rprivate", "/")
        os.makedirs("/run/netns", exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "address", "add", f"{self.OWN}/24", "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"to-{name}", "master", "br0", "up")
            run("ip", "-n", name, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                run("ip", "-n", name, "link", "set", interface, "up")

    def address(self, name):
        return f"10.213.0.{self._numbers[name]}"

    def launcher(self, name):
        """Runs a command on that host."""
        return ["nsenter", f"--net=/run/netns/{name}"]

    def pull(self, name):
        run("ip", "link", "set", f"to-{name}", "down")

    def plug(self, name):
        run("ip", "link", "set", f"to-{name}", "up")

    def __str__(self):
        return "network namespaces"


class Loopbacks:
    """An address for each name. There are no cables: who wants to pull one puts a `Link` there."""

    OWN = "127.0.0.1"

    def __init__(self, names):
        self._numbers = {name: number for number, name in enumerate(names, start=11)}

    def address(self, name):
        return f"127.0.0.{self._numbers[name]}"

    def launcher(self, name):
        return []

    def __str__(self):
        return "loopback addresses"
