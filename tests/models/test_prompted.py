"""Words stand in front of queries, and nowhere else."""

import numpy as np

from memshadow.models.hashing import HashingEmbedder
from memshadow.models.prompted import PromptedEmbedder
from memshadow.types import Passage

INNER = HashingEmbedder(dim=64, k1=0.9, b=0.4, mean_length=12.0, copies=1)


def prompted(prefix):
    return PromptedEmbedder(embedder=INNER, query_prefix=prefix)


def test_queries_are_read_behind_the_prefix_and_passages_alone():
    found = prompted("search the hills: ")
    np.testing.assert_array_equal(found.embed_queries(["dog"]), INNER.embed_queries(["search the hills: dog"]))
    np.testing.assert_array_equal(
        found.embed_passages([Passage(text="dog")]), INNER.embed_passages([Passage(text="dog")])
    )


def test_a_blank_query_stays_blank():
    assert not prompted("search the hills: ").embed_queries(["", " \n"]).any()


def test_the_fingerprint_tells_prefix_and_embedder():
    assert len({INNER.fingerprint, prompted("a").fingerprint, prompted("b").fingerprint}) == 3
    other = PromptedEmbedder(embedder=prompted("b"), query_prefix="a")
    assert other.fingerprint != prompted("a").fingerprint
    assert prompted("a").fingerprint == prompted("a").fingerprint
