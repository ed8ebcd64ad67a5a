"""What was found useful is looked up, kept beside the memories, and forgotten before they are."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from small import memory

from memshadow.data.feedback import FeedbackLog, Judgement
from memshadow.errors import ConfigError, DataError, MemshadowError, NotFoundError, StoreError
from memshadow.types import Scope

ANN, BOB = Scope(user="ann"), Scope(user="bob")


@pytest.fixture
def log(tmp_path):
    return FeedbackLog(file=tmp_path / "feedback.jsonl")


@pytest.fixture
def kept(log):
    """Ann's and Bob's memories, of the same ids, and one that only Ann has."""
    m = memory(feedback=log)
    for scope in (ANN, BOB):
        m.add([{"text": "I moved to Lisbon", "id": "home"}, {"text": "tea, no sugar", "id": "tea"}], scope=scope)
    m.add("I was born in Porto", id="born", scope=replace(ANN, session="monday", agent="helper"))
    return m


def test_what_was_useful_is_kept_with_who_asked_when_and_what_was_shown(kept, log):
    asked = replace(ANN, session="tuesday")
    kept.add("on Tuesday", id="day", scope=asked)
    kept.feedback("where is Ann?", ["day"], shown=["tea", "day"], kind="answer", scope=asked)
    kept.feedback("where is Ann?", ("home", "born", "home"), scope=ANN)
    first, second = log.read()
    assert first == Judgement(
        scope=asked, query="where is Ann?", useful=("day",), shown=("day",), kind="answer", at=first.at
    )
    assert first.at.tzinfo == UTC
    assert datetime(2026, 1, 1, tzinfo=UTC) < first.at < second.at < datetime(2026, 1, 2, tzinfo=UTC)
    assert (second.scope, second.useful, second.shown, second.kind) == (ANN, ("home", "born"), (), "explicit")


@pytest.mark.parametrize(
    "scope",
    [
        BOB,
        Scope(),
        Scope(tenant="other", user="ann"),
        replace(ANN, session="tuesday"),
        replace(ANN, agent="other"),
    ],
)
def test_nobody_judges_or_notes_what_he_does_not_see(kept, log, scope):
    told = []
    for name in ("born", "never there"):
        with pytest.raises(NotFoundError) as error:
            kept.feedback("where was Ann born?", [name], scope=scope)
        told.append(str(error.value).replace(name, "ID"))
    assert told[0] == told[1]
    assert list(log.read()) == []
    mine = kept.add("mine", scope=scope).id
    kept.feedback("what is mine?", [mine], shown=["born", mine, "never there"], scope=scope)
    assert [one.shown for one in log.read()] == [(mine,)]


def test_one_that_is_not_there_spoils_all(kept, log):
    with pytest.raises(NotFoundError, match="there is no memory 'gone' in this scope"):
        kept.feedback("where?", ["home", "gone"], scope=ANN)
    assert list(log.read()) == []


def test_what_was_changed_or_superseded_was_useful_all_the_same(kept, log):
    kept.update("home", text="I moved to Lisboa", scope=ANN)
    kept.add("I moved to Faro", supersedes="home", scope=ANN)
    kept.feedback("where did Ann live?", ["home"], scope=ANN)
    assert [one.useful for one in log.read()] == [("home",)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"query": " "}, "needs the words that were asked"),
        ({"query": 5}, "needs the words that were asked"),
        ({"useful": []}, "at least one useful memory"),
        ({"useful": {"home"}}, "must be a list"),
        ({"useful": [5]}, "is no text"),
        ({"useful": None}, "must be a list"),
        ({"shown": "home"}, "shown must be a list"),
        ({"shown": ["home"] * 1001}, "up to 1,000"),
        ({"kind": "guess"}, "choose click, answer, explicit"),
    ],
)
def test_bad_input_is_told_and_nothing_is_kept(kept, log, given, message):
    with pytest.raises(DataError, match=message):
        kept.at(user="ann").feedback(**{"query": "where?", "useful": ["home"]} | given)
    assert not log.file.exists()


def test_a_memory_without_a_folder_keeps_none_and_says_so():
    m = memory()
    added = m.add("I moved to Lisbon")
    with pytest.raises(ConfigError, match=r"lies in no folder.*memshadow.open\(FOLDER\)"):
        m.feedback("where?", [added.id])
    m.forget(added.id)
    assert m.stats().versions == 0


def test_a_forgotten_memory_leaves_every_judgement_of_its_owner_and_no_one_elses(kept, log):
    kept.feedback("one", ["home"], scope=ANN)
    kept.feedback("both", ["home", "tea"], shown=["born", "home", "tea"], scope=ANN)
    kept.feedback("one", ["home"], scope=BOB)
    kept.forget("home", scope=ANN)
    assert [(one.scope.user, one.query, one.useful, one.shown) for one in log.read()] == [
        ("ann", "both", ("tea",), ("born", "tea")),
        ("bob", "one", ("home",), ()),
    ]


def test_who_may_not_forget_a_memory_changes_no_judgement(kept, log):
    kept.feedback("where was Ann born?", ["born"], scope=ANN)
    before = log.file.read_bytes()
    for scope in (BOB, replace(ANN, session="tuesday")):
        with pytest.raises(NotFoundError):
            kept.forget("born", scope=scope)
    assert log.file.read_bytes() == before


def test_a_kill_between_log_and_store_leaves_a_memory_to_forget_again(kept, log, monkeypatch):
    kept.feedback("where?", ["home"], scope=ANN)

    def killed(_):
        assert list(log.read()) == []  # the judgement went before the store was asked
        raise StoreError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(kept.store, "submit", killed)
        patch.setattr(kept.store, "write", killed)
        with pytest.raises(StoreError, match="killed"):
            kept.forget("home", scope=ANN)
    assert kept.get("home", scope=ANN).text == "I moved to Lisbon"
    kept.forget("home", scope=ANN)
    with pytest.raises(NotFoundError):
        kept.get("home", scope=ANN)


def test_a_memory_stays_where_its_judgements_cannot_be_removed(kept, log, monkeypatch):
    kept.feedback("where?", ["home"], scope=ANN)

    def full(*_, **__):
        raise MemshadowError("The disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("memshadow.data.feedback.write_bytes", full)
        with pytest.raises(MemshadowError, match="disk is full"):
            kept.forget("home", scope=ANN)
    assert kept.get("home", scope=ANN).id == "home"
    assert [one.useful for one in log.read()] == [("home",)]


def test_no_judgement_comes_to_name_what_is_forgotten_meanwhile(tmp_path):
    looked_up, go_on = threading.Event(), threading.Event()

    class Slow(FeedbackLog):
        def append(self, judgement):
            looked_up.set()
            assert go_on.wait(10)
            super().append(judgement)

    log = Slow(file=tmp_path / "feedback.jsonl")
    m = memory(feedback=log)
    m.add("I moved to Lisbon", id="home")
    judging = threading.Thread(target=m.feedback, args=("where?", ["home"]))
    forgetting = threading.Thread(target=m.forget, args=("home",))
    judging.start()
    assert looked_up.wait(10)
    forgetting.start()
    forgetting.join(0.2)  # it must wait for its turn
    go_on.set()
    judging.join(10)
    forgetting.join(10)
    assert list(log.read()) == []
    assert m.stats().versions == 0


def test_many_judge_at_once_and_nothing_is_lost(kept, log):
    def judge(user):
        for i in range(20):
            kept.feedback(f"question {i}", ["home"], scope=Scope(user=user))

    threads = [threading.Thread(target=judge, args=(user,)) for user in ("ann", "bob") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(log.read())
    assert len(found) == 120
    assert {one.scope.user for one in found} == {"ann", "bob"}
