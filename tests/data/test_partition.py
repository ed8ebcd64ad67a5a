"""Splits: every id exactly once, the same for a seed whatever the order, never a conversation cut in two."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st

from memshadow.data.partition import Split, folds, hold_out, leave_one_out

IDS = st.lists(st.text("abé\x00/-0", max_size=6), min_size=2, max_size=30, unique=True)
quickly = settings(deadline=None, max_examples=60)


def check_whole(split: Split, ids: list[str]) -> None:
    """Assert that the two parts share nothing and are everything, neither empty."""
    assert split.training
    assert split.held_out
    assert sorted((*split.training, *split.held_out)) == sorted(ids)
    assert not set(split.training) & set(split.held_out)


@quickly
@given(IDS)
def test_leave_one_out_holds_out_each_once(ids: list[str]) -> None:
    splits = leave_one_out(ids)
    for split in splits:
        check_whole(split, ids)
    assert [split.held_out for split in splits] == [(one,) for one in sorted(ids)]


@quickly
@given(IDS, st.integers(2, 6), st.integers())
def test_folds_hold_out_each_once_in_equal_parts(ids: list[str], n: int, seed: int) -> None:
    n = min(n, len(ids))
    splits = folds(ids, n=n, seed=seed)
    for split in splits:
        check_whole(split, ids)
    assert sorted(one for split in splits for one in split.held_out) == sorted(ids)
    sizes = [len(split.held_out) for split in splits]
    assert len(sizes) == n
    assert max(sizes) - min(sizes) <= 1


@quickly
@given(IDS, st.floats(0.01, 0.99), st.integers())
def test_hold_out_takes_its_share_and_grows_with_it(ids: list[str], share: float, seed: int) -> None:
    split = hold_out(ids, share=share, seed=seed)
    check_whole(split, ids)
    assert abs(len(split.held_out) - share * len(ids)) <= 1
    assert set(hold_out(ids, share=share / 2, seed=seed).held_out) <= set(split.held_out)


@quickly
@given(IDS, st.integers(), st.randoms(use_true_random=False))
def test_the_order_of_the_ids_does_not_matter(ids: list[str], seed: int, shuffler: random.Random) -> None:
    mixed = shuffler.sample(ids, len(ids))
    assert folds(mixed, n=2, seed=seed) == folds(ids, n=2, seed=seed)
    assert hold_out(mixed, share=0.3, seed=seed) == hold_out(ids, share=0.3, seed=seed)


def test_a_seed_gives_the_same_split_for_ever_and_seeds_differ() -> None:
    ids = [f"conv-{n}" for n in range(10)]
    assert hold_out(ids, share=0.3, seed=0).held_out == ("conv-1", "conv-3", "conv-9")
    assert len({hold_out(ids, share=0.3, seed=seed).held_out for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leave_one_out(["a"]), "at least 2 conversations are needed for this split, 1 came"),
        (lambda: folds(["a", "b"], n=3, seed=0), "at least 3 conversations are needed"),
        (lambda: folds(["a", "b"], n=1, seed=0), "at least 2 folds are needed, 1 were asked for"),
        (lambda: hold_out(["a", "b"], share=1.0, seed=0), "a share between 0 and 1 is needed, 1.0 came"),
        (lambda: hold_out(["a", "b", "a"], share=0.5, seed=0), "these come more often: a"),
    ],
)
def test_what_cannot_be_split_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
