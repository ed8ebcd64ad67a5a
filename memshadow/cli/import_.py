"""Bring in lines of JSON: an export, or another program's; what is there already stays once.

  memshadow import memories.jsonl
  zcat old.jsonl.gz | memshadow import - user=ann

Lines of an export come back as they were, the past included. Others are objects with text (or content) and any field of
a memory. After an error the lines before it are there; the same call again brings in the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from memshadow.cli._reach import reached
from memshadow.cli._words import understood
from memshadow.errors import DataError


def main(argv: list[str]) -> int | None:
    """Import from a file, or from standard input where the file is ``-``."""
    words = understood("import", argv, reads=False)
    if not words.text:
        raise DataError("import which file? memshadow import memories.jsonl, or - for standard input")
    with _opened(words.text) as file, reached(words, begin=True) as memory:
        done = memory.import_(_lines(file))
    print(f"{done.added} versions brought in, {done.known} were there already")
    return 0


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    from pathlib import Path

    try:
        file = Path(name).expanduser().open("rb")
    except OSError as error:
        raise DataError(f"{name!r:.200} cannot be read: {error.strerror}.") from None
    with file:
        yield file


def _lines(file: IO[bytes]) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"line {number} is no UTF-8: {error}.") from None
