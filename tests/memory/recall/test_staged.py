"""Recall in stages, as every ranking promises: over ``configs/ranking``, and with rankers made for the test."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from omegaconf import OmegaConf
from place import asked, block, chat, mask, turn, viewer

from memshadow.config import build, config_dir, load
from memshadow.memory.ranking import Ranking
from memshadow.memory.recall.rankers.trained import SHIPPED, TreeRanker
from memshadow.memory.recall.second import Looked
from memshadow.memory.recall.staged import StagedRanking

NAMES = sorted(file.stem for file in (config_dir() / "ranking").glob("*.yaml"))
TEXT = "word1 word2 What of word3?"


class Backwards:
    """Puts the last candidate first; all equal where ``step`` is 0."""

    name, fingerprint = "backwards", "1"

    def __init__(self, step=1.0):
        self.step = step

    def scores(self, scene):
        return self.step * np.arange(len(scene.chosen), dtype=np.float64)

    def notes(self, scene):
        return ("backwards",)


class Swapping:
    """Looks at the two best and turns them about."""

    def look(self, scene, asked, scores):
        first, seen, looked = np.argsort(-scores)[:2], np.full(len(scores), np.nan), scores.copy()
        looked[first], seen[first] = looked[first[::-1]], (3.0, 4.0)
        return Looked(looked, seen, ("swapped",))


def staged(ranker=None, second=None, **changed):
    return StagedRanking(viewer=viewer(**changed), ranker=ranker or Backwards(), second=second)


def ranked(ranking, here, *, k, without=(), text=TEXT, allowed=None, **more):
    allowed = mask(here.size, without) if allowed is None else allowed
    vector = np.random.default_rng(1).normal(size=here.matrix.shape[1])
    return ranking.rank(here, allowed, asked(here, allowed, text, vector, **more), k=k)


@pytest.fixture(scope="module", params=NAMES)
def ranking(request):
    """The ranking of each file, with the packaged ranker where it needs one of one's own."""
    more = {"trained": [f"ranking.ranker.model={SHIPPED}"]}.get(request.param, [])
    return build(OmegaConf.create(OmegaConf.to_container(load("memory", [f"ranking={request.param}", *more]).ranking)))


def test_it_is_a_ranking(ranking):
    assert isinstance(ranking, Ranking)


@pytest.mark.parametrize("without", [(), range(0, 60, 2), range(1, 60), range(60)])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_best_allowed_come_once_and_scores_never_rise(ranking, without, k):
    found = ranked(ranking, chat(60), k=k, without=without)
    left = 60 - len(without)
    assert len(found.places) == len(found.scores) == len(found.among) == min(k, left)
    assert len(set(found.places.tolist())) == len(found.places)
    assert not set(found.places.tolist()) & set(without)
    assert np.isfinite(found.scores).all()
    assert (np.diff(found.scores) <= 0).all()
    for part in found.parts.values():
        assert len(part) >= len(found.among)
        assert len(found.among) == 0 or found.among.max() < len(part)


def test_fewer_are_the_first_of_more(ranking):
    all_, some = (ranked(ranking, chat(60), k=k) for k in (60, 7))
    assert some.places.tolist() == all_.places[:7].tolist()
    assert some.scores.tolist() == all_.scores[:7].tolist()


def test_the_parts_stand_where_the_hit_says(ranking):
    here = chat(60)
    found = ranked(ranking, here, k=60, without=range(0, 60, 2))
    vector = here.scores(np.random.default_rng(1).normal(size=8).astype(np.float32))
    np.testing.assert_allclose(found.parts["vector"][found.among], vector[found.places], rtol=1e-5)


def test_nothing_gives_nothing(ranking):
    for found in (ranked(ranking, block([]), k=5), ranked(ranking, chat(9), k=5, without=range(9))):
        assert (found.places.tolist(), found.scores.tolist(), found.among.tolist()) == ([], [], [])


def test_it_says_the_same_twice_and_in_threads(ranking):
    here = chat(60)

    def ask(_):
        found = ranked(ranking, here, k=20)
        return found.places.tolist(), found.scores.tolist()

    right = ask(0)
    with ThreadPoolExecutor(4) as pool:
        assert set(map(repr, pool.map(ask, range(8)))) == {repr(right)}


def test_equal_versions_keep_the_order_of_adding(ranking):
    here = block([turn("tea", session=None, speaker="") for _ in range(9)])
    assert ranked(ranking, here, k=9, text="rain").places.tolist() == list(range(9))


def test_candidates_stand_as_the_ranker_has_them_and_the_others_behind_by_the_fusion():
    here, allowed = chat(60), mask(60)
    found = ranked(staged(candidates=10, listed=10), here, k=60, allowed=allowed)
    vector = np.random.default_rng(1).normal(size=8)
    scene = viewer(candidates=10, listed=10).see(here, allowed, asked(here, allowed, TEXT, vector))
    assert found.places[:10].tolist() == scene.said.places[scene.here[::-1]].tolist()
    assert sorted(found.places.tolist()) == list(range(60))
    behind = scene.smoothed[found.among[10:]]
    assert (np.diff(behind) <= 0).all()
    np.testing.assert_allclose(np.diff(found.scores[10:]), np.diff(behind), atol=1e-9)
    assert found.scores[10] == found.scores[9] - 1
    assert found.notes == ("backwards",)


def test_equal_scores_keep_the_order_of_candidates():
    here, allowed = chat(60), mask(60)
    vector = np.random.default_rng(1).normal(size=8)
    scene = viewer().see(here, allowed, asked(here, allowed, TEXT, vector))
    found = ranked(staged(Backwards(0.0)), here, k=5)
    assert found.places.tolist() == scene.said.places[scene.here[:5]].tolist()


def test_a_part_is_nan_only_where_it_did_not_look():
    found = ranked(staged(candidates=10, listed=10, second=Swapping()), chat(60), k=60)
    looked = {name: np.flatnonzero(~np.isnan(part)).tolist() for name, part in found.parts.items()}
    assert looked["vector"] == looked["words"] == looked["context"] == list(range(60))
    assert sorted(found.among[:10].tolist()) == looked["ranker"]
    assert sorted(found.among[:2].tolist()) == looked["second"]
    assert found.parts["second"][found.among[:2]].tolist() == [4.0, 3.0]
    assert found.notes == ("backwards", "swapped")


def test_in_a_large_scope_as_many_come_as_are_asked_for():
    found = ranked(staged(exact_below=10), chat(600), k=500)
    assert len(set(found.places.tolist())) == 500
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("most", [5_000, 10])
@pytest.mark.parametrize("k", [7, 100, 600])
def test_hits_are_of_those_that_pass_and_visible_alone(ranking, most, k):
    here, visible, allowed = chat(600), mask(600, range(0, 600, 3)), mask(600, range(300))
    if isinstance(ranking, StagedRanking):
        ranking = StagedRanking(viewer=viewer(exact_below=most), ranker=ranking.ranker)
    elif most == 10:
        return
    passing = visible & allowed
    found = ranked(ranking, here, k=k, allowed=passing, visible=visible)
    assert len(set(found.places.tolist())) == len(found.places) == min(k, passing.sum())
    assert passing[found.places].all()
    assert (np.diff(found.scores) <= 0).all()
    assert all(len(part) <= passing.sum() for part in found.parts.values())
    vector = here.scores(np.random.default_rng(1).normal(size=8).astype(np.float32))
    np.testing.assert_allclose(found.parts["vector"][found.among], vector[found.places], rtol=1e-5)
    if isinstance(ranking, StagedRanking):  # where a caller allows what is not visible
        again = ranked(ranking, here, k=k, allowed=allowed, visible=visible)
        assert again.places.tolist() == found.places.tolist()


def test_how_many_are_asked_for_does_not_change_the_first_in_a_large_scope():
    here = block([turn(f"word{n % 7} word{n % 5}", session=f"s{n // 10}", turn=n % 10) for n in range(400)])
    allowed = mask(here.size)
    ask = asked(here, allowed, TEXT, np.random.default_rng(3).normal(size=here.matrix.shape[1]))
    narrow = StagedRanking(viewer=viewer(exact_below=10, candidates=20, listed=20), ranker=TreeRanker(model="packaged"))
    few, many = (narrow.rank(here, allowed, ask, k=k) for k in (10, 400))
    assert many.places[:10].tolist() == few.places.tolist()
    assert sorted(many.places.tolist()) == list(range(400))
    assert (np.diff(many.scores) <= 0).all()
    assert all(len(part) >= many.among.max() + 1 for part in many.parts.values())
