"""From a block and a question to a scene: which versions are scored, and how. The same for asking and for training."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.data.index.columns import UNKNOWN
from memshadow.errors import ConfigError
from memshadow.memory.ranking import Asked, best
from memshadow.memory.recall.lists import Words, words
from memshadow.memory.recall.question import Event, Question, question_of
from memshadow.memory.recall.said import Said, SaidCache
from memshadow.memory.recall.scene import Scene
from memshadow.memory.recall.when import clause
from memshadow.models.lexical import terms

_REACH = 4  # turns to either side whose scores a feature may ask for
_SAMPLE = 512  # versions that the mean of the vector's scores is taken over


class Viewer:
    """Makes scenes.

    Args:
        k1: of BM25.
        b: of BM25.
        candidates: at most; these are what a ranker orders.
        exact_below: up to so many versions all are scored by every list; beyond, the ``listed`` best of each list and
            the turns beside them.
        listed: see there.
    """

    def __init__(self, *, k1: float, b: float, candidates: int, exact_below: int, listed: int) -> None:
        if candidates < 1 or listed < candidates:
            raise ConfigError(f"candidates={candidates}, listed={listed}; needed: 1 or more, and listed not below it.")
        if not (0 <= k1 < math.inf and 0 <= b <= 1 and exact_below >= 0):
            raise ConfigError(f"k1={k1}, b={b}, exact_below={exact_below}; needed: at least 0, 0 to 1, and at least 0.")
        self._k1, self._b, self._most, self._exact_below, self.listed = k1, b, candidates, exact_below, listed
        self._cache = SaidCache()

    def see(self, block: Block, allowed: Bool[ndarray, " size"], asked: Asked) -> Scene | None:
        """Return what is seen; ``None`` where nothing is allowed."""
        said = self._cache.of(block, allowed)
        if not said.size:
            return None
        question = question_of(asked.text, said, now=asked.as_of, event=self._event(block, said, asked.text))
        met = words(block, said, asked.terms, question.names, k1=self._k1, b=self._b)
        sample = np.arange(0, said.size, max(1, said.size // _SAMPLE))
        if said.size <= self._exact_below:
            among = np.arange(said.size)
            vector = block.scores(asked.vector)[said.places]
            background = float(vector[sample].mean())
        else:
            among = self._near(block, allowed, asked, said, met)
            vector = block.scores_at(asked.vector, said.places[among])
            background = float(block.scores_at(asked.vector, said.places[sample]).mean())
            met = Words(*(part[among] for part in met))
        return self._scene(said, question, among, vector.astype(np.float64), met, background)

    def _scene(
        self,
        said: Said,
        question: Question,
        among: Int64[ndarray, " m"],
        vector: Float[ndarray, " m"],
        met: Words,
        background: float,
    ) -> Scene:
        scores = {"vector": vector, "whole": met.whole, "bare": met.bare, "window": met.window}
        return Scene(
            said=said, question=question, among=among, scores=scores, words=met, background=background, most=self._most
        )

    def _near(
        self, block: Block, allowed: Bool[ndarray, " size"], asked: Asked, said: Said, met: Words
    ) -> Int64[ndarray, " m"]:
        """Return the best of each list and the turns beside them, ascending."""
        depth = self.listed
        near = said.at[block.nearest(asked.vector, k=depth, allowed=allowed).places]
        found = [near, *(_best(part, depth) for part in (met.whole, met.bare, met.window))]
        around = np.concatenate(found)[:, None] + np.arange(-_REACH, _REACH + 1)
        seen = np.zeros(said.size, dtype=bool)
        seen[around[(around >= 0) & (around < said.size)]] = True
        return np.flatnonzero(seen)

    def _event(self, block: Block, said: Said, text: str) -> Event | None:
        """Return when the event happened that a question dates itself by: as the turn does that says its words best."""
        spoken = clause(text)
        if spoken is None or said.last == UNKNOWN:
            return None
        named = question_of(spoken[0], said).names
        met = words(block, said, terms(spoken[0]), named, k1=self._k1, b=self._b)
        place = int(met.bare.argmax())
        moment = int(said.happened[place])
        if met.covered[place] <= 0.5 or moment == UNKNOWN:  # nothing here tells of that event
            return None
        return Event(moment, spoken[1])


def _best(scores: Float[ndarray, " n"], k: int) -> Int64[ndarray, " k"]:
    """Return where the ``k`` best stand, equal ones in their order; no score is below 0, and most are 0."""
    met = np.flatnonzero(scores > 0)
    if len(met) >= k:
        return best(scores, met, k)
    return np.concatenate([met, np.flatnonzero(scores[:k] == 0)[: k - len(met)]])
