"""What a question says beside its words: whom it names, what it asks for, which times it speaks of."""

import math
import time
from datetime import UTC, datetime

import pytest
from place import START, block, mask, told, turn

from memshadow.data.index.columns import microseconds
from memshadow.memory.recall.question import Event, question_of
from memshadow.memory.recall.said import said
from memshadow.models.lexical import terms

NAMES = ("Ann", "Mary Lou", "José", "Jean-Luc", "O'Brien", "李雷", "")


def here(names=NAMES, day=0):
    return told([turn("hello", speaker=name, day=day) for name in names])


def named(text, names=NAMES):
    """Return the names that a question names, in the order of ``names``."""
    place = here(names)
    numbers = {name: place.speaker[n] for n, name in enumerate(names)}
    found = question_of(text, place).named
    return [name for name in names if numbers[name] in found]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Where does Ann live?", ["Ann"]),
        ("where does ann live", ["Ann"]),
        ("WHERE DOES ANN LIVE", ["Ann"]),
        ("What is Ann's job?", ["Ann"]),
        ("What is Ann\u2019s job?", ["Ann"]),
        ("Did Ann, Mary Lou and José meet?", ["Ann", "Mary Lou", "José"]),
        ("what is mary lou's dog called", ["Mary Lou"]),
        ("Who is Mary? Who is Lou?", ["Mary Lou"]),
        ("Who is Lou?", []),
        ("What did MARY say?", ["Mary Lou"]),
        ("what did mary say", []),  # a first name alone has its capital: "support" is not "Support Bot"
        ("What did mary say?", []),
        ("WHERE IS O\u2019BRIEN", ["O'Brien"]),
        ("Is it O\u02bcbrien\u2019s?", ["O'Brien"]),
        ("Jean\u2010Luc? jean\u2013luc's?", ["Jean-Luc"]),
        ("Who is Jose\u0301?", ["José"]),
        ("Is JOSÉ here?", ["José"]),
        ("Mary, Lou", ["Mary Lou"]),
        ("Where did jean-luc go?", ["Jean-Luc"]),
        ("Is it O'Brien's?", ["O'Brien"]),
        ("李雷 在哪里?", ["李雷"]),
        ("Anna, Joann and Annie", []),
        ("Who is it?", []),
        ("", []),
        ("?!", []),
        ("\ud800 Ann \udfff", ["Ann"]),
    ],
)
def test_names_are_known_in_many_forms(text, right):
    assert named(text) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("What did Ann say?", []),  # which of them?
        ("What did Ann Lee say?", ["Ann Lee"]),
        ("What did Bo say?", ["Bo Ek"]),
        ("What did bo say?", []),
        ("what did bo say", []),
        ("Bo's dog", ["Bo Ek"]),
        ("Is it Ek?", []),
        ("Will we meet?", []),
        ("Did Will come?", ["Will Fox"]),
        ("will we meet", []),
        ("The end", []),
        ("What did the cook say?", ["the Cook"]),
        ("Cy or Cy Dee", ["Cy"]),
    ],
)
def test_a_first_name_alone_names_where_one_alone_has_it(text, right):
    assert named(text, ("Ann Lee", "ann Moe", "Bo  Ek", "Will Fox", "the Cook", "Cy")) == [
        {"Bo Ek": "Bo  Ek"}.get(one, one) for one in right
    ]


def test_one_name_in_two_cases_is_one_speaker():
    place = here(("Ann", "ANN", "Bo", "O\u2019Brien", "O'Brien"))
    assert place.speaker[0] == place.speaker[1]
    assert place.speaker[3] == place.speaker[4]
    assert len(place.names) == 3


def test_the_terms_that_name_are_told():
    assert question_of("What did Mary Lou tell Ann's dog?", here()).names == set(terms("Mary Lou Ann"))
    assert question_of("Who?", here()).names == set()


def test_where_one_alone_speaks_nobody_is_named():
    assert named("Where does Ann live?", ("Ann",)) == []


def test_forbidden_speakers_are_not_known():
    turns = block([turn("a", speaker="Ann"), turn("b", speaker="Bob"), turn("c", speaker="Cy")])
    found = question_of("Ann or Bob?", said(turns, mask(3, without=[1])))
    assert len(found.named) == 1


@pytest.mark.parametrize("text", ["", " ", "?", "…", "\n", "\ud800", "🙂"])
def test_text_without_words_says_nothing(text):
    found = question_of(text, here())
    assert (found.named.size, found.names, found.spans) == (0, frozenset(), ())
    assert [found.asks_when, found.asks_how_many, found.asks_current] == [False] * 3


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("When did she move?", "when"),
        ("what year was it", "when"),
        ("Which month?", "when"),
        ("How long did it take?", "when many"),
        ("How many days did it take?", "when many"),
        ("How many dogs?", "many"),
        ("how old is he", "many"),
        ("What is the number of guests?", "many"),
        ("Where does he live now?", "now"),
        ("When is the latest trip?", "when now"),
        ("Whenever you like", ""),
        ("Who knows?", ""),
    ],
)
def test_what_is_asked_for(text, flags):
    found = question_of(text, here())
    told_ = {"when": found.asks_when, "many": found.asks_how_many, "now": found.asks_current}
    assert " ".join(name for name, asked in told_.items() if asked) == flags


def at(*moment):
    return microseconds(datetime(*moment, tzinfo=UTC))


def test_spans_are_bounds_in_microseconds():
    ask = lambda text, **more: question_of(text, here(), **more).spans  # noqa: E731
    assert ask("in May 2023") == ((at(2023, 5, 1), at(2023, 6, 1)),)
    assert ask("before 2023") == ((-math.inf, at(2023, 1, 1)),)
    assert ask("after 2023") == ((at(2024, 1, 1), math.inf),)
    assert ask("since 2023") == ((at(2023, 1, 1), math.inf),)
    assert ask("yesterday") == ((at(2024, 4, 30), at(2024, 5, 1)),)  # seen from the newest event
    assert ask("yesterday", now=datetime(2024, 1, 1, tzinfo=UTC)) == ((at(2023, 12, 31), at(2024, 1, 1)),)
    moment = at(2024, 5, 1)
    assert ask("?", event=Event(moment, "before")) == ((-math.inf, moment),)
    assert ask("?", event=Event(moment, "after")) == ((moment + 1, math.inf),)
    assert ask("?", event=Event(moment, "in")) == ((moment, moment + 1),)


def test_where_nothing_has_a_time_no_time_is_spoken_of():
    assert question_of("in May 2023, yesterday", here(day=None)).spans == ()


def test_a_month_is_of_every_year_of_the_scope():
    place = told([turn("a", day=-400), turn("b", day=0)])
    assert question_of("in June", place).spans == tuple((at(y, 6, 1), at(y, 7, 1)) for y in (2023, 2024))


def test_a_wrong_date_does_not_make_thousands_of_years():
    wrong = (datetime(1, 1, 1, tzinfo=UTC) - START).days
    place = told([turn("a", day=wrong), turn("b", day=0), turn("c", day=-700)])
    assert question_of("in June", place).spans == tuple((at(y, 6, 1), at(y, 7, 1)) for y in (2022, 2024))
    every = told([turn("a", day=365.25 * n) for n in range(-300, 0)])
    assert len(question_of("in June", every).spans) == 100


@pytest.mark.parametrize("piece", ["Ann ", "a", "ann's", "when how many now ", "\ud800", "Mary Lou in May 2023, "])
def test_a_hundred_thousand_characters_cost_little(piece):
    text, place = (piece * 100_000)[:100_000], here()
    question_of(text, place)
    begun = time.thread_time()
    question_of(text, place)
    assert time.thread_time() - begun < 0.05


@pytest.mark.parametrize(
    ("text", "named"),
    [("What will we eat in Rome?", 0), ("Will we eat in Rome?", 0), ("What does Will eat?", 1), ("May I ask?", 0)],
)
def test_a_name_that_is_a_word_counts_as_a_name_only_where_it_is_written_as_one(text, named):
    here = block([turn("hello", speaker="Will"), turn("hello", speaker="May"), turn("hello", speaker="Ann")])
    assert len(question_of(text, said(here, mask(here.size))).named) == named


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("what did Speaker_1 say", ["Speaker_1"]),
        ("What did Speaker_3 say?", []),
        ("Where does Dr. Smith work?", ["Dr. Smith"]),
        ("Where does Mr T live?", ["Mr. T"]),
    ],
)
def test_names_with_signs_in_them_are_known(text, right):
    assert named(text, ("Speaker_1", "Speaker_2", "ann 2", "Dr. Smith", "Mr. T")) == right


def test_a_date_without_an_end_silences_no_month():
    never = (datetime(9999, 12, 31, tzinfo=UTC) - START).days
    place = told([turn("a", day=0), turn("b", day=never)])
    assert question_of("in December", place).spans == ((at(2024, 12, 1), at(2025, 1, 1)),)
