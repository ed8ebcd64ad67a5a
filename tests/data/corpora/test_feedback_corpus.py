"""What people found useful becomes questions on their own memories."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memshadow.config import build, load
from memshadow.data.corpora.base import ConversationCorpus
from memshadow.data.corpora.feedback import FeedbackCorpus
from memshadow.data.feedback import FILE, FeedbackLog, Judgement
from memshadow.data.store.base import Embedding, End, Erase, Insert, Row
from memshadow.data.store.embedded import EmbeddedStore
from memshadow.errors import DataError, MissingExtraError, StoreError
from memshadow.types import Draft, Record, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN, BOB = Scope(user="ann"), Scope(user="bob")


def opened(folder: Path) -> EmbeddedStore:
    return EmbeddedStore(
        folder=str(folder), precision="fp16", memory_mb=256, threads=1, log_mb=16, known_versions=9, known_records=9
    )


def insert(name: str, scope: Scope = ANN, *, turn: int = 0, version: int = 1, **said: Any) -> Insert:
    draft = Draft(id=name, **{"text": f"text of {name}", "speaker": "Ann"} | said)
    record = Record(id=name, version=version, scope=scope, turn=turn, draft=draft, ingested_at=NOW, digest=7)
    return Insert(record=record, rows=(Row(fingerprint="one", vector=np.ones(4, dtype=np.float32)),))


def session(name: str) -> Scope:
    return Scope(user="ann", session=name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ann's notes and two sessions (one memory updated, one superseded), and a memory of Bob's."""
    folder = tmp_path / "memories"
    store = opened(folder)
    store.declare(Embedding(fingerprint="one", name="first", dim=4, active=True))
    store.write([
        insert("note", happened_at=datetime(2024, 5, 3, tzinfo=UTC), image_caption="a lake"),
        insert("late", session("s"), turn=1, role="user", speaker=""),
        insert("early", session("s"), turn=0),
        insert("other", session("a")),
        insert("last"),
        insert("note", BOB),
    ])  # fmt: skip
    store.write([
        End(owner=ANN.owner, seq=3, at=NOW, by="update"),
        insert("early", session("s"), turn=0, version=2, text="new text"),
        End(owner=ANN.owner, seq=4, at=NOW, by="supersede", superseded_by="last"),
    ])  # fmt: skip
    store.close()
    return folder


@pytest.fixture
def log(folder: Path) -> FeedbackLog:
    return FeedbackLog(file=folder / FILE)


def judge(log: FeedbackLog, query: str, *useful: str, scope: Scope = ANN, kind: Any = "click") -> None:
    log.append(Judgement(scope=scope, query=query, useful=useful, kind=kind, at=NOW))


def corpus_of(folder: Path, precision: Any = "fp16") -> FeedbackCorpus:
    return FeedbackCorpus(folder=str(folder), precision=precision)


def read(folder: Path) -> list[Any]:
    return list(corpus_of(folder).conversations())


def ids(conversation: Any, evidence: tuple[str, ...]) -> list[str]:
    return [one.removeprefix(f"{conversation.id}/") for one in evidence]


def test_an_owner_with_feedback_is_a_conversation_of_what_holds_now(folder: Path, log: FeedbackLog) -> None:
    judge(log, "where?", "note")
    (ann,) = read(folder)
    told = [(ids(ann, (m.id,))[0], m.session_id, m.turn, m.speaker, m.text) for m in ann.memories]
    assert told == [
        ("note", "", 0, "Ann", "text of note"),
        ("early", "s", 0, "Ann", "new text"),
        ("late", "s", 1, "user", "text of late"),
        ("last", "", 0, "Ann", "text of last"),
    ]
    assert (ann.memories[0].timestamp, ann.memories[0].image_caption) == (datetime(2024, 5, 3, tzinfo=UTC), "a lake")
    assert ann.memories[1].timestamp is None
    assert {m.conversation_id for m in ann.memories} == {ann.id}
    assert ann.corpus == "feedback"


def test_what_was_useful_is_evidence_as_far_as_it_still_holds(folder: Path, log: FeedbackLog) -> None:
    judge(log, "which lake?", "last", "other", "nowhere", "note", kind="answer")
    judge(log, "gone?", "other")
    (ann,) = read(folder)
    (question,) = ann.questions
    assert (question.text, question.category) == ("which lake?", "answer")
    assert ids(ann, question.evidence) == ["last", "note"]
    store = opened(folder)
    store.write([Erase(owner=ANN.owner, id="last")])
    store.close()
    (ann,) = read(folder)
    assert ids(ann, ann.questions[0].evidence) == ["note"]


def test_the_same_words_of_one_owner_are_one_question(folder: Path, log: FeedbackLog) -> None:
    judge(log, "Which  lake?", "note")
    judge(log, "and who?", "late")
    judge(log, " which lake?\n", "last", "note", kind="explicit")
    judge(log, "WHICH lake?", "early", kind="answer")
    judge(log, "which lake?", "note", scope=BOB)
    by_size = sorted(read(folder), key=lambda one: len(one.memories))
    bob, ann = by_size
    lake, who = ann.questions
    assert (lake.text, lake.category, ids(ann, lake.evidence)) == ("Which lake?", "explicit", ["note", "last", "early"])
    assert (who.text, who.category) == ("and who?", "click")
    assert [q.evidence for q in bob.questions] == [(f"{bob.id}/note",)]
    assert len({ann.id, bob.id, *(q.id for one in (ann, bob) for q in one.questions)}) == 5


def test_nobody_is_named_and_nothing_ships(folder: Path, log: FeedbackLog) -> None:
    judge(log, "which lake?", "note")
    corpus = corpus_of(folder)
    assert isinstance(corpus, ConversationCorpus)
    assert not corpus.weights_may_ship
    (ann,) = corpus.conversations()
    assert not {"ann", "local"} & set(ann.id.replace("/", "-").split("-"))


def test_the_fingerprint_follows_judgements_and_memories_and_reading_changes_nothing(
    folder: Path, log: FeedbackLog
) -> None:
    judge(log, "which lake?", "note")
    corpus = corpus_of(folder)
    prints = [corpus.fingerprint]
    first = list(corpus.conversations())
    assert list(corpus.conversations()) == first
    assert corpus.fingerprint == prints[0]
    judge(log, "which lake?", "last")
    prints.append(corpus.fingerprint)
    store = opened(folder)
    store.write([insert("more")])
    store.close()
    assert len({*prints, corpus.fingerprint}) == 3


def test_the_folder_is_free_while_the_conversations_are_used(folder: Path, log: FeedbackLog) -> None:
    judge(log, "which lake?", "note")
    judge(log, "which lake?", "note", scope=BOB)
    reading: Iterator[Any] = corpus_of(folder).conversations()
    next(reading)
    opened(folder).close()
    assert len(list(reading)) == 1


HOLDER = """
import sys
from pathlib import Path
from memshadow.data.store.embedded.hold import hold
held = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_that_another_process_holds_is_told_with_the_process(folder: Path, log: FeedbackLog) -> None:
    judge(log, "which lake?", "note")
    corpus = corpus_of(folder)
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"held by process {other.pid}"):
            list(corpus.conversations())
        assert corpus.fingerprint, "which needs no hold"
        other.communicate("")
    assert len(list(corpus.conversations())) == 1


def test_a_store_of_the_other_precision_says_so(folder: Path, log: FeedbackLog) -> None:
    judge(log, "which lake?", "note")
    with pytest.raises(StoreError, match="precision=fp16"):
        list(corpus_of(folder, "fp32").conversations())


def test_a_folder_without_memories_is_not_made(tmp_path: Path) -> None:
    corpus = build(load("data", ["data=feedback", f"data.folder={tmp_path / 'none'}"]).data)
    with pytest.raises(DataError, match=r"feedback\.jsonl and memories\.mark"):
        list(corpus.conversations())
    assert list(tmp_path.iterdir()) == []
    log = FeedbackLog(file=tmp_path / "half" / FILE)
    judge(log, "where?", "note")
    with pytest.raises(DataError, match=r"lacks memories\.mark"):
        read(tmp_path / "half")


def test_without_the_store_s_package_it_says_what_to_install(
    folder: Path, log: FeedbackLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(log, "where?", "note")
    for module in [name for name in sys.modules if name.startswith("memshadow.data.store.embedded")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"memshadow\[serve\]"):
        read(folder)
