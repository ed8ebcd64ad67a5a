"""What is seen of a scope: the lists, candidates, neighbours and sessions, held to plain loops."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from place import asked, block, chat, mask, turn, viewer

from memshadow.memory.recall.scene import LISTS, VALUES, ranks

SEEN = "word1 word2 word3 word4"


def seen(here, text=SEEN, *, without=(), vector=None, k=0, **changed):
    allowed = mask(here.size, without)
    if vector is None:
        vector = np.random.default_rng(1).normal(size=here.matrix.shape[1])
    return viewer(**changed).see(here, allowed, asked(here, allowed, text, vector))


def test_the_best_of_a_list_is_1_and_an_unrelated_version_0():
    here = block([turn("tea"), turn("tea milk"), turn("rain")], [[2, 0], [1, 0], [0, 0]])
    scene = seen(here, "milk", vector=[1, 0])
    np.testing.assert_allclose(scene.norms["vector"], [1, 0, -1])  # its mean, 1, counts as unrelated
    assert scene.norms["whole"].tolist() == [0, 1, 0]
    assert scene.background == 1
    np.testing.assert_allclose(scene.fused, [0.25, 0.75, 0])  # the last: -1 and, in the window, 1
    assert scene.scores["vector"].tolist() == [2, 1, 0]


def test_a_list_without_a_best_says_nothing():
    here = block([turn("tea"), turn("milk")])
    scene = seen(here, "rain", vector=np.ones(4))
    assert all(scene.norms[name].tolist() == [0, 0] for name in LISTS)


def test_ranks_begin_at_0_and_equal_ones_keep_their_order():
    assert ranks(np.array([1.0, 3.0, 1.0, 3.0])).tolist() == [2, 0, 3, 1]
    assert ranks(np.zeros(0)).tolist() == []


@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e300, 5e-324, np.inf, -np.inf]) | st.floats(allow_nan=False)),
    st.integers(1, 400),
)
def test_ranks_of_many_are_those_of_a_stable_sort(few, times):
    values = np.array(few * times, dtype=np.float64)
    right = np.argsort(np.argsort(-values, kind="stable"), kind="stable")
    np.testing.assert_array_equal(ranks(values), right)


def test_values_that_differ_in_their_last_bits_are_told_apart():
    values = 1.0 + np.spacing(1.0) * np.random.default_rng(0).permutation(2_000)
    assert ranks(values).tolist() == np.argsort(np.argsort(-values)).tolist()


@pytest.mark.parametrize("changed", [{"candidates": 40}, {"exact_below": 10, "candidates": 3, "listed": 3}])
def test_the_smoothed_fusion_adds_half_of_the_better_neighbour_of_the_session(changed):
    scene = seen(chat(200, sessions=70), **changed)
    at = {int(here): n for n, here in enumerate(scene.among)}
    for here, n in at.items():
        beside = [m for m in (here - 1, here + 1) if m in at and scene.said.session[m] == scene.said.session[here]]
        ends = [0.0] * (2 - len(beside))
        right = scene.fused[n] + 0.5 * max([*(scene.fused[at[m]] for m in beside), *ends])
        assert scene.smoothed[n] == pytest.approx(right)


def test_candidates_are_best_first_and_no_more_than_asked_for():
    scene = seen(chat(100), candidates=10, listed=10)
    merit = [
        min(r["smoothed"][n], 1.5 * r["whole"][n], 2 * r["vector"][n], 2 * r["window"][n])
        for r in [scene.ranks]
        for n in range(100)
    ]
    assert scene.chosen.tolist() == sorted(range(100), key=lambda n: (merit[n], n))[:10]
    assert len(seen(chat(5)).chosen) == 5


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("without", [(), range(0, 80, 3)])
def test_neighbours_and_sessions_are_as_plain_loops_give_them(few, without):
    scene = seen(chat(80, sessions=9), without=without, **({"exact_below": 10, "listed": 40} if few else {}))
    said, place = scene.said, {int(at): n for n, at in enumerate(scene.among)}
    for lag in (-4, -1, 1, 3):
        for name in VALUES:
            values, found = scene.values(name), scene.beside(name, lag)
            for n, here in enumerate(scene.here):
                there = here + lag
                known = there in place and said.session[there] == said.session[here]
                assert found[n] == (values[place[there]] if known else 0)
        lengths = scene.neighbour(said.lengths, lag)
        for n, here in enumerate(scene.here):
            known = 0 <= here + lag < said.size and said.session[here + lag] == said.session[here]
            assert lengths[n] == (said.lengths[here + lag] if known else 0)
    session = said.session[scene.among]
    assert scene.sizes.tolist() == np.unique(session, return_counts=True)[1].tolist()
    for name in ("vector", "bare", "fused"):
        values = scene.values(name)
        best = [np.sort(values[session == one])[::-1][:3] for one in np.unique(session)]
        np.testing.assert_allclose(scene.top(name), [one.mean() for one in best], atol=1e-12)


def test_the_plain_fusion_is_vector_and_words_and_in_a_chat_the_neighbours_too():
    alone = seen(block([turn(f"word{n}") for n in range(5)]))
    np.testing.assert_allclose(alone.plain, (alone.norms["vector"] + alone.norms["whole"]) / 2)
    talk = seen(chat(60))
    assert talk.said.chat == 1
    np.testing.assert_allclose(talk.plain, talk.smoothed / 1.5)
