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

    from memshadow.memory.reembedding import OtherEmbedderError
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

    from memshadow.memory.reembedding import OtherEmbedderError
    from memshadow.memory.settings import announced, keep, merged, remembered

    place = Path(folder).expanduser().absolute()
    wanted, switched = merged(remembered(place), overrides), False
    try:
        memory, kept = _built(place, wanted, scope)
    except OtherEmbedderError as other:
        found = _switched(place, merged(announced(place), overrides), scope) if announced(place) else None
        if found is None:
            raise _explained(other, place, overrides) from None
        (memory, kept), switched = found, True
    if remember:
        keep(place, kept, settled=switched)
    return memory


def _built(place: Path, overrides: Sequence[str], scope: Scope | None) -> tuple[Memory, list[str]]:
    """Return the memory in a folder, and the overrides that lead to the same again."""
    from memshadow.config import as_overrides, build, load, quoted

    config = load("memory", [*overrides, f"folder={quoted(str(place))}"])
    store = build(config.store)
    try:
        embedder = build(config.embedder)
        memory = import_module("memshadow.memory.service").Memory(
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
    return memory, [*overrides, *as_overrides("embedder", getattr(embedder, "settled", {}))]


def _switched(place: Path, overrides: Sequence[str], scope: Scope | None) -> tuple[Memory, list[str]] | None:
    """Open a folder as it was announced, where a kill came between the switch and its being noted; else None."""
    from memshadow.memory.reembedding import OtherEmbedderError

    try:
        memory, kept = _built(place, overrides, scope)
    except OtherEmbedderError:
        return None
    for known in memory.store.embeddings():
        if not known.active:  # the kill came before its rows went
            memory.store.retire(known.fingerprint)
    return memory, kept


def _explained(other: OtherEmbedderError, place: Path, overrides: Sequence[str]) -> OtherEmbedderError:
    """Return the refusal of an embedder that did not make a folder's vectors, with what to type in this case."""
    from shlex import join

    from memshadow.config import folders
    from memshadow.memory.reembedding import OtherEmbedderError
    from memshadow.memory.settings import remembered

    said = [word for word in overrides if word.startswith("embedder")]
    if said and remembered(place):
        stay = f"Leave {' '.join(said)} out, and the folder opens with what it remembers."
    else:  # ``Memory.reembed`` knows no folder, so the settings kept there may be behind it
        choice = other.active.name.partition("-")[0]
        known = any((at / "embedder" / f"{choice}.yaml").is_file() for at in folders())
        stay = (
            f"If {other.active.name} is to stay, say so once, with its settings, and the folder remembers: "
            f'memshadow.open({str(place)!r}, overrides=["embedder={choice if known else "..."}"]).'
        )
    new = join(["memshadow", "reembed", f"folder={place}", *(said or ["embedder=..."])])
    return OtherEmbedderError(other.active, other.came, f"{stay} To take up {other.came.name}: {new}")


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: importing memshadow stays cheap."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'memshadow' has no attribute {name!r}")
