"""What kind of place is searched: a chat of two, long talks with a program, notes. The same for every candidate."""

from __future__ import annotations

import numpy as np

from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import Scene


def log_length(scene: Scene) -> float:
    """Return ln(1 + mean terms a turn)."""
    return float(np.log1p(scene.said.mean_length))


def speakers(scene: Scene) -> float:
    """Return how many speakers there are, 3 at most."""
    return float(min(len(scene.said.names), 3))


def asking(scene: Scene) -> float:
    """Return the share of turns that hold a question."""
    return scene.said.asking


def log_session(scene: Scene) -> float:
    """Return ln(turns a session)."""
    return float(np.log(scene.said.size / len(scene.said.begins)))


def log_size(scene: Scene) -> float:
    """Return ln(versions in scope)."""
    return float(np.log(scene.said.size))


FEATURES = (
    Feature("log_length", "ln(1 + terms)", log_length),
    Feature("speakers", "1 to 3", speakers),
    Feature("asking", "share of turns", asking),
    Feature("log_session", "ln(turns)", log_session),
    Feature("log_size", "ln(versions)", log_size),
)
