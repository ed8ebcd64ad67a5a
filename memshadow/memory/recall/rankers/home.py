"""Whether a ranker is at home in a scope: whether it was trained on places like this one. Knows no ranker.

What a ranker learned of short chats between two people misleads it in long talks with a program. So it keeps what its
training scopes were like, and in a scope unlike all of them it leaves the order to the fusion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.memory.recall.scene import Scene

UNITS = (0.7, 0.5, 0.3, 1.5)
"""Of ln(terms a turn), speakers up to two, share of turns that ask, ln(turns a session): what makes another kind."""


def likeness(scene: Scene) -> tuple[float, ...]:
    """Return what a scope is like, in ``UNITS``."""
    said = scene.said
    values = (
        np.log1p(said.mean_length),
        min(len(said.names), 2),
        said.asking,
        np.log(said.size / len(said.begins)),
    )
    return tuple(float(value / unit) for value, unit in zip(values, UNITS, strict=True))


class Home:
    """The scopes that a ranker was trained on.

    Args:
        scopes: their ``likeness``.
        tolerance: up to which distance (the largest difference in any unit) from the nearest one it is at home;
            at twice that it is a stranger. ``None``: at home everywhere.
    """

    def __init__(self, scopes: Sequence[Sequence[float]], tolerance: float | None) -> None:
        if tolerance is not None and not tolerance > 0:
            raise ConfigError(f"tolerance={tolerance}; needed: a number above 0, or null: at home everywhere.")
        known = dict.fromkeys(tuple(round(float(value), 4) for value in scope) for scope in scopes)
        if any(len(scope) != len(UNITS) or not np.isfinite(scope).all() for scope in known):
            raise ConfigError(f"a scope that a ranker is at home in has {len(UNITS)} numbers; train the ranker again.")
        self._scopes = np.array(list(known), dtype=np.float64).reshape(-1, len(UNITS))
        self.tolerance = tolerance

    @property
    def scopes(self) -> list[list[float]]:
        """Return the different likenesses, as a model file keeps them."""
        found: list[list[float]] = self._scopes.tolist()
        return found

    def share(self, scene: Scene) -> float:
        """Return 1 at home, 0 among strangers, between them a share."""
        if self.tolerance is None or not len(self._scopes):
            return 1.0
        distance = self._nearest(np.array(likeness(scene)))
        return float(np.clip(2.0 - distance / self.tolerance, 0.0, 1.0))

    def _nearest(self, likeness: Float[ndarray, " units"]) -> float:
        return float(np.abs(self._scopes - likeness).max(axis=1).min())
