"""Every invariant of a store's folder, looked at row by row; nothing is changed.

Opening compares sums, which is quick; this reads everything, which finds what sums cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from memshadow.data.store.embedded import mark as marks
from memshadow.data.store.embedded.files import Files
from memshadow.data.store.embedded.hold import hold
from memshadow.data.store.embedded.log import tried
from memshadow.data.store.embedded.mark import Ledger
from memshadow.data.store.embedded.migrations import NEWEST, precision_of, schema_version
from memshadow.data.store.embedded.opening import compare, compare_tables
from memshadow.data.store.embedded.plan import Tombstone, embedder_row, id_hash, owner_row, tombstone
from memshadow.data.store.embedded.row import (
    DTYPES,
    VECTOR_COLUMNS,
    VERSION_COLUMNS,
    VectorRow,
    VersionRow,
    record_of,
    vector_of,
)
from memshadow.data.store.embedded.table import embedders_of, ledger_of, owners_of, rows, summed
from memshadow.errors import StoreError

_AT_ONCE = 2_048
_NAMED = 20
"""So many rows a sentence names before it only counts them."""


@dataclass(slots=True)
class Report:
    """What was found in a store's folder; no ``findings``: all is well. ``originals`` is where files were set aside."""

    folder: Path
    findings: list[str] = field(default_factory=list)
    versions: int = 0
    vectors: int = 0
    last_seq: int = 0
    originals: Path | None = None

    @property
    def whole(self) -> bool:
        """Return whether nothing was found wrong."""
        return not self.findings

    def add(self, what: str, which: list[Any]) -> None:
        """Add a finding that concerns these, if there are any."""
        if which:
            more = f" and {len(which) - _NAMED} more" if len(which) > _NAMED else ""
            self.findings.append(f"{len(which)} {what}: {', '.join(map(str, which[:_NAMED]))}{more}")


def examine(folder: str | Path, *, memory_mb: int = 512) -> Report:
    """Check all that can be checked of the store in ``folder``; nothing there is changed.

    Raises:
        StoreError: somebody holds the folder, or there is no store in it.
    """
    files = store_in(folder)
    with hold(files.folder):
        return examined(files, memory_mb=memory_mb)


def store_in(folder: str | Path) -> Files:
    """Return the files of a folder that holds a store, however damaged."""
    files = Files(Path(folder).expanduser().absolute())
    if not files.database.exists() and not files.mark.exists():
        raise StoreError(f"there is no store in {files.folder}: neither {files.database.name} nor {files.mark.name}.")
    return files


def examined(files: Files, *, memory_mb: int) -> Report:
    """Check a folder that is held."""
    report = Report(files.folder)
    marked = mark_found(files, report)
    if not files.database.exists():
        report.findings.append(f"{files.database.name} is missing")
        return report
    try:
        with tried(files, memory_mb=memory_mb) as (connection, cut):
            if cut is not None:
                size = files.log.stat().st_size
                report.findings.append(f"the log cannot be read from byte {cut} of {size} on")
            _examine(connection, marked, report)
    except duckdb.Error as error:
        report.findings.append(f"the database cannot be read: {error}")
    return report


def mark_found(files: Files, report: Report) -> Ledger | None:
    """Return what the mark says, as far as it is readable; the report says how far."""
    try:
        slots = marks.read(files.mark)
    except FileNotFoundError:
        report.findings.append(f"{files.mark.name} is missing: nothing says how far acknowledged writes went")
        return None
    except StoreError:
        report.findings.append(f"{files.mark.name} is damaged: nothing says how far acknowledged writes went")
        return None
    if None in slots:
        report.findings.append(f"one half of {files.mark.name} is damaged; the other says {slots.newest}")
    return slots.newest


def _examine(connection: duckdb.DuckDBPyConnection, marked: Ledger | None, report: Report) -> None:
    form = schema_version(connection)
    if form != NEWEST:
        report.findings.append(f"the database has form {form}; this release reads form {NEWEST}")
        return
    ledger = ledger_of(connection)
    report.versions, report.vectors, report.last_seq = ledger.versions, ledger.vectors, ledger.last_seq
    checks: list[Callable[[], None]] = [lambda: compare_tables(ledger, summed(connection), report.folder)]
    if marked is not None:
        checks.append(lambda: compare(ledger, marked, report.folder))
    for check in checks:
        try:
            check()
        except StoreError as error:
            report.findings.append(str(error).partition(" Nothing was changed.")[0])
    Invariants(connection).check(report)


class Judge:
    """Tells rows that are what was written from others."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.owners = owners_of(connection).names
        self.embedders = {embedder.number: embedder for embedder in embedders_of(connection).values()}
        self.dtype = DTYPES[precision_of(connection)]

    def good_version(self, row: VersionRow) -> bool:
        """Return whether a version is what was written, by an owner that is known."""
        try:
            return row.owner in self.owners and record_of(row, self.owners[row.owner]) is not None
        except (StoreError, ValueError, TypeError, OverflowError):
            return False

    def good_vector(self, row: VectorRow) -> bool:
        """Return whether a vector is what was written, of an embedder that is known."""
        known = self.embedders.get(row.embedder)
        try:
            return known is not None and vector_of(row, self.dtype, known.embedding.dim) is not None
        except StoreError:
            return False


class _Seen(NamedTuple):
    """What is remembered of a good version while the others are read."""

    owner: int
    id: str
    version: int
    current: bool
    superseded_by: str | None


class Invariants:
    """Reads all rows once and reports what does not hold of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._judge = Judge(connection)

    def check(self, report: Report) -> None:
        """Check each row, and what rows say of each other."""
        bad: list[str] = []
        versions: dict[int, _Seen] = {}
        for row in self._pieces(f"SELECT {VERSION_COLUMNS} FROM versions", VersionRow):  # noqa: S608
            if self._judge.good_version(row):
                current = row.ended_at is None
                versions[row.seq] = _Seen(row.owner, row.id, row.version, current, row.superseded_by)
            else:
                bad.append(f"{row.id!r} version {row.version} (write {row.seq})")
        report.add("versions are damaged: their content does not fit their hash", bad)
        self._check_memories(versions, report)
        self._check_vectors(versions, report)
        self._check_names(report)

    def _check_memories(self, versions: dict[int, _Seen], report: Report) -> None:
        memories: dict[tuple[int, str], list[_Seen]] = {}
        for seen in versions.values():
            memories.setdefault((seen.owner, seen.id), []).append(seen)
        forgotten = {found[0] for found in rows(self._connection, "SELECT id_hash FROM tombstones")}
        gaps, crowds, astray = [], [], []
        for (owner, name), found in memories.items():
            found.sort(key=lambda seen: seen.version)
            if [seen.version for seen in found] != list(range(1, len(found) + 1)):
                gaps.append(f"{name!r} of {self._judge.owners[owner]}")
            if any(seen.current for seen in found[:-1]):
                crowds.append(f"{name!r} of {self._judge.owners[owner]}")
            for by in {seen.superseded_by for seen in found} - {None}:
                there = (owner, by) in memories or id_hash(self._judge.owners[owner], str(by)) in forgotten
                astray += [] if there else [f"{name!r} by {by!r}"]
        report.add("memories have a gap in their versions", gaps)
        report.add("memories have more than one current version", crowds)
        report.add("memories are superseded by one that was never there", astray)

    def _check_vectors(self, versions: dict[int, _Seen], report: Report) -> None:
        bad, strays = [], []
        have: dict[int, set[int]] = {number: set() for number in self._judge.embedders}
        for row in self._pieces(f"SELECT {VECTOR_COLUMNS} FROM vectors", VectorRow):  # noqa: S608
            version = versions.get(row.seq)
            if not self._judge.good_vector(row):
                bad.append(row.seq)
            elif version is None or version.owner != row.owner or row.seq in have[row.embedder]:
                strays.append(row.seq)
            else:
                have[row.embedder].add(row.seq)
        report.add("vectors are damaged: their content does not fit their hash; of versions", bad)
        report.add("vectors belong to no version, or to one that has another; of versions", strays)
        for number, embedder in self._judge.embedders.items():
            if embedder.embedding.active:
                report.add(
                    f"versions have no vector of the active embedder {embedder.embedding.name!r}",
                    sorted(versions.keys() - have[number]),
                )

    def _check_names(self, report: Report) -> None:
        owners = dict(rows(self._connection, "SELECT number, hash FROM owners"))
        names = self._judge.owners.items()
        strange = [owner for number, owner in names if owner_row(number, owner)[-1] != owners[number]]
        report.add("owners do not fit their hash", strange)
        embedders = dict(rows(self._connection, "SELECT number, hash FROM embedders"))
        known = self._judge.embedders.values()
        wrong = [e.embedding.name for e in known if embedder_row(e)[-1] != embedders[e.number]]
        report.add("embedders do not fit their hash", wrong)
        active = [e.embedding.name for e in known if e.embedding.active]
        report.add("embedders are active where one may be", active if len(active) > 1 else [])
        stones = (Tombstone(*r) for r in rows(self._connection, "SELECT seq, owner, id_hash, hash FROM tombstones"))
        report.add(
            "marks of forgotten memories do not fit their hash", [s.seq for s in stones if tombstone(*s[:3]) != s]
        )

    def _pieces(self, sql: str, form: Callable[..., Any]) -> Iterator[Any]:
        cursor = self._connection.execute(sql)
        while piece := cursor.fetchmany(_AT_ONCE):
            yield from (form(*values) for values in piece)
