"""The times that a question speaks of, as spans of event time. Knows the English calendar; nothing of memories.

A question says "last spring", "in 2023", "on 7 May", "two weeks ago": what is relative is relative to ``now``, and what
has no year may be of any year in which something happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

_MONTHS = {
    name: number
    for number, names in enumerate(
        "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sept|sep "
        "october|oct november|nov december|dec".split(),
        start=1,
    )
    for name in names.split("|")
}
_DAYS = {name: number for number, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""First month, as they are counted in the north."""
_NUMBERS = {
    name: number
    for number, name in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"a": 1, "an": 1, "couple": 2, "few": 3}
_UNITS = {"day": 1, "week": 7, "month": 30, "year": 365}
"""In days, as loosely as one counts with them."""
_LOOKED_AT = 2_000
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_BEFORE = r"(?:\b(?P<how>before|until|till|by|prior to|after|since|from)\s+(?:the\s+)?)?"
_COUNT = (
    r"(?:(?<![\d.,])\d{1,3}|(?:a )?couple(?: of)?|(?:a )?few|an?|one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve)"
)
_MEASURE = r"dollars?|euros?|pounds?|bucks|calories|steps|miles?|meters?|metres?|feet|points?|words|people|times"
_YEAR = rf"(?:19|20)\d\d(?!\d|[.,]\d|%|\s+(?:{_MEASURE})\b)"
_UNIT = "|".join(["weekend", "week", "month", "year", *_SEASONS, *_DAYS, _MONTH])
_SAID = re.compile(
    _BEFORE
    + r"(?:"
    + rf"(?P<iso>\b{_YEAR}-\d\d-\d\d\b)"
    + rf"|\b(?P<day>\d{{1,2}})(?P<nth>st|nd|rd|th)?\s+(?P<of>of\s+)?(?P<day_month>{_MONTH})\b"
    + rf"(?:(?:,\s*|\s+)(?P<day_year>{_YEAR})\b)?"
    + rf"|\b(?P<us_month>{_MONTH})\s+(?P<us_day>\d{{1,2}})(?P<us_nth>st|nd|rd|th)?\b"
    + rf"(?:(?:,\s*|\s+)(?P<us_year>{_YEAR})\b)?"
    + rf"|\b(?P<month>{_MONTH})(?:,?\s+(?:of\s+)?(?P<month_year>{_YEAR})\b)"
    + rf"|\b(?:(?P<ahead>next|coming)|last|past|previous)\s+(?!an?\s)(?P<many>{_COUNT})"
    + rf"\s+(?P<lapse>{'|'.join(_UNITS)})s?\b(?!\s+of\b)"
    + r"|\b(?:past|(?:over|within|in|during|for)\s+the\s+last)\s+(?P<rolling>week|month|year)\b(?!\s+of\b)"
    + rf"|\b(?P<turn>last|this|next|past|previous)\s+(?P<unit>{_UNIT})\b(?!\s+of\b)"
    + rf"|\b(?P<season>{'|'.join(_SEASONS)})\s+(?:of\s+)?(?P<season_year>{_YEAR})\b"
    + rf"|\b(?P<count>{_COUNT})\s+(?P<ago>{'|'.join(_UNITS)})s?\s+ago\b"
    + r"|\b(?P<word>yesterday|today|tonight|tomorrow|last night)\b"
    + r"|\b(?P<bare>january|february|april|june|july|august|september|october|november|december)\b"
    + r"|\b(?:in|of|during|early|late|mid)[\s-]+(?P<in_month>march|may)\b(?!,?\s+(?:of\s+)?\d)"
    + r"|(?(how)\b(?P<how_month>march|may)\b|(?!))"
    + rf"|(?<![$€£¥#])(?<!\d[.,])\b(?P<year>{_YEAR})\b"
    + r")",
    re.I,
)
_LEADS_TO_DATE = re.compile(r"\b(?:on|of|in|to|through|and|between|early|late|mid|around|about)\s+\Z", re.I)
_CLAUSE = re.compile(r"\b(?P<how>before|after|since|when|while|until)\s+(?P<clause>[^,.;?!]{3,200})", re.I)
_CURRENT = re.compile(
    r"\b(?:now|currently|current|these days|at the moment|latest|most recent(?:ly)?|nowadays|still)\b", re.I
)
_DAY = timedelta(days=1)

Relation = Literal["in", "before", "after"]


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to but without ``end``; what is asked for lies in it, before it or after it."""

    start: datetime
    end: datetime
    relation: Relation = "in"


def spans(text: str, *, now: datetime | None, years: Iterable[int] = ()) -> list[Span]:
    """Return the spans that a text speaks of, in its order.

    Args:
        text: a question; only its first 2,000 characters are read.
        now: what "last week" is relative to; ``None``: relative words say nothing.
        years: those that a month or a day without a year may be of.
    """
    if now is not None and now.tzinfo is None:
        now = now.replace(tzinfo=UTC)
    found: list[Span] = []
    for match in _SAID.finditer(text[:_LOOKED_AT]):
        if _is_verb(match):
            continue
        try:
            found += _related(match, _meant(match, now, tuple(years)))
        except (OverflowError, ValueError):  # beyond the calendar: a year 9999 has no day after its last
            continue
    return found


def clause(text: str) -> tuple[str, Relation] | None:
    """Return the event that a question dates itself by: "before she moved" gives ("she moved", "before")."""
    match = _CLAUSE.search(text[:_LOOKED_AT])
    if match is None or match.start() == 0:  # "When did she move?" asks for a time, it does not give one
        return None
    return match["clause"], _relation(match["how"])


def asks_current(text: str) -> bool:
    """Return whether a question wants what holds now."""
    return _CURRENT.search(text[:_LOOKED_AT]) is not None


def _related(match: re.Match[str], meant: Iterable[tuple[datetime, datetime]]) -> Iterator[Span]:
    """Yield the spans with their relation: "since May" and "from May on" begin when May does, "after May" behind it."""
    how = (match["how"] or "").lower()
    for start, end in meant:
        yield Span(start, start if how in ("since", "from") else end, _relation(how))


def _relation(how: str) -> Relation:
    if how.lower() in ("before", "until", "till", "by", "prior to"):
        return "before"
    return "after" if how.lower() in ("after", "since", "from") else "in"


def _is_verb(match: re.Match[str]) -> bool:
    """Return whether "may" or "march" is none of the year's: small, and nothing beside it says that it is a date."""
    name = match["us_month"] or match["day_month"] or (match["turn"] in ("this", "This") and match["unit"])
    if not name or name not in ("may", "march"):
        return False
    if match["turn"]:
        return name == "may"  # "could this may help"
    if any(match[part] for part in ("how", "nth", "of", "day_year", "us_nth", "us_year")):
        return False
    return _LEADS_TO_DATE.search(match.string[max(0, match.start() - 20) : match.start()]) is None


def _meant(match: re.Match[str], now: datetime | None, years: tuple[int, ...]) -> Iterator[tuple[datetime, datetime]]:
    for one in _told_years(match) or years:
        try:
            yield from _of_year(match, one)
        except ValueError:  # 31 April, 29 February 2023: no such time
            continue
    try:
        if match["iso"]:
            yield _day(datetime.fromisoformat(match["iso"]).replace(tzinfo=UTC))
        if now is not None:
            yield from _relative(match, now)
    except (ValueError, OverflowError):  # 2023-02-30; a year that no calendar has
        return


def _told_years(match: re.Match[str]) -> tuple[int, ...]:
    told = match["day_year"] or match["us_year"] or match["month_year"] or match["season_year"] or match["year"]
    return (int(told),) if told else ()


def _of_year(match: re.Match[str], year: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield what a match that speaks of a calendar's parts means in a year."""
    for day, month in (("day", "day_month"), ("us_day", "us_month")):
        if match[day]:
            yield _day(datetime(year, _MONTHS[match[month].lower()], int(match[day]), tzinfo=UTC))
    if name := match["month"] or match["bare"] or match["in_month"] or match["how_month"]:
        yield _month(year, _MONTHS[name.lower()])
    if match["season"]:
        yield _month(year, _SEASONS[match["season"].lower()], months=3)
    if match["year"]:
        yield _month(year, 1, months=12)


def _relative(match: re.Match[str], now: datetime) -> Iterator[tuple[datetime, datetime]]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if match["word"]:
        off = {"yesterday": -1, "last night": -1, "tomorrow": 1}.get(match["word"].lower(), 0)
        yield _day(today + off * _DAY)
    if match["ago"]:
        yield _ago(today, _number(match["count"]), match["ago"].lower())
    if unit := match["lapse"] or match["rolling"]:
        length = _number(match["many"] or "a") * _UNITS[unit.lower()] * _DAY
        yield (today, today + length + _DAY) if match["ahead"] else (today - length, today + _DAY)
    if match["turn"]:
        yield _turned(today, match["turn"].lower(), match["unit"].lower())


def _ago(today: datetime, count: int, unit: str) -> tuple[datetime, datetime]:
    """Return the time that far back, as loosely as it is said: half a unit on either side."""
    if unit == "day":
        return _day(today - count * _DAY)
    days = _UNITS[unit]
    middle, slack = today - timedelta(days=count * days), timedelta(days=max(days // 2, 3))
    return middle - slack, middle + slack + _DAY


def _turned(today: datetime, turn: str, unit: str) -> tuple[datetime, datetime]:
    """Return the week, month, season ... that is ``turn`` (last, past, previous, this, next) as seen from today."""
    step = {"this": 0, "next": 1}.get(turn, -1)
    if unit == "week":
        monday = today - today.weekday() * _DAY + 7 * step * _DAY
        return monday, monday + 7 * _DAY
    if unit == "weekend":
        saturday = today + (5 - today.weekday()) * _DAY + 7 * step * _DAY
        return saturday, saturday + 2 * _DAY
    if unit == "month":
        count = today.year * 12 + today.month - 1 + step
        return _month(count // 12, count % 12 + 1)
    if unit == "year":
        return _month(today.year + step, 1, months=12)
    if unit in _DAYS:
        return _day(_weekday(today, _DAYS[unit], step))
    first, months = (_SEASONS[unit], 3) if unit in _SEASONS else (_MONTHS[unit], 1)
    year = today.year - (step >= 0 and today.month + 12 < first + months)  # a winter that the year began in
    while step < 0 and _month(year, first, months=months)[1] > today:  # the last one that is over
        year -= 1
    return _month(year + (step > 0), first, months=months)


def _weekday(today: datetime, day: int, step: int) -> datetime:
    """Return the last such day before today, the next after it, or (``step`` 0) the next from today on."""
    back = (today.weekday() - day) % 7
    if step < 0:
        return today - (back or 7) * _DAY
    return today + (7 - back if step > 0 else -back % 7) * _DAY


def _day(start: datetime) -> tuple[datetime, datetime]:
    return start, start + _DAY


def _month(year: int, month: int, *, months: int = 1) -> tuple[datetime, datetime]:
    after = year * 12 + month - 1 + months
    return datetime(year, month, 1, tzinfo=UTC), datetime(after // 12, after % 12 + 1, 1, tzinfo=UTC)


def _number(word: str) -> int:
    bare = word.lower().removeprefix("a ").removesuffix(" of")
    return int(bare) if bare.isdigit() else _NUMBERS[bare]
