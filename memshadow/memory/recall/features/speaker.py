"""Who says a candidate, beside whom the question names. Where it names nobody, or two, there is nothing to tell."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import Scene


def _says(scene: Scene) -> Float[ndarray, " n"]:
    """Return +1 where the one named alone speaks, -1 where another does, 0 where nobody or more are named."""
    named = scene.question.named
    if len(named) != 1:
        return np.zeros(scene.said.size)
    return np.where(scene.said.speaker == named[0], 1.0, -1.0)


def named(scene: Scene) -> Float[ndarray, " c"]:
    """Return whether the one whom the question names alone says it: 1, another: -1, nothing to tell: 0."""
    return np.asarray(_says(scene)[scene.here])


def named_before(scene: Scene) -> Float[ndarray, " c"]:
    """Return the same of the turn before."""
    return scene.neighbour(_says(scene), -1)


FEATURES = (
    Feature("named", "-1, 0 or 1", named),
    Feature("named_before", "-1, 0 or 1", named_before),
)
