#!/usr/bin/env python3
"""Stops the one thread of a process that syncs a file, as a disk that hangs would, until SIGTERM.

    hold.py PID

All other threads go on: what answers still answers. Needs load, so that there is something to sync.
"""

import ctypes
import os
import platform
import signal
import sys

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
# fsync and fdatasync.
SYNCS = {"x86_64": ("74", "75"), "aarch64": ("82", "83")}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_ulong] * 4


def ptrace(call, thread):
    if libc.ptrace(call, thread, 0, 0) != 0:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")


def is_syncing(folder, thread):
    try:
        with open(f"{folder}/{thread}/syscall") as file:
            return file.read().split()[0] in SYNCS
    except OSError:
        return False


def stop(folder, thread):
    """Stops a thread, and lets it go on if it has left its sync meanwhile: it may hold a lock that all need."""
    ptrace(SEIZE, thread)
    ptrace(INTERRUPT, thread)
    os.waitpid(thread, WALL)
    if is_syncing(folder, thread):
        return True
    ptrace(DETACH, thread)
    return False


def hold(folder):
    while True:
        for thread in map(int, os.listdir(folder)):
            if is_syncing(folder, thread) and stop(folder, thread):
                return


hold(f"/proc/{sys.argv[1]}/task")
print("held", flush=True)
signal.pause()
