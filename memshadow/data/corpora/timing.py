"""Ways of saying when something happened, with the days that each may mean. Knows the calendar; no corpus, no person.

What a phrase means is worked out here and nowhere else, from the day itself: nothing is read back from the words. Some
of them no program is made for ("two summers ago", "in the fifth month of 2023").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

_MONTHS = "January February March April May June July August September October November December".split()
_SEASONS = {3: "spring", 6: "summer", 9: "autumn", 12: "winter"}
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
EVER = timedelta(days=36_500)
"""Longer than a life."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A time in words, the moments that it may mean, the first up to but without the last, and of which kind it is."""

    category: str
    text: str
    start: datetime
    end: datetime


def phrases(at: datetime, now: datetime) -> Iterator[Phrase]:
    """Yield ways of naming the time of something that happened ``at``, as seen from ``now``."""
    yield from _by_calendar(at)
    yield from _from_now(at, now)
    yield from _by_range(at)
    yield from _oddly(at, now)


def _by_calendar(at: datetime) -> Iterator[Phrase]:
    day, month, year = at.replace(hour=0, minute=0), _MONTHS[at.month - 1], at.year
    for text in (f"on {at.day} {month} {year}", f"on {month} {_nth(at.day)}, {year}", f"on {day:%Y-%m-%d}"):
        yield Phrase("date", text, day - timedelta(days=3), day + timedelta(days=4))
    here = _months(year, at.month, 1)
    for text in (f"in {month} {year}", f"in {month} of {year}", f"in {month[:3]} '{year % 100:02}"):
        yield Phrase("month", text, *here)
    third = min((at.day - 1) // 10, 2)
    text = (f"in early {month} {year}", f"in mid-{month} {year}", f"towards the end of {month} {year}")[third]
    yield Phrase("month", text, *here)
    first, begun = _season(at)
    for text in (f"in the {_SEASONS[first]} of {begun}", f"in {_SEASONS[first]} {begun}"):
        yield Phrase("season", text, *_months(begun, first, 3))
    quarter = (at.month - 1) // 3
    yield Phrase("season", f"in Q{quarter + 1} {year}", *_months(year, 3 * quarter + 1, 3))
    half = (at.month - 1) // 6
    yield Phrase("year", f"in {year}", *_months(year, 1, 12))
    yield Phrase("year", f"in the {('first', 'second')[half]} half of {year}", *_months(year, 6 * half + 1, 6))


def _from_now(at: datetime, now: datetime) -> Iterator[Phrase]:
    days = (now.date() - at.date()).days
    if 10 <= days <= 80:
        weeks = round(days / 7)
        text = f"{_NUMBERS[weeks]} weeks ago"
        yield Phrase("relative", text, now - timedelta(days=7 * weeks + 10), now - timedelta(days=7 * weeks - 10))
    if 50 <= days <= 365:
        count = round(days / 30.4)
        middle = now - timedelta(days=30.4 * count)
        for text in (f"{_NUMBERS[count]} months ago", f"about {_NUMBERS[count]} months ago"):
            yield Phrase("relative", text, middle - timedelta(days=30), middle + timedelta(days=30))
    if 300 <= days <= 430:
        yield Phrase("relative", "a year ago", now - timedelta(days=440), now - timedelta(days=290))
    yield from _turns(at, now)
    for back in (2, 4, 6, 9):
        edge = now - timedelta(days=30.4 * back)
        yield Phrase("relative", f"more than {_NUMBERS[back]} months ago", now - EVER, edge)
        yield Phrase("relative", f"in the last {_NUMBERS[back]} months", edge, now + timedelta(days=1))


def _turns(at: datetime, now: datetime) -> Iterator[Phrase]:
    for text, months in (("this month", 0), ("last month", -1)):
        yield Phrase("relative", text, *_months(now.year, now.month + months, 1))
    yield Phrase("relative", "earlier this year", datetime(now.year, 1, 1), now)  # noqa: DTZ001 - as the corpus has them
    yield Phrase("relative", "last year", *_months(now.year - 1, 1, 12))
    first, begun = _season(at)
    here = _months(begun, first, 3)
    if here[1] <= now < _months(begun + 1, first, 3)[1]:
        yield Phrase("relative", f"last {_SEASONS[first]}", *here)
    month = _months(at.year, at.month, 1)
    if month[1] <= now < _months(at.year + 1, at.month, 1)[1]:
        yield Phrase("relative", f"last {_MONTHS[at.month - 1]}", *month)


def _by_range(at: datetime) -> Iterator[Phrase]:
    before, after = _months(at.year, at.month - 1, 1)[0], _months(at.year, at.month + 1, 1)[0]
    names = [f"{_MONTHS[one.month - 1]} {one.year}" for one in (before, after)]
    if before.year == after.year:
        names[0] = names[0].split()[0]
    span = before, _months(after.year, after.month, 1)[1]
    for text in (f"between {names[0]} and {names[1]}", f"from {names[0]} to {names[1]}"):
        yield Phrase("range", text, *span)
    first, last = at - timedelta(days=12), at + timedelta(days=9)
    said = [f"{one.day} {_MONTHS[one.month - 1]}" for one in (first, last)]
    text = f"between {said[0]} and {said[1]} {last.year}"
    yield Phrase("range", text, first - timedelta(days=1), last + timedelta(days=1))


def _oddly(at: datetime, now: datetime) -> Iterator[Phrase]:
    """Yield times as few programs read them."""
    month = _months(at.year, at.month, 1)
    yield Phrase("odd", f"in the {_ORDINALS[at.month - 1]} month of {at.year}", *month)
    yield Phrase("odd", f"in {at.month:02}/{at.year}", *month)
    yield Phrase("odd", f"when it was {_MONTHS[at.month - 1]} and the year {at.year}", *month)
    first, begun = _season(at)
    if first == 6 and now >= _months(begun + 1, 9, 1)[0]:
        yield Phrase("odd", f"{_NUMBERS[now.year - begun]} summers ago", *_months(begun, 6, 3))
    if at.month in (11, 12):
        yield Phrase("odd", f"in the run-up to Christmas {at.year}", *_months(at.year, 11, 2))
    if at.month in (1, 2):
        yield Phrase("odd", f"when {at.year} was still young", *_months(at.year, 1, 2))


def _season(at: datetime) -> tuple[int, int]:
    """Return the first month of a day's season, and the year that it began in."""
    first = at.month // 3 * 3 or 12
    return first, at.year - (at.month < 3)


def _months(year: int, month: int, count: int) -> tuple[datetime, datetime]:
    """Return so many months from one on, which may be beyond its year."""
    ends = year * 12 + month - 1, year * 12 + month - 1 + count
    first, last = (datetime(at // 12, at % 12 + 1, 1) for at in ends)  # noqa: DTZ001 - as the corpus has them
    return first, last


def _nth(day: int) -> str:
    ending = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
