"""A ranking as a retriever, to be measured beside the others: no store, the same stages as in a served memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.memory.ranking import Asked, Ranking, statistics_of
from memshadow.memory.recall.conversation import block_of, everything
from memshadow.models.base import Embedder
from memshadow.models.lexical import terms
from memshadow.types import Conversation, Memory


def asked_of(block: Block, visible: ndarray, text: str, embedder: Embedder, memories: Sequence[Memory] = ()) -> Asked:
    """Return a question as rankings take it; ``memories`` are what stands at each place, for a ranking that reads."""
    words = terms(text)
    statistics = statistics_of(block, visible, words)
    vector = embedder.embed_queries([text], statistics=statistics)[0]
    return Asked(vector=vector, terms=words, statistics=statistics, text=text, read=_reader(memories), visible=visible)


def _reader(memories: Sequence[Memory]) -> Callable[[ndarray], list[str]] | None:
    return (lambda places: [memories[place].rendered() for place in places.tolist()]) if memories else None


class RankedRetriever:
    """Scores a conversation by an embedder and a ranking."""

    def __init__(self, *, name: str, embedder: Embedder, ranking: Ranking) -> None:
        self.name, self._embedder, self._ranking = name, embedder, ranking

    def scores(self, memories: Sequence[Memory], questions: Sequence[str]) -> Float[ndarray, "q n"]:
        """Return the ranking's scores of all memories."""
        conversation = Conversation(id=memories[0].conversation_id, memories=tuple(memories))
        block = block_of(conversation, self._embedder)
        allowed = everything(block)
        rows = np.empty((len(questions), len(memories)))
        for row, text in zip(rows, questions, strict=True):
            asked = asked_of(block, allowed, text, self._embedder, memories)
            ranked = self._ranking.rank(block, allowed, asked, k=len(memories))
            row[ranked.places] = ranked.scores
        return rows
