"""The promise of every ranker. Knows scenes; nothing of blocks, stores and texts."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.scene import Scene


@runtime_checkable
class Ranker(Protocol):
    """Scores the candidates of a scene; higher is better, equal ones keep the order of ``Scene.chosen``.

    Deterministic; safe to ask from several threads; every score finite, whatever is missing in the scene.
    """

    name: str
    fingerprint: str
    """What tells it from any other: weights, settings, features."""

    def scores(self, scene: Scene) -> Float[ndarray, " c"]:
        """Return one score a candidate."""
        ...

    def notes(self, scene: Scene) -> tuple[str, ...]:
        """Return what a user should know of how a scene is ranked, as sentences; usually nothing."""
        ...
