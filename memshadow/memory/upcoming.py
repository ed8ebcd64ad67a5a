"""What a folder's memories are to be searched with from now on, and what is written down so that a kill loses nothing.

Knows folders and their settings; how rows come to be is :mod:`memshadow.memory.reembedding`'s matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from memshadow.data.index.base import MemoryIndex
from memshadow.memory.ranking import Ranking
from memshadow.memory.service import Memory
from memshadow.memory.settings import announce, keep
from memshadow.models.base import Embedder


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """An embedder for the memories in ``folder``, and what takes over with it; ``index`` was never attached.

    ``words`` are the overrides that the folder is opened with afterwards.
    """

    folder: Path
    words: Sequence[str]
    embedder: Embedder
    index: MemoryIndex
    ranking: Ranking

    def take_up(self, memory: Memory, *, progress: Callable[[int], None]) -> None:
        """Let it take over; return when it has, and the folder knows.

        The words are announced first: after a kill between the switch and its being noted, they open the folder.
        """
        announce(self.folder, self.words)
        memory.reembed(self.embedder, index=self.index, ranking=self.ranking, progress=progress)
        keep(self.folder, self.words, settled=True)
