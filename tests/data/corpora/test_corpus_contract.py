"""Every corpus under configs/data keeps the promises of its protocol; a set that is not here is skipped by name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.data.corpora.base import ConversationCorpus, PairCorpus, TaskCorpus, UtteranceCorpus
from memshadow.errors import DataError
from memshadow.types import Conversation

CONFIGS = sorted((config_dir() / "data").glob("*.yaml"))
# What must be told its folder is held to the same laws by hand in test_conversations.py; whoever runs these tests may
# have memories of their own, which are nobody's test data (test_feedback_corpus.py makes some).
READY = [path for path in CONFIGS if not OmegaConf.missing_keys(OmegaConf.load(path)) and path.stem != "feedback"]
IN_A_FOLDER = [path for path in CONFIGS if "folder" in OmegaConf.load(path)]
SMALL = 600  # memories that are made here, for each corpus, or each part of one
FEW_LIVES = 4
PARTS = ("train", "valid", "test")


def _corpus(config: Path, **changes: object) -> Any:
    node = OmegaConf.load(config)
    _shrink(node)
    return build(OmegaConf.merge(node, {key: value for key, value in changes.items() if key in node}))


def _shrink(node: Any) -> None:
    """Make every synthetic corpus in a config a small one."""
    target = str(node.get("_target_", ""))
    if target.endswith(".SyntheticCorpus"):
        node.memories = SMALL
    if target.endswith(".Topics"):
        node.lives = FEW_LIVES
    for inner in node.values():
        if OmegaConf.is_dict(inner):
            _shrink(inner)


@pytest.fixture(params=READY, ids=lambda path: path.stem, scope="module")
def corpus(request: pytest.FixtureRequest) -> Any:
    """Give each configured corpus that is on this machine."""
    corpus = _corpus(request.param)
    try:
        assert corpus.fingerprint
    except DataError:
        pytest.skip(f"THE DATA SET {request.param.stem.upper()} IS NOT ON THIS MACHINE: memshadow data fetch")
    return corpus


@pytest.fixture(scope="module")
def items(corpus: Any) -> list[Any]:
    """Give everything the corpus holds, read once."""
    return list(_items(corpus))


def _items(corpus: Any) -> Iterator[Any]:
    if isinstance(corpus, TaskCorpus):
        return chain.from_iterable(_tasks(corpus, part) for part in PARTS)
    kind = next(kind for kind in ("conversations", "utterances", "pairs") if hasattr(corpus, kind))
    return iter(getattr(corpus, kind)())


def _tasks(corpus: TaskCorpus, part: str) -> Iterator[tuple[bytes, ...]]:
    """Yield some of a part's tasks as bytes, so that equal is equal to the bit."""
    for number in range(3):
        batch = corpus.episodes(part, shots=3, queries=4).batch(number, tasks=2, seed=5)
        yield from (tuple(array[task].tobytes() for array in batch) for task in range(2))


def test_there_are_corpora_to_test() -> None:
    published = {"locomo", "beam100k", "beam500k", "intents", "clinc150", "banking77", "scifact", "stsb"}
    made = {"synthetic", "topics", "sinusoids"}
    assert published | made <= {path.stem for path in CONFIGS}


def test_has_the_fields_of_its_protocol(corpus: Any, items: list[Any]) -> None:
    assert isinstance(corpus, ConversationCorpus | UtteranceCorpus | PairCorpus | TaskCorpus)
    assert corpus.name
    assert corpus.licence
    assert isinstance(corpus.weights_may_ship, bool)
    assert items


def test_iterating_twice_gives_the_same_and_the_fingerprint_stays(corpus: Any, items: list[Any]) -> None:
    before = corpus.fingerprint
    assert all(first == second for first, second in zip(items, _items(corpus), strict=True))
    assert corpus.fingerprint == before


def test_keeps_the_laws_of_its_kind(corpus: Any, items: list[Any]) -> None:
    if isinstance(corpus, ConversationCorpus):
        check_conversations(items)
    elif isinstance(corpus, UtteranceCorpus):
        assert all(one.label and one.text.strip() for one in items)
    elif isinstance(corpus, TaskCorpus):
        assert len(items) == len(set(items)), "a task is met twice, or in two parts"
        check_parts(corpus)
    else:
        assert all(0 <= one.similarity <= 1 for one in items)


def check_parts(corpus: TaskCorpus) -> None:
    """Assert that a part and numbers that do not exist are refused."""
    for part, shots, queries in (("dev", 1, 1), ("train", 0, 1), ("test", 1, 0)):
        with pytest.raises(DataError, match="came"):
            corpus.episodes(part, shots=shots, queries=queries)


def check_conversations(conversations: list[Conversation]) -> None:
    """Assert the laws of ConversationCorpus."""
    assert all(conversation.corpus for conversation in conversations), "it does not say where it comes from"
    memories = [memory for conversation in conversations for memory in conversation.memories]
    questions = [question for conversation in conversations for question in conversation.questions]
    for ids in ([c.id for c in conversations], [m.id for m in memories], [q.id for q in questions]):
        assert len(ids) == len(set(ids)), "an id stands twice"
    for conversation in conversations:
        known = {memory.id for memory in conversation.memories}
        assert {memory.conversation_id for memory in conversation.memories} <= {conversation.id}
        assert {question.conversation_id for question in conversation.questions} <= {conversation.id}
        for question in conversation.questions:
            assert set(question.evidence) | set(question.evidence_audited or ()) <= known, question.id
        check_order(conversation)


def check_order(conversation: Conversation) -> None:
    """Assert that memories stand in the order of saying."""
    sessions = [session for session, _ in groupby(conversation.memories, key=lambda m: m.session_id) if session]
    assert len(sessions) == len(set(sessions)), "a session is taken up again"
    for earlier, later in pairwise(conversation.memories):
        assert not earlier.session_id == later.session_id != "" or later.turn > earlier.turn, later.id
    times = [memory.timestamp for memory in conversation.memories if memory.timestamp]
    assert times == sorted(times), "time runs backwards"


@pytest.mark.parametrize("config", IN_A_FOLDER, ids=lambda path: path.stem)
def test_an_absent_folder_names_itself_and_what_mends_it(config: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    corpus = _corpus(config, folder=str(gone))
    for use in (lambda: corpus.fingerprint, lambda: list(_items(corpus))):
        with pytest.raises(DataError, match=r"memshadow (data (fetch|make) |remember)") as caught:
            use()
        assert str(gone) in str(caught.value)


def test_the_known_sizes_of_the_published_sets(corpus: Any, items: list[Any]) -> None:
    counts = {
        "locomo": (10, 5_882, 1_986),
        "beam100k": (20, 5_094, 400),
        "beam500k": (35, 38_058, 700),
        "scifact": (1, 5_183, 300),
        "stsb": 8_628,
        "banking77": 13_083,
        "clinc150": 23_700,
        "intents/BANKING77": 13_083,
    }
    expected = counts.get(corpus.name)
    if isinstance(expected, tuple):
        sizes = (len(items), sum(len(one.memories) for one in items), sum(len(one.questions) for one in items))
        assert sizes == expected
    else:
        assert expected in {None, len(items)}, "made on this machine, or of the published size"
