"""From a conversation and its questions to scores: every way of finding. Knows no metric and no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.memory.fusion import min_max, reciprocal_rank
from memshadow.models.base import Embedder
from memshadow.models.lexical import BM25, TermStatistics, terms
from memshadow.types import Memory, in_context


@runtime_checkable
class Retriever(Protocol):
    """Scores every memory of one conversation for each question; higher is better, ties keep the order of saying."""

    name: str

    def scores(self, memories: Sequence[Memory], questions: Sequence[str]) -> Float[ndarray, "q n"]:
        """Return one row of finite scores per question; ``memories`` are one conversation in the order of saying."""
        ...


class LexicalRetriever:
    """BM25 over rendered memories, in an exact inverted index."""

    def __init__(self, *, name: str, k1: float, b: float) -> None:
        self.name, self._k1, self._b = name, k1, b

    def scores(self, memories: Sequence[Memory], questions: Sequence[str]) -> Float[ndarray, "q n"]:
        """Return BM25 scores."""
        index = BM25([m.rendered() for m in memories], k1=self._k1, b=self._b)
        return np.stack([index.scores(question) for question in questions])


class VectorRetriever:
    """The dot product of one embedder's rows; queries get the term statistics of the conversation."""

    def __init__(self, *, name: str, embedder: Embedder) -> None:
        self.name, self.embedder = name, embedder

    def scores(self, memories: Sequence[Memory], questions: Sequence[str]) -> Float[ndarray, "q n"]:
        """Return the products."""
        before, after = self.embedder.reach
        stored = self.embedder.embed_passages(in_context(memories, before=before, after=after))
        statistics = TermStatistics.of(terms(m.rendered()) for m in memories)
        return np.asarray(self.embedder.embed_queries(questions, statistics=statistics) @ stored.T)


class FusionRetriever:
    """Two or more retrievers as one: ``method`` is ``rrf`` or ``minmax`` (equal weights)."""

    def __init__(self, *, name: str, method: str, parts: Sequence[Retriever]) -> None:
        if method not in ("rrf", "minmax"):
            raise ConfigError(f"method={method!r}; choose rrf or minmax")
        if not parts:
            raise ConfigError(f"the fusion {name} needs parts to fuse; none came")
        self.name, self._method, self._parts = name, method, list(parts)

    def scores(self, memories: Sequence[Memory], questions: Sequence[str]) -> Float[ndarray, "q n"]:
        """Return the fused scores of the parts."""
        found = [part.scores(memories, questions) for part in self._parts]
        return reciprocal_rank(found) if self._method == "rrf" else min_max(found, [1 / len(found)] * len(found))


def name_of(encoder: Embedder) -> str:
    """Return what tables call an encoder: the packaged one is ``minilm-384``, whichever engine runs it."""
    return f"minilm-{encoder.dim}" if encoder.name.startswith("minilm-") else encoder.name


def baselines(encoder: Embedder, *, dim: int, k1: float, b: float, seed: int) -> list[Retriever]:
    """Return what a trained embedder must beat: BM25, the encoder, it at ``dim`` by a random matrix, two fusions."""
    from memshadow.models.random_projection import RandomProjection

    words = LexicalRetriever(name="bm25", k1=k1, b=b)
    dense = VectorRetriever(name=name_of(encoder), embedder=encoder)
    return [
        words,
        dense,
        VectorRetriever(name=f"random-{dim}", embedder=RandomProjection(encoder=encoder, dim=dim, seed=seed)),
        FusionRetriever(name="fusion-rrf", method="rrf", parts=[words, dense]),
        FusionRetriever(name="fusion-minmax", method="minmax", parts=[words, dense]),
    ]
