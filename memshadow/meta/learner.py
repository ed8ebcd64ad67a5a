"""The learner of the outer loop: parts of a set of tasks in, a model folder out. Knows texts, tasks and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from memshadow.data.corpora.part import TaskPart
from memshadow.data.episodes import Episodes
from memshadow.errors import ConfigError
from memshadow.meta.algorithms import Algorithm
from memshadow.meta.features import episodes_of
from memshadow.meta.module import MONITOR, MetaModule
from memshadow.meta.networks import Network, Params
from memshadow.meta.tasks import TaskBatch
from memshadow.models.base import Embedder
from memshadow.models.checkpoint import read_model, write_model
from memshadow.training.batching import BatchLoader, Draw, FixedBatches

KIND = "meta"


class MetaLearner:
    """Meta-trains a network on tasks that are drawn anew for each step.

    Args:
        network: applies the weights; its inputs are as wide as the tasks'.
        algorithm: one of ``configs/algorithm``.
        encoder: turns texts into the tasks' inputs, where the data are texts.
        optimizer: of the outer loop (a ``_partial_`` in YAML).
        ways: classes of a task; ``None``: all. Of no meaning where numbers are predicted.
        shots: support examples of a class (of a task, where numbers are predicted).
        queries: query examples, likewise.
        tasks_per_step: tasks in a step of the outer loop.
        steps_per_epoch: between two validations.
        validation_tasks: tasks that a validation looks at; the same ones each time.
        max_epochs, patience: passes at most, and validations without a better score before the end.
    """

    name = "meta"
    monitor = MONITOR

    def __init__(
        self,
        *,
        network: Network,
        algorithm: Algorithm,
        encoder: Embedder | None,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        ways: int | None,
        shots: int,
        queries: int,
        tasks_per_step: int,
        steps_per_epoch: int,
        validation_tasks: int,
        max_epochs: int,
        patience: int,
    ) -> None:
        if min(shots, queries, tasks_per_step, steps_per_epoch, validation_tasks) < 1:
            raise ConfigError(
                f"{shots=}, {queries=}, {tasks_per_step=}, {steps_per_epoch=}, {validation_tasks=}; needed: 1 or more."
            )
        self.network, self.algorithm, self.encoder = network, algorithm, encoder
        self.ways, self.shots, self.queries = ways, shots, queries
        self.max_epochs, self.patience = max_epochs, patience
        self._optimizer = optimizer
        self._tasks, self._steps, self._validation = tasks_per_step, steps_per_epoch, validation_tasks

    def parts(
        self, training: Sequence[TaskPart], validation: Sequence[TaskPart], *, cache: Path, seed: int
    ) -> tuple[MetaModule, MetaData]:
        """Return the module and its data; rows of texts come from ``cache`` where an earlier run left them.

        Raises:
            DataError: tasks as asked for cannot be drawn from the parts.
            ConfigError: the network does not fit the tasks.
        """
        module = MetaModule(network=self.network, algorithm=self.algorithm, optimizer=self._optimizer, seed=seed)
        learned, watched = (self.episodes(part[0], cache=cache) for part in (training, validation))
        self.algorithm.check(self.network, TaskBatch.of(learned.batch(0, tasks=1, seed=seed)))
        data = MetaData(
            learned,
            watched,
            tasks=self._tasks,
            steps=self._steps,
            validation_tasks=self._validation,
            seed=seed,
        )
        return module, data

    def episodes(self, part: TaskPart, *, cache: Path) -> Episodes:
        """Return where the tasks of a part come from."""
        return episodes_of(
            part, encoder=self.encoder, ways=self.ways, shots=self.shots, queries=self.queries, cache=cache
        )

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Write what was learned."""
        if not isinstance(module, MetaModule):
            raise TypeError(f"a {type(module).__name__} came; needed: the MetaModule that parts() gave")
        weights = {name: value.cpu().numpy() for name, value in module.params().items()}
        settings = {"algorithm": self.algorithm.name, "ways": self.ways, "shots": self.shots}
        if self.encoder is not None:
            settings["encoder"] = self.encoder.fingerprint
        write_model(folder, kind=KIND, settings=settings, tensors=weights)


def learned_in(folder: Path) -> Params:
    """Return what a model folder learned; raises CheckpointError where it holds none, or is damaged."""
    return {name: torch.from_numpy(value) for name, value in read_model(folder).tensors().items()}


class MetaData(pl.LightningDataModule):
    """Batches of tasks: other ones in each step, the same ones in each validation."""

    def __init__(
        self, training: Episodes, validation: Episodes, *, tasks: int, steps: int, validation_tasks: int, seed: int
    ) -> None:
        super().__init__()
        self._training, self._tasks, self._steps, self._seed = training, tasks, steps, seed
        self._loader = BatchLoader(self._made, self._plan, seed=seed)
        sizes = [min(tasks, validation_tasks - first) for first in range(0, validation_tasks, tasks)]
        self._validation = [
            TaskBatch.of(validation.batch(number, tasks=size, seed=seed)) for number, size in enumerate(sizes)
        ]

    def train_dataloader(self) -> BatchLoader[TaskBatch]:
        """Return the one resumable loader of this data."""
        return self._loader

    def val_dataloader(self) -> FixedBatches[TaskBatch]:
        """Return the tasks that every validation looks at."""
        return FixedBatches(self._validation)

    def _plan(self, epoch: int) -> list[list[int]]:
        return [[epoch * self._steps + step] for step in range(self._steps)]

    def _made(self, draw: Draw) -> TaskBatch:
        return TaskBatch.of(self._training.batch(draw.indices[0], tasks=self._tasks, seed=self._seed))
