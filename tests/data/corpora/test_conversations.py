"""The shared form: what is read, what is refused by file and line, and that writing gives it back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memshadow.data.corpora.conversations import FolderCorpus, write
from memshadow.data.corpora.locomo import LocomoCorpus
from memshadow.errors import DataError
from memshadow.types import Conversation, Memory

Rows = list[dict[str, Any]]


def _own(folder: Path) -> FolderCorpus:
    return FolderCorpus(name="own", folder=str(folder), licence="mine", weights_may_ship=True)


def _lines(path: Path, rows: Rows) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def test_reads_every_field(shared_form: Path) -> None:
    first, second = _own(shared_form).conversations()
    puppy, asked, named = first.memories
    assert str(puppy.timestamp) == "2024-05-01 10:00:00"
    assert puppy.rendered() == "Ann: I got a puppy! [shares a photo: a brown puppy]"
    assert asked.timestamp is None
    assert asked.metadata == {"mood": "curious"}
    assert named.text == "Pepper. 🐶 子犬"
    called, old = first.questions
    assert (called.text, called.answer, called.category) == ("What is Ann's puppy called?", "Pepper", "single-hop")
    assert called.evidence == ("a/3", "a/1")
    assert called.evidence_audited == ("a/3",)
    assert (old.answer, old.evidence, old.evidence_audited) == ("3", (), None)
    assert second == Conversation(
        id="b",
        memories=(Memory(id="b/1", conversation_id="b", session_id="b/s1", turn=0, speaker="", text=""),),
        corpus="own",
    )


def test_lone_notes_stand_anywhere_and_come_back(
    shared_form: Path, memory_rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    said, note, later = (dict(row, conversation_id="a", timestamp=None) for row in memory_rows[:3])
    rows = [dict(note, id="n0", session_id=None), said, dict(note, id="n1", session_id=""), later]
    (shared_form / "memories.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (read,) = _own(shared_form).conversations()
    assert [memory.session_id for memory in read.memories] == ["", "a/s1", "", "a/s2"]
    write([read], tmp_path / "copy")
    assert list(_own(tmp_path / "copy").conversations()) == [read]


def test_gzip_and_plain_read_alike(shared_form: Path) -> None:
    plain = list(_own(shared_form).conversations())
    text = (shared_form / "memories.jsonl").read_bytes()
    (shared_form / "memories.jsonl").unlink()
    (shared_form / "memories.jsonl.gz").write_bytes(gzip.compress(text))
    assert list(_own(shared_form).conversations()) == plain


def test_writing_and_reading_give_the_same_back(shared_form: Path, tmp_path: Path) -> None:
    conversations = list(_own(shared_form).conversations())
    written = write(iter(conversations), tmp_path / "copy")
    assert list(_own(tmp_path / "copy").conversations()) == conversations
    assert (written.conversations, written.memories, written.questions) == (2, 4, {"open-domain": 1, "single-hop": 1})
    packed = (tmp_path / "copy" / "memories.jsonl.gz").read_bytes()
    assert packed[4:8] == bytes(4), "the time of writing would make equal sets differ"


def test_any_text_survives_writing(tmp_path: Path) -> None:
    texts = ["", "  ", "two\nlines\u2028three", "😀 שלום", "lone \ud800 surrogate", "x" * 100_000]
    memories = tuple(
        Memory(id=f"m{n}", conversation_id="c", session_id="s", turn=n, speaker="", text=text, metadata={"id": "no"})
        for n, text in enumerate(texts)
    )
    write([Conversation(id="c", memories=memories)], tmp_path / "copy")
    (conversation,) = _own(tmp_path / "copy").conversations()
    assert [memory.text for memory in conversation.memories] == texts
    assert [memory.id for memory in conversation.memories] == [memory.id for memory in memories]


def test_writing_overwrites_nothing_and_leaves_nothing_half_made(shared_form: Path, tmp_path: Path) -> None:
    conversations = list(_own(shared_form).conversations())
    write(conversations, tmp_path / "copy")
    before = _own(tmp_path / "copy").fingerprint
    with pytest.raises(DataError, match="exist already"):
        write([], tmp_path / "copy")
    assert _own(tmp_path / "copy").fingerprint == before

    def failing() -> Any:
        yield conversations[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write(failing(), tmp_path / "full")
    assert list((tmp_path / "full").iterdir()) == []


def test_the_fingerprint_follows_every_byte_but_not_the_packing(shared_form: Path) -> None:
    before = _own(shared_form).fingerprint
    text = (shared_form / "memories.jsonl").read_bytes()
    (shared_form / "memories.jsonl").unlink()
    for level in (1, 9):
        (shared_form / "memories.jsonl.gz").write_bytes(gzip.compress(text, level))
        assert _own(shared_form).fingerprint == before
    questions = shared_form / "questions.jsonl"
    questions.write_bytes(questions.read_bytes().replace(b"Pepper", b"Salted"))
    assert _own(shared_form).fingerprint != before
    (shared_form / "memories.jsonl.gz").write_bytes(gzip.compress(text)[:-9])
    with pytest.raises(DataError, match="cannot be unpacked"):
        assert _own(shared_form).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turn": 0}, "turn 0 follows turn 0"),
        ({"turn": "soon"}, "invalid literal"),
        ({"id": "a/1"}, "'a/1' stands on an earlier line"),
        ({"timestamp": "yesterday"}, "yesterday"),
        ({"timestamp": "2024-04-30T10:00:00"}, "lies before 2024-05-01"),
        ({"timestamp": "2024-05-01T12:00:00Z"}, "offset-naive"),
    ],
)
def test_a_damaged_memory_names_file_and_line(
    shared_form: Path, memory_rows: Rows, changes: dict[str, object], message: str
) -> None:
    memory_rows[1].update(changes)
    _lines(shared_form / "memories.jsonl", memory_rows)
    with pytest.raises(DataError, match=message) as caught:
        list(_own(shared_form).conversations())
    assert "memories.jsonl, line 2: " in str(caught.value)


def test_a_session_may_not_be_taken_up_again(shared_form: Path, memory_rows: Rows) -> None:
    again = memory_rows[1] | {"id": "a/4", "turn": 2}
    _lines(shared_form / "memories.jsonl", [*memory_rows[:3], again])
    with pytest.raises(DataError, match="line 4: session 'a/s1' is taken up again"):
        list(_own(shared_form).conversations())


def test_an_unknown_time_does_not_hide_that_time_runs_backwards(shared_form: Path, memory_rows: Rows) -> None:
    memory_rows[2]["timestamp"] = "2024-04-30T10:00:00"
    _lines(shared_form / "memories.jsonl", memory_rows)
    with pytest.raises(DataError, match="line 3: the time 2024-04-30T10:00:00 lies before 2024-05-01T10:00:00"):
        list(_own(shared_form).conversations())


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"id": "a/2", ', "not JSON"), ("[1]", "a JSON object was needed"), ('{"id": "a/2"}', "lacks 'conversation_id'")],
)
def test_a_damaged_line_names_file_and_line(shared_form: Path, line: str, message: str) -> None:
    path = shared_form / "memories.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(_own(shared_form).conversations())
    assert "memories.jsonl, line 2: " in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: gzip.compress(text)[:-20], r"line \d+: the file cannot be unpacked"),
        (lambda text: b"not gzip at all", "line 1: the file cannot be unpacked"),
        (lambda text: gzip.compress(text.replace(b"puppy", b"\xff", 1)), "line 1: it is not UTF-8"),
    ],
)
def test_a_cut_archive_and_a_wrong_encoding_name_file_and_line(
    shared_form: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    text = (shared_form / "memories.jsonl").read_bytes()
    (shared_form / "memories.jsonl").unlink()
    (shared_form / "memories.jsonl.gz").write_bytes(damage(text))
    with pytest.raises(DataError, match=rf"memories\.jsonl\.gz, {message}"):
        list(_own(shared_form).conversations())


def test_evidence_must_resolve_in_its_own_conversation(shared_form: Path, question_rows: Rows) -> None:
    for key in ("evidence", "evidence_audited"):
        rows = [question_rows[0] | {key: ["b/1"]}]
        _lines(shared_form / "questions.jsonl", rows)
        with pytest.raises(DataError, match=rf"questions\.jsonl, line 1: {key} names 'b/1'"):
            list(_own(shared_form).conversations())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evidence": "a/1"}, "evidence must be a list of memory ids, it is 'a/1'"),
        ({"evidence": None, "evidence_audited": {"a": 1}}, "evidence_audited must be a list"),
        ({"id": "a/q1"}, "'a/q1' stands on an earlier line"),
    ],
)
def test_a_damaged_question_names_file_and_line(
    shared_form: Path, question_rows: Rows, changes: dict[str, object], message: str
) -> None:
    _lines(shared_form / "questions.jsonl", [question_rows[1], question_rows[0] | changes])
    with pytest.raises(DataError, match=message) as caught:
        list(_own(shared_form).conversations())
    assert "questions.jsonl, line 2: " in str(caught.value)


def test_scattered_conversations_and_homeless_questions_are_refused(
    shared_form: Path, memory_rows: Rows, question_rows: Rows
) -> None:
    _lines(shared_form / "memories.jsonl", [memory_rows[0], memory_rows[3], memory_rows[1]])
    _lines(shared_form / "questions.jsonl", [])
    with pytest.raises(DataError, match="conversation 'a' are scattered"):
        list(_own(shared_form).conversations())
    _lines(shared_form / "memories.jsonl", memory_rows)
    _lines(shared_form / "questions.jsonl", [question_rows[0] | {"conversation_id": "z", "evidence": []}])
    with pytest.raises(DataError, match=r"asks about conversations that memories\.jsonl does not hold: z"):
        list(_own(shared_form).conversations())


def test_a_folder_that_lacks_one_file_says_which(shared_form: Path) -> None:
    (shared_form / "questions.jsonl").unlink()
    with pytest.raises(DataError, match=r"lacks questions\.jsonl.*memshadow data fetch locomo"):
        list(LocomoCorpus(folder=str(shared_form)).conversations())


def test_reading_is_one_conversation_at_a_time(shared_form: Path) -> None:
    path = shared_form / "memories.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "damage\n", encoding="utf-8")
    stream = _own(shared_form).conversations()
    assert next(stream).id == "a"
    with pytest.raises(DataError, match="line 5"):
        next(stream)
