"""What filters and rankings ask of a version, in columns of numbers. Knows records, nothing of vectors or files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64
from numpy import ndarray

from memshadow.data.index.base import Entry, session_hash, text_hash, voice_hash
from memshadow.data.store.base import Filter
from memshadow.types import Kind, Record, Scope

CURRENT = np.iinfo(np.int64).max
"""The ``ended`` of a version that holds now."""
UNKNOWN = np.iinfo(np.int64).min
"""The ``happened`` of an event without a time."""
_KINDS = {kind: code for code, kind in enumerate(get_args(Kind))}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALL_BITS = 2**64 - 1


class Columns(NamedTuple):
    """One array a column, all of one length, in the order of ``seqs``; times in microseconds since 1970 UTC."""

    seqs: Int64[ndarray, " n"]
    ended: Int64[ndarray, " n"]
    happened: Int64[ndarray, " n"]
    ingested: Int64[ndarray, " n"]
    turns: Int64[ndarray, " n"]
    lengths: Int64[ndarray, " n"]
    digests: UInt64[ndarray, " n"]
    sessions: UInt64[ndarray, " n"]
    agents: UInt64[ndarray, " n"]
    speakers: UInt64[ndarray, " n"]
    voices: UInt64[ndarray, " n"]
    forms: UInt64[ndarray, " n"]
    kinds: UInt8[ndarray, " n"]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Columns:
        """Return the columns of some versions."""
        return cls.from_rows([_row(entry) for entry in entries])

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[Any, ...]]) -> Columns:
        """Return columns from tuples of values, one a version."""
        values = zip(*rows, strict=True) if rows else [()] * len(DTYPES)
        return cls(*(np.array(column, dtype=dtype) for column, dtype in zip(values, DTYPES, strict=True)))

    def taken(self, places: ndarray | slice) -> Columns:
        """Return the rows at some places (a slice gives views)."""
        return Columns(*(column[places] for column in self))

    @property
    def size_bytes(self) -> int:
        """Return what the arrays take."""
        return sum(column.nbytes for column in self)


DTYPES = tuple(np.dtype(kind) for kind in ("<i8",) * 6 + ("<u8",) * 6 + ("u1",))


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 UTC, exactly; a time without a zone is UTC."""
    passed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def ended_at(record: Record) -> int:
    """Return when a version stopped to hold, ``CURRENT`` where it holds."""
    return CURRENT if record.ended_at is None else microseconds(record.ended_at)


def _row(entry: Entry) -> tuple[int, ...]:
    record, draft = entry.record, entry.record.draft
    return (
        record.seq,
        ended_at(record),
        UNKNOWN if draft.happened_at is None else microseconds(draft.happened_at),
        microseconds(record.ingested_at),
        record.turn,
        len(entry.terms),
        record.digest & _ALL_BITS,
        session_hash(record.scope.session),
        session_hash(record.scope.agent),
        text_hash(draft.speaker),
        voice_hash(draft.speaker or draft.role),
        entry.form,
        _KINDS[draft.kind],
    )


def conditions(columns: Columns, scope: Scope, given: Filter) -> Iterable[Bool[ndarray, " n"]]:
    """Yield one mask for each part of scope and filter that shuts anything out; all must hold.

    Tags and metadata are not among the columns: who calls has asked the store for them.
    """
    if scope.agent is not None:
        yield columns.agents == session_hash(scope.agent)
    if scope.session is not None:
        yield columns.sessions == session_hash(scope.session)
    if given.as_of is not None:
        moment = microseconds(given.as_of)
        yield columns.ingested <= moment
        yield columns.ended > moment
    elif given.latest_only:
        yield columns.ended == CURRENT
    if given.between is not None:
        yield from _between(columns.happened, *given.between)
    if given.kinds:
        yield np.isin(columns.kinds, [_KINDS[kind] for kind in given.kinds if kind in _KINDS])
    if given.speakers:
        yield np.isin(columns.speakers, np.array([text_hash(name) for name in given.speakers], dtype=np.uint64))


def _between(happened: ndarray, first: datetime | None, last: datetime | None) -> Iterable[ndarray]:
    yield happened != UNKNOWN
    if first is not None:
        yield happened >= microseconds(first)
    if last is not None:
        yield happened < microseconds(last)
