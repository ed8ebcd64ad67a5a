"""One process, one store a folder: who comes second is told who came first. Knows nothing of what the folder holds."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from memshadow.errors import StoreError


def hold(folder: Path) -> IO[str]:
    """Take hold of a folder until the file that is returned is closed; the system lets go however the process ends.

    Raises:
        StoreError: somebody holds it; the message says who.
    """
    handle = os.fdopen(os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with handle:
            raise StoreError(
                f"{folder} is held by {_holder(handle.read())}. One process at a time opens a store: close it there, "
                "or start `memshadow serve` on the folder and let both talk to the server."
            ) from error
    handle.truncate(0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, handle)
    handle.flush()
    return handle


def _holder(said: str) -> str:
    try:
        holder = json.loads(said)
        pid, host, since = holder["pid"], holder["host"], holder["since"]
    except (ValueError, KeyError, TypeError):
        return "another process"
    who = "this very process" if (pid, host) == (os.getpid(), socket.gethostname()) else f"process {pid} on {host}"
    return f"{who} since {since}"
