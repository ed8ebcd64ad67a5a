"""Scenes: what can happen to a person and how two friends talk about it, read from ``text/*.scene``.

The notation, one thing a line:

    scene dog topic=pets mood=good      a scene; its topic picks the small talk around it, its mood the reactions
    need partner  /  unless kid         it happens only to a person whose life has (has not) that fact
    let breed=@dog_breed; n=2..9; x=a, b    slots: from a word table, from a range, from the list given here
    > text                              the person whose life it is says this
    < text                              the friend says this
    | text                              another wording of the line above
    ~ text                              a sentence on the scene's subject that may join anything the person says in it
    # caption                           a photo that may go with the line above
    ? question => answer                the line above answers this (single-hop); also ?t (when), ?o (inference)
    + trip $place                       the line above adds to the person's list "trip" (multi-hop, latest state)
    ===                                 the rest is said sessions later
    set pet=$name                       the life changes when this stage is over

``$S`` and ``$P`` are the person's and the friend's names, ``$he $his $him`` the person's pronouns, ``$when`` and
``$soon`` a relative date whose answer is the default of ``?t``; the facts of the person's life (``$city``, ``$job``,
``$mate``, ...) are slots too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from memshadow.data.corpora.synthetic.grammar import Template, parse, slots_of
from memshadow.errors import DataError

SINGLE, TEMPORAL, INFERENCE, MULTI = "single-hop", "temporal", "open-domain", "multi-hop"
_KINDS = {"?": SINGLE, "?t": TEMPORAL, "?o": INFERENCE}


@dataclass(frozen=True, slots=True)
class Ask:
    """A question on a line: its category, its wording, its answer."""

    category: str
    text: Template
    answer: Template


@dataclass(slots=True)
class Line:
    """One thing said in a scene, in any of its wordings, with what can be asked of it."""

    own: bool
    wordings: list[Template]
    captions: list[Template] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    items: list[tuple[str, Template]] = field(default_factory=list)


@dataclass(slots=True)
class Stage:
    """What is said of a scene in one session."""

    lines: list[Line] = field(default_factory=list)
    sets: list[tuple[str, Template]] = field(default_factory=list)
    _slots: frozenset[str] | None = None

    def slots(self) -> frozenset[str]:
        """Return the slots that any wording of this stage may use."""
        if self._slots is None:
            self._slots = frozenset[str]().union(*(slots_of(w) for line in self.lines for w in line.wordings))
        return self._slots


@dataclass(slots=True)
class Scene:
    """Something that happens to one of the two, in one or more stages."""

    name: str
    topic: str
    mood: str
    needs: list[str] = field(default_factory=list)
    unless: list[str] = field(default_factory=list)
    lets: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=lambda: [Stage()])
    themes: list[Template] = field(default_factory=list)


def _ask(kind: str, body: str) -> Ask:
    text, _, answer = body.partition("=>")
    return Ask(_KINDS[kind], parse(text.strip()), parse(answer.strip() or "$date"))


def _header(body: str) -> Scene:
    name, *rest = body.split()
    given = dict(pair.split("=") for pair in rest)
    return Scene(name, given.get("topic", "life"), given.get("mood", "good"))


def _read_line(scene: Scene, mark: str, body: str) -> None:
    """Add one marked line of the notation to ``scene``."""
    stage = scene.stages[-1]
    match mark:
        case ">" | "<":
            stage.lines.append(Line(mark == ">", [parse(body)]))
        case "|":
            stage.lines[-1].wordings.append(parse(body))
        case "#":
            stage.lines[-1].captions.append(parse(body))
        case "?" | "?t" | "?o":
            stage.lines[-1].asks.append(_ask(mark, body))
        case "+":
            key, _, value = body.partition(" ")
            stage.lines[-1].items.append((key, parse(value)))
        case "~":
            scene.themes.append(parse(body))
        case "===":
            scene.stages.append(Stage())
        case "need":
            scene.needs += body.split()
        case "unless":
            scene.unless += body.split()
        case "let":
            scene.lets += [(name, _options(scene, source)) for name, source in map(_pair, body.split(";"))]
        case "set":
            key, value = _pair(body)
            stage.sets.append((key, parse(value)))
        case _:
            raise DataError(f"scene {scene.name!r}: a line starts with {mark!r}, which the notation does not know")


def _pair(part: str) -> tuple[str, str]:
    name, _, source = part.partition("=")
    return name.strip(), source.strip()


def _options(scene: Scene, source: str) -> tuple[str, ...]:
    """Return what a slot can be: ``@table``, ``2..9``, or the comma-separated values themselves."""
    if source.startswith("@"):
        if source[1:] not in words():
            raise DataError(f"scene {scene.name!r}: no word table is called {source[1:]!r}; add it to a .words file")
        return words()[source[1:]]
    low, dots, high = source.partition("..")
    if dots:
        return tuple(str(n) for n in range(int(low), int(high) + 1))
    return tuple(value.strip() for value in source.split(","))


def read_scenes(source: str) -> Iterator[Scene]:
    """Yield the scenes written in ``source``; an unknown mark raises ``DataError`` naming scene and mark."""
    scene: Scene | None = None
    for raw in source.splitlines():
        mark, _, body = raw.strip().partition(" ")
        if not mark or mark.startswith("//"):
            continue
        if mark == "scene":
            if scene:
                yield scene
            scene = _header(body)
        elif scene is None:
            raise DataError(f"the line {raw!r} stands before the first scene; start with 'scene NAME topic=...'")
        else:
            _read_line(scene, mark, body.strip())
    if scene:
        yield scene


def _text(name: str) -> str:
    return files(__package__).joinpath("text", name).read_text(encoding="utf-8")


def _names(suffix: str) -> list[str]:
    """Return the text files of this package that end in ``suffix``, in a fixed order."""
    folder = files(__package__).joinpath("text")
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(suffix))


@lru_cache(maxsize=1)
def scenes() -> tuple[Scene, ...]:
    """Return every scene of the package, in the order of file and line."""
    return tuple(scene for name in _names(".scene") for scene in read_scenes(_text(name)))


def _sections(source: str) -> Iterator[tuple[str, str]]:
    """Yield (section, line) of a file of ``[section]`` headings."""
    section = ""
    for line in (raw.strip() for raw in source.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("//"):
            yield section, line


@lru_cache(maxsize=1)
def words() -> Mapping[str, tuple[str, ...]]:
    """Return the word tables: name -> entries (in the files: separated by commas)."""
    tables: dict[str, list[str]] = {}
    for name in _names(".words"):
        for section, line in _sections(_text(name)):
            tables.setdefault(section, []).extend(entry.strip() for entry in line.split(",") if entry.strip())
    return {section: tuple(entries) for section, entries in tables.items()}


@lru_cache(maxsize=1)
def phrases() -> Mapping[str, tuple[Template, ...]]:
    """Return the small talk: section -> templates."""
    sections: dict[str, list[Template]] = {}
    for name in _names(".talk"):
        for section, line in _sections(_text(name)):
            sections.setdefault(section, []).append(parse(line))
    return {section: tuple(templates) for section, templates in sections.items()}


def sources() -> str:
    """Return all text that the generator speaks from, joined: what the fingerprint covers."""
    return "\n".join(_text(name) for suffix in (".scene", ".talk", ".words") for name in _names(suffix))
