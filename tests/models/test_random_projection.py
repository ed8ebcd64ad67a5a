"""Width alone gains nothing: the random projection keeps products up to noise."""

import numpy as np
import pytest

from memshadow.models.base import Embedder
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.lexical import TermStatistics, terms
from memshadow.models.random_projection import RandomProjection
from memshadow.types import Passage

TEXTS = ["the dog ran off into the hills", "a pottery class", "the dog came back", ""]


def encoder():
    return HashingEmbedder(dim=32, k1=0.9, b=0.4, mean_length=5.0, copies=2)


def projected(dim=64, seed=0):
    return RandomProjection(encoder=encoder(), dim=dim, seed=seed)


def rows(embedder):
    return embedder.embed_passages([Passage(text=text) for text in TEXTS])


def test_it_is_an_embedder_of_its_own_width():
    embedder = projected()
    assert isinstance(embedder, Embedder)
    assert (embedder.name, embedder.dim, embedder.normalised) == ("random-64", 64, False)
    assert rows(embedder).shape == (4, 64)
    assert rows(embedder).dtype == embedder.embed_queries(TEXTS).dtype == np.float32
    assert embedder.embed_passages([]).shape == embedder.embed_queries([]).shape == (0, 64)


def test_zero_rows_stay_zero_and_others_do_not():
    assert [bool(row.any()) for row in rows(projected())] == [True, True, True, False]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    np.testing.assert_array_equal(rows(projected()), rows(projected()))
    assert not np.allclose(rows(projected()), rows(projected(seed=1)))
    assert len({projected().fingerprint, projected(seed=1).fingerprint, projected(dim=32).fingerprint}) == 3


@pytest.mark.parametrize("seed", range(3))
def test_products_are_kept_the_better_the_wider(seed):
    exact = rows(encoder()) @ rows(encoder()).T
    errors = [abs(rows(projected(dim, seed)) @ rows(projected(dim, seed)).T - exact).max() for dim in (16, 16384)]
    assert errors[1] < 0.1 < errors[0]


def test_queries_get_the_statistics_of_the_scope():
    known = TermStatistics.of(map(terms, TEXTS))
    asked = projected(dim=16384).embed_queries(["dog", "pottery"], statistics=known)
    exact = encoder().embed_queries(["dog", "pottery"], statistics=known)
    np.testing.assert_allclose(asked @ asked.T, exact @ exact.T, atol=0.1)
