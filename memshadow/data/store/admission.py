"""What any store can keep, whatever it holds already. Takes one change, gives it back in its one form or refuses it.

Times become UTC (without a zone they are UTC), vectors float32, metadata a plain dict. Whether a version, a memory or
an embedder is there is for each store to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any

import numpy as np

from memshadow.data.store.base import Change, Embedding, End, Insert, Revector, Row
from memshadow.errors import StoreError
from memshadow.types import Draft, Record, Source

_INT64, _INT32, _UINT64 = 2**63, 2**31, 2**64
_ENDS = ("update", "supersede")
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def admitted(change: Change) -> Change:
    """Return ``change`` in its one form.

    Raises:
        StoreError: it holds something that no store can keep; the message names it.
    """
    if isinstance(change, Insert):
        rows = tuple(_row(row) for row in change.rows)
        if len({row.fingerprint for row in rows}) < len(rows):
            raise StoreError(f"memory {change.record.id!r} brings two vectors of one embedder; bring one of each.")
        return Insert(record=_record(change.record), rows=rows)
    if isinstance(change, Revector):
        return replace(change, row=_row(change.row))
    if isinstance(change, End):
        return _end(change)
    return change


def admitted_embedding(embedding: Embedding) -> Embedding:
    """Return ``embedding``, or refuse one that names nothing or has no width."""
    if not embedding.fingerprint or embedding.dim < 1:
        raise StoreError(
            f"an embedder with fingerprint={embedding.fingerprint!r} and dim={embedding.dim} cannot be declared; "
            "needed: a fingerprint and a width of at least 1."
        )
    return embedding


def utc(when: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is UTC already."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _end(end: End) -> End:
    if not _is_time(end.at) or end.by not in _ENDS or not _succeeds(end.by, end.superseded_by):
        raise StoreError(
            f"version {end.seq} ends at {end.at!r} by {end.by!r} with superseded_by={end.superseded_by!r}; needed: a "
            "time, and the id of the memory that takes its place for 'supersede', none for 'update'."
        )
    return replace(end, at=utc(end.at))


def _succeeds(by: str | None, successor: str | None) -> bool:
    """Return whether ``superseded_by`` is what an end of this kind needs: an id, or nothing."""
    return _is_id(successor) if by == "supersede" else successor is None


def _is_id(name: object) -> bool:
    return isinstance(name, str) and name != "" and _encodable(name)


def _record(record: Record) -> Record:
    if {type(record.version), type(record.turn), type(record.digest)} != {int} or not (
        0 <= record.digest < _UINT64 and 1 <= record.version < _INT32 and -_INT64 <= record.turn < _INT64
    ):
        raise StoreError(
            f"memory {record.id!r} has version={record.version}, turn={record.turn}, digest={record.digest}; needed: "
            "a version from 1, a turn of 64 bits, a digest of 64 bits without sign."
        )
    if not _is_id(record.id):
        raise StoreError(f"{record.id!r} cannot be a memory's id; needed: one character or more, all of them Unicode.")
    ends = record.ended_by is None or record.ended_by in _ENDS
    whole = (record.ended_at is None) == (record.ended_by is None) and _succeeds(record.ended_by, record.superseded_by)
    if not ends or not whole or record.superseded_by == record.id:
        raise StoreError(
            f"memory {record.id!r} comes with ended_at={record.ended_at}, ended_by={record.ended_by!r}, superseded_by="
            f"{record.superseded_by!r}; needed: all of an end (update, or supersede by another) or nothing of it."
        )
    if not (_is_time(record.ingested_at) and (record.ended_at is None or _is_time(record.ended_at))):
        raise StoreError(
            f"memory {record.id!r} has ingested_at={record.ingested_at!r}, ended_at={record.ended_at!r}; needed: times."
        )
    draft, ingested, ended = _draft(record.draft, record.id), utc(record.ingested_at), record.ended_at
    unended = ended is None and record.ended_seq is None
    if draft is record.draft and ingested is record.ingested_at and record.seq == 0 and unended:
        return record  # copying costs more than all the checks
    return replace(record, draft=draft, ingested_at=ingested, ended_at=ended and utc(ended), ended_seq=None, seq=0)


def _draft(draft: Draft, name: str) -> Draft:
    _check_kinds(draft, name)
    metadata = dict(draft.metadata)
    if metadata and not _is_json(metadata):
        raise StoreError(f"the metadata of memory {name!r} are not what JSON can hold: {metadata!r:.200}")
    when = draft.happened_at and utc(draft.happened_at)
    if when is draft.happened_at and type(draft.tags) is tuple and not metadata and type(draft.metadata) is dict:
        return draft
    return replace(draft, happened_at=when, tags=tuple(draft.tags), metadata=metadata)


def _check_kinds(draft: Draft, name: str) -> None:
    """Refuse what would come back as something else, or not at all."""
    source: Any = draft.source
    if not (
        _are((draft.text, draft.speaker, draft.role, draft.kind, draft.provenance), str)
        and _are((draft.image_caption, draft.key, draft.supersedes, draft.id), str, NoneType)
        and _are((draft.tags,), tuple, list)
        and _are(draft.tags, str)
        and _are((source,), Source)
        and _are((source.provider, source.model, source.tool), str)
        and _are((draft.importance,), int, float)
        and 0 <= draft.importance <= 1
        and (draft.happened_at is None or _is_time(draft.happened_at))
        and _are((draft.metadata,), dict, Mapping)
    ):
        raise StoreError(
            f"memory {name!r} holds a field of the wrong kind; needed: text, texts as tags, a Source, an "
            f"importance from 0 to 1, a time or none, a mapping of metadata: {draft!r:.300}"
        )


def _is_time(value: object) -> bool:
    """Return whether this is a moment that microseconds can tell: pandas' NaT calls itself a datetime and is none."""
    if type(value) is datetime:
        return True
    return isinstance(value, datetime) and isinstance((utc(value) - _EPOCH) // _MICROSECOND, int)


def _are(values: Iterable[object], *kinds: type) -> bool:
    """Return whether all are of these kinds; a set of their very types tells most of the time, and soonest."""
    return {*map(type, values)}.issubset(kinds) or all(isinstance(value, kinds) for value in values)


def _is_json(metadata: dict[str, object]) -> bool:
    try:
        return bool(json.loads(json.dumps(metadata, allow_nan=False)) == metadata)
    except (TypeError, ValueError, RecursionError):
        return False


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(row: Row) -> Row:
    vector = np.asarray(row.vector, dtype=np.float32)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise StoreError(
            f"a vector of shape {vector.shape} of embedder {row.fingerprint!r} is not one row of finite numbers."
        )
    return Row(fingerprint=row.fingerprint, vector=vector)
