"""The times that questions speak of: a table of phrases, seen from one Wednesday."""

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from memshadow.memory.recall.when import asks_current, clause, spans

NOW = datetime(2024, 5, 15, 14, 30, tzinfo=UTC)  # a Wednesday
YEARS = (2023, 2024)
TOLD = """
in 2023                            | 2023-01-01 2024-01-01
in 2019 or 2021                    | 2019-01-01 2020-01-01; 2021-01-01 2022-01-01
before 2020                        | before 2020-01-01 2021-01-01
after 2020                         | after 2020-01-01 2021-01-01
since 2020                         | after 2020-01-01 2020-01-01
until 2020                         | before 2020-01-01 2021-01-01
before March 2024                  | before 2024-03-01 2024-04-01
in May of 2022                     | 2022-05-01 2022-06-01
in june, 2022                      | 2022-06-01 2022-07-01
on the 7th of May                  | 2023-05-07 2023-05-08; 2024-05-07 2024-05-08
on May 7, 2023                     | 2023-05-07 2023-05-08
on May 7,2023                      | 2023-05-07 2023-05-08
on 7 May, 2023                     | 2023-05-07 2023-05-08
on may 7                           | 2023-05-07 2023-05-08; 2024-05-07 2024-05-08
by Dec 24th 2023                   | before 2023-12-24 2023-12-25
after the 3rd of march             | after 2023-03-03 2023-03-04; after 2024-03-03 2024-03-04
on 2023-11-05                      | 2023-11-05 2023-11-06
prior to 2023-11-05                | before 2023-11-05 2023-11-06
in April                           | 2023-04-01 2023-05-01; 2024-04-01 2024-05-01
during may                         | 2023-05-01 2023-06-01; 2024-05-01 2024-06-01
in mid-March                       | 2023-03-10 2023-03-23; 2024-03-10 2024-03-23
since March                        | after 2023-03-01 2023-03-01; after 2024-03-01 2024-03-01
before May                         | before 2023-05-01 2023-06-01; before 2024-05-01 2024-06-01
in spring 2023                     | 2023-03-01 2023-06-01
in the fall of 2022                | 2022-09-01 2022-12-01
in winter 2022                     | 2022-12-01 2023-03-01
last spring                        | 2023-03-01 2023-06-01
last winter                        | 2023-12-01 2024-03-01
this summer                        | 2024-06-01 2024-09-01
next summer                        | 2025-06-01 2025-09-01
since last summer                  | after 2023-06-01 2023-06-01
last fall                          | 2023-09-01 2023-12-01
last May                           | 2023-05-01 2023-06-01
this May                           | 2024-05-01 2024-06-01
last March                         | 2024-03-01 2024-04-01
next January                       | 2025-01-01 2025-02-01
last year                          | 2023-01-01 2024-01-01
this year                          | 2024-01-01 2025-01-01
last month                         | 2024-04-01 2024-05-01
next month                         | 2024-06-01 2024-07-01
last week                          | 2024-05-06 2024-05-13
this week                          | 2024-05-13 2024-05-20
last weekend                       | 2024-05-11 2024-05-13
next Friday                        | 2024-05-17 2024-05-18
next Wednesday                     | 2024-05-22 2024-05-23
this Wednesday                     | 2024-05-15 2024-05-16
this Monday                        | 2024-05-20 2024-05-21
last Wednesday                     | 2024-05-08 2024-05-09
last Tuesday                       | 2024-05-14 2024-05-15
yesterday                          | 2024-05-14 2024-05-15
tonight                            | 2024-05-15 2024-05-16
tomorrow                           | 2024-05-16 2024-05-17
last night                         | 2024-05-14 2024-05-15
3 days ago                         | 2024-05-12 2024-05-13
two weeks ago                      | 2024-04-28 2024-05-05
a couple of weeks ago              | 2024-04-28 2024-05-05
a couple weeks ago                 | 2024-04-28 2024-05-05
a month ago                        | 2024-03-31 2024-05-01
in the last three months           | 2024-02-15 2024-05-16
over the past few weeks            | 2024-04-24 2024-05-16
in the next 10 days                | 2024-05-15 2024-05-26
over the past year                 | 2023-05-16 2024-05-16
in the last month                  | 2024-04-15 2024-05-16
in the last week of August 2023    | 2023-08-19 2023-09-01
in the last two weeks of June 2023 | 2023-06-19 2023-07-01
31 April 2023                      |
on February 30                     |
on 29 February                     | 2024-02-29 2024-03-01
on 2023-13-45                      |
0 June 2023                        |
"""


RANGES = """
between 2020 and 2022                | 2020-01-01 2023-01-01
between 2022 and 2020                | 2020-01-01 2023-01-01
2020-2022                            | 2020-01-01 2023-01-01
from 2020 to 2022                    | 2020-01-01 2023-01-01
2020 through 2022                    | 2020-01-01 2023-01-01
in 2020 and 2022                     | 2020-01-01 2021-01-01; 2022-01-01 2023-01-01
from 2020 and 2022                   | after 2020-01-01 2020-01-01; 2022-01-01 2023-01-01
between May and July 2023            | 2023-05-01 2023-08-01
between November and February 2023   | 2022-11-01 2023-03-01
between November 2022 and February   | 2022-11-01 2023-03-01
between March and May                | 2023-03-01 2023-06-01; 2024-03-01 2024-06-01
between May and March                | 2023-05-01 2024-04-01; 2024-05-01 2025-04-01
from May until August                | 2023-05-01 2023-09-01; 2024-05-01 2024-09-01
from 3 May to 9 June                 | 2023-05-03 2023-06-10; 2024-05-03 2024-06-10
from 3 to 9 June 2023                | 2023-06-03 2023-06-10
3-9 June 2023                        | 2023-06-03 2023-06-10
on June 3 to 9                       | 2023-06-03 2023-06-10; 2024-06-03 2024-06-10
between May 1 and May 7, 2023        | 2023-05-01 2023-05-08
from May 20, 2023 through June 2     | 2023-05-20 2023-06-03
between 2023-05-07 and 2023-06-01    | 2023-05-07 2023-06-02
from last spring to last week        | 2023-03-01 2024-05-13
between last Monday and yesterday    | 2024-05-13 2024-05-15
between the end of March and mid-May | 2023-03-19 2023-05-23; 2024-03-19 2024-05-23
from summer 2022 until early 2023    | 2022-06-01 2023-05-27
between the 1980s and 2001           | 1980-01-01 2002-01-01
between 31 April and 2022            |
between 2020                         | 2020-01-01 2021-01-01
between May and here                 | 2023-05-01 2023-06-01; 2024-05-01 2024-06-01
between here and 2020                | 2020-01-01 2021-01-01
in May last year                     | 2023-05-01 2023-06-01
last year in May                     | 2023-05-01 2023-06-01
in the summer of last year           | 2023-01-01 2024-01-01
on 5 May of this year                | 2024-05-05 2024-05-06
"""
BENT = """
more than two years ago              | before 2022-05-16 2024-05-16
over a month ago                     | before 2024-04-15 2024-05-16
at least 3 days ago                  | before 2024-05-12 2024-05-16
less than a week ago                 | 2024-05-08 2024-05-16
no more than two years ago           | 2022-05-16 2024-05-16
about two years ago                  | 2021-11-15 2022-11-15
half a year ago                      | 2023-08-16 2024-02-15
several days ago                     | 2024-05-11 2024-05-12
the day before yesterday             | 2024-05-13 2024-05-14
the day after tomorrow               | 2024-05-17 2024-05-18
the night before last                | 2024-05-13 2024-05-14
the weekend before last              | 2024-05-04 2024-05-06
the summer before last               | 2022-06-01 2022-09-01
two weeks before Christmas           | 2023-12-08 2023-12-15; 2024-12-08 2024-12-15
two days after May 5, 2023           | 2023-05-07 2023-05-08
the week before 5 May 2023           | 2023-04-28 2023-05-05
the day after last Christmas         | 2023-12-26 2023-12-27
earlier this year                    | 2024-01-01 2024-05-16
later this month                     | 2024-05-15 2024-06-01
earlier this week                    | 2024-05-13 2024-05-16
this morning                         | 2024-05-15 2024-05-16
the weekend of 5 May 2023            | 2023-05-05 2023-05-08
the weekend of May 7, 2023           | 2023-05-05 2023-05-08
the week of the 5th of May 2023      | 2023-05-01 2023-05-08
in the 90s                           | 1990-01-01 2000-01-01
in the 1990s                         | 1990-01-01 2000-01-01
in the '90s                          | 1990-01-01 2000-01-01
in the nineties                      | 1990-01-01 2000-01-01
in the early 2010s                   | 2010-01-01 2014-01-01
before the 20s                       | before 2020-01-01 2030-01-01
in Q2 2023                           | 2023-04-01 2023-07-01
in Q4                                | 2023-10-01 2024-01-01; 2024-10-01 2025-01-01
in the second quarter of 2023        | 2023-04-01 2023-07-01
last quarter                         | 2024-01-01 2024-04-01
in the second half of 2023           | 2023-07-01 2024-01-01
in the 2010-11 season                | 2010-01-01 2012-01-01
in the first half of 2023            | 2023-01-01 2023-07-01
early last week                      | 2024-05-06 2024-05-09
early on 5 May 2023                  | 2023-05-05 2023-05-06
in early 2023                        | 2023-01-01 2023-05-27
in mid 2023                          | 2023-04-20 2023-09-13
at the end of March 2024             | 2024-03-19 2024-04-01
by the end of March 2024             | before 2024-04-01 2024-04-01
after the start of March 2024        | after 2024-03-01 2024-03-13
late last year                       | 2023-08-08 2024-01-01
in May '23                           | 2023-05-01 2023-06-01
on May 7 '98                         | 1998-05-07 1998-05-08
in '23                               | 2023-01-01 2024-01-01
in 2023-05                           | 2023-05-01 2023-06-01
on Friday                            | 2024-05-10 2024-05-11
on Wednesday                         | 2024-05-08 2024-05-09
since Monday                         | after 2024-05-13 2024-05-13
on Friday, 5 May 2023                | 2023-05-05 2023-05-06
in the summer                        | 2023-06-01 2023-09-01; 2024-06-01 2024-09-01
last Christmas                       | 2023-12-25 2023-12-26
next Halloween                       | 2024-10-31 2024-11-01
on New Year's Eve 2022               | 2022-12-31 2023-01-01
in the last decade                   | 2014-05-16 2024-05-16
"""
TOLD += RANGES.lstrip() + BENT.lstrip()


def table():
    return [tuple(part.strip() for part in line.split("|")) for line in TOLD.strip().splitlines()]


def shown(found):
    return "; ".join(
        f"{'' if span.relation == 'in' else span.relation + ' '}{span.start:%Y-%m-%d} {span.end:%Y-%m-%d}"
        for span in found
    )


@pytest.mark.parametrize(("phrase", "right"), table())
def test_a_phrase_means_its_span(phrase, right):
    assert shown(spans(f"What did Ann say {phrase}?", now=NOW, years=YEARS)) == right


@pytest.mark.parametrize(
    "text",
    [
        "Who may help?",
        "Which two books may 3 people read?",
        "Which of these 3 may be right?",
        "Could this may help?",
        "How long did they march 20 miles?",
        "Did he march past the house?",
        "Did she fall and break a leg?",
        "Did the price fall 2000 points?",
        "Who came second?",
        "Who spent $2000, 2000 dollars or 2000.50?",
        "Did he walk 2000 steps or 12,2000?",
        "Was she in her 30s or her twenties?",
        "Does she like spring, winter or fall?",
        "Did she trip and fall?",
        "Who drives a Q3?",
        "Is Black Friday better than Cyber Monday?",
        "from here to there",
        "between you and me",
        "more than a day",
        "in between",
        "Who wrote '23 Nights'?",
        "What did May say?",
        "Is it in the early stage, or late?",
        "two weeks before the wedding",
        "Did she spring up?",
        "Does it last a week?",
        "",
        "?",
    ],
)
def test_what_names_no_time_has_no_span(text):
    assert spans(text, now=NOW, years=YEARS) == []


def test_words_mean_the_same_in_any_case():
    for phrase, right in table():
        if not re.search(r"\b(may|march)\b", phrase, re.I):
            assert shown(spans(phrase.upper(), now=NOW, years=YEARS)) == right


def test_without_years_and_without_now_only_whole_dates_are_left():
    assert spans("on May 7, in June, last week, yesterday, two days ago", now=None) == []
    assert shown(spans("on May 7 2023 or last week", now=None)) == "2023-05-07 2023-05-08"


def test_now_may_have_no_zone_or_another():
    assert spans("last spring", now=NOW.replace(tzinfo=None)) == spans("last spring", now=NOW)
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    (found,) = spans("today", now=east)
    assert (found.start.isoformat(), found.end - found.start) == ("2024-05-15T00:00:00+09:00", timedelta(days=1))


@pytest.mark.parametrize("month", [1, 2])
def test_a_winter_belongs_to_the_year_it_began_in(month):
    now = datetime(2024, month, 10, tzinfo=UTC)
    told = [shown(spans(f"{turn} winter", now=now)) for turn in ("last", "this", "next")]
    assert told == ["2022-12-01 2023-03-01", "2023-12-01 2024-03-01", "2024-12-01 2025-03-01"]


@pytest.mark.parametrize("now", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_the_calendar_are_no_error(now):
    for phrase, _ in table():
        spans(phrase, now=now, years=(1, 9999))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Where did she live before she moved to Rome?", ("she moved to Rome", "before")),
        ("What has he read since the wedding, if anything?", ("the wedding", "after")),
        ("What did they eat after the game?", ("the game", "after")),
        ("Who was there when Max was born?", ("Max was born", "in")),
        ("Who waited until it rained?", ("it rained", "before")),
        ("What did he do while waiting", ("waiting", "in")),
        ("When did she move?", None),
        ("Before she moved?", None),
        ("Where is Rome?", None),
        ("before", None),
        ("say before,", None),
    ],
)
def test_a_question_dates_itself_by_a_clause(text, right):
    assert clause(text) == right


def test_what_holds_now_is_asked_for_in_words():
    for text in ("Where does Ann live now?", "What is her CURRENT job?", "Is he still there?", "the most recent trip"):
        assert asks_current(text)
    for text in ("Where did Ann live?", "Do you know?", "undercurrent"):
        assert not asks_current(text)


@pytest.mark.parametrize(
    "piece",
    ["between between ", "between 2020 and ", "q1 ", "may 3 to ", "1 1 may ", "end of the ", "2020-", "new year's ",
     "two weeks before ", "in last ", "1-1-", "\u2019 ", "before ", "before the ", "1 ", "a couple of ", "may ",
     "1 of ", "the last ", " ", "2020", "last last ", "in the ", "before" + " " * 1900 + ",", "june,    ", "1st \n",
     "\ud800"],
)  # fmt: skip
def test_hostile_text_costs_little(piece):
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    spans(text, now=NOW, years=YEARS)  # once, for what is worked out at first
    begun = time.thread_time()
    spans(text, now=NOW, years=YEARS)
    clause(text)
    asks_current(text)
    assert time.thread_time() - begun < 0.05


@pytest.mark.parametrize("year", [1, 9999])
def test_years_at_the_ends_of_the_calendar_are_no_error(year):
    assert isinstance(spans("what happened on 31 December, and in January?", now=None, years=[year]), list)
