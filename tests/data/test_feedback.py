"""Judgements are kept whole, durably and privately, and forgotten without a trace."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import memshadow.data.feedback as feedback
from memshadow.data.feedback import FeedbackLog, Judgement
from memshadow.errors import DataError, MemshadowError
from memshadow.types import Scope

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANN, BOB = Scope(user="ann", session="monday"), Scope(user="bob")
SECRET = "where is the spare key hidden"


def judgement(*useful: str, scope: Scope = ANN, **said: Any) -> Judgement:
    given = {"query": "Where does Ann live?", "shown": ("m1", "m2", "m3"), "kind": "click", "at": NOW} | said
    return Judgement(scope=scope, useful=useful or ("m1",), **given)


@pytest.fixture
def log(tmp_path: Path) -> FeedbackLog:
    return FeedbackLog(file=tmp_path / "memories" / feedback.FILE)


def test_what_was_appended_is_read_in_order_and_whole(log: FeedbackLog) -> None:
    zone = timezone(timedelta(hours=5))
    kept = [
        judgement("m1", "m2"),
        judgement("x", scope=BOB, kind="explicit", shown=(), at=NOW.astimezone(zone)),
        judgement('é\n\u2028"\\', query='two\nlines, 子犬 \U0001f436, a quote " and {', kind="answer"),
    ]
    for one in kept:
        log.append(one)
    assert list(log.read()) == kept
    assert [json.loads(line)["version"] for line in log.file.read_bytes().splitlines()] == [1, 1, 1]
    assert json.loads(log.file.read_bytes().splitlines()[0]).keys() == {
        "version", "at", "tenant", "user", "agent", "session", "query", "shown", "useful", "kind"
    }  # fmt: skip


def test_the_last_of_one_owner_are_found_whatever_others_wrote(log: FeedbackLog) -> None:
    others = [Scope(tenant="other", user="ann"), Scope(user="anna"), BOB]
    for number in range(4):
        log.append(judgement(f"m{number}"))
        for scope in others:
            log.append(judgement(scope=scope, query='"tenant": "local", "user": "ann" \\', shown=('"user": "ann"',)))
    assert [one.useful for one in log.of(ANN.owner, last=3)] == [("m1",), ("m2",), ("m3",)]
    assert len(log.of(ANN.owner, last=99)) == 4
    assert log.of(("local", "nobody"), last=3) == []


def test_what_was_wrong_is_kept_and_forgotten_as_what_was_useful(log: FeedbackLog) -> None:
    wrong = Judgement(scope=ANN, query="where?", wrong=("m1", "m2"), kind="explicit", at=NOW)
    log.append(wrong)
    assert list(log.read()) == [wrong]
    log.forget("m1", ANN.owner)
    assert [one.wrong for one in log.read()] == [("m2",)]
    log.forget("m2", ANN.owner)
    assert list(log.read()) == []


def test_before_the_first_there_is_nothing_and_nothing_is_made(log: FeedbackLog) -> None:
    assert list(log.read()) == []
    assert log.forget("m1", ANN.owner) == log.forget_owner(ANN.owner) == 0
    assert not log.file.parent.exists()


def test_only_its_owner_may_read_it_even_where_it_was_open_before(log: FeedbackLog) -> None:
    log.append(judgement())
    log.file.chmod(0o644)
    log.append(judgement("m2", "m1"))
    assert log.file.stat().st_mode & 0o777 == 0o600
    log.forget("m1", ANN.owner)
    assert {file.stat().st_mode & 0o777 for file in log.file.parent.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "changed",
    [
        {"query": " \n"},
        {"query": None},
        {"query": SECRET * 400},
        {"useful": ()},
        {"useful": (SECRET, 7)},
        {"useful": SECRET},
        {"useful": (SECRET * 100,)},
        {"shown": [SECRET, ""]},
        {"shown": tuple(map(str, range(1001)))},
        {"kind": "guess"},
        {"at": "2026-01-01"},
    ],
)
def test_what_is_no_judgement_is_refused_without_being_told(changed: dict[str, Any]) -> None:
    given = {"scope": ANN, "query": "q", "useful": ("m",), "shown": (), "kind": "click", "at": NOW} | changed
    with pytest.raises(DataError) as caught:
        Judgement(**given)
    assert SECRET not in str(caught.value)


def test_repeats_count_once_and_time_without_a_zone_is_utc() -> None:
    one = judgement("b", "a", "b", shown=["a", "b", "a"], at=NOW.replace(tzinfo=None), query="lone \ud800")
    assert (one.useful, one.shown, one.at) == (("b", "a"), ("a", "b"), NOW)
    assert one.query == "lone \ufffd"


@pytest.mark.parametrize("torn", [b'{"version": 1, "at": "2026', b"\x00\xff\xfe", b"[1]", b"null", b'{"version": 1}'])
def test_a_torn_line_costs_itself_alone(log: FeedbackLog, torn: bytes) -> None:
    log.append(judgement("m1"))
    with log.file.open("ab") as file:
        file.write(torn)
    log.append(judgement("m2"))
    found = log.read()
    assert [one.useful for one in found] == [("m1",), ("m2",)]
    assert found.damaged == 1


def test_a_line_of_a_later_release_is_passed_over(log: FeedbackLog) -> None:
    log.append(judgement())
    text = log.file.read_text().replace('"version": 1', '"version": 2')
    log.file.write_text(text + "\n")
    found = log.read()
    assert (list(found), found.damaged) == ([], 1)


def test_a_cut_at_any_byte_loses_the_last_line_at_most(log: FeedbackLog) -> None:
    log.append(judgement("m1"))
    first = log.file.stat().st_size
    log.append(judgement("m2"))
    whole = log.file.read_bytes()
    for cut in range(first, len(whole)):
        log.file.write_bytes(whole[:cut])
        log.append(judgement("m3"))
        assert [one.useful[0] for one in log.read()] in (["m1", "m3"], ["m1", "m2", "m3"]), cut


def test_it_is_on_the_disk_before_append_returns(log: FeedbackLog, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, write = os.fsync, os.write
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(os, "write", lambda handle, data: (events.append("write"), write(handle, data))[1])
    log.append(judgement())
    assert events == ["write", "sync", "sync"], "the file, and the folder that it is new in"
    log.append(judgement())
    assert events[3:] == ["write", "sync"]


def test_a_full_disk_leaves_what_was_there(log: FeedbackLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(judgement("m1"))
    before, write = log.file.read_bytes(), os.write

    def half(handle: int, data: Any) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(MemshadowError, match="disk is full") as caught:
        log.append(judgement("m2", query=SECRET))
    monkeypatch.undo()
    assert SECRET not in str(caught.value)
    assert log.file.read_bytes() == before


@pytest.mark.parametrize("which", [feedback.FILE, f".{feedback.FILE}.lock"])
def test_a_link_leads_nowhere(log: FeedbackLog, tmp_path: Path, which: str) -> None:
    log.file.parent.mkdir()
    (tmp_path / "victim").write_text("mine")
    (log.file.parent / which).symlink_to(tmp_path / "victim")
    with pytest.raises(MemshadowError, match="is a link"):
        log.append(judgement())
    assert (tmp_path / "victim").read_text() == "mine"


def test_forgetting_leaves_no_trace_of_an_id(log: FeedbackLog) -> None:
    for one in (judgement("gone", "m2"), judgement("m2", shown=("gone", "m2")), judgement("gone"), judgement("m4")):
        log.append(one)
    log.append(judgement("gone", scope=BOB))
    assert log.forget("gone", ANN.owner) == 3
    assert [(one.scope.user, one.useful, one.shown) for one in log.read()] == [
        ("ann", ("m2",), ("m1", "m2", "m3")),
        ("ann", ("m2",), ("m2",)),
        ("ann", ("m4",), ("m1", "m2", "m3")),
        ("bob", ("gone",), ("m1", "m2", "m3")),
    ]
    assert log.forget("gone", BOB.owner) == 1
    assert b"gone" not in log.file.read_bytes()
    assert log.forget("gone", BOB.owner) == 0


def test_forgetting_an_owner_leaves_the_others(log: FeedbackLog) -> None:
    for scope in (ANN, BOB, Scope(tenant="other", user="ann"), Scope(user="ann")):
        log.append(judgement(scope=scope))
    assert log.forget_owner(("local", "ann")) == 2
    assert [one.scope.owner for one in log.read()] == [("local", "bob"), ("other", "ann")]


def test_a_torn_line_that_may_name_what_is_forgotten_goes_too(log: FeedbackLog) -> None:
    log.append(judgement("m1"))
    with log.file.open("ab") as file:
        file.write(b'{"version": 1, "useful": ["gon')
    assert log.forget("gone", ANN.owner) == 0
    assert b"gon" not in log.file.read_bytes()
    assert len(list(log.read())) == 1


def test_a_line_of_a_later_release_goes_only_where_it_names_what_is_forgotten(log: FeedbackLog) -> None:
    for name in ("m4", "gone"):
        log.append(judgement(name))
    later = log.file.read_text().replace('"version": 1', '"version": 2')
    log.file.write_text(later)
    assert log.forget("gone", ANN.owner) == 0
    assert log.file.read_text() == later.splitlines(keepends=True)[0]


@pytest.mark.parametrize("name", ['qu"ote', "子犬\U0001f436", "back\\slash", "\u2028x", "}\n", "é"])
def test_any_id_is_found_to_be_forgotten(log: FeedbackLog, name: str) -> None:
    for one in (judgement(name), judgement("m2", shown=(name,)), judgement("m2", query=name)):
        log.append(one)
    assert log.forget(name, ANN.owner) == 2
    assert [(one.useful, name in one.shown) for one in log.read()] == [(("m2",), False)] * 2


def test_forgetting_replaces_the_file_wholly_or_not_at_all(log: FeedbackLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(judgement("m1"))
    before = log.file.read_bytes()

    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(MemshadowError, match="disk is full"):
        log.forget("m1", ANN.owner)
    monkeypatch.undo()
    assert log.file.read_bytes() == before


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from memshadow.data.feedback import FeedbackLog, Judgement
from memshadow.types import Scope

log = FeedbackLog(file=Path(sys.argv[1]))
for i in range(40):
    scope = Scope(user=sys.argv[2])
    log.append(Judgement(scope=scope, query="q" * 5000, useful=(f"{i}",), kind="click", at=datetime.now(UTC)))
    if i % 8 == 0:
        log.forget("none", scope.owner)
"""


def test_processes_and_threads_lose_nothing_of_each_other_while_things_are_forgotten(log: FeedbackLog) -> None:
    log.append(judgement("gone", scope=BOB))
    others = [subprocess.Popen([sys.executable, "-c", WRITER, str(log.file), user]) for user in ("eve", "dan")]
    with ThreadPoolExecutor(4) as threads:
        for i in range(40):
            threads.submit(log.append, judgement(f"{i}", "gone"))
        forgotten = [threads.submit(log.forget, "gone", ANN.owner) for _ in range(10)]
    assert [other.wait(timeout=60) for other in others] == [0, 0]
    assert sum(one.result() for one in forgotten) <= 40
    log.forget("gone", ANN.owner)
    found = log.read()
    kept = [(one.scope.user, one.useful) for one in found]
    assert found.damaged == 0
    for user in ("ann", "eve", "dan"):
        assert sorted(int(useful[0]) for name, useful in kept if name == user) == list(range(40))
    assert ("bob", ("gone",)) in kept
