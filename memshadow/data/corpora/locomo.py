"""LoCoMo: ten long chats of two friends with questions of five kinds (Maharana et al. 2024, arXiv 2402.17753).

Its file numbers turns "D<session>:<turn>"; a public audit (github.com/dial481/locomo-audit) found the gold of some
questions wrong, and what it cites instead is read as ``evidence_audited``.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from memshadow.data.corpora.conversations import MEMORIES, QUESTIONS, ConversationFolder
from memshadow.data.corpora.lines import MONTHS, Row, json_file
from memshadow.data.corpora.original import github
from memshadow.errors import DataError

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_CHATS, _AUDIT = "locomo10.json", "audit/errors.json"
_TURN = re.compile(r"D:?0*(\d+):0*(\d+)")
_SPOKEN = re.compile(r"(\d+):(\d+) (am|pm) on (\d+) (\w+), (\d+)")


class LocomoCorpus(ConversationFolder):
    """10 conversations, 5,882 turns, 1,986 questions; ``evidence_audited`` applies a public audit of the gold.

    The licence forbids commercial use: evaluate on it, or train leave-conversations-out for an experiment. Adversarial
    questions carry the turn they twist as evidence and, but for two, no answer.
    """

    name = "locomo"
    licence = "CC BY-NC 4.0"
    weights_may_ship = False
    home = "https://github.com/snap-research/locomo"
    originals = (
        github(
            "snap-research/locomo",
            "3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376",
            "data/locomo10.json",
            to=_CHATS,
            sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
        ),
        github("dial481/locomo-audit", "9493fb4b4af4256ed17a18e8fd0b3cfdeec29539", "errors.json", to=_AUDIT),
    )
    reference: ClassVar[Mapping[str, str]] = {
        MEMORIES: "23a9e644fe6437f6ad0d2a397077b5270fca4eaa7b888a9e4e7b19a97e3e35f4",
        QUESTIONS: "b8aed354fbe88ad24388191f6c9a4580dd6e0313d7c66d5b95db9f06be50dd79",
    }

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Turn the chats and the audit into the shared form."""
        chats, audit = json_file(downloads / _CHATS), json_file(downloads / _AUDIT)
        findings = {finding["question_id"]: finding for finding in audit}
        with (
            gzip.open(folder / MEMORIES, "wt", encoding="utf-8", newline="\n") as memories,
            (folder / QUESTIONS).open("w", encoding="utf-8", newline="\n") as questions,
        ):
            for number, chat in enumerate(chats):
                turns = list(_memory_rows(chat["sample_id"], chat["conversation"]))
                memories.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in turns)
                known = {row["id"] for row in turns}
                for place, asked in enumerate(chat["qa"]):
                    row = _question_row(
                        chat["sample_id"], place, asked, findings.get(f"locomo_{number}_qa{place}"), known
                    )
                    questions.write(f"{json.dumps(row, ensure_ascii=False)}\n")


def _memory_rows(chat_id: str, conversation: Mapping[str, Any]) -> Iterator[Row]:
    for number in count(1):
        session = f"session_{number}"
        if f"{session}_date_time" not in conversation and session not in conversation:
            return
        for turn, said in enumerate(conversation.get(session) or ()):
            caption = {"image_caption": said["blip_caption"]} if said.get("blip_caption") else {}
            yield {
                "id": f"{chat_id}/{said['dia_id']}",
                "conversation_id": chat_id,
                "session_id": f"{chat_id}/{session}",
                "turn": turn,
                "timestamp": _time(conversation[f"{session}_date_time"]).isoformat(),
                "speaker": said["speaker"],
                "text": said["text"],
                **caption,
            }


def _time(spoken: str) -> datetime:
    """Return the time of "1:56 pm on 8 May, 2023"."""
    found = _SPOKEN.fullmatch(spoken.strip())
    if found is None or found[5] not in MONTHS:
        raise DataError(f"A LoCoMo session is dated {spoken!r}; a form like '1:56 pm on 8 May, 2023' was needed.")
    hour = int(found[1]) % 12 + (12 if found[3] == "pm" else 0)
    return datetime(int(found[6]), MONTHS.index(found[5]) + 1, int(found[4]), hour, int(found[2]))  # noqa: DTZ001


def _question_row(chat_id: str, place: int, asked: Mapping[str, Any], finding: Row | None, known: set[str]) -> Row:
    evidence, unresolved = _evidence(chat_id, asked["evidence"], known)
    return {
        "id": f"{chat_id}/q{place}",
        "conversation_id": chat_id,
        "question": asked["question"],
        "answer": asked.get("answer"),
        "adversarial_answer": asked.get("adversarial_answer"),
        "category": CATEGORIES[asked["category"]],
        "category_id": asked["category"],
        "evidence": evidence,
        "unresolved_evidence": unresolved,
        "evidence_audited": _audited(chat_id, evidence, finding, known),
        "audit": finding and {key: finding.get(key) for key in ("error_type", "correct_answer")},
    }


def _evidence(chat_id: str, cited: Sequence[str], known: set[str]) -> tuple[list[str], list[str]]:
    """Return (memory ids, what names no turn). The file packs several ids into one cell and misspells some."""
    resolved: dict[str, None] = {}
    unresolved = []
    for token in re.split(r"[;,\s]+", " ".join(cited).strip()):
        found = _TURN.fullmatch(token)
        memory_id = f"{chat_id}/D{found[1]}:{found[2]}" if found else ""
        if memory_id in known:
            resolved[memory_id] = None
        elif token:
            unresolved.append(token)
    return list(resolved), unresolved


def _audited(chat_id: str, evidence: list[str], finding: Row | None, known: set[str]) -> list[str]:
    """Return what the audit cites, where it cites anything and not the same turns."""
    corrected, _ = _evidence(chat_id, finding["correct_evidence"] if finding else (), known)
    return corrected if corrected and set(corrected) != set(evidence) else evidence
