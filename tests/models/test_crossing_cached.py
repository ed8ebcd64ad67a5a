"""A pair is read once, in this process and in the next."""

import numpy as np

from memshadow.models.crossing import CrossEncoder
from memshadow.models.crossing_cached import CachedCrossEncoder


class Reader:
    name, fingerprint = "reader", "cross/1"

    def __init__(self):
        self.read = []

    def scores(self, query, texts):
        self.read += [(query, text) for text in texts]
        return np.array([len(query) - len(text) / 3 for text in texts], dtype=np.float32)


def test_it_is_a_cross_encoder_with_the_same_scores_and_name(tmp_path):
    made = CachedCrossEncoder(encoder=Reader(), folder=str(tmp_path))
    assert isinstance(made, CrossEncoder)
    assert (made.name, made.fingerprint) == ("reader", "cross/1")
    texts = ["b", "", "b", "\ud83d lone"]
    for _ in range(2):
        np.testing.assert_array_equal(made.scores("a question", texts), Reader().scores("a question", texts))
    assert made.scores("a question", []).shape == (0,)


def test_a_pair_is_read_once_and_never_again(tmp_path):
    first, second = Reader(), Reader()
    CachedCrossEncoder(encoder=first, folder=str(tmp_path)).scores("q", ["b", "c", "b"])
    again = CachedCrossEncoder(encoder=second, folder=str(tmp_path))
    again.scores("q", ["c", "d"])
    again.scores("qc", [""])  # other words in the same order
    assert first.read == [("q", "b"), ("q", "c")]
    assert second.read == [("q", "d"), ("qc", "")]


def test_what_was_written_half_is_read_again(tmp_path):
    CachedCrossEncoder(encoder=Reader(), folder=str(tmp_path)).scores("q", ["b", "c"])
    (file,) = (tmp_path / "pairs").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    reader = Reader()
    CachedCrossEncoder(encoder=reader, folder=str(tmp_path)).scores("q", ["b", "c", "d"])
    assert reader.read == [("q", "c"), ("q", "d")]
    whole = Reader()
    CachedCrossEncoder(encoder=whole, folder=str(tmp_path)).scores("q", ["b", "c", "d"])
    assert whole.read == []
