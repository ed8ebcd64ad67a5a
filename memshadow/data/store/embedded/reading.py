"""The readings of the embedded store, as SQL. Takes a cursor and numbers for owners; gives rows and records.

Every record that leaves is checked against its hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from memshadow.data.store.admission import utc
from memshadow.data.store.base import Filter
from memshadow.data.store.embedded.plan import Owners
from memshadow.data.store.embedded.row import VERSION_COLUMNS, VectorRow, VersionRow, micros, record_of
from memshadow.data.store.embedded.table import rows
from memshadow.data.store.selection import says
from memshadow.types import Record, Scope

_SELECT = f"SELECT {VERSION_COLUMNS} FROM versions"  # noqa: S608
_BY_LIST = 1_000
"""Longer lists of numbers are read piece by piece: up to here the index is used."""


class Reading:
    """One reading: a cursor of its own, and the names of the owners."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, owners: Owners) -> None:
        self._cursor, self._owners = cursor, owners

    def versions(self, number: int, seqs: Sequence[int]) -> list[Record]:
        """Return the versions of an owner with these numbers, in the order asked for."""
        wanted = list(dict.fromkeys(int(seq) for seq in seqs))
        found: dict[int, Record] = {}
        for start in range(0, len(wanted), _BY_LIST):
            listed = ", ".join(map(str, wanted[start : start + _BY_LIST]))
            for row in self._rows(f"{_SELECT} WHERE seq IN ({listed})"):
                if row.owner == number:
                    found[row.seq] = self._record(row)
        return [found[seq] for seq in seqs if seq in found]

    def known(self, number: int) -> list[tuple[Any, ...]]:
        """Return (seq, id, version, current) of an owner's versions, by version."""
        sql = "SELECT seq, id, version, ended_at IS NULL FROM versions WHERE owner = $1 ORDER BY version"
        return rows(self._cursor, sql, [number])

    def matching(self, number: int, scope: Scope, given: Filter) -> list[int]:
        """Return the numbers of the versions in a scope that pass a filter, ascending."""
        where, values = _conditions(number, scope, given)
        if not _needs_words(given):
            sql = f"SELECT seq FROM versions WHERE {where} ORDER BY seq"  # noqa: S608 - the parts are ours, values apart
            return [seq for (seq,) in rows(self._cursor, sql, values)]
        found = self._rows(f"{_SELECT} WHERE {where} ORDER BY seq", values)
        return [record.seq for record in map(self._record, found) if says(record.draft, given)]

    def page(self, number: int, scope: Scope, given: Filter, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions in a scope that pass a filter, ascending from ``after``."""
        where, values = _conditions(number, scope, given)
        found: list[Record] = []
        while len(found) < limit:
            wanted = limit if not _needs_words(given) else max(limit, _BY_LIST)
            sql = f"{_SELECT} WHERE {where} AND seq > ${len(values) + 1} ORDER BY seq LIMIT {wanted}"
            records = [self._record(row) for row in self._rows(sql, [*values, after])]
            found += [record for record in records if says(record.draft, given)]
            if len(records) < wanted:
                break
            after = records[-1].seq
        return found[: max(0, limit)]

    def tail(self, number: int, scope: Scope, *, last: int) -> list[Record]:
        """Return the last ``last`` memories in a scope, in the order of saying, each as no update replaced it."""
        where, values = _conditions(number, scope, Filter(latest_only=False))
        where += " AND ended_by IS DISTINCT FROM 'update'"
        order = "coalesce(session, '') DESC, turn DESC, seq DESC"
        found = self._rows(f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT {max(0, last)}", values)
        return [self._record(row) for row in found][::-1]

    def stored(self, number: int, embedder: int) -> Iterator[tuple[Record, VectorRow]]:
        """Yield each version of an owner that has a vector of this embedder, and that vector, by seq."""
        columns = ", ".join(f"v.{name}" for name in VERSION_COLUMNS.split(", "))
        found = rows(
            self._cursor,
            f"SELECT {columns}, w.written_seq, w.vector, w.hash FROM versions v JOIN vectors w ON v.seq = w.seq "  # noqa: S608
            "WHERE v.owner = $1 AND w.owner = $1 AND w.embedder = $2 ORDER BY v.seq",
            [number, embedder],
        )
        width = len(VersionRow._fields)
        for values in found:
            row = VersionRow(*values[:width])
            yield self._record(row), VectorRow(row.seq, number, embedder, *values[width:])

    def changed(self, embedder: int, *, after: int) -> list[tuple[int, int]]:
        """Return (owner, newest write) of each owner written to after ``after``."""
        return rows(
            self._cursor,
            "SELECT owner, max(seq) FROM ("
            "SELECT owner, seq FROM versions WHERE seq > $1 "
            "UNION ALL SELECT owner, ended_seq FROM versions WHERE ended_seq > $1 "
            "UNION ALL SELECT owner, written_seq FROM vectors WHERE written_seq > $1 AND embedder = $2 "
            "UNION ALL SELECT owner, seq FROM tombstones WHERE seq > $1) GROUP BY owner",
            [after, embedder],
        )

    def counts(self) -> list[tuple[int, int]]:
        """Return (owner, how many versions) of each owner that has one."""
        return rows(self._cursor, "SELECT owner, count(*) FROM versions GROUP BY owner")

    def unembedded(self, embedder: int, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions after ``after`` that lack a vector of this embedder, ascending."""
        lacking = "seq > $1 AND seq NOT IN (SELECT seq FROM vectors WHERE embedder = $2 AND seq > $1)"
        found = self._rows(f"{_SELECT} WHERE {lacking} ORDER BY seq LIMIT {max(0, limit)}", [after, embedder])
        return [self._record(row) for row in found]

    def _rows(self, sql: str, given: Sequence[Any] = ()) -> list[VersionRow]:
        return [VersionRow(*row) for row in rows(self._cursor, sql, given)]

    def _record(self, row: VersionRow) -> Record:
        return record_of(row, self._owners.names[row.owner])


def _needs_words(given: Filter) -> bool:
    """Return whether a part of the filter is not to be had from the columns alone."""
    return bool(given.tags or given.metadata) or not _in_columns((*given.speakers, *given.keys))


def _in_columns(names: Sequence[str]) -> bool:
    """Return whether these can stand in a column: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for name in names for character in name)


def _conditions(number: int, scope: Scope, given: Filter) -> tuple[str, list[Any]]:
    """Return what columns can say of a scope and a filter."""
    parts: list[str] = []
    values: list[Any] = []

    def also(condition: str, value: object) -> None:
        values.append(value)
        parts.append(condition.replace("?", f"${len(values)}"))

    also("owner = ?", number)
    if scope.agent is not None:
        also("agent = ?", scope.agent)
    if scope.session is not None:
        also("session = ?", scope.session)
    if given.as_of is not None:
        also("ingested_at <= ? AND (ended_at IS NULL OR ended_at > ?)", micros(utc(given.as_of)))
    elif given.latest_only:
        parts.append("ended_at IS NULL")
    if given.between is not None:
        parts.append("happened_at IS NOT NULL")
        for bound, condition in zip(given.between, ("happened_at >= ?", "happened_at < ?"), strict=True):
            if bound is not None:
                also(condition, micros(utc(bound)))
    if given.kinds:
        also("list_contains(?::VARCHAR[], kind)", list(given.kinds))
    for column, names in (("speaker", given.speakers), ("key", given.keys)):
        if names and _in_columns(names):
            also(f"list_contains(?::VARCHAR[], {column})", list(names))
    return " AND ".join(parts), values
