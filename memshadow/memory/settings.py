"""What a folder of memories was opened with, so that it is opened with the same again. Takes overrides as they are.

Only choices about how memories are made and found are kept, and only those are taken from a file that came with a
folder: an override is text like ``embedder=static`` or ``ranking.k1=1.2``. Where files lie (``*.folder``), what is
built (``*._target_``), addresses, and what is read from the environment are neither kept nor taken: a folder that came
from elsewhere must not decide where texts and secrets go. Who uses ``embedder=remote`` says so at each opening.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from memshadow.errors import ConfigError
from memshadow.training.atomic import write_bytes

FILE = "settings.json"
_FORMAT = 1
_KEPT = re.compile(
    r"((embedder|ranking|index|store|supersession|tokenizer|near_threshold)(\.[\w.]+)?|embedder@embedder\.encoder)="
)
_NEVER = re.compile(r"[\w.]*\.folder=|.*_target_|.*://|embedder(@[\w.]+)?=remote|.*oc\.env", re.DOTALL)
_FILES = re.compile(r"""(?P<name>[\w.]+\.(model|cache))=(?P<quote>['"]?)(?P<path>[^'"\\$]+)(?P=quote)""")
_PACKAGED = "minilm"  # a name, also where a folder is called so


def remembered(folder: Path) -> list[str]:
    """Return the overrides that a folder is opened with; none where it is new.

    Raises:
        ConfigError: the file is damaged or of a newer version.
    """
    return _read(folder)[0]


def announced(folder: Path) -> list[str]:
    """Return the overrides that were announced and not settled yet; errors as ``remembered``."""
    return _read(folder)[1]


def merged(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return both, the new ruling: another choice of a part drops what was set inside the old choice."""
    chosen = {word.partition("=")[0] for word in new}
    kept = [word for word in old if (name := word.partition("=")[0]) not in chosen and _part(name) not in chosen]
    return [*kept, *new]


def _part(name: str) -> str:
    return re.split(r"[.@]", name, maxsplit=1)[0]


def keep(folder: Path, overrides: Sequence[str], *, settled: bool = False) -> None:
    """Write down what the folder is opened with from now on, where that changed; the file is its owner's alone.

    ``settled``: what was announced has come to pass, and is announced no more.
    """
    upcoming = announced(folder)
    _write(folder, [_from_anywhere(word) for word in _kept(overrides)], [] if settled else upcoming)


def announce(folder: Path, overrides: Sequence[str]) -> None:
    """Write down what the folder may have to be opened with soon, while another embedder is being taken up."""
    _write(folder, remembered(folder), [_from_anywhere(word) for word in _kept(overrides)])


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
    return _kept(overrides), _kept(upcoming)


def _write(folder: Path, overrides: list[str], upcoming: list[str]) -> None:
    if (overrides, upcoming) != _read(folder):
        said = {"format": _FORMAT, "overrides": overrides} | ({"announced": upcoming} if upcoming else {})
        write_bytes(folder / FILE, (json.dumps(said, indent=1) + "\n").encode(), mode=0o600)


def _kept(overrides: Sequence[str]) -> list[str]:
    return [word for word in overrides if _KEPT.match(word) and not _NEVER.match(word)]


def _from_anywhere(word: str) -> str:
    """Return an override whose path, where it leads to something from here, does so from every working folder."""
    said = _FILES.fullmatch(word)
    if said is None or said["path"] == _PACKAGED or not Path(said["path"]).exists():
        return word
    path = str(Path(said["path"]).absolute())
    quote = '"' if "'" in path else "'"
    return word if quote in path or "\\" in path or "${" in path else f"{said['name']}={quote}{path}{quote}"
