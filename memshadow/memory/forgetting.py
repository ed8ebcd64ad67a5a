"""What an embedder still knows outside memories: a general retrieval set and sentence similarity, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memshadow.memory.evaluation import score
from memshadow.memory.retrieval import VectorRetriever
from memshadow.models.base import Embedder
from memshadow.models.metrics import Estimate, spearman
from memshadow.types import Conversation, Passage, TextPair


def retrieval(embedder: Embedder, corpus: Sequence[Conversation]) -> Estimate:
    """Return nDCG@10 over the questions of a set of documents (SciFact: Wadden et al. 2020, as in BEIR)."""
    return score([VectorRetriever(name=embedder.name, embedder=embedder)], corpus)[0].estimate("ndcg@10")


def similarity(embedder: Embedder, pairs: Sequence[TextPair]) -> float:
    """Return Spearman's correlation of cosine and gold over pairs (STS-B: Cer et al. 2017).

    Where queries and passages are embedded differently, the cosine is the mean of both directions.
    """
    first, second = [p.first for p in pairs], [p.second for p in pairs]
    cosines = (_cosine(embedder, first, second) + _cosine(embedder, second, first)) / 2
    return spearman(cosines, np.array([p.similarity for p in pairs]))


def _cosine(embedder: Embedder, asked: Sequence[str], stored: Sequence[str]) -> np.ndarray:
    queries, rows = embedder.embed_queries(asked), embedder.embed_passages([Passage(text=text) for text in stored])
    norms = np.linalg.norm(queries, axis=1) * np.linalg.norm(rows, axis=1)
    return np.asarray((queries * rows).sum(axis=1) / np.where(norms == 0, 1, norms))
