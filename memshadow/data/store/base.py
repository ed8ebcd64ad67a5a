"""The promises of every store. Takes records and rows of numbers; knows nothing of embedding, ranking or HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float32
from numpy import ndarray

from memshadow.types import Record, Scope

Owner = tuple[str, str]
"""(tenant, user)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A vector as it is stored: made by the embedder called ``fingerprint``, for the version ``seq``."""

    fingerprint: str
    vector: Float32[ndarray, " dim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """A new version and its vectors, one a fingerprint.

    The store gives ``record.seq``, whatever it was; a version that comes with ``ended_at`` (an import of the past) is
    kept as ended, ``ended_seq`` being the insert itself.
    """

    record: Record
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The version ``seq`` of ``owner`` holds no longer, from ``at`` on."""

    owner: Owner
    seq: int
    at: datetime
    by: Literal["update", "supersede"]
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revector:
    """Replace the vector that ``row.fingerprint`` has of version ``seq``, or add it."""

    owner: Owner
    seq: int
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase:
    """Forget the memory ``id``: every version, vector and word of it. A mark without content stays behind."""

    owner: Owner
    id: str


Change = Insert | End | Revector | Erase


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """An embedder that the store holds vectors of. ``active``: every version has one, and searches use it."""

    fingerprint: str
    name: str
    dim: int
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A version with its vector, as an index takes it up; ``written_seq`` is the write that last touched either."""

    record: Record
    vector: Float32[ndarray, " dim"]
    written_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What must hold of a version beside its scope. All parts given must hold; ``tags`` must all be there.

    ``latest_only`` leaves out what was updated or superseded. ``as_of`` shows what the store knew at that moment (by
    time of adding) and rules over ``latest_only``. ``between`` bounds the time of the event: from the first, up to but
    without the second; a memory of unknown time is outside. ``metadata`` compares values with ==.
    """

    latest_only: bool = True
    as_of: datetime | None = None
    between: tuple[datetime | None, datetime | None] | None = None
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """One of these is the memory's ``key``."""
    metadata: tuple[tuple[str, str | int | float | bool | None], ...] = ()


@runtime_checkable
class MemoryStore(Protocol):
    """Versions of memories of many owners, and their vectors.

    The corners, the same for every store:

    - ``write`` takes all changes or none and returns when they are durable: after it returned, no kill, crash or power
      cut loses them. Changes get the sequence numbers ``last_seq + 1 ...`` in their order; the last one is returned. No
      change at all returns ``last_seq`` and writes nothing.
    - A change that names a version or memory that its owner does not have, inserts a version that is there already
      (same owner, id and version), brings a vector of a fingerprint that was never declared or of another width, or a
      vector that is not finite, raises ``StoreError``; nothing of its call is written.
    - So does a change that would leave a memory in a state that makes no sense: a version that is not the next one (1
      for a new memory), two current versions after the call, a version that ends a second time (who lost a race
      reads again), one superseded by a memory that is not there after the call, or by itself; a version
      without a vector of the active embedder. The changes of a call are checked in their order, what must hold after
      the call only then: ``End`` and ``Insert`` of an update may stand in either.
    - Times come back in UTC (without a zone they are UTC), metadata as plain JSON, vectors as float32 as near as the
      store keeps them (half precision: 1 part in 1,000). What cannot be kept (metadata that are not JSON, numbers
      beyond 64 bits) raises ``StoreError``. Every string of Unicode is kept as it is, halves of surrogate pairs too.
    - An id that was forgotten may be used again; it names a new memory, from version 1. What other memories say of a
      forgotten one (``superseded_by``) stays.
    - Writes of several threads are safe; each sees all earlier ones (read your writes).
    - Readings give records of ``owner`` alone. A record that is not there is left out, never an error.
    - A version that was erased is never returned again, by any reading.
    - After a failed write (full disk, failed fsync) the store either goes on as if the call never was or refuses every
      further call with ``StoreError`` until it is opened again; it never acknowledges what is not durable.
    - ``close`` twice is once; anything after it raises ``StoreError``.
    """

    @property
    def last_seq(self) -> int:
        """Return the number of the last durable write; 0 where nothing was ever written."""
        ...

    def write(self, changes: Sequence[Change]) -> int:
        """Write all changes, or raise and write none."""
        ...

    def submit(self, changes: Sequence[Change]) -> Future[int]:
        """Queue the changes of one call; its result is what ``write`` returns or raises."""
        ...

    def versions(self, owner: Owner, seqs: Sequence[int]) -> list[Record]:
        """Return the versions with these numbers, in the order asked for, without those that are not there."""
        ...

    def history(self, owner: Owner, memory_id: str) -> list[Record]:
        """Return all versions of a memory, oldest first."""
        ...

    def current(self, owner: Owner, memory_ids: Sequence[str]) -> list[Record]:
        """Return the newest version of each memory that is there, in the order asked for (ended ones too)."""
        ...

    def matching(self, scope: Scope, given: Filter) -> list[int]:
        """Return the numbers of all versions in a scope that pass the filter, ascending."""
        ...

    def page(self, scope: Scope, given: Filter, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions in a scope that pass the filter and have ``seq > after``, ascending."""
        ...

    def tail(self, scope: Scope, *, last: int) -> list[Record]:
        """Return the last ``last`` memories in a scope by (session, turn, seq), in the order of saying.

        Of each the version that no update replaced; what another memory superseded was said all the same and is there.
        """
        ...

    def stored(self, owner: Owner, fingerprint: str) -> list[Stored]:
        """Return all versions of an owner that have a vector of this fingerprint, by seq."""
        ...

    def changed(self, fingerprint: str, *, after: int) -> Iterator[tuple[Owner, int]]:
        """Yield (owner, number of the newest such write) of each owner with a write after ``after``, sorted.

        A write is an insertion, an end, an erasure, or a vector of this fingerprint.
        """
        ...

    def owners(self, *, tenant: str | None = None) -> Iterator[tuple[Owner, int]]:
        """Yield each owner that has a version and the number of its versions, sorted."""
        ...

    def embeddings(self) -> list[Embedding]:
        """Return every embedder declared, the active one first, the others in the order of their declaration."""
        ...

    def declare(self, embedding: Embedding) -> None:
        """Make a fingerprint known; declared again as active, it takes over from the active one in one step.

        Declared again as inactive, it stays as active as it was.

        Raises:
            StoreError: it is known with another width, or is to become active while versions lack its vector.
        """
        ...

    def retire(self, fingerprint: str) -> None:
        """Remove an inactive embedder and all its vectors; an unknown one is no error.

        Raises:
            StoreError: it is the active one.
        """
        ...

    def unembedded(self, fingerprint: str, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions with ``seq > after`` that lack a vector of this fingerprint, ascending."""
        ...

    def close(self) -> None:
        """Finish what is queued, then let go of everything."""
        ...
