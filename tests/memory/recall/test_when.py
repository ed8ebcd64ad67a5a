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
in mid-March                       | 2023-03-01 2023-04-01; 2024-03-01 2024-04-01
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
in the last week of August 2023    | 2023-08-01 2023-09-01
in the last two weeks of June 2023 | 2023-06-01 2023-07-01
between May 1 and May 7, 2023      | 2023-05-01 2023-05-02; 2024-05-01 2024-05-02; 2023-05-07 2023-05-08
31 April 2023                      |
on February 30                     |
on 29 February                     | 2024-02-29 2024-03-01
on 2023-13-45                      |
0 June 2023                        |
"""


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
        "What decade were the 1990s?",
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
    ["before ", "before the ", "1 ", "a couple of ", "may ", "1 of ", "the last ", " ", "2020", "last last ", "in the ",
     "before" + " " * 1900 + ",", "june,    ", "1st \n", "\ud800"],
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
