"""Windows cover, batches fit, pieces come together again."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from memshadow.models.chunking import batches, joined, unit, windows


@given(length=st.integers(0, 2000), limit=st.integers(1, 300))
def test_windows_cover_everything_once_in_the_fewest_equal_pieces(length, limit):
    cut = windows(length, limit)
    assert [place for window in cut for place in range(length)[window]] == list(range(length))
    sizes = [window.stop - window.start for window in cut]
    assert max(sizes) <= limit
    assert max(sizes) - min(sizes) <= 1
    assert len(cut) == max(1, -(-length // limit))


def test_a_window_of_nothing():
    with pytest.raises(ValueError, match="holds nothing"):
        windows(3, 0)


@given(
    lengths=st.lists(st.integers(1, 300), max_size=60),
    budget=st.integers(1, 1000),
    call_tokens=st.none() | st.integers(0, 500),
)
def test_batches_hold_every_place_once_within_the_budget_longest_first(lengths, budget, call_tokens):
    made = list(batches(lengths, budget, call_tokens=call_tokens))
    flat = [place for batch in made for place in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[place] for place in flat] == sorted(lengths, reverse=True)
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= budget


def spent(groups, lengths, call_tokens):
    return sum(len(group) * max(lengths[place] for place in group) + call_tokens for group in groups)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8), call_tokens=st.integers(0, 20))
def test_no_other_cut_costs_less_than_the_one_chosen(lengths, call_tokens):
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    inner = range(1, len(order))
    cuts = [cut for many in range(len(order)) for cut in combinations(inner, many)]
    best = min(spent([order[a:b] for a, b in pairwise([0, *cut, len(order)])], lengths, call_tokens) for cut in cuts)
    assert spent(list(batches(lengths, 10**6, call_tokens=call_tokens)), lengths, call_tokens) == best


def test_pieces_join_by_length_and_missing_owners_stay_zero():
    rows = np.array([[2, 0], [0, 5], [1, 0]], dtype=np.float32)
    found = joined(rows, [0, 0, 2], [3, 1, 9], 3)
    np.testing.assert_allclose(found, [[3 / 10**0.5, 1 / 10**0.5], [0, 0], [1, 0]], atol=1e-6)


def test_unit_leaves_zero_rows_alone():
    np.testing.assert_allclose(unit(np.array([[3, 4], [0, 0]], dtype=np.float32)), [[0.6, 0.8], [0, 0]], atol=1e-7)
