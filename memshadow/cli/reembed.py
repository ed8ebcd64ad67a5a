"""Take up another embedder for memories that are there; killed, it goes on where it stopped.

  memshadow reembed embedder=projected embedder.model=runs/NAME/model ranking=vector
  memshadow reembed folder=notes embedder=static

The old embedder answers until every memory has its new vector; then the new one takes over in one step, and the folder
is opened with it from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memshadow.cli._words import understood
from memshadow.errors import ConfigError, DataError, StoreError

if TYPE_CHECKING:
    from memshadow.memory.service import Memory


def main(argv: list[str]) -> int:
    """Embed everything again."""
    from rich.console import Console
    from rich.progress import Progress

    from memshadow.config import build, load, quoted
    from memshadow.memory.settings import keep, merged, remembered

    words = understood("reembed", argv)
    folder = Path(words["folder"]).expanduser()
    if words.text:
        raise ConfigError(f"reembed takes settings only, {words.text!r:.60} came; e.g. embedder=static.")
    if not words.memory:
        raise ConfigError("reembed with what? E.g. memshadow reembed embedder=static; `memshadow reembed --help`.")
    if not folder.is_dir():
        raise DataError(f"there are no memories in {folder}; folder=... names another place.")
    wanted = merged(remembered(folder), words.memory)
    config = load("memory", [*wanted, f"folder={quoted(str(folder))}"])
    embedder, ranking = build(config.embedder), build(config.ranking)
    with _opened(folder, wanted) as memory, Progress(transient=True) as shown:
        task = shown.add_task(f"embedding with {embedder.name}", total=_versions(memory))
        memory.reembed(
            embedder,
            index=build(config.index),
            ranking=ranking,
            progress=lambda done: shown.advance(task, done),
        )
        keep(folder, wanted)
    Console(highlight=False).print(f"{folder} is now searched with {embedder.name} ({embedder.dim} dims).")
    return 0


def _opened(folder: Path, wanted: Sequence[str]) -> Memory:
    """Open a folder as it is remembered; as it is to be, where a kill came between the switch and its being noted."""
    import memshadow

    with suppress(StoreError):
        return memshadow.open(folder)
    return memshadow.open(folder, overrides=wanted)


def _versions(memory: Memory) -> int:
    return sum(count for _, count in memory.store.owners())
