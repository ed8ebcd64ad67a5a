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
