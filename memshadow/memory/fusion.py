"""How several scores of the same memories become one. Takes score matrices; knows not where they came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

RRF_K = 60


def reciprocal_rank(parts: Sequence[Float[ndarray, "q n"]]) -> Float[ndarray, "q n"]:
    """Return sum over parts of 1 / (60 + rank), ranks from 1, best first (Cormack et al. 2009, eq. 1).

    Equal scores of a part keep the order of the memories.
    """
    return np.asarray(sum(1.0 / (RRF_K + 1 + _ranks(part)) for part in parts))


def min_max(parts: Sequence[Float[ndarray, "q n"]], weights: Sequence[float]) -> Float[ndarray, "q n"]:
    """Return the weighted sum of each part brought to [0, 1] within its question; a constant part counts 0.

    Raises:
        ValueError: not one weight per part.
    """
    return np.asarray(sum(w * _scaled(np.asarray(p, dtype=np.float64)) for p, w in zip(parts, weights, strict=True)))


def _ranks(scores: Float[ndarray, "q n"]) -> ndarray:
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(scores.shape[1])[None, :], axis=1)
    return ranks


def _scaled(scores: Float[ndarray, "q n"]) -> Float[ndarray, "q n"]:
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    return np.asarray((scores - low) / np.where(high > low, high - low, 1.0))
