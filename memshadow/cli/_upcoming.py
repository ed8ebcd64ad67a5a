"""From settings to what a folder is to be searched with: what ``reembed`` and ``serve`` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memshadow.config import as_overrides, build, load, quoted
from memshadow.memory.settings import merged, remembered

if TYPE_CHECKING:
    from memshadow.memory.upcoming import Upcoming


def upcoming(folder: Path, words: Sequence[str], *, opened_with: Sequence[str] = ()) -> Upcoming:
    """Return what ``words`` say of a folder that is open with ``opened_with``, beside what it remembers."""
    from memshadow.memory.upcoming import Upcoming

    place = folder.expanduser().absolute()
    wanted = merged(merged(remembered(place), opened_with), words)
    config = load("memory", [*wanted, f"folder={quoted(str(place))}"])
    embedder = build(config.embedder)
    return Upcoming(
        folder=place,
        words=[*wanted, *as_overrides("embedder", getattr(embedder, "settled", {}))],
        embedder=embedder,
        index=build(config.index),
        ranking=build(config.ranking),
    )
