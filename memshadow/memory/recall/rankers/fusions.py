"""Rankers that learn nothing: fused lists. What a trained ranker has to beat, and what is left where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.memory.fusion import RRF_K
from memshadow.memory.recall.scene import LISTS, Scene


class MinMaxRanker:
    """Weighted sum of the lists, the best version of each at 1 and an unrelated one at 0."""

    name = "minmax"

    def __init__(self, *, weights: Mapping[str, float]) -> None:
        if not weights or any(name not in LISTS or not weight >= 0 for name, weight in weights.items()):
            raise ConfigError(f"weights={dict(weights)}; needed: numbers of at least 0 for some of {', '.join(LISTS)}.")
        self._weights = dict(weights)
        self.fingerprint = f"minmax:{sorted(self._weights.items())}"

    def scores(self, scene: Scene) -> Float[ndarray, " c"]:
        """Return the sums."""
        return np.asarray(sum(weight * scene.at(scene.norms[name]) for name, weight in self._weights.items()))

    def notes(self, scene: Scene) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing: a fusion is the same everywhere."""
        return ()


class ReciprocalRanker:
    """Sum over lists of 1 / (60 + rank), ranks from 1 (Cormack et al. 2009, eq. 1)."""

    name = "reciprocal"

    def __init__(self, *, lists: Sequence[str]) -> None:
        if not lists or any(name not in LISTS for name in lists):
            raise ConfigError(f"lists={list(lists)}; needed: some of {', '.join(LISTS)}.")
        self._lists = list(lists)
        self.fingerprint = f"reciprocal:{self._lists}"

    def scores(self, scene: Scene) -> Float[ndarray, " c"]:
        """Return the sums."""
        return np.asarray(sum(1 / (RRF_K + 1 + scene.at(scene.ranks[name])) for name in self._lists))

    def notes(self, scene: Scene) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing: a fusion is the same everywhere."""
        return ()
