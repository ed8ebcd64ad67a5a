"""A database written anew: what was forgotten is gone from the file, and each owner's rows lie together.

DuckDB frees no room for deleted rows and leaves their bytes in the file; a copy has neither. The copy takes the old
file's place in one rename, after it was found to hold the same.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from memshadow.data.store.embedded.files import Files
from memshadow.data.store.embedded.mark import Ledger
from memshadow.data.store.embedded.migrations import migrate
from memshadow.data.store.embedded.table import attach, connect_memory, ledger_of, lock_down, summed, use
from memshadow.errors import StoreError
from memshadow.training.atomic import sync

_ORDERS = {
    "owners": "number",
    "embedders": "number",
    "versions": "owner, seq",
    "vectors": "embedder, owner, seq",
    "tombstones": "seq",
}


def compact(files: Files, ledger: Ledger, *, precision: str, memory_mb: int) -> None:
    """Replace the database, which nobody may have open, by a copy of what is in it.

    Raises:
        StoreError: the copy does not hold what ``ledger`` says; the old file is still there.
        duckdb.Error, OSError: the old file could not be read or the new one not be written; the old one is still there.
    """
    if files.logged:
        raise StoreError(f"the log {files.log} is not empty: the database was not closed well; open it first.")
    files.compacted.unlink(missing_ok=True)
    copy(files.database, files.compacted, ledger, precision=precision, memory_mb=memory_mb)
    files.compacted.chmod(0o600)
    sync(files.compacted)
    files.log.unlink(missing_ok=True)
    files.compacted.replace(files.database)
    sync(files.folder)


def copy(source: Path, target: Path, ledger: Ledger, *, precision: str, memory_mb: int) -> None:
    """Write all rows of a database into a new one, with this ledger."""
    connection = connect_memory(source.parent, memory_mb=memory_mb, threads=1)
    try:
        attach(connection, source, name="old", read_only=True)
        attach(connection, target, name="m")
        lock_down(connection)
        use(connection)
        migrate(connection, precision=precision)
        for table, order in _ORDERS.items():
            connection.execute(f"INSERT INTO m.{table} SELECT * FROM old.{table} ORDER BY {order}")  # noqa: S608
        connection.execute("DELETE FROM ledger")
        connection.execute("INSERT INTO ledger VALUES ($1, $2, $3, $4, $5)", list(ledger))
        connection.execute("CHECKPOINT m")
        _check(connection, ledger, target)
    finally:
        connection.close()


def _check(connection: duckdb.DuckDBPyConnection, ledger: Ledger, target: Path) -> None:
    found = summed(connection)._replace(commits=ledger.commits, last_seq=ledger.last_seq)
    if not found == ledger == ledger_of(connection):
        raise StoreError(f"the copy {target} does not hold what the database does: {found} against {ledger}.")
