"""When a training's state and its best weights are written. Knows Lightning's hooks; the file form is ``state``'s.

A state is written between two steps of an epoch, or when an epoch and its validation are over; never in between. Those
are the moments from which Lightning's loops go on exactly as if nothing had happened.
"""

# ruff: noqa: ARG002 - the signatures of hooks are Lightning's
from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Checkpoint
from safetensors.torch import load

from memshadow.errors import CheckpointError, ConfigError
from memshadow.training.atomic import write_bytes
from memshadow.training.batching import BatchLoader
from memshadow.training.randomness import seed_all, set_random_state, states_of_all_ranks
from memshadow.training.state import tensor_bytes

_OURS = "memshadow"
_KEPT_BESTS = 3  # the two states kept and the present one may each name another


class StateSaver(Checkpoint):
    """Writes the whole state every ``every_steps`` optimiser steps, every ``every_s`` seconds, and at each epoch's end.

    Being a ``Checkpoint``, Lightning calls it after all other callbacks, so that what they decided is in the state.
    """

    def __init__(self, folder: Path, *, every_steps: int | None, every_s: float | None, seed: int) -> None:
        self._folder = folder
        self._every_steps = every_steps
        self._every_s = every_s
        self._seed = seed
        self._last_step = 0
        self._last_time = time.monotonic()
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning leaves out: the random generators, the place in the data, and whether to stop."""
        loader = trainer.train_dataloader
        place = loader.state_dict() if isinstance(loader, BatchLoader) else None
        checkpoint[_OURS] = {"random": states_of_all_ranks(), "loader": place, "should_stop": trainer.should_stop}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take it up again."""
        self._loaded = ours = checkpoint[_OURS]
        trainer.should_stop = ours["should_stop"]
        if len(ours["random"]) != trainer.world_size:
            raise CheckpointError(
                f"The state was written by {len(ours['random'])} processes, now there are {trainer.world_size}; "
                "resume with as many, or start a new run."
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set generators and data as the last thing before the first step; each process has numbers of its own."""
        self._last_step, self._last_time = trainer.global_step, time.monotonic()
        if self._loaded is None:
            seed_all(self._seed + trainer.global_rank)
            return
        set_random_state(self._loaded["random"][trainer.global_rank])
        if isinstance(trainer.train_dataloader, BatchLoader):  # Lightning restores a loader amid an epoch only
            trainer.train_dataloader.load_state_dict(self._loaded["loader"])

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Save when it is due, but not amid accumulated gradients, nor at the epoch's last batch (its end will)."""
        loop = trainer.fit_loop
        if loop.epoch_loop.batch_progress.is_last_batch or trainer.global_step == self._last_step:
            return
        if loop._should_accumulate():
            return
        if trainer.strategy.reduce_boolean_decision(self._is_due(trainer.global_step), all=False):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save: the epoch and its validation are over."""
        self._save(trainer)

    def _is_due(self, step: int) -> bool:
        by_steps = self._every_steps is not None and step - self._last_step >= self._every_steps
        return by_steps or (self._every_s is not None and time.monotonic() - self._last_time >= self._every_s)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self._folder)
        self._last_step, self._last_time = trainer.global_step, time.monotonic()


class BestWeights(Callback):
    """Keeps the weights of the epoch whose validation scored highest; the first of equals."""

    def __init__(self, folder: Path, *, monitor: str) -> None:
        self._folder = folder
        self._monitor = monitor
        self.score: float | None = None
        self.epoch = self.step = 0
        self._file = self._sha256 = ""

    def state_dict(self) -> dict[str, Any]:
        """Return which weights are the best so far."""
        names = ("score", "epoch", "step", "_file", "_sha256")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights if they scored higher."""
        if self._monitor not in trainer.callback_metrics:
            seen = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise ConfigError(f"Validation logged no {self._monitor!r}, which the learner monitors; it logged: {seen}.")
        score = float(trainer.callback_metrics[self._monitor])
        if score != score or (self.score is not None and score <= self.score):  # not a number never wins
            return
        self.score, self.epoch, self.step = score, trainer.current_epoch, trainer.global_step
        if trainer.is_global_zero:
            self._keep(pl_module)

    def restore(self, module: pl.LightningModule) -> None:
        """Load the best weights into ``module``; without any, leave it as it is.

        Raises:
            CheckpointError: the file is gone or not the one written.
        """
        if not self._file:
            return
        path = self._folder / self._file
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != self._sha256:
            raise CheckpointError(f"The best weights {path} are missing or damaged; start a new run.")
        module.load_state_dict(load(content))

    def _keep(self, module: pl.LightningModule) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        content = tensor_bytes(module.state_dict())
        self._file, self._sha256 = f"epoch-{self.epoch:05d}.safetensors", hashlib.sha256(content).hexdigest()
        write_bytes(self._folder / self._file, content)
        for old in sorted(self._folder.glob("epoch-*.safetensors"))[:-_KEPT_BESTS]:
            old.unlink()


class History(Callback):
    """Remembers the metrics of each epoch, over resumes too: the rows that learning curves are drawn from."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows up again."""
        self.rows = state_dict["rows"]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row."""
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **metrics})
