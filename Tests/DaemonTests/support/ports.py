"""Ports for servers that a test ends and starts again: no one else gets one in between.

A port that the kernel chose (`bind` to 0) is anybody's as soon as its server is away: of another test's server, or of a
connection; a client that polls for a dead server there may even be connected to itself. So these lie below the
kernel's own (from 32768, see ip_local_port_range), and each process that asks has a block of them while it lives.
"""

import contextlib
import itertools
import os
import socket

FIRST, BLOCK, LAST = 12_000, 500, 32_000


def _claimed():
    """A block of this process. Its sign is a socket without a file: it is gone with the process that held it, even killed."""
    for start in range(FIRST, LAST, BLOCK):
        sign = socket.socket(socket.AF_UNIX)
        try:
            sign.bind(f"\0inferq-tests-ports-{start}")
            return sign, itertools.cycle(range(start, start + BLOCK))
        except OSError:
            sign.close()
    raise AssertionError(f"all {(LAST - FIRST) // BLOCK} blocks of ports for tests are claimed by living processes")


_blocks = {}  # by process: one that was forked claims its own


def free_port():
    """A port of 127.0.0.1 on which nothing listens; it comes up again after some hundred others at the earliest."""
    _, ports = _blocks.get(os.getpid()) or _blocks.setdefault(os.getpid(), _claimed())
    for port in itertools.islice(ports, BLOCK):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("something listens on each port of this process' block")
