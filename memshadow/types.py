"""The nouns that every room shares: plain frozen values. Knows no file, no model, no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One thing that was said, verbatim.

    ``id`` is unique in its corpus. ``turn`` orders the memories of one session (``session_id`` ``""``: a lone note, of
    no session), ``timestamp`` is the time of the event (naive means local to the conversation; ``None`` means unknown:
    normal input, not an error).
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
        return _said(self.speaker, self.text, self.image_caption)

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
    corpus: str = ""
    """Name of the corpus that it was read from; ``""`` where that is not known."""


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


Kind = Literal["episodic", "semantic", "procedural", "prospective"]
"""What happened, what is so, how something is done, what is to be done (Tulving 1972; Einstein & McDaniel 1990)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose memories. No inner call may leave it out.

    ``tenant`` and ``user`` together own memories: nothing of one owner is ever read, ranked or counted for another.
    ``agent`` and ``session`` divide what one owner has: on reading ``None`` means all of them, on adding it means none.

    Raises:
        ValueError: a part is empty, longer than 256 characters, or holds a control character.
    """

    tenant: str = "local"
    user: str = "owner"
    agent: str | None = None
    session: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that no one could have meant."""
        for name in ("tenant", "user", "agent", "session"):
            part = getattr(self, name)
            if part is None and name in ("agent", "session"):
                continue
            if not isinstance(part, str) or not 0 < len(part) <= _LONGEST_NAME or not part.isprintable():
                raise ValueError(
                    f"{name}={part!r:.80} names no scope; needed: 1 to {_LONGEST_NAME} printable characters"
                )

    @property
    def owner(self) -> tuple[str, str]:
        """Return (tenant, user): the unit of isolation."""
        return self.tenant, self.user

    def covers(self, other: Scope) -> bool:
        """Return whether what lies in ``other`` may be read in this scope."""
        return self.owner == other.owner and self.agent in (None, other.agent) and self.session in (None, other.session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a memory came from: ``provider`` and ``model`` that were talked to, or the ``tool`` that brought it."""

    provider: str = ""
    model: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Something to remember, as a caller says it.

    ``happened_at`` is the time of the event (without a zone: UTC; ``None``: unknown). ``importance`` is in [0, 1].
    ``key`` names what a fact is about (``home city``): a new memory with an owner's key supersedes the older one.
    ``supersedes`` names a memory that this one replaces. ``provenance`` says how it came to be known, in free text.
    ``metadata`` holds what JSON can. ``id`` is made where it is ``None``.
    """

    text: str
    speaker: str = ""
    role: str = ""
    kind: Kind = "episodic"
    happened_at: datetime | None = None
    importance: float = 0.5
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    image_caption: str | None = None
    source: Source = Source()
    provenance: str = ""
    key: str | None = None
    supersedes: str | None = None
    id: str | None = None

    def said(self) -> Turn:
        """Return speaker (or role) and text, the photo's caption in brackets behind it."""
        return _said(self.speaker or self.role, self.text, self.image_caption)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One version of a memory as it is kept. Nothing in it ever changes but the four ``ended`` fields.

    ``seq`` numbers all writes of a store in their order; ``turn`` orders the memories of one session. ``ended_at`` is
    set when a newer version (``ended_by`` = ``update``) or another memory (``supersede``, then ``superseded_by`` is its
    id) took its place; ``ended_seq`` is the write that did it. All times are UTC.
    """

    id: str
    version: int
    scope: Scope
    turn: int
    draft: Draft
    ingested_at: datetime
    digest: int
    """64 bits over scope and content: equal for an exact duplicate."""
    seq: int = 0
    ended_at: datetime | None = None
    ended_seq: int | None = None
    ended_by: Literal["update", "supersede"] | None = None
    superseded_by: str | None = None

    @property
    def text(self) -> str:
        """Return what was said, verbatim."""
        return self.draft.text

    @property
    def current(self) -> bool:
        """Return whether this is what holds now."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a hit is where it is: each part's raw score and its rank (from 1) in that part's own list.

    A part that did not look at the hit has no score. ``notes`` say what was left out of the ranking, and why.
    """

    scores: Mapping[str, float] = field(hash=False)
    ranks: Mapping[str, int] = field(hash=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found memory and its score (higher is better, comparable inside one result only)."""

    record: Record
    score: float
    explanation: Explanation | None = None

    @property
    def text(self) -> str:
        """Return what was said, verbatim."""
        return self.record.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a draft: its memory's ``id``, whether it was there before, which others say nearly the same."""

    id: str
    duplicate: bool = False
    near: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Text for a prompt, its size in tokens (never above what was asked for), and the memories that stand in it."""

    text: str
    tokens: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a memory holds for one owner, and what it is kept with."""

    memories: int
    """That hold now."""
    versions: int
    sessions: int
    last_seq: int
    embedder: str
    dim: int
    warnings: tuple[str, ...] = ()


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


def _said(speaker: str, text: str, caption: str | None) -> Turn:
    photo = f" [shares a photo: {caption}]" if caption else ""
    return Turn(speaker=speaker, text=f"{text}{photo}")


def in_context(memories: Sequence[Memory], *, before: int, after: int) -> list[Passage]:
    """Return each memory as a passage with up to ``before`` and ``after`` neighbours of its own session.

    ``memories`` are one conversation in the order of saying. The last ``after`` passages of a session change when it
    goes on; all others are final. What is of no session has no neighbours.
    """
    said = [m.said() for m in memories]
    passages = []
    for i, memory in enumerate(memories):
        first, last = i, i + 1
        while first > max(0, i - before) and memories[first - 1].session_id == memory.session_id != "":
            first -= 1
        while last < min(len(memories), i + 1 + after) and memories[last].session_id == memory.session_id != "":
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What became of a user's answers: whether their adapter is used, and why.

    ``adapted`` and ``without`` are nDCG@10 of questions that were answered, each asked with an adapter of the others
    and with none; ``None`` where nothing could be tested.
    """

    used: bool = False
    answered: int = 0
    adapted: float | None = None
    without: float | None = None
    reason: str = "nothing was answered yet"
    size_bytes: int = 0
