"""A second look at the few best: a cross-encoder reads question and memory together. Knows no block and no store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from memshadow.errors import ConfigError, MissingExtraError
from memshadow.memory.ranking import Asked, Reading
from memshadow.memory.recall.scene import Scene
from memshadow.models.crossing import CrossEncoder

_LOG = logging.getLogger("memshadow.memory")


class Looked(NamedTuple):
    """New scores of all candidates, what the second look saw of each (NaN: not looked at), and notes for the user."""

    scores: Float[ndarray, " c"]
    seen: Float[ndarray, " c"]
    notes: tuple[str, ...] = ()


@runtime_checkable
class SecondLook(Protocol):
    """Orders the best candidates again; the others stay behind them, in their order."""

    def look(self, scene: Scene, asked: Asked, scores: Float[ndarray, " c"]) -> Looked:
        """Return new scores; the old ones, with a note, where it cannot look."""
        ...


class CrossEncoderLook:
    """Adds what a cross-encoder thinks of the ``k`` best to what the ranker thinks, both over those k.

    Args:
        make: makes the cross-encoder (a ``_partial_`` in YAML) at the first question; where the package for it is not
            installed, the ranker's order stays, and a note and the log say why. What is set wrongly is an error.
        k: how many candidates are read: each costs a run of the model.
        weight: of the cross-encoder's share, from 0 (it changes nothing) to 1 (it alone decides).
        before: whether the turn that a candidate follows is read with it.
    """

    def __init__(self, *, make: Callable[[], CrossEncoder], k: int, weight: float, before: bool) -> None:
        if k < 2 or not 0 <= weight <= 1:
            raise ConfigError(f"k={k}, weight={weight}; needed: 2 candidates or more, and a weight in [0, 1].")
        self._make, self._k, self._weight, self._before = make, k, weight, before
        self._encoder: CrossEncoder | None = None
        self._missing = ""
        self._opening = Lock()

    def look(self, scene: Scene, asked: Asked, scores: Float[ndarray, " c"]) -> Looked:
        """Return the scores with those of the k best mixed."""
        seen = np.full(len(scores), np.nan)
        if len(scores) < 2:  # nothing to order
            return Looked(scores, seen)
        if asked.read is None:
            return Looked(scores, seen, ("no cross-encoder took a second look: texts cannot be had here",))
        encoder = self._opened()
        if encoder is None:
            return Looked(scores, seen, (self._missing,))
        first = np.argsort(-scores, kind="stable")[: self._k]
        seen[first] = encoder.scores(asked.text, self._texts(scene, asked.read, first))
        mixed = (1 - self._weight) * _standard(scores[first]) + self._weight * _standard(seen[first])
        looked = scores.copy()
        looked[first] = scores.max() + 1 + mixed - mixed.min()  # above all that was not looked at
        return Looked(looked, seen)

    def _texts(self, scene: Scene, read: Reading, first: Int64[ndarray, " k"]) -> list[str]:
        said, here = scene.said, scene.here[first]
        texts = read(said.places[here])
        if not self._before:
            return list(texts)
        follows = said.follows[here]
        heads = iter(read(said.places[here[follows] - 1]))
        return [f"{next(heads)}\n{text}" if after else text for text, after in zip(texts, follows, strict=True)]

    def _opened(self) -> CrossEncoder | None:
        with self._opening:
            if self._encoder is None and not self._missing:
                try:
                    self._encoder = self._make()
                except MissingExtraError as error:
                    self._missing = f"no cross-encoder took a second look: {error}"
                    _LOG.warning("%s", self._missing)
            return self._encoder


def _standard(values: Float[ndarray, " k"]) -> Float[ndarray, " k"]:
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros(len(values))
