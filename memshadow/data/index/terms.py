"""Which versions hold which term, and how often. Knows places and terms; nothing of vectors, weights or files.

The older part is three flat arrays sorted by the terms' hashes; what came since lies in lists beside it. Lists only
grow, so a reader that knows how many versions it may see needs no lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from memshadow.data.index.base import Postings, text_hash

_NONE = Postings(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class Triples(NamedTuple):
    """(term, place, count) of everything, sorted by term, then place."""

    hashes: ndarray
    places: ndarray
    counts: ndarray


class Table(NamedTuple):
    """Postings at rest: those of ``hashes[i]`` (ascending) stand at ``starts[i] : starts[i + 1]``."""

    hashes: ndarray
    starts: ndarray
    places: ndarray
    counts: ndarray

    @classmethod
    def of(cls, triples: Triples) -> Table:
        """Return the table of sorted triples."""
        hashes, firsts = np.unique(triples.hashes, return_index=True)
        starts = np.append(firsts, len(triples.hashes)).astype(np.int64)
        return cls(hashes, starts, triples.places, triples.counts)

    def triples(self) -> Triples:
        """Return what ``of`` took, at full width (files keep small numbers in few bytes)."""
        hashes = np.repeat(self.hashes, self.starts[1:] - self.starts[:-1])
        return Triples(hashes, self.places.astype(np.int64), self.counts.astype(np.int64))

    def find(self, term: int) -> Postings | None:
        """Return the postings of a term's hash; ``None``: it does not occur."""
        i = int(self.hashes.searchsorted(np.uint64(term)))
        if i == len(self.hashes) or self.hashes[i] != term:
            return None
        here = slice(int(self.starts[i]), int(self.starts[i + 1]))
        return Postings(self.places[here].astype(np.int64), self.counts[here].astype(np.int64))


class Terms:
    """The terms of one owner's versions, the first ``size`` places.

    One writer at a time calls ``append``; readers call ``find`` whenever they like.
    """

    def __init__(self, table: Table, size: int) -> None:
        self._table, self._table_size, self.size = table, size, size
        self._new: dict[int, tuple[list[int], list[int]]] = {}

    @classmethod
    def of(cls, documents: Sequence[Sequence[str]]) -> Terms:
        """Count the terms of some texts, one a place."""
        return cls(Table.of(_triples(documents)), len(documents))

    def append(self, documents: Sequence[Sequence[str]]) -> Terms:
        """Take up more texts; return what holds them all (this one, or a new one where the lists had grown long)."""
        if self.size + len(documents) > self._table_size + self._table_size // 8 + 256:
            more = _triples(documents)
            moved = more._replace(places=more.places + self.size)
            return Terms(Table.of(_merged(self.triples(), moved)), self.size + len(documents))
        for place, document in enumerate(documents, start=self.size):
            for term, count in Counter(document).items():
                places, counts = self._new.setdefault(text_hash(term), ([], []))
                counts.append(count)  # before its place: a reader counts the places
                places.append(place)
        self.size += len(documents)
        return self

    def find(self, term: str, size: int) -> Postings:
        """Return where a term stands among the first ``size`` places, ascending."""
        code = text_hash(term)
        old = self._table.find(code)
        new = self._new.get(code)
        if new is None:
            return old or _NONE
        places, counts = np.array(new[0], dtype=np.int64), np.array(new[1], dtype=np.int64)
        seen = int(places.searchsorted(size))
        places, counts = places[:seen], counts[:seen]
        if old is None:
            return Postings(places, counts)
        return Postings(np.concatenate((old.places, places)), np.concatenate((old.counts, counts)))

    def triples(self) -> Triples:
        """Return everything, sorted."""
        if not self._new:
            return self._table.triples()
        hashes = np.repeat(
            np.fromiter(self._new, dtype=np.uint64, count=len(self._new)), [len(p) for p, _ in self._new.values()]
        )
        places = np.fromiter(chain.from_iterable(p for p, _ in self._new.values()), dtype=np.int64)
        counts = np.fromiter(chain.from_iterable(c for _, c in self._new.values()), dtype=np.int64)
        return _merged(self._table.triples(), Triples(hashes, places, counts))

    def folded(self) -> Terms:
        """Return the same with nothing in lists."""
        return Terms(Table.of(self.triples()), self.size) if self._new else self

    def taken(self, places: ndarray) -> Terms:
        """Return the terms of some places (ascending) alone, numbered anew."""
        number = np.full(self.size, -1, dtype=np.int64)
        number[places] = np.arange(len(places))
        hashes, old, counts = self.triples()
        new = number[old]
        kept = new >= 0
        return Terms(Table.of(Triples(hashes[kept], new[kept], counts[kept])), len(places))

    @property
    def table(self) -> Table:
        """Return the older part; all there is after ``folded``."""
        return self._table

    @property
    def size_bytes(self) -> int:
        """Return about what it takes in memory."""
        waiting = self.size - self._table_size
        return sum(array.nbytes for array in self._table) + 96 * len(self._new) + 16 * 24 * waiting


def _triples(documents: Sequence[Sequence[str]]) -> Triples:
    """Return (hash, place, count) of some texts, sorted by hash, then place."""
    lengths = np.fromiter(map(len, documents), dtype=np.int64, count=len(documents))
    total = int(lengths.sum())
    hashes = np.fromiter(map(text_hash, chain.from_iterable(documents)), dtype=np.uint64, count=total)
    places = np.repeat(np.arange(len(documents)), lengths)
    order = hashes.argsort(kind="stable")  # places ascend already
    hashes, places = hashes[order], places[order]
    first = np.ones(total, dtype=bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (places[1:] != places[:-1])
    starts = np.flatnonzero(first)
    return Triples(hashes[starts], places[starts], np.diff(starts, append=total))


def _merged(old: Triples, new: Triples) -> Triples:
    """Return both, sorted by term, then place; every place of ``new`` lies behind those of ``old``."""
    both = Triples(*(np.concatenate(pair) for pair in zip(old, new, strict=True)))
    order = both.hashes.argsort(kind="stable")
    return Triples(*(array[order] for array in both))
