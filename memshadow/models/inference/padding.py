"""Sequences of unequal length as one rectangle and its mask. Knows no engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from numpy import ndarray


def padded(sequences: Sequence[Sequence[int]]) -> tuple[Int64[ndarray, "n length"], Int64[ndarray, "n length"]]:
    """Return ids, filled up with 0, and a mask that is 1 where an id stands."""
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in sequences])
    return ids, mask
