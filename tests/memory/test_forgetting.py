"""What an embedder still knows outside memories."""

import numpy as np
import pytest

from memshadow.memory.forgetting import retrieval, similarity
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.metrics import spearman
from memshadow.types import Conversation, Memory, Passage, Question, TextPair

PAIRS = [
    TextPair(first="a dog runs in the hills", second="the dog ran in hills", similarity=1.0),
    TextPair(first="a dog runs", second="a dog sleeps", similarity=0.5),
    TextPair(first="a dog runs in the hills", second="forty dollars", similarity=0.0),
    TextPair(first="", second="forty dollars", similarity=0.1),
]


def encoder():
    return HashingEmbedder(dim=4096, k1=0.9, b=0.4, mean_length=3.0, copies=4)


def test_similarity_is_the_rank_correlation_of_cosines():
    assert similarity(encoder(), PAIRS[:3]) == pytest.approx(1)
    turned = [TextPair(first=p.first, second=p.second, similarity=1 - p.similarity) for p in PAIRS[:3]]
    assert similarity(encoder(), turned) == pytest.approx(-1)


def test_length_does_not_matter_to_a_cosine():
    class Scaled(HashingEmbedder):
        def embed_queries(self, texts, *, statistics=None):
            return super().embed_queries(texts) * np.arange(1, len(texts) + 1, dtype=np.float32)[:, None]

    scaled = Scaled(dim=4096, k1=0.9, b=0.4, mean_length=3.0, copies=4)
    assert similarity(scaled, PAIRS) == pytest.approx(similarity(encoder(), PAIRS))


def test_blank_text_has_no_cosine_and_makes_no_nan():
    assert np.isfinite(similarity(encoder(), PAIRS))


def test_both_directions_count_alike():
    class OneSided(HashingEmbedder):
        """Reads the first word only of what is asked."""

        def embed_queries(self, texts, *, statistics=None):
            return super().embed_queries([text.split()[0] for text in texts])

    pairs = [
        TextPair(first="dog hills", second="cat dog", similarity=0.3),
        TextPair(first="rome cat", second="rome dog", similarity=0.9),
        TextPair(first="lake sea", second="sun moon", similarity=0.1),
    ]
    embedder = OneSided(dim=4096, k1=0.9, b=0.4, mean_length=3.0, copies=4)

    def cosine(asked, stored):
        query = embedder.embed_queries([asked])[0]
        row = embedder.embed_passages([Passage(text=stored)])[0]
        return query @ row / np.linalg.norm(query) / np.linalg.norm(row)

    expected = np.array([(cosine(p.first, p.second) + cosine(p.second, p.first)) / 2 for p in pairs])
    turned = [TextPair(first=p.second, second=p.first, similarity=p.similarity) for p in pairs]
    gold = np.array([p.similarity for p in pairs])
    assert similarity(embedder, pairs) == similarity(embedder, turned) == pytest.approx(spearman(expected, gold))


def test_retrieval_is_ndcg_over_the_questions_of_a_corpus():
    said = ["the dog ran off", "a pottery class", "forty dollars"]
    memories = tuple(
        Memory(id=str(i), conversation_id="c", session_id="s", turn=i, speaker="", text=text)
        for i, text in enumerate(said)
    )
    asked = (("dog", "0"), ("pottery", "1"), ("nothing of it", "1"))
    questions = tuple(
        Question(id=text, conversation_id="c", text=text, evidence=(gold,)) for text, gold in asked
    )  # fmt: skip
    found = retrieval(encoder(), [Conversation(id="c", memories=memories, questions=questions)])
    assert found.n == 3
    assert found.mean == pytest.approx((1 + 1 + 1 / np.log2(3)) / 3)
