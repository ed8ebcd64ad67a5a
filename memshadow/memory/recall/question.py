"""What a question says beside its words: whom it names, whether it asks for a time or a number. Knows no scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from memshadow.data.index.base import HALF, WORD, straight, voice_hash
from memshadow.data.index.columns import UNKNOWN, microseconds
from memshadow.memory.recall.said import Said
from memshadow.memory.recall.when import Relation, asks_current, spans
from memshadow.models.lexical import terms

_POSSESSIVE = re.compile(r"'s?$")
_LOOKED_AT = 2_000  # characters: a question is a sentence or a few; what is pasted behind it names nobody
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = frozenset(
    """
    will may mark rose grace hope april june august summer autumn dawn joy faith art bill frank grant jack gene guy ray
    rich pat sue drew chance chase miles page reed rob sandy skip violet iris ivy lily daisy olive pearl ruby amber
    """.split()
)
"""Names that are words as well: they name someone as they are written alone."""
_AUXILIARY = frozenset(("will", "may"))
_LONGEST_NAME = 3  # words
_MOST_YEARS = 100
_YEARS = range(2, 9999)
"""Of those at the ends of the calendar nothing has a day before, or after."""
_WHEN = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:date|day|month|year|time|week)\b"
    r"|\bhow long\b|\bhow many (?:days|weeks|months|years)\b",
    re.I,
)
_HOW_MANY = re.compile(r"\bhow (?:many|much|often|old|far|long)\b|\bnumber of\b|\bwhat (?:age|amount|price)\b", re.I)


class Event(NamedTuple):
    """When something happened that a question dates itself by, in microseconds since 1970 UTC, and how."""

    moment: int
    relation: Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as the features see it."""

    named: Int64[ndarray, " named"]
    """Numbers of the speakers (see ``Said.names``) that it names; none where one alone speaks."""
    names: frozenset[str]
    """Its terms that do so."""
    asks_when: bool
    asks_how_many: bool
    asks_current: bool
    spans: tuple[tuple[float, float], ...]
    """Event times it speaks of, from the first up to the second, in microseconds since 1970 UTC; may be endless."""


def question_of(text: str, said: Said, *, now: datetime | None = None, event: Event | None = None) -> Question:
    """Return what a question says; text without words says nothing.

    Args:
        text: as it was asked.
        said: where it is asked.
        now: what "last week" is relative to; ``None``: the newest event in ``said``, whatever the clock shows.
        event: the moment of an event that the question dates itself by ("before she moved"), and how.
    """
    text = text[:_LOOKED_AT]
    named: dict[int, set[str]] = {}
    for phrase in _phrases(straight(text)) if len(said.names) > 1 else ():
        number = _speaker(phrase, said)
        if number is not None:
            named.setdefault(number, set()).update(terms(phrase))
    return Question(
        named=np.array(sorted(named), dtype=np.int64),
        names=frozenset().union(*named.values()),
        asks_when=_WHEN.search(text) is not None,
        asks_how_many=_HOW_MANY.search(text) is not None,
        asks_current=asks_current(text),
        spans=_spans(text, said, now, event),
    )


def _speaker(phrase: str, said: Said) -> int | None:
    """Return whose name this is, in whatever case, or whose first name, where one alone has it.

    A first name alone is written with a capital: "support" is not "Support Bot".
    """
    word = phrase.lower() in _WORDS
    if word and not phrase.istitle():
        return None
    code = voice_hash(phrase) & HALF
    number = said.whole_names.get(code)
    common = not (word or terms(phrase)) or phrase.islower()  # "the" is not "the Cook"
    return number if number is not None or " " in phrase or common else said.first_names.get(code)


def _spans(text: str, said: Said, now: datetime | None, event: Event | None) -> tuple[tuple[float, float], ...]:
    if said.last == UNKNOWN:  # nothing here has a time
        return ()
    spoken = spans(text, now=now or _moment(said.last), years=_years(said))
    found = [_bounds(microseconds(span.start), microseconds(span.end), span.relation) for span in spoken]
    if event is not None:
        found.append(_bounds(event.moment, event.moment + 1, event.relation))
    return tuple(found)


def _years(said: Said) -> Sequence[int]:
    """Return the years of the scope: all from the first to the last, where a wrong date does not make them many."""
    years = range(max(_moment(said.first).year, _YEARS[0]), min(_moment(said.last).year, _YEARS[-1]) + 1)
    if len(years) <= _MOST_YEARS:
        return years
    known = said.happened[said.happened != UNKNOWN].view("datetime64[us]").astype("datetime64[Y]")
    found, counts = np.unique(known.astype(np.int64) + _EPOCH.year, return_counts=True)
    often = found[np.argsort(-counts, kind="stable")].tolist()
    return sorted([year for year in often if year in _YEARS][:_MOST_YEARS])


def _moment(microseconds_: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds_)


def _bounds(start: float, end: float, relation: Relation) -> tuple[float, float]:
    if relation == "before":
        return -math.inf, start
    return (end, math.inf) if relation == "after" else (start, end)


def _phrases(text: str) -> Iterator[str]:
    """Yield every run of one to three words, without a closing possessive."""
    found = WORD.findall(text)
    if found and found[0].lower() in _AUXILIARY:  # "Will you", "May I": the capital is the sentence's
        found = found[1:]
    bare = [_POSSESSIVE.sub("", word) for word in found]
    for last, word in enumerate(bare):
        for first in range(max(0, last - _LONGEST_NAME + 1), last + 1):
            yield " ".join([*found[first:last], word])
