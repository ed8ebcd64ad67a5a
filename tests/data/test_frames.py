"""Tables of a corpus, in memory and on disk, with nothing lost; and a clear word where the packages are absent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from memshadow.data import frames
from memshadow.data.corpora.conversations import FolderCorpus
from memshadow.errors import MissingExtraError
from memshadow.types import Conversation

pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def conversations(shared_form: Path) -> list[Conversation]:
    """Give two small conversations."""
    corpus = FolderCorpus(name="own", folder=str(shared_form), licence="mine", weights_may_ship=True)
    return list(corpus.conversations())


def test_one_row_a_memory(conversations: list[Conversation]) -> None:
    frame = frames.memory_frame(conversations)
    assert list(frame["id"]) == ["a/1", "a/2", "a/3", "b/1"]
    assert frame["timestamp"].iloc[0] == pd.Timestamp("2024-05-01 10:00")
    assert frame["timestamp"].isna().tolist() == [False, True, False, True]
    assert frame["image_caption"].iloc[0] == "a brown puppy"
    assert str(frame["turn"].dtype) == "int64"


def test_one_row_a_question(conversations: list[Conversation]) -> None:
    rows = frames.question_table(conversations).to_pylist()
    assert rows[0]["evidence"] == ["a/3", "a/1"]
    assert rows[0]["evidence_audited"] == ["a/3"]
    assert rows[1]["evidence"] == []
    assert rows[1]["evidence_audited"] is None
    assert len(frames.question_frame(conversations)) == 2


def test_nothing_gives_an_empty_table_with_its_columns() -> None:
    assert frames.memory_table([]).num_rows == 0
    assert "evidence_audited" in frames.question_frame([]).columns


def test_parquet_holds_what_the_table_holds(
    conversations: list[Conversation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_BATCH", 1)  # every conversation is a batch of its own
    memories, questions = frames.write_parquet(iter(conversations), tmp_path / "out")
    assert pq.read_table(memories).equals(frames.memory_table(conversations))
    assert pq.read_table(questions).equals(frames.question_table(conversations))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["memories.parquet", "questions.parquet"]


@pytest.mark.parametrize("package", ["pyarrow", "pandas"])
def test_an_absent_package_is_named(
    conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*memshadow\[train\]"):
        frames.memory_frame(conversations)
