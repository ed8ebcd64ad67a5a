"""The loss of contrastive training: which of ``losses`` with which weights, over one batch. Knows batches of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from memshadow.models.losses import distillation, false_negatives, multiple_negatives, nested


class Tokenised(NamedTuple):
    """Texts in chunks of like length; row ``order[i]`` of the chunks put together belongs to text i."""

    chunks: list[tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]]
    order: Int[Tensor, " texts"]


class PairBatch(NamedTuple):
    """``queries`` texts that ask, then distinct passages. ``ignore``: known to answer too. ``guide``: its scores."""

    texts: Tokenised
    queries: int
    target: Int[Tensor, " b"]
    ignore: Bool[Tensor, "b n"]
    guide: Float[Tensor, "b n"] | None


def encoded(encoder: nn.Module, texts: Tokenised, *, cached: bool = False) -> Float[Tensor, "texts d"]:
    """Return one row per text.

    ``cached`` keeps no activations: each chunk is run again, with the same dropout, when its gradient is asked. That is
    the gradient cache (Gao et al. 2021, 2101.06983) by torch's checkpointing: memory of one chunk, any batch size, the
    same gradient.
    """
    run = partial(checkpoint, encoder, use_reentrant=False) if cached else encoder
    return torch.cat([run(ids, mask) for ids, mask in texts.chunks])[texts.order]


class Contrast:
    """Multiple negatives with hardness, false-negative masking, nested widths and distillation of a guide.

    Args:
        scale: of the cosines before the softmax.
        hardness: see ``losses.multiple_negatives``; 0 weighs all negatives alike.
        margin: passages that the guide scores above the target's score less this are no negatives; ``None``: none is.
        distil: weight of the guide's score distribution in the loss; 0: none.
        temperature: of that distribution (cosines are divided by it).
        dims: widths at which the rows, cut, must do the same; empty: the whole width only.
        cached: gradient cache: large batches in the memory of one chunk, for one more forward pass.
    """

    def __init__(
        self,
        *,
        scale: float,
        hardness: float,
        margin: float | None,
        distil: float,
        temperature: float,
        dims: Sequence[int],
        cached: bool,
    ) -> None:
        self._scale, self._hardness, self._margin = scale, hardness, margin
        self._distil, self._temperature = distil, temperature
        self._dims, self._cached = tuple(dims), cached
        self.needs_guide = margin is not None or distil > 0

    def __call__(self, encoder: nn.Module, batch: PairBatch) -> dict[str, Tensor]:
        """Return ``loss`` and, where it has two, its parts."""
        rows = encoded(encoder, batch.texts, cached=self._cached)
        queries, passages = rows[: batch.queries], rows[batch.queries :]
        if self._dims:
            loss = nested(partial(self._contrast, batch), queries, passages, dims=self._dims)
        else:
            loss = self._contrast(batch, queries, passages)
        if not self._distil or batch.guide is None:
            return {"loss": loss}
        taught = distillation(queries @ passages.T, batch.guide, temperature=self._temperature)
        return {"loss": loss + self._distil * taught, "contrast": loss, "distil": taught}

    def _contrast(self, batch: PairBatch, queries: Tensor, passages: Tensor) -> Tensor:
        ignore = batch.ignore
        if self._margin is not None and batch.guide is not None:
            ignore = ignore | false_negatives(batch.guide, batch.target, margin=self._margin)
        return multiple_negatives(
            queries @ passages.T, batch.target, scale=self._scale, hardness=self._hardness, ignore=ignore
        )
