"""Parts of the English calendar as periods: from a moment up to but without another. Knows no text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

Period = tuple[datetime, datetime]

MONTHS = {
    name: number
    for number, names in enumerate(
        "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sept|sep "
        "october|oct november|nov december|dec".split(),
        start=1,
    )
    for name in names.split("|")
}
WEEKDAYS = {
    name: number for number, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())
}
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""First month, as they are counted in the north."""
UNITS = {"day": 1, "week": 7, "fortnight": 14, "month": 30, "year": 365, "decade": 3652}
"""In days, as loosely as one counts with them."""
FEASTS = {
    "christmas eve": (12, 24),
    "christmas": (12, 25),
    "boxing day": (12, 26),
    "new year's eve": (12, 31),
    "new year's day": (1, 1),
    "valentine's day": (2, 14),
    "halloween": (10, 31),
}
"""Month and day of those that have the same every year."""
PARTS = {
    "early": (0.0, 0.4),
    "mid": (0.3, 0.7),
    "late": (0.6, 1.0),
    "first half": (0.0, 0.5),
    "second half": (0.5, 1.0),
}
"""Shares of a period, as loosely as one says them."""
DAY = timedelta(days=1)


def day(start: datetime) -> Period:
    """Return the day that begins at ``start``."""
    return start, start + DAY


def months(year: int, month: int, *, count: int = 1) -> Period:
    """Return so many months in UTC; ``month`` may be beyond its year."""
    begin = year * 12 + month - 1
    first, last = (datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC) for at in (begin, begin + count))
    return first, last


def part(of: Period, name: str) -> Period:
    """Return the share of a period that ``PARTS`` says, in whole days; less than a week stays as it is."""
    begin, length = of[0], (of[1] - of[0]).days
    if name.endswith("half") and length in (365, 366):
        middle = months(begin.year, begin.month + 6)[0]
        return (begin, middle) if name == "first half" else (middle, of[1])
    first, last = PARTS[name]
    return of if length < 7 else (begin + int(first * length) * DAY, begin + round(last * length) * DAY)


def week_of(moment: datetime, unit: str) -> Period:
    """Return the week, from Monday, that a day is in, or the days from its Friday to its Sunday ("the weekend of")."""
    monday = moment - moment.weekday() * DAY
    return (monday, monday + 7 * DAY) if unit == "week" else (monday + 4 * DAY, monday + 7 * DAY)


def ago(today: datetime, count: float, unit: str) -> Period:
    """Return the time that far back (a negative count: ahead), as loosely as it is said: half a unit on either side."""
    if unit == "day":
        return day(today - int(count) * DAY)
    middle = today - int(count * UNITS[unit]) * DAY
    slack = max(int(min(abs(count), 1) * UNITS[unit]) // 2, 3) * DAY
    return middle - slack, middle + slack + DAY


def turned(today: datetime, step: int, unit: str) -> Period:
    """Return the week, month, season ... that is ``step`` away as seen from today: -1 the last, 0 this, 1 the next."""
    if unit in ("week", "weekend"):
        monday = today + (7 * step - today.weekday()) * DAY
        return (monday, monday + 7 * DAY) if unit == "week" else (monday + 5 * DAY, monday + 7 * DAY)
    if unit == "year":
        return months(today.year + step, 1, count=12)
    if unit == "quarter":
        return months(today.year, 3 * ((today.month - 1) // 3 + step) + 1, count=3)
    if unit == "month":
        return months(today.year, today.month + step)
    if unit in WEEKDAYS:
        return day(weekday(today, WEEKDAYS[unit], step))
    return _of_years(today, step, *((SEASONS[unit], 3) if unit in SEASONS else (MONTHS[unit], 1)))


def _of_years(today: datetime, step: int, first: int, count: int) -> Period:
    """Return a season or a month of the year that ``step`` means; "last" is the last one that is over."""
    year = today.year - (step >= 0 and today.month + 12 < first + count)  # a winter that the year began in
    if step < 0:
        year -= months(year, first, count=count)[1] > today
        year -= months(year, first, count=count)[1] > today
        step += 1
    return months(year + step, first, count=count)


def weekday(today: datetime, number: int, step: int) -> datetime:
    """Return the last such day before today, the next after it, or (``step`` 0) the next from today on."""
    back = (today.weekday() - number) % 7
    if step < 0:
        return today - ((back or 7) - 7 * (step + 1)) * DAY
    return today + (7 - back if step > 0 else -back % 7) * DAY
