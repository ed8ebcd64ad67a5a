"""What is typed after a verb: settings, and text in people's own words. Knows verbs' YAML; does nothing of a verb's.

A word ``name=value`` is a setting; every other word, and everything after ``--``, is text. A setting that a verb's YAML
has as text, list or mapping is taken as it was typed, commas, quotes, emoji and all; numbers and yes/no are Hydra's. A
word that looks like a setting and is none is refused: a slip must not be remembered as something said. With an ``@`` in
its name a word is a setting where a part of a memory is called so (``ranker@ranking.ranker=linear``), else text: people
have addresses.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memshadow.config import chosen, folders, load, nearest, plain
from memshadow.errors import ConfigError, DataError
from memshadow.types import Scope

_INNER = r"(?P<inner>(?:\.[\w-]+)*(?:@(?P<place>[\w-]+)(?:\.[\w-]+)*)?)"
_SETTING = re.compile(rf"(?P<mark>[+~]{{0,2}})(?P<name>[A-Za-z_][\w-]*){_INNER}=(?P<value>.*)", re.DOTALL)
_PLACED = frozenset(("embedder", "index", "ranker", "ranking", "second", "store", "tokenizer", "view", "crossencoder"))
"""Parts that a memory has, or that its parts have: before an ``@`` another name is somebody's address."""
_PLACES = frozenset(("embedder", "ranking"))
"""What holds parts of its own: behind an ``@`` it is no address either."""
_LONGEST = 64
_OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What was typed: the verb's ``settings``, words that set the ``memory`` (``embedder=...``), and text.

    ``apart`` are the words of the text, one an argument; ``text`` is all of them, or what standard input brought.
    """

    settings: Mapping[str, Any]
    memory: Sequence[str]
    text: str
    apart: Sequence[str]

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    @property
    def scope(self) -> Scope:
        """Return whose memories are meant.

        Raises:
            ConfigError: a name is none.
        """
        try:
            return Scope(**{name: self.settings[name] for name in ("user", "agent", "session")})
        except ValueError as error:
            raise ConfigError(f"{error}.") from error

    def chosen(self, *names: str) -> dict[str, Any]:
        """Return the named settings that are not empty."""
        return {name: self.settings[name] for name in names if self.settings[name] not in (None, "", [], {})}


def understood(verb: str, argv: Sequence[str], *, reads: bool = True) -> Words:
    """Return what was typed after a verb; where the verb ``reads``, a lone ``-`` as text is standard input.

    Raises:
        ConfigError: a setting is unknown or of the wrong kind.
        DataError: standard input is no UTF-8.
    """
    own, memory = _defaults(verb), _defaults("memory")
    taken: dict[str, Any] = {}
    composed: list[str] = []
    others: list[str] = []
    text: list[str] = []
    for word, after_dashes in _marked(argv):
        found = None if after_dashes else _SETTING.fullmatch(word)
        if found is not None and found["place"] and _is_placed(found["name"], found["place"]):
            others.append(word)
        elif found is None or found["place"]:
            text.append(word if after_dashes else _no_option(word))
        elif found["name"] in own and _is_text(own[found["name"]]) and not (found["mark"] or found["inner"]):
            taken[found["name"]] = _as_typed(found["name"], found["value"], own[found["name"]])
        elif found["name"] in own or found["name"] == "config_dir":
            composed.append(word)
        elif found["name"] in memory:
            others.append(word)
        else:
            raise ConfigError(
                f"{verb} has no setting {found['name']!r}{_meant(found['name'], [*own, *memory])}; "
                f"`memshadow {verb} --help` lists them. If it is meant as text: memshadow {verb} ... -- {word!r}"
            )
    settings = plain(load(verb, composed), resolve=True) | taken
    whole = _standard_input() if reads and text == ["-"] else " ".join(text)
    return Words(settings=settings, memory=others, text=whole, apart=text)


def _marked(argv: Sequence[str]) -> list[tuple[str, bool]]:
    """Return each word, and whether it stands behind ``--``."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    return [*((word, False) for word in argv[:end]), *((word, True) for word in argv[end + 1 :])]


def _is_placed(name: str, place: str) -> bool:
    return name in _PLACED or place in _PLACES


def _is_part(name: str) -> bool:
    return len(name) <= _LONGEST and any((folder / name).is_dir() for folder in folders())


def _meant(name: str, known: Sequence[str]) -> str:
    """Return a hint at what was meant: where the part of that name is chosen, or the setting with the nearest name."""
    placed = [one for one in chosen("memory") if one.startswith(f"{name}@")] if _is_part(name) else []
    return f" (did you mean {placed[0]!r}?)" if placed else nearest(name, known)


def _no_option(word: str) -> str:
    if _OPTION.fullmatch(word):
        raise ConfigError(
            f"there is no option {word!r}; settings are written key=value, without dashes. Text that begins so goes "
            "after --."
        )
    return word


def _is_text(default: Any) -> bool:
    """Return whether a setting is taken as it was typed; numbers, yes/no and parts that are built are Hydra's."""
    return not isinstance(default, (int, float)) and not (isinstance(default, dict) and "_target_" in default)


def _as_typed(name: str, value: str, default: Any) -> Any:
    if isinstance(default, dict):
        return _mapping(name, value)
    if isinstance(default, list):
        inner = value.removeprefix("[").removesuffix("]")
        return [part for one in inner.split(",") if (part := one.strip().strip("\"'"))]
    return None if default is None and value in ("null", "") else value


def _mapping(name: str, value: str) -> dict[str, Any]:
    """Return what JSON, or Hydra's shorter way of writing (``{city:Lisbon}``), says."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        found = json.loads(value)
    except ValueError:
        try:
            found = OverridesParser.create().parse_override(f"{name}={value}").value()
        except HydraException:
            found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{name}={value!r:.60} is no mapping; needed: {name}={{city:Lisbon}}, or JSON.")
    return found


def _defaults(task: str) -> dict[str, Any]:
    """Return name -> default of a YAML on the first floor; a group that it chooses counts as a name."""
    from omegaconf import OmegaConf

    file = next(path for folder in folders() if (path := folder / f"{task}.yaml").is_file())
    tree: Any = OmegaConf.to_container(OmegaConf.load(file))
    groups = [name for one in tree.pop("defaults", []) if isinstance(one, dict) for name in one]
    return {**{name: {} for name in groups}, **tree}


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"what came by standard input is no UTF-8: {error}.") from None
