"""Records and vectors as rows of the database, and back. Knows the columns; runs no SQL.

Every row carries a 64-bit hash over its content (BLAKE2b, RFC 7693). That of a version is the hash of what never
changes xor the hash of how it ended, so that ending needs no reading. The xor over all rows is a store's set checksum.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.data.store.base import End, Owner
from memshadow.errors import StoreError
from memshadow.types import Draft, Record, Scope, Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLAIN = Draft(text="")
_APART = ("role", "importance", "image_caption", "provenance", "supersedes", "id")
"""Fields of a draft that are rarely given: those that were lie together in the column ``rest``, as JSON."""

_apart = attrgetter(*_APART)
_PLAINLY = _apart(_PLAIN)

DTYPES: dict[str, np.dtype[Any]] = {"fp16": np.dtype("<f2"), "fp32": np.dtype("<f4")}
"""How vectors are kept, by the name of the precision."""

VERSION_COLUMNS = (
    "seq, owner, id, version, agent, session, turn, speaker, kind, key, happened_at, ingested_at, text, rest, digest, "
    "ended_at, ended_seq, ended_by, superseded_by, hash"
)
VECTOR_COLUMNS = "seq, owner, embedder, written_seq, vector, hash"


class VersionRow(NamedTuple):
    """One row of ``versions``; times are microseconds since 1970 UTC."""

    seq: int
    owner: int
    id: str
    version: int
    agent: str | None
    session: str | None
    turn: int
    speaker: str | None
    kind: str
    key: str | None
    happened_at: int | None
    ingested_at: int
    text: str
    rest: str
    digest: int
    ended_at: int | None
    ended_seq: int | None
    ended_by: Literal["update", "supersede"] | None
    superseded_by: str | None
    hash: int


class VectorRow(NamedTuple):
    """One row of ``vectors``."""

    seq: int
    owner: int
    embedder: int
    written_seq: int
    vector: bytes
    hash: int


def version_row(record: Record, number: int, *, seq: int) -> VersionRow:
    """Return the row of a new version; ``number`` stands for its owner."""
    draft, scope = record.draft, record.scope
    row = VersionRow(
        seq=seq,
        owner=number,
        id=record.id,
        version=record.version,
        agent=scope.agent,
        session=scope.session,
        turn=int(record.turn),
        speaker=draft.speaker if _encodable(draft.speaker) else None,
        kind=draft.kind,
        key=draft.key if draft.key is None or _encodable(draft.key) else None,
        happened_at=None if draft.happened_at is None else micros(draft.happened_at),
        ingested_at=micros(record.ingested_at),
        text=draft.text if _encodable(draft.text) else "",
        rest=_rest(draft),
        digest=int(record.digest),
        ended_at=None if record.ended_at is None else micros(record.ended_at),
        ended_seq=None if record.ended_at is None else seq,
        ended_by=record.ended_by,
        superseded_by=record.superseded_by,
        hash=0,
    )
    return row._replace(hash=content_hash(row, scope.owner) ^ end_hash(row))


def ended(row: VersionRow, end: End, seq: int) -> VersionRow:
    """Return a version's row after the write ``seq`` ended it."""
    gone = row._replace(ended_at=micros(end.at), ended_seq=seq, ended_by=end.by, superseded_by=end.superseded_by)
    return gone._replace(hash=row.hash ^ end_hash(gone))


def end_hash(row: VersionRow) -> int:
    """Return what ending adds to a row's hash; 0 for a version that holds."""
    return 0 if row.ended_at is None else hashed(["end", row.seq, *row[15:19]])


def content_hash(row: VersionRow, owner: Owner) -> int:
    """Return the hash of what never changes in a version, its owner's names among it."""
    return hashed(["version", *owner, row.seq, *row[2:15]])


def hashed(fields: list[Any]) -> int:
    """Return 64 bits over plain values; the same on every machine and in every release."""
    return int.from_bytes(blake2b(json.dumps(fields).encode(), digest_size=8).digest(), "big")


def record_of(row: VersionRow, owner: Owner) -> Record:
    """Return the version that a row holds.

    Raises:
        StoreError: the row is not what was written.
    """
    if content_hash(row, owner) ^ end_hash(row) != row.hash:
        raise StoreError(
            f"version {row.seq} of memory {row.id!r} of {owner} is damaged: its content does not fit its hash. It is "
            "not shown; run `memshadow doctor` on this folder."
        )
    return Record(
        id=row.id,
        version=row.version,
        scope=Scope(tenant=owner[0], user=owner[1], agent=row.agent, session=row.session),
        turn=row.turn,
        draft=_draft(row),
        ingested_at=moment(row.ingested_at),
        digest=row.digest,
        seq=row.seq,
        ended_at=None if row.ended_at is None else moment(row.ended_at),
        ended_seq=row.ended_seq,
        ended_by=row.ended_by,
        superseded_by=row.superseded_by,
    )


def vector_row(seq: int, owner: int, embedder: int, *, written_seq: int, vector: bytes) -> VectorRow:
    """Return the row of a vector."""
    return VectorRow(seq, owner, embedder, written_seq, vector, vector_hash(seq, embedder, written_seq, vector))


def vector_hash(seq: int, embedder: int, written_seq: int, vector: bytes) -> int:
    """Return the hash of a vector and of what it belongs to."""
    prefix = struct.pack("<qqq", seq, embedder, written_seq)
    return int.from_bytes(blake2b(prefix + vector, digest_size=8).digest(), "big")


def vector_of(row: VectorRow, dtype: np.dtype[Any], dim: int) -> Float32[ndarray, " dim"]:
    """Return the numbers of a vector's row.

    Raises:
        StoreError: the row is not what was written.
    """
    if vector_hash(row.seq, row.embedder, row.written_seq, row.vector) != row.hash or (
        len(row.vector) != dim * dtype.itemsize
    ):
        raise StoreError(
            f"the vector of version {row.seq} is damaged: its content does not fit its hash. It is not used; run "
            "`memshadow doctor` on this folder."
        )
    return np.frombuffer(row.vector, dtype=dtype).astype(np.float32)


def micros(when: datetime) -> int:
    """Return microseconds since 1970 UTC."""
    return (when - _EPOCH) // _MICROSECOND


def moment(since_1970_us: int) -> datetime:
    """Return the moment that ``micros`` came from."""
    return _EPOCH + timedelta(microseconds=since_1970_us)


def _rest(draft: Draft) -> str:
    told = zip(_APART, _apart(draft), _PLAINLY, strict=True)
    rest: dict[str, Any] = {name: value for name, value, plain in told if value != plain}
    if draft.tags:
        rest["tags"] = draft.tags
    if draft.metadata:
        rest["metadata"] = draft.metadata
    if draft.source != _PLAIN.source:
        rest["source"] = [draft.source.provider, draft.source.model, draft.source.tool]
    for name in ("text", "speaker", "key"):  # half of a surrogate pair cannot stand in a column; JSON escapes it
        if not _encodable(getattr(draft, name) or ""):
            rest[name] = getattr(draft, name)
    return json.dumps(rest) if rest else ""


def _draft(row: VersionRow) -> Draft:
    rest: dict[str, Any] = json.loads(row.rest) if row.rest else {}
    if "source" in rest:
        provider, model, tool = rest["source"]
        rest["source"] = Source(provider=provider, model=model, tool=tool)
    if "tags" in rest:
        rest["tags"] = tuple(rest["tags"])
    said = {
        "text": row.text,
        "speaker": row.speaker or "",
        "kind": row.kind,
        "key": row.key,
        "happened_at": None if row.happened_at is None else moment(row.happened_at),
    }
    return Draft(**(said | rest))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
