"""From drafts to the changes of one durable write: what is new, what it ends, whose vectors move. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.data.index.base import Applied, Entry
from memshadow.data.store.base import Change, End, Erase, Insert, Owner, Revector, Row, Stored
from memshadow.models.base import Embedder
from memshadow.models.form import form
from memshadow.models.lexical import terms
from memshadow.types import Passage, Record, Turn


def entry(record: Record, vector: Float32[ndarray, " dim"]) -> Entry:
    """Return a version as an index takes it up."""
    draft = record.draft
    return Entry(
        record=record,
        vector=vector,
        terms=terms(draft.said().rendered()),
        form=form(draft.text, image=bool(draft.image_caption)),
    )


def entries(stored: Sequence[Stored]) -> list[Entry]:
    """Return what an index takes up of what a store holds."""
    return [entry(one.record, one.vector) for one in stored]


def passages_of(turns: Sequence[Turn], reach: tuple[int, int], *, places: Sequence[int]) -> list[Passage]:
    """Return the turns at ``places`` of one session, each with its neighbours within ``reach``."""
    before, after = reach
    return [
        Passage(
            text=turns[i].text,
            speaker=turns[i].speaker,
            before=tuple(turns[max(0, i - before) : i]),
            after=tuple(turns[i + 1 : i + 1 + after]),
        )
        for i in places
    ]


def alone(records: Sequence[Record]) -> list[Passage]:
    """Return versions as passages without neighbours: those that an update replaced, and those of no session.

    Its successor stands in a replaced version's place; and a neighbour that is forgotten must leave no trace in it.
    """
    turns = [record.draft.said() for record in records]
    return passages_of(turns, (0, 0), places=range(len(turns)))


def touched(places: Sequence[int], reach: tuple[int, int], *, size: int) -> list[int]:
    """Return the other places of a session whose rows depend on what stands at ``places``, ascending."""
    before, after = reach
    near = {j for i in places for j in range(i - after, i + before + 1) if 0 <= j < size}
    return sorted(near - set(places))


@dataclass(slots=True)
class Plan:
    """The changes of one write for one owner, and what the index is told once they have their numbers."""

    owner: Owner
    embedders: Sequence[Embedder]
    """The active one first."""
    changes: list[Change] = field(default_factory=list)
    _inserted: list[tuple[int, Record, ndarray]] = field(default_factory=list)
    _ended: list[tuple[int, Record]] = field(default_factory=list)
    _moved: dict[int, ndarray] = field(default_factory=dict)
    _erased: list[int] = field(default_factory=list)

    def insert(self, record: Record, vectors: Sequence[Float32[ndarray, " dim"]]) -> None:
        """Add a new version with a vector of each embedder."""
        self._inserted.append((len(self.changes), record, vectors[0]))
        self.changes.append(Insert(record=record, rows=self._rows(vectors)))

    def insert_ended(self, record: Record, *, at: datetime, superseded_by: str) -> None:
        """Let a version of this plan come as ended: a later one of the same call takes its place."""
        for i, (place, planned, vector) in enumerate(self._inserted):
            if planned.id == record.id:
                ended = replace(planned, ended_at=at, ended_by="supersede", superseded_by=superseded_by)
                self._inserted[i] = (place, ended, vector)
                insert = self.changes[place]
                assert isinstance(insert, Insert)  # noqa: S101 - inserted here a moment ago
                self.changes[place] = replace(insert, record=ended)

    def end(self, old: Record, *, at: datetime, by: str, superseded_by: str | None = None) -> None:
        """End a version; ``by`` is ``update`` or ``supersede``."""
        kind = "update" if by == "update" else "supersede"
        ended = replace(old, ended_at=at, ended_by=kind, superseded_by=superseded_by)  # type: ignore[arg-type]
        self._ended.append((len(self.changes), ended))
        self.changes.append(
            End(owner=self.owner, seq=old.seq, at=at, by=kind, superseded_by=superseded_by)  # type: ignore[arg-type]
        )

    def move(self, record: Record, vectors: Sequence[Float32[ndarray, " dim"]]) -> None:
        """Replace the vectors of a version whose neighbours changed."""
        self._moved[record.seq] = vectors[0]
        self.changes += [Revector(owner=self.owner, seq=record.seq, row=row) for row in self._rows(vectors)]

    def erase(self, memory_id: str, versions: Sequence[Record]) -> None:
        """Forget a memory wholly."""
        self._erased += [version.seq for version in versions]
        self.changes.append(Erase(owner=self.owner, id=memory_id))

    def applied(self, last_seq: int) -> tuple[Applied, list[Record]]:
        """Return what the index is told after the write that ended at ``last_seq``, and the versions it made."""
        first = last_seq - len(self.changes) + 1
        made = [replace(record, seq=first + place) for place, record, _ in self._inserted]
        vectors = [vector for _, _, vector in self._inserted]
        return Applied(
            seq=last_seq,
            inserted=[entry(record, vector) for record, vector in zip(made, vectors, strict=True)],
            ended=[replace(record, ended_seq=first + place) for place, record in self._ended],
            revectored=self._moved,
            erased=self._erased,
        ), made

    def _rows(self, vectors: Sequence[ndarray]) -> tuple[Row, ...]:
        return tuple(
            Row(fingerprint=embedder.fingerprint, vector=np.asarray(vector, dtype=np.float32))
            for embedder, vector in zip(self.embedders, vectors, strict=True)
        )


def embedded(embedders: Sequence[Embedder], passages: Sequence[Passage]) -> list[list[ndarray]]:
    """Return, for each passage, one row of each embedder."""
    rows = [embedder.embed_passages(passages) for embedder in embedders]
    return [[part[i] for part in rows] for i in range(len(passages))]
