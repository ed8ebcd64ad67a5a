"""Several scores become one, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from memshadow.memory.fusion import min_max, reciprocal_rank

WORDS = np.array([[3.0, 1.0, 2.0], [0.0, 0.0, 5.0]])
DENSE = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]])


def test_reciprocal_rank_by_hand():
    expected = [
        [1 / 61 + 1 / 63, 1 / 63 + 1 / 61, 1 / 62 + 1 / 62],
        [1 / 62 + 1 / 61, 1 / 63 + 1 / 62, 1 / 61 + 1 / 63],
    ]
    np.testing.assert_allclose(reciprocal_rank([WORDS, DENSE]), expected, rtol=1e-12)


def test_min_max_by_hand():
    expected = [
        [0.75 * 1 + 0.25 * 0, 0.75 * 0 + 0.25 * 1, 0.75 * 0.5 + 0.25 * 0.5],
        [0.75 * 0 + 0.25 * 1, 0.75 * 0 + 0.25 * 0.5, 0.75 * 1 + 0.25 * 0],
    ]
    np.testing.assert_allclose(min_max([WORDS, DENSE], [0.75, 0.25]), expected, rtol=1e-12)


def test_a_part_that_tells_nothing_counts_nothing():
    flat = np.full((2, 3), 7.0)
    np.testing.assert_allclose(min_max([WORDS, flat], [1, 1]), min_max([WORDS], [1]))
    assert not min_max([flat], [1]).any()


def test_each_part_needs_a_weight():
    with pytest.raises(ValueError, match="zip"):
        min_max([WORDS, DENSE], [1.0])


def test_equal_scores_keep_the_order_of_saying():
    np.testing.assert_allclose(reciprocal_rank([np.zeros((1, 3))]), [[1 / 61, 1 / 62, 1 / 63]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-9, 9), min_size=4, max_size=4), min_size=1, max_size=4), st.integers(1, 5))
def test_ranks_and_spreads_are_blind_to_scale(rows, scale):
    scores = np.array(rows, dtype=np.float64)
    np.testing.assert_allclose(reciprocal_rank([scores]), reciprocal_rank([scale * scores - 3]))
    np.testing.assert_allclose(min_max([scores], [1]), min_max([scale * scores - 3], [1]), atol=1e-12)
    np.testing.assert_array_equal(
        np.argsort(-reciprocal_rank([scores]), axis=1, kind="stable"), np.argsort(-scores, axis=1, kind="stable")
    )
