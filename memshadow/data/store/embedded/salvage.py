"""What can be read of a damaged store is written anew; the files as they were are set aside, whole.

A row that does not fit its hash is not taken over. Numbers are never given twice: new writes go on behind the last one
that was acknowledged, whether it was found or not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from memshadow.data.store.embedded import mark as marks
from memshadow.data.store.embedded.examination import Judge, Report, examined, mark_found, store_in
from memshadow.data.store.embedded.files import Files
from memshadow.data.store.embedded.hold import hold
from memshadow.data.store.embedded.log import open_readable
from memshadow.data.store.embedded.mark import Ledger
from memshadow.data.store.embedded.migrations import known_version, migrate, precision_of
from memshadow.data.store.embedded.opening import mark_of, undo_torn_checkpoint
from memshadow.data.store.embedded.plan import Embedder, Tombstone, embedder_row, owner_row, tombstone
from memshadow.data.store.embedded.row import VECTOR_COLUMNS, VERSION_COLUMNS, VectorRow, VersionRow
from memshadow.data.store.embedded.table import connect, ledger_of, rows, summed
from memshadow.errors import StoreError
from memshadow.training.atomic import sync

_PIECE = 16_384
_SMALLEST = 64
"""A piece that cannot be read is halved, down to so many numbers."""


def salvage(folder: str | Path, *, memory_mb: int = 512) -> Report:
    """Make a store that opens out of one that does not; the report says what is missing and where the originals are.

    A store in which nothing is wrong is left as it is.

    Raises:
        StoreError: somebody holds the folder, there is no store in it, or nothing of it can be read.
    """
    files = store_in(folder)
    with hold(files.folder):
        files.sweep()
        with suppress(StoreError, FileNotFoundError):  # what cannot be undone is salvaged as it is
            undo_torn_checkpoint(files, mark_of(files), memory_mb)
        report = examined(files, memory_mb=memory_mb)
        if report.whole:
            return report
        try:
            _write_anew(files, report, memory_mb)
        except (duckdb.Error, FileNotFoundError) as error:
            raise StoreError(
                f"nothing of the store in {files.folder} can be read: {error}. Nothing was changed; bring the files "
                "back from a backup."
            ) from error
        finally:
            shutil.rmtree(files.trial, ignore_errors=True)
        return report


def _write_anew(files: Files, report: Report, memory_mb: int) -> None:
    source = Source(files, memory_mb)
    target = connect(files.compacted, memory_mb=memory_mb, threads=1)
    try:
        migrate(target, precision=source.precision)
        _take_over(source, target, report)
        marked = mark_found(files, Report(files.folder)) or Ledger()
        ledger = _new_ledger(target, source.ledger, marked, report)
        target.execute("DELETE FROM ledger")
        target.execute("INSERT INTO ledger VALUES ($1, $2, $3, $4, $5)", list(ledger))
        target.execute("CHECKPOINT m")
    finally:
        target.close()
        source.close()
    report.originals = _set_aside(files)
    files.compacted.replace(files.database)
    files.log.unlink(missing_ok=True)
    marks.create(files.mark, ledger)
    files.restrict()
    sync(files.folder)
    report.versions, report.vectors, report.last_seq = ledger.versions, ledger.vectors, ledger.last_seq


class Source:
    """A damaged database, read piece by piece: what cannot be read is left out and remembered."""

    def __init__(self, files: Files, memory_mb: int) -> None:
        self._files, self._memory_mb = files, memory_mb
        self._cut: int | None = None
        self._connection = self._open()
        if not known_version(self._connection):
            raise duckdb.CatalogException("the database has no tables of a store")
        self.unreadable: dict[str, list[int]] = {}
        self.precision = precision_of(self._connection)
        self.ledger = ledger_of(self._connection)
        self.judge = Judge(self._connection)

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def read(self, table: str, columns: str, form: Callable[..., Any]) -> Iterator[list[Any]]:
        """Yield the readable rows of a table in pieces."""
        last = max(self.ledger.last_seq, 0)
        for first in range(0, last + 1, _PIECE):
            yield [form(*row) for row in self._read(table, columns, first, first + _PIECE)]

    def _read(self, table: str, columns: str, first: int, end: int) -> Iterable[tuple[Any, ...]]:
        sql = f"SELECT {columns} FROM {table} WHERE seq >= $1 AND seq < $2 ORDER BY seq"  # noqa: S608
        try:
            return rows(self._connection, sql, [first, end])
        except duckdb.Error:
            self._connection.close()
            self._connection = self._open()
        if end - first <= _SMALLEST:
            self.unreadable.setdefault(table, []).append(first)
            return []
        middle = (first + end) // 2
        return [*self._read(table, columns, first, middle), *self._read(table, columns, middle, end)]

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            connection, self._cut = open_readable(self._files, memory_mb=self._memory_mb, cut=self._cut)
        except duckdb.Error:
            if self._cut == 0 or not self._files.logged:
                raise
            connection, self._cut = open_readable(self._files, memory_mb=self._memory_mb, cut=0)
        return connection


def _take_over(source: Source, target: duckdb.DuckDBPyConnection, report: Report) -> None:
    """Copy every good row; report those that are left behind."""
    judge = source.judge
    kept: set[int] = set()
    lost: list[str] = []
    for piece in source.read("versions", VERSION_COLUMNS, VersionRow):
        good = [row for row in piece if judge.good_version(row) and row.seq not in kept]
        kept.update(row.seq for row in good)
        lost += [f"{row.id!r} version {row.version}" for row in piece if row.seq not in kept]
        _append(target, "versions", good)
    report.add("versions could not be taken over", lost)
    have: dict[int, set[int]] = {number: set() for number in judge.embedders}
    for piece in source.read("vectors", VECTOR_COLUMNS, VectorRow):
        good = []
        for row in piece:
            if judge.good_vector(row) and row.seq in kept and row.seq not in have[row.embedder]:
                have[row.embedder].add(row.seq)
                good.append(row)
        _append(target, "vectors", good)
    stones = [s for piece in source.read("tombstones", "seq, owner, id_hash, hash", Tombstone) for s in piece]
    _append(target, "tombstones", [stone for stone in stones if tombstone(*stone[:3]) == stone])
    _append(target, "owners", [owner_row(number, owner) for number, owner in judge.owners.items()])
    _append(target, "embedders", [embedder_row(e) for e in _still_active(judge.embedders, kept, have, report)])
    for table, firsts in source.unreadable.items():
        report.add(f"pieces of {_SMALLEST} writes of the table {table!r} are unreadable; they begin at", _runs(firsts))


def _still_active(
    embedders: dict[int, Embedder], kept: set[int], have: dict[int, set[int]], report: Report
) -> Iterator[Embedder]:
    """Yield the embedders; the active one only stays so where every version has its vector."""
    for number, embedder in embedders.items():
        lacking = sorted(kept - have[number])
        if embedder.embedding.active and lacking:
            what = f"versions must be embedded again; until then {embedder.embedding.name!r} is not active"
            report.add(what, lacking)
            yield Embedder(number, replace(embedder.embedding, active=False))
        else:
            yield embedder


def _new_ledger(target: duckdb.DuckDBPyConnection, ledger: Ledger, marked: Ledger, report: Report) -> Ledger:
    found = summed(target)
    if ledger.last_seq < marked.last_seq:
        report.findings.append(f"writes {ledger.last_seq + 1} to {marked.last_seq} are missing")
    return found._replace(
        commits=max(ledger.commits, marked.commits) + 1,
        last_seq=max(found.last_seq, ledger.last_seq, marked.last_seq),
    )


def _append(target: duckdb.DuckDBPyConnection, table: str, values: list[Any]) -> None:
    if values:
        appender = target.appender(table)
        appender.append_rows(values)
        appender.flush()


def _set_aside(files: Files) -> Path:
    """Give the files a second name in a folder of their own; nothing is moved yet."""
    attic = files.new_attic()
    for file in (files.database, files.log, files.mark):
        if file.exists():
            os.link(file, attic / file.name)
    sync(attic)
    return attic


def _runs(firsts: list[int]) -> list[str]:
    """Return neighbouring pieces as one."""
    runs = []
    for _, group in groupby(enumerate(sorted(firsts)), lambda pair: pair[1] - pair[0] * _SMALLEST):
        run = [first for _, first in group]
        runs.append(f"{run[0]} to {run[-1] + _SMALLEST - 1}")
    return runs
