"""A ranking as a teacher: it reads the conversation around a memory, which a single vector cannot. Knows no student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from memshadow.errors import ConfigError
from memshadow.memory.ranking import Ranking
from memshadow.memory.recall.conversation import block_of, everything
from memshadow.memory.recall.retrieving import asked_of
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.teaching import Lesson
from memshadow.training.progress import steps
from memshadow.types import Conversation


class RankingTeacher:
    """Teaches what a ranking makes of its best candidates, as it would be served.

    Args:
        encoder: what the ranking compares by; need not be the student's.
        ranking: of any kind; its scores are what is taught, so a temperature fits one kind of ranking.
        candidates: how many of the best of each question are taught.
    """

    def __init__(self, *, encoder: Embedder, ranking: Ranking, candidates: int) -> None:
        if candidates < 2:
            raise ConfigError(f"candidates={candidates}; needed: 2 or more, one alone teaches no order.")
        self._encoder, self._ranking, self._candidates = encoder, ranking, candidates

    def lessons(self, conversations: Sequence[Conversation], *, cache: Path) -> Iterator[Sequence[Lesson]]:
        """Yield the lessons of each conversation; its rows are kept in ``cache``."""
        encoder = self._encoder
        if encoder.reach == (0, 0):  # a cache keeps a row a text, whatever stands around it
            encoder = CachedEmbedder(encoder=encoder, folder=str(cache))
        for conversation in steps(conversations, "ranking by the teacher", total=len(conversations)):
            yield self._taught(conversation, encoder)

    def _taught(self, conversation: Conversation, encoder: Embedder) -> list[Lesson]:
        block = block_of(conversation, encoder)
        allowed, found = everything(block), []
        for question in conversation.questions:
            asked = asked_of(block, allowed, question.text, encoder, conversation.memories)
            ranked = self._ranking.rank(block, allowed, asked, k=self._candidates)
            found.append(Lesson(ranked.places, ranked.scores))
        return found
