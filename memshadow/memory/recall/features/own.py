"""How well a candidate itself answers, by each list: nothing of its surroundings."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import LISTS, Scene


def norm(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return a list's score, the best of the scope at 1."""
    return scene.at(scene.norms[name])


def log_rank(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return ln(1 + rank), the best of the scope at 0."""
    return np.asarray(np.log1p(scene.ranks[name][scene.chosen]))


def lead(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return how far a score is from the second best, in units of the best: above 0 for the best alone."""
    values = scene.norms[name]
    second = float(np.partition(values, -2)[-2]) if len(values) > 1 else 0.0
    return scene.at(values) - second


def fused(scene: Scene) -> Float[ndarray, " c"]:
    """Return the mean of all lists."""
    return scene.at(scene.fused)


def covered(scene: Scene) -> Float[ndarray, " c"]:
    """Return the share of the question's idf that the turn holds."""
    return scene.at(scene.words.covered)


def matched(scene: Scene) -> Float[ndarray, " c"]:
    """Return the share of the question's terms that the turn holds."""
    return scene.at(scene.words.matched)


def rarest(scene: Scene) -> Float[ndarray, " c"]:
    """Return the largest idf that the turn meets, as a share of the question's largest."""
    return scene.at(scene.words.rarest)


FEATURES = (
    *(Feature(f"norm_{name}", "share of the best score", partial(norm, name=name)) for name in LISTS),
    *(Feature(f"log_rank_{name}", "ln(1 + rank)", partial(log_rank, name=name)) for name in (*LISTS, "fused")),
    *(Feature(f"lead_{name}", "share of the best score", partial(lead, name=name)) for name in LISTS),
    Feature("fused", "mean share of the best scores", fused),
    Feature("covered", "share of idf", covered),
    Feature("matched", "share of terms", matched),
    Feature("rarest", "share of the largest idf", rarest),
)
