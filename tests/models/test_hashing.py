"""Hashed words: their dot product is BM25's."""

import numpy as np
import pytest

from memshadow.errors import ConfigError
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.lexical import BM25, TermStatistics, terms
from memshadow.types import Passage, Turn

TEXTS = [
    "Caroline went to a pottery class with her kids",
    "Melanie's dog ran off into the hills, and the dog came back",
    "We hiked the canyon at sunrise",
    "The class cost forty dollars, pottery wheel included",
]


def embedder(**settings):
    return HashingEmbedder(**{"dim": 65536, "k1": 0.9, "b": 0.4, "mean_length": 5.0, "copies": 4, **settings})


def test_scores_are_bm25s_where_nothing_collides():
    statistics = TermStatistics.of(map(terms, TEXTS))
    exact = embedder(mean_length=statistics.mean_length)
    rows = exact.embed_passages([Passage(text=text) for text in TEXTS])
    for query in ("Who took the pottery class?", "the dog in the hills", "hiking"):
        expected = BM25(TEXTS, k1=0.9, b=0.4).scores(query)
        np.testing.assert_allclose(exact.embed_queries([query], statistics=statistics) @ rows.T, [expected], atol=1e-3)


def test_without_statistics_every_term_weighs_the_same():
    with_none, rare = embedder().embed_queries(["pottery", "pottery canyon"])
    assert with_none @ with_none == pytest.approx(1, abs=1e-5)
    assert rare @ rare == pytest.approx(2, abs=0.1)


def test_the_speaker_is_a_word_and_the_turns_around_are_not():
    told = embedder()
    alone = told.embed_passages([Passage(text=TEXTS[2], speaker="Caroline")])
    among = told.embed_passages([Passage(text=TEXTS[2], speaker="Caroline", before=(Turn(text=TEXTS[0]),))])
    np.testing.assert_array_equal(alone, among)
    assert float((alone @ told.embed_queries(["Caroline"]).T).item()) > 0.5


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"k1": -1.0}, {"b": 1.5}, {"mean_length": 0.0}, {"copies": 0}, {"copies": 17}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        embedder(**wrong)
