"""The nouns: how a memory is said and what stands around it."""

from dataclasses import FrozenInstanceError

import pytest

from memshadow.types import Memory, Passage, Turn, in_context


def memory(i, session="s", **changed):
    given = {"id": str(i), "conversation_id": "c", "session_id": session, "turn": i, "speaker": f"P{i}"}
    return Memory(**{**given, "text": f"text {i}", **changed})


@pytest.mark.parametrize(
    ("changed", "rendered"),
    [
        ({"speaker": "Ann", "text": "Hi!"}, "Ann: Hi!"),
        ({"speaker": "", "text": "Hi!"}, "Hi!"),
        ({"speaker": "Ann", "text": "Look", "image_caption": "a kite"}, "Ann: Look [shares a photo: a kite]"),
        ({"speaker": "", "text": "", "image_caption": "a kite"}, " [shares a photo: a kite]"),
        ({"speaker": "Ann", "text": "Look", "image_caption": ""}, "Ann: Look"),
        ({"speaker": "Ann", "text": ""}, "Ann: "),
    ],
)
def test_a_memory_is_rendered_as_it_was_said(changed, rendered):
    assert memory(0, **changed).rendered() == rendered
    assert memory(0, **changed).said().rendered() == rendered


def test_values_are_frozen_and_memories_can_be_counted():
    with pytest.raises(FrozenInstanceError):
        memory(0).text = "other"
    assert len({memory(0), memory(0), memory(1), memory(0, metadata={"mood": "gay"})}) == 3
    assert len({memory(0, metadata={"a": [1]})}) == 1


def around(passages):
    return [([t.text[-1] for t in p.before], p.text[-1], [t.text[-1] for t in p.after]) for p in passages]


def test_neighbours_are_the_nearest_of_the_session_in_the_order_of_saying():
    said = [memory(i, "one" if i < 4 else "two") for i in range(7)]
    assert around(in_context(said, before=2, after=1)) == [
        ([], "0", ["1"]),
        (["0"], "1", ["2"]),
        (["0", "1"], "2", ["3"]),
        (["1", "2"], "3", []),
        ([], "4", ["5"]),
        (["4"], "5", ["6"]),
        (["4", "5"], "6", []),
    ]


def test_a_passage_says_who_spoke_and_shows_the_photo():
    first, second = in_context([memory(0, image_caption="a kite"), memory(1)], before=1, after=1)
    assert first == Passage(
        text="text 0 [shares a photo: a kite]", speaker="P0", after=(Turn(text="text 1", speaker="P1"),)
    )
    assert second.before == (Turn(text="text 0 [shares a photo: a kite]", speaker="P0"),)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (100, 0), (0, 100), (3, 2)])
def test_what_is_said_later_changes_the_last_passages_only(before, after):
    said = [memory(i) for i in range(9)]
    sooner, later = (in_context(said[:n], before=before, after=after) for n in (6, 9))
    assert sooner[: max(0, 6 - after)] == later[: max(0, 6 - after)]
    assert [len(p.before) for p in later] == [min(i, before) for i in range(9)]
    assert [len(p.after) for p in later] == [min(8 - i, after) for i in range(9)]


def test_nothing_gives_nothing():
    assert in_context([], before=3, after=3) == []


def test_a_session_that_comes_back_begins_again():
    said = [memory(0, "one"), memory(1, "two"), memory(2, "one")]
    assert around(in_context(said, before=5, after=5)) == [([], "0", []), ([], "1", []), ([], "2", [])]


def test_lone_notes_have_no_neighbours():
    said = [memory(0, ""), memory(1, ""), memory(2, "one"), memory(3, "one")]
    assert around(in_context(said, before=5, after=5)) == [
        ([], "0", []),
        ([], "1", []),
        ([], "2", ["3"]),
        (["2"], "3", []),
    ]
