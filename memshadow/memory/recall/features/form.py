"""How a candidate is said, beside how its speaker usually speaks: questions and thanks answer little."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.said import ALIKE
from memshadow.memory.recall.scene import Scene

_FLAGS = ("holds_question", "ends_question", "image", "quotation", "exclamation", "begins_phatic")


def share_below(scene: Scene, number: int) -> Float[ndarray, " c"]:
    """Return which share of the speaker's turns has less of it (ties by half)."""
    return np.asarray(scene.said.shares[number][scene.here])


def flag(scene: Scene, name: str, lag: int) -> Float[ndarray, " c"]:
    """Return whether the turn ``lag`` later is so."""
    values = getattr(scene.said.forms, name)
    return values[scene.here] if lag == 0 else scene.neighbour(values, lag)


def share_below_before(scene: Scene, number: int) -> Float[ndarray, " c"]:
    """Return the same of the turn before; 0 where there is none."""
    return scene.neighbour(scene.said.shares[number], -1)


FEATURES = (
    *(
        Feature(f"{name}", "share of the speaker's turns", partial(share_below, number=i))
        for i, name in enumerate(ALIKE)
    ),
    *(Feature(name, "0 or 1", partial(flag, name=name, lag=0)) for name in _FLAGS),
    *(
        Feature(f"{name}_{lag:+d}", "0 or 1", partial(flag, name=name, lag=lag))
        for name in _FLAGS[:2]
        for lag in (-1, 1)
    ),
    Feature("length_-1", "share of the speaker's turns", partial(share_below_before, number=0)),
)
