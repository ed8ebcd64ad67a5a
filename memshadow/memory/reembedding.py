"""Another embedder for memories that are in use: rows of both lie side by side until every version has the new one.

Searches go on with the old one meanwhile, additions are embedded by both, and the switch is one step in the store. A
kill anywhere leaves the old one in charge; the next run goes on behind the versions that have their row already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from memshadow.data.index.base import MemoryIndex
from memshadow.data.store.base import Change, Embedding, Filter, Owner, Revector, Row
from memshadow.errors import StoreError
from memshadow.memory.intake import alone, entries, passages_of
from memshadow.memory.parts import Parts
from memshadow.memory.ranking import Ranking
from memshadow.models.base import Embedder
from memshadow.types import Passage, Record, Scope

_PORTION = 256
Progress = Callable[[int], None]
"""Told how many more versions have their row."""


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
    before = parts.embedder
    if embedder.fingerprint != before.fingerprint:
        _declare(parts, embedder, active=False)
        with parts.gate.alone():
            stale = _stale(parts, embedder)
            parts.upcoming = embedder
        try:
            _fill(parts, embedder, progress)
            for owner in stale:
                _fill_again(parts, embedder, owner)
        except BaseException:
            with parts.gate.alone():
                parts.upcoming = None
            raise
    with parts.gate.alone():
        if embedder.fingerprint != before.fingerprint:
            _declare(parts, embedder, active=True)
        parts.index.close()
        parts.embedder, parts.upcoming, parts.index = embedder, None, index
        parts.ranking = ranking or parts.ranking
        parts.index.attach(parts.store, fingerprint=embedder.fingerprint, dim=embedder.dim, read=entries)
    if embedder.fingerprint != before.fingerprint:
        parts.store.retire(before.fingerprint)


def _declare(parts: Parts, embedder: Embedder, *, active: bool) -> None:
    parts.store.declare(
        Embedding(fingerprint=embedder.fingerprint, name=embedder.name, dim=embedder.dim, active=active)
    )


def _fill(parts: Parts, embedder: Embedder, progress: Progress) -> None:
    """Embed what lacks a row, portion by portion, each owner's under its lock."""
    after = 0
    while found := parts.store.unembedded(embedder.fingerprint, after=after, limit=_PORTION):
        ordered = sorted(found, key=lambda record: (record.scope.owner, record.scope.session or "", record.seq))
        for owner, records in groupby(ordered, key=lambda record: record.scope.owner):
            _fill_owner(parts, embedder, owner, list(records))
        after = found[-1].seq
        progress(len(found))


def claim(parts: Parts) -> None:
    """Give a store that has none its embedder, whatever it lacks of its rows; refuse one that another one made.

    Raises:
        StoreError: the store's vectors were made with another embedder.
    """
    active, embedder = [known for known in parts.store.embeddings() if known.active], parts.embedder
    if not active:
        if parts.store.embeddings():  # after a salvage that found some rows only
            _declare(parts, embedder, active=False)
            _fill(parts, embedder, lambda _: None)
        _declare(parts, embedder, active=True)
    elif active[0].fingerprint != embedder.fingerprint:
        raise StoreError(
            f"these memories were embedded with {active[0].name} ({active[0].dim} dims, {active[0].fingerprint}), but "
            f"{embedder.name} ({embedder.dim} dims, {embedder.fingerprint}) came. Open them with that embedder, or "
            "take up the new one: memshadow reembed embedder=..."
        )


def _stale(parts: Parts, embedder: Embedder) -> list[Owner]:
    """Return owners that were written to since the last row of an embedder that nobody keeps up: a run was cut off.

    A row that depends on its neighbours may then be of neighbours that are gone.
    """
    if embedder.reach == (0, 0):
        return []
    rows = (one for owner, _ in parts.store.owners() for one in parts.store.stored(owner, embedder.fingerprint))
    newest = max((one.written_seq for one in rows if one.record.current), default=None)
    if newest is None:
        return []
    return [owner for owner, _ in parts.store.changed(parts.embedder.fingerprint, after=newest)]


def _fill_again(parts: Parts, embedder: Embedder, owner: Owner) -> None:
    whole, after = Scope(tenant=owner[0], user=owner[1]), 0
    while page := parts.store.page(whole, Filter(latest_only=False), after=after, limit=_PORTION):
        _fill_owner(parts, embedder, owner, page)
        after = page[-1].seq


def _fill_owner(parts: Parts, embedder: Embedder, owner: Owner, records: Sequence[Record]) -> None:
    with parts.gate.together(), parts.locks.of(owner):
        there = parts.store.versions(owner, [record.seq for record in records])  # some may be forgotten by now
        changes: list[Change] = []
        for _, group in groupby(there, key=lambda record: record.scope.session):
            same = list(group)
            rows = embedder.embed_passages(_passages(parts, embedder, same))
            changes += [
                Revector(owner=owner, seq=record.seq, row=Row(fingerprint=embedder.fingerprint, vector=row))
                for record, row in zip(same, rows, strict=True)
            ]
        if changes:
            parts.store.write(changes)


def _passages(parts: Parts, embedder: Embedder, records: Sequence[Record]) -> list[Passage]:
    """Return versions of one session as passages; one that an update replaced has no neighbours."""
    scope = records[0].scope
    if scope.session is None or embedder.reach == (0, 0):
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
