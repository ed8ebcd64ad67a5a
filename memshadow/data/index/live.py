"""One owner's block while it is written to: arrays with room at the end. Knows entries; nothing of stores or files.

One writer at a time (``lock``); readers take ``block``, a snapshot, and need no lock: rows are only ever appended
behind what a snapshot sees, and whatever else changes is copied first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.data.index.base import Applied, Entry
from memshadow.data.index.columns import DTYPES, Columns, ended_at
from memshadow.data.index.snapshot import ExactBlock, FirstStage, Patches
from memshadow.data.index.terms import Terms
from memshadow.data.store.base import Owner
from memshadow.types import Record

_OVERHEAD = 4_000  # bytes of objects beside the arrays
_PATCHES = 8  # more patches than this and than 1/8 of the rows are written into a new matrix


class Content:
    """What a block is made of: at rest in a file, or as the store gave it."""

    __slots__ = ("columns", "matrix", "terms")

    def __init__(self, columns: Columns, matrix: Float32[ndarray, "n dim"], terms: Terms) -> None:
        self.columns, self.matrix, self.terms = columns, matrix, terms

    @classmethod
    def of(cls, entries: Sequence[Entry], *, dim: int, half: bool) -> Content:
        """Return what some versions, ascending by seq, come to."""
        return cls(Columns.of(entries), stacked(entries, dim=dim, half=half), Terms.of([e.terms for e in entries]))


class Live:
    """An owner's block in memory; ``seq`` is the last write that it holds. ``block`` is ``None`` until ``begin``.

    ``changes`` counts what was done to it, ``saved`` is that count in the files, ``used`` when it was last asked for,
    ``counted`` the bytes that its owner reckons with; ``gone`` says that the index has let go of it.
    """

    __slots__ = (
        "_columns",
        "_matrix",
        "_patched",
        "_size",
        "_terms",
        "block",
        "changes",
        "counted",
        "first",
        "gone",
        "half",
        "lock",
        "owner",
        "saved",
        "seq",
        "used",
    )

    def __init__(self, owner: Owner, *, half: bool, first: FirstStage | None = None) -> None:
        self.owner, self.half, self.first, self.lock = owner, half, first, RLock()
        self.block: ExactBlock | None = None
        self.seq = self.changes = self.saved = self.used = self.counted = 0
        self.gone = False

    @property
    def dirty(self) -> bool:
        """Return whether the files lack something of it."""
        return self.changes != self.saved

    @property
    def size_bytes(self) -> int:
        """Return about what it takes in memory."""
        if self.block is None:
            return 0
        return self._columns.size_bytes + self._matrix.nbytes + self._terms.size_bytes + _OVERHEAD

    def begin(self, content: Content, seq: int) -> None:
        """Take up what a file or the store holds."""
        self._columns, self._matrix, self._terms = content.columns, content.matrix, content.terms
        self._size, self.seq = len(content.columns.seqs), seq
        self._patched: dict[int, ndarray] = {}
        self._show()

    def shown(self) -> ExactBlock:
        """Return the snapshot of what there is now."""
        return self.block or self._show()

    def fold(self) -> ExactBlock:
        """Bring terms and patches into their final form, as files hold them; return the snapshot that does."""
        self._terms = self._terms.folded()
        self._write_patches()
        return self._show()

    def apply(self, applied: Applied) -> bool:
        """Take up a write. ``False``: it cannot be told from here what it did, the store must be read again."""
        if applied.seq <= self.seq:
            return True
        if not (self._insert(applied.inserted) and self._revector(applied.revectored)):
            return False
        self._end(applied.ended)
        self._erase(applied.erased)
        self.seq = applied.seq
        self.changes += 1
        self._show()
        return True

    def _show(self) -> ExactBlock:
        columns = self._columns.taken(slice(0, self._size))
        patches = None
        if self._patched:
            places = sorted(self._patched)
            patches = Patches(np.array(places), np.stack([self._patched[place] for place in places]))
        self.block = ExactBlock(self.owner, columns, self._matrix[: self._size], patches, self._terms, self.first)
        return self.block

    def _insert(self, entries: Sequence[Entry]) -> bool:
        last = int(self._columns.seqs[self._size - 1]) if self._size else -1
        new = [entry for entry in entries if entry.record.seq > last]
        if len(new) < len(entries) and any(self._place(e.record.seq) is None for e in entries if e.record.seq <= last):
            return False
        if new:
            self._append(sorted(new, key=lambda entry: entry.record.seq))
        return True

    def _append(self, new: Sequence[Entry]) -> None:
        first, self._size = self._size, self._size + len(new)
        self._make_room(self._size)
        for column, values in zip(self._columns, Columns.of(new), strict=True):
            column[first : self._size] = values
        self._matrix[first : self._size] = stacked(new, dim=self._matrix.shape[1], half=self.half)
        self._terms = self._terms.append([entry.terms for entry in new])

    def _make_room(self, size: int) -> None:
        if size <= len(self._columns.seqs):
            return
        capacity = max(size, 8, size + size // 2)
        self._columns = Columns(
            *(_grown(column, capacity, kind) for column, kind in zip(self._columns, DTYPES, strict=True))
        )
        self._matrix = _grown(self._matrix, capacity, np.dtype(np.float32))

    def _end(self, records: Sequence[Record]) -> None:
        known = [(place, ended_at(r)) for r in records if (place := self._place(r.seq)) is not None]
        if known:
            ended = self._columns.ended.copy()
            for place, moment in known:
                ended[place] = moment
            self._columns = self._columns._replace(ended=ended)

    def _revector(self, rows: Mapping[int, ndarray]) -> bool:
        for seq, row in rows.items():
            place = self._place(seq)
            if place is None:
                return False
            self._patched[place] = rounded(np.array(row, dtype=np.float32), half=self.half)
        if len(self._patched) > _PATCHES + self._size // 8:
            self._write_patches()
        return True

    def _write_patches(self) -> None:
        if self._patched:
            self._matrix = self._matrix.copy()
            for place, row in self._patched.items():
                self._matrix[place] = row
            self._patched = {}

    def _erase(self, seqs: Sequence[int]) -> None:
        gone = [place for seq in seqs if (place := self._place(seq)) is not None]
        if gone:
            self._write_patches()
            kept = np.delete(np.arange(self._size), gone)
            self._columns, self._matrix = self._columns.taken(kept), self._matrix[kept]
            self._terms, self._size = self._terms.taken(kept), len(kept)

    def _place(self, seq: int) -> int | None:
        seqs = self._columns.seqs[: self._size]
        place = int(seqs.searchsorted(seq))
        return place if place < self._size and seqs[place] == seq else None


def stacked(entries: Sequence[Entry], *, dim: int, half: bool) -> Float32[ndarray, "n dim"]:
    """Return the vectors as one matrix; rounded to 16 bits where files keep no more: reopening changes nothing."""
    matrix = np.array([entry.vector for entry in entries], dtype=np.float32).reshape(len(entries), dim)
    return rounded(matrix, half=half)


def rounded(rows: ndarray, *, half: bool) -> ndarray:
    """Return the rows as files of 16 bits would give them back."""
    return rows.astype(np.float16).astype(np.float32) if half else rows


def _grown(array: ndarray, capacity: int, dtype: np.dtype) -> ndarray:
    grown = np.empty((capacity, *array.shape[1:]), dtype=dtype)
    grown[: len(array)] = array
    return grown
