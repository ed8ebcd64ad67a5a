"""From an owner's block and a question to the best places in it. Takes rows and terms; knows no store and no text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.errors import ConfigError
from memshadow.memory.fusion import min_max, reciprocal_rank
from memshadow.models.lexical import TermStatistics

Allowed = Bool[ndarray, " size"]
Reading = Callable[[Int64[ndarray, " n"]], Sequence[str]]
"""Gives what was said at some places of a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it is compared: its row, its stemmed terms, repeats and all, and how often they are said."""

    vector: Float32[ndarray, " dim"]
    terms: Sequence[str]
    statistics: TermStatistics
    """Of what is visible, see :func:`statistics_of`."""
    text: str = ""
    """As it was asked."""
    as_of: datetime | None = None
    """The moment that is asked about; ``None``: now."""
    read: Reading | None = None
    """Gives what was said at some places, for a ranking that reads; ``None``: texts cannot be had."""
    visible: Allowed | None = None
    """What may be looked at beside a hit: its neighbours, its session, how often a term is said. It covers what may be
    returned, and is that alone where ``None``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Places of a block, best first, with scores.

    ``parts`` are the raw scores of each part for all that was ranked, NaN where a part did not look; hit i stands there
    at ``among[i]``. ``notes`` say what a user should know of the order: a stage that was left out, and why.
    """

    places: Int64[ndarray, " k"]
    scores: Float[ndarray, " k"]
    parts: Mapping[str, Float[ndarray, " n"]]
    among: Int64[ndarray, " k"]
    notes: tuple[str, ...] = ()


@runtime_checkable
class Ranking(Protocol):
    """Orders the allowed versions of a block. Equal scores keep the order of adding; no version gives none.

    What is visible but not allowed may change the order, and is never a hit.
    """

    def rank(self, block: Block, allowed: Allowed, asked: Asked, *, k: int) -> Ranked:
        """Return the ``k`` best allowed places, fewer where there are fewer."""
        ...


class VectorRanking:
    """By the dot product alone: for an embedder whose one vector holds meaning and words."""

    def rank(self, block: Block, allowed: Allowed, asked: Asked, *, k: int) -> Ranked:
        """Return the nearest rows."""
        found = block.nearest(asked.vector, k=k, allowed=None if allowed.all() else allowed)
        among = np.arange(len(found.places))  # the best by this part are those that it found
        return Ranked(places=found.places, scores=found.scores, parts={"vector": found.scores}, among=among)


class HybridRanking:
    """Vector and BM25 as two lists, fused.

    Args:
        method: ``minmax`` (weighted sum, each part brought to [0, 1] over what is ranked) or ``rrf``.
        vector_weight: of the vector part under ``minmax``, in [0, 1]; the rest is BM25's.
        k1: of BM25.
        b: of BM25.
        exact_below: up to this many allowed versions every one is fused; beyond, only the ``candidates`` best of either
            part are, and min and max are taken over them.
        candidates: a part.
    """

    def __init__(
        self, *, method: str, vector_weight: float, k1: float, b: float, exact_below: int, candidates: int
    ) -> None:
        if method not in ("rrf", "minmax"):
            raise ConfigError(f"method={method!r}; choose rrf or minmax")
        if not 0 <= vector_weight <= 1 or candidates < 1:
            raise ConfigError(
                f"vector_weight={vector_weight}, candidates={candidates}; needed: a share in [0, 1], and at least 1"
            )
        self._method, self._weight, self._k1, self._b = method, vector_weight, k1, b
        self._exact_below, self._candidates = exact_below, candidates

    def rank(self, block: Block, allowed: Allowed, asked: Asked, *, k: int) -> Ranked:
        """Return the best by both."""
        words = bm25(block, asked.terms, asked.statistics, k1=self._k1, b=self._b)
        places = np.flatnonzero(allowed)
        if len(places) > self._exact_below:
            depth = max(self._candidates, k)
            near = block.nearest(asked.vector, k=depth, allowed=allowed).places
            places = np.union1d(near, best(words, places, depth))
            vector = block.scores_at(asked.vector, places)
        else:
            vector = block.scores(asked.vector)[places]
        parts = {"vector": vector, "words": words[places]}
        return _top(places, self._fused([vector[None], words[places][None]]), parts, k)

    def _fused(self, parts: list[Float[ndarray, "1 n"]]) -> Float[ndarray, " n"]:
        if parts[0].size == 0:
            return np.zeros(0)
        weights = [self._weight, 1 - self._weight]
        fused = reciprocal_rank(parts) if self._method == "rrf" else min_max(parts, weights)
        return np.asarray(fused[0])


def bm25(
    block: Block, terms: Sequence[str], statistics: TermStatistics, *, k1: float, b: float
) -> Float[ndarray, " size"]:
    """Return the BM25 score of every place (Robertson & Zaragoza 2009, eq. 3.15)."""
    scores = np.zeros(block.size)
    if not statistics.documents:
        return scores
    for term in dict.fromkeys(terms):
        found = block.postings(term)
        tf = found.counts.astype(np.float64)
        norm = k1 * (1 - b + b * block.lengths[found.places] / (statistics.mean_length or 1.0))
        scores[found.places] += terms.count(term) * statistics.idf(term) * tf * (k1 + 1) / (tf + norm)
    return scores


def statistics_of(block: Block, visible: Allowed, terms: Sequence[str]) -> TermStatistics:
    """Return the term statistics of the visible versions, for these terms alone."""
    documents = int(np.count_nonzero(visible))
    if not documents:
        return TermStatistics()
    frequency = {term: int(np.count_nonzero(visible[block.postings(term).places])) for term in set(terms)}
    return TermStatistics(documents, float(block.lengths[visible].mean()), frequency)


def best(scores: Float[ndarray, " size"], places: Int64[ndarray, " n"], k: int) -> Int64[ndarray, " k"]:
    """Return the ``k`` of ``places`` that score best, best first, equal ones in their order."""
    chosen = places
    if k < len(places):
        least = np.partition(scores[places], len(places) - k)[len(places) - k]
        chosen = places[scores[places] >= least]
    return chosen[np.argsort(-scores[chosen], kind="stable")][:k]


def _top(
    places: Int64[ndarray, " n"], scores: Float[ndarray, " n"], parts: Mapping[str, Float[ndarray, " n"]], k: int
) -> Ranked:
    chosen = best(scores, np.arange(len(places)), k)
    return Ranked(places=places[chosen], scores=scores[chosen], parts=parts, among=chosen)
