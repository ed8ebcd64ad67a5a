"""The times that a question speaks of, as spans of event time. Knows the words around a period; nothing of memories.

A question says "last spring", "in 2023", "on 7 May", "two weeks ago": each is a form of naming a period. Words before
it bend it ("early", "the weekend of", "two weeks after", "more than") or say how it is meant ("before", "since"), and
two of them may be one range ("between May and July", "2020-2022"). What is relative is relative to ``now``, and what
has no year may be of any year in which something happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from memshadow.memory.recall.calendar import DAY, UNITS, Period, ago, part, week_of
from memshadow.memory.recall.periods import COUNT, UNIT, Form, Seen, forms_in, number

Relation = Literal["in", "before", "after"]

_LOOKED_AT, _MOST, _AROUND = 2_000, 60, 60
"""Characters of a question; what in them may be looked at as a time; characters before each that may bend it."""
_BEFORE = frozenset(("before", "until", "till", "by", "prior to", "up to", "earlier than"))
_AFTER = frozenset(("after", "since", "from", "later than", "starting", "following"))
_FROM_ITS_START = frozenset(("since", "from", "starting"))
_HOW = re.compile(rf"\b(?P<how>{'|'.join(sorted({*_BEFORE, *_AFTER, 'between'}))}) (?:in |on )?(?:the )?\Z", re.I)
_LED = re.compile(r"\b(?:in|on|of|during|over|around|between|early|late|mid)[ -](?:the )?\Z", re.I)
_IN_RANGE = re.compile(r"\b(?:between|from) .{1,40} (?:and|to|until|till|through) (?:the )?\Z", re.I)
_PART = re.compile(
    r"\b(?:(?P<early>early|earlier|(?:beginning|start|first (?:\w+ )?(?:days?|weeks?|months?|part)) of)"
    r"|(?P<mid>mid|middle of)|(?P<late>late|later|(?:end|(?:last|final) (?:\w+ )?(?:days?|weeks?|months?|part)) of)"
    r"|(?P<first_half>first half of)|(?P<second_half>(?:second|latter|last) half of))[ -](?:in |on )?(?:the )?\Z",
    re.I,
)
_WEEK_OF = re.compile(r"\b(?P<unit>weekend|week) (?:of|around) (?:the )?\Z", re.I)
_OFFSET = re.compile(rf"\b(?P<count>{COUNT}|the) (?P<unit>{UNIT})s? \Z", re.I)
_BOUND = re.compile(
    r"\b(?:(?P<more>more than|over|at least|longer than)|(?P<less>less than|under|within|no more than|at most))"
    r" (?:the )?\Z",
    re.I,
)
_LINK = re.compile(
    r" ?[-–—/] ?| (?:to|until|till|thru|through|up to) (?:in |on )?(?:the )?|(?P<both>,? and (?:in |on )?(?:the )?)",
    re.I,
)
_SAME = frozenset((" ", ", ", " of ", " in "))
_CLAUSE = re.compile(r"\b(?P<how>before|after|since|when|while|until)\s+(?P<clause>[^,.;?!]{3,200})", re.I)
_CURRENT = re.compile(
    r"\b(?:now|currently|current|these days|at the moment|latest|most recent(?:ly)?|nowadays|still)\b", re.I
)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to but without ``end``; what is asked for lies in it, before it or after it."""

    start: datetime
    end: datetime
    relation: Relation = "in"


@dataclass(frozen=True, slots=True)
class _Said:
    """A period that is spoken of, with the words that bend it; from ``begin`` to ``end`` in the text."""

    form: Form
    words: dict[str, str]
    begin: int
    end: int
    how: str
    part: str
    week: str
    bound: str
    offset: tuple[str, str, int] | None

    def periods(self, seen: Seen) -> list[Period]:
        """Return what it may mean; none where that depends on what is not known, or is no time at all."""
        try:
            return [self._bent(period, seen) for period in self.form.meaning(self.words, seen)]
        except (OverflowError, ValueError):  # 2023-02-30; a year 9999 has no day after its last
            return []

    def spans(self, seen: Seen) -> Iterator[Span]:
        """Yield its spans; "since May" begins when May does, "after May" behind it."""
        relation = _relation(self.how)
        for start, end in self.periods(seen):
            if self.bound == "more":
                yield Span(start, end, "before")
            elif relation == "before" and self.part == "late":  # by the end of March
                yield Span(end, end, relation)
            else:
                yield Span(start, start if self.how in _FROM_ITS_START else end, relation)

    def _bent(self, period: Period, seen: Seen) -> Period:
        start, end = period
        if self.bound and seen.today:  # more, or less, than two weeks ago
            return start + (end - start) // 2 - DAY / 2, seen.today + DAY
        if self.week:
            return week_of(start, self.week)
        if self.part and self.words.get("turn") == "this" and seen.today and start <= seen.today < end:
            return {"early": (start, seen.today + DAY), "late": (seen.today, end)}.get(self.part, period)
        if self.part:
            return part(period, self.part)
        return _moved(period, *self.offset) if self.offset else period


def spans(text: str, *, now: datetime | None, years: Iterable[int] = ()) -> list[Span]:
    """Return the spans that a text speaks of, in its order.

    Args:
        text: a question; only its first 2,000 characters are read, and only the first 60 times in them.
        now: what "last week" is relative to; ``None``: relative words say nothing.
        years: those that a month or a day without a year may be of.
    """
    if now is not None:
        now = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=now.tzinfo or UTC)
    text = " ".join(text[:_LOOKED_AT].split())
    found: list[Span] = []
    seen, left = Seen(now, tuple(years)), list(_said(text))
    while left:
        first, second = left[0], left[1] if len(left) > 1 else None
        joined = _joined(text, first, second, seen) if second else None
        found += first.spans(seen) if joined is None else joined
        left = left[1:] if joined is None else left[2:]
    return found


def clause(text: str) -> tuple[str, Relation] | None:
    """Return the event that a question dates itself by: "before she moved" gives ("she moved", "before")."""
    match = _CLAUSE.search(text[:_LOOKED_AT])
    if match is None or match.start() == 0:  # "When did she move?" asks for a time, it does not give one
        return None
    return match["clause"], _relation(match["how"].lower())


def asks_current(text: str) -> bool:
    """Return whether a question wants what holds now."""
    return _CURRENT.search(text[:_LOOKED_AT]) is not None


def _said(text: str) -> Iterator[_Said]:
    """Yield the periods that a text speaks of: what begins first is taken, and of that the first form."""
    forms, at = forms_in(text), 0
    ahead = [form.pattern.search(text) for form in forms]
    for _ in range(_MOST):
        for order, match in enumerate(ahead):
            if match and match.start() < at:
                ahead[order] = forms[order].pattern.search(text, at)
        places = [(match.start(), order) for order, match in enumerate(ahead) if match]
        match = ahead[order := min(places)[1]] if places else None
        if match is None:
            return
        if (said := _bent(forms[order], match)) is not None:
            at = match.end()
            yield said
        else:  # some other thing; another form may know better
            ahead[order] = forms[order].pattern.search(text, match.start() + 1)


def _bent(form: Form, match: re.Match[str]) -> _Said | None:
    """Return a form with the words before it that bend it, from the nearest on; None where it is no time."""
    words = {name: said.lower() for name, said in match.groupdict().items() if said}
    around = match.string[max(0, match.start() - _AROUND) : match.start()]
    counted = "count" in words and "turn" not in words
    bound, rest = _peeled(_BOUND, around, fits=counted)
    week, rest = _peeled(_WEEK_OF, rest, fits="day" in words or "iso" in words)
    bent, rest = _peeled(_PART, rest, fits=not counted)
    begin = match.start() - len(around) + len(rest)
    how, rest = _peeled(_HOW, rest)
    relation = how["how"].lower() if how else ""
    offset, _ = _peeled(_OFFSET, rest, fits=relation in ("before", "after"))
    led = bool(how or bent) or _LED.search(around) is not None or _IN_RANGE.search(around) is not None
    if _is_verb(match, words, led=led) or (form.shy and not led):
        return None
    return _Said(
        form=form,
        words=words,
        begin=begin,
        end=match.end(),
        how="" if offset or "first" in words else relation,  # "from 3 to 9 June" is a range by itself
        part=(bent.lastgroup or "").replace("_", " ") if bent else "",
        week=week["unit"].lower() if week else "",
        bound=(bound.lastgroup or "") if bound else "",
        offset=(offset["count"].lower(), offset["unit"].lower(), -1 if relation == "before" else 1) if offset else None,
    )


def _peeled(pattern: re.Pattern[str], text: str, *, fits: bool = True) -> tuple[re.Match[str] | None, str]:
    """Return what a text ends with, where that fits, and the text before it."""
    match = pattern.search(text) if fits else None
    return match, text[: match.start()] if match else text


def _is_verb(match: re.Match[str], words: dict[str, str], *, led: bool) -> bool:
    """Return whether "may" or "march" is none of the year's: small, and nothing says that it is ("this may help")."""
    typed = match.groupdict()
    if words.get("turn") == "this":
        return typed["unit"] == "may" if "unit" in typed else False
    small = "day" in words and typed["month"] in ("may", "march")
    return small and not led and not words.keys() & {"nth", "of", "year", "short"}


def _joined(text: str, first: _Said, second: _Said, seen: Seen) -> list[Span] | None:
    """Return the spans of two periods that are one: a range, or "in May" and "last year"; None where they are two."""
    between = text[first.end : second.begin]
    if second.offset or first.bound or second.bound or first.how not in ("", "between", "from", "since"):
        return None
    if between.lower() in _SAME and first.how == second.how == "":
        return _narrowed(first, second, seen) or _narrowed(second, first, seen) or None
    link = _LINK.fullmatch(between)
    if link is None or (link["both"] and first.how != "between"):
        return None
    pairs = _pairs(first, second, seen)
    return [Span(min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs]


def _narrowed(one: _Said, year: _Said, seen: Seen) -> list[Span]:
    """Return what a period without a year means in "last year"; nothing where it is not said so."""
    if year.words.get("unit") != "year" or one.periods(replace(seen, years=())):
        return []
    return [span for start, _ in year.periods(seen) for span in one.spans(replace(seen, years=(start.year,)))]


def _pairs(first: _Said, second: _Said, seen: Seen) -> Iterator[tuple[Period, Period]]:
    """Yield the ends of a range. The end that tells no year is the nearest before, or behind, the one that does."""
    known = replace(seen, years=())
    begins, ends = first.periods(known), second.periods(known)
    if begins and ends:
        yield begins[0], ends[0]
    elif ends:
        year = ends[0][0].year
        yield from [(a, ends[0]) for a in first.periods(replace(seen, years=(year, year - 1))) if a <= ends[0]][:1]
    else:
        for a in begins or first.periods(seen):
            behind = second.periods(replace(seen, years=(a[0].year, a[0].year + 1)))
            yield from [(a, b) for b in behind if b[1] > a[0]][:1]


def _moved(period: Period, count: str, unit: str, sign: int) -> Period:
    """Return the time so long before (-1) or after (1) a period; "the week after" is the one that begins there."""
    start, end = period
    if count == "the":
        return (start - UNITS[unit] * DAY, start) if sign < 0 else (end, end + UNITS[unit] * DAY)
    return ago(start if sign < 0 else end - DAY, -sign * number(count), unit)


def _relation(how: str) -> Relation:
    if how in _BEFORE:
        return "before"
    return "after" if how in _AFTER else "in"
