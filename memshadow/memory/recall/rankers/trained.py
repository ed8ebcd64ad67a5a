"""A trained ranker in a model folder: which features it reads, what it adds to the fusion. Knows no training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from memshadow.errors import CheckpointError
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.memory.recall.rankers.forest import Forest
from memshadow.memory.recall.rankers.home import Home
from memshadow.memory.recall.rankers.listwise import SetTransformer
from memshadow.memory.recall.scene import Scene
from memshadow.models.checkpoint import read_model

PACKAGED = "packaged"
SHIPPED = Path(__file__).with_name("shipped")
TREES, LINEAR, LISTWISE = "ranker-trees", "ranker-linear", "ranker-listwise"


class TrainedRanker:
    """What a model file says of any trained ranker: it adds what it learned to ``base`` times vector and words.

    Raises:
        CheckpointError: no ranker of this kind there, damaged, or trained on features that this program does not have.
    """

    name: str
    kind: str

    def __init__(self, *, model: str) -> None:
        folder = SHIPPED if model == PACKAGED else Path(model)
        stored = read_model(folder)
        if stored.kind != self.kind:
            raise CheckpointError(f"{folder} holds a {stored.kind!r} model; needed: {self.kind!r}.")
        try:
            said = stored.settings["features"]
            self.table = FeatureTable.named([str(name) for name in said["names"]], str(said["fingerprint"]))
            self.base = float(stored.settings["base"])
            self.home = Home(stored.settings["home"]["scopes"], stored.settings["home"]["tolerance"])
            if not math.isfinite(self.base):
                raise ValueError("base")  # noqa: TRY301 - told as any other garbled setting
            self._take(stored.tensors())
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder} lacks or garbles {error}; train the ranker again.") from error
        self.fingerprint = stored.fingerprint

    def scores(self, scene: Scene) -> Float[ndarray, " c"]:
        """Return the fusion with what was learned added to it, as far as the ranker is at home in the scope."""
        plain, share = self.base * scene.at(scene.plain), self.home.share(scene)
        return plain + share * self.learned(self.table.rows(scene)) if share else plain

    def notes(self, scene: Scene) -> tuple[str, ...]:
        """Return what a user should know of how this scene was ranked."""
        if self.home.share(scene) == 1:
            return ()
        return (f"the ranker {self.name} was trained on other kinds of memories: the order leans on vector and words",)

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return what was learned of each candidate."""
        raise NotImplementedError

    def _take(self, tensors: Mapping[str, ndarray]) -> None:
        raise NotImplementedError


class TreeRanker(TrainedRanker):
    """Boosted trees on the features (LambdaMART, Burges 2010).

    Args:
        model: a folder that ``memshadow train learner=ranker_trees`` left, or ``packaged``: the one that comes along.
    """

    name, kind = "trees", TREES

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return the sums of leaves."""
        return self._forest.scores(table)

    def _take(self, tensors: Mapping[str, ndarray]) -> None:
        self._forest = Forest(*(tensors[name] for name in ("feature", "threshold", "left", "value")))
        asked = self._forest.feature
        if asked.size and not 0 <= asked.min() <= asked.max() < len(self.table.names):
            raise ValueError("the features that are asked for")


class LinearRanker(TrainedRanker):
    """A weighted sum of the features.

    Args:
        model: a folder that ``memshadow train learner=ranker_linear`` left.
    """

    name, kind = "linear", LINEAR

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return the sums."""
        return np.asarray(self._weight @ table)

    def _take(self, tensors: Mapping[str, ndarray]) -> None:
        self._weight = tensors["weight"].astype(np.float32)
        if self._weight.shape != (len(self.table.names),) or not np.isfinite(self._weight).all():
            raise ValueError("one weight a feature")


class ListwiseRanker(TrainedRanker):
    """Attention over the candidates: each is scored beside all others (Pang et al. 2020, *SetRank*, 1912.05891).

    Args:
        model: a folder that ``memshadow train experiment=ranker_listwise`` left.
    """

    name, kind = "listwise", LISTWISE

    def learned(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return what the layers make of each candidate."""
        return self._transformer.scores(table)

    def _take(self, tensors: Mapping[str, ndarray]) -> None:
        self._transformer = SetTransformer.of(tensors)
        if self._transformer.entry.shape[1] != len(self.table.names):
            raise ValueError("one column a feature")


def described(table: FeatureTable, *, base: float, home: Home) -> dict[str, Any]:
    """Return the settings that a model file keeps of a trained ranker."""
    return {
        "features": {"names": list(table.names), "fingerprint": table.fingerprint},
        "base": base,
        "home": {"scopes": home.scopes, "tolerance": home.tolerance},
    }


def ranker_of(model: str) -> TrainedRanker:
    """Return the ranker in a model folder, of whatever kind it is.

    Raises:
        CheckpointError: there is none, or none of a kind that is known.
    """
    kinds: dict[str, type[TrainedRanker]] = {one.kind: one for one in (TreeRanker, LinearRanker, ListwiseRanker)}
    kind = read_model(Path(model)).kind
    if kind not in kinds:
        raise CheckpointError(f"{model} holds a {kind!r} model; needed: one of {', '.join(kinds)}.")
    return kinds[kind](model=model)


class StoredRanker:
    """The ranker in a model folder, of whatever kind it is; ``packaged`` is the one that comes along."""

    def __init__(self, *, model: str) -> None:
        self._ranker = ranker_of(str(SHIPPED) if model == PACKAGED else model)
        self.name, self.fingerprint = self._ranker.name, self._ranker.fingerprint

    def scores(self, scene: Scene) -> Float[ndarray, " c"]:
        """Return the ranker's scores."""
        return self._ranker.scores(scene)

    def notes(self, scene: Scene) -> tuple[str, ...]:
        """Return the ranker's notes."""
        return self._ranker.notes(scene)


def is_ranker(model: Path) -> bool:
    """Return whether a model folder holds a ranker."""
    return read_model(model).kind.startswith("ranker-")
