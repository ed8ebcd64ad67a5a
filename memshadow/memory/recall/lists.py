"""What a question scores each version by: the vector, its words, its words said without names or over two turns.

Every list is over the versions of :class:`~memshadow.memory.recall.said.Said`, in their order. Of tens of thousands,
few hold a word of the question: only those, and the turns that follow them, are worked on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.memory.ranking import best
from memshadow.memory.recall.said import Said


class Words(NamedTuple):
    """BM25 scores, and how the terms of the question are met; shares are of idf or of count, in [0, 1]."""

    whole: Float[ndarray, " n"]
    """BM25 with all terms of the question (Robertson & Zaragoza 2009, eq. 3.15)."""
    bare: Float[ndarray, " n"]
    """The same without the names of speakers, which every turn of theirs holds."""
    window: Float[ndarray, " n"]
    """The same over the turn and the one it follows."""
    covered: Float[ndarray, " n"]
    """Share of the idf of the question's terms that the turn holds."""
    matched: Float[ndarray, " n"]
    """Share of the question's different terms that the turn holds."""
    rarest: Float[ndarray, " n"]
    """Largest idf of a term that the turn holds, as a share of the largest of the question."""


@dataclass(frozen=True, slots=True)
class Met:
    """The words of a question in ``n`` versions, ``met`` of which may hold one; in the others all numbers are 0."""

    places: Int64[ndarray, " met"]
    """Ascending, among the n."""
    words: Words
    """Of these places."""
    _slot: Int64[ndarray, " n"]
    """Where each of the n stands in ``_rows``; the last column where it is not met."""
    _rows: Float[ndarray, "6 met+1"]

    def at(self, among: Int64[ndarray, " m"] | None = None) -> Words:
        """Return the words of some of the n; ``None``: of all."""
        return Words(*self._rows[:, self._slot if among is None else self._slot[among]])

    def best(
        self, scores: Float[ndarray, " met"], k: int, passing: Bool[ndarray, " n"] | None = None
    ) -> Int64[ndarray, " k"]:
        """Return the ``k`` of the n that one of ``words`` has above the others, equal ones in their order.

        ``passing`` says who is asked about; ``None``: all. The best come in no order.
        """
        met = np.flatnonzero(scores > 0 if passing is None else (scores > 0) & passing[self.places])
        if len(met) >= k:
            return np.asarray(self.places[best(scores, met, k)])
        found = self.places[met]
        first = np.arange(min(k, len(self._slot))) if passing is None else np.flatnonzero(passing)[:k]
        rest = np.setdiff1d(first, found, assume_unique=True)
        return np.concatenate([found, rest[: k - len(found)]])


class _Held(NamedTuple):
    """Where a term stands, how often, and the turns that follow such a one in its session."""

    times: int
    """In the question."""
    at: Int64[ndarray, " held"]
    tf: Float[ndarray, " held"]
    after: Int64[ndarray, " followed"]
    """None of them for a term that only names."""
    tf_before: Float[ndarray, " followed"]


def words(block: Block, said: Said, terms: Sequence[str], names: frozenset[str], *, k1: float, b: float) -> Met:
    """Return all lists of words; ``names`` are terms that name a speaker.

    Where nothing but names is asked, they count.
    """
    kept = {term for term in terms if term not in names} or set(terms)
    asked = [_held(block, said, term, times, paired=term in kept) for term, times in Counter(terms).items()]
    seen = np.zeros(said.size, dtype=bool)
    for one in asked:
        seen[one.at] = seen[one.after] = True
    places = np.flatnonzero(seen)
    slot = np.full(said.size, len(places))
    slot[places] = np.arange(len(places))
    rows = np.zeros((len(Words._fields), len(places) + 1))
    found = Words(*rows[:, :-1])  # views
    norms = _norm(said.lengths[places], said.mean_length, k1, b), _norm(said.windows[places], said.mean_window, k1, b)
    mass, most = 0.0, 0.0
    for term, one in zip(Counter(terms), asked, strict=True):
        at, idf = slot[one.at], _idf(said.size, len(one.at))
        score = one.times * idf * one.tf * (k1 + 1) / (one.tf + norms[0][at])
        found.whole[at] += score
        if term not in kept:
            continue
        mass, most = mass + idf, max(most, idf)
        found.bare[at] += score
        found.covered[at] += idf
        found.matched[at] += 1 / len(kept)
        found.rarest[at] = np.maximum(found.rarest[at], idf)
        near, tf = _windowed(at, slot[one.after], one, len(places))
        found.window[near] += one.times * _idf(said.size, len(near)) * tf * (k1 + 1) / (tf + norms[1][near])
    found.covered[:] /= mass or 1.0
    found.rarest[:] /= most or 1.0
    return Met(places, found, slot, rows)


def _held(block: Block, said: Said, term: str, times: int, *, paired: bool) -> _Held:
    found = block.postings(term)
    at = said.at[found.places]
    tf = found.counts.astype(np.float64)
    if len(at) and at.min() < 0:  # not visible
        visible = at >= 0
        at, tf = at[visible], tf[visible]
    if not paired:
        return _Held(times, at, tf, at[:0], tf[:0])
    told = said.followed[at]
    return _Held(times, at, tf, at[told] + 1, tf[told])


def _windowed(at: ndarray, after: ndarray, held: _Held, met: int) -> tuple[ndarray, ndarray]:
    """Return which of those that are met hold a term in the turn or in the one before it, and how often in both."""
    counts = np.zeros(met)
    counts[at] = held.tf
    counts[after] += held.tf_before
    near = np.flatnonzero(counts)
    return near, counts[near]


def _norm(lengths: Float[ndarray, " found"], mean: float, k1: float, b: float) -> Float[ndarray, " found"]:
    return np.asarray(k1 * (1 - b + b * lengths / (mean or 1.0)))


def _idf(documents: int, having: int) -> float:
    return math.log(1 + (documents - having + 0.5) / (having + 0.5))
