"""The nouns that every room shares: plain frozen values. Knows no file, no model, no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One thing that was said, verbatim.

    ``id`` is unique in its corpus. ``turn`` orders the memories of one session, ``timestamp`` is the time of the
    event (naive means local to the conversation; ``None`` means unknown: normal input, not an error).
    """

    id: str
    conversation_id: str
    session_id: str
    turn: int
    speaker: str
    text: str
    timestamp: datetime | None = None
    image_caption: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def said(self) -> Turn:
        """Return speaker and text, the photo's caption in brackets behind it."""
        photo = f" [shares a photo: {self.image_caption}]" if self.image_caption else ""
        return Turn(speaker=self.speaker, text=f"{self.text}{photo}")

    def rendered(self) -> str:
        """Return ``speaker: text [shares a photo: caption]``: the form that is embedded and indexed."""
        return self.said().rendered()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question on a conversation and the ids of the memories that answer it (empty: nothing does)."""

    id: str
    conversation_id: str
    text: str
    evidence: tuple[str, ...] = ()
    category: str = ""
    answer: str = ""
    evidence_audited: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The memories of one conversation in the order in which they were said, and the questions on them.

    The unit of every split and every interval: questions of one conversation are not independent.
    """

    id: str
    memories: tuple[Memory, ...]
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A text and who said it (``""``: nobody in particular)."""

    text: str
    speaker: str = ""

    def rendered(self) -> str:
        """Return ``speaker: text``: the form that an encoder reads."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage(Turn):
    """A turn to embed and the turns around it in its session, in the order of saying: ``before[-1]`` is the nearest."""

    before: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found memory and its score (higher is better, comparable inside one result only)."""

    memory_id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledText:
    """One utterance with its class: the form of the intent sets. ``domain`` groups classes where the set says so."""

    text: str
    label: str
    split: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPair:
    """Two texts and a gold similarity in [0, 1]."""

    first: str
    second: str
    similarity: float
    split: str = ""


def in_context(memories: Sequence[Memory], *, before: int, after: int) -> list[Passage]:
    """Return each memory as a passage with up to ``before`` and ``after`` neighbours of its own session.

    ``memories`` are one conversation in the order of saying. The last ``after`` passages of a session change when it
    goes on; all others are final.
    """
    said = [m.said() for m in memories]
    passages = []
    for i, memory in enumerate(memories):
        first, last = i, i + 1
        while first > max(0, i - before) and memories[first - 1].session_id == memory.session_id:
            first -= 1
        while last < min(len(memories), i + 1 + after) and memories[last].session_id == memory.session_id:
            last += 1
        passages.append(
            Passage(
                text=said[i].text,
                speaker=said[i].speaker,
                before=tuple(said[first:i]),
                after=tuple(said[i + 1 : last]),
            )
        )
    return passages
