"""Few-shot classes out of made lives: enough of each, split by class, labelled by what was played."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import pytest

from memshadow.config import build, load
from memshadow.data.corpora.base import UtteranceCorpus
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.data.corpora.synthetic.scene import scenes
from memshadow.data.corpora.topics import Topics, parts
from memshadow.errors import ConfigError
from memshadow.types import LabelledText


def topics(lives: int, *, seed: int = 0) -> Topics:
    return Topics(lives=lives, memories_per_life=200, seed=seed)


@lru_cache(maxsize=1)
def configured() -> tuple[LabelledText, ...]:
    """Return all of ``data=topics`` as it is shipped."""
    return tuple(build(load("data", ["data=topics"]).data).utterances())


def test_every_class_has_twenty_different_texts_or_more() -> None:
    counts = Counter(one.label for one in configured())
    assert counts.keys() == {scene.name for scene in scenes()}
    assert len(counts) >= 75
    assert min(counts.values()) >= 20
    assert len({one.text for one in configured()}) == len(configured())


def test_the_split_is_by_class_and_does_not_change_with_the_lives() -> None:
    of = {one.label: one.split for one in configured()}
    assert all(of[one.label] == one.split for one in configured())
    assert of == parts()
    assert Counter(of.values()) == {"train": 45, "valid": 15, "test": 15}
    assert all(parts()[one.label] == one.split for one in topics(2, seed=9).utterances())


def test_the_label_is_what_was_played() -> None:
    """Words that only one scene can say stand under its label; the domain is the scene's topic."""
    of_topic = {scene.name: scene.topic for scene in scenes()}
    assert all(one.domain == of_topic[one.label] for one in configured())
    for word, label in (("half marathon", "run"), ("green belt", "sport_new"), ("vending machine ring", "engage")):
        assert {one.label for one in configured() if word in one.text} == {label}


def test_one_seed_one_text_and_more_lives_begin_with_fewer() -> None:
    corpus = topics(2, seed=1)
    assert isinstance(corpus, UtteranceCorpus)
    first, again, more, other = (
        list(made.utterances()) for made in (corpus, topics(2, seed=1), topics(3, seed=1), topics(2, seed=2))
    )
    assert first == again == more[: len(first)]
    assert len(more) > len(first)
    assert not {one.text for one in first} & {one.text for one in other}


def test_its_lives_are_none_of_the_synthetic_ones_of_the_same_seed() -> None:
    """Short lines come out alike now and then: both speak from the same templates."""
    lives = SyntheticCorpus(memories=6_000, seed=0, memories_per_conversation=500, questions_per_conversation=0)
    said = {memory.text for life in lives.conversations() for memory in life.memories}
    assert len(said & {one.text for one in configured()}) < 0.02 * len(configured())


def test_the_fingerprint_is_of_the_settings() -> None:
    settings = ((2, 200, 0), (3, 200, 0), (2, 300, 0), (2, 200, 1))
    made = [Topics(lives=lives, memories_per_life=size, seed=seed) for lives, size, seed in settings]
    assert len({corpus.fingerprint for corpus in made}) == len(settings)
    assert made[0].fingerprint == topics(2).fingerprint


@pytest.mark.parametrize("wrong", [{"lives": 0}, {"lives": 2_001}, {"memories_per_life": 0}])
def test_a_number_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=rf"data\.{next(iter(wrong))}="):
        Topics(**({"lives": 1, "memories_per_life": 10, "seed": 0} | wrong))
