"""The learner of rankers that descend a gradient: conversations in, a model folder out. Knows no net; one is given.

The loss is a softmax over the candidates of a question, so an order is learned from all of them at once (listwise, top
one: Cao et al. 2007, *Learning to rank: from pairwise approach to listwise approach*, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from torch import Tensor

from memshadow.errors import ConfigError
from memshadow.memory.recall.examples import Example, examples
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.memory.recall.rankers.home import Home
from memshadow.memory.recall.rankers.learning import MONITOR, RankerModule, RankingData, balance, learnable
from memshadow.memory.recall.rankers.nets import RankingNet, Spread
from memshadow.memory.recall.rankers.trained import described
from memshadow.memory.recall.viewing import Viewer
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.checkpoint import write_model
from memshadow.training.batching import Draw, shuffled
from memshadow.types import Conversation

Optimizer = Callable[[Iterable[Any]], torch.optim.Optimizer]


class ListwiseLearner:
    """Trains a net on the features of candidates.

    Args:
        name: what the learner is called in the names of runs.
        net: spread of the features -> what is trained, one of :mod:`.nets` (a ``_partial_`` in YAML).
        encoder: what the vector's scores come from.
        viewer: how a question is seen; the served ranking must see alike.
        groups: of features.
        without: features left out, ``group/name``.
        base: how much of the fusion the net is added to.
        tolerance: see :class:`~memshadow.memory.recall.rankers.home.Home`; ``None``: at home everywhere.
        balanced: whether every corpus of a mix counts the same.
        optimizer: parameter groups -> optimiser (a ``_partial_`` in YAML).
        warmup_share: share of the steps in which the learning rate rises; then it falls to 0.
        questions_per_step: questions of a batch.
        max_epochs, patience: passes at most, and validations without a better score before the end.
    """

    monitor = MONITOR

    def __init__(
        self,
        *,
        name: str,
        net: Callable[[Spread], RankingNet],
        encoder: Embedder,
        viewer: Viewer,
        groups: Sequence[str],
        without: Sequence[str],
        base: float,
        tolerance: float | None,
        balanced: bool,
        optimizer: Optimizer,
        warmup_share: float,
        questions_per_step: int,
        max_epochs: int,
        patience: int,
    ) -> None:
        if questions_per_step < 1 or not 0 <= warmup_share <= 1:
            raise ConfigError(
                f"questions_per_step={questions_per_step}, warmup_share={warmup_share}; needed: a question or more, "
                "and a share between 0 and 1."
            )
        self.name, self.max_epochs, self.patience = name, max_epochs, patience
        self.encoder, self.viewer = encoder, viewer
        self._table = FeatureTable(groups=groups, without=without)
        self._net, self._optimizer, self._warmup_share = net, optimizer, warmup_share
        self._base, self._balanced, self._batch = base, balanced, questions_per_step
        self._home = Home([], tolerance)
        net(Spread(*np.zeros((2, len(self._table.names)), dtype=np.float32)))  # a wrong shape is told before encoding

    def parts(
        self, training: Sequence[Conversation], validation: Sequence[Conversation], *, cache: Path, seed: int
    ) -> tuple[ListwiseModule, RankingData]:
        """Return the module and its data.

        Raises:
            DataError: no question with evidence among its candidates to train on, or none to validate on.
        """
        encoder = CachedEmbedder(encoder=self.encoder, folder=str(cache))
        learned, held_out = (
            learnable(examples(given, encoder, self.viewer, self._table, what=what), what)
            for given, what in ((training, "training"), (validation, "held-out"))
        )
        self._home = Home([one.likeness for one in learned], self._home.tolerance)
        return self._assembled(learned, held_out, seed)

    def _assembled(
        self, learned: Sequence[Example], held_out: Sequence[Example], seed: int
    ) -> tuple[ListwiseModule, RankingData]:
        weights = balance(learned) if self._balanced else np.ones(len(learned))
        plan = partial(shuffled, count=len(learned), batch_size=self._batch, seed=seed)
        torch.manual_seed(seed)
        module = ListwiseModule(
            self._net(spread(learned, weights)),
            held_out,
            base=self._base,
            optimizer=self._optimizer,
            steps=self.max_epochs * len(plan(0)),
            warmup_share=self._warmup_share,
        )
        return module, RankingData(partial(_batch, learned, weights), plan, seed=seed)

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Write the net."""
        if not isinstance(module, ListwiseModule):
            raise TypeError(f"a {type(module).__name__} came; needed: the ListwiseModule that parts() gave")
        settings = described(self._table, base=self._base, home=self._home)
        write_model(folder, kind=module.net.kind, settings=settings, tensors=module.net.tensors())


class Batch(NamedTuple):
    """Questions side by side, filled up with candidates that are not ``there``."""

    table: Float[Tensor, "q c features"]
    plain: Float[Tensor, "q c"]
    gold: Float[Tensor, "q c"]
    """1 / pieces of evidence where one is, so that each question's sum is 1."""
    there: Bool[Tensor, "q c"]
    weight: Float[Tensor, " q"]


def padded(found: Sequence[Example], weights: Sequence[float]) -> Batch:
    """Return questions as a batch."""
    widest = max(len(one.gold) for one in found)
    there = np.zeros((len(found), widest), dtype=bool)
    plain, gold = np.zeros((2, *there.shape), dtype=np.float32)
    table = np.zeros((*there.shape, len(found[0].table)), dtype=np.float32)
    for row, one in enumerate(found):
        count = len(one.gold)
        there[row, :count], table[row, :count] = True, one.table.T
        plain[row, :count], gold[row, :count] = one.plain, one.gold / one.gold.sum()
    arrays = (table, plain, gold, there, np.asarray(weights, dtype=np.float32))
    return Batch(*(torch.from_numpy(array) for array in arrays))


def listwise_loss(scores: Float[Tensor, "q c"], batch: Batch) -> Float[Tensor, ""]:
    """Return the weighted mean cross entropy of the softmax over each question's candidates with its evidence."""
    chances = torch.log_softmax(scores.masked_fill(~batch.there, -torch.inf), dim=1).masked_fill(~batch.there, 0.0)
    return -(batch.weight * (batch.gold * chances).sum(1)).sum() / batch.weight.sum()


def spread(found: Sequence[Example], weights: Float[ndarray, " examples"]) -> Spread:
    """Return where the features of all candidates lie, each question's by its weight."""
    tables = [one.table.astype(np.float64) for one in found]
    shares = weights / weights.sum()
    mean = shares @ np.stack([table.mean(axis=1) for table in tables])
    variance = shares @ np.stack([((table.T - mean) ** 2).mean(axis=0) for table in tables])
    deviation = np.sqrt(variance)
    told = deviation > 1e-6 * (1 + np.abs(mean))  # above what rounding leaves of a constant
    scale = np.where(told, 1 / np.where(told, deviation, 1.0), 0.0)
    return Spread(mean.astype(np.float32), scale.astype(np.float32))


class ListwiseModule(RankerModule):
    """Trains a net so that ``base`` times the fusion and what it says order best; a linear fall after a warm-up.

    ``optimizer`` takes the parameter groups; biases and norms are in the one without weight decay.
    """

    def __init__(
        self,
        net: RankingNet,
        held_out: Sequence[Example],
        *,
        base: float,
        optimizer: Optimizer,
        steps: int,
        warmup_share: float,
    ) -> None:
        super().__init__(held_out, base=base)
        self.net, self._optimizer = net, optimizer
        self._steps, self._warmup = steps, max(1, round(warmup_share * steps))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        scores = self.base * batch.plain + self.net(batch.table, batch.there)
        loss = listwise_loss(scores, batch)
        self.log("train/loss", loss.detach(), batch_size=len(batch.weight), prog_bar=True)
        return loss

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return what the net says of each candidate."""
        rows = torch.from_numpy(table.T)[None].to(self.device)
        with torch.no_grad():
            said = self.net(rows, torch.ones(rows.shape[:2], dtype=torch.bool, device=self.device))[0]
        return np.asarray(said.float().cpu().numpy())

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule, which moves with every step."""
        named = list(self.net.named_parameters())
        free = [part for name, part in named if name.endswith("bias") or "norm" in name]
        pulled = [part for name, part in named if not (name.endswith("bias") or "norm" in name)]
        optimizer = self._optimizer([{"params": pulled}, {"params": free, "weight_decay": 0.0}])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        rising = (step + 1) / self._warmup
        falling = (self._steps - step) / max(1, self._steps - self._warmup)
        return max(0.0, min(1.0, rising, falling))


def _batch(learned: Sequence[Example], weights: Float[ndarray, " examples"], draw: Draw) -> Batch:
    rows = list(draw.indices)
    return padded([learned[row] for row in rows], weights[rows].tolist())
