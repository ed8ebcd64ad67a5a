"""Figures of a ranking against its gold, and their intervals. Takes places and costs; knows no text and no model.

Retrieval metrics as in the LoCoMo paper (arXiv 2402.17753) and LongMemEval (arXiv 2410.10813); binary gain throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

CUTS = (1, 5, 10, 20, 50)
HIT_CUTS = (1, 5, 10)
BUDGETS_TOKENS = (256, 512, 1024)
RESAMPLES = 4000


def ndcg(places: Sequence[int], gold: int, k: int = 10) -> float:
    """Return the normalised discounted cumulative gain at ``k`` (Järvelin & Kekäläinen 2002) in [0, 1].

    ``places`` are the 0-based ranks at which gold was found, ``gold`` is how much of it there is (at least 1).
    """
    ideal = sum(1 / math.log2(i + 2) for i in range(min(k, gold)))
    return sum(1 / math.log2(p + 2) for p in places if p < k) / ideal


def score_ranking(
    ranked: Sequence[str], gold: Set[str], *, cost: Mapping[str, int], session: Mapping[str, str]
) -> dict[str, float]:
    """Return every metric of one question.

    Args:
        ranked: memory ids, best first.
        gold: ids of the evidence, not empty.
        cost: tokens that each ranked memory takes in a prompt.
        session: the session of each memory.

    Returns:
        ``recall@k``, ``hit@k``, ``mrr``, ``ndcg@10``, ``er@B`` (evidence recall when memories are taken in rank order
        until the next one would not fit ``B`` tokens) and ``session_hit@1``, all in [0, 1].
    """
    places = [i for i, memory_id in enumerate(ranked) if memory_id in gold]
    row = {f"recall@{k}": sum(p < k for p in places) / len(gold) for k in CUTS}
    row |= {f"hit@{k}": float(any(p < k for p in places)) for k in HIT_CUTS}
    row["mrr"] = 1 / (places[0] + 1) if places else 0.0
    row["ndcg@10"] = ndcg(places, len(gold))
    row |= {f"er@{budget}": _found_within(ranked, gold, cost, budget) / len(gold) for budget in BUDGETS_TOKENS}
    row["session_hit@1"] = float(bool(ranked) and session[ranked[0]] in {session[g] for g in gold})
    return row


def _found_within(ranked: Sequence[str], gold: Set[str], cost: Mapping[str, int], budget: int) -> int:
    spent = found = 0
    for memory_id in ranked:
        spent += cost[memory_id]
        if spent > budget:
            break
        found += memory_id in gold
    return found


def prompt_tokens(rendered: str) -> int:
    """Return what a memory costs in a prompt: its characters over 4, rounded up."""
    return math.ceil(len(rendered) / 4)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval over ``n`` questions."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: Float[ndarray, " n"], groups: Sequence[str]) -> Estimate:
    """Return the mean with a percentile bootstrap interval over ``groups`` (Efron & Tibshirani 1993, chapter 13).

    Whole groups (conversations) are drawn with replacement, since questions of one are not independent; the drawing
    is seeded, so the same values give the same interval. A single group gives an interval of no width.

    Raises:
        ValueError: no values, or not one group per value.
    """
    if len(values) == 0 or len(values) != len(groups):
        raise ValueError(f"{len(values)} values with {len(groups)} group names; needed: at least one, and as many")
    sums, counts = _sums(np.asarray(values, dtype=np.float64), groups)
    draw = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[draw].sum(1) / counts[draw].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(np.mean(values)), float(low), float(high), len(values))


def _sums(values: Float64[ndarray, " n"], groups: Sequence[str]) -> tuple[ndarray, ndarray]:
    """Return the sum and the number of values of each group, groups in the order of their names."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    return np.bincount(member, weights=values), np.bincount(member)


def spearman(first: Float[ndarray, " n"], second: Float[ndarray, " n"]) -> float:
    """Return Spearman's rank correlation in [-1, 1]; ties share their mean rank, a constant side gives 0."""
    a, b = _ranks(np.asarray(first)), _ranks(np.asarray(second))
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0


def _ranks(values: ndarray) -> Float64[ndarray, " n"]:
    _, member, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(((last - counts + last - 1) / 2)[member], dtype=np.float64)
