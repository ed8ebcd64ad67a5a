"""Which process writes a run, so that a reader can tell one that runs from one that was cut off. Knows no tracker."""

from __future__ import annotations

import os
import socket

PROCESS_TAG = "process"


def process_name() -> str:
    """Return ``HOST:PID`` of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_gone(name: str) -> bool:
    """Return whether ``HOST:PID`` is a process of this machine that has ended; False where that cannot be known."""
    host, _, pid = name.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
