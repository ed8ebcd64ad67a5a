"""Several corpora of conversations as one, each conversation still saying where it came from. Knows no reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from memshadow.data.corpora.base import ConversationCorpus
from memshadow.errors import ConfigError
from memshadow.types import Conversation


class MixedCorpus:
    """The conversations of ``parts``, one part after the other.

    Every id gets its part's name and a slash in front, so ids of two parts never meet; ``Conversation.corpus`` stays
    the name of the corpus that a conversation was read from. Weights may ship where those of every part may.

    Args:
        parts: A corpus by the name that it has here.

    Raises:
        ConfigError: There is no part, or one holds no conversations.
    """

    def __init__(self, *, parts: Mapping[str, ConversationCorpus]) -> None:
        given: Any = parts  # what an override says may be anything
        if not isinstance(given, Mapping) or not given:
            raise ConfigError(f"data.parts={given!r:.60}; name at least one, e.g. +data@data.parts.lives=synthetic")
        for name, part in parts.items():
            if not hasattr(part, "conversations"):
                what = getattr(part, "name", part)
                raise ConfigError(
                    f"data.parts.{name} is {what!r:.60}, which holds no conversations; needed: a corpus that does, "
                    f"e.g. synthetic. Leave it out with ~data.parts.{name}"
                )
        self._parts = dict(parts)
        self.name = "+".join(self._parts)
        self.licence = "; ".join(dict.fromkeys(part.licence for part in self._parts.values()))
        self.weights_may_ship = all(part.weights_may_ship for part in self._parts.values())

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the parts' names and fingerprints, in their order."""
        prints = [(name, part.fingerprint) for name, part in self._parts.items()]
        return sha256(repr(prints).encode()).hexdigest()[:16]

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations of each part in its order."""
        for name, part in self._parts.items():
            for conversation in part.conversations():
                yield _renamed(conversation, name, corpus=conversation.corpus or part.name)


def _renamed(conversation: Conversation, part: str, *, corpus: str) -> Conversation:
    """Return a conversation with ``part`` in front of its ids."""

    def named(ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{part}/{one}" for one in ids)

    (name,) = named((conversation.id,))
    memories = (replace(m, id=f"{part}/{m.id}", conversation_id=name) for m in conversation.memories)
    questions = (
        replace(
            q,
            id=f"{part}/{q.id}",
            conversation_id=name,
            evidence=named(q.evidence),
            evidence_audited=None if q.evidence_audited is None else named(q.evidence_audited),
        )
        for q in conversation.questions
    )
    return Conversation(id=name, memories=tuple(memories), questions=tuple(questions), corpus=corpus)
