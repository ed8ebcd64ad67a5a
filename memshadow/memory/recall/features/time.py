"""When a candidate happened, beside the times that the question speaks of; whether it tells a time that is asked."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.data.index.columns import UNKNOWN
from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.said import ALIKE
from memshadow.memory.recall.scene import Scene

_DAY = 86_400e6
_DATES, _NUMBERS = ALIKE.index("dates"), ALIKE.index("numbers")


def _happened(scene: Scene) -> tuple[Float[ndarray, " c"], ndarray]:
    """Return the times of the candidates in microseconds, and which are known."""
    times = scene.said.happened[scene.here]
    return times.astype(np.float64), times != UNKNOWN


def _days_off(scene: Scene) -> Float[ndarray, " c"]:
    """Return how many days each candidate is from the nearest time that the question speaks of."""
    times, _ = _happened(scene)
    gaps = [np.maximum(np.maximum(start - times, times - end), 0.0) for start, end in scene.question.spans]
    return np.asarray(np.minimum.reduce(gaps) / _DAY)


def inside(scene: Scene) -> Float[ndarray, " c"] | float:
    """Return 1 within a time that the question speaks of, -1 outside all, 0 where none is spoken of or known."""
    if not scene.question.spans:
        return 0.0
    _, known = _happened(scene)
    return np.where(known, np.where(_days_off(scene) == 0, 1.0, -1.0), 0.0)


def log_days_off(scene: Scene) -> Float[ndarray, " c"] | float:
    """Return ln(1 + days) to the nearest time that the question speaks of; 0 where none is spoken of or known."""
    if not scene.question.spans:
        return 0.0
    _, known = _happened(scene)
    return np.where(known, np.log1p(_days_off(scene)), 0.0)


def newest(scene: Scene) -> Float[ndarray, " c"] | float:
    """Return, where the question wants what holds now, which share of the scope was said before."""
    if not scene.question.asks_current:
        return 0.0
    return scene.here / max(scene.said.size - 1, 1)


def tells_when(scene: Scene) -> Float[ndarray, " c"] | float:
    """Return, where a time is asked for, how much of times the turn speaks beside the speaker's others."""
    return scene.said.shares[_DATES][scene.here] if scene.question.asks_when else 0.0


def tells_how_many(scene: Scene) -> Float[ndarray, " c"] | float:
    """Return, where a number is asked for, how many the turn holds beside the speaker's others."""
    return scene.said.shares[_NUMBERS][scene.here] if scene.question.asks_how_many else 0.0


def asks_when(scene: Scene) -> float:
    """Return whether a time is asked for."""
    return float(scene.question.asks_when)


FEATURES = (
    Feature("inside", "-1, 0 or 1", inside),
    Feature("log_days_off", "ln(1 + days)", log_days_off),
    Feature("newest", "share of the scope", newest),
    Feature("tells_when", "share of the speaker's turns", tells_when),
    Feature("tells_how_many", "share of the speaker's turns", tells_how_many),
    Feature("asks_when", "0 or 1", asks_when),
)
