"""Lives in which the same things happen again and again, and ways of saying when."""

import re
import tomllib
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

import memshadow.data.corpora.occasions as module
from memshadow.data.corpora.occasions import CATEGORIES, Occasions
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.data.corpora.timing import phrases
from memshadow.errors import ConfigError
from memshadow.types import Conversation, Memory

WRITTEN = tomllib.loads(Path(module.__file__).with_name("occasions.toml").read_text(encoding="utf-8"))


def lives(memories=1800, **changed):
    corpus = SyntheticCorpus(memories=memories, seed=7, memories_per_conversation=600, questions_per_conversation=10)
    return Occasions(**{"corpus": corpus, "kinds": 8, "times": 4, "seed": 0, "pool": "all"} | changed)


@pytest.fixture(scope="module")
def made():
    return list(lives().conversations())


def kind_of(memory):
    return re.sub(r"_\d+$", "", memory.id.rpartition("/")[2])


def happened(conversation):
    found = defaultdict(list)
    for memory in conversation.memories:
        if kind_of(memory) in WRITTEN["kinds"]:
            found[kind_of(memory)].append(memory)
    return found


def test_each_kind_happens_to_one_person_at_several_times_with_something_else_each_time(made):
    for conversation in made:
        kinds = happened(conversation)
        assert len(kinds) == 8
        for kind, said in kinds.items():
            assert len(said) == len({m.session_id for m in said}) == len({m.text for m in said}) == 4
            assert len({m.speaker for m in said}) == 1
            values = [next(v for v in WRITTEN["kinds"][kind]["values"] if v in m.text) for m in said]
            assert len(set(values)) == 4


def test_only_the_time_tells_the_right_one_apart(made):
    for conversation in made:
        now = max(m.timestamp for m in conversation.memories)
        said = {m.id: m for m in conversation.memories}
        for question in conversation.questions:
            (memory,) = (said[one] for one in question.evidence)
            assert memory.speaker in question.text
            assert question.answer in memory.text
            assert question.answer not in question.text
            times = {m.id: m.timestamp for m in happened(conversation)[kind_of(memory)]}
            if question.category == "event":
                continue
            spoken = [p for p in phrases(memory.timestamp, now) if p.text.lower() in question.text.lower()]
            meant = max(spoken, key=lambda p: len(p.text))
            assert [one for one, at in times.items() if meant.start <= at < meant.end] == [memory.id]


def test_beside_an_event_it_is_the_only_one_on_that_side(made):
    asked = [(c, q) for c in made for q in c.questions if q.category == "event"]
    assert asked
    for conversation, question in asked:
        (key,) = (k for k, one in WRITTEN["landmarks"].items() if one["clause"] in question.text)
        (landmark,) = (m for m in conversation.memories if m.id.endswith(f"/{key}"))
        (memory,) = (m for m in conversation.memories if m.id in question.evidence)
        sign = -1 if re.search(r"\bbefore\b", question.text, re.I) else 1
        sides = [m for m in happened(conversation)[kind_of(memory)] if (m.timestamp > landmark.timestamp) == (sign > 0)]
        assert [m.id for m in sides if m.timestamp != landmark.timestamp] == [memory.id]
        assert landmark.speaker == memory.speaker


def test_the_kinds_of_time_are_balanced(made):
    counts = Counter(q.category for c in made for q in c.questions)
    assert set(counts) == set(CATEGORIES)
    assert max(counts.values()) <= 3 * min(counts.values())
    assert sum(counts.values()) >= 0.95 * sum(8 * 4 for _ in made)


def test_what_is_said_holds_no_time():
    told = re.compile(r"\d|\b(?:yesterday|today|tonight|last|week|month|year|morning|spring|summer|winter)\b", re.I)
    for kind in WRITTEN["kinds"].values():
        assert (len(kind["said"]), len(kind["values"])) == (3, 6)
        assert all("{X}" in text for text in kind["said"])
        assert all("{T}" in text and "{S}" in text for text in kind["asked"])
        assert not any(told.search(text) for text in (*kind["said"], *kind["values"]))


def test_the_rest_of_the_conversation_stays(made):
    before = next(lives()._corpus.conversations())
    ids = {m.id for m in before.memories}
    assert [m.text for m in made[0].memories if m.id in ids] == [m.text for m in before.memories]
    assert not {q.id for q in before.questions} & {q.id for q in made[0].questions}
    places = [(m.session_id, m.turn) for m in made[0].memories]
    assert len(set(places)) == len(places)


def test_the_same_from_the_same_seed_and_every_setting_counts(made):
    assert list(lives().conversations()) == made
    assert [q.text for q in next(lives(seed=1).conversations()).questions] != [q.text for q in made[0].questions]
    other = [lives(), lives(seed=1), lives(kinds=7), lives(times=3), lives(memories=1700), lives(kinds=7, pool="odd")]
    assert len({one.fingerprint for one in other}) == len(other)


def test_the_pools_share_no_kind():
    found = [
        {kind for c in lives(kinds=7, pool=pool).conversations() for kind in happened(c)} for pool in ("even", "odd")
    ]
    assert not found[0] & found[1]
    assert found[0] | found[1] == WRITTEN["kinds"].keys()


class Plain:
    name, licence, weights_may_ship, fingerprint = "plain", "CC0", True, "abc"

    def __init__(self, sessions, zone=None, dated=True):
        self.sessions, self.zone, self.dated = sessions, zone, dated

    def conversations(self):
        yield Conversation(
            id="c",
            corpus="plain",
            memories=tuple(
                Memory(
                    id=f"m{i}",
                    conversation_id="c",
                    session_id=f"s{i}",
                    turn=0,
                    speaker="Ann",
                    text="hello",
                    timestamp=datetime(2023, 1 + i, 5, tzinfo=self.zone) if self.dated else None,
                )
                for i in range(self.sessions)
            ),
        )


def test_what_is_too_short_or_has_no_times_is_left_out():
    for corpus in (Plain(5), Plain(12, dated=False), Plain(0)):
        assert list(lives(corpus=corpus).conversations()) == []
    for corpus in (Plain(6), Plain(12, zone=UTC)):
        (found,) = lives(corpus=corpus).conversations()
        assert found.questions


@pytest.mark.parametrize("wrong", [{"kinds": 0}, {"kinds": 15}, {"times": 1}, {"times": 7}, {"pool": "most"}])
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=rf"data\.{next(iter(wrong))}="):
        lives(**wrong)


MEANT = """
on 7 May 2023                           | 2023-05-04 2023-05-11
in early May 2023                       | 2023-05-01 2023-06-01
in spring 2023                          | 2023-03-01 2023-06-01
in Q2 2023                              | 2023-04-01 2023-07-01
in the first half of 2023               | 2023-01-01 2023-07-01
a year ago                              | 2023-03-02 2023-07-30
last year                               | 2023-01-01 2024-01-01
last spring                             | 2023-03-01 2023-06-01
last May                                | 2023-05-01 2023-06-01
between April and June 2023             | 2023-04-01 2023-07-01
between 25 April and 16 May 2023        | 2023-04-24 2023-05-17
in the fifth month of 2023              | 2023-05-01 2023-06-01
"""


def test_a_phrase_means_its_days():
    found = {p.text: p for p in phrases(datetime(2023, 5, 7), datetime(2024, 5, 15))}  # noqa: DTZ001
    for line in MEANT.strip().splitlines():
        text, right = (part.strip() for part in line.split("|"))
        assert f"{found[text].start:%Y-%m-%d} {found[text].end:%Y-%m-%d}" == right
    assert "last autumn" not in found
    winter = {p.text: p for p in phrases(datetime(2024, 1, 9), datetime(2024, 5, 15))}  # noqa: DTZ001
    assert f"{winter['in the winter of 2023'].end:%Y-%m-%d}" == "2024-03-01"
