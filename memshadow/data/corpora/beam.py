"""BEAM: long chats of a user with an assistant and questions of ten kinds (Tavakoli et al. 2025, arXiv 2510.27246)."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from memshadow.data.corpora.conversations import MEMORIES, QUESTIONS, ConversationFolder
from memshadow.data.corpora.lines import MONTHS, Row, json_file
from memshadow.data.corpora.original import Original, github
from memshadow.errors import DataError

CHATS = {"100k": 20, "500k": 35}
_SOURCE = ("mohammadtavakoli78/BEAM", "b2a3ee8ba12d68f83143dda191097dc3e028ddd3")
_REFERENCE = {
    "100k": {
        MEMORIES: "b8001b10d71c322527031e3cf9d49f1a58e04bd522cf1134906cd14f41a8dee7",
        QUESTIONS: "cf09428f2271b01c490d073c39f0284edb10d8a6161788d19094d7d179da087b",
    },
    "500k": {
        MEMORIES: "9a62c5daf99f1794ce62bbe0cb5e74d19085240843f01acd926110e3d0a2df98",
        QUESTIONS: "5b8201ebc8c22ba4e5aee6894a8bfb24e2b332376146406aa5a54e926faec775",
    },
}
_ANSWERS = ("answer", "ideal_response", "ideal_answer", "ideal_summary", "expected_compliance")
_MARK = re.compile(r"\s*->->\s*\d+,\d+\s*$")


class BeamCorpus(ConversationFolder):
    """BEAM at one of its sizes: ``100k`` (20 chats, 5,094 messages) or ``500k`` (35 chats, 38,058 messages).

    The set gives a date ("March-15-2024") on some messages only; the others' time is unknown and stays ``None``. It
    numbers exchanges, not messages: here ``turn`` counts the messages of a session, so that it orders them. Questions
    without usable evidence (all on abstention, few others) are kept. Its repository names no licence; a card of a
    derived set says CC BY-SA 4.0.
    """

    licence = "CC BY-SA 4.0 (unverified)"
    weights_may_ship = True
    home = "https://github.com/mohammadtavakoli78/BEAM"

    def __init__(self, *, size: str, folder: str | None) -> None:
        if size not in CHATS:
            raise DataError(f"BEAM is read at size {' or '.join(CHATS)}; {size!r} came.")
        self.size = size
        self.name = f"beam{size}"
        super().__init__(folder=folder)

    @property
    def originals(self) -> tuple[Original, ...]:
        """Return two files a chat: its messages (the shortened ones where the set has them) and its questions."""
        return tuple(file for number in range(1, CHATS[self.size] + 1) for file in _files_of(self.size, number))

    @property
    def reference(self) -> Mapping[str, str]:
        """Return the checksums of the copy that our figures were made with."""
        return _REFERENCE[self.size]

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Turn the chats and their questions into the shared form."""
        with (
            gzip.open(folder / MEMORIES, "wt", encoding="utf-8", newline="\n") as memories,
            (folder / QUESTIONS).open("w", encoding="utf-8", newline="\n") as questions,
        ):
            for number in range(1, CHATS[self.size] + 1):
                chat_id, place = f"{self.name}-{number}", downloads / str(number)
                turns = list(_memory_rows(chat_id, json_file(place / "chat.json")))
                memories.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in turns)
                asked = _question_rows(chat_id, json_file(place / "questions.json"), {row["id"] for row in turns})
                questions.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in asked)

    def turn_of(self, row: Row, position: int) -> int:  # noqa: ARG002  (the row's own number repeats)
        """Return the message's place in its session."""
        return position

    def time_of(self, text: str) -> datetime:
        """Return midnight of a date written as ``March-15-2024``; ISO 8601 is read too."""
        month, _, rest = text.partition("-")
        if month not in MONTHS:
            return super().time_of(text)
        day, _, year = rest.partition("-")
        return datetime(int(year), MONTHS.index(month) + 1, int(day))  # noqa: DTZ001  (local to the conversation)


def _files_of(size: str, number: int) -> tuple[Original, Original]:
    place = f"chats/{size.upper()}/{number}"
    whole, shortened = (
        github(*_SOURCE, f"{place}/{name}.json", to=f"{number}/chat.json") for name in ("chat", "chat_trunecated")
    )
    chat = Original(url=shortened.url, otherwise=whole.url, path=whole.path) if size == "100k" else whole
    questions = f"{place}/probing_questions/probing_questions.json"
    return chat, github(*_SOURCE, questions, to=f"{number}/questions.json")


def _memory_rows(chat_id: str, batches: list[Mapping[str, Any]]) -> Iterator[Row]:
    for batch in batches:
        for turn, exchange in enumerate(batch["turns"]):
            for message in exchange:
                yield {
                    "id": f"{chat_id}/{message['id']}",
                    "conversation_id": chat_id,
                    "session_id": f"{chat_id}/b{batch['batch_number']}",
                    "turn": turn,
                    "timestamp": message.get("time_anchor"),
                    "speaker": message["role"],
                    "text": _MARK.sub("", message["content"]),
                }


def _question_rows(chat_id: str, asked: Mapping[str, list[Row]], known: set[str]) -> Iterator[Row]:
    for category in sorted(asked):
        for place, row in enumerate(asked[category]):
            cited = sorted(set(_numbers(row.get("source_chat_ids"))))
            evidence = [memory_id for one in cited if (memory_id := f"{chat_id}/{one}") in known]
            yield {
                "id": f"{chat_id}/{category}{place}",
                "conversation_id": chat_id,
                "question": row["question"],
                "answer": next((row[key] for key in _ANSWERS if key in row), None),
                "category": category,
                "difficulty": row.get("difficulty"),
                "evidence": evidence,
                "rubric": row.get("rubric"),
            }


def _numbers(cited: Any) -> Iterator[int]:
    """Yield the message numbers in a list, or in an object of lists, however nested."""
    if isinstance(cited, Mapping):
        cited = list(cited.values())
    if isinstance(cited, list):
        for one in cited:
            yield from _numbers(one)
    elif isinstance(cited, int):
        yield cited
