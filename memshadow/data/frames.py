"""A corpus as a table, for people who want to look: pandas or Arrow, and Parquet on disk. Needs the extra ``train``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.errors import MissingExtraError
from memshadow.types import Conversation

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BATCH = 10_000


def memory_table(conversations: Iterable[Conversation]) -> pa.Table:
    """Return one row a memory: id, conversation_id, session_id, turn, timestamp, speaker, text, image_caption.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    return _table(_memory_rows(conversations), _memory_schema())


def question_table(conversations: Iterable[Conversation]) -> pa.Table:
    """Return one row a question: id, conversation_id, text, answer, category, evidence, evidence_audited.

    The last two are lists of ids, ``evidence_audited`` null where nobody audited. Raises ``MissingExtraError`` without
    pyarrow.
    """
    return _table(_question_rows(conversations), _question_schema())


def memory_frame(conversations: Iterable[Conversation]) -> pd.DataFrame:
    """Return ``memory_table`` as a pandas frame; unknown times are ``NaT``."""
    return _frame(memory_table(conversations))


def question_frame(conversations: Iterable[Conversation]) -> pd.DataFrame:
    """Return ``question_table`` as a pandas frame; evidence is an array of ids."""
    return _frame(question_table(conversations))


def write_parquet(conversations: Iterable[Conversation], folder: Path) -> tuple[Path, Path]:
    """Write ``memories.parquet`` and ``questions.parquet`` into ``folder`` and return their paths.

    Conversations may be a stream: rows are written in batches and not kept. Existing files are replaced when the new
    ones are whole. Raises ``MissingExtraError`` without pyarrow.
    """
    pq = _pyarrow("parquet")
    folder.mkdir(parents=True, exist_ok=True)
    targets = folder / "memories.parquet", folder / "questions.parquet"
    parts = [target.with_name(f"{target.name}.part") for target in targets]
    schemas = _memory_schema(), _question_schema()
    try:
        with pq.ParquetWriter(parts[0], schemas[0]) as memories, pq.ParquetWriter(parts[1], schemas[1]) as questions:
            for batch in _batches(conversations):
                memories.write_table(_table(_memory_rows(batch), schemas[0]))
                questions.write_table(_table(_question_rows(batch), schemas[1]))
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return targets


def _pyarrow(module: str = "") -> Any:
    from importlib import import_module

    try:
        return import_module(f"pyarrow.{module}" if module else "pyarrow")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "train") from error


def _frame(table: pa.Table) -> pd.DataFrame:
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pandas", "train") from error
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _memory_schema() -> pa.Schema:
    pa = _pyarrow()
    text = pa.string()
    return pa.schema(
        {
            "id": text,
            "conversation_id": text,
            "session_id": text,
            "turn": pa.int64(),
            "timestamp": pa.timestamp("us"),
            "speaker": text,
            "text": text,
            "image_caption": text,
        }
    )


def _question_schema() -> pa.Schema:
    pa = _pyarrow()
    text, ids = pa.string(), pa.list_(pa.string())
    columns = ("id", "conversation_id", "text", "answer", "category")
    return pa.schema(dict.fromkeys(columns, text) | {"evidence": ids, "evidence_audited": ids})


def _table(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return _pyarrow().Table.from_pylist(list(rows), schema=schema)


def _memory_rows(conversations: Iterable[Conversation]) -> Iterator[dict[str, Any]]:
    names = _memory_schema().names
    for conversation in conversations:
        for memory in conversation.memories:
            yield {name: getattr(memory, name) for name in names}


def _question_rows(conversations: Iterable[Conversation]) -> Iterator[dict[str, Any]]:
    names = _question_schema().names
    for conversation in conversations:
        for question in conversation.questions:
            yield {name: getattr(question, name) for name in names}


def _batches(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    batch: list[Conversation] = []
    for conversation in conversations:
        batch.append(conversation)
        if sum(len(one.memories) for one in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
