"""Who says a candidate, beside whom the question names. Where it names nobody, or two, there is nothing to tell."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import Scene


def _says(scene: Scene, here: Int64[ndarray, " c"]) -> Float[ndarray, " c"]:
    """Return +1 where the one named alone speaks, -1 where another does, 0 where nobody or more are named."""
    named = scene.question.named
    if len(named) != 1:
        return np.zeros(len(here))
    return np.where(scene.said.speaker[here] == named[0], 1.0, -1.0)


def named(scene: Scene) -> Float[ndarray, " c"]:
    """Return whether the one whom the question names alone says it: 1, another: -1, nothing to tell: 0."""
    return _says(scene, scene.here)


def named_before(scene: Scene) -> Float[ndarray, " c"]:
    """Return the same of the turn before."""
    before, there = scene.told(-1)
    return np.asarray(_says(scene, before) * there)


FEATURES = (
    Feature("named", "-1, 0 or 1", named),
    Feature("named_before", "-1, 0 or 1", named_before),
)
