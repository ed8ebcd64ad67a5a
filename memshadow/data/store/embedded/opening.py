"""The opening guard: nobody else is here, nothing that was acknowledged is missing, nothing was altered.

Knows the files of a folder and compares three accounts of one store: its mark, its ledger and its tables.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import duckdb

from memshadow.data.store.embedded import mark as marks
from memshadow.data.store.embedded.checkpoint import checkpoint, read_image, swap
from memshadow.data.store.embedded.files import Files
from memshadow.data.store.embedded.hold import hold
from memshadow.data.store.embedded.log import cut_log, tried
from memshadow.data.store.embedded.mark import Ledger, Mark
from memshadow.data.store.embedded.migrations import known_version, migrate
from memshadow.data.store.embedded.plan import Embedder, Owners
from memshadow.data.store.embedded.table import connect, embedders_of, ledger_of, owners_of, summed
from memshadow.errors import MemshadowError, StoreError
from memshadow.training.atomic import clear_errors, sync


@dataclass(frozen=True, slots=True)
class Means:
    """How a database is opened: see ``EmbeddedStore``."""

    precision: str
    memory_mb: int
    threads: int
    log_mb: int

    def connect(self, files: Files) -> duckdb.DuckDBPyConnection:
        """Open the database to write."""
        return connect(files.database, memory_mb=self.memory_mb, threads=self.threads)


@dataclass(slots=True)
class Opened:
    """A store's folder, held and found whole. ``report`` says what was mended on the way, one sentence each."""

    files: Files
    held: IO[str]
    connection: duckdb.DuckDBPyConnection
    mark: Mark
    ledger: Ledger
    owners: Owners
    embedders: dict[str, Embedder]
    report: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Let go of everything; what lies in the log goes into the database first, unless that fails."""
        with suppress(duckdb.Error, OSError, MemshadowError):  # what cannot be moved stays in the log
            if self.files.logged:
                checkpoint(self.connection, self.files)
        with suppress(duckdb.Error):
            self.connection.close()
        self.mark.close()
        self.held.close()


def open_folder(folder: Path, means: Means) -> Opened:
    """Open or make the store that lies in ``folder``.

    Raises:
        StoreError: somebody else holds it, something is missing or altered, or a later release made it.
        MemshadowError: the disk is full or the folder may not be written.
    """
    if os.sep != "\\" and "\\" in str(folder):
        raise StoreError(f"{folder} holds a backslash, which the database takes for a slash; name another folder.")
    files = Files(folder)
    with clear_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = hold(folder)
        try:
            return _opened(files, held, means)
        except duckdb.Error as error:
            held.close()
            raise StoreError(
                f"the database in {folder} cannot be opened: {error}. Bring the files back from a backup, or run "
                "`memshadow doctor` to save what can be read."
            ) from error
        except BaseException:
            held.close()
            raise


def _opened(files: Files, held: IO[str], means: Means) -> Opened:
    files.sweep()
    slots = mark_of(files)
    report = undo_torn_checkpoint(files, slots, means.memory_mb)
    if slots is not None and files.logged:
        report += _try_log(files, slots, means.memory_mb)
    if not files.database.exists():
        _make(files, means)
    connection = means.connect(files)
    try:
        _check(connection, slots, files)
        migrate(connection, precision=means.precision, checkpoint=lambda: checkpoint(connection, files))
        ledger = ledger_of(connection)
        if slots is None or None in slots or slots.newest != ledger:
            marks.create(files.mark, ledger)
        files.restrict()
        sync(files.folder)
        owners, embedders = owners_of(connection), embedders_of(connection)
        return Opened(files, held, connection, Mark(files.mark), ledger, owners, embedders, report)
    except BaseException:
        connection.close()
        raise


def _make(files: Files, means: Means) -> None:
    """Make an empty database, wholly or not at all."""
    connection = connect(files.compacted, memory_mb=means.memory_mb, threads=1)
    try:
        migrate(connection, precision=means.precision)
    finally:
        connection.close()
    files.compacted.chmod(0o600)
    sync(files.compacted)
    files.compacted.replace(files.database)
    sync(files.folder)


def undo_torn_checkpoint(files: Files, slots: marks.Slots | None, memory_mb: int) -> list[str]:
    """Put back what a killed checkpoint overwrote, if the database cannot be read as it is."""
    image = read_image(files.image)
    report: list[str] = []
    if image is not None and not _readable(files, slots, memory_mb):
        torn = swap(files.database, image)
        if not _readable(files, slots, memory_mb):
            swap(files.database, torn)
            raise StoreError(
                f"the database in {files.folder} cannot be read, neither as it is nor as it was before the checkpoint "
                "that was cut short. Nothing was changed; bring the files back from a backup, or run "
                "`memshadow doctor` to save what can be read."
            )
        report = ["a checkpoint was cut short and has been undone; every acknowledged write is there."]
    files.image.unlink(missing_ok=True)
    sync(files.folder)
    return report


def _readable(files: Files, slots: marks.Slots | None, memory_mb: int) -> bool:
    try:
        with tried(files, memory_mb=memory_mb) as (connection, _):
            _check(connection, slots, files)
            for table in ("versions", "vectors", "tombstones", "owners", "embedders"):
                connection.execute(f"SELECT count(hash) FROM {table}").fetchall()  # noqa: S608
    except (duckdb.Error, StoreError):
        return False
    return True


def _try_log(files: Files, slots: marks.Slots, memory_mb: int) -> list[str]:
    """Refuse a log that lacks acknowledged writes, and cut off a damaged end that held none."""
    with tried(files, memory_mb=memory_mb) as (connection, cut):
        _check(connection, slots, files)
    return [] if cut is None else [cut_log(files, cut)]


def _check(connection: duckdb.DuckDBPyConnection, slots: marks.Slots | None, files: Files) -> None:
    """Compare the three accounts: the mark, the ledger and the tables."""
    made = known_version(connection) > 0
    ledger = ledger_of(connection) if made else Ledger()
    if slots is None and ledger.commits:
        raise StoreError(
            f"{files.mark} is missing: nothing says how far acknowledged writes went. The memories may be whole; run "
            "`memshadow doctor` on this folder, which checks them and makes a new mark."
        )
    if slots is not None and slots.newest is not None:
        compare(ledger, slots.newest, files.folder)
    if made:
        compare_tables(ledger, summed(connection), files.folder)


def compare(ledger: Ledger, marked: Ledger, folder: Path) -> None:
    """Refuse a database that has less than was acknowledged, or another history.

    Raises:
        StoreError: the message says how many writes are missing and which.
    """
    if ledger.commits < marked.commits:
        missing = marked.last_seq - ledger.last_seq
        what = f"{missing} writes ({ledger.last_seq + 1} to {marked.last_seq}) that were acknowledged are missing"
        raise StoreError(
            f"{what if missing else 'a change of embedders that was acknowledged is missing'} from {folder}: its "
            "database, or the log of it, was cut short or is an older one. Nothing was changed. Bring the files back "
            "from a backup, or run `memshadow doctor` to go on with what is left."
        )
    if ledger.commits == marked.commits and ledger != marked:
        raise StoreError(
            f"the database and the mark in {folder} do not belong together: {ledger} against {marked}. Nothing was "
            "changed. Bring both files back from one backup, or run `memshadow doctor`."
        )


def compare_tables(ledger: Ledger, found: Ledger, folder: Path) -> None:
    """Refuse tables that do not hold what their ledger says.

    Raises:
        StoreError: the message says by how much they differ.
    """
    if found._replace(commits=ledger.commits, last_seq=ledger.last_seq) != ledger or found.last_seq > ledger.last_seq:
        raise StoreError(
            f"the tables in {folder} do not hold what their ledger says: {found.versions} versions of "
            f"{ledger.versions}, {found.vectors} vectors of {ledger.vectors}, checksum {found.checksum:016x} against "
            f"{ledger.checksum:016x}. Nothing was changed. Bring the files back from a backup, or run "
            "`memshadow doctor`."
        )


def mark_of(files: Files) -> marks.Slots | None:
    """Return the mark's slots; ``None`` where the store is new, or was killed while it was made."""
    if files.mark.exists():
        if not files.database.exists() or not files.database.stat().st_size:
            raise StoreError(
                f"{files.database} is missing or empty, and {files.mark.name} says that there were memories in it. "
                "Nothing was changed. Bring the file back from a backup."
            )
        return marks.read(files.mark)
    if files.log.exists() and not files.database.exists():
        raise StoreError(f"{files.database} is missing, but its log is there. Bring the file back from a backup.")
    return None
