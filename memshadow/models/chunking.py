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


def batches(lengths: Sequence[int], budget_tokens: int, *, call_tokens: int | None = None) -> Iterator[list[int]]:
    """Yield places, longest first, in batches whose padded size (count times longest) stays within the budget.

    Neighbours in a batch are of like length, so padding is small; the first batch is the largest, so a lack of memory
    shows at once. A sequence longer than the budget is a batch of its own. ``call_tokens``: what one more batch costs,
    in tokens; given, a batch also ends where that costs less than the padding it saves (a question of 8 tokens is not
    filled up to the 80 of an answer because both fit into the budget).
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for group in [order] if call_tokens is None else _cheapest(order, lengths, call_tokens):
        batch: list[int] = []
        for place in group:
            if batch and lengths[batch[0]] * (len(batch) + 1) > budget_tokens:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch


def _cheapest(order: list[int], lengths: Sequence[int], call_tokens: int) -> list[list[int]]:
    """Cut the places, longest first, so that padded tokens plus ``call_tokens`` a piece are fewest."""
    starts = [i for i, place in enumerate(order) if i == 0 or lengths[place] != lengths[order[i - 1]]]
    edges = [*starts, len(order)]
    best, cut = [0] + [0] * len(starts), [0] * (len(starts) + 1)
    for end in range(1, len(edges)):
        costs = [best[i] + (edges[end] - edges[i]) * lengths[order[edges[i]]] + call_tokens for i in range(end)]
        cut[end] = min(range(end), key=costs.__getitem__)
        best[end] = costs[cut[end]]
    pieces, end = [], len(starts)
    while end:
        pieces.append(order[edges[cut[end]] : edges[end]])
        end = cut[end]
    return pieces[::-1]


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
