"""Boosted trees as arrays, scored without the library that grew them. Knows numbers only.

Every node of every tree is asked at once, and a tree's leaf is found by striking out the leaves that its false nodes
rule out (QuickScorer, Lucchese et al. 2015, SIGIR, section 3): a hundred candidates by 300 trees in a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt16
from numpy import ndarray

from memshadow.errors import CheckpointError

_KINDS = ("int32", "float32", "uint16", "float32")
_AGAIN = "train the ranker again."
MOST_LEAVES = 16
"""As many as a 16-bit mask has bits."""


@dataclass(frozen=True, slots=True)
class Forest:
    """``trees`` trees of at most ``nodes`` inner nodes and ``leaves`` leaves, filled up with nodes that always hold."""

    feature: Int32[ndarray, "trees nodes"]
    """What a node asks: the row of the table ..."""
    threshold: Float32[ndarray, "trees nodes"]
    """... that must not be above this, for the left."""
    left: UInt16[ndarray, "trees nodes"]
    """Bits of the leaves that remain where the answer is no: all but those on the left."""
    value: Float32[ndarray, "trees leaves"]
    """What a leaf adds; leaves are numbered from the left."""

    def __post_init__(self) -> None:
        """Check that the arrays fit together and can be scored: they may come from a file."""
        arrays = (self.feature, self.threshold, self.left, self.value)
        kinds = all(array.dtype == kind for array, kind in zip(arrays, _KINDS, strict=True))
        if not (kinds and all(array.ndim == 2 for array in arrays)):
            raise CheckpointError(f"the arrays are no tables of {', '.join(_KINDS)} that do fit together; {_AGAIN}")
        trees, nodes = self.feature.shape
        fits = self.threshold.shape == self.left.shape == (trees, nodes) and self.value.shape == (trees, nodes + 1)
        if not (fits and trees and 1 <= nodes < MOST_LEAVES):
            raise CheckpointError(f"the arrays of the trees do not fit together; {_AGAIN}")
        left = np.bitwise_and.reduce(self.left, axis=1)  # what is left where every answer is no
        sound = np.isfinite(self.value).all() and not np.isnan(self.threshold).any() and left.all()
        if not sound or (_LOWEST[left] > nodes).any():
            raise CheckpointError(f"the trees hold no numbers or no leaves, so they do not fit together; {_AGAIN}")

    def scores(self, table: Float32[ndarray, "features c"]) -> Float[ndarray, " c"]:
        """Return the sum of the leaves that each column of the table falls into."""
        trees, nodes = self.feature.shape
        holds = table.take(self.feature.ravel(), axis=0) <= self.threshold.reshape(-1, 1)
        kept = (-holds.view(np.int8).astype(np.int16)).view(np.uint16)  # all bits where it holds, none where not
        kept |= self.left.reshape(-1, 1)
        remaining = np.bitwise_and.reduce(kept.reshape(trees, nodes, -1), axis=1)
        return np.asarray(self.value[np.arange(trees)[:, None], _LOWEST[remaining]].sum(axis=0, dtype=np.float64))

    def tensors(self) -> dict[str, ndarray]:
        """Return the arrays as a model file keeps them."""
        return {"feature": self.feature, "threshold": self.threshold, "left": self.left, "value": self.value}

    @classmethod
    def grown(cls, trees: Sequence[Mapping[str, Any]]) -> Forest:
        """Return the trees of LightGBM's ``Booster.dump_model()["tree_info"]``."""
        roots = [tree["tree_structure"] for tree in trees]
        nodes = max(1, *(_inner(root) for root in roots)) if roots else 1
        feature = np.zeros((len(roots), nodes), dtype=np.int32)
        threshold = np.full((len(roots), nodes), np.inf, dtype=np.float32)
        left = np.full((len(roots), nodes), _ALL, dtype=np.uint16)
        value = np.zeros((len(roots), nodes + 1), dtype=np.float32)
        for row, root in enumerate(roots):
            _laid(root, feature[row], threshold[row], left[row], value[row])
        return cls(feature, threshold, left, value)


_ALL = np.uint16(2**16 - 1)
_LOWEST = np.array([(n & -n).bit_length() - 1 if n else 0 for n in range(2**16)], dtype=np.uint8)
"""Number of the lowest bit that is set."""


def _inner(node: Mapping[str, Any]) -> int:
    return 1 + _inner(node["left_child"]) + _inner(node["right_child"]) if "left_child" in node else 0


def _laid(root: Mapping[str, Any], feature: ndarray, threshold: ndarray, left: ndarray, value: ndarray) -> None:
    """Write one tree into its rows, leaves from left to right."""
    node = leaf = 0

    def walk(this: Mapping[str, Any]) -> tuple[int, int]:
        """Return which leaves hang on a node: from the first up to but without the second."""
        nonlocal node, leaf
        if "left_child" not in this:
            value[leaf] = this["leaf_value"]
            leaf += 1
            return leaf - 1, leaf
        if this["decision_type"] != "<=":
            raise ValueError(f"a node decides by {this['decision_type']!r}; needed: '<=' (numbers only)")
        mine, node = node, node + 1
        feature[mine], threshold[mine] = this["split_feature"], _below(this["threshold"])
        first, last = walk(this["left_child"])
        struck = sum(1 << bit for bit in range(first, last))
        left[mine] = np.uint16((2**16 - 1) ^ struck)
        return first, walk(this["right_child"])[1]

    walk(root)


def _below(threshold: float) -> np.float32:
    """Return the largest 32-bit number not above: what 32-bit features are compared with gives the same answers."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
