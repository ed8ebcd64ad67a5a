"""What a memory works with, shared by all views of it: the one place where an embedder is exchanged for another."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from memshadow.data.index.base import MemoryIndex
from memshadow.data.store.base import MemoryStore
from memshadow.data.store.gate import Gate
from memshadow.memory.counting import TokenCounter
from memshadow.memory.locks import OwnerLocks
from memshadow.memory.ranking import Ranking
from memshadow.memory.sessions import SessionTails
from memshadow.models.base import Embedder


@dataclass(slots=True, kw_only=True)
class Parts:
    """``embedder``, ``ranking`` and what the index serves change together, while the gate is closed.

    ``upcoming``: the embedder that is being taken up; new rows are made by both.
    """

    store: MemoryStore
    index: MemoryIndex
    embedder: Embedder
    ranking: Ranking
    counter: TokenCounter
    upcoming: Embedder | None = None
    gate: Gate = field(default_factory=Gate)
    locks: OwnerLocks = field(default_factory=OwnerLocks)
    taking_up: Lock = field(default_factory=Lock)
    """Held while another embedder is taken up."""
    tails: SessionTails = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no session remembered."""
        self.tails = SessionTails(self.store)

    @property
    def embedders(self) -> list[Embedder]:
        """Return those that a new row is made by, the active one first."""
        return [self.embedder] if self.upcoming is None else [self.embedder, self.upcoming]

    @property
    def reach(self) -> tuple[int, int]:
        """Return how many turns before and after a row may depend on."""
        reaches = [embedder.reach for embedder in self.embedders]
        return max(before for before, _ in reaches), max(after for _, after in reaches)
