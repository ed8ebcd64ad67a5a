"""The contract of every embedder: text in, unit vectors out. Knows nothing of where memories are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float32
from numpy import ndarray

from memshadow.models.lexical import TermStatistics
from memshadow.types import Passage


@runtime_checkable
class Embedder(Protocol):
    """Maps texts to rows of ``float32`` whose dot product is the score.

    The corners, the same for every embedder:

    - Order is kept: row i belongs to text i. No texts give a ``(0, dim)`` array.
    - Every row is finite. Empty or blank text gives the zero row, which scores 0 against everything.
    - Any ``str`` is accepted: 100,000 characters, emoji, any script, lone surrogates. Long texts are cut into chunks
      whose vectors are averaged, weighted by length; nothing is silently dropped.
    - Rows of non-blank text have unit norm where ``normalised`` is true (lexical and projected ones do not).
    - The same text gives the same row whatever else is in the call (within the float tolerance of its engine).
    - ``reach`` says how many turns before and after a passage are read: more are ignored, fewer are no error.
    - ``statistics`` are the term statistics of the scope being searched; an embedder without idf ignores them, one with
      idf falls back to its own background statistics where they are ``None``.
    - ``fingerprint`` changes whenever any vector could; vectors of two fingerprints must never be compared.
    """

    name: str
    dim: int
    normalised: bool
    fingerprint: str

    @property
    def reach(self) -> tuple[int, int]:
        """Return (turns before, turns after) that a passage's row depends on; (0, 0) reads one turn alone."""
        ...

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one row per passage, as it is stored."""
        ...

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return one row per query, as it is asked."""
        ...
