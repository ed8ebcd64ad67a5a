"""Originals as their publishers lay them out become the shared form: the converters of LoCoMo, BEAM and SciFact."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from memshadow.data.corpora.beam import CHATS, BeamCorpus
from memshadow.data.corpora.locomo import LocomoCorpus
from memshadow.data.corpora.scifact import ScifactCorpus
from memshadow.errors import DataError


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Give a folder of downloads and an empty folder for the set."""
    downloads, folder = tmp_path / "downloads", tmp_path / "set"
    downloads.mkdir()
    folder.mkdir()
    return downloads, folder


CHAT = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bob",
        "session_1_date_time": "12:05 am on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "Hi!"},
            {"speaker": "Bob", "dia_id": "D1:2", "text": "Look.", "blip_caption": "a red kite", "img_url": ["x"]},
        ],
        "session_2_date_time": "1:14 pm on 25 May, 2023",
        "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "I moved to Rome."}],
        "session_3_date_time": "9:00 am on 1 June, 2023",
    },
    "qa": [
        {"question": "Where does Ann live?", "answer": "Rome", "evidence": ["D2:1"], "category": 4},
        {"question": "How many?", "answer": 2, "evidence": ["D1:1; D:2:01", "D", "D1:2"], "category": 1},
        {"question": "Where does Bob live?", "adversarial_answer": "Rome", "evidence": ["D2:1"], "category": 5},
    ],
}
AUDIT = [
    {
        "question_id": "locomo_0_qa0",
        "error_type": "WRONG_CITATION",
        "correct_evidence": ["D1:1"],
        "correct_answer": "R",
    },
    {"question_id": "locomo_0_qa1", "error_type": "AMBIGUOUS", "correct_evidence": ["D1:2", "D2:1", "D1:1"]},
    {"question_id": "locomo_0_qa2", "error_type": "AMBIGUOUS", "correct_evidence": []},
]


def test_locomo(places: tuple[Path, Path]) -> None:
    downloads, folder = places
    _json(downloads / "locomo10.json", [CHAT])
    _json(downloads / "audit/errors.json", AUDIT)
    LocomoCorpus(folder=None).assemble(downloads, folder)
    (conversation,) = LocomoCorpus(folder=str(folder)).conversations()
    assert [(m.id, m.session_id, m.turn, str(m.timestamp)) for m in conversation.memories] == [
        ("conv-1/D1:1", "conv-1/session_1", 0, "2023-05-08 00:05:00"),
        ("conv-1/D1:2", "conv-1/session_1", 1, "2023-05-08 00:05:00"),
        ("conv-1/D2:1", "conv-1/session_2", 0, "2023-05-25 13:14:00"),
    ]
    assert conversation.memories[1].rendered() == "Bob: Look. [shares a photo: a red kite]"
    lives, many, twisted = conversation.questions
    assert (lives.id, lives.category, lives.answer) == ("conv-1/q0", "single-hop", "Rome")
    assert (lives.evidence, lives.evidence_audited) == (("conv-1/D2:1",), ("conv-1/D1:1",))
    assert many.evidence == ("conv-1/D1:1", "conv-1/D2:1", "conv-1/D1:2")
    assert many.evidence_audited == many.evidence, "the audit cites the same turns in another order"
    assert (many.category, many.answer, twisted.category, twisted.answer) == ("multi-hop", "2", "adversarial", "")
    assert twisted.evidence_audited == ("conv-1/D2:1",), "the audit cites nothing"
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert rows[1]["unresolved_evidence"] == ["D"]


def test_locomo_dated_in_another_way_is_refused(places: tuple[Path, Path]) -> None:
    downloads, folder = places
    conversation = CHAT["conversation"] | {"session_1_date_time": "2023-05-08"}  # type: ignore[operator]
    _json(downloads / "locomo10.json", [CHAT | {"conversation": conversation}])
    _json(downloads / "audit/errors.json", AUDIT)
    with pytest.raises(DataError, match="dated '2023-05-08'; a form like"):
        LocomoCorpus(folder=None).assemble(downloads, folder)


def test_beam(places: tuple[Path, Path]) -> None:
    downloads, folder = places
    for number in range(1, CHATS["100k"] + 1):
        first = {"role": "user", "id": 0, "time_anchor": "March-15-2024", "content": "Plan my week? ->-> 1,1"}
        batches = [
            {"batch_number": 1, "turns": [[first, {"role": "assistant", "id": 1, "content": "Sure. "}]]},
            {"batch_number": 2, "turns": [[{"role": "user", "id": 2, "content": "It is ->-> 2,N/A"}]]},
        ]
        asked = {
            "summarization": [{"question": "Sum up.", "ideal_summary": "S", "difficulty": "easy", "rubric": ["r"]}],
            "abstention": [{"question": "Who?", "ideal_response": "Unknown", "difficulty": "easy", "rubric": []}],
            "knowledge_update": [
                {"question": "When?", "answer": "Now", "source_chat_ids": {"new": [2, 2], "old": [0], "odd": [99]}}
            ],
        }
        _json(downloads / str(number) / "chat.json", batches)
        _json(downloads / str(number) / "questions.json", asked)
    BeamCorpus(size="100k", folder=None).assemble(downloads, folder)
    conversations = list(BeamCorpus(size="100k", folder=str(folder)).conversations())
    assert [conversation.id for conversation in conversations] == [f"beam100k-{n}" for n in range(1, 21)]
    first_chat = conversations[0]
    assert [memory.text for memory in first_chat.memories] == ["Plan my week?", "Sure. ", "It is ->-> 2,N/A"]
    assert [memory.session_id for memory in first_chat.memories] == ["beam100k-1/b1", "beam100k-1/b1", "beam100k-1/b2"]
    assert [(q.id, q.answer, q.evidence) for q in first_chat.questions] == [
        ("beam100k-1/abstention0", "Unknown", ()),
        ("beam100k-1/knowledge_update0", "Now", ("beam100k-1/0", "beam100k-1/2")),
        ("beam100k-1/summarization0", "S", ()),
    ]


def test_scifact(places: tuple[Path, Path]) -> None:
    downloads, folder = places
    members = {
        "data/corpus.jsonl": [{"doc_id": 7, "title": "T", "abstract": ["One.", "Two β."], "structured": False}],
        "data/claims_dev.jsonl": [{"id": 3, "claim": "C", "evidence": {}, "cited_doc_ids": [7]}],
        "data/claims_train.jsonl": [{"id": 4, "claim": "D", "evidence": {}, "cited_doc_ids": [7]}],
    }
    with tarfile.open(downloads / "data.tar.gz", "w:gz") as archive:
        for name, rows in members.items():
            body = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    ScifactCorpus(split="dev", folder=None).assemble(downloads, folder)
    (conversation,) = ScifactCorpus(split="train", folder=str(folder)).conversations()
    assert [memory.text for memory in conversation.memories] == ["T. One. Two β."]
    assert [(question.text, question.evidence) for question in conversation.questions] == [("D", ("7",))]


def test_scifact_of_another_layout_is_refused(places: tuple[Path, Path]) -> None:
    downloads, folder = places
    with tarfile.open(downloads / "data.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataError, match=r"it holds no file data/corpus\.jsonl"):
        ScifactCorpus(split="dev", folder=None).assemble(downloads, folder)
