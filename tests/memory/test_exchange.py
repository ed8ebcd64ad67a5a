"""Out and in again: nothing lost, nothing doubled, damage told by its line."""

import json

import pytest
from small import memory

from memshadow.errors import DataError
from memshadow.types import Scope


@pytest.fixture
def lived():
    m = memory()
    s = m.at(session="s1", agent="claude")
    said = s.add(["Hi", "I live in Porto"], speaker="Ann", happened_at="2024-05-03T10:00:00+02:00", tags=["home"])
    m.update(said[1].id, text="I live in Faro")
    m.add("car: red", key="car", metadata={"n": [1, {"ü": None}]}, importance=0.9)
    m.add("car: blue", key="car", source={"provider": "anthropic", "model": "claude"})
    return m


def everything(m):
    return [
        (r.id, r.version, r.scope.session, r.scope.agent, r.turn, r.draft, r.ended_at, r.ended_by, r.superseded_by)
        for r in m.everything(latest_only=False)
    ]


def test_an_export_comes_back_as_it_was_and_once(lived):
    lines = list(lived.export())
    other = memory()
    assert (other.import_(lines).added, other.import_(lines).added) == (5, 0)
    assert everything(other) == everything(lived)
    assert [h.text for h in other.search("car", k=1)] == ["car: blue"]


def test_it_belongs_to_whoever_imports_it(lived):
    lines = list(lived.at(user="owner").export())
    other = memory()
    other.import_(lines, scope=Scope(user="bo"))
    assert other.stats().versions == 0
    assert other.stats(scope=Scope(user="bo")).versions == 5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[:-1], "cut off after 5"),
        (lambda lines: lines[:3] + lines[4:], "damaged: 5 versions were written, 4 came"),
        (lambda lines: [*lines[:2], lines[2].replace("Porto", "Paris"), *lines[3:]], "damaged"),
        (lambda lines: [lines[0].replace('"format": 1', '"format": 2'), *lines[1:]], "format 2"),
        (lambda lines: [lines[0], "nonsense", *lines[1:]], "line 2 is no JSON"),
        (lambda lines: ["[1]"], "line 1 must be a JSON object"),
        (lambda lines: [], "nothing to import"),
        (lambda lines: [lines[0], '{"id": "x", "version": 0, "text": "a"}'], "line 2: version=0"),
        (lambda lines: ['{"text": "a", "mood": 1, "metadata": 5}'], "line 1: metadata must be a mapping"),
        (lambda lines: ['{"words": "a"}'], "line 1: a memory needs text"),
    ],
)
def test_damage_is_told(lived, damage, message):
    with pytest.raises(DataError, match=message):
        memory().import_(damage(list(lived.export())))


def test_a_version_that_is_there_with_other_content_is_refused(lived):
    other = memory()
    lines = list(lived.export())
    other.import_(lines)
    changed = json.dumps({"id": json.loads(lines[1])["id"], "text": "other"})
    with pytest.raises(DataError, match="other content"):
        other.import_([changed])


def test_a_newer_export_brings_the_first_one_up_to_date(lived):
    other = memory()
    other.import_(list(lived.export()))
    home = next(r for r in lived.everything() if r.text == "I live in Faro")
    lived.update(home.id, text="I live in Braga")
    lived.add("car: green", key="car")
    lines = list(lived.export())
    assert other.import_(lines).added == 2
    assert everything_by_id(other) == everything_by_id(lived)


def everything_by_id(m):
    return sorted(everything(m), key=lambda one: (one[0], one[1]))


def test_lines_of_other_programs_are_new_memories():
    m = memory()
    line = {"id": "7", "conversation_id": "c", "session_id": "s", "turn": 2, "timestamp": "2024-05-03", "text": "Hey"}
    assert m.import_([json.dumps(line | {"speaker": "Bo", "mood": "gay"}), '{"content": "bare"}\n', "\n"]).added == 2
    kept = m.get("7")
    assert (kept.scope.session, kept.turn, kept.draft.metadata) == ("c/s", 2, {"mood": "gay"})
    assert m.import_(['{"content": "bare"}']).added == 0
