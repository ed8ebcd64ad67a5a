"""Each reader on a few rows of its set's own form, so that it is tested where the set itself is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from memshadow.data.corpora.banking77 import Banking77Corpus
from memshadow.data.corpora.beam import BeamCorpus
from memshadow.data.corpora.clinc150 import Clinc150Corpus
from memshadow.data.corpora.intents import IntentsCorpus
from memshadow.data.corpora.locomo import LocomoCorpus
from memshadow.data.corpora.original import Fetchable
from memshadow.data.corpora.scifact import ScifactCorpus
from memshadow.data.corpora.stsb import StsbCorpus
from memshadow.errors import DataError
from memshadow.types import LabelledText, TextPair


def _write(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(folder)


def _json_lines(*rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def _beam_row(number: int, session: str, turn: int, timestamp: str | None) -> dict[str, Any]:
    return {"id": f"beam100k-1/{number}", "conversation_id": "beam100k-1", "session_id": session, "turn": turn,
            "timestamp": timestamp, "speaker": "user", "text": "hello"}  # fmt: skip


def test_beam_reads_its_dates_and_numbers_messages(tmp_path: Path) -> None:
    rows = [
        _beam_row(0, "b1", 0, "March-05-2024"),
        _beam_row(1, "b1", 0, None),
        _beam_row(2, "b1", 1, None),
        _beam_row(3, "b2", 0, "2024-04-01"),
    ]
    folder = _write(tmp_path, {"memories.jsonl": _json_lines(*rows), "questions.jsonl": ""})
    (conversation,) = BeamCorpus(size="100k", folder=folder).conversations()
    assert [memory.turn for memory in conversation.memories] == [0, 1, 2, 0]
    times = [str(memory.timestamp) for memory in conversation.memories]
    assert times == ["2024-03-05 00:00:00", "None", "None", "2024-04-01 00:00:00"]


@pytest.mark.parametrize("date", ["Marchember-05-2024", "March-32-2024", "March-2024"])
def test_beam_names_the_line_of_a_date_that_is_none(tmp_path: Path, date: str) -> None:
    folder = _write(tmp_path, {"memories.jsonl": _json_lines(_beam_row(0, "b1", 0, date)), "questions.jsonl": ""})
    with pytest.raises(DataError, match=r"memories\.jsonl, line 1"):
        list(BeamCorpus(size="100k", folder=folder).conversations())


def test_unknown_variants_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="100k or 500k; '10k' came"):
        BeamCorpus(size="10k", folder=None)
    with pytest.raises(DataError, match="dev and train; 'test' came"):
        ScifactCorpus(split="test", folder=None)
    with pytest.raises(DataError, match="BANKING77, HWU64, Liu, OOS"):
        IntentsCorpus(dataset="CLINC", class_split=1, folder=None)
    with pytest.raises(DataError, match="class_split=6"):
        IntentsCorpus(dataset="Liu", class_split=6, folder=None)


def test_scifact_is_one_conversation_of_documents(tmp_path: Path) -> None:
    documents = _json_lines(
        {"_id": "7", "title": "On sleep.", "text": "It helps."}, {"_id": "8", "title": "", "text": "No title."}
    )
    claims = _json_lines({"_id": "1", "text": "Sleep helps.", "relevant": ["7"]})
    files = {"corpus.jsonl.gz": documents, "queries_dev_beir_test.jsonl": claims, "queries_train.jsonl": claims}
    folder = _write(tmp_path, files)
    (conversation,) = ScifactCorpus(split="dev", folder=folder).conversations()
    assert [memory.rendered() for memory in conversation.memories] == ["On sleep. It helps.", "No title."]
    (question,) = conversation.questions
    assert (question.id, question.category, question.evidence) == ("dev/1", "dev", ("7",))
    (train,) = next(ScifactCorpus(split="train", folder=folder).conversations()).questions
    assert train.id == "train/1"
    _write(tmp_path, {"queries_train.jsonl": claims.replace("7", "9")})
    with pytest.raises(DataError, match=r"queries_train\.jsonl, line 1: it cites '9'"):
        list(ScifactCorpus(split="train", folder=folder).conversations())


def test_stsb_scales_to_one(tmp_path: Path) -> None:
    rows = {"train": 'A plane.,"An air, plane.",5.0\n', "dev": "A,B,2.5\n", "test": "C,D,0.0\n"}
    folder = _write(tmp_path, {f"stsb-en-{split}.csv": text for split, text in rows.items()})
    assert list(StsbCorpus(folder=folder).pairs()) == [
        TextPair(first="A plane.", second="An air, plane.", similarity=1.0, split="train"),
        TextPair(first="A", second="B", similarity=0.5, split="dev"),
        TextPair(first="C", second="D", similarity=0.0, split="test"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,B,1\nA,B\n", "line 2: 3 cells were needed, it has 2"),
        ("A,B,six\n", "line 1: a score was needed, 'six' came"),
        ("A,B,6\n", "line 1: a score of 0 to 5 was needed, 6 came"),
        ('A,"B"x,1\n', "line 1: it is not CSV"),
    ],
)
def test_stsb_names_the_damaged_line(tmp_path: Path, text: str, message: str) -> None:
    folder = _write(tmp_path, {"stsb-en-train.csv": text, "stsb-en-dev.csv": "", "stsb-en-test.csv": ""})
    with pytest.raises(DataError, match=rf"stsb-en-train\.csv, {message}"):
        list(StsbCorpus(folder=folder).pairs())


def test_banking77_reads_both_splits(tmp_path: Path) -> None:
    head = "text,category\n"
    files = {"train.csv": f'{head}"Where, is\nit?",card_arrival\n', "test.csv": f"{head}Lost it,lost_card\n"}
    folder = _write(tmp_path, files)
    assert list(Banking77Corpus(folder=folder).utterances()) == [
        LabelledText(text="Where, is\nit?", label="card_arrival", split="train"),
        LabelledText(text="Lost it", label="lost_card", split="test"),
    ]
    _write(tmp_path, {"test.csv": "a,b\n"})
    with pytest.raises(DataError, match=r"test\.csv, line 1: the head text,category was needed, 'a,b' came"):
        list(Banking77Corpus(folder=folder).utterances())


def test_clinc150_knows_the_domain_of_a_class(tmp_path: Path) -> None:
    splits = {name: [] for name in ("val", "test", "oos_train", "oos_val")}
    data = {**splits, "train": [["pay my bill", "pay_bill"]], "oos_test": [["why is the sky", "oos"]]}
    files = {"data_full.json": json.dumps(data), "domains.json": json.dumps({"banking": ["pay_bill"]})}
    folder = _write(tmp_path, files)
    assert list(Clinc150Corpus(folder=folder).utterances()) == [
        LabelledText(text="pay my bill", label="pay_bill", split="train", domain="banking"),
        LabelledText(text="why is the sky", label="oos", split="oos_test"),
    ]
    for damage, message in (("{", "is not a JSON file"), ("[]", "holds no object"), ("{}", "lacks train")):
        _write(tmp_path, {"data_full.json": damage})
        with pytest.raises(DataError, match=message):
            list(Clinc150Corpus(folder=folder).utterances())


def test_intents_split_classes_not_utterances(tmp_path: Path) -> None:
    texts = [("add milk", "lists/add"), ("drop it", "lists/remove"), ("hello", "greet")]
    files = {"HWU64/full.jsonl": _json_lines(*({"sentence": text, "label": label} for text, label in texts))}
    for part, labels in {"train": "lists/add\n", "valid": "\n", "test": "greet\n"}.items():
        files[f"HWU64/labels.02.{part}.txt"] = labels
    corpus = IntentsCorpus(dataset="HWU64", class_split=2, folder=_write(tmp_path, files))
    assert corpus.name == "intents/HWU64"
    assert list(corpus.utterances()) == [
        LabelledText(text="add milk", label="lists/add", split="train", domain="lists"),
        LabelledText(text="drop it", label="lists/remove", split="", domain="lists"),
        LabelledText(text="hello", label="greet", split="test"),
    ]


PUBLISHED = [
    Banking77Corpus(folder=None),
    BeamCorpus(size="100k", folder=None),
    BeamCorpus(size="500k", folder=None),
    Clinc150Corpus(folder=None),
    IntentsCorpus(dataset="Liu", class_split=1, folder=None),
    LocomoCorpus(folder=None),
    ScifactCorpus(split="dev", folder=None),
    StsbCorpus(folder=None),
]


@pytest.mark.parametrize("corpus", PUBLISHED, ids=lambda corpus: corpus.name)
def test_every_published_set_can_be_fetched_from_pinned_https_addresses(corpus: Any) -> None:
    assert isinstance(corpus, Fetchable)
    paths = [original.path for original in corpus.originals]
    assert len(paths) == len(set(paths))
    for original in corpus.originals:
        assert original.url.startswith("https://")
        assert original.sha256 is None or (len(original.sha256) == 64 and int(original.sha256, 16))
        if "githubusercontent" in original.url:
            commit = original.url.split("/")[5]
            assert len(commit) == 40, "a branch may move"
            assert int(commit, 16)
    assert corpus.reference or all(original.sha256 for original in corpus.originals), "nothing would check this set"


def test_only_sets_whose_terms_allow_it_train_weights_that_ship() -> None:
    ships = {corpus.name: corpus.weights_may_ship for corpus in PUBLISHED}
    assert not any(ships[name] for name in ("locomo", "scifact", "intents/Liu"))
    assert all(ships[name] for name in ("banking77", "clinc150", "stsb"))
