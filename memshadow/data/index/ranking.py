"""The best of many scores. Takes arrays; knows nothing of what is scored."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.data.index.base import Nearest

_SORT_ALL = 400  # up to so many scores a whole sort is cheaper than looking for the k-th first


def best(scores: Float32[ndarray, " n"], k: int) -> Nearest:
    """Return the ``k`` highest scores and where they stand, best first; equal ones in the order of places.

    ``k`` above n gives all, ``k`` below 1 none.
    """
    n = len(scores)
    if n <= _SORT_ALL or k >= n:
        places = (-scores).argsort(kind="stable")[: max(k, 0)]
        return Nearest(places, scores.take(places))
    if k < 1:
        return Nearest(np.zeros(0, dtype=np.int64), scores[:0])
    least = np.partition(scores, n - k)[n - k]
    candidates = np.flatnonzero(scores >= least)
    found = scores[candidates]
    order = (-found).argsort(kind="stable")[:k]
    return Nearest(candidates.take(order), found.take(order))


def best_of(places: ndarray, scores: Float32[ndarray, " n"], k: int) -> Nearest:
    """Return the ``k`` best of ``places`` (ascending), whose scores stand beside them."""
    order, found = best(scores, k)
    return Nearest(places.take(order), found)
