"""What a question scores each version by: the vector, its words, its words said without names or over two turns.

Every list is over the versions of :class:`~memshadow.memory.recall.said.Said`, in their order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.data.index.base import Block
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


def words(block: Block, said: Said, terms: Sequence[str], names: frozenset[str], *, k1: float, b: float) -> Words:
    """Return all lists of words; ``names`` are terms that name a speaker.

    Where nothing but names is asked, they count.
    """
    n = said.size
    whole, bare, window, covered, matched, rarest = np.zeros((6, n))
    kept = {term for term in terms if term not in names} or set(terms)
    mass, most = 0.0, 0.0
    for term, times in Counter(terms).items():
        found = block.postings(term)
        at = said.at[found.places]
        held = at >= 0
        at, tf = at[held], found.counts[held].astype(np.float64)
        idf = _idf(n, len(at))
        score = times * idf * tf * (k1 + 1) / (tf + _norm(said.lengths[at], said.mean_length, k1, b))
        whole[at] += score
        if term not in kept:
            continue
        mass, most = mass + idf, max(most, idf)
        bare[at] += score
        covered[at] += idf
        matched[at] += 1 / len(kept)
        rarest[at] = np.maximum(rarest[at], idf)
        near, tf = _windowed(said, at, tf)
        norm = _norm(said.windows[near], said.mean_window, k1, b)
        window[near] += times * _idf(n, len(near)) * tf * (k1 + 1) / (tf + norm)
    return Words(whole, bare, window, covered / (mass or 1.0), matched, rarest / (most or 1.0))


def _windowed(said: Said, at: ndarray, tf: ndarray) -> tuple[ndarray, ndarray]:
    """Return where a term stands in a turn or in the one before it, and how often in both."""
    counts = np.zeros(said.size + 1)
    counts[at] = tf
    after = at + 1
    told = after < said.size
    told[told] = said.follows[after[told]]
    counts[after[told]] += tf[told]
    near = np.flatnonzero(counts > 0)
    return near, counts[near]


def _norm(lengths: Float[ndarray, " found"], mean: float, k1: float, b: float) -> Float[ndarray, " found"]:
    return np.asarray(k1 * (1 - b + b * lengths / (mean or 1.0)))


def _idf(documents: int, having: int) -> float:
    return math.log(1 + (documents - having + 0.5) / (having + 0.5))
