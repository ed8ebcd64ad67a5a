"""The server returns what evaluation scored: the same order and scores from a folder on disk as without a store."""

from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from omegaconf import OmegaConf

import memshadow
from memshadow.config import build, load
from memshadow.data.corpora.suites import FewMemories, OneSpeaker, Stripped
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.memory.recall.conversation import block_of, everything
from memshadow.memory.recall.retrieving import RankedRetriever, asked_of
from memshadow.memory.served import ServedRetriever
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.projected import ProjectedEmbedder
from memshadow.types import Conversation, Memory

SYNTHETIC = SyntheticCorpus(memories=120, seed=3, memories_per_conversation=60, questions_per_conversation=12)
PLACES = {
    "two friends": SYNTHETIC,
    "notes": Stripped(corpus=SYNTHETIC, of=["sessions", "speakers", "dates"]),
    "undated": Stripped(corpus=SYNTHETIC, of=["dates"]),
    "one speaker": OneSpeaker(corpus=SYNTHETIC),
    "three": FewMemories(corpus=SYNTHETIC, memories=3),
    "one": FewMemories(corpus=SYNTHETIC, memories=1),
}
HASHING = {"k1": 0.9, "b": 0.4, "mean_length": 12.0, "copies": 2}
VIEWS = {"before": 2, "after": 1, "context_chars": 200, "width": 64}


def contextual():
    """Return an embedder whose rows depend on two turns before and one after."""
    return ProjectedEmbedder(
        encoder=HashingEmbedder(dim=32, **HASHING), model=None, dim=96, views=VIEWS | HASHING, parts="both"
    )


@cache
def ranking(*overrides):
    return build(OmegaConf.create(OmegaConf.to_container(load("memory", list(overrides)).ranking, resolve=True)))


def memory(folder, embedder, learned, precision):
    """Return a memory in a folder with the store and the index of ``configs/memory.yaml``."""
    pytest.importorskip("duckdb")
    pytest.importorskip("faiss")
    from memshadow.memory.counting import ByteCounter
    from memshadow.memory.service import Memory
    from memshadow.memory.supersession import KeyedRule

    node = load("memory", [f"folder={folder}", f"store.precision={precision}"])
    parts = {
        name: build(OmegaConf.create(OmegaConf.to_container(node, resolve=True))[name]) for name in ("store", "index")
    }
    return Memory(
        **parts, embedder=embedder, ranking=learned, rule=KeyedRule(), counter=ByteCounter(), near_threshold=1.1
    )


@pytest.mark.parametrize("place", PLACES)
def test_what_is_served_is_what_was_scored(place, tmp_path):
    conversations = list(PLACES[place].conversations())[:2]
    with memory(tmp_path, contextual(), ranking(), "fp32") as kept:
        served = ServedRetriever(name="served", memory=kept)
        for conversation in conversations:  # those before do not disturb
            asked = [question.text for question in conversation.questions][:6]
            direct = RankedRetriever(name="direct", embedder=contextual(), ranking=ranking())
            right, found = (one.scores(conversation.memories, asked) for one in (direct, served))
            np.testing.assert_allclose(found, right, atol=1e-5)
            np.testing.assert_array_equal(np.argsort(-found, kind="stable"), np.argsort(-right, kind="stable"))


def test_it_is_so_too_after_opening_the_folder_again_and_in_a_large_scope(tmp_path):
    (conversation, *_) = SYNTHETIC.conversations()
    asked = [question.text for question in conversation.questions][:5]
    narrow = ranking("ranking.viewer.exact_below=10", "ranking.viewer.listed=10", "ranking.viewer.candidates=10")
    right = RankedRetriever(name="direct", embedder=contextual(), ranking=narrow).scores(conversation.memories, asked)
    served = ServedRetriever(name="served", memory=None)
    for _ in range(2):
        with memory(tmp_path, contextual(), narrow, "fp32") as kept:
            served._memory = kept
            np.testing.assert_allclose(served.scores(conversation.memories, asked), right, atol=1e-5)


def test_sixteen_bits_of_a_row_change_little_in_the_order(tmp_path):
    (conversation, *_) = SYNTHETIC.conversations()
    asked = [question.text for question in conversation.questions][:10]
    right = RankedRetriever(name="direct", embedder=contextual(), ranking=ranking()).scores(
        conversation.memories, asked
    )
    with memory(tmp_path, contextual(), ranking(), "fp16") as kept:
        found = ServedRetriever(name="served", memory=kept).scores(conversation.memories, asked)
    assert (found.argmax(axis=1) == right.argmax(axis=1)).mean() >= 0.9


def test_a_block_has_the_memories_in_the_order_of_saying():
    said = [
        Memory(
            id=str(n),
            conversation_id="c",
            session_id=session,
            turn=n,
            speaker="Ann",
            text=f"line {n}",
            timestamp=datetime(2024, 1, 1 + n) if n else None,  # noqa: DTZ001 - naive is what corpora give
        )
        for n, session in enumerate(["a", "a", "", "b", "a"])
    ]
    block = block_of(Conversation(id="c", memories=tuple(said)), HashingEmbedder(dim=16, **HASHING))
    assert block.size == 5
    assert block.turns.tolist() == [0, 1, 0, 0, 2]
    assert (block.sessions == 0).tolist() == [False, False, True, False, False]
    assert everything(block).all()
    assert not everything(block).flags.writeable
    read = asked_of(block, everything(block), "line", HashingEmbedder(dim=16, **HASHING), said).read
    assert read(np.array([3, 0])) == ["Ann: line 3", "Ann: line 0"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A memory opened as anyone opens it, whose ranking is the default one."""
    pytest.importorskip("duckdb")
    folder = tmp_path_factory.mktemp("memories")
    with memshadow.open(folder, overrides=["embedder=hashing", "tokenizer=bytes"]) as opened:
        yield filled(opened)


def filled(opened):
    user = memshadow.Scope(user="ann", session="s1")
    opened.add(
        [f"We sailed to island {n}" for n in range(8)],
        scope=user,
        speaker="Ann",
        happened_at="2023-05-01",
        tags=["sea"],
    )
    opened.add([f"Bob sailed to harbour {n}" for n in range(4)], scope=user, speaker="Bob", happened_at="2024-05-01")
    opened.add("Sailing needs wind", scope=memshadow.Scope(user="ann"), kind="semantic")
    opened.add("Eve sailed away", scope=memshadow.Scope(user="eve"))
    return opened


def found(kept, *, k=50, scope=None, **narrowed):
    return [hit.text for hit in kept.search("Who sailed?", k=k, scope=scope or memshadow.Scope(user="ann"), **narrowed)]


def test_the_ranking_is_the_learned_one(kept):
    (hit,) = kept.search("Who sailed?", k=1, scope=memshadow.Scope(user="ann"), explain=True)
    assert {"vector", "words", "context", "ranker"} <= set(hit.explanation.scores)


def test_filters_hold_before_ranking(kept):
    assert len(found(kept)) == 13
    assert sorted(found(kept, tags=["sea"])) == [f"We sailed to island {n}" for n in range(8)]
    assert found(kept, kinds=["semantic"]) == ["Sailing needs wind"]
    assert sorted(found(kept, between=("2024-01-01", None))) == [f"Bob sailed to harbour {n}" for n in range(4)]
    assert found(kept, between=("2024-01-01", None), tags=["sea"]) == []
    assert len(found(kept, between=(None, "2024-01-01"), k=3)) == 3
    assert len(found(kept, speakers=["Bob"])) == 4
    assert len(found(kept, scope=memshadow.Scope(user="ann", session="s1"))) == 12
    assert found(kept, scope=memshadow.Scope(user="eve")) == ["Eve sailed away"]
    assert found(kept, scope=memshadow.Scope(user="nobody")) == []


def test_the_past_is_ranked_as_it_was(tmp_path):
    pytest.importorskip("duckdb")
    with memshadow.open(tmp_path, overrides=["embedder=hashing", "tokenizer=bytes"]) as opened:
        ann = memshadow.Scope(user="ann", session="s")
        first, *_ = opened.add(["I live in Rome", "Nice!", "I have a dog"], scope=ann, speaker="Ann")
        before = opened.get(first.id, scope=ann).ingested_at
        opened.update(first.id, scope=ann, text="I live in Lisbon")
        texts = lambda **more: [hit.text for hit in opened.search("Where does she live?", scope=ann, **more)]  # noqa: E731
        assert texts()[0] == "I live in Lisbon"
        assert "I live in Rome" not in texts()
        assert texts(as_of=before)[0] == "I live in Rome"
        assert "I live in Lisbon" not in texts(as_of=before)
        assert texts(as_of=datetime(2000, 1, 1, tzinfo=UTC)) == []
        assert {"I live in Rome", "I live in Lisbon"} <= set(texts(latest_only=False))
        opened.forget(first.id, scope=ann)
        assert set(texts(latest_only=False)) == {"Nice!", "I have a dog"}


def test_a_relative_time_is_seen_from_the_moment_that_is_asked_about(kept):
    ask = {"scope": memshadow.Scope(user="ann"), "k": 13}
    now = kept.search("Who sailed last year?", **ask)
    assert {hit.text[:3] for hit in now[:8]} == {"We "}  # the newest event is of 2024
