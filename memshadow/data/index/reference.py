"""The index that defines right answers: no cache, no files. It reads the store at every call, and loops."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from memshadow.data.index.base import (
    Applied,
    Block,
    Entry,
    Nearest,
    Postings,
    Reader,
    session_hash,
    text_hash,
    voice_hash,
)
from memshadow.data.index.columns import CURRENT, UNKNOWN, microseconds
from memshadow.data.store.base import Filter, MemoryStore, Owner
from memshadow.data.store.selection import passes
from memshadow.types import Scope


class ReferenceBlock:
    """All versions of one owner, as the store gave them."""

    def __init__(self, entries: list[Entry], dim: int) -> None:
        self._entries = entries
        records = [entry.record for entry in entries]
        self._matrix = np.array([entry.vector for entry in entries], dtype=np.float32).reshape(len(entries), dim)
        self.seqs = _read_only(np.array([r.seq for r in records], dtype=np.int64))
        self.ended = _read_only(
            np.array([microseconds(r.ended_at) if r.ended_at else CURRENT for r in records], dtype=np.int64)
        )
        happened = [r.draft.happened_at for r in records]
        self.happened = _read_only(np.array([microseconds(t) if t else UNKNOWN for t in happened], dtype=np.int64))
        self.turns = _read_only(np.array([r.turn for r in records], dtype=np.int64))
        self.sessions = _read_only(np.array([session_hash(r.scope.session) for r in records], dtype=np.uint64))
        voices = [voice_hash(r.draft.speaker or r.draft.role) for r in records]
        self.voices = _read_only(np.array(voices, dtype=np.uint64))
        self.speakers = _read_only(np.array([text_hash(r.draft.speaker) for r in records], dtype=np.uint64))
        self.forms = _read_only(np.array([e.form for e in entries], dtype=np.uint64))
        self.digests = _read_only(np.array([r.digest % 2**64 for r in records], dtype=np.uint64))
        self.lengths = _read_only(np.array([len(e.terms) for e in entries], dtype=np.int64))

    @property
    def size(self) -> int:
        """Return the number of versions."""
        return len(self._entries)

    def allowed(self, scope: Scope, given: Filter) -> Bool[ndarray, " size"] | None:
        """Return which versions pass, asked one by one."""
        if given.tags or given.keys or given.metadata:
            return None
        return np.array([scope.covers(e.record.scope) and passes(e.record, given) for e in self._entries], dtype=bool)

    def scores(self, query: Float32[ndarray, " dim"]) -> Float32[ndarray, " size"]:
        """Return the dot products."""
        scores: ndarray = self._matrix @ query
        return scores

    def scores_at(self, query: Float32[ndarray, " dim"], places: Int64[ndarray, " n"]) -> Float32[ndarray, " n"]:
        """Return some of all dot products."""
        scores: ndarray = self.scores(query)[places]
        return scores

    def rows(self, places: Int64[ndarray, " n"]) -> Float32[ndarray, "n dim"]:
        """Return some of the rows."""
        rows: ndarray = self._matrix[places]
        return rows

    def nearest(self, query: Float32[ndarray, " dim"], *, k: int, allowed: Bool[ndarray, " size"] | None) -> Nearest:
        """Return the first ``k`` of all allowed places, sorted."""
        scores = self.scores(query)
        places = [i for i in range(self.size) if allowed is None or allowed[i]]
        kept = np.array(sorted(places, key=lambda i: (-scores[i], i))[: max(k, 0)], dtype=np.int64)
        return Nearest(kept, scores[kept])

    def postings(self, term: str) -> Postings:
        """Return where a term stands, by looking everywhere."""
        counts = np.array([list(entry.terms).count(term) for entry in self._entries], dtype=np.int64)
        places = np.flatnonzero(counts)
        return Postings(places, counts[places])


class ReferenceIndex:
    """Reads the store at every call."""

    report: tuple[str, ...] = ()

    def check(self, dim: int) -> None:
        """Take rows of any width."""

    def attach(self, store: MemoryStore, *, fingerprint: str, dim: int, read: Reader) -> None:
        """Note what to read."""
        self._store, self._fingerprint, self._dim, self._read = store, fingerprint, dim, read

    def block(self, owner: Owner) -> Block:
        """Return what the store has now."""
        return ReferenceBlock(self._read(self._store.stored(owner, self._fingerprint)), self._dim)

    def apply(self, owner: Owner, applied: Applied) -> None:
        """Do nothing: the store is read at every call."""

    def drop(self, owner: Owner) -> None:
        """Do nothing: there is nothing to forget."""

    def save(self) -> None:
        """Do nothing: there are no files."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


def _read_only(array: ndarray) -> ndarray:
    array.setflags(write=False)
    return array
