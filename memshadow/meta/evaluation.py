"""How well new tasks are learned, by inner steps: what was meta-learned beside what nothing was learned of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from numpy import ndarray

from memshadow.data.episodes import Episodes
from memshadow.meta.algorithms import Algorithm
from memshadow.meta.module import scores
from memshadow.meta.networks import Network, Params
from memshadow.meta.tasks import TaskBatch

TASKS = 600
"""Tasks that a published figure is usually the mean of (Finn et al. 2017, table 1)."""
_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Scores of new tasks after some inner steps: accuracy, or the negative mean squared error; ``[tasks]``."""

    steps: int
    scores: Float[ndarray, " tasks"]

    @property
    def mean(self) -> float:
        """Return the mean over tasks."""
        return float(self.scores.mean())

    @property
    def half_width(self) -> float:
        """Return half the width of the mean's 95 % interval; tasks are drawn independently of each other."""
        return float(1.96 * self.scores.std(ddof=1) / math.sqrt(len(self.scores))) if len(self.scores) > 1 else math.nan


def by_steps(
    network: Network,
    algorithm: Algorithm,
    learned: Params,
    episodes: Episodes,
    *,
    steps: Sequence[int],
    tasks: int = TASKS,
    seed: int = 0,
) -> list[Learned]:
    """Return the scores of the same ``tasks`` new tasks after each number of inner steps."""
    sizes = [min(_AT_ONCE, tasks - first) for first in range(0, tasks, _AT_ONCE)]
    batches = [TaskBatch.of(episodes.batch(number, tasks=size, seed=seed)) for number, size in enumerate(sizes)]
    found = []
    for count in steps:
        got = [scores(network, algorithm, learned, batch, steps=count) for batch in batches]
        found.append(Learned(steps=count, scores=torch.cat(got).double().numpy()))
    return found


def untrained(network: Network, algorithm: Algorithm, *, seed: int) -> Params:
    """Return what the outer loop begins with."""
    return algorithm.init(network, torch.Generator().manual_seed(seed))


def mean_scores(found: Sequence[Learned]) -> list[dict[str, float]]:
    """Return rows of steps, score and half width, for a table or a plot."""
    return [{"steps": one.steps, "score": one.mean, "half_width": one.half_width} for one in found]


def steps_shown(algorithm: Algorithm) -> list[int]:
    """Return the numbers of inner steps that a table shows: up to twice those of training, and 10 at least."""
    if algorithm.name == "ridge":  # solved for, or not
        return [0, 1]
    most = max(10, 2 * algorithm.steps)
    return sorted({0, 1, 2, 3, 5, algorithm.steps, 10, most})
