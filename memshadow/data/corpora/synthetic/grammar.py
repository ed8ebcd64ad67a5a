"""A small phrase grammar: one template stands for many sentences. Knows nothing of people or of time.

``{one|two|}`` is a choice (may be nested; an empty branch says nothing), ``$name`` a slot that the caller fills.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from memshadow.errors import DataError

T = TypeVar("T")
_TOKEN = re.compile(r"[{}|]|\$[A-Za-z_]\w*|[^{}|$]+|\$")
_SPACE_BEFORE = re.compile(r" +([,.!?;:])")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU8])(?!(?:uni|use|usu|one|euro|uku|u-)(?i:))", re.ASCII)
_SENTENCE = re.compile(r"(^|[.!?]\s+)([a-z])")


class Dice:
    """Seeded chance built on ``random.Random.random`` alone, the one method whose stream Python promises to keep."""

    def __init__(self, seed: str) -> None:
        self.roll = random.Random(seed).random

    def pick(self, options: Sequence[T]) -> T:
        """Return one of ``options``, each as likely as any other."""
        return options[int(self.roll() * len(options))]

    def chance(self, p: float) -> bool:
        """Return true with probability ``p``."""
        return self.roll() < p

    def between(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int(self.roll() * (high - low + 1))

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """Return ``options`` in a random order (Fisher and Yates)."""
        deck = list(options)
        for i in range(len(deck) - 1, 0, -1):
            j = int(self.roll() * (i + 1))
            deck[i], deck[j] = deck[j], deck[i]
        return deck


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that the caller fills."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Branches of which one is said."""

    branches: tuple[Template, ...]


Template = tuple["str | Slot | Choice", ...]


def parse(source: str) -> Template:
    """Return the compiled form of ``source``; unbalanced braces raise ``DataError`` with the line itself."""
    tokens = _TOKEN.findall(source)
    branches, end = _branches(tokens, 0)
    if end != len(tokens) or len(branches) != 1:
        raise DataError(f"this template has a brace or a bar out of place: {source!r}")
    return branches[0]


def _branches(tokens: list[str], at: int) -> tuple[list[Template], int]:
    """Read branches until the closing brace (or the end) and return them with the place after."""
    branches: list[Template] = []
    current: list[str | Slot | Choice] = []
    while at < len(tokens) and tokens[at] != "}":
        piece = tokens[at]
        if piece == "{":
            inner, at = _branches(tokens, at + 1)
            current.append(Choice(tuple(inner)))
        elif piece == "|":
            branches.append(tuple(current))
            current = []
        else:
            current.append(Slot(piece[1:]) if len(piece) > 1 and piece[0] == "$" else piece)
        at += 1
    return [*branches, tuple(current)], at


def slots_of(template: Template) -> frozenset[str]:
    """Return the names of the slots that ``template`` may use."""
    names: set[str] = set()
    for piece in template:
        if isinstance(piece, Slot):
            names.add(piece.name)
        elif isinstance(piece, Choice):
            names.update(*(slots_of(branch) for branch in piece.branches))
    return frozenset(names)


def always(template: Template, name: str) -> bool:
    """Return whether every sentence of ``template`` says slot ``name``."""
    return any(
        piece.name == name if isinstance(piece, Slot) else all(always(branch, name) for branch in piece.branches)
        for piece in template
        if not isinstance(piece, str)
    )


def expand(template: Template, dice: Dice, slots: Mapping[str, str]) -> str:
    """Return one sentence of ``template``; not yet tidied."""
    parts: list[str] = []
    waiting = list(reversed(template))
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, str):
            parts.append(piece)
        elif isinstance(piece, Slot):
            parts.append(slots[piece.name])
        else:
            waiting.extend(reversed(dice.pick(piece.branches)))
    return "".join(parts)


def tidy(text: str) -> str:
    """Return ``text`` with single spaces, "an" before vowels, and sentences that start with a capital."""
    text = " ".join(text.split())
    if " ." in text or " ," in text or " !" in text or " ?" in text:
        text = _SPACE_BEFORE.sub(r"\1", text)
    text = _ARTICLE.sub(r"\1n ", text)
    return _SENTENCE.sub(lambda found: found[1] + found[2].upper(), text)
