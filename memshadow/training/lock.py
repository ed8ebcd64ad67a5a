"""One process per folder. Knows nothing of what the folder holds."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memshadow.errors import MemshadowError
from memshadow.training.atomic import clear_errors


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder (made if absent) for the block; the system lets go of it however the process ends.

    Raises:
        MemshadowError: another process holds it; the message names its process id.
    """
    with clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            raise MemshadowError(
                f"{folder} is in use by process {handle.read().strip() or 'unknown'}: wait for it or stop it, "
                "or give this run another name."
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
