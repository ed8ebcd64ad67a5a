"""What a memory returns, measured like any other retriever: so that what is measured is what is served."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.errors import DataError
from memshadow.memory.service import MOST_HITS
from memshadow.types import Added, Draft, Hit, Memory, Scope


class Remembers(Protocol):
    """A :class:`memshadow.memory.service.Memory`, or a client of one that is served."""

    def add(self, what: list[Any], *, scope: Scope | None = None) -> list[Added]:
        """Remember many."""
        ...

    def search(self, query: str, *, k: int = 10, scope: Scope | None = None) -> list[Hit]:
        """Return the best."""
        ...


class ServedRetriever:
    """Adds each conversation as a user's, session by session, and asks for every memory of it in order.

    What is of no session (``session_id`` ``""``) is added without one: lone notes.
    Memories said twice word for word at the same time are kept once, so they share one score. At most 1,000 memories a
    conversation can be told apart; the rest gets the lowest score.
    """

    def __init__(self, *, name: str, memory: Remembers) -> None:
        self.name, self._memory = name, memory
        self._known: dict[str, list[str]] = {}

    def scores(self, memories: Sequence[Memory], questions: Sequence[str]) -> Float[ndarray, "q n"]:
        """Return one row of scores per question."""
        user = Scope(user=memories[0].conversation_id)
        ids = self._known.setdefault(user.user, []) or self._told(memories, user.user)
        self._known[user.user] = ids
        k = min(MOST_HITS, len(memories))
        return np.stack([self._row(self._memory.search(question, k=k, scope=user), ids) for question in questions])

    def _told(self, memories: Sequence[Memory], user: str) -> list[str]:
        added: list[Added] = []
        for session, turns in groupby(memories, key=lambda memory: memory.session_id):
            drafts = [_draft(turn) for turn in turns]
            added += self._memory.add(drafts, scope=Scope(user=user, session=session or None))
        return [one.id for one in added]

    def _row(self, hits: Sequence[Hit], ids: Sequence[str]) -> Float[ndarray, " n"]:
        if not hits:
            raise DataError("the memory returned nothing for a question; it must return all it holds.")
        found = {hit.record.id: hit.score for hit in hits}
        least = min(found.values()) - 1.0
        return np.array([found.get(memory_id, least) for memory_id in ids])


def _draft(memory: Memory) -> Draft:
    return Draft(
        text=memory.text,
        speaker=memory.speaker,
        happened_at=memory.timestamp,
        image_caption=memory.image_caption,
        metadata={"turn": memory.turn},
    )
