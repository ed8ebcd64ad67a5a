"""Another embedder for memories that are in use: rows of both lie side by side until every version has the new one.

Searches go on with the old one meanwhile, additions are embedded by both, and the switch is one step in the store. A
kill anywhere leaves the old one in charge; the next run goes on behind the versions that have their row already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from memshadow.data.index.base import MemoryIndex
from memshadow.data.store.base import Change, Embedding, Owner, Revector, Row
from memshadow.memory.intake import entries, passages_of
from memshadow.memory.parts import Parts
from memshadow.memory.ranking import Ranking
from memshadow.memory.sessions import SessionTails
from memshadow.models.base import Embedder
from memshadow.types import Passage, Record

_PORTION = 256
Progress = Callable[[int], None]
"""Told how many more versions have their row."""


def reembed(
    parts: Parts, embedder: Embedder, *, index: MemoryIndex, ranking: Ranking | None, progress: Progress
) -> None:
    """Give every version a row of ``embedder``, then let it take over with ``index``, and ``ranking`` if one is given.

    Raises:
        StoreError: rows of this fingerprint are there with another width.
    """
    before = parts.embedder
    if embedder.fingerprint != before.fingerprint:
        _declare(parts, embedder, active=False)
        with parts.gate.closed():
            parts.upcoming = embedder
        try:
            _fill(parts, embedder, progress)
        except BaseException:
            with parts.gate.closed():
                parts.upcoming = None
            raise
    with parts.gate.closed():
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


def _fill_owner(parts: Parts, embedder: Embedder, owner: Owner, records: Sequence[Record]) -> None:
    with parts.gate.passing(), parts.locks.of(owner):
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
    """Return versions of one session as passages; one that an update replaced stands where its successor stands."""
    scope = records[0].scope
    if scope.session is None or embedder.reach == (0, 0):
        turns = [record.draft.said() for record in records]
        return [Passage(text=turn.text, speaker=turn.speaker) for turn in turns]
    session = SessionTails(parts.store).whole(scope)
    places = {record.id: place for place, record in enumerate(session)}
    turns = [record.draft.said() for record in session]
    passages = []
    for record in records:
        place = places[record.id]
        around = [*turns[:place], record.draft.said(), *turns[place + 1 :]]
        passages += passages_of(around, embedder.reach, places=[place])
    return passages
