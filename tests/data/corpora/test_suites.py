"""Corpora made thin or strange on purpose."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from unicodedata import name

import pytest

import memshadow.data.corpora.suites as suites
from memshadow.data.corpora.suites import FewMemories, MixedLanguages, OneSpeaker, Stripped
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.errors import ConfigError
from memshadow.types import Conversation, Memory, Question

LANGUAGES = tomllib.loads(Path(suites.__file__).with_name("languages.toml").read_text(encoding="utf-8"))
FACTS = [(language, fact) for language, held in LANGUAGES.items() for fact in held["facts"]]


def lives(seed=3):
    return SyntheticCorpus(memories=600, seed=seed, memories_per_conversation=300, questions_per_conversation=60)


class Talk:
    """Two sessions of two people, and questions on one, two and no turns of it."""

    name, licence, weights_may_ship, fingerprint = "talk", "CC0", True, "abc"
    said = (
        ("s", "Ann"),
        ("s", "Bob"),
        ("s", "Ann"),
        ("s", "Bob"),
        ("s", "Ann"),
        ("t", "Bob"),
        ("t", "Ann"),
        ("t", "Bob"),
    )

    def conversations(self):
        memories = tuple(
            Memory(id=f"m{i}", conversation_id="c", session_id=session, turn=i, speaker=speaker, text=f"text {i}")
            for i, (session, speaker) in enumerate(self.said)
        )
        cited = {"one": (0,), "pair": (2, 0), "across": (1, 5), "bobs": (5, 7), "last": (4,), "none": ()}
        questions = tuple(
            Question(id=key, conversation_id="c", text=f"{key}?", evidence=tuple(f"m{i}" for i in places))
            for key, places in cited.items()
        )
        yield Conversation(id="c", memories=memories, questions=questions, corpus="origin")
        yield Conversation(id="empty", memories=(), corpus="origin")


def test_few_memories_are_turns_that_follow_each_other_with_what_they_answer():
    found = list(FewMemories(corpus=Talk(), memories=3).conversations())
    assert [([m.id for m in c.memories], [q.id for q in c.questions]) for c in found] == [
        (["m0", "m1", "m2"], ["one", "pair"]),
        (["m5", "m6", "m7"], ["bobs"]),
    ]
    assert {c.corpus for c in found} == {"origin"}


def test_an_owner_of_one_memory_asks_about_it():
    found = list(FewMemories(corpus=Talk(), memories=1).conversations())
    assert [(c.memories[0].id, [q.id for q in c.questions]) for c in found] == [("m0", ["one"]), ("m4", ["last"])]


def test_stripped_turns_lose_what_is_named_and_nothing_else():
    before = next(lives().conversations())
    (bare, *_) = Stripped(corpus=lives(), of=["sessions", "speakers", "dates"]).conversations()
    assert {(m.session_id, m.speaker, m.timestamp) for m in bare.memories} == {("", "", None)}
    assert [m.turn for m in bare.memories] == list(range(len(bare.memories)))
    assert [(m.id, m.text, m.image_caption) for m in bare.memories] == [
        (m.id, m.text, m.image_caption) for m in before.memories
    ]
    assert bare.questions == before.questions
    (undated, *_) = Stripped(corpus=lives(), of=["dates"]).conversations()
    assert {m.timestamp for m in undated.memories} == {None}
    assert [(m.session_id, m.turn, m.speaker) for m in undated.memories] == [
        (m.session_id, m.turn, m.speaker) for m in before.memories
    ]


def test_one_speaker_keeps_the_first_voice_and_what_it_answers():
    first, empty = OneSpeaker(corpus=Talk()).conversations()
    assert [m.id for m in first.memories] == ["m0", "m2", "m4", "m6"]
    assert {q.id: q.evidence for q in first.questions} == {"one": ("m0",), "pair": ("m2", "m0"), "last": ("m4",)}
    assert (empty.memories, empty.questions) == ((), ())


def strewn(**changed):
    return MixedLanguages(**{"corpus": lives(), "facts": 20, "crosswise": 0.5, "seed": 0, "pool": "all"} | changed)


def test_facts_in_other_languages_are_said_answered_and_asked_for():
    (before, *_), (after, *_) = lives().conversations(), strewn().conversations()
    said = {m.id: m for m in after.memories}
    assert [m.text for m in after.memories if m.id in {b.id for b in before.memories}] == [
        m.text for m in before.memories
    ]
    assert len(after.memories) == len(before.memories) + 2 * 20
    new = [q for q in after.questions if q.category.endswith("-language")]
    counts = Counter(q.category for q in new)
    assert counts["same-language"] == 20
    assert 0 < counts["cross-language"] < 20
    known = {fact["said"]: (language, fact) for language, fact in FACTS}
    for question in new:
        (evidence,) = (said[one] for one in question.evidence)
        language, fact = known[evidence.text]
        asked = fact["asked" if question.category == "same-language" else "crosswise"]
        assert (question.text, question.answer) == (asked[0].replace("{S}", evidence.speaker), asked[1])
        reply = after.memories[after.memories.index(evidence) + 1]
        assert reply.text in LANGUAGES[language]["talk"]
        assert (reply.speaker != evidence.speaker, reply.session_id) == (True, evidence.session_id)


def test_no_fact_without_facts_and_all_of_them_at_once():
    assert list(strewn(facts=0).conversations()) == list(lives().conversations())
    (first, *_) = strewn(facts=len(FACTS), crosswise=1.0).conversations()
    assert Counter(q.category for q in first.questions)["cross-language"] == len(FACTS)
    old = {m.id: m.image_caption for m in next(lives().conversations()).memories}
    assert any(old.values())
    assert not any(m.image_caption for m in first.memories if m.id not in old)


def test_the_seed_and_every_setting_count():
    made = [strewn(), strewn(seed=1), strewn(facts=19), strewn(crosswise=0.4), strewn(corpus=lives(4))]
    assert len({one.fingerprint for one in made}) == len(made)
    assert strewn().fingerprint == strewn().fingerprint
    texts = [[m.text for c in one.conversations() for m in c.memories] for one in (strewn(), strewn(), strewn(seed=1))]
    assert texts[0] == texts[1] != texts[2]
    bent = [FewMemories(corpus=Talk(), memories=n) for n in (1, 3)] + [
        Stripped(corpus=Talk(), of=[m]) for m in ("dates",)
    ]
    assert len({one.fingerprint for one in bent} | {one.name for one in bent}) == 6


@pytest.mark.parametrize(
    "make",
    [
        lambda: FewMemories(corpus=Talk(), memories=0),
        lambda: Stripped(corpus=Talk(), of=[]),
        lambda: Stripped(corpus=Talk(), of="dates"),
        lambda: Stripped(corpus=Talk(), of=["dates", "names"]),
        lambda: strewn(facts=53),
        lambda: strewn(facts=-1),
        lambda: strewn(crosswise=1.5),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make):
    with pytest.raises(ConfigError, match=r"data\.(memories|of|facts|crosswise)="):
        make()


SCRIPTS = {
    "ru": "CYRILLIC", "el": "GREEK", "ar": "ARABIC", "hi": "DEVANAGARI",
    "ja": "HIRAGANA|KATAKANA|CJK", "zh": "CJK", "ko": "HANGUL",
}  # fmt: skip


def share_of_script(text, language):
    letters = [letter for letter in text.replace("{S}", "") if letter.isalpha()]
    return sum(bool(re.match(SCRIPTS.get(language, "LATIN"), name(letter))) for letter in letters) / len(letters)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_written_in_its_script_and_names_who_is_asked_about(language):
    held = LANGUAGES[language]
    assert (len(held["talk"]), len(held["facts"])) == (3, 4)
    for fact in held["facts"]:
        assert "{S}" not in fact["said"]
        for question, answer in (fact["asked"], fact["crosswise"]):
            assert question.count("{S}") == 1
            assert answer
        for text in (fact["said"], fact["asked"][0], *held["talk"]):
            assert share_of_script(text, language) == 1.0, text
        assert fact["crosswise"][0] != fact["asked"][0]
        assert share_of_script(fact["crosswise"][0], "en") == 1.0


def test_no_fact_is_told_twice():
    texts = [text for _, fact in FACTS for text in (fact["said"], fact["asked"][0], fact["crosswise"][0])]
    assert len(set(texts)) == len(texts)
