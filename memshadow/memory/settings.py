"""What a folder of memories was opened with, so that it is opened with the same again. Takes overrides as they are.

A folder may come from elsewhere, and must not decide where texts, keys and files go. So only this is kept, and only
this is taken from its file: the choice of a part by its plain name (``embedder=static``, never ``remote``), that of a
part within one in the few places where one belongs (``ranker@ranking.ranker=linear``, nothing elsewhere), and plain or
quoted values of settings inside them (``ranking.k1=1.2``). No addresses, no names of keys, no folders (``*.folder``),
nothing that says what is built (``*._target_``), and nothing that is followed (``${...}``): a path that holds such
signs is kept in the one form that is not, as :func:`memshadow.config.quoted` writes it. Who uses an embedder behind an
address says so at each opening.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memshadow.errors import ConfigError
from memshadow.models.pretrained import CARRIED
from memshadow.training.atomic import write_bytes

FILE = "settings.json"
_FORMAT = 1
_PART = r"(?:embedder|ranking|index|store|supersession|tokenizer|adapter)"
_WITHIN = (
    r"(?:embedder@embedder\.encoder|view@ranking\.viewer|ranker@ranking\.ranker|second@ranking\.second"
    r"|crossencoder@ranking\.second\.make)"
)
_CHOSEN = re.compile(rf"{_PART}|{_WITHIN}")
_CHOICE = rf"(?:{_PART}|{_WITHIN})=(?!remote\Z)[a-z][a-z0-9_]*"
_NAME = rf"(?:{_PART}(?:\.(?!(?:folder|url|uri|key_env)[.=])[a-z][a-z0-9_]*)+|near_threshold)"
_PLAIN = r"[\w./\\+%@~:-]*(?: +[\w./\\+%@~:-]+)*"
_DOUBLE = r'"(?:[^"\\$\x00-\x1f]|\$(?!\{))*"'
_SINGLE = r"'(?:[^'\\$\x00-\x1f]|\$(?!\{)|\\\$\{|\\(?!\$\{)[^\x00-\x1f])*'"  # ``${`` behind a sign that escapes it only
_KEPT = re.compile(rf"{_CHOICE}|{_NAME}=(?:{_PLAIN}|{_DOUBLE}|{_SINGLE})")
_FILES = re.compile(r"""(?P<name>[\w.]+\.(model|cache))=(?P<quote>['"]?)(?P<path>[^'"\\$]+)(?P=quote)""")
_PACKAGED = frozenset(("minilm", "packaged", *CARRIED))  # names, also where a folder is called so
_LOG = logging.getLogger("memshadow.memory")


def remembered(folder: Path) -> list[str]:
    """Return the overrides that a folder is opened with; none where it is new. What it may not hold is told, not taken.

    Raises:
        ConfigError: the file is damaged or of a newer version.
    """
    return _taken(folder, _read(folder)[0])


def announced(folder: Path) -> list[str]:
    """Return the overrides that were announced and not settled yet; errors as ``remembered``."""
    return _taken(folder, _read(folder)[1])


def endpoints(tree: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield place, address and name of the key of each embedder in a composed config that texts are sent away to.

    What is built where ``_target_`` is followed cannot be seen here, so it counts as one.
    """
    if isinstance(tree, Mapping):
        target = str(tree.get("_target_", ""))
        if "${" in target or target.endswith(".RemoteEmbedder"):
            yield path, tree.get("url"), tree.get("key_env")
    inner = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in inner:
        yield from endpoints(value, f"{path}.{name}" if path else str(name))


def merged(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return both, the new ruling: another choice of a part drops what was set or chosen inside the old choice."""
    return [*_outside(old, {_name(word) for word in new}), *new]


def _outside(words: Sequence[str], names: set[str]) -> list[str]:
    """Return the words that neither have one of the names nor say something inside a choice that has one.

    ``ranker@ranking.ranker`` and ``ranking.ranker.model`` are inside ``ranking``, the second is inside the first.
    """
    places = {_place(name) for name in names if _CHOSEN.fullmatch(name)}
    return [word for word in words if _name(word) not in names and places.isdisjoint(_around(_place(_name(word))))]


def _name(word: str) -> str:
    return word.partition("=")[0]


def _place(name: str) -> str:
    """Return where a name sets or chooses something: behind its ``@``, where it has one."""
    return name.rpartition("@")[2]


def _around(place: str) -> Iterator[str]:
    """Yield the places that a place is inside of: of ``a.b.c`` these are ``a.b`` and ``a``."""
    while "." in place:
        place = place.rpartition(".")[0]
        yield place


def keep(folder: Path, overrides: Sequence[str], *, settled: bool = False) -> None:
    """Write down what the folder is opened with from now on, where that changed; the file is its owner's alone.

    ``settled``: what was announced has come to pass, and is announced no more.
    """
    upcoming = [] if settled else _kept(_read(folder)[1])
    _write(folder, _kept([_from_anywhere(word) for word in overrides]), upcoming)


def announce(folder: Path, overrides: Sequence[str]) -> None:
    """Write down what the folder may have to be opened with soon, while another embedder is being taken up."""
    _write(folder, _kept(_read(folder)[0]), _kept([_from_anywhere(word) for word in overrides]))


def _read(folder: Path) -> tuple[list[str], list[str]]:
    file = folder / FILE
    if not file.is_file():
        return [], []
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        version, overrides = found["format"], [str(word) for word in found["overrides"]]
        upcoming = [str(word) for word in found.get("announced", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} is damaged ({error}); remove it and say what it held, e.g. embedder=minilm ranking=hybrid."
        ) from None
    if version != _FORMAT:
        raise ConfigError(f"{file} has format {version!r}; this version reads {_FORMAT}. Use the one that wrote it.")
    return overrides, upcoming


def _write(folder: Path, overrides: list[str], upcoming: list[str]) -> None:
    if (overrides, upcoming) != _read(folder):
        said = {"format": _FORMAT, "overrides": overrides} | ({"announced": upcoming} if upcoming else {})
        write_bytes(folder / FILE, (json.dumps(said, indent=1) + "\n").encode(), mode=0o600)


def _kept(overrides: Sequence[str]) -> list[str]:
    """Return what a folder may hold; where the choice of a part is not among it, what was set inside goes with it."""
    fit = [word for word in overrides if _KEPT.fullmatch(word) and "://" not in word]
    return _outside(fit, {_name(word) for word in overrides} - {_name(word) for word in fit})


def _taken(folder: Path, said: Sequence[str]) -> list[str]:
    """Return the words of a folder's file that it may hold, and tell of the others."""
    kept = _kept(said)
    if refused := sorted({word for word in said if word not in kept}):
        _LOG.warning(
            "%s says %s, which a folder may not decide (where texts, keys and files go), so it is left out. If it is "
            "yours, say it at each opening (overrides=[...], or on the command line); if the folder came from "
            "elsewhere, do not trust it.",
            folder / FILE,
            ", ".join(f"{word!r:.80}" for word in refused),
        )
    return kept


def _from_anywhere(word: str) -> str:
    """Return an override whose path, where it leads to something from here, does so from every working folder."""
    said = _FILES.fullmatch(word)
    if said is None or said["path"] in _PACKAGED or not Path(said["path"]).exists():
        return word
    path = str(Path(said["path"]).absolute())
    quote = '"' if "'" in path else "'"
    return word if quote in path or "\\" in path or "${" in path else f"{said['name']}={quote}{path}{quote}"
