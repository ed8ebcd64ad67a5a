"""The shared form of conversation memory on disk: ``memories.jsonl[.gz]`` and ``questions.jsonl`` in one folder.

A line of memories: ``{id, conversation_id, session_id, turn, timestamp, speaker, text[, image_caption]}``; whatever
else it holds is kept as metadata. A lone note has the session ``null`` (or ``""``). A line of questions: ``{id,
conversation_id, question, answer, category, evidence: [memory ids][, evidence_audited]}``. Memories stand in the order
of saying, a conversation's lines together. Knows nothing of who published a set; memory use is one conversation and
all questions.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import IO

from memshadow.data.corpora.lines import Row, damaged, fingerprint, json_lines, require
from memshadow.data.home import located
from memshadow.errors import DataError
from memshadow.types import Conversation, Memory, Question

MEMORIES = "memories.jsonl.gz"
QUESTIONS = "questions.jsonl"
_MEMORY_KEYS = ("id", "conversation_id", "session_id", "turn", "speaker", "text")
_QUESTION_KEYS = ("id", "conversation_id", "question", "evidence")
_KNOWN = frozenset([*_MEMORY_KEYS, "timestamp", "image_caption"])


class ConversationFolder:
    """A corpus in the shared form. A published set says its name, licence and quirks in a subclass.

    Beyond what every corpus promises, reading raises ``DataError`` where a memory's id repeats in its conversation, the
    lines of a conversation or session are scattered, turns or known times run backwards, or evidence does not resolve.
    """

    name: str
    licence: str
    weights_may_ship: bool

    def __init__(self, *, folder: str | None) -> None:
        self.folder = located(self.name, folder)

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the two files' contents."""
        return fingerprint(*self.files())

    def files(self) -> list[Path]:
        """Return the paths of its files; raise ``DataError`` where one is absent."""
        memories = "memories.jsonl" if (self.folder / "memories.jsonl").is_file() else MEMORIES
        return require(self.folder, (memories, QUESTIONS), corpus=self.name)

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations in the order of the file, reading as it goes."""
        memories_file, questions_file = self.files()
        questions = _questions_by_conversation(questions_file)
        seen: set[str] = set()
        rows = json_lines(memories_file, needs=_MEMORY_KEYS)
        for conversation_id, lines in groupby(rows, key=lambda line: str(line[1]["conversation_id"])):
            memories = self._memories(memories_file, lines)
            if conversation_id in seen:
                raise DataError(
                    f"{memories_file}: the lines of conversation {conversation_id!r} are scattered; sort the file so "
                    "that a conversation's memories stand together, in the order of saying."
                )
            seen.add(conversation_id)
            asked = tuple(_question(questions_file, line, memories) for line in questions.pop(conversation_id, []))
            said = tuple(memories.values())
            yield Conversation(id=conversation_id, memories=said, questions=asked, corpus=self.name)
        if questions:
            raise DataError(
                f"{questions_file} asks about conversations that {memories_file.name} does not hold: "
                f"{', '.join(sorted(questions)[:5])}. Add their memories, or remove the questions."
            )

    def turn_of(self, row: Row, position: int) -> int:  # noqa: ARG002  (subclasses whose turns repeat use it)
        """Return the place of a memory in its session; ``position`` counts the session's lines from 0."""
        return int(row["turn"])

    def time_of(self, text: str) -> datetime:
        """Return the time that a timestamp stands for: ISO 8601. A ``ValueError`` becomes a ``DataError``."""
        return datetime.fromisoformat(text)

    def _memories(self, path: Path, lines: Iterable[tuple[int, Row]]) -> dict[str, Memory]:
        found: dict[str, Memory] = {}
        previous: Memory | None = None
        latest: datetime | None = None
        sessions: set[str] = set()
        position = 0
        for number, row in lines:
            position = position + 1 if previous and previous.session_id == _session(row) else 0
            try:
                memory = self._memory(row, position)
                _check_order(memory, previous, latest, sessions)
            except (TypeError, ValueError) as error:
                raise damaged(path, number, str(error)) from error
            if memory.id in found:
                raise damaged(path, number, f"the id {memory.id!r} stands on an earlier line too")
            found[memory.id] = previous = memory
            sessions.add(memory.session_id)
            latest = memory.timestamp or latest
        return found

    def _memory(self, row: Row, position: int) -> Memory:
        timestamp = row.get("timestamp")
        return Memory(
            id=str(row["id"]),
            conversation_id=str(row["conversation_id"]),
            session_id=_session(row),
            turn=self.turn_of(row, position),
            speaker=str(row["speaker"] or ""),
            text=str(row["text"] or ""),
            timestamp=self.time_of(timestamp) if timestamp else None,
            image_caption=row.get("image_caption") or None,
            metadata={key: value for key, value in row.items() if key not in _KNOWN},
        )


class FolderCorpus(ConversationFolder):
    """Your own conversations in the shared form: name, licence and whether weights may ship are yours to say."""

    def __init__(self, *, name: str, folder: str, licence: str, weights_may_ship: bool) -> None:
        self.name, self.licence, self.weights_may_ship = name, licence, weights_may_ship
        super().__init__(folder=folder)

    def files(self) -> list[Path]:
        """Return the paths of the two files; raise ``DataError`` where one is absent."""
        try:
            return super().files()
        except DataError as error:
            raise DataError(
                f"{self.folder} does not hold {MEMORIES} (or memories.jsonl) and {QUESTIONS}. Say data.folder=FOLDER; "
                "`memshadow data make synthetic out=FOLDER` writes an example of the form."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a call of ``write`` put on disk; ``questions`` counts them by category."""

    conversations: int
    memories: int
    questions: Mapping[str, int]
    size_bytes: int


def write(conversations: Iterable[Conversation], folder: Path) -> Written:
    """Write ``conversations`` into ``folder`` in the shared form, one at a time; equal input gives equal bytes.

    The two files get their names when both are whole; a failure leaves neither.

    Raises:
        DataError: the folder holds one of the two files already; nothing is overwritten.
        OSError: the folder cannot be written, or the disk is full.
    """
    paths = folder / MEMORIES, folder / QUESTIONS
    if taken := [str(path) for path in paths if path.exists()]:
        raise DataError(f"{' and '.join(taken)} exist already; name a new folder, or remove them first.")
    folder.mkdir(parents=True, exist_ok=True)
    parts = [path.with_name(f"{path.name}.part") for path in paths]
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(parts[0].open("wb"))
            # No name and no time in the gzip header: the same memories give the same bytes.
            memories = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6))
            questions = stack.enter_context(parts[1].open("wb"))
            counts = _write_lines(conversations, memories, questions)
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    talks, said, asked = counts
    size_bytes = sum(path.stat().st_size for path in paths)
    return Written(conversations=talks, memories=said, questions=dict(sorted(asked.items())), size_bytes=size_bytes)


def _write_lines(
    conversations: Iterable[Conversation], memories: gzip.GzipFile, questions: IO[bytes]
) -> tuple[int, int, Counter[str]]:
    """Write every conversation and count conversations, memories, and questions by category."""
    talks = said = 0
    asked: Counter[str] = Counter()
    for conversation in conversations:
        memories.write(b"".join(_line(_memory_row(memory)) for memory in conversation.memories))
        questions.writelines(_line(_question_row(question)) for question in conversation.questions)
        talks += 1
        said += len(conversation.memories)
        asked.update(question.category for question in conversation.questions)
    return talks, said, asked


def _line(row: Row) -> bytes:
    try:
        return f"{json.dumps(row, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:  # a lone surrogate: JSON can spell it, UTF-8 cannot
        return f"{json.dumps(row)}\n".encode()


def _memory_row(memory: Memory) -> Row:
    caption = {"image_caption": memory.image_caption} if memory.image_caption else {}
    return {
        "id": memory.id,
        "conversation_id": memory.conversation_id,
        "session_id": memory.session_id,
        "turn": memory.turn,
        "timestamp": memory.timestamp.isoformat() if memory.timestamp else None,
        "speaker": memory.speaker,
        "text": memory.text,
        **caption,
        **{key: value for key, value in memory.metadata.items() if key not in _KNOWN},
    }


def _question_row(question: Question) -> Row:
    audited = question.evidence_audited
    return {
        "id": question.id,
        "conversation_id": question.conversation_id,
        "question": question.text,
        "answer": question.answer,
        "category": question.category,
        "evidence": list(question.evidence),
        **({} if audited is None else {"evidence_audited": list(audited)}),
    }


def _questions_by_conversation(path: Path) -> dict[str, list[tuple[int, Row]]]:
    grouped: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    ids: set[str] = set()
    for number, row in json_lines(path, needs=_QUESTION_KEYS):
        question_id = str(row["id"])
        if question_id in ids:
            raise damaged(path, number, f"the id {question_id!r} stands on an earlier line too")
        ids.add(question_id)
        grouped[str(row["conversation_id"])].append((number, row))
    return grouped


def _question(path: Path, line: tuple[int, Row], memories: Mapping[str, Memory]) -> Question:
    number, row = line
    audited = row.get("evidence_audited")
    for key in ("evidence", "evidence_audited"):
        cited = row.get(key) or []
        if not isinstance(cited, list):
            raise damaged(path, number, f"{key} must be a list of memory ids, it is {cited!r}")
        for memory_id in cited:
            if memory_id not in memories:
                raise damaged(path, number, f"{key} names {memory_id!r}, no memory of {row['conversation_id']!r}")
    answer = row.get("answer")
    return Question(
        id=str(row["id"]),
        conversation_id=str(row["conversation_id"]),
        text=str(row["question"]),
        evidence=tuple(row["evidence"] or ()),
        category=str(row.get("category") or ""),
        answer="" if answer is None else str(answer),
        evidence_audited=None if audited is None else tuple(audited),
    )


def _session(row: Row) -> str:
    session = row["session_id"]
    return "" if session is None else str(session)


def _check_order(memory: Memory, previous: Memory | None, latest: datetime | None, sessions: set[str]) -> None:
    """Raise ``ValueError`` (or ``TypeError``: local and absolute times mixed) where ``memory`` was not said later."""
    same_session = previous is not None and previous.session_id == memory.session_id != ""
    if memory.session_id and not same_session and memory.session_id in sessions:
        raise ValueError(f"session {memory.session_id!r} is taken up again after another one")
    if previous is not None and same_session and memory.turn <= previous.turn:
        raise ValueError(f"turn {memory.turn} follows turn {previous.turn} in session {memory.session_id!r}")
    if latest is not None and memory.timestamp is not None and memory.timestamp < latest:
        raise ValueError(f"the time {memory.timestamp.isoformat()} lies before {latest.isoformat()}, already passed")
