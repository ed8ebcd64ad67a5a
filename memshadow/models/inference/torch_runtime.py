"""BERT in PyTorch, without padding: the tokens of a batch lie in one long row, only attention sees where texts end.

A matrix product does not care which text a token belongs to, so the linear layers run over ``(tokens, dim)``; attention
runs over groups of texts of the same length, which need no mask. Takes token ids; knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from memshadow.models.inference.bert import BertLayer, BertShape, BertWeights

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TorchRuntime:
    """Runs BERT weights on ``device`` in ``fp32`` or ``bf16`` (which pays where the device multiplies bf16)."""

    def __init__(self, weights: BertWeights, *, precision: str, device: str) -> None:
        self.name, self.precision = f"torch-{precision}", precision
        self.dim = weights.shape.dim
        self._shape, self._device, dtype = weights.shape, torch.device(device), _PRECISIONS[precision]

        def placed(array: ndarray) -> Tensor:
            return torch.from_numpy(array).to(device=self._device, dtype=dtype)

        self._tokens, self._positions = placed(weights.tokens), placed(weights.positions)
        self._norm = placed(weights.norm), placed(weights.norm_bias)
        self._layers = [_TorchLayer(layer, weights.shape, self._device, dtype) for layer in weights.layers]

    @torch.inference_mode()
    def encode(self, sequences: Sequence[Sequence[int]]) -> Float32[ndarray, "n dim"]:
        """Return one pooled row per sequence of token ids."""
        if not sequences:
            return np.zeros((0, self.dim), dtype=np.float32)
        groups = [(length, sum(1 for _ in same)) for length, same in groupby(len(ids) for ids in sequences)]
        ids = torch.from_numpy(np.concatenate([np.asarray(ids, dtype=np.int64) for ids in sequences]))
        places = torch.cat([torch.arange(length).repeat(count) for length, count in groups])
        rows = self._tokens[ids.to(self._device)] + self._positions[places.to(self._device)]
        rows = functional.layer_norm(rows, (self.dim,), *self._norm, self._shape.epsilon)
        for layer in self._layers:
            rows = layer(rows, groups)
        return self._pooled(rows, groups).float().cpu().numpy()

    def _pooled(self, rows: Shaped[Tensor, "tokens dim"], groups: list[tuple[int, int]]) -> Shaped[Tensor, "n dim"]:
        parts, start = [], 0
        for length, count in groups:
            part = rows[start : start + length * count].view(count, length, self.dim)
            parts.append(part[:, 0] if self._shape.pooling == "cls" else part.float().mean(1))
            start += length * count
        return torch.cat(parts)


class _TorchLayer:
    """One transformer block over packed tokens (post-norm, as in BERT)."""

    def __init__(self, layer: BertLayer, shape: BertShape, device: torch.device, dtype: torch.dtype) -> None:
        def row(vector: ndarray) -> Tensor:
            return torch.from_numpy(vector).to(device=device, dtype=dtype)

        def matrix(weight: ndarray) -> Tensor:
            return row(np.ascontiguousarray(weight.T))

        self._shape = shape
        self._qkv = matrix(layer.qkv), row(layer.qkv_bias)
        self._out = matrix(layer.out), row(layer.out_bias)
        self._up = matrix(layer.up), row(layer.up_bias)
        self._down = matrix(layer.down), row(layer.down_bias)
        self._norm1 = row(layer.norm1), row(layer.norm1_bias)
        self._norm2 = row(layer.norm2), row(layer.norm2_bias)

    def __call__(
        self, rows: Shaped[Tensor, "tokens dim"], groups: list[tuple[int, int]]
    ) -> Shaped[Tensor, "tokens dim"]:
        attended = functional.linear(self._attention(functional.linear(rows, *self._qkv), groups), *self._out)
        rows = functional.layer_norm(attended.add_(rows), (self._shape.dim,), *self._norm1, self._shape.epsilon)
        inner = functional.linear(functional.gelu(functional.linear(rows, *self._up)), *self._down)
        return functional.layer_norm(inner.add_(rows), (self._shape.dim,), *self._norm2, self._shape.epsilon)

    def _attention(
        self, qkv: Shaped[Tensor, "tokens triple"], groups: list[tuple[int, int]]
    ) -> Shaped[Tensor, "tokens dim"]:
        parts, start, heads = [], 0, self._shape.heads
        for length, count in groups:
            block = qkv[start : start + length * count].view(count, length, 3, heads, -1)
            query, key, value = block.permute(2, 0, 3, 1, 4)
            found = functional.scaled_dot_product_attention(query, key, value)
            parts.append(found.transpose(1, 2).reshape(count * length, self._shape.dim))
            start += length * count
        return parts[0] if len(parts) == 1 else torch.cat(parts)
