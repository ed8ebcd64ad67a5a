"""Write everything out as lines of JSON, the past included.

  memshadow export memories.jsonl user=ann
  memshadow export | gzip > memories.jsonl.gz

The last line counts the others and gives their SHA-256, so a cut or damaged file is noticed when it comes back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from memshadow.cli._reach import reached
from memshadow.cli._words import understood
from memshadow.errors import DataError
from memshadow.training.atomic import clear_errors


def main(argv: list[str]) -> int | None:
    """Export to a file that is not there yet, or to standard output."""
    words = understood("export", argv, reads=False)
    with reached(words) as memory:
        if words.text in ("", "-"):
            sys.stdout.writelines(memory.export())
            return 0
        count = _written(Path(words.text).expanduser(), memory.export())
    print(f"{count - 2} versions in {words.text}")  # the first and the last line are no versions
    return 0


def _written(path: Path, lines: Iterable[str]) -> int:
    """Write lines into a file of the owner's alone, and return how many; nothing stays after an error."""
    with clear_errors(path):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise DataError(f"{path} is there already; choose another name, or remove it first.") from None
        except FileNotFoundError:
            raise DataError(f"there is no folder {path.parent} to write {path.name} into.") from None
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                count = sum(1 for line in lines if file.write(line))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return count
