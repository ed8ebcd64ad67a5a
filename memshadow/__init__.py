"""memshadow: the memory that language models share, and that learns.

``memshadow.open("./memories")`` gives a :class:`Memory` in a folder; nothing else is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from memshadow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from memshadow.memory.service import Memory
    from memshadow.serving.client import Client
    from memshadow.types import Draft, Scope

__all__ = ["Client", "Draft", "Memory", "Scope", "__version__", "open"]
_HOMES = {
    "Client": "memshadow.serving.client",
    "Draft": "memshadow.types",
    "Memory": "memshadow.memory.service",
    "Scope": "memshadow.types",
}


def open(folder: str | Path = "memories", *, scope: Scope | None = None, overrides: Sequence[str] = ()) -> Memory:  # noqa: A001 - as gzip.open, shelve.open
    """Open the memories in a folder, or begin there; close them at the end, or use ``with``.

    Args:
        folder: made where it is not there; one process at a time.
        scope: whose memories, where a call does not say; without one they belong to the folder's owner.
        overrides: settings of ``configs/memory.yaml`` as on the command line, e.g. ``["ranking=vector"]``; the folder
            remembers them, so that the next call needs none.

    Raises:
        StoreError: another process holds the folder, it is damaged, or another embedder made its vectors.
        ConfigError: an override does not fit.
    """
    from pathlib import Path

    from memshadow.config import quoted
    from memshadow.memory.settings import keep, merged, remembered

    place = Path(folder).expanduser()
    wanted = merged(remembered(place), overrides)
    memory = _built([*wanted, f"folder={quoted(str(place))}"], scope)
    keep(place, wanted)
    return memory


def _built(overrides: Sequence[str], scope: Scope | None) -> Memory:
    from memshadow.config import build, load

    config = load("memory", overrides)
    store = build(config.store)
    try:
        return import_module("memshadow.memory.service").Memory(  # type: ignore[no-any-return]
            store=store,
            **{name: build(config[name]) for name in ("index", "embedder", "ranking")},
            rule=build(config.supersession),
            counter=build(config.tokenizer),
            near_threshold=config.near_threshold,
            scope=scope,
        )
    except BaseException:
        store.close()  # whoever mends the mistake may open it at once
        raise


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: importing memshadow stays cheap."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'memshadow' has no attribute {name!r}")
