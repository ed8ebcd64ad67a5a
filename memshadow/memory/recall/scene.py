"""What is seen of a scope when a question is asked: the versions that were scored, their scores, who is a candidate.

Everything a feature reads is here, and nothing else is: no text, no store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

from memshadow.memory.ranking import best
from memshadow.memory.recall.lists import Words
from memshadow.memory.recall.question import Question
from memshadow.memory.recall.said import Said

LISTS = ("vector", "whole", "bare", "window")
"""What a version is scored by: the dot product, and BM25 in three ways (see :class:`Words`)."""
VALUES = (*LISTS, "fused", "covered")
"""What is looked at beside a candidate and over its session: the normalised lists, their mean, the share of idf met."""
_TOP = 3
_LONG = 1_500  # values, from which on packing them to be sorted pays
_FAR = 1e6
_SMOOTHED = 0.5  # of the better neighbour's fused score


@dataclass(frozen=True, kw_only=True)
class Scene:
    """``m`` of the versions of ``said``, ascending in ``among``, were scored: all of a small scope.

    ``chosen`` are the ``c`` candidates, as numbers below m, best first. ``scores`` has each of ``LISTS``.
    """

    said: Said
    question: Question
    among: Int64[ndarray, " m"]
    scores: Mapping[str, Float[ndarray, " m"]]
    words: Words
    """Restricted to ``among``."""
    background: float
    """Mean dot product over the scope, from a sample of it."""
    most: int
    """Candidates at most."""
    passing: Bool[ndarray, " m"] | None = None
    """Which of ``among`` may be candidates; the others are context. ``None``: all of them."""
    _beside: dict[int, Float[ndarray, "values c"]] = field(default_factory=dict)
    _told: dict[int, tuple[Int64[ndarray, " c"], Bool[ndarray, " c"]]] = field(default_factory=dict)
    _tops: dict[str, Float[ndarray, " sessions"]] = field(default_factory=dict)

    @cached_property
    def norms(self) -> Mapping[str, Float[ndarray, " m"]]:
        """Return each list with its best version at 1 and an unrelated one at 0 (the vector's mean, no word met)."""
        low = {"vector": self.background}
        return {name: _brought(self.scores[name], low.get(name, 0.0)) for name in LISTS}

    @cached_property
    def fused(self) -> Float[ndarray, " m"]:
        """Return the mean of the normalised lists."""
        return np.asarray(sum(self.norms.values()) / len(LISTS))

    @cached_property
    def plain(self) -> Float[ndarray, " m"]:
        """Return the fusion that a trained ranker begins with and falls back to; nothing in it was trained.

        Vector and words; in a chat, all lists and half of the better neighbour's, since answers follow questions there.
        """
        alone = (self.norms["vector"] + self.norms["whole"]) / 2
        chat = self.said.chat
        return np.asarray(alone + chat * (self.smoothed / (1 + _SMOOTHED) - alone)) if chat else alone

    @cached_property
    def smoothed(self) -> Float[ndarray, " m"]:
        """Return ``fused`` and half of the better neighbour's."""
        before, after = self._shifted(self.fused)
        return np.asarray(self.fused + _SMOOTHED * np.maximum(before, after))

    @cached_property
    def ranks(self) -> Mapping[str, Int64[ndarray, " m"]]:
        """Return the rank of each version by each list and by ``fused`` and ``smoothed``, from 0."""
        lists = {name: self.scores[name] for name in LISTS} | {"fused": self.fused, "smoothed": self.smoothed}
        return MappingProxyType({name: ranks(values) for name, values in lists.items()})

    @cached_property
    def chosen(self) -> Int64[ndarray, " c"]:
        """Return the candidates: high by the smoothed fusion, or very high by the vector, the words or the window.

        Under a filter those who pass compete with each other alone; what is known of each stays as it is.
        """
        passing = None if self.passing is None else np.flatnonzero(self.passing)
        r = self.ranks if passing is None else {name: ranks(-found[passing]) for name, found in self.ranks.items()}
        merit = np.minimum.reduce([1.0 * r["smoothed"], 1.5 * r["whole"], 2.0 * r["vector"], 2.0 * r["window"]])
        order = best(-merit, np.arange(len(merit)), self.most)
        return order if passing is None else passing[order]

    @cached_property
    def here(self) -> Int64[ndarray, " c"]:
        """Return where the candidates stand in ``said``."""
        return np.asarray(self.among[self.chosen])

    @cached_property
    def session(self) -> Int64[ndarray, " m"]:
        """Return a number for the session of each version in ``among``, ascending from 0 without gaps."""
        if self._whole:
            return self.said.session
        session = self.said.session[self.among]
        return np.cumsum(np.diff(session, prepend=session[:1]) != 0)

    @cached_property
    def begins(self) -> Int64[ndarray, " sessions"]:
        """Return where each session begins in ``among``."""
        return self.said.begins if self._whole else np.flatnonzero(np.diff(self.session, prepend=-1))

    @cached_property
    def sizes(self) -> Int64[ndarray, " sessions"]:
        """Return how many of ``among`` each session has."""
        return self.said.sizes if self._whole else np.diff(self.begins, append=len(self.among))

    @cached_property
    def own_session(self) -> Int64[ndarray, " c"]:
        """Return the number of each candidate's session."""
        return np.asarray(self.session[self.chosen])

    def values(self, name: str) -> Float[ndarray, " m"]:
        """Return one of ``VALUES``."""
        return np.asarray(self._stack[VALUES.index(name)])

    def at(self, values: Float[ndarray, " m"]) -> Float[ndarray, " c"]:
        """Return the candidates' values."""
        return np.asarray(values[self.chosen])

    def beside(self, name: str, lag: int) -> Float[ndarray, " c"]:
        """Return one of ``VALUES`` ``lag`` turns later in the same session (earlier where negative), 0 if none."""
        if lag not in self._beside:
            at, there = self._found(lag)
            self._beside[lag] = self._stack[:, at] * there
        return np.asarray(self._beside[lag][VALUES.index(name)])

    def neighbour(self, values: ndarray, lag: int) -> Float[ndarray, " c"]:
        """Return the same of values over all of ``said``, which are known of every version, scored or not."""
        target, there = self.told(lag)
        return np.asarray(values[target] * there)

    def told(self, lag: int) -> tuple[Int64[ndarray, " c"], Bool[ndarray, " c"]]:
        """Return what stands ``lag`` turns later in ``said``, and whether that is a turn of the same session."""
        if lag not in self._told:
            target = np.minimum(np.maximum(self.here + lag, 0), self.said.size - 1)
            there = (target == self.here + lag) & (self.said.session[target] == self.said.session[self.here])
            self._told[lag] = target, there
        return self._told[lag]

    def top(self, name: str) -> Float[ndarray, " sessions"]:
        """Return the mean of the three best of a list, or of ``fused``, in each session; of all where it has fewer."""
        if name not in self._tops:
            ordered = self.values(name)[self._by_session(name)]
            total = np.add.reduceat(ordered, self.begins)
            many = self.sizes > _TOP  # those with more: their three first alone
            total[many] = sum(ordered[self.begins[many] + place] for place in range(_TOP))
            self._tops[name] = total / np.minimum(self.sizes, _TOP)
        return self._tops[name]

    def _by_session(self, name: str) -> Int64[ndarray, " m"]:
        """Return the order by session, and inside one from the best of a list (or of ``fused``) to the worst."""
        best = np.empty(len(self.among), dtype=np.int64)
        best[self.ranks[name]] = np.arange(len(best))
        session = self.session[best]
        few = len(self.begins) <= np.iinfo(np.uint16).max  # numbers of 16 bits are sorted many times faster
        return np.asarray(best[np.argsort(session.astype(np.uint16) if few else session, kind="stable")])

    @property
    def _whole(self) -> bool:
        return len(self.among) == self.said.size

    @cached_property
    def _stack(self) -> Float[ndarray, "values m"]:
        return np.stack([*(self.norms[name] for name in LISTS), self.fused, self.words.covered])

    def _found(self, lag: int) -> tuple[Int64[ndarray, " c"], Bool[ndarray, " c"]]:
        target, last = self.here + lag, len(self.among) - 1
        at = target if self._whole else np.searchsorted(self.among, target)
        at = np.minimum(np.maximum(at, 0), last)
        return at, (self.among[at] == target) & (self.session[at] == self.own_session)

    def _shifted(self, values: Float[ndarray, " m"]) -> tuple[ndarray, ndarray]:
        """Return the values of the turn before and of the turn after, 0 where there is none."""
        touching = self.said.follows[self.among[1:]]
        if not self._whole:
            touching = touching & (self.among[1:] - self.among[:-1] == 1)
        before, after = np.zeros_like(values), np.zeros_like(values)
        before[1:] = values[:-1] * touching
        after[:-1] = values[1:] * touching
        return before, after


def ranks(values: Float[ndarray, " n"]) -> Int64[ndarray, " n"]:
    """Return the rank of each value, best 0; equal ones in their order."""
    found = np.empty(len(values), dtype=np.int64)
    found[_packed_order(values) if len(values) > _LONG else np.argsort(-values, kind="stable")] = np.arange(len(values))
    return found


def _packed_order(values: Float[ndarray, " n"]) -> Int64[ndarray, " n"]:
    """Return the order from the best down, equal values in theirs, as a stable sort does, three times faster.

    What is sorted are whole numbers that hold a value's bits, without the lowest, and there the place of the value.
    Where two values differ in those bits alone the sort is done again as it is usually done.
    """
    low = (1 << len(values).bit_length()) - 1
    keys: ndarray = np.subtract(0.0, values, dtype=np.float64).view(np.int64)  # 0.0 - x: both zeros have the same bits
    keys ^= (keys >> 63) & np.iinfo(np.int64).max  # whole numbers in the order of the values
    keys &= ~low
    keys |= np.arange(len(values))
    keys.sort()
    keys &= low
    falling = values[keys]
    if not (falling[1:] <= falling[:-1]).all():  # nor where one is no number
        return np.argsort(-values, kind="stable")
    return keys


def _brought(values: Float[ndarray, " m"], low: float) -> Float[ndarray, " m"]:
    span = (float(values.max()) if len(values) else 0.0) - low
    if not 0 < span < np.inf:
        return np.zeros(len(values))
    with np.errstate(over="ignore"):  # rows as long as no embedder makes them
        return np.maximum((values - low) / span, -_FAR)
