"""The tables, as numbered steps from an empty database to today's form. A step that was released is never changed.

Each statement is a transaction of its own and a checkpoint follows each step, so that a kill leaves a database that is
at one step or between two statements of the next; statements can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from memshadow.errors import StoreError

STEPS: dict[int, tuple[str, ...]] = {
    1: (
        """
        CREATE TABLE IF NOT EXISTS owners (
            number INTEGER NOT NULL, tenant VARCHAR NOT NULL, username VARCHAR NOT NULL, hash UBIGINT NOT NULL)
        """,
        """
        CREATE TABLE IF NOT EXISTS embedders (
            number SMALLINT NOT NULL, fingerprint VARCHAR NOT NULL, name VARCHAR NOT NULL, dim INTEGER NOT NULL,
            active BOOLEAN NOT NULL, hash UBIGINT NOT NULL)
        """,
        """
        CREATE TABLE IF NOT EXISTS versions (
            seq BIGINT PRIMARY KEY, owner INTEGER NOT NULL, id VARCHAR NOT NULL, version INTEGER NOT NULL,
            agent VARCHAR, session VARCHAR, turn BIGINT NOT NULL, speaker VARCHAR, kind VARCHAR NOT NULL,
            key VARCHAR, happened_at BIGINT, ingested_at BIGINT NOT NULL, text VARCHAR NOT NULL, rest VARCHAR NOT NULL,
            digest UBIGINT NOT NULL, ended_at BIGINT, ended_seq BIGINT, ended_by VARCHAR, superseded_by VARCHAR,
            hash UBIGINT NOT NULL)
        """,
        """
        CREATE TABLE IF NOT EXISTS vectors (
            seq BIGINT NOT NULL, owner INTEGER NOT NULL, embedder SMALLINT NOT NULL, written_seq BIGINT NOT NULL,
            vector BLOB NOT NULL, hash UBIGINT NOT NULL)
        """,
        """
        CREATE TABLE IF NOT EXISTS tombstones (
            seq BIGINT NOT NULL, owner INTEGER NOT NULL, id_hash UBIGINT NOT NULL, hash UBIGINT NOT NULL)
        """,
        """
        CREATE TABLE IF NOT EXISTS ledger AS SELECT
            0::BIGINT AS commits, 0::BIGINT AS last_seq, 0::BIGINT AS versions, 0::BIGINT AS vectors,
            0::UBIGINT AS checksum
        """,
    ),
}
NEWEST = max(STEPS)


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the step that a database is at; 0: a new one."""
    connection.execute("SELECT count(*) FROM duckdb_tables() WHERE database_name = 'm' AND table_name = 'form'")
    if connection.fetchall() == [(0,)]:
        return 0
    found = connection.execute("SELECT version, precision FROM form").fetchall()
    return int(found[0][0]) if found else 0


def known_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the step that a database is at.

    Raises:
        StoreError: a later release made it.
    """
    version = schema_version(connection)
    if version > NEWEST:
        raise StoreError(
            f"this store has form {version}, which a later memshadow made; this one knows forms up to {NEWEST}. "
            "Upgrade memshadow; nothing was changed."
        )
    return version


def precision_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Return how a database keeps its vectors."""
    return str(connection.execute("SELECT precision FROM form").fetchall()[0][0])


def migrate(
    connection: duckdb.DuckDBPyConnection, *, precision: str, checkpoint: Callable[[], object] | None = None
) -> None:
    """Bring a database to today's form; ``checkpoint`` is run after each step.

    Raises:
        StoreError: a later release made it, or it holds vectors of the other precision.
    """
    version = known_version(connection)
    for step in range(version + 1, NEWEST + 1):
        for statement in STEPS[step]:
            connection.execute(statement)
        if step == 1:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS form AS SELECT 1::INTEGER AS version, $1::VARCHAR AS precision", [precision]
            )
        connection.execute("UPDATE form SET version = $1", [step])
        checkpoint() if checkpoint else connection.execute("CHECKPOINT m")
    held = precision_of(connection)
    if held != precision:
        raise StoreError(
            f"this store keeps vectors as {held} and was asked for {precision}; open it with precision={held}."
        )
