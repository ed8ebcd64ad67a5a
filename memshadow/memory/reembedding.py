"""Another embedder for memories that are in use: rows of both lie side by side until every version has the new one.

Searches go on with the old one meanwhile, additions are embedded by both, and the switch is one step in the store. A
kill anywhere leaves the old one in charge; the next run goes on behind the versions that have their row already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import groupby

from numpy import ndarray

from memshadow.data.index.base import MemoryIndex
from memshadow.data.store.base import Embedding, Filter, Owner, Revector, Row
from memshadow.errors import StoreError
from memshadow.memory.intake import alone, entries, passages_of
from memshadow.memory.parts import Parts
from memshadow.memory.ranking import Ranking
from memshadow.models.base import Embedder
from memshadow.types import Passage, Record, Scope

_PORTION = 256
_AT_ONCE = 64
"""Versions that are embedded while their owner's writers wait."""
Progress = Callable[[int], None]
"""Told how many more versions have their row; what it raises ends the run, as a kill would."""


class OtherEmbedderError(StoreError):
    """The store's vectors were made with another embedder than the one that came; ``active`` made them."""

    def __init__(self, active: Embedding, came: Embedder, advice: str = "") -> None:
        self.active, self.came = active, came
        super().__init__(
            f"these memories were embedded with {active.name} ({active.dim} dims, {active.fingerprint}), but "
            f"{came.name} ({came.dim} dims, {came.fingerprint}) came. "
            + (advice or "Open them with that embedder, or take up the new one: memshadow reembed embedder=...")
        )


def reembed(
    parts: Parts, embedder: Embedder, *, index: MemoryIndex, ranking: Ranking | None, progress: Progress
) -> None:
    """Give every version a row of ``embedder``, then let it take over with ``index``, and ``ranking`` if one is given.

    Raises:
        StoreError: rows of this fingerprint are there with another width, or another re-embedding runs.
    """
    if not parts.taking_up.acquire(blocking=False):
        raise StoreError("another embedder is being taken up already; wait until that is done.")
    try:
        _reembed(parts, embedder, index, ranking, progress)
    finally:
        parts.taking_up.release()


def _reembed(parts: Parts, embedder: Embedder, index: MemoryIndex, ranking: Ranking | None, progress: Progress) -> None:
    index.check(embedder.dim)
    try:
        if embedder.fingerprint != parts.embedder.fingerprint:
            _catch_up(parts, embedder, progress)
        with parts.gate.alone():
            parts.index.close()  # both may keep their files in one folder
            index.attach(parts.store, fingerprint=embedder.fingerprint, dim=embedder.dim, read=entries)
            _declare(parts, embedder, active=True)
            parts.embedder, parts.upcoming, parts.index = embedder, None, index
            parts.ranking = ranking or parts.ranking
    except BaseException:
        with parts.gate.alone():
            parts.upcoming = None
        raise
    for known in parts.store.embeddings():
        if not known.active:  # the one before, and what others began and nobody finished
            parts.store.retire(known.fingerprint)


def _catch_up(parts: Parts, embedder: Embedder, progress: Progress) -> None:
    """Give every version a row of ``embedder``; from then on each addition has one."""
    begun = any(known.fingerprint == embedder.fingerprint for known in parts.store.embeddings())
    _declare(parts, embedder, active=False)
    seen = parts.store.last_seq
    stale = set(_stale(parts, embedder)) if begun else set()
    with parts.gate.alone():
        if begun:
            stale |= {owner for owner, _ in parts.store.changed(parts.embedder.fingerprint, after=seen)}
        parts.upcoming = embedder
    if begun:
        progress(_done(parts, embedder))
    _fill(parts, embedder, progress)
    for owner in sorted(stale):
        _fill_again(parts, embedder, owner)


def _declare(parts: Parts, embedder: Embedder, *, active: bool) -> None:
    parts.store.declare(
        Embedding(fingerprint=embedder.fingerprint, name=embedder.name, dim=embedder.dim, active=active)
    )


def _fill(parts: Parts, embedder: Embedder, progress: Progress) -> None:
    """Embed what lacks a row, portion by portion."""
    after = 0
    while found := parts.store.unembedded(embedder.fingerprint, after=after, limit=_PORTION):
        ordered = sorted(found, key=lambda record: (record.scope.owner, record.scope.session or "", record.seq))
        for first in range(0, len(ordered), _AT_ONCE):
            some = ordered[first : first + _AT_ONCE]
            _fill_some(parts, embedder, some)
            progress(len(some))
        after = found[-1].seq


def _done(parts: Parts, embedder: Embedder) -> int:
    """Return how many versions have their row already."""
    lacking = after = 0
    while found := parts.store.unembedded(embedder.fingerprint, after=after, limit=_PORTION):
        lacking, after = lacking + len(found), found[-1].seq
    return max(0, sum(count for _, count in parts.store.owners()) - lacking)


def claim(parts: Parts) -> None:
    """Give a store that has none its embedder, whatever it lacks of its rows; refuse one that another one made.

    Raises:
        OtherEmbedderError: the store's vectors were made with another embedder.
    """
    active, embedder = [known for known in parts.store.embeddings() if known.active], parts.embedder
    if not active:
        if parts.store.embeddings():  # after a salvage that found some rows only
            _declare(parts, embedder, active=False)
            _fill(parts, embedder, lambda _: None)
        _declare(parts, embedder, active=True)
    elif active[0].fingerprint != embedder.fingerprint:
        raise OtherEmbedderError(active[0], embedder)


def _stale(parts: Parts, embedder: Embedder) -> list[Owner]:
    """Return owners of whom some row of an embedder may be of neighbours that are gone: nobody kept its rows up.

    That is each who was written to after the oldest row; an owner whose rows were all kept up is made again in vain.
    """
    if embedder.reach == (0, 0):
        return []
    found = []
    for owner, newest in parts.store.changed(parts.embedder.fingerprint, after=0):
        rows = (one.written_seq for one in parts.store.stored(owner, embedder.fingerprint) if one.record.current)
        if min(rows, default=newest) < newest:
            found.append(owner)
    return found


def _fill_again(parts: Parts, embedder: Embedder, owner: Owner) -> None:
    whole, after = Scope(tenant=owner[0], user=owner[1]), 0
    while page := parts.store.page(whole, Filter(latest_only=False), after=after, limit=_AT_ONCE):
        _fill_some(parts, embedder, page)
        after = page[-1].seq


def _fill_some(parts: Parts, embedder: Embedder, records: Sequence[Record]) -> None:
    """Give versions, sorted by owner, their row; return when all are durable.

    A row that depends on nothing but its version is made while nobody waits; one that has neighbours, under the
    owner's lock. All are written together: one owner's few versions are not worth a commit.
    """
    made: Mapping[int, ndarray] = {}
    if embedder.reach == (0, 0):
        rows = embedder.embed_passages(alone(records))
        made = {record.seq: row for record, row in zip(records, rows, strict=True)}
    written = [
        _submitted(parts, embedder, owner, list(group), made)
        for owner, group in groupby(records, key=lambda record: record.scope.owner)
    ]
    for done in written:
        done.result()


def _submitted(
    parts: Parts, embedder: Embedder, owner: Owner, records: Sequence[Record], made: Mapping[int, ndarray]
) -> Future[int]:
    with parts.gate.together(), parts.locks.of(owner):
        there = parts.store.versions(owner, [record.seq for record in records])  # some may be forgotten by now
        rows = made or _rows_among(parts, embedder, there)
        return parts.store.submit(
            [
                Revector(owner=owner, seq=one.seq, row=Row(fingerprint=embedder.fingerprint, vector=rows[one.seq]))
                for one in there
            ]
        )


def _rows_among(parts: Parts, embedder: Embedder, records: Sequence[Record]) -> Mapping[int, ndarray]:
    """Return number -> row of versions that may have neighbours."""
    made: dict[int, ndarray] = {}
    for _, group in groupby(records, key=lambda record: record.scope.session):
        same = list(group)
        rows = embedder.embed_passages(_passages(parts, embedder, same))
        made |= {record.seq: row for record, row in zip(same, rows, strict=True)}
    return made


def _passages(parts: Parts, embedder: Embedder, records: Sequence[Record]) -> list[Passage]:
    """Return versions of one session as passages; one that an update replaced has no neighbours."""
    scope = records[0].scope
    if scope.session is None:
        return alone(records)
    session = parts.tails.whole(scope)
    places = {record.seq: place for place, record in enumerate(session)}
    turns = [record.draft.said() for record in session]
    return [
        passage
        for record in records
        for passage in (
            passages_of(turns, embedder.reach, places=[places[record.seq]]) if record.seq in places else alone([record])
        )
    ]
