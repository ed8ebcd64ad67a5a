"""Take up another embedder for memories that are there; killed, it goes on where it stopped.

  memshadow reembed embedder=champion ranking=vector       what `memshadow train` crowned
  memshadow reembed embedder=projected embedder.model=runs/NAME/model ranking=vector
  memshadow reembed folder=notes embedder=static

The old embedder answers until every memory has its new vector; then the new one takes over in one step, and the folder
is opened with it from then on. Where a service holds the folder, it is asked for a choice that its setting embedders
allows: `memshadow reembed embedder=champion`, without further settings.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memshadow.cli._words import understood
from memshadow.errors import ConfigError, DataError, MemshadowError

if TYPE_CHECKING:
    from memshadow.memory.service import Memory
    from memshadow.serving.standing import Told

_LOOK_S = 0.5


def main(argv: list[str]) -> int:
    """Embed everything again."""
    from memshadow.serving.presence import served_at

    words = understood("reembed", argv)
    folder = Path(words["folder"]).expanduser()
    if words.text:
        raise ConfigError(f"reembed takes settings only, {words.text!r:.60} came; e.g. embedder=static.")
    if not words.memory:
        raise ConfigError("reembed with what? E.g. memshadow reembed embedder=static; `memshadow reembed --help`.")
    if not folder.is_dir():
        raise DataError(f"there are no memories in {folder}; folder=... names another place.")
    url = served_at(folder)
    told = _asked(folder, url, words.memory) if url else _done(folder, words.memory)
    print(f"{folder} is now searched with {told.name} ({told.dim} dims).")
    return 0


def _done(folder: Path, wanted: Sequence[str]) -> Told:
    """Embed here."""
    from rich.progress import Progress

    from memshadow.cli._upcoming import upcoming
    from memshadow.serving.standing import Told

    new = upcoming(folder, wanted)
    with _opened(folder, new.words) as memory, Progress(transient=True, disable=not sys.stdout.isatty()) as shown:
        total = sum(count for _, count in memory.store.owners())
        task = shown.add_task(f"embedding with {new.embedder.name}", total=total)
        new.take_up(memory, progress=lambda done: shown.advance(task, done))
    return Told(name=new.embedder.name, dim=new.embedder.dim, fingerprint=new.embedder.fingerprint)


def _opened(folder: Path, wanted: Sequence[str]) -> Memory:
    """Open a folder as it is remembered; as it is to be, where its settings are behind it."""
    import memshadow
    from memshadow.memory.reembedding import OtherEmbedderError

    with suppress(OtherEmbedderError):
        return memshadow.open(folder)
    return memshadow.open(folder, overrides=wanted)


def _asked(folder: Path, url: str, wanted: Sequence[str]) -> Told:
    """Let the service that holds the folder do it, and wait until it has."""
    from rich.progress import Progress

    from memshadow.cli._reach import client_of

    name, _, choice = wanted[0].partition("=")
    if name != "embedder" or len(wanted) > 1:
        raise ConfigError(
            f"the service at {url} holds {folder}; it takes embedder=CHOICE alone, {' '.join(wanted)!r:.120} came. "
            "What one stands for is decided where it is started (its setting embedders). Or stop the service first."
        )
    with client_of(url, folder) as client, Progress(transient=True, disable=not sys.stdout.isatty()) as shown:
        standing = client.reembed(choice)
        task = shown.add_task(f"embedding with {choice}")
        while standing.upcoming is not None:
            shown.update(task, completed=standing.upcoming.done, total=standing.upcoming.total)
            time.sleep(_LOOK_S)
            standing = client.embedder()
    if standing.error is not None:
        raise MemshadowError(standing.error)
    return standing.active
