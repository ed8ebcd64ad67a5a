"""How well the whole session of a candidate answers, and where in it the candidate stands."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import Scene, ranks

_LISTS = ("vector", "bare", "fused")


def best(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return the best score of the session."""
    return np.asarray(np.maximum.reduceat(scene.values(name), scene.begins)[scene.own_session])


def below_best(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return how far a candidate is below the best of its session (0: it is the best)."""
    return np.asarray(scene.at(scene.values(name)) - best(scene, name))


def mean(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return the mean score of the session, as a share of the best session's."""
    means = np.add.reduceat(scene.values(name), scene.begins) / scene.sizes
    top = float(means.max())
    return np.asarray((means / (top if top > 0 else 1.0))[scene.own_session])


def best_three(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return the mean of the session's three best scores."""
    return np.asarray(scene.top(name)[scene.own_session])


def log_rank(scene: Scene, name: str) -> Float[ndarray, " c"]:
    """Return ln(1 + rank) of the session by its three best scores."""
    return np.asarray(np.log1p(ranks(scene.top(name)))[scene.own_session])


def position(scene: Scene) -> Float[ndarray, " c"]:
    """Return where in its session a turn stands, the first 0 and the last 1."""
    said, number = scene.said, scene.said.session[scene.here]
    return np.asarray((scene.here - said.begins[number]) / np.maximum(said.sizes[number] - 1, 1))


FEATURES = (
    *(Feature(f"best_{name}", "share of the best score", partial(best, name=name)) for name in _LISTS),
    *(Feature(f"below_best_{name}", "share of the best score", partial(below_best, name=name)) for name in _LISTS),
    *(Feature(f"mean_{name}", "share of the best session's", partial(mean, name=name)) for name in _LISTS),
    *(Feature(f"best_three_{name}", "share of the best score", partial(best_three, name=name)) for name in _LISTS),
    *(Feature(f"log_rank_{name}", "ln(1 + rank)", partial(log_rank, name=name)) for name in _LISTS),
    Feature("position", "share of the session", position),
)
