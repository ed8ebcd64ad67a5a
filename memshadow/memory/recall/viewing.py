"""From a block and a question to a scene: which versions are scored, and how. The same for asking and for training.

What is visible bounds everything: scores, neighbours, sessions and statistics are over it. What is allowed only says
which of it may be a candidate.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.data.index.columns import UNKNOWN
from memshadow.errors import ConfigError
from memshadow.memory.ranking import Asked
from memshadow.memory.recall.lists import Met, Words, words
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
        visible = allowed if asked.visible is None else asked.visible
        said = self._cache.of(block, visible)
        passing = None if allowed is visible else allowed[said.places]
        if not (said.size if passing is None else passing.any()):
            return None
        question = question_of(asked.text, said, now=asked.as_of, event=self._event(block, said, asked.text))
        met = words(block, said, asked.terms, question.names, k1=self._k1, b=self._b)
        sample = np.arange(0, said.size, max(1, said.size // _SAMPLE))
        if said.size <= self._exact_below:
            among, lists = np.arange(said.size), met.at()
            vector = block.scores(asked.vector)[said.places]
            background = float(vector[sample].mean())
        else:
            among = self._near(block, visible, asked.vector, said, met)
            if passing is not None:
                among = np.union1d(among, self._near(block, allowed & visible, asked.vector, said, met, passing))
                passing = passing[among]
            vector = block.scores_at(asked.vector, said.places[among])
            background = float(block.scores_at(asked.vector, said.places[sample]).mean())
            lists = met.at(among)
        return self._scene(said, question, among, vector.astype(np.float64), lists, background, passing)

    def _scene(
        self,
        said: Said,
        question: Question,
        among: Int64[ndarray, " m"],
        vector: Float[ndarray, " m"],
        words: Words,
        background: float,
        passing: Bool[ndarray, " m"] | None,
    ) -> Scene:
        return Scene(
            said=said,
            question=question,
            among=among,
            scores={"vector": vector, "whole": words.whole, "bare": words.bare, "window": words.window},
            words=words,
            background=background,
            most=self._most,
            passing=passing,
        )

    def _near(
        self,
        block: Block,
        allowed: Bool[ndarray, " size"],
        vector: Float32[ndarray, " dim"],
        said: Said,
        met: Met,
        passing: Bool[ndarray, " n"] | None = None,
    ) -> Int64[ndarray, " m"]:
        """Return the best that are allowed of each list, and the turns beside them, ascending."""
        depth = self.listed
        near = said.at[block.nearest(vector, k=depth, allowed=allowed).places]
        lists = (met.words.whole, met.words.bare, met.words.window)
        found = [near, *(met.best(scores, depth, passing) for scores in lists)]
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
        if not len(met.places):
            return None
        number = int(met.words.bare.argmax())
        moment = int(said.happened[met.places[number]])
        if met.words.covered[number] <= 0.5 or moment == UNKNOWN:  # nothing here tells of that event
            return None
        return Event(moment, spoken[1])
