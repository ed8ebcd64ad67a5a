"""The LightningModule of an encoder: optimiser, schedule, logging, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from memshadow.models.encoder import TextEncoder

Objective = Callable[[TextEncoder, Any], dict[str, Tensor]]
"""Encoder and batch -> named values; ``loss`` is the one that is minimised."""
Metric = Callable[[TextEncoder, Any], tuple[float, int]]
"""Encoder and batch -> a score and over how many questions it is the mean."""


class EncoderModule(pl.LightningModule):
    """Minimises ``objective`` with a warm-up and a linear fall to 0 over ``steps``; logs ``metric`` as ``monitor``.

    ``optimizer`` takes the parameter groups; biases and norms are in the one without weight decay.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        objective: Objective,
        metric: Metric,
        monitor: str,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        steps: int,
        warmup_share: float,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self._objective = objective
        self._metric = metric
        self._monitor = monitor
        self._optimizer = optimizer
        self._steps = steps
        self._warmup = max(1, round(warmup_share * steps))

    def training_step(self, batch: Any, _: int) -> Tensor:
        """Return the loss of a batch."""
        values = self._objective(self.encoder, batch)
        self.log_dict({f"train/{name}": value.detach() for name, value in values.items()}, batch_size=1)
        return values["loss"]

    def validation_step(self, batch: Any, _: int) -> None:
        """Log the score of one conversation, weighted by its questions."""
        score, questions = self._metric(self.encoder, batch)
        self.log(self._monitor, score, batch_size=questions, sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule, which moves with every step."""
        decayed = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        optimizer = self._optimizer([{"params": decayed}, {"params": others, "weight_decay": 0.0}])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        rising = (step + 1) / self._warmup
        falling = (self._steps - step) / max(1, self._steps - self._warmup)
        return max(0.0, min(1.0, rising, falling))
