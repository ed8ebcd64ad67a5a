"""What a trained ranker looks at: how much worse its order is when a feature tells it nothing.

Permutation importance (Breiman 2001, *Random Forests*, section 10), within each question: a feature's values are dealt
out again among the candidates, so that its range stays and its meaning goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from memshadow.memory.recall.examples import Example
from memshadow.memory.recall.rankers.trained import TrainedRanker
from memshadow.memory.recall.scene import Scene


def importances(ranker: TrainedRanker, found: Sequence[Example], *, by_group: bool, seed: int) -> dict[str, float]:
    """Return the nDCG@10 that is lost without each feature, or each group of them, the greatest loss first.

    The examples must have been made with the ranker's own table of features, at best of talks that it never saw.
    """
    names = ranker.table.names
    parts: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        parts.setdefault(name.partition("/")[0] if by_group else name, []).append(row)
    whole = np.mean([one.worth(_scores(ranker, one, one.table)) for one in found])
    lost = {part: float(whole - _without(ranker, found, rows, seed)) for part, rows in parts.items()}
    return dict(sorted(lost.items(), key=lambda item: -item[1]))


def contributions(ranker: TrainedRanker, scene: Scene) -> Mapping[str, Float[ndarray, " c"]]:
    """Return what puts each candidate where it is, beside the median one: the fusion, and each group of features.

    The parts need not add up to the difference of two scores: trees weigh features together.
    """
    table, plain = ranker.table.rows(scene), ranker.base * scene.at(scene.plain)
    scores, median = ranker.learned(table), np.median(table, axis=1, keepdims=True)
    groups: dict[str, Float[ndarray, " c"]] = {"fusion": plain - np.median(plain)}
    for group in dict.fromkeys(name.partition("/")[0] for name in ranker.table.names):
        usual = table.copy()
        rows = [row for row, name in enumerate(ranker.table.names) if name.startswith(f"{group}/")]
        usual[rows] = median[rows]
        groups[group] = scores - ranker.learned(usual)
    return groups


def _without(ranker: TrainedRanker, found: Sequence[Example], rows: Sequence[int], seed: int) -> float:
    rng = np.random.default_rng(seed)
    values = []
    for one in found:
        table = one.table.copy()
        table[rows] = table[rows][:, rng.permutation(table.shape[1])]
        values.append(one.worth(_scores(ranker, one, table)))
    return float(np.mean(values))


def _scores(ranker: TrainedRanker, one: Example, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
    return np.asarray(ranker.base * one.plain + ranker.learned(table))
