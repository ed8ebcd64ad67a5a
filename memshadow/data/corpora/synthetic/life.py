"""Who the two friends are, what is true of them now, and how each of them writes. Knows nothing of scenes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from memshadow.data.corpora.synthetic.grammar import Dice
from memshadow.data.corpora.synthetic.scene import words

_PRONOUNS = {"woman": ("she", "her", "her"), "man": ("he", "his", "him")}
_SLIPS = (
    ("definitely", "definately"), ("a lot", "alot"), ("because", "becuase"), ("really", "realy"), ("weird", "wierd"),
    ("probably", "prolly"), ("though", "tho"), ("about", "abuot"), ("their", "thier"), ("until", "untill"),
)  # fmt: skip
_FULL_STOP = re.compile(r"(?<!\.)\. ")


@dataclass(slots=True)
class Person:
    """One of the two: a name and the facts that hold now (scenes change them)."""

    name: str
    kind: str
    facts: dict[str, str] = field(default_factory=dict)

    def pronouns(self) -> dict[str, str]:
        """Return the slots ``he``, ``his``, ``him`` for this person."""
        return dict(zip(("he", "his", "him"), _PRONOUNS[self.kind], strict=True))


@dataclass(frozen=True, slots=True)
class Voice:
    """How somebody types: probabilities of an exclamation mark, an emoji, a laugh, a long decorated turn, a slip."""

    exclaim: float
    emoji: float
    laugh: float
    chatty: float
    slip: float
    lower: bool
    emojis: tuple[str, ...]

    def types(self, text: str, dice: Dice) -> str:
        """Return ``text`` as this person would type it; no word that carries a fact is touched."""
        if dice.chance(self.exclaim):
            text = _FULL_STOP.sub("! ", text, count=1) if dice.chance(0.5) else text
            text = text[:-1] + "!" if text.endswith(".") and not text.endswith("..") else text
        if dice.chance(self.slip):
            right, wrong = dice.pick(_SLIPS)
            text = text.replace(f" {right} ", f" {wrong} ", 1)
        if dice.chance(self.laugh):
            text = f"{text} {dice.pick(('Haha', 'Lol', 'haha', 'lol', 'Ha'))}" + dice.pick(("", ".", "!"))
        if self.lower and text[:2] not in {"I ", "I'"}:
            text = text[:1].lower() + text[1:]
        return f"{text} {dice.pick(self.emojis)}" if dice.chance(self.emoji) else text


def voice(dice: Dice) -> Voice:
    """Draw a way of typing: most people are plain, some shout, some use emoji, some are terse."""
    return Voice(
        exclaim=dice.pick((0.15, 0.3, 0.5, 0.7, 0.9)),
        emoji=dice.pick((0.0, 0.0, 0.0, 0.01, 0.03, 0.15)),
        laugh=dice.pick((0.0, 0.0, 0.01, 0.03, 0.06)),
        chatty=dice.pick((0.35, 0.5, 0.6, 0.7, 0.85)),
        slip=dice.pick((0.0, 0.01, 0.05)),
        lower=dice.chance(0.04),
        emojis=tuple(dice.shuffled(words()["emoji"])[:6]),
    )


def couple(dice: Dice) -> tuple[Person, Person]:
    """Draw two friends with different names and independent lives."""
    first, second = _person(dice), _person(dice)
    while second.name == first.name:
        second = _person(dice)
    return first, second


def _person(dice: Dice) -> Person:
    table = words()
    kind = dice.pick(("woman", "man"))
    women, men = dice.shuffled(table["woman"]), dice.shuffled(table["man"])
    name = women.pop() if kind == "woman" else men.pop()
    facts = {
        "city": dice.pick(table["city"]),
        "hometown": dice.pick(table["city"]),
        "job": dice.pick(table["job"]),
        "sis": women.pop(),
        "bro": men.pop(),
        "gal": women.pop(),
        "guy": men.pop(),
    }
    if dice.chance(0.5):
        facts["mate"] = men.pop() if (kind == "woman") != dice.chance(0.1) else women.pop()
    if dice.chance(0.4):
        facts["kid"] = women.pop() if dice.chance(0.5) else men.pop()
    return Person(name, kind, facts)
