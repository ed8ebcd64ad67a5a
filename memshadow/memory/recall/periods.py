"""The forms in which English names a period of time, and what each means. Knows nothing of the words around them.

A form that tells no year ("in June", "on 7 May") means that of every year in which something happened; one that is
relative ("last spring") means nothing where today is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from memshadow.memory.recall.calendar import (
    DAY,
    FEASTS,
    MONTHS,
    SEASONS,
    UNITS,
    WEEKDAYS,
    Period,
    ago,
    day,
    months,
    turned,
    weekday,
)  # fmt: skip

MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
UNIT = "|".join(UNITS)
COUNT = (
    r"(?:(?<![\d.,])\d{1,3}|(?:a )?couple(?: of)?|(?:a )?few|several|half an?|an?|one|two|three|four|five|six|seven"
    r"|eight|nine|ten|eleven|twelve)"
)
_NUMBERS: Mapping[str, float] = {
    name: number
    for number, name in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"a": 1, "an": 1, "the": 1, "couple": 2, "few": 3, "several": 4, "half a": 0.5, "half an": 0.5}
_SEASON, _WEEKDAY = "|".join(SEASONS), "|".join(WEEKDAYS)
_FEAST = "|".join(sorted((name.replace("'", "['’]?") for name in FEASTS), key=len, reverse=True))
_FEAST_WORDS = {re.split(r"\W", name)[0] for name in FEASTS} | {"valentines"}
_PLAIN_MONTH = "january|february|april|june|july|august|september|october|november|december"
_TENS = "twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties".split("|")
_ORDINALS = ("first", "second", "third", "fourth")
_MEASURE = r"dollars?|euros?|pounds?|bucks|calories|steps|miles?|meters?|metres?|feet|points?|words|people|times"
_FULL_YEAR = rf"(?:19|20)\d\d(?!\d|[.,]\d|%| (?:{_MEASURE})\b)"
_YEAR = rf"(?:(?:, ?| )(?:of )?(?P<year>{_FULL_YEAR})\b|(?: of)? ['’](?P<short>\d\d)\b)"
_NTH = r"(?P<nth>st|nd|rd|th)"
_TO = r" ?(?:-|–|to|and|until|till|through) ?"
_NEAR = 5
"""Years ahead that '30 may still mean, as seen from the latest one that is known."""


@dataclass(frozen=True, slots=True)
class Seen:
    """From where a form is seen: today, where that is known, and the years that may be meant where none is told."""

    today: datetime | None
    years: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """One way of naming a period; a ``shy`` one is a time only behind a word like "in", or else is some other thing."""

    pattern: re.Pattern[str]
    meaning: Callable[[dict[str, str], Seen], Iterator[Period]]
    needs: frozenset[str]
    """Words, one of which is in whatever matches; # is any digit."""
    shy: bool


def number(word: str) -> float:
    """Return how many "a couple of", "half a", "three" and "12" are; what matches ``COUNT``, in any case."""
    bare = word.lower()
    if bare not in _NUMBERS:
        bare = bare.removeprefix("a ").removesuffix(" of")
    return int(bare) if bare.isdigit() else _NUMBERS[bare]


def _years(said: dict[str, str], seen: Seen) -> tuple[int, ...]:
    """Return the year that a form tells ('23 is the last one that is not far ahead), else those it may be of."""
    if short := said.get("short"):
        latest = max((*seen.years, seen.today.year if seen.today else 2000)) + _NEAR
        return (latest - (latest - int(short)) % 100,)
    return (int(said["year"]),) if "year" in said else seen.years


def _of_days(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    last = int(said["day"])
    for year in _years(said, seen):
        try:
            ends = [
                datetime(year, MONTHS[said["month"]], at, tzinfo=UTC) for at in (int(said.get("first", last)), last)
            ]
        except ValueError:  # 31 April, 29 February 2023: no such day
            continue
        yield min(ends), max(ends) + DAY


def _of_month(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    return (months(year, MONTHS[said["month"]]) for year in _years(said, seen))


def _of_season(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    return (months(year, SEASONS[said["season"]], count=3) for year in _years(said, seen))


def _of_quarter(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    before = int(said["quarter"]) - 1 if "quarter" in said else _ORDINALS.index(said["ordinal"])
    return (months(year, 3 * before + 1, count=3) for year in _years(said, seen))


def _of_feast(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    name = re.sub(r"(?<=new year)s|(?<=valentine)s", "'s", said["feast"].replace("’", "'"))
    month, at = FEASTS[name]
    for year in (None,) if "turn" in said and "year" not in said else _years(said, seen):
        if year is not None:
            yield day(datetime(year, month, at, tzinfo=UTC))
        elif seen.today is not None:
            ahead = said["turn"] in ("this", "next")
            gone = (month, at) < (seen.today.month, seen.today.day)
            turn = {"this": 0, "next": int(gone)}[said["turn"]] if ahead else int(gone) - 1
            yield day(datetime(seen.today.year + turn, month, at, tzinfo=UTC))


def _of_digits(said: dict[str, str], seen: Seen) -> Iterator[Period]:  # noqa: ARG001 - the signature of all meanings
    if "iso" in said:
        yield day(datetime.fromisoformat(said["iso"]).replace(tzinfo=UTC))
    else:
        year, number_ = int(said["year"]), int(said["number"])
        both = (year + 1) % 100 == number_  # 2010-11 may be November, and the season from one year to the next
        yield months(year, 1, count=24) if both else months(year, number_)


def _of_year(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    return (months(year, 1, count=12) for year in _years(said, seen))


def _of_decade(said: dict[str, str], seen: Seen) -> Iterator[Period]:  # noqa: ARG001
    first = int(said["decade"]) if "decade" in said else 10 * _TENS.index(said["tens"]) + 20
    yield months(first + (0 if first > 99 else 1900 if first >= 30 else 2000), 1, count=120)


def _of_lapse(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    if seen.today:
        length = int(number(said.get("count", "a")) * UNITS[said["unit"]]) * DAY
        ahead = said.get("turn") in ("next", "coming")
        yield (seen.today, seen.today + length + DAY) if ahead else (seen.today - length, seen.today + DAY)


def _of_turn(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    if seen.today:
        step = {"this": 0, "next": 1, "before last": -2, "after next": 2}.get(said["turn"], -1)
        yield turned(seen.today, step, said["unit"])


def _of_ago(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    if seen.today:
        yield ago(seen.today, number(said["count"]), said["unit"])


_OFF = {
    "day before yesterday": -2, "night before last": -2, "yesterday": -1, "last night": -1, "tomorrow": 1,
    "day after tomorrow": 2,
}  # fmt: skip


def _of_word(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    if seen.today:
        yield day(seen.today + _OFF.get(said["word"], 0) * DAY)


def _of_weekday(said: dict[str, str], seen: Seen) -> Iterator[Period]:
    if seen.today:
        yield day(weekday(seen.today, WEEKDAYS[said["weekday"]], -1))


_DIGIT = "#"
_TOKEN = re.compile(r"[a-z]+")


def forms_in(text: str) -> list[Form]:
    """Return the forms that a text may hold by its words, in the order in which they are taken; most hold none."""
    found = {*_TOKEN.findall(text.lower()), *(_DIGIT for letter in text if letter.isdigit())}
    return [form for form in _FORMS if not found.isdisjoint(form.needs)]


def _form(
    pattern: str, meaning: Callable[[dict[str, str], Seen], Iterator[Period]], *needs: str, shy: bool = False
) -> Form:
    return Form(re.compile(pattern, re.I), meaning, frozenset(needs), shy)


_TURN = r"\b(?P<turn>last|this past|this|next|past|previous)"
_LENGTHS = (*UNITS, *(f"{unit}s" for unit in UNITS))
_FORMS = (
    _form(rf"\b(?P<iso>{_FULL_YEAR}-\d\d-\d\d)\b", _of_digits, _DIGIT),
    _form(r"(?<![\w-])(?P<year>(?:19|20)\d\d)-(?P<number>0[1-9]|1[0-2])(?![\w-])", _of_digits, _DIGIT),
    _form(  # 7 May, the 7th of May 2023, 3-9 June
        rf"(?<![\d.,])(?:\b(?P<first>\d{{1,2}})(?:st|nd|rd|th)?{_TO}(?:the )?)?\b(?P<day>\d{{1,2}}){_NTH}? (?P<of>of )?"
        rf"(?P<month>{MONTH})\b{_YEAR}?",
        _of_days,
        *MONTHS,
    ),
    _form(  # May 7, 2023, June 3 to 9
        rf"\b(?P<month>{MONTH}) (?:the )?(?:(?P<first>\d{{1,2}})(?:st|nd|rd|th)? ?(?:-|–|to|until|till|through) ?)?"
        rf"(?P<day>\d{{1,2}}){_NTH}?\b(?![:%]\d){_YEAR}?",
        _of_days,
        *MONTHS,
    ),
    _form(rf"\b(?P<month>{MONTH}){_YEAR}", _of_month, *MONTHS),
    _form(rf"\b(?P<season>{_SEASON}){_YEAR}", _of_season, *SEASONS),
    _form(rf"\b(?:q(?P<quarter>[1-4])|(?P<ordinal>{'|'.join(_ORDINALS)}) quarter){_YEAR}", _of_quarter, "q", "quarter"),
    _form(rf"(?:{_TURN} )?\b(?P<feast>{_FEAST})\b{_YEAR}?", _of_feast, *_FEAST_WORDS),
    _form(  # the last three weeks
        rf"\b(?P<turn>next|coming|last|past|previous) (?!an? )(?P<count>{COUNT}) (?P<unit>{UNIT})s?\b(?! of\b)",
        _of_lapse,
        *_LENGTHS,
    ),
    _form(  # over the past year
        r"\b(?:past|(?:over|within|in|during|for) the last) (?P<unit>week|month|year|decade)\b(?! of\b)",
        _of_lapse,
        *UNITS,
    ),
    _form(  # the weekend before last
        rf"\b(?P<unit>weekend|week|month|year|{_SEASON}|{_WEEKDAY}) (?P<turn>before last|after next)\b"
        rf"(?! (?:week|month|year|night|easter|birthday|{_SEASON}|{_WEEKDAY}|{MONTH}|{_FEAST})\b)",
        _of_turn,
        "last",
        "next",
    ),
    _form(
        rf"{_TURN} (?P<unit>weekend|week|month|quarter|year|{_SEASON}|{_WEEKDAY}|{MONTH})\b(?! of\b)",
        _of_turn,
        *("last", "this", "next", "past", "previous"),
    ),
    _form(rf"\b(?P<count>{COUNT}) (?P<unit>{UNIT})s? (?:ago|back)\b", _of_ago, "ago", "back"),
    _form(
        r"\b(?P<word>day before yesterday|day after tomorrow|night before last|yesterday|today|tonight|tomorrow"
        r"|last night|this (?:morning|afternoon|evening))\b",
        _of_word,
        *("yesterday", "today", "tonight", "tomorrow", "night", "morning", "afternoon", "evening"),
    ),
    _form(rf"\b(?P<weekday>{_WEEKDAY})\b(?!,? (?:the )?(?:\d|(?:{MONTH})\b))", _of_weekday, *WEEKDAYS, shy=True),
    _form(rf"\b(?P<month>{_PLAIN_MONTH})\b", _of_month, *MONTHS),
    _form(rf"\b(?P<month>{MONTH})\b(?! ?\d)", _of_month, *MONTHS, shy=True),
    _form(rf"\b(?P<season>{_SEASON})\b(?! of\b)", _of_season, *SEASONS, shy=True),
    _form(r"\bq(?P<quarter>[1-4])\b", _of_quarter, "q", shy=True),
    _form(r"\b(?P<decade>(?:19|20)\d0)['’]?s\b", _of_decade, "s"),
    _form(rf"(?<=\bthe )(?:['’]?(?P<decade>\d0)['’]?s|(?P<tens>{'|'.join(_TENS)}))\b", _of_decade, "s", *_TENS),
    _form(rf"(?<![$€£¥#])(?<!\d[.,])\b(?P<year>{_FULL_YEAR})\b", _of_year, _DIGIT),
    _form(r"(?<=\b(?:in|of) )['’](?P<short>\d\d)\b(?! ?s\b)", _of_year, _DIGIT),
)
"""In the order in which they are taken where several begin at the same place."""
