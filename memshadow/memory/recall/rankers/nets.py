"""What a listwise ranker may be made of, in torch: a weighted sum, or attention over the candidates. Know no training.

Each takes the features of the candidates of some questions and gives one number a candidate, which says nothing at
first: an untrained ranker is the fusion. ``tensors`` is what serving reads, which needs no torch.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from memshadow.errors import ConfigError
from memshadow.memory.recall.rankers.listwise import LIMIT
from memshadow.memory.recall.rankers.trained import LINEAR, LISTWISE


class Spread(NamedTuple):
    """Where the features of the training candidates lie: ``scale`` is 1 / deviation, 0 for what never differs."""

    mean: Float32[ndarray, " features"]
    scale: Float32[ndarray, " features"]


class RankingNet(nn.Module):
    """Scores the candidates of each question, whatever their order; rows that are not ``there`` count for nothing."""

    kind: str
    """Of the model file."""
    mean: Tensor
    scale: Tensor

    def __init__(self, spread: Spread) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(spread.mean), persistent=False)
        self.register_buffer("scale", torch.from_numpy(spread.scale), persistent=False)

    @abstractmethod
    def forward(self, table: Float[Tensor, "q c features"], there: Bool[Tensor, "q c"]) -> Float[Tensor, "q c"]:
        """Return one number a candidate."""

    @abstractmethod
    def tensors(self) -> dict[str, ndarray]:
        """Return the weights as a model file keeps them."""

    def _brought(self, table: Float[Tensor, "q c features"]) -> Float[Tensor, "q c features"]:
        return (table - self.mean) * self.scale


class LinearNet(RankingNet):
    """A weight a feature."""

    kind = LINEAR

    def __init__(self, spread: Spread) -> None:
        super().__init__(spread)
        self.weight = nn.Parameter(torch.zeros(len(spread.mean)))

    def forward(self, table: Float[Tensor, "q c features"], there: Bool[Tensor, "q c"]) -> Float[Tensor, "q c"]:  # noqa: ARG002
        """Return the weighted sums."""
        return self._brought(table) @ self.weight

    def tensors(self) -> dict[str, ndarray]:
        """Return weights for the features as they are: what the mean adds is the same for all candidates."""
        return {"weight": _array(self.weight * self.scale)}


class AttentionNet(RankingNet):
    """A transformer over the set of candidates, without positions: each sees all others, none has a place.

    Pang et al. 2020 (*SetRank*, 1912.05891, section 3); Pobrotyn et al. 2020 (*Context-aware learning to rank with
    self-attention*, 2005.10084, section 3). Their norms stand behind the layers, these before: it trains calmer.

    Args:
        spread: of the features.
        width: of a candidate's row between the layers.
        heads: of a layer; they share the width.
        layers: of attention, each followed by two layers of its own for every candidate.
        dropout: share of the rows' numbers that a training step leaves out, after each layer.
    """

    kind = LISTWISE

    def __init__(self, spread: Spread, *, width: int, heads: int, layers: int, dropout: float) -> None:
        if heads < 1 or width < heads or width % heads or layers < 1 or not 0 <= dropout < 1:
            raise ConfigError(
                f"width={width}, heads={heads}, layers={layers}, dropout={dropout}; needed: a layer and a head or "
                "more, a width that the heads divide, a dropout of at least 0 and below 1."
            )
        super().__init__(spread)
        self.entry = nn.Linear(len(spread.mean), width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, table: Float[Tensor, "q c features"], there: Bool[Tensor, "q c"]) -> Float[Tensor, "q c"]:
        """Return what the last layer makes of each candidate."""
        rows = self.entry(self._brought(table).clamp(-LIMIT, LIMIT))
        hidden = torch.zeros_like(there, dtype=rows.dtype).masked_fill(~there, -torch.inf)[:, None, None]
        for layer in self.layers:
            rows = layer(rows, hidden)
        scores: Tensor = self.head(self.norm(rows))[..., 0]
        return scores

    def tensors(self) -> dict[str, ndarray]:
        """Return the weights by the names of :class:`~memshadow.memory.recall.rankers.listwise.SetTransformer`."""
        layers = [layer.tensors() for layer in self.layers]  # type: ignore[operator]
        return {
            "mean": _array(self.mean),
            "scale": _array(self.scale),
            "entry": _array(self.entry.weight),
            "entry_bias": _array(self.entry.bias),
            **{name: np.stack([layer[name] for layer in layers]) for name in layers[0]},
            "norm": _array(self.norm.weight),
            "norm_bias": _array(self.norm.bias),
            "head": _array(self.head.weight[0]),
        }


class _Layer(nn.Module):
    """Attention over the candidates, then two layers on each of them, norms before (Xiong et al. 2020, 2002.04745)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads, self._dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, rows: Float[Tensor, "q c w"], hidden: Float[Tensor, "q 1 1 c"]) -> Float[Tensor, "q c w"]:
        rows = rows + self._kept(self.out(self._attended(self.mix(self.norm1(rows)), hidden)))
        return rows + self._kept(self.down(functional.relu(self.up(self.norm2(rows)))))

    def _attended(
        self, mixed: Float[Tensor, "q c three_w"], hidden: Float[Tensor, "q 1 1 c"]
    ) -> Float[Tensor, "q c w"]:
        """Return the mean of the values, weighted by scaled products (Vaswani et al. 2017, 1706.03762, eq. 1)."""
        asked, keys, values = mixed.reshape(*mixed.shape[:2], 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(asked @ keys.mT / math.sqrt(asked.shape[-1]) + hidden, dim=-1)
        found: Tensor = (weights @ values).transpose(1, 2).flatten(-2)
        return found

    def _kept(self, rows: Tensor) -> Tensor:
        return functional.dropout(rows, self._dropout, self.training)

    def tensors(self) -> dict[str, ndarray]:
        found = {
            f"layer_{name.replace('.weight', '').replace('.', '_')}": _array(w) for name, w in self.named_parameters()
        }
        found["layer_mix"] = found["layer_mix"].reshape(3, self._heads, -1, found["layer_mix"].shape[-1])
        return found


def _array(weight: Tensor) -> ndarray:
    return weight.detach().cpu().numpy().copy()
