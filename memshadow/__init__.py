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

    from omegaconf import DictConfig

    from memshadow.data.feedback import FeedbackLog
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
            remembers them, so that the next call needs none (not where files lie, nor addresses and ``remote``: what
            sends texts away is said at each opening).
        remember: whether the folder does; ``False`` tries settings out on it.

    Raises:
        StoreError: another process holds the folder, it is damaged, or another embedder made its vectors; the message
            says how to open it then.
        ConfigError: an override does not fit, or what the folder remembers would send texts away.
    """
    from pathlib import Path

    from memshadow.memory.reembedding import OtherEmbedderError
    from memshadow.memory.settings import announced, keep, remembered

    place = Path(folder).expanduser().absolute()
    try:
        memory, kept = _built(place, remembered(place), overrides, scope)
    except OtherEmbedderError as other:
        upcoming = announced(place)
        found = _switched(place, upcoming, overrides, scope) if upcoming else None
        if found is None:
            raise _explained(other, place, overrides) from None
        memory, kept = found
    if remember:
        keep(place, kept, settled=True)  # the folder is ours alone: what else was announced was given up
    return memory


def _built(place: Path, told: Sequence[str], overrides: Sequence[str], scope: Scope | None) -> tuple[Memory, list[str]]:
    """Return the memory in a folder that told what it is opened with, and the overrides that lead to the same again."""
    from memshadow.config import as_overrides, build, load, quoted
    from memshadow.memory.settings import merged

    wanted = merged(told, overrides)
    config = load("memory", [*wanted, f"folder={quoted(str(place))}"])
    _refuse_unsaid(place, config, overrides)
    store = build(config.store)
    try:
        embedder = build(config.embedder)
        memory = import_module("memshadow.memory.service").Memory(
            store=store,
            embedder=embedder,
            **{name: build(config[name]) for name in ("index", "ranking")},
            adapters=build(config.adapter),
            rule=build(config.supersession),
            counter=build(config.tokenizer),
            near_threshold=config.near_threshold,
            feedback=_feedback_beside(config.store),
            scope=scope,
        )
    except BaseException:
        store.close()  # whoever mends the mistake may open it at once
        raise
    return memory, [*wanted, *as_overrides("embedder", getattr(embedder, "settled", {}))]


def _feedback_beside(store: DictConfig) -> FeedbackLog | None:
    """Return the log of what is found useful, in the store's folder; None where the store has none."""
    from pathlib import Path

    from memshadow.data.feedback import FILE, FeedbackLog

    return FeedbackLog(file=Path(store.folder).expanduser().absolute() / FILE) if "folder" in store else None


def _refuse_unsaid(place: Path, config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse an embedder that texts are sent away to, unless this call's own words and configs lead to it.

    A second bolt: no words that lead there are taken from a folder's file.
    """
    from memshadow.config import load, plain
    from memshadow.errors import ConfigError
    from memshadow.memory.settings import FILE, endpoints

    said = [word for word in overrides if word.lstrip("+").startswith(("embedder", "config_dir="))]
    for found in endpoints(plain(config)):
        if any(word.startswith(f"embedder@{found[0]}=") for word in said):
            continue
        try:
            own = list(endpoints(plain(load("memory", said))))
        except ConfigError:  # these words make sense only beside those of the folder
            own = []
        if found not in own:
            raise ConfigError(
                f"{place} would be opened with an embedder behind an address ({found[0]}), which all texts are sent "
                "to, and this call did not say so. If it is wanted, say all of it at each opening: embedder=remote "
                f"embedder.url=... embedder.model=... embedder.dim=...; if not, look into {place / FILE}."
            )


def _switched(
    place: Path, told: Sequence[str], overrides: Sequence[str], scope: Scope | None
) -> tuple[Memory, list[str]] | None:
    """Open a folder as it was announced, where a kill came between the switch and its being noted; else None."""
    from memshadow.memory.reembedding import OtherEmbedderError

    try:
        memory, kept = _built(place, told, overrides, scope)
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
        often = (
            "at each opening, with its settings"
            if choice == "remote"
            else "once, with its settings, and the folder remembers"
        )
        stay = (
            f"If {other.active.name} is to stay, say so {often}: "
            f'memshadow.open({str(place)!r}, overrides=["embedder={choice if known else "..."}"]).'
        )
    new = join(["memshadow", "reembed", f"folder={place}", *(said or ["embedder=..."])])
    return OtherEmbedderError(other.active, other.came, f"{stay} To take up {other.came.name}: {new}")


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: importing memshadow stays cheap."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'memshadow' has no attribute {name!r}")
