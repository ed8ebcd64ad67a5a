"""Cut what is too long, batch what is of like length, put the pieces together again. Knows no text and no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float32
from numpy import ndarray


def windows(length: int, limit: int) -> list[slice]:
    """Return the fewest slices of at most ``limit`` that cover ``length``, as equal in size as can be.

    Equal pieces, because the last piece of a greedy cut may be a word or two, whose vector says little. Length 0 gives
    one empty slice: a text without tokens still has its special ones.
    """
    if limit < 1:
        raise ValueError(f"a window of {limit} tokens holds nothing; at least 1 is needed")
    count = max(1, -(-length // limit))
    edges = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def batches(lengths: Sequence[int], budget_tokens: int) -> Iterator[list[int]]:
    """Yield places, longest first, in batches whose padded size (count times longest) stays within the budget.

    Neighbours in a batch are of like length, so padding is small; the first batch is the largest, so a lack of memory
    shows at once. A sequence longer than the budget is a batch of its own.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def unit(rows: Float32[ndarray, "n dim"]) -> Float32[ndarray, "n dim"]:
    """Return the rows at norm 1; zero rows stay zero."""
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norm == 0, 1, norm), dtype=np.float32)


def joined(
    rows: Float32[ndarray, "pieces dim"], owners: Sequence[int], sizes: Sequence[int], count: int
) -> Float32[ndarray, "count dim"]:
    """Return the mean of each owner's unit rows, weighted by size, at norm 1; owners without a piece get a zero row."""
    whole = np.zeros((count, rows.shape[1]), dtype=np.float32)
    np.add.at(whole, np.asarray(owners, dtype=np.intp), unit(rows) * np.maximum(sizes, 1)[:, None].astype(np.float32))
    return unit(whole)
