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

    from memshadow.data.store.base import MemoryStore
    from memshadow.memory.service import Memory
    from memshadow.models.base import Embedder
    from memshadow.serving.client import Client
    from memshadow.types import Draft, Scope

__all__ = ["Client", "Draft", "Memory", "Scope", "__version__", "open"]
_HOMES = {
    "Client": "memshadow.serving.client",
    "Draft": "memshadow.types",
    "Memory": "memshadow.memory.service",
    "Scope": "memshadow.types",
}


def open(  # noqa: A001 - as gzip.open, shelve.open
    folder: str | Path = "memories",
    *,
    scope: Scope | None = None,
    overrides: Sequence[str] = (),
    remember: bool = True,
) -> Memory:
    """Open the memories in a folder, or begin there; close them at the end, or use ``with``.

    Args:
        folder: made where it is not there; one process at a time.
        scope: whose memories, where a call does not say; without one they belong to the folder's owner.
        overrides: settings of ``configs/memory.yaml`` as on the command line, e.g. ``["ranking=vector"]``; the folder
            remembers them, so that the next call needs none (not where files lie, nor a password in an address).
        remember: whether the folder does; ``False`` tries settings out on it.

    Raises:
        StoreError: another process holds the folder, it is damaged, or another embedder made its vectors; the message
            says how to open it then.
        ConfigError: an override does not fit.
    """
    from pathlib import Path

    from memshadow.config import quoted
    from memshadow.memory.settings import keep, merged, remembered

    place = Path(folder).expanduser().absolute()
    wanted = merged(remembered(place), overrides)
    memory = _built([*wanted, f"folder={quoted(str(place))}"], scope)
    if remember:
        keep(place, wanted)
    return memory


def _built(overrides: Sequence[str], scope: Scope | None) -> Memory:
    from memshadow.config import build, load

    config = load("memory", overrides)
    store = build(config.store)
    try:
        embedder = build(config.embedder)
        _refuse_other(store, embedder, config.folder)
        return import_module("memshadow.memory.service").Memory(  # type: ignore[no-any-return]
            store=store,
            embedder=embedder,
            **{name: build(config[name]) for name in ("index", "ranking")},
            rule=build(config.supersession),
            counter=build(config.tokenizer),
            near_threshold=config.near_threshold,
            scope=scope,
        )
    except BaseException:
        store.close()  # whoever mends the mistake may open it at once
        raise


def _refuse_other(store: MemoryStore, embedder: Embedder, folder: str) -> None:
    """Refuse an embedder that did not make a folder's vectors, and say what to type.

    ``Memory.reembed`` knows no folder, so the settings kept there may be behind it.
    """
    from memshadow.config import folders
    from memshadow.errors import StoreError

    active = next((known for known in store.embeddings() if known.active), None)
    if active is None or active.fingerprint == embedder.fingerprint:
        return
    choice = active.name.partition("-")[0]
    if not any((at / "embedder" / f"{choice}.yaml").is_file() for at in folders()):
        choice = "..."
    raise StoreError(
        f"the memories in {folder} were embedded with {active.name} ({active.dim} dims, {active.fingerprint}), but "
        f"{embedder.name} ({embedder.dim} dims, {embedder.fingerprint}) came. If {active.name} is to stay, say so "
        f'once, with its settings, and the folder remembers: memshadow.open({folder!r}, overrides=["embedder={choice}"'
        f"]). To take up {embedder.name}: memshadow reembed folder=... embedder=..."
    )


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: importing memshadow stays cheap."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'memshadow' has no attribute {name!r}")
