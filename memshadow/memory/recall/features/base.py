"""What a feature is. Knows scenes; no ranker."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from numpy import ndarray

from memshadow.memory.recall.scene import Scene

Measure = Callable[[Scene], Float[ndarray, " c"] | float]
"""From a scene to one number a candidate, or one for all of them. Always finite; what is missing counts 0."""


class Feature(NamedTuple):
    """A number of a candidate: ``unit`` says in words what it counts."""

    name: str
    unit: str
    of: Measure
