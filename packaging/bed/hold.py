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

SEIZE, INTERRUPT = 0x4206, 0x4207
# fsync and fdatasync.
SYNCS = {"x86_64": ("74", "75"), "aarch64": ("82", "83")}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_ulong] * 4


def syncing(folder):
    while True:
        for number in os.listdir(folder):
            try:
                with open(f"{folder}/{number}/syscall") as file:
                    if file.read().split()[0] in SYNCS:
                        return int(number)
            except OSError:
                continue


thread = syncing(f"/proc/{sys.argv[1]}/task")
for call in (SEIZE, INTERRUPT):
    if libc.ptrace(call, thread, 0, 0) != 0:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
print("held", flush=True)
signal.pause()
