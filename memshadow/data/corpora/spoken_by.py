"""A corpus with only the memories of some speakers, e.g. without an assistant's long answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

from memshadow.data.corpora.base import ConversationCorpus
from memshadow.types import Conversation


class SpokenBy:
    """Keeps what ``speakers`` said and the evidence among it; a question that loses all its evidence has none."""

    def __init__(self, *, corpus: ConversationCorpus, speakers: Sequence[str]) -> None:
        self._corpus, self._speakers = corpus, frozenset(speakers)
        self.name = f"{corpus.name}_{'_'.join(sorted(self._speakers))}"
        self.licence, self.weights_may_ship = corpus.licence, corpus.weights_may_ship

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the corpus and the speakers."""
        return sha256(f"{self._corpus.fingerprint}:{sorted(self._speakers)}".encode()).hexdigest()[:16]

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations in the corpus' order."""
        for conversation in self._corpus.conversations():
            memories = tuple(m for m in conversation.memories if m.speaker in self._speakers)
            ids = {m.id for m in memories}
            questions = tuple(
                replace(q, evidence=tuple(e for e in q.evidence if e in ids)) for q in conversation.questions
            )
            yield replace(conversation, memories=memories, questions=questions)
