"""What a ranker learns from: the candidates of a question, and which of them are evidence."""

import numpy as np
from place import viewer

from memshadow.memory.recall.examples import examples, scenes
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.models.hashing import HashingEmbedder
from memshadow.types import Conversation, Memory, Question

EMBEDDER = HashingEmbedder(dim=32, k1=0.9, b=0.4, mean_length=12.0, copies=2)
SAID = ["tea", "milk", "rain", "snow", "wind", "hail"]
MEMORIES = tuple(
    Memory(id=text, conversation_id="c", session_id="s", turn=n, speaker="Ann", text=f"I like {text}")
    for n, text in enumerate(SAID)
)


def asked(name, text, *evidence):
    return Question(id=name, conversation_id="c", text=text, evidence=evidence)


TALK = Conversation(
    id="c",
    corpus="small",
    memories=MEMORIES,
    questions=(
        asked("one", "Who likes milk?", "milk"),
        asked("none", "Who likes lakes?"),
        asked("two", "milk or hail", "milk", "hail", "gone"),
    ),
)


def test_questions_with_evidence_become_examples_in_their_order():
    table = FeatureTable()
    silent = Conversation(id="d", memories=MEMORIES, questions=(asked("none", "Who?"),))
    found = examples([TALK, silent], EMBEDDER, viewer(candidates=3, listed=3), table, what="few")
    assert [one.question for one in found] == ["one", "two"]
    for one in found:
        assert one.table.shape == (len(table.names), 3)
        assert (len(one.plain), len(one.gold), one.corpus, one.conversation) == (3, 3, "small", "c")


def test_what_is_right_stands_among_the_candidates_or_was_missed():
    one, two = examples([TALK], EMBEDDER, viewer(candidates=3, listed=3), FeatureTable(), what="few")
    assert (one.gold.sum(), one.missed) == (1, 0)
    assert (two.gold.sum(), two.missed) == (2, 0)  # "gone" is no memory: nothing could find it
    (narrow, *_) = examples([TALK], EMBEDDER, viewer(candidates=1, listed=1), FeatureTable(groups=["own"]), what="few")
    assert narrow.gold.tolist() == [True]
    assert narrow.table[FeatureTable(groups=["own"]).names.index("own/norm_whole")].tolist() == [1.0]
    far = Conversation(id="c", memories=MEMORIES, questions=(asked("far", "milk", "snow", "hail"),))
    (far,) = examples([far], EMBEDDER, viewer(candidates=1, listed=1), FeatureTable(), what="few")
    assert (far.gold.sum(), far.missed) == (0, 2)


def test_a_scene_is_that_of_the_whole_conversation():
    (found,) = scenes(TALK, TALK.questions[:1], EMBEDDER, viewer())
    question, scene = found
    assert question.id == "one"
    assert scene.said.size == len(SAID)
    np.testing.assert_array_equal(scene.said.places, np.arange(len(SAID)))
