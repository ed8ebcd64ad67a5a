"""Where a folder's service answers, for whoever finds the folder taken: the file ``server.json``. Knows no HTTP.

The service keeps the file locked while it lives; the system lets go of a lock however a process ends, so a file that a
killed service left behind is known as such, and no number of a process is mistaken for another's.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memshadow.training.atomic import clear_errors

FILE = "server.json"


@contextmanager
def announced(folder: Path, url: str) -> Iterator[None]:
    """Tell for the length of the block that a folder's service answers at ``url``."""
    path = folder / FILE
    draft = path.with_name(f".{FILE}.{os.getpid()}")
    with clear_errors(path), draft.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
        file.flush()
        draft.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def served_at(folder: Path) -> str | None:
    """Return the address of the service that holds a folder; ``None`` where none lives."""
    try:
        with (folder / FILE).open(encoding="utf-8") as file:
            told = json.loads(file.read())
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it: a service that was killed left it behind
    except BlockingIOError:
        return str(told["url"])
    except (OSError, ValueError, KeyError):
        return None
