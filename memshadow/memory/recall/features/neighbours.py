"""How well the turns around a candidate answer: replies follow questions, facts sit beside their subject."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import Scene

LAGS = (-4, -3, -2, -1, 1, 2, 3)
"""Turns later; negative: earlier."""
_NEAR = (-2, -1, 1, 2)
_LISTS = ("vector", "bare", "window")


def beside(scene: Scene, name: str, lag: int) -> Float[ndarray, " c"]:
    """Return the normalised score of the turn ``lag`` later."""
    return scene.beside(name, lag)


def best_near(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return the best normalised score of the two turns before and the two after."""
    return np.asarray(np.maximum.reduce([scene.beside(name, lag) for lag in _NEAR]))


def covered(scene: Scene, lag: int) -> Float[ndarray, " c"]:
    """Return the share of the question's idf that the turn ``lag`` later holds."""
    return scene.beside("covered", lag)


def smoothed(scene: Scene) -> Float[ndarray, " c"]:
    """Return the fused score with half of the better neighbour's, as a share of the best such."""
    top = float(scene.smoothed.max())
    return scene.at(scene.smoothed) / (top if top > 0 else 1.0)


FEATURES = (
    *(
        Feature(f"{name}_{lag:+d}", "share of the best score", partial(beside, name=name, lag=lag))
        for name in _LISTS
        for lag in LAGS
    ),
    *(Feature(f"best_near_{name}", "share of the best score", partial(best_near, name=name)) for name in _LISTS),
    *(Feature(f"covered_{lag:+d}", "share of idf", partial(covered, lag=lag)) for lag in (-1, 1)),
    Feature("smoothed", "share of the best", smoothed),
)
