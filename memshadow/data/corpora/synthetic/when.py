"""Relative dates as people say them, with the absolute answer. Knows only the calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from memshadow.data.corpora.synthetic.grammar import Dice

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NUMBERS = ("two", "three", "four", "five")


@dataclass(frozen=True, slots=True)
class Moment:
    """How a day is spoken of in a chat (``phrase``) and what it was (``answer``)."""

    phrase: str
    answer: str


def spoken(day: date) -> str:
    """Return ``7 May 2023``."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def month_of(day: date) -> str:
    """Return ``May 2023``."""
    return f"{_MONTHS[day.month - 1]} {day.year}"


def past(today: date, dice: Dice) -> Moment:
    """Return a moment before ``today``: yesterday, last Tuesday, two weeks ago, in March."""
    kind = dice.between(0, 10)
    if kind == 0:
        return Moment("yesterday", spoken(today - timedelta(days=1)))
    if kind == 1:
        return Moment(dice.pick(("the other day", "a few days ago")), f"a few days before {spoken(today)}")
    if kind in (2, 3):
        day = today - timedelta(days=dice.between(2, 6))
        return Moment(f"{dice.pick(('last', 'on', 'this past'))} {_DAYS[day.weekday()]}", spoken(day))
    if kind == 4:
        return Moment(dice.pick(("last week", "this past week")), f"the week before {spoken(today)}")
    if kind == 5:
        return Moment(dice.pick(("last weekend", "over the weekend")), f"the weekend before {spoken(today)}")
    if kind == 6:
        return Moment("the weekend before last", f"two weekends before {spoken(today)}")
    if kind == 7:
        weeks = dice.between(0, 2)
        return Moment(f"{_NUMBERS[weeks]} weeks ago", spoken(today - timedelta(weeks=weeks + 2)))
    if kind == 8:
        days = dice.between(0, 3)
        return Moment(f"{_NUMBERS[days]} days ago", spoken(today - timedelta(days=days + 2)))
    before = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    if kind == 9:
        return Moment("last month", month_of(before))
    earlier = (before - timedelta(days=1)).replace(day=1)
    return Moment(f"back in {_MONTHS[earlier.month - 1]}", month_of(earlier))


def future(today: date, dice: Dice) -> Moment:
    """Return a moment after ``today``: tomorrow, this Saturday, in two weeks, next month."""
    kind = dice.between(0, 6)
    if kind == 0:
        return Moment("tomorrow", spoken(today + timedelta(days=1)))
    if kind == 1:
        day = today + timedelta(days=dice.between(2, 6))
        return Moment(f"this {_DAYS[day.weekday()]}", spoken(day))
    if kind == 2:
        return Moment("next week", f"the week after {spoken(today)}")
    if kind == 3:
        return Moment(dice.pick(("this weekend", "on the weekend")), f"the weekend after {spoken(today)}")
    if kind == 4:
        weeks = dice.between(0, 2)
        return Moment(f"in {_NUMBERS[weeks]} weeks", spoken(today + timedelta(weeks=weeks + 2)))
    after = (today.replace(day=28) + timedelta(days=5)).replace(day=1)
    if kind == 5:
        return Moment("next month", month_of(after))
    later = (after.replace(day=28) + timedelta(days=5)).replace(day=1)
    return Moment(f"in {_MONTHS[later.month - 1]}", month_of(later))
