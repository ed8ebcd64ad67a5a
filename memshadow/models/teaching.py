"""What a teacher tells a student: for each question some places of its conversation, and how well each answers.

Knows no teacher: a ranking that reads more than a vector can hold is one (:mod:`memshadow.memory.recall.teaching`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from numpy import ndarray

from memshadow.types import Conversation


class Lesson(NamedTuple):
    """One question: distinct numbers of memories in their conversation, and a score each; higher is better."""

    places: Int64[ndarray, " c"]
    scores: Float[ndarray, " c"]


@runtime_checkable
class Teacher(Protocol):
    """Ranks the memories of conversations for their questions; needs no evidence.

    Deterministic; every score finite. A conversation without memories, or a question that nothing can be said of, gives
    lessons without places.
    """

    def lessons(self, conversations: Sequence[Conversation], *, cache: Path) -> Iterator[Sequence[Lesson]]:
        """Yield the lessons of each conversation, one a question; what is costly is kept in ``cache``."""
        ...
