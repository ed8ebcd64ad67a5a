"""An encoder's rows at another width by a random matrix: the proof that width alone gains nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.models.base import Embedder
from memshadow.models.lexical import TermStatistics
from memshadow.types import Passage


class RandomProjection:
    """Gaussian projection, entries of variance 1 / dim: keeps products up to noise (Johnson & Lindenstrauss 1984)."""

    normalised = False

    def __init__(self, *, encoder: Embedder, dim: int, seed: int) -> None:
        self._encoder = encoder
        draw = np.random.default_rng(seed).standard_normal((encoder.dim, dim))
        self._matrix = (draw / np.sqrt(dim)).astype(np.float32)
        self.name, self.dim = f"random-{dim}", dim
        self.fingerprint = f"random-{seed}-{dim}-{encoder.fingerprint}"

    @property
    def reach(self) -> tuple[int, int]:
        """Return the encoder's reach."""
        return self._encoder.reach

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return the projected rows; zero rows stay zero."""
        return np.asarray(self._encoder.embed_passages(passages) @ self._matrix)

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return the projected rows of queries."""
        return np.asarray(self._encoder.embed_queries(texts, statistics=statistics) @ self._matrix)
