"""Conversations to training pairs: a text that asks, the text that answers, texts that look like it but do not.

Knows the shared form; what "looks like it" means is a score that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.types import Conversation, Memory

Scorer = Callable[[Sequence[str], Sequence[str]], Float32[ndarray, "q n"]]
"""Queries and passages -> how much each passage looks like an answer to each query."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """``query`` is answered by ``positive``; ``negatives`` come from the same conversation and do not answer it."""

    query: str
    positive: str
    negatives: tuple[str, ...]


class EvidencePairs:
    """Each question with each of its evidence turns; negatives are the best scored turns that are no evidence.

    ``turns_before`` turns of the session stand before each passage, one a line. The first ``skip`` of the negatives are
    passed over: among the best scored are turns that answer too, but were not marked.
    """

    def __init__(self, *, negatives: int, skip: int, turns_before: int) -> None:
        self._negatives = negatives
        self._skip = skip
        self._before = turns_before

    def pairs(self, conversations: Sequence[Conversation], score: Scorer) -> list[TrainingPair]:
        """Return the pairs in the order of conversations and questions; a question without evidence gives none."""
        return [pair for conversation in conversations for pair in self._of(conversation, score)]

    def _of(self, conversation: Conversation, score: Scorer) -> Iterator[TrainingPair]:
        asked = [question for question in conversation.questions if question.evidence]
        if not asked:
            return
        texts = passages(conversation.memories, turns_before=self._before)
        places = {memory.id: place for place, memory in enumerate(conversation.memories)}
        scores = score([question.text for question in asked], texts)
        for question, row in zip(asked, scores, strict=True):
            gold = [places[memory_id] for memory_id in question.evidence]
            hard = tuple(texts[place] for place in _best(row, set(gold), self._skip, self._negatives))
            yield from (TrainingPair(question.text, texts[place], hard) for place in gold)


class NeighbourPairs:
    """Each turn with the one said after it in its session: pairs that need no questions, to train from nothing.

    Turns of fewer than ``min_chars`` characters make no pair ("haha true" answers everything).
    """

    def __init__(self, *, min_chars: int) -> None:
        self._min_chars = min_chars

    def pairs(self, conversations: Sequence[Conversation], score: Scorer) -> list[TrainingPair]:  # noqa: ARG002
        """Return the pairs in the order of saying; no negatives, so ``score`` is not asked."""
        return [
            TrainingPair(first.rendered(), second.rendered(), ())
            for conversation in conversations
            for first, second in zip(conversation.memories, conversation.memories[1:], strict=False)
            if first.session_id == second.session_id != "" and min(len(first.text), len(second.text)) >= self._min_chars
        ]


def passages(memories: Sequence[Memory], *, turns_before: int) -> list[str]:
    """Return each memory as text, after up to ``turns_before`` turns of its session, one a line; lone notes alone."""
    texts = []
    for session_id, session in groupby(memories, key=lambda memory: memory.session_id):
        said = [memory.rendered() for memory in session]
        before = turns_before if session_id else 0
        texts += ["\n".join(said[max(0, i - before) : i + 1]) for i in range(len(said))]
    return texts


def _best(row: Float32[ndarray, " n"], gold: set[int], skip: int, count: int) -> list[int]:
    order = [int(place) for place in np.argsort(-row, kind="stable") if int(place) not in gold]
    return order[skip : skip + count]
