"""Stemmed words hashed into a vector: the embedder that needs no model, no file and no training.

Its dot product estimates BM25 (see :mod:`memshadow.models.lexical`), and it is the honest small system that tests and
baselines are built on. Takes texts; knows nothing of neural models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.models.lexical import TermStatistics, hashed, saturated, terms
from memshadow.models.reading import reading
from memshadow.types import Passage

_MOST_COPIES = 16
_METHOD = "hashing-1"  # changes with anything that changes vectors: terms, hash, saturation


class HashingEmbedder:
    """Signed feature hashing of stems: saturated counts on the passage side, idf on the query side.

    Args:
        dim: width of a row; collisions add noise of about ``1 / sqrt(dim)`` of a score.
        k1: how fast repeating a word saturates (BM25's).
        b: how much a long text is discounted, 0 to 1 (BM25's).
        copies: to how many places a term is written, 1 to 16 (see :func:`~memshadow.models.lexical.hashed`).
        mean_length: the length in stems, stop words dropped, at which a text is neither discounted nor favoured. A
            constant, so that a passage's row does not change when the collection grows.

    Without ``statistics`` every term of a query weighs the same. Rows are not normalised.
    """

    normalised = False

    def __init__(self, *, dim: int, k1: float, b: float, mean_length: float, copies: int) -> None:
        if dim < 1 or k1 < 0 or not 0 <= b <= 1 or mean_length <= 0 or not 1 <= copies <= _MOST_COPIES:
            raise ConfigError(
                f"hashing needs dim >= 1, k1 >= 0, 0 <= b <= 1, mean_length > 0, copies from 1 to {_MOST_COPIES}; "
                f"got {dim=}, {k1=}, {b=}, {mean_length=}, {copies=}"
            )
        self.name = f"hashing-{dim}"
        self.dim = dim
        self.fingerprint = f"{_METHOD}-{dim}-{k1:g}-{b:g}-{mean_length:g}-{copies}"
        self._k1, self._b, self._mean_length, self._copies = k1, b, mean_length, copies

    @property
    def reach(self) -> tuple[int, int]:
        """Return (0, 0): one turn alone is read."""
        return 0, 0

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one row of saturated term counts per passage; the turns around it are not read."""
        return self._stacked([self._passage_row(reading(passage, context_turns=0)) for passage in passages])

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return one row per query: each term's count times its idf in ``statistics`` (1 where there are none)."""
        return self._stacked([self._query_row(text, statistics) for text in texts])

    def _passage_row(self, text: str) -> Float32[ndarray, " dim"]:
        counts = Counter(terms(text))
        weights = saturated(counts, mean_length=self._mean_length, k1=self._k1, b=self._b)
        return hashed(weights, self.dim, copies=self._copies)

    def _query_row(self, text: str, statistics: TermStatistics | None) -> Float32[ndarray, " dim"]:
        counts = Counter(terms(text))
        weights = {term: times * (statistics.idf(term) if statistics else 1.0) for term, times in counts.items()}
        return hashed(weights, self.dim, copies=self._copies)

    def _stacked(self, rows: list[Float32[ndarray, " dim"]]) -> Float32[ndarray, "n dim"]:
        return np.stack(rows) if rows else np.zeros((0, self.dim), dtype=np.float32)
