"""What is measured through a memory is what the retrievers measure."""

import numpy as np
from small import contextual, hashing, hybrid, memory

from memshadow.memory.ranking import VectorRanking
from memshadow.memory.retrieval import FusionRetriever, LexicalRetriever, VectorRetriever
from memshadow.memory.served import ServedRetriever
from memshadow.types import Memory

SAID = ["I moved to Rome", "Rome! When?", "In May, with the dog", "Look", "The dog likes Rome", "Good night"]
ASKED = ["Where is Rome?", "Whose dog is it?", "When did they move?"]


def conversation(name, *, notes=False):
    return [
        Memory(
            id=f"{name}{i}",
            conversation_id=name,
            session_id="" if notes else f"s{i // 3}",
            turn=i,
            speaker="Ann",
            text=text,
        )
        for i, text in enumerate(SAID)
    ]


def test_a_vector_memory_scores_as_the_vector_retriever():
    served = ServedRetriever(name="served", memory=memory(embedder=contextual(), ranking=VectorRanking()))
    direct = VectorRetriever(name="direct", embedder=contextual())
    for name in ("a", "b"):  # the second conversation is not disturbed by the first
        np.testing.assert_allclose(
            served.scores(conversation(name), ASKED), direct.scores(conversation(name), ASKED), atol=1e-5
        )


def test_lone_notes_are_added_without_a_session():
    kept = memory(embedder=contextual(), ranking=VectorRanking())
    served = ServedRetriever(name="served", memory=kept)
    direct = VectorRetriever(name="direct", embedder=contextual())
    notes = conversation("a", notes=True)
    np.testing.assert_allclose(served.scores(notes, ASKED), direct.scores(notes, ASKED), atol=1e-5)
    assert {record.scope.session for record in kept.at(user="a").everything()} == {None}
    assert not np.allclose(direct.scores(notes, ASKED), direct.scores(conversation("a"), ASKED))


def test_a_hybrid_memory_scores_as_the_fusion():
    served = ServedRetriever(name="served", memory=memory(ranking=hybrid()))
    parts = [VectorRetriever(name="v", embedder=hashing()), LexicalRetriever(name="w", k1=0.9, b=0.4)]
    direct = FusionRetriever(name="direct", method="minmax", parts=parts)
    np.testing.assert_allclose(
        served.scores(conversation("a"), ASKED), direct.scores(conversation("a"), ASKED), atol=1e-5
    )
