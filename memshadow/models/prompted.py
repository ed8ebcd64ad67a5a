"""Words in front of every question, for encoders that were trained with them (bge, e5, arctic). Knows no encoder."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from jaxtyping import Float32
from numpy import ndarray

from memshadow.models.base import Embedder
from memshadow.models.lexical import TermStatistics
from memshadow.types import Passage


class PromptedEmbedder:
    """Another embedder whose queries begin with ``query_prefix``; passages are embedded as they are.

    A blank query stays blank. Of a query too long for one chunk, the first carries the prefix.
    """

    def __init__(self, *, embedder: Embedder, query_prefix: str) -> None:
        self._embedder, self._prefix = embedder, query_prefix
        self.name, self.dim, self.normalised = embedder.name, embedder.dim, embedder.normalised
        digest = blake2b(repr((query_prefix, embedder.fingerprint)).encode("utf-8", "surrogatepass"), digest_size=16)
        self.fingerprint = f"prompted-{digest.hexdigest()}"

    @property
    def reach(self) -> tuple[int, int]:
        """Return that of the embedder."""
        return self._embedder.reach

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one row per passage, as the embedder gives it."""
        return self._embedder.embed_passages(passages)

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return one row per query, read behind the prefix."""
        asked = [self._prefix + text if text.strip() else text for text in texts]
        return self._embedder.embed_queries(asked, statistics=statistics)
