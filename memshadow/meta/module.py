"""The outer loop as a LightningModule: what an algorithm learns, its optimiser, logging; nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from memshadow.meta.algorithms import Algorithm
from memshadow.meta.losses import accuracy, squared_error
from memshadow.meta.networks import Network, Params
from memshadow.meta.tasks import TaskBatch

MONITOR = "val/score"
"""Share of query examples that are right; for numbers the squared error, negative: higher is better."""


class MetaModule(pl.LightningModule):
    """Lowers an algorithm's outer loss; a batch is a batch of tasks.

    Args:
        network: applies the weights.
        algorithm: says what is learned and how.
        optimizer: of the outer loop: parameters -> optimiser.
        seed: of the first weights.
    """

    def __init__(
        self,
        *,
        network: Network,
        algorithm: Algorithm,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        seed: int,
    ) -> None:
        super().__init__()
        begin = algorithm.init(network, torch.Generator().manual_seed(seed))
        self.learned = nn.ParameterDict({name: nn.Parameter(value) for name, value in begin.items()})
        self._network, self._algorithm, self._optimizer = network, algorithm, optimizer
        self._found: list[float] = []

    def params(self) -> Params:
        """Return what is learned, cut loose from training."""
        return {name: value.detach() for name, value in self.learned.items()}

    def training_step(self, batch: TaskBatch, _: int) -> Tensor:
        """Return the outer loss of a batch of tasks."""
        outer = self._algorithm.outer(self._network, dict(self.learned), batch)
        self.log("train/query_loss", outer.query_loss, prog_bar=True, batch_size=len(batch.support))
        return outer.loss

    def validation_step(self, batch: TaskBatch, _: int) -> None:
        """Collect the score of each task."""
        self._found += scores(self._network, self._algorithm, self.params(), batch).tolist()

    def on_validation_epoch_end(self) -> None:
        """Log the mean over tasks."""
        self.log(MONITOR, float(np.mean(self._found)), prog_bar=True, sync_dist=True)
        self._found = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the outer loop's optimiser."""
        return self._optimizer(self.parameters())


def scores(
    network: Network, algorithm: Algorithm, learned: Params, tasks: TaskBatch, *, steps: int | None = None
) -> Tensor:
    """Return each task's score ``[t]`` on its query set: accuracy, or the negative squared error."""
    with torch.inference_mode(False):  # inner steps need gradients, also where Lightning validates
        support, targets, query_set, query_targets = (part.clone() for part in tasks)
        fitted = algorithm.fit(network, {k: v.clone() for k, v in learned.items()}, support, targets, steps=steps)
        with torch.no_grad():
            outputs = fitted(query_set)
            if query_targets.is_floating_point():
                return -squared_error(outputs, query_targets)
            return accuracy(outputs, query_targets)
