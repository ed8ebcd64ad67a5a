"""The scene files hold their promises in every wording: what the notation says is answered, is said."""

from __future__ import annotations

import pytest

from memshadow.data.corpora.synthetic.grammar import Dice, always, expand, parse, slots_of, tidy
from memshadow.data.corpora.synthetic.scene import SINGLE, Line, phrases, read_scenes, scenes, words
from memshadow.errors import DataError

LINES = [(scene.name, line) for scene in scenes() for stage in scene.stages for line in stage.lines]
_DATES = {"date": ("when", "soon"), "whendate": ("when",), "soondate": ("soon",)}


def said(line: Line, slot: str) -> bool:
    """Whether every wording says a slot (a date: the phrase that stands for it)."""
    names = _DATES.get(slot, (slot,))
    return all(any(always(wording, name) for name in names) for wording in line.wordings)


def test_every_wording_of_an_evidence_line_says_the_answer() -> None:
    wrong = [
        (name, slot)
        for name, line in LINES
        for ask in line.asks
        if ask.category == SINGLE or "date" in slots_of(ask.answer)
        for slot in slots_of(ask.answer)
        if not said(line, slot)
    ]
    assert not wrong


def test_every_wording_says_the_item_it_adds_to_a_list() -> None:
    assert not [(name, key) for name, line in LINES for key, v in line.items for s in slots_of(v) if not said(line, s)]


def test_every_question_names_the_person() -> None:
    assert not [(name, ask.text) for name, line in LINES for ask in line.asks if not always(ask.text, "S")]


def test_every_list_has_a_question() -> None:
    keys = {key for _, line in LINES for key, _ in line.items}
    assert not {key for key in keys if f"list_{key}" not in phrases()}


def test_every_scene_finds_its_small_talk() -> None:
    for scene in scenes():
        assert f"muse_{scene.topic}" in phrases(), scene.name
        assert f"photo_{scene.topic}" in phrases(), scene.name
        assert {f"react_{scene.mood}", f"tail_{scene.mood}"} <= set(phrases()), scene.name


def test_scenes_have_names_of_their_own_and_word_tables_no_doubles() -> None:
    assert len({scene.name for scene in scenes()}) == len(scenes())
    assert not [name for name, entries in words().items() if len(set(entries)) != len(entries)]


@pytest.mark.parametrize(
    ("source", "slots", "sentence"),
    [
        ("a $x", {"x": "owl"}, "An owl"),
        ("hello {there|there}. again", {}, "Hello there. Again"),
        ("we {} met .", {}, "We met."),
    ],
)
def test_a_template_becomes_a_tidy_sentence(source: str, slots: dict[str, str], sentence: str) -> None:
    assert tidy(expand(parse(source), Dice("x"), slots)) == sentence


@pytest.mark.parametrize("broken", ["a {b", "a } b", "a | b"])
def test_a_brace_out_of_place_is_shown(broken: str) -> None:
    with pytest.raises(DataError, match="out of place"):
        parse(broken)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("> hello", "before the first scene"),
        ("scene s\n% what", "'%'"),
        ("scene s\nlet x=@nowhere", "no word table is called 'nowhere'"),
    ],
)
def test_a_mistake_in_a_scene_file_is_named(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_scenes(source))
