"""The write-ahead log: found readable, or cut where it stops being so. Knows nothing of what is in it.

DuckDB 2.0 takes a log that ends early for one that was torn by a crash and opens silently shorter, also where a flipped
bit made it look so; a log with bytes behind a torn entry it refuses, naming the byte. So a log is tried out read only,
before anything can write: what it gives is then compared with the mark.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from memshadow.data.store.embedded.files import Files
from memshadow.data.store.embedded.table import connect
from memshadow.training.atomic import sync

_POSITION = re.compile(r"byte position (\d+)")
_MOST_CUTS = 8


@contextmanager
def tried(files: Files, *, memory_mb: int) -> Iterator[tuple[duckdb.DuckDBPyConnection, int | None]]:
    """Lend the database read only, and the length to which its log must be cut to be readable (``None``: none).

    Raises:
        duckdb.Error: it is not the end of the log that is damaged.
    """
    try:
        connection, cut = open_readable(files, memory_mb=memory_mb)
        try:
            yield connection, cut
        finally:
            connection.close()
    finally:
        shutil.rmtree(files.trial, ignore_errors=True)


def open_readable(
    files: Files, *, memory_mb: int, cut: int | None = None
) -> tuple[duckdb.DuckDBPyConnection, int | None]:
    """Open the database read only with as much of its log as is readable, at most ``cut`` bytes; say how much.

    A shortened log lies in ``files.trial``, which the caller removes.

    Raises:
        duckdb.Error: it is not the end of the log that is damaged.
    """
    for _ in range(_MOST_CUTS):
        try:
            short = _shortened(files, cut)
            return connect(short.database, memory_mb=memory_mb, threads=1, read_only=True), cut
        except duckdb.Error as error:
            found = _POSITION.search(str(error))
            if found is None or int(found[1]) >= (files.log.stat().st_size if cut is None else cut):
                raise
            cut = int(found[1])
    raise duckdb.IOException(f"the log is damaged in more than {_MOST_CUTS} places")


def cut_log(files: Files, cut: int) -> str:
    """Cut the log, the original kept aside; return what was done."""
    attic, size = files.new_attic(), files.log.stat().st_size
    draft = files.log.with_name("log.draft")
    draft.write_bytes(files.log.read_bytes()[:cut])
    sync(draft)
    shutil.copy2(files.log, attic)
    sync(attic / files.log.name)
    draft.replace(files.log)
    sync(files.folder)
    return (
        f"the last {size - cut} bytes of the log were damaged and are cut off; every acknowledged write is there. "
        f"The log as it was lies in {attic}."
    )


def _shortened(files: Files, cut: int | None) -> Files:
    """Return the files themselves, or a second name of the database beside a shortened copy of its log."""
    if cut is None:
        return files
    shutil.rmtree(files.trial, ignore_errors=True)
    files.trial.mkdir(mode=0o700)
    short = Files(files.trial)
    short.database.hardlink_to(files.database)
    with files.log.open("rb") as log:
        short.log.write_bytes(log.read(cut))
    return short
