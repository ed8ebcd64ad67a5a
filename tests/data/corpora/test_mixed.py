"""Several corpora as one."""

from dataclasses import replace

import pytest

from memshadow.cli import main
from memshadow.config import build, load
from memshadow.data.corpora.base import ConversationCorpus
from memshadow.data.corpora.mixed import MixedCorpus
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.errors import ConfigError
from memshadow.types import Conversation, Memory, Question


class Talk:
    """One short conversation; ``corpus`` is what it says of its origin."""

    def __init__(self, name="talk", *, corpus="", licence="CC0", ships=True, fingerprint="abc"):
        self.name, self.licence, self.weights_may_ship, self.fingerprint = name, licence, ships, fingerprint
        self._corpus = corpus

    def conversations(self):
        said = Memory(id="m", conversation_id="c", session_id="s", turn=0, speaker="Ann", text="I moved to Rome")
        asked = (
            Question(id="q", conversation_id="c", text="Where?", evidence=("m",), evidence_audited=("m",)),
            Question(id="r", conversation_id="c", text="Why?"),
        )
        yield Conversation(id="c", memories=(said,), questions=asked, corpus=self._corpus)


def test_ids_of_equal_parts_do_not_meet_and_evidence_follows():
    mixed = MixedCorpus(parts={"a": Talk(), "b": Talk()})
    assert isinstance(mixed, ConversationCorpus)
    first, second = mixed.conversations()
    assert (first.id, first.memories[0].id, first.memories[0].conversation_id) == ("a/c", "a/m", "a/c")
    assert (second.id, second.memories[0].id) == ("b/c", "b/m")
    asked, other = second.questions
    assert (asked.id, asked.conversation_id, asked.evidence, asked.evidence_audited) == (
        "b/q",
        "b/c",
        ("b/m",),
        ("b/m",),
    )
    assert (other.evidence, other.evidence_audited) == ((), None)
    assert first.memories[0].text == "I moved to Rome"


def test_each_conversation_says_which_corpus_it_came_from():
    inner = MixedCorpus(parts={"x": Talk("beam"), "y": Talk("user", corpus="locomo")})
    mixed = MixedCorpus(parts={"a": inner, "b": Talk("talk")})
    assert [(c.id, c.corpus) for c in mixed.conversations()] == [
        ("a/x/c", "beam"),
        ("a/y/c", "locomo"),
        ("b/c", "talk"),
    ]


def test_weights_ship_only_where_those_of_every_part_may():
    free, bound = Talk(), Talk(licence="CC BY-NC", ships=False)
    assert MixedCorpus(parts={"a": free, "b": free}).weights_may_ship
    mixed = MixedCorpus(parts={"a": free, "b": bound, "c": free})
    assert (mixed.weights_may_ship, mixed.licence, mixed.name) == (False, "CC0; CC BY-NC", "a+b+c")


def test_the_fingerprint_is_of_names_and_parts():
    one, other = Talk(fingerprint="1"), Talk(fingerprint="2")
    mixtures = ({"a": one}, {"a": other}, {"b": one}, {"a": one, "b": other}, {"a": other, "b": one})
    assert len({MixedCorpus(parts=parts).fingerprint for parts in mixtures}) == len(mixtures)
    assert MixedCorpus(parts={"a": one}).fingerprint == MixedCorpus(parts={"a": Talk(fingerprint="1")}).fingerprint


@pytest.mark.parametrize("parts", [{}, None, 3, {"a": None}, {"a": 7}])
def test_what_is_no_mixture_is_refused(parts):
    with pytest.raises(ConfigError, match=r"data\.parts"):
        MixedCorpus(parts=parts)


def test_a_set_without_conversations_is_named(capsys):
    assert main(["data", "show", "mixed", "+data@data.parts.pairs=stsb", "n=0"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "data.parts.pairs is 'stsb'" in told
    assert "~data.parts.pairs" in told


def test_a_part_more_and_a_part_less_on_the_command_line():
    words = ["data=mixed", "+data@data.parts.third=synthetic", "~data.parts.others", "data.parts.third.memories=50"]
    mixed = build(load("train", [*words, "data.parts.lives.memories=60", "data.parts.third.seed=9"]).data)
    found = list(mixed.conversations())
    assert [c.id.partition("/")[0] for c in found] == ["lives", "third"]
    third = SyntheticCorpus(memories=50, seed=9, memories_per_conversation=500, questions_per_conversation=120)
    (made,) = third.conversations()
    assert [m.text for m in found[1].memories] == [m.text for m in made.memories]
    assert replace(found[1].memories[0], id="", conversation_id="") == replace(
        made.memories[0], id="", conversation_id=""
    )
