"""The learner of the tree ranker: conversations in, a model folder out. Knows LightGBM, which only training needs.

An epoch grows some trees on top of what the trees before say (LambdaMART: Burges 2010, *From RankNet to LambdaRank to
LambdaMART*). Trees are arrays from the first on (see :mod:`.forest`), so a stopped training goes on to the same bits.
Several forests may be grown apart, by other random draws; their mean varies less than one (Breiman 1996, *Bagging
predictors*).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor

from memshadow.errors import ConfigError
from memshadow.memory.recall.examples import Example, examples
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.memory.recall.rankers.forest import MOST_LEAVES, Forest
from memshadow.memory.recall.rankers.home import Home
from memshadow.memory.recall.rankers.learning import MONITOR, RankerModule, RankingData, balance, learnable
from memshadow.memory.recall.rankers.trained import TREES, described
from memshadow.memory.recall.viewing import Viewer
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.checkpoint import write_model
from memshadow.training.batching import Draw
from memshadow.types import Conversation


class TreeLearner:
    """Grows boosted trees on the features of candidates.

    Args:
        encoder: what the vector's scores come from.
        viewer: how a question is seen; the served ranking must see alike.
        groups: of features.
        without: features left out, ``group/name``.
        base: how much of the fusion the trees are added to: few trees leave its order nearly as it is.
        tolerance: see :class:`~memshadow.memory.recall.rankers.home.Home`; ``None``: at home everywhere.
        trees: grown in an epoch, in each forest.
        forests: grown apart; the ranker is their mean, and scoring costs as many times more.
        lr: shrinkage of each tree.
        leaves: of a tree, at most 16.
        least: candidates in a leaf.
        feature_share, candidate_share: of the features and of the candidates that a tree sees.
        l2: pull of the leaves towards 0.
        truncation: pairs below this rank teach nothing.
        balanced: whether every corpus of a mix counts the same.
        threads: of LightGBM.
        max_epochs, patience: epochs at most, and validations without a better score before the end.
    """

    name = "ranker_trees"
    monitor = MONITOR

    def __init__(
        self,
        *,
        encoder: Embedder,
        viewer: Viewer,
        groups: Sequence[str],
        without: Sequence[str],
        base: float,
        tolerance: float | None,
        trees: int,
        forests: int,
        lr: float,
        leaves: int,
        least: int,
        feature_share: float,
        candidate_share: float,
        l2: float,
        truncation: int,
        balanced: bool,
        threads: int,
        max_epochs: int,
        patience: int,
    ) -> None:
        if not 2 <= leaves <= MOST_LEAVES or trees < 1 or forests < 1:
            raise ConfigError(
                f"leaves={leaves}, trees={trees}, forests={forests}; needed: 2 to {MOST_LEAVES} leaves, and at least 1."
            )
        self.encoder, self.viewer, self.max_epochs, self.patience = encoder, viewer, max_epochs, patience
        self._table = FeatureTable(groups=groups, without=without)
        self._base, self._tolerance, self._balanced = base, tolerance, balanced
        self._shape = Shape(most=max_epochs * trees * forests, leaves=leaves, trees=trees, forests=forests)
        self._growing: dict[str, Any] = {
            "objective": "lambdarank",
            "learning_rate": lr,
            "num_leaves": leaves,
            "min_data_in_leaf": least,
            "feature_fraction": feature_share,
            "bagging_fraction": candidate_share,
            "bagging_freq": 1,
            "lambda_l2": l2,
            "lambdarank_truncation_level": truncation,
            "max_bin": 63,  # thresholds a feature; more of them cost time and gain nothing here
            "num_threads": threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        self._home = Home([], tolerance)

    def parts(
        self, training: Sequence[Conversation], validation: Sequence[Conversation], *, cache: Path, seed: int
    ) -> tuple[TreeModule, RankingData]:
        """Return the module and its data.

        Raises:
            DataError: no question with evidence among its candidates to train on, or none to validate on.
        """
        encoder = CachedEmbedder(encoder=self.encoder, folder=str(cache))
        learned, held_out = (
            learnable(examples(given, encoder, self.viewer, self._table, what=what), what)
            for given, what in ((training, "training"), (validation, "held-out"))
        )
        weights = balance(learned) if self._balanced else np.ones(len(learned))
        grower = Grower(learned, weights, base=self._base, settings=self._growing)
        module = TreeModule(grower, held_out, shape=self._shape, base=self._base)
        self._home = Home([one.likeness for one in learned], self._tolerance)
        return module, RankingData(_seed_of, _one_batch, seed=seed)

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Write the trees."""
        if not isinstance(module, TreeModule):
            raise TypeError(f"a {type(module).__name__} came; needed: the TreeModule that parts() gave")
        settings = described(self._table, base=self._base, home=self._home)
        write_model(folder, kind=TREES, settings=settings, tensors=module.forest().tensors())


class Grower:
    """Grows trees on examples, given what has been grown."""

    def __init__(
        self, learned: Sequence[Example], weights: np.ndarray, *, base: float, settings: dict[str, Any]
    ) -> None:
        self._settings, self._learned = settings, learned
        self._data = lightgbm.Dataset(
            np.concatenate([one.table.T for one in learned]),
            np.concatenate([one.gold for one in learned]).astype(np.int32),
            group=[len(one.gold) for one in learned],
            weight=np.concatenate(
                [np.full(len(one.gold), weight) for one, weight in zip(learned, weights, strict=True)]
            ),
            params={name: settings[name] for name in ("force_row_wise", "max_bin", "num_threads", "verbose")},
            free_raw_data=False,
        )
        self._start = base * np.concatenate([one.plain for one in learned]).astype(np.float64)

    def grown(self, said: Float[ndarray, " all"] | float, trees: int, seed: int) -> Forest:
        """Return ``trees`` more trees, on top of what those before say of all candidates."""
        self._data.set_init_score(self._start + said)
        booster = lightgbm.train({**self._settings, "seed": seed}, self._data, num_boost_round=trees)
        return Forest.grown(booster.dump_model()["tree_info"])

    def said(self, forest: Forest) -> Float[ndarray, " all"]:
        """Return what some trees say of all candidates."""
        return np.concatenate([forest.scores(one.table) for one in self._learned])


class Shape(NamedTuple):
    """Trees in all at most, leaves of a tree, and trees that a step adds to each of so many forests."""

    most: int
    leaves: int
    trees: int
    forests: int


class TreeModule(RankerModule):
    """Trees as buffers with room for all of them; ``growth`` numbers what was grown at once, forest after forest."""

    growth: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    value: Tensor
    counts: Tensor

    def __init__(self, grower: Grower, held_out: Sequence[Example], *, shape: Shape, base: float) -> None:
        super().__init__(held_out, base=base)
        self._grower, self._shape = grower, shape
        self._said: list[Float[ndarray, " all"] | float] = []
        most, leaves = shape.most, shape.leaves
        self.register_buffer("growth", torch.full((most,), -1, dtype=torch.int32))
        self.register_buffer("feature", torch.zeros(most, leaves - 1, dtype=torch.int32))
        self.register_buffer("threshold", torch.full((most, leaves - 1), torch.inf))
        self.register_buffer("left", torch.full((most, leaves - 1), -1, dtype=torch.int16))
        self.register_buffer("value", torch.zeros(most, leaves))
        self.register_buffer("counts", torch.zeros(shape.forests, dtype=torch.int64))
        self._idle = torch.nn.Parameter(torch.zeros(1))  # Lightning counts steps by its optimiser

    def forest(self) -> Forest:
        """Return what has been grown: all forests as one, whose sum is their mean."""
        return self._of(slice(0, max(int(self.counts.sum()), 1)), share=1 / self._shape.forests)

    def training_step(self, batch: int, _: int) -> Tensor:
        """Grow some trees in every forest; the loss is that of the parameter that stands still."""
        said = self._said = self._said or self._recalled()
        for number in range(self._shape.forests):
            new = self._grower.grown(said[number], self._shape.trees, (batch + number) % 2**31)
            said[number] = said[number] + self._grower.said(new)
            self._keep(new, number)
        self.log("train/trees", float(self.counts.sum()), batch_size=1)
        return self._idle.sum()

    def _recalled(self) -> list[Float[ndarray, " all"] | float]:
        """Return what each forest says so far, added up in the order of growing: the same bits as if never stopped."""
        said: list[Float[ndarray, " all"] | float] = [0.0] * self._shape.forests
        for growth in range(int(self.growth.max()) + 1):
            grown = self._of(torch.nonzero(self.growth == growth).ravel(), share=1.0)
            said[growth % len(said)] = said[growth % len(said)] + self._grower.said(grown)
        return said

    def _of(self, which: slice | Tensor, *, share: float) -> Forest:
        feature, threshold, left, value = (
            getattr(self, name)[which].cpu().numpy() for name in ("feature", "threshold", "left", "value")
        )
        return Forest(feature, threshold, left.view(np.uint16), value * np.float32(share))

    def _keep(self, new: Forest, number: int) -> None:
        first, (grown, nodes) = int(self.counts.sum()), new.feature.shape
        for name, array in new.tensors().items():
            width = nodes + 1 if name == "value" else nodes
            rows = torch.from_numpy(array.view(np.int16) if name == "left" else array)
            getattr(self, name)[first : first + grown, :width] = rows.to(self.device)
        self.growth[first : first + grown] = self.growth.max() + 1
        self.counts[number] += grown

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return the sums of leaves."""
        return self.forest().scores(table)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return one that changes nothing."""
        return torch.optim.SGD([self._idle], lr=0.0)


def _one_batch(_: int) -> list[list[int]]:
    return [[0]]


def _seed_of(draw: Draw) -> int:
    return int(draw.generator().integers(2**31))
