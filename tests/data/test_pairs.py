"""Pairs made of conversations: who asks, who answers, what is no answer."""

import numpy as np
import pytest

from memshadow.data.pairs import EvidencePairs, NeighbourPairs, TrainingPair, passages
from memshadow.types import Conversation, Memory, Question


def said(number, text, session="s"):
    return Memory(id=f"m{number}", conversation_id="c", session_id=session, turn=number, speaker="A", text=text)


MEMORIES = (said(0, "I bought a boat"), said(1, "It is red"), said(2, "Nice"), said(3, "Hello again", "t"))


def talk(*questions):
    asked = tuple(
        Question(id=f"q{i}", conversation_id="c", text=text, evidence=evidence)
        for i, (text, evidence) in enumerate(questions)
    )
    return Conversation(id="c", memories=MEMORIES, questions=asked)


def falling(queries, texts):
    """Score the first passage highest."""
    return -np.tile(np.arange(len(texts), dtype=np.float32), (len(queries), 1))


def test_a_passage_reads_its_own_session_only():
    assert passages(MEMORIES, turns_before=1) == [
        "A: I bought a boat",
        "A: I bought a boat\nA: It is red",
        "A: It is red\nA: Nice",
        "A: Hello again",
    ]
    assert passages(MEMORIES, turns_before=0) == [memory.rendered() for memory in MEMORIES]


NOTES = tuple(said(i, f"note number {i}", "") for i in range(3))


def test_lone_notes_have_no_neighbours():
    assert passages(NOTES, turns_before=2) == [note.rendered() for note in NOTES]
    assert NeighbourPairs(min_chars=5).pairs([Conversation(id="c", memories=NOTES)], falling) == []
    mixed = (*MEMORIES[:2], *NOTES[:2])
    assert passages(mixed, turns_before=1)[1:] == ["A: I bought a boat\nA: It is red", *map(Memory.rendered, NOTES[:2])]


def test_each_evidence_turn_is_a_pair_and_no_evidence_is_a_negative():
    source = EvidencePairs(negatives=1, skip=0, turns_before=0)
    pairs = source.pairs([talk(("what boat?", ("m1", "m0")), ("nothing", ()))], falling)
    assert pairs == [
        TrainingPair("what boat?", "A: It is red", ("A: Nice",)),
        TrainingPair("what boat?", "A: I bought a boat", ("A: Nice",)),
    ]


@pytest.mark.parametrize(("skip", "count", "wanted"), [(0, 2, (0, 2)), (1, 2, (2, 3)), (2, 5, (3,)), (9, 5, ())])
def test_the_best_scored_are_taken_after_those_skipped(skip, count, wanted):
    pair = EvidencePairs(negatives=count, skip=skip, turns_before=0).pairs([talk(("red?", ("m1",)))], falling)[0]
    assert pair.negatives == tuple(MEMORIES[place].rendered() for place in wanted)


def test_a_conversation_without_questions_is_not_scored():
    assert EvidencePairs(negatives=1, skip=0, turns_before=0).pairs([talk()], lambda q, t: 1 / 0) == []


def test_neighbours_share_a_session_and_say_something():
    pairs = NeighbourPairs(min_chars=5).pairs([talk()], falling)
    assert pairs == [TrainingPair("A: I bought a boat", "A: It is red", ())]
