"""What every corpus promises. Knows the shared form; knows nothing of vectors or of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from memshadow.data.episodes import Episodes
from memshadow.types import Conversation, LabelledText, TextPair


@runtime_checkable
class ConversationCorpus(Protocol):
    """Conversations with questions and gold evidence.

    The corners, the same for every reader: ids are unique in the corpus; a question's evidence resolves to memories of
    its own conversation; memories come in the order of saying (session, then turn), so timestamps never run backwards
    inside a conversation where they are known; iterating twice gives the same; an absent folder raises ``DataError``
    naming the folder and the ``memshadow data fetch`` line that mends it; a damaged line raises ``DataError`` naming
    file and line.
    """

    name: str
    licence: str
    weights_may_ship: bool
    """Whether weights trained on it may be given away (False: evaluation and experiments only)."""

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the content (or of the generator's version and settings): equal means same data."""
        ...

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations, one at a time, in a fixed order."""
        ...


@runtime_checkable
class UtteranceCorpus(Protocol):
    """Single utterances with a class: the intent sets. Fields and corners as above."""

    name: str
    licence: str
    weights_may_ship: bool

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the content."""
        ...

    def utterances(self) -> Iterator[LabelledText]:
        """Yield the utterances in a fixed order."""
        ...


@runtime_checkable
class PairCorpus(Protocol):
    """Pairs of texts with a gold similarity. Fields and corners as above."""

    name: str
    licence: str
    weights_may_ship: bool

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the content."""
        ...

    def pairs(self) -> Iterator[TextPair]:
        """Yield the pairs in a fixed order."""
        ...


@runtime_checkable
class TaskCorpus(Protocol):
    """A family of learning tasks that is drawn, not read: no texts. Fields as above.

    The corners: the parts are "train", "valid" and "test"; no task of one part is met in another; the same arguments
    give the same tasks; another part, or a number below 1, raises ``DataError``.
    """

    name: str
    licence: str
    weights_may_ship: bool

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the family's settings."""
        ...

    def episodes(self, part: str, *, shots: int, queries: int) -> Episodes:
        """Return the source of a part's tasks, of ``shots`` points to learn from and ``queries`` to be asked."""
        ...
