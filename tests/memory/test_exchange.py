"""Out and in again: nothing lost, nothing doubled, damage told by its line."""

import json
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from small import memory

from memshadow.errors import DataError
from memshadow.memory.exchange import lines_of, portions, records_of
from memshadow.memory.supersession import NoRule
from memshadow.types import Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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


def test_exports_one_after_another_all_come_in(lived):
    lived.at(user="bo").add("of bo")
    lines = [*lived.export(), "\n", *lived.at(user="bo").export()]
    other = memory()
    assert other.import_(lines).added == 6
    assert other.stats().versions == 6


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (lambda a, b: [*a, '{"text": "more"}', *b], "line 8 stands behind the end of an export"),
        (lambda a, b: [*a[:-1], *b], "cut off after 5 versions: .* Line 7"),
        (lambda a, b: [*a, *b[:-1]], "cut off after 5"),
        (lambda a, b: [*a, b[0].replace('"format": 1', '"format": 2')], "format 2"),
    ],
)
def test_what_stands_between_exports_is_not_passed_over(lived, between, message):
    lines = list(lived.export())
    with pytest.raises(DataError, match=message):
        list(records_of(between(lines, lines), Scope(), at=NOW))


def exported(**fields):
    """Return an export of one version with these fields; ``...`` leaves one out."""
    told = {"id": "q", "version": 1, "text": "a", "ingested_at": "2026-01-01T00:00:00+00:00"} | fields
    line = json.dumps({name: value for name, value in told.items() if value is not ...}) + "\n"
    end = {"memshadow_end": True, "records": 1, "sha256": sha256(line.encode()).hexdigest()}
    return ['{"memshadow": "memories", "format": 1}\n', line, json.dumps(end)]


ENDED = {"ended_at": "2026-01-02T00:00:00Z"}
LARGE = "9" * 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (ENDED | {"ended_by": "weird"}, "ended_by='weird'; needed: update or supersede"),
        (ENDED | {"ended_by": ["x"]}, r"ended_by=\['x'\]"),
        (ENDED | {"ended_by": "supersede", "superseded_by": 5}, "superseded_by=5"),
        (ENDED | {"ended_by": "supersede", "superseded_by": ""}, "superseded_by=''"),
        (ENDED | {"ended_by": "supersede", "superseded_by": "q"}, "takes its own place"),
        (ENDED | {"ended_by": "supersede"}, "all of an end or nothing of it"),
        (ENDED | {"ended_by": "update", "superseded_by": "r"}, "all of an end or nothing of it"),
        (ENDED, "all of an end or nothing of it"),
        ({"ended_by": "update"}, "all of an end or nothing of it"),
        ({"superseded_by": "r"}, "all of an end or nothing of it"),
        ({"id": ...}, "id=None; needed"),
        ({"id": ""}, "id=''; needed"),
        ({"id": 5}, "id=5; needed"),
        ({"turn": -1}, "turn=-1; needed: a whole number from 0 to 2147483647"),
        ({"turn": 2**31}, "turn=2147483648; needed"),
        ({"turn": float("inf")}, "turn=inf; needed"),
        ({"turn": "3"}, "turn='3'; needed"),
        ({"turn": True}, "turn=True; needed"),
        ({"version": 2**31}, "version=2147483648; needed"),
        ({"agent": 5}, "agent=5 names no scope"),
    ],
)
def test_a_version_that_no_store_could_read_again_is_refused(fields, message):
    with pytest.raises(DataError, match=f"^line 2: .*{message}"):
        list(records_of(exported(**fields), Scope(), at=NOW))


def test_a_version_comes_with_its_end():
    end = ENDED | {"ended_by": "supersede", "superseded_by": "r\ud800"}
    (found,) = records_of(exported(**end, turn=2**31 - 1), Scope(), at=NOW)
    assert (found.turn, found.ended_by, found.superseded_by) == (2**31 - 1, "supersede", "r\ufffd")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 200_000, "nested too deep"),
        (f'{{"text": "a", "n": {LARGE * 20}}}', "is no JSON"),
        ('{"text": "a", "turn": 1e400}', "turn=inf; needed"),
        (f'{{"text": "a", "turn": {LARGE}}}', "turn=9+.*; needed"),
        ('{"text": "a", "importance": 1e400}', "importance=inf"),
        ('{"text": "a", "metadata": {"n": 1e400}}', "what JSON can hold"),
        (f'{{"text": "a", "n": {LARGE}}}', "needed: whole numbers"),
        ('{"text": "a", "tags": [["a"]]}', "a tag must be text"),
        ('{"text": "a", "id": ""}', "id=''"),
        ('{"text": "a", "speaker": %s}' % ("[" * 900 + "]" * 900), "speaker must be text|recursion|too deep"),
    ],
)
def test_hostile_lines_are_told_by_their_number(line, message):
    with pytest.raises(DataError, match=f"^line 2[: ].*{message}"):
        list(records_of(['{"text": "good"}', line], Scope(), at=NOW))


def test_a_half_surrogate_in_a_line_is_damage(lived):
    lines = list(lived.export())
    with pytest.raises(DataError, match="damaged"):
        list(records_of([lines[0], lines[1].replace("Hi", "\ud800"), *lines[2:]], Scope(), at=NOW))


def test_an_export_shows_one_moment_though_someone_writes(lived):
    then = lived.store.last_seq
    before = [json.loads(line) for line in lines_of(lived.everything(latest_only=False), at=NOW)]
    read = list(lived.everything(latest_only=False))
    lived.update(read[0].id, text="changed")
    lived.add("car: green", key="car")
    torn = [*read[:3], *[r for r in lived.everything(latest_only=False) if r.seq > read[2].seq]]
    assert [json.loads(line) for line in lines_of(torn, at=NOW, until=then)] == before
    now = lines_of(lived.everything(latest_only=False), at=NOW, until=then)
    assert [json.loads(line) for line in now] == before
    assert memory().import_(lines_of(torn, at=NOW, until=then)).added == 5


def test_portions_hold_what_came_before_an_error():
    lines = [json.dumps({"text": f"line {i}"}) for i in range(7)] + ["{"]
    taken = []
    found = (taken.append(len(portion)) for portion in portions(records_of(lines, Scope(), at=NOW), size=3))
    with pytest.raises(DataError, match="line 8 is no JSON"):
        list(found)
    assert taken == [3, 3, 1]


def test_portions_keep_the_versions_of_a_memory_together(lived):
    one = lived.add("one")
    for i in range(5):
        lived.update(one.id, text=f"one, {i} times changed")
    records = list(lived.everything(latest_only=False))
    assert [len(portion) for portion in portions(records, size=6)] == [11]
    assert [len(portion) for portion in portions(records, size=4)] == [4, 7]
    assert [r for portion in portions(records, size=1) for r in portion] == records
    assert list(portions([], size=4)) == []


UPDATED, SUPERSEDED = ENDED | {"ended_by": "update"}, ENDED | {"ended_by": "supersede", "superseded_by": "z"}


def several(*versions):
    """Return an export of these versions of one memory."""
    lines = [exported(**fields)[1] for fields in versions]
    end = {"memshadow_end": True, "records": len(lines), "sha256": sha256("".join(lines).encode()).hexdigest()}
    return ['{"memshadow": "memories", "format": 1}\n', *lines, json.dumps(end)]


@pytest.mark.parametrize(
    ("here", "comes", "message"),
    [
        ([], [{"version": 2}], "version 2 came, and none before it is here"),
        ([], [UPDATED, {"version": 3}], "version 3 came, and 1 before it is here"),
        ([], [{}, {"version": 2}], "versions 1 and 2 would both hold"),
        ([{}], [{"version": 2}], "versions 1 and 2 would both hold"),
        ([UPDATED, {"version": 2}], [UPDATED, {"version": 2}, {"version": 3}], "versions 2 and 3 would both hold"),
        ([{}], [SUPERSEDED, {"version": 2}, {"id": "z"}], "versions 1 and 2 would both hold"),
    ],
)
def test_versions_that_make_no_memory_are_the_contents_fault_and_nothing_is_lost(here, comes, message):
    other = memory()
    other.add("kept")
    if here:
        other.import_(several(*here))
    before = everything(other)
    with pytest.raises(DataError, match=message):
        other.import_(several(*comes))
    assert everything(other) == before
    assert other.add("goes on").duplicate is False


def test_the_versions_of_a_memory_may_come_in_any_order():
    other = memory()
    assert other.import_(several({"version": 2, "text": "b"}, UPDATED)).added == 2
    assert [(r.version, r.text, r.current) for r in other.history("q")] == [(1, "a", False), (2, "b", True)]


class TestKeys:
    """Several memories of one key cannot hold beside each other, wherever they come from."""

    def held(self, m):
        return [(r.id, r.text) for r in m.everything(keys=["home"])]

    def test_what_was_learned_last_takes_the_place_of_the_others(self):
        m = memory()  # whose clock is in January 2026
        here = m.add("home is Oslo", key="home")
        old = {"id": "old", "text": "home is Rome", "key": "home", "ingested_at": "2025-01-01T00:00:00Z"}
        new = {"id": "new", "text": "home is Faro", "key": "home", "ingested_at": "2026-05-01T00:00:00Z"}
        assert m.import_(several(old)).added == 1
        assert self.held(m) == [(here.id, "home is Oslo")]
        assert (m.get("old").ended_by, m.get("old").superseded_by) == ("supersede", here.id)
        assert m.import_(several(new)).added == 1
        assert self.held(m) == [("new", "home is Faro")]
        assert m.get(here.id).superseded_by == "new"
        before = everything(m)
        assert (m.import_(several(old)).added, m.import_(several(new)).added) == (0, 0)
        assert everything(m) == before

    def test_lines_of_other_programs_count_in_their_order(self):
        m = memory()
        told = m.add("home is Oslo", key="home")
        lines = [json.dumps({"text": f"home is {where}", "key": "home"}) for where in ("Rome", "Faro", "Bari")]
        m.import_([*lines, json.dumps({"text": "car: red", "key": "car"})])
        assert [text for _, text in self.held(m)] == ["home is Bari"]
        assert m.get(told.id).superseded_by == m.search("Bari", k=1)[0].record.id
        assert len(list(m.everything(latest_only=False, keys=["home"]))) == 4

    def test_the_folders_rule_decides(self):
        m = memory(rule=NoRule())
        m.import_([json.dumps({"text": f"home is {where}", "key": "home"}) for where in ("Rome", "Faro")])
        assert len(self.held(m)) == 2

    def test_another_owners_key_is_another(self):
        m = memory()
        m.add("home is Oslo", key="home")
        m.import_([json.dumps({"text": "home is Rome", "key": "home"})], scope=Scope(user="bo"))
        assert len(self.held(m)) == len(self.held(m.at(user="bo"))) == 1

    def test_what_an_error_left_undone_the_same_call_does(self):
        m = memory()
        lines = [json.dumps({"text": f"home is {where}", "key": "home"}) for where in ("Rome", "Faro")]
        with pytest.raises(DataError, match="line 3"):
            m.import_([*lines, "nonsense"])
        assert m.import_(lines).known == 2
        assert [text for _, text in self.held(m)] == ["home is Faro"]
