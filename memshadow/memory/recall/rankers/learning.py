"""What all trained rankers share: examples by corpus, their weights, their validation. Needs torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
from jaxtyping import Float, Float32
from numpy import ndarray

from memshadow.errors import DataError
from memshadow.memory.recall.examples import Example
from memshadow.training.batching import BatchLoader, Draw, FixedBatches

MONITOR = "val/ndcg@10"


def learnable(found: Sequence[Example], what: str) -> list[Example]:
    """Return the examples that have evidence among their candidates and something else too.

    Raises:
        DataError: none has.
    """
    kept = [one for one in found if one.gold.any() and not one.gold.all()]
    if not kept:
        raise DataError(f"no {what} question has its evidence among the candidates; a ranker learns from nothing else.")
    return kept


def balance(found: Sequence[Example]) -> Float[ndarray, " examples"]:
    """Return a weight for each example, of mean 1, that gives every corpus the same say."""
    sizes = Counter(one.corpus for one in found)
    return np.array([len(found) / (len(sizes) * sizes[one.corpus]) for one in found])


class RankingData(pl.LightningDataModule):
    """Training batches as ``plan`` says. Validation is one batch, its number 0: the module has the examples."""

    def __init__(self, make: Callable[[Draw], Any], plan: Callable[[int], list[list[int]]], *, seed: int) -> None:
        super().__init__()
        self._loader: BatchLoader[Any] = BatchLoader(make, plan, seed=seed)

    def train_dataloader(self) -> BatchLoader[Any]:
        """Return the one resumable loader of this data."""
        return self._loader

    def val_dataloader(self) -> FixedBatches[int]:
        """Return the one batch."""
        return FixedBatches([0])


class RankerModule(pl.LightningModule):
    """What any ranker's module shares: its validation, nDCG@10 of ``base`` times the fusion with what was learned."""

    def __init__(self, held_out: Sequence[Example], *, base: float) -> None:
        super().__init__()
        self._held_out, self.base = held_out, base

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return what has been learned of each candidate."""
        raise NotImplementedError

    def validation_step(self, _: int, __: int) -> None:
        """Log nDCG@10 of the held-out questions."""
        values = [one.worth(self.base * one.plain + self.learned(one.table)) for one in self._held_out]
        self.log(MONITOR, float(np.mean(values)), batch_size=len(values), sync_dist=True, prog_bar=True)
