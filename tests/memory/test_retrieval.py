"""Every way of finding: scores of one conversation's memories for its questions."""

import numpy as np
import pytest

from memshadow.errors import ConfigError
from memshadow.memory.fusion import min_max, reciprocal_rank
from memshadow.memory.retrieval import FusionRetriever, LexicalRetriever, VectorRetriever, baselines
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.lexical import BM25, TermStatistics, terms
from memshadow.types import Memory, Passage

SAID = ["I moved to Rome", "Rome! When?", "In May, with the dog", "Look", "The dog likes Rome"]
ASKED = ["Where is Rome?", "Whose dog?", "?"]
MEMORIES = [
    Memory(
        id=str(i),
        conversation_id="c",
        session_id=f"s{i // 3}",
        turn=i,
        speaker="Ann" if i % 2 == 0 else "Bo",
        text=text,
        image_caption="a red kite" if text == "Look" else None,
    )
    for i, text in enumerate(SAID)
]
RENDERED = [m.rendered() for m in MEMORIES]


def encoder(dim=4096):
    return HashingEmbedder(dim=dim, k1=0.9, b=0.4, mean_length=3.0, copies=4)


class Fixed:
    """Scores as given."""

    def __init__(self, name, rows):
        self.name, self.rows = name, np.array(rows, dtype=np.float64)

    def scores(self, memories, questions):
        return self.rows[: len(questions), : len(memories)]


def test_words_are_bm25_over_rendered_memories():
    scores = LexicalRetriever(name="bm25", k1=0.9, b=0.4).scores(MEMORIES, [*ASKED, "Ann", "kite"])
    index = BM25(RENDERED, k1=0.9, b=0.4)
    np.testing.assert_array_equal(scores, [index.scores(q) for q in [*ASKED, "Ann", "kite"]])
    assert scores[3].argmax() in (0, 2, 4)
    assert scores[4].argmax() == 3


def test_vectors_are_products_with_the_statistics_of_the_conversation():
    scores = VectorRetriever(name="hashing", embedder=encoder()).scores(MEMORIES, ASKED)
    known = TermStatistics.of(map(terms, RENDERED))
    stored = encoder().embed_passages([Passage(text=text) for text in RENDERED])
    np.testing.assert_allclose(scores, encoder().embed_queries(ASKED, statistics=known) @ stored.T, atol=1e-6)
    assert scores.shape == (3, 5)
    assert not scores[2].any()


def test_an_embedder_gets_the_neighbours_that_it_reaches_and_no_more():
    class Reaching(HashingEmbedder):
        seen = ()
        reach = (2, 1)

        def embed_passages(self, passages):
            self.seen = [(len(p.before), len(p.after)) for p in passages]
            return super().embed_passages(passages)

    for reach, seen in (((2, 1), [(0, 1), (1, 1), (2, 0), (0, 1), (1, 0)]), ((0, 0), [(0, 0)] * 5)):
        embedder = Reaching(dim=8, k1=0.9, b=0.4, mean_length=3.0, copies=2)
        embedder.reach = reach
        VectorRetriever(name="x", embedder=embedder).scores(MEMORIES, ASKED)
        assert embedder.seen == seen


def test_fusion_is_of_its_parts():
    parts = [Fixed("a", [[3, 1, 2], [0, 0, 5]]), Fixed("b", [[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]])]
    rows = [part.rows for part in parts]
    fused = FusionRetriever(name="f", method="rrf", parts=parts).scores(MEMORIES[:3], ASKED[:2])
    np.testing.assert_array_equal(fused, reciprocal_rank(rows))
    fused = FusionRetriever(name="f", method="minmax", parts=parts).scores(MEMORIES[:3], ASKED[:2])
    np.testing.assert_array_equal(fused, min_max(rows, [0.5, 0.5]))


@pytest.mark.parametrize(
    ("method", "parts", "said"),
    [("rff", [Fixed("a", [[1]])], "method='rff'; choose rrf or minmax"), ("minmax", [], "needs parts")],
)
def test_a_fusion_of_nothing_or_in_no_known_way_is_refused(method, parts, said):
    with pytest.raises(ConfigError, match=said):
        FusionRetriever(name="f", method=method, parts=parts)


def test_the_baselines_stand_in_the_table_by_these_names():
    systems = baselines(encoder(dim=32), dim=48, k1=0.9, b=0.4, seed=0)
    assert [s.name for s in systems] == ["bm25", "hashing-32", "random-48", "fusion-rrf", "fusion-minmax"]
    minilm = encoder(dim=32)
    minilm.name = "minilm-onnx-int8"
    assert baselines(minilm, dim=48, k1=0.9, b=0.4, seed=0)[1].name == "minilm-32"
    for system in systems:
        scores = system.scores(MEMORIES, ASKED)
        assert scores.shape == (3, 5)
        assert np.isfinite(scores).all()


def test_the_random_baseline_has_its_width_and_its_seed():
    (one, other), same = (
        [baselines(encoder(), dim=48, k1=0.9, b=0.4, seed=seed)[2] for seed in (0, 1)],
        baselines(encoder(), dim=48, k1=0.9, b=0.4, seed=0)[2],
    )
    assert one.embedder.dim == 48
    np.testing.assert_array_equal(one.scores(MEMORIES, ASKED), same.scores(MEMORIES, ASKED))
    assert not np.allclose(one.scores(MEMORIES, ASKED), other.scores(MEMORIES, ASKED))
