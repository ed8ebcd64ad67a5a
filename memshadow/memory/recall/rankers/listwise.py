"""Attention over the candidates of one question as arrays, scored without torch. Knows numbers only.

The same as :class:`~memshadow.memory.recall.rankers.nets.AttentionNet`, which trained it, without its dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError

LIMIT = 4.0
"""Deviations from the mean beyond which a feature tells no more."""
_EPSILON = np.float32(1e-5)  # of torch's LayerNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTransformer:
    """Layers one behind the other in ``layer_`` arrays; matrices are ``(out, in)``, as torch keeps them."""

    mean: Float32[ndarray, " features"]
    scale: Float32[ndarray, " features"]
    """1 / deviation; 0 for a feature that told nothing."""
    entry: Float32[ndarray, "width features"]
    entry_bias: Float32[ndarray, " width"]
    layer_norm1: Float32[ndarray, "layers width"]
    layer_norm1_bias: Float32[ndarray, "layers width"]
    layer_mix: Float32[ndarray, "layers 3 heads each width"]
    """To what a candidate asks, what it is asked by, and what it answers."""
    layer_mix_bias: Float32[ndarray, "layers three_widths"]
    layer_out: Float32[ndarray, "layers width width"]
    layer_out_bias: Float32[ndarray, "layers width"]
    layer_norm2: Float32[ndarray, "layers width"]
    layer_norm2_bias: Float32[ndarray, "layers width"]
    layer_up: Float32[ndarray, "layers inner width"]
    layer_up_bias: Float32[ndarray, "layers inner"]
    layer_down: Float32[ndarray, "layers width inner"]
    layer_down_bias: Float32[ndarray, "layers width"]
    norm: Float32[ndarray, " width"]
    norm_bias: Float32[ndarray, " width"]
    head: Float32[ndarray, " width"]

    def __post_init__(self) -> None:
        """Check that the arrays fit together: they may come from a file."""
        arrays = {part.name: getattr(self, part.name) for part in fields(self)}
        if self.entry.ndim != 2 or self.layer_mix.ndim != 5 or self.layer_up.ndim != 3:
            raise CheckpointError(_UNFIT)
        for name, shape in self._shapes().items():
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise CheckpointError(f"{_UNFIT[:-1]}: {name} is {array.dtype}{list(array.shape)}, not {list(shape)}.")

    @classmethod
    def of(cls, tensors: Mapping[str, ndarray]) -> SetTransformer:
        """Return what a model file keeps; a ``KeyError`` names what it lacks."""
        return cls(**{part.name: tensors[part.name] for part in fields(cls)})

    def scores(self, table: Float32[ndarray, "features c"]) -> Float32[ndarray, " c"]:
        """Return one number for each column of the table."""
        brought = np.clip((table.T - self.mean) * self.scale, -LIMIT, LIMIT)
        rows = brought @ self.entry.T + self.entry_bias
        for layer in range(len(self.layer_mix)):
            rows += self._attended(_normed(rows, self.layer_norm1[layer], self.layer_norm1_bias[layer]), layer)
            rows += self._thought(_normed(rows, self.layer_norm2[layer], self.layer_norm2_bias[layer]), layer)
        return np.asarray(_normed(rows, self.norm, self.norm_bias) @ self.head)

    def _attended(self, rows: Float32[ndarray, "c width"], layer: int) -> Float32[ndarray, "c width"]:
        _, _, heads, each, width = self.layer_mix.shape
        mixed = rows @ self.layer_mix[layer].reshape(-1, width).T + self.layer_mix_bias[layer]
        asked, keys, values = mixed.reshape(-1, 3, heads, each).transpose(1, 2, 0, 3)
        weights = asked @ keys.transpose(0, 2, 1)
        weights -= weights.max(axis=-1, keepdims=True)
        weights *= np.float32(each**-0.5)
        np.exp(weights, out=weights)
        found = weights @ values / weights.sum(axis=-1, keepdims=True)
        return np.asarray(
            found.transpose(1, 0, 2).reshape(-1, width) @ self.layer_out[layer].T + self.layer_out_bias[layer]
        )

    def _thought(self, rows: Float32[ndarray, "c width"], layer: int) -> Float32[ndarray, "c width"]:
        inner = np.maximum(rows @ self.layer_up[layer].T + self.layer_up_bias[layer], 0)
        return np.asarray(inner @ self.layer_down[layer].T + self.layer_down_bias[layer])

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array, as the three that tell all numbers have it."""
        (width, features), (layers, _, heads, each, _) = self.entry.shape, self.layer_mix.shape
        inner = self.layer_up.shape[1]
        rows = dict.fromkeys(("layer_norm1", "layer_norm1_bias", "layer_out_bias"), (layers, width))
        rows |= dict.fromkeys(("layer_norm2", "layer_norm2_bias", "layer_down_bias"), (layers, width))
        return {
            **dict.fromkeys(("mean", "scale"), (features,)),
            **dict.fromkeys(("entry_bias", "norm", "norm_bias", "head"), (width,)),
            **rows,
            "entry": (width, features),
            "layer_mix": (layers, 3, heads, width // max(heads, 1), width),
            "layer_mix_bias": (layers, 3 * heads * each),
            "layer_out": (layers, width, width),
            "layer_up": (layers, inner, width),
            "layer_up_bias": (layers, inner),
            "layer_down": (layers, width, inner),
        }


_UNFIT = "the arrays of the attention do not fit together; train the ranker again."


def _normed(
    rows: Float32[ndarray, "c width"], weight: Float32[ndarray, " width"], bias: Float32[ndarray, " width"]
) -> Float32[ndarray, "c width"]:
    """Return each row at mean 0 and deviation 1, times ``weight``, plus ``bias`` (Ba et al. 2016, 1607.06450)."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = np.einsum("cw,cw->c", centred, centred)[:, None] / np.float32(rows.shape[1])
    return np.asarray(centred / np.sqrt(spread + _EPSILON) * weight + bias)
