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
} | {"a": 1, "an": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3}
_LOOKED_AT = 2_000
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_BEFORE = r"(?:\b(?P<how>before|until|till|by|prior to|after|since|from)\s+(?:the\s+)?)?"
_COUNT = r"(?:\d{1,3}|(?:a )?couple of|(?:a )?few|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_YEAR = r"(?:19|20)\d\d"
_UNIT = "|".join(["weekend", "week", "month", "year", *_SEASONS, *_DAYS, _MONTH])
_SAID = re.compile(
    _BEFORE
    + r"(?:"
    + rf"(?P<iso>\b{_YEAR}-\d\d-\d\d\b)"
    + rf"|\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<day_month>{_MONTH})\b(?:,?\s+(?P<day_year>{_YEAR})\b)?"
    + rf"|\b(?P<us_month>{_MONTH})\s+(?P<us_day>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<us_year>{_YEAR})\b)?"
    + rf"|\b(?P<month>{_MONTH})(?:,?\s+(?:of\s+)?(?P<month_year>{_YEAR})\b)"
    + rf"|\b(?P<turn>last|this|next|past|previous)\s+(?P<unit>{_UNIT})\b"
    + rf"|\b(?P<season>{'|'.join(_SEASONS)})\s+(?:of\s+)?(?P<season_year>{_YEAR})\b"
    + rf"|\b(?P<count>{_COUNT})\s+(?P<ago>day|week|month|year)s?\s+ago\b"
    + r"|\b(?P<word>yesterday|today|tonight)\b"
    + r"|\b(?P<bare>january|february|april|june|july|august|september|october|november|december)\b"
    + r"|\b(?:in|of|during|since|early|late|mid)\s+(?P<in_month>march|may)\b"
    + rf"|\b(?P<year>{_YEAR})\b"
    + r")",
    re.I,
)
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
    found = []
    for match in _SAID.finditer(text[:_LOOKED_AT]):
        relation = _relation(match["how"])
        found += [Span(start, end, relation) for start, end in _meant(match, now, tuple(years))]
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


def _relation(how: str | None) -> Relation:
    word = (how or "").lower()
    if word in ("before", "until", "till", "by", "prior to"):
        return "before"
    return "after" if word in ("after", "since", "from") else "in"


def _meant(match: re.Match[str], now: datetime | None, years: tuple[int, ...]) -> Iterator[tuple[datetime, datetime]]:
    try:
        yield from _absolute(match, years)
        if now is not None:
            yield from _relative(match, now)
    except (ValueError, OverflowError):  # 31 April, a year before the calendar: no such time
        return


def _absolute(match: re.Match[str], years: tuple[int, ...]) -> Iterator[tuple[datetime, datetime]]:
    if match["iso"]:
        yield _day(datetime.fromisoformat(match["iso"]).replace(tzinfo=UTC))
    for day, month, year in (("day", "day_month", "day_year"), ("us_day", "us_month", "us_year")):
        if match[day]:
            for one in [int(match[year])] if match[year] else years:
                yield _day(datetime(one, _MONTHS[match[month].lower()], int(match[day]), tzinfo=UTC))
    if match["month"]:
        yield _month(int(match["month_year"]), _MONTHS[match["month"].lower()])
    if name := match["bare"] or match["in_month"]:
        for one in years:
            yield _month(one, _MONTHS[name.lower()])
    if match["season"]:
        yield _month(int(match["season_year"]), _SEASONS[match["season"].lower()], months=3)
    if match["year"]:
        yield _month(int(match["year"]), 1, months=12)


def _relative(match: re.Match[str], now: datetime) -> Iterator[tuple[datetime, datetime]]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if match["word"]:
        yield _day(today - _DAY if match["word"].lower() == "yesterday" else today)
    if match["ago"]:
        yield _ago(today, _number(match["count"]), match["ago"].lower())
    if match["turn"]:
        yield _turned(today, match["turn"].lower(), match["unit"].lower())


def _ago(today: datetime, count: int, unit: str) -> tuple[datetime, datetime]:
    """Return the time that far back, as loosely as it is said: half a unit on either side."""
    if unit == "day":
        return _day(today - count * _DAY)
    days = {"week": 7, "month": 30, "year": 365}[unit]
    middle, slack = today - timedelta(days=count * days), timedelta(days=max(days // 2, 3))
    return middle - slack, middle + slack + _DAY


def _turned(today: datetime, turn: str, unit: str) -> tuple[datetime, datetime]:
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
        back = (today.weekday() - _DAYS[unit]) % 7
        return _day(today - (back or 7) * _DAY if step < 0 else today + (7 - back) % 7 * _DAY)
    first, months = (_SEASONS[unit], 3) if unit in _SEASONS else (_MONTHS[unit], 1)
    year = today.year
    while step < 0 and _month(year, first, months=months)[1] > today:  # the last one that is over
        year -= 1
    return _month(year + (step > 0), first, months=months)


def _day(start: datetime) -> tuple[datetime, datetime]:
    return start, start + _DAY


def _month(year: int, month: int, *, months: int = 1) -> tuple[datetime, datetime]:
    after = year * 12 + month - 1 + months
    return datetime(year, month, 1, tzinfo=UTC), datetime(after // 12, after % 12 + 1, 1, tzinfo=UTC)


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]
