"""The database file: how it is opened, locked down, written and summed up. Knows SQL; knows nothing of files beside it.

DuckDB 2.0. Measured (benchmarks/durability/README.md): rows go in by appenders, which cost as much as an INSERT for one
row and a thirtieth of it a row in batches; ten numbers scattered over 300,000 versions are read in 2.6 ms through the
primary key's index and in 40 ms without it (an IN list is no exact filter to a scan); row groups of 16,384 rows take a
third less room than the default as a database grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from memshadow.data.store.base import Embedding
from memshadow.data.store.embedded.mark import Ledger
from memshadow.data.store.embedded.plan import Embedder, Owners, Plan, embedder_row, owner_row
from memshadow.data.store.embedded.row import VECTOR_COLUMNS, VERSION_COLUMNS

_ROW_GROUP = 16_384
_SUMMED = ("owners", "embedders", "versions", "vectors", "tombstones")
_FEW = 4
"""Up to so many rows are found one by one: an exact filter reads one row group, a list reads them all."""


def connect(file: Path, *, memory_mb: int, threads: int, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a database file under the name ``m``, able to reach nothing but that file.

    Raises:
        duckdb.Error: it is damaged, or its write-ahead log is.
    """
    connection = connect_memory(file.parent, memory_mb=memory_mb, threads=threads)
    try:
        connection.execute("SET checkpoint_threshold = '1TB'")  # see checkpoint.py, which does it when it is time
        attach(connection, file, name="m", read_only=read_only)
        lock_down(connection)
        return use(connection)
    except BaseException:
        connection.close()
        raise


def connect_memory(folder: Path, *, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory, to which files can be attached."""
    return duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )


def attach(connection: duckdb.DuckDBPyConnection, file: Path, *, name: str, read_only: bool = False) -> None:
    """Give a database file a name."""
    options = "READ_ONLY" if read_only else f"ROW_GROUP_SIZE {_ROW_GROUP}"
    connection.execute(f"ATTACH '{_quoted(file)}' AS {name} ({options})")


def lock_down(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the connection reach no further file and change no setting."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def use(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Let a new cursor find the tables."""
    connection.execute("USE m")
    return connection


def ledger_of(connection: duckdb.DuckDBPyConnection) -> Ledger:
    """Return what the ledger says that the tables hold."""
    connection.execute("SELECT commits, last_seq, versions, vectors, checksum FROM ledger")
    return Ledger(*connection.fetchall()[0])


def summed(connection: duckdb.DuckDBPyConnection) -> Ledger:
    """Return what the tables hold; ``commits`` is not to be had from them and stays 0."""
    checksum, counts = 0, {}
    for table in _SUMMED:
        count, total = connection.execute(f"SELECT count(*), coalesce(bit_xor(hash), 0) FROM {table}").fetchall()[0]  # noqa: S608
        checksum, counts[table] = checksum ^ total, count
    last = connection.execute(
        "SELECT greatest((SELECT coalesce(max(greatest(seq, coalesce(ended_seq, 0))), 0) FROM versions), "
        "(SELECT coalesce(max(written_seq), 0) FROM vectors), (SELECT coalesce(max(seq), 0) FROM tombstones))"
    ).fetchall()[0][0]
    return Ledger(0, last, counts["versions"], counts["vectors"], checksum)


def owners_of(connection: duckdb.DuckDBPyConnection) -> Owners:
    """Return the numbers that stand for owners."""
    rows = connection.execute("SELECT number, tenant, username FROM owners ORDER BY number").fetchall()
    names = {number: (tenant, user) for number, tenant, user in rows}
    return Owners({owner: number for number, owner in names.items()}, names)


def embedders_of(connection: duckdb.DuckDBPyConnection) -> dict[str, Embedder]:
    """Return the embedders that a store knows, by fingerprint, in the order of their declaration."""
    found = rows(connection, "SELECT number, fingerprint, name, dim, active FROM embedders ORDER BY number")
    return {
        fingerprint: Embedder(number, Embedding(fingerprint=fingerprint, name=name, dim=dim, active=active))
        for number, fingerprint, name, dim, active in found
    }


class Tables:
    """The writer's connection. One thread uses it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._versions = connection.appender("versions", columns=VERSION_COLUMNS.split(", "))
        self._vectors = connection.appender("vectors", columns=VECTOR_COLUMNS.split(", "))
        self._tombstones = connection.appender("tombstones")
        self._owners = connection.appender("owners")

    def apply(self, plan: Plan, ledger: Ledger) -> Ledger:
        """Write a plan and the ledger after it in one transaction; return that ledger.

        Raises:
            duckdb.Error: nothing is known to be written.
        """
        self._connection.begin()
        try:
            after = self._applied(plan, ledger)
            self.put_ledger(after)
            self._connection.commit()
        except BaseException:
            self._give_up()
            raise
        return after

    def _applied(self, plan: Plan, ledger: Ledger) -> Ledger:
        gone_vectors = self._delete_vectors(plan)
        gone_versions = self._delete("versions", sorted(plan.erased))
        checksum = ledger.checksum
        owners = [owner_row(number, owner) for number, owner in plan.new_owners.items()]
        for value in (*gone_vectors, *gone_versions, *(row[-1] for row in owners)):
            checksum ^= value
        for seq, ending in plan.endings.items():
            self._connection.execute(
                "UPDATE versions SET ended_at = $1, ended_seq = $2, ended_by = $3, superseded_by = $4, "
                "hash = xor(hash, $5::UBIGINT) WHERE seq = $6",
                [*ending, seq],
            )
        for value in plan.hashes():
            checksum ^= value
        self._append(plan, owners)
        return Ledger(
            commits=ledger.commits + 1,
            last_seq=plan.last_seq,
            versions=ledger.versions + len(plan.versions) - len(gone_versions),
            vectors=ledger.vectors + len(plan.vectors) - len(gone_vectors),
            checksum=checksum,
        )

    def count_vectors(self, embedder: int) -> int:
        """Return how many vectors an embedder has."""
        return int(rows(self._connection, "SELECT count(*) FROM vectors WHERE embedder = $1", [embedder])[0][0])

    def replace_embedders(
        self, before: dict[str, Embedder], after: dict[str, Embedder], ledger: Ledger, *, retired: int | None
    ) -> Ledger:
        """Write the embedders anew, without the vectors of the ``retired`` one; return the ledger after it."""
        checksum, gone = ledger.checksum, 0
        self._connection.begin()
        try:
            if retired is not None:
                sql = "SELECT count(*), coalesce(bit_xor(hash), 0) FROM vectors WHERE embedder = $1"
                gone, removed = rows(self._connection, sql, [retired])[0]
                self._connection.execute("DELETE FROM vectors WHERE embedder = $1", [retired])
                checksum ^= removed
            self._connection.execute("DELETE FROM embedders")
            for embedder in after.values():
                sql = "INSERT INTO embedders VALUES ($1, $2, $3, $4, $5, $6)"
                self._connection.execute(sql, embedder_row(embedder))
            for embedder in (*before.values(), *after.values()):
                checksum ^= embedder_row(embedder)[-1]
            written = ledger._replace(commits=ledger.commits + 1, vectors=ledger.vectors - gone, checksum=checksum)
            self.put_ledger(written)
            self._connection.commit()
        except BaseException:
            self._give_up()
            raise
        return written

    def put_ledger(self, ledger: Ledger) -> None:
        """Replace the ledger."""
        self._connection.execute(
            "UPDATE ledger SET commits = $1, last_seq = $2, versions = $3, vectors = $4, checksum = $5", list(ledger)
        )

    def _append(self, plan: Plan, owners: list[list[Any]]) -> None:
        for appender, values in (
            (self._versions, plan.versions.values()),
            (self._vectors, plan.vectors.values()),
            (self._tombstones, plan.tombstones),
            (self._owners, owners),
        ):
            if values:
                appender.append_rows(values)
                appender.flush()

    def _delete_vectors(self, plan: Plan) -> list[int]:
        gone = self._delete("vectors", sorted(plan.erased))
        for embedder in {embedder for _, embedder in plan.replaced}:
            seqs = sorted(seq for seq, other in plan.replaced if other == embedder and seq not in plan.erased)
            gone += self._delete("vectors", seqs, f" AND embedder = {embedder}")
        return gone

    def _delete(self, table: str, seqs: Sequence[int], also: str = "") -> list[int]:
        """Delete rows by number and return their hashes."""
        wheres = [f"seq = {seq}" for seq in seqs] if len(seqs) <= _FEW else [f"seq IN ({_listed(seqs)})"]
        hashes: list[int] = []
        for where in wheres:
            found = self._connection.execute(f"DELETE FROM {table} WHERE {where}{also} RETURNING hash")  # noqa: S608
            hashes += [row[0] for row in found.fetchall()]
        return hashes

    def _give_up(self) -> None:
        with suppress(duckdb.Error):
            for appender in (self._versions, self._vectors, self._tombstones, self._owners):
                appender.clear()
            self._connection.rollback()


def rows(connection: duckdb.DuckDBPyConnection, sql: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return what a query gives."""
    return connection.execute(sql, given).fetchall()


def _listed(seqs: Iterable[int]) -> str:
    return ", ".join(str(int(seq)) for seq in seqs)


def _quoted(file: Path) -> str:
    return str(file).replace("'", "''")
