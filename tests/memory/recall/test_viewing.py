"""From a block and a question to a scene: all of a small scope, the best and their neighbours of a large one."""

from datetime import timedelta

import numpy as np
import pytest
from place import START, asked, block, chat, mask, turn, viewer

from memshadow.data.index.columns import microseconds
from memshadow.errors import ConfigError
from memshadow.memory.recall.features.table import FeatureTable

TEXT = "word1 word2 What of word3?"


def both(here, *, without=(), k=0, candidates=20, listed=60):
    """Return what is seen with everything scored, and with only the best of each list."""
    allowed = mask(here.size, without)
    ask = asked(here, allowed, TEXT, np.random.default_rng(1).normal(size=here.matrix.shape[1]))
    given = {"candidates": candidates, "listed": listed}
    return [viewer(exact_below=most, **given).see(here, allowed, ask) for most in (10_000, 10)]


@pytest.mark.parametrize("without", [(), range(0, 600, 3), range(500)])
def test_in_a_large_scope_candidates_look_as_if_everything_had_been_scored(without):
    # What may differ is what the versions that were not scored would add: session means and ranks below the best.
    whole, near = both(chat(600, sessions=12), without=without)
    assert len(whole.among) == whole.said.size
    assert len(near.among) < len(whole.among) or whole.said.size == 100
    assert len(set(near.here) & set(whole.here)) >= 16  # of 20
    same = [n for n, here in enumerate(near.here) if here in set(whole.here)]
    there = [whole.here.tolist().index(near.here[n]) for n in same]
    table = FeatureTable(groups=("own", "neighbours", "form", "speaker", "time", "scope"), without=RANKED)
    np.testing.assert_allclose(table.rows(near)[:, same], table.rows(whole)[:, there], atol=1e-6)
    best = FeatureTable(groups=("session",), without=AVERAGED)
    np.testing.assert_allclose(best.rows(near)[:, same], best.rows(whole)[:, there], atol=1e-6)


RANKED = [f"own/log_rank_{name}" for name in ("vector", "whole", "bare", "window", "fused")]
AVERAGED = [
    f"session/{what}_{name}" for what in ("mean", "log_rank", "best_three") for name in ("vector", "bare", "fused")
]


def test_four_turns_to_either_side_of_the_best_are_scored():
    here = chat(600, sessions=600)
    _, near = both(here, candidates=3, listed=3)
    at = set(near.among.tolist())
    best = np.argsort(-near.scores["vector"])[:3]
    for place in near.among[best]:
        assert {n for n in range(place - 4, place + 5) if 0 <= n < 600} <= at


def test_the_nearest_that_are_allowed_are_scored_however_near_others_are():
    here = block([turn(f"line {n}", session=None) for n in range(200)], np.arange(200.0)[:, None])
    allowed = mask(200, range(100, 200))
    near = viewer(exact_below=10, candidates=5, listed=5).see(here, allowed, asked(here, allowed, "", [1.0]))
    assert set(range(95, 100)) <= set(near.among.tolist())
    assert 99 in near.here


@pytest.mark.parametrize("most", [5_000, 10])
@pytest.mark.parametrize("norm", [1e19, 1e25])
def test_products_that_do_not_fit_into_32_bits_still_rank(most, norm):
    rows = norm * np.random.default_rng(0).normal(size=(60, 4))
    here, allowed = block([turn(f"word{n}", turn=n) for n in range(60)], rows), mask(60)
    ask = asked(here, allowed, "word3", [norm] * 4)
    with np.errstate(over="ignore", invalid="ignore"):  # the block's own product
        scene = viewer(exact_below=most, candidates=8, listed=8).see(here, allowed, ask)
    assert np.isfinite(scene.smoothed).all()
    assert np.isfinite(FeatureTable().rows(scene)).all()


@pytest.mark.parametrize("most", [5_000, 10])
@pytest.mark.parametrize("few", [range(0, 600, 2), range(30, 600)], ids=["every other", "30 of 600"])
def test_a_filter_leaves_candidates_as_they_are_and_takes_the_context_of_none(most, few):
    here, visible, allowed = chat(600, sessions=12), mask(600), mask(600, few)
    ask = asked(here, visible, TEXT, np.random.default_rng(1).normal(size=8), visible=visible)
    given = {"candidates": 600, "listed": 600, "exact_below": most}  # so that whoever passes is a candidate
    free, some = (viewer(**given).see(here, mask_, ask) for mask_ in (visible, allowed))
    assert sorted(some.said.places[some.here]) == np.flatnonzero(allowed).tolist()
    of = {place: n for n, place in enumerate(free.said.places[free.here].tolist())}
    there = [of[place] for place in some.said.places[some.here].tolist()]
    np.testing.assert_array_equal(FeatureTable().rows(some), FeatureTable().rows(free)[:, there])


def test_a_filter_that_lets_everything_pass_changes_nothing():
    here, visible = chat(200, sessions=12), mask(200)
    ask = asked(here, visible, TEXT, np.random.default_rng(1).normal(size=8), visible=visible)
    for most in (5_000, 10):
        one, two = (viewer(exact_below=most).see(here, allowed, ask) for allowed in (visible, mask(200)))
        assert one.said is not two.said  # two viewers
        np.testing.assert_array_equal(one.here, two.here)
        np.testing.assert_array_equal(FeatureTable().rows(one), FeatureTable().rows(two))


def test_as_many_of_those_that_pass_are_candidates_as_there_may_be():
    here, visible, allowed = chat(600), mask(600), mask(600, range(0, 600, 2))
    ask = asked(here, visible, TEXT, np.random.default_rng(1).normal(size=8), visible=visible)
    for most in (5_000, 10):
        scene = viewer(candidates=40, listed=40, exact_below=most).see(here, allowed, ask)
        assert len(scene.here) == 40
        assert allowed[scene.said.places[scene.here]].all()
        assert len(scene.among) > scene.passing.sum() >= 40


def test_far_from_the_best_the_nearest_that_pass_are_found_with_the_turns_beside_them():
    here = block([turn(f"line {n}", session=f"s{n // 10}", turn=n % 10) for n in range(400)], np.arange(400.0)[:, None])
    visible, allowed = mask(400), mask(400, range(51, 400))
    scene = viewer(exact_below=10, candidates=9, listed=9).see(
        here, allowed, asked(here, visible, "", [1.0], visible=visible)
    )
    assert {48, 49, 50} <= set(scene.here)  # though hundreds that do not pass are nearer
    assert {*range(42, 55), *range(391, 400)} <= set(scene.among.tolist())
    np.testing.assert_allclose(scene.norms["vector"][scene.among == 399], 1)  # the best of all, not of those that pass


def test_the_best_that_pass_by_their_words_are_found_however_many_say_them_better():
    said_ = ["rare"] * 3 + ["rare long line that says it once"] + ["tea"] * 3
    turns = [turn(said_[min(n // 10, 6)], session=None) for n in range(70)]
    here = block(turns, np.arange(70.0)[:, None])
    visible, allowed = mask(70), mask(70, range(30))
    ask = asked(here, visible, "rare", [1.0], visible=visible)
    scene = viewer(exact_below=10, candidates=5, listed=5).see(here, allowed, ask)
    assert set(range(30, 35)) <= set(scene.among.tolist())
    assert scene.here[0] == 30


def test_what_is_not_visible_is_not_seen_though_it_be_allowed():
    here, visible, allowed = chat(60), mask(60, range(30)), mask(60, range(50, 60))
    for most in (5_000, 10):
        scene = viewer(exact_below=most).see(here, allowed, asked(here, visible, TEXT, visible=visible))
        assert set(scene.said.places) == set(range(30, 60))
        assert set(scene.said.places[scene.here]) == set(range(30, 50))
    assert viewer().see(here, mask(60, range(30, 60)), asked(here, visible, TEXT, visible=visible)) is None


def test_the_order_of_saying_is_worked_out_once_for_all_filters():
    here, visible, seen = chat(60), mask(60), viewer()
    ask = asked(here, visible, TEXT, visible=visible)
    scenes = [seen.see(here, allowed, ask) for allowed in (visible, mask(60, range(9)), mask(60, range(9, 60)))]
    assert all(scene.said is scenes[0].said for scene in scenes)


def test_as_many_are_scored_as_are_asked_for():
    for scene in both(chat(600), k=400):
        assert len(scene.among) >= 400
        assert len(scene.chosen) == 20


def test_nothing_forbidden_is_seen():
    for scene in both(chat(600), without=range(0, 600, 2)):
        assert (scene.said.places[scene.among] % 2 == 1).all()


def test_where_nothing_is_allowed_nothing_is_seen():
    here = chat(10)
    assert viewer().see(here, mask(10, range(10)), asked(here, mask(10), TEXT)) is None


def test_an_event_is_when_the_turn_says_that_tells_of_it():
    here = block([turn("I adopted a dog", day=0), turn("We went sailing", day=10), turn("Nice weather", day=20)])
    allowed = mask(3)

    def spans(text):
        return viewer().see(here, allowed, asked(here, allowed, text)).question.spans

    moment = microseconds(START + timedelta(days=10))
    assert spans("What did she get before they went sailing?") == ((-np.inf, moment),)
    assert spans("What did she see after they went sailing?") == ((moment + 1, np.inf),)
    assert spans("What did she get before they flew to the moon?") == ()  # nobody told of it
    assert spans("When did they go sailing?") == ()


@pytest.mark.parametrize(("candidates", "listed"), [(0, 10), (10, 9)])
def test_numbers_that_do_not_fit_are_refused(candidates, listed):
    with pytest.raises(ConfigError, match="needed: 1 or more, and listed not below it"):
        viewer(candidates=candidates, listed=listed)
