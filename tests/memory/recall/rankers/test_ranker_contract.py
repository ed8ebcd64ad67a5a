"""What every ranker promises, whatever is missing where it is asked: laws over ``configs/ranker``."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from lesson import LEARNERS, PLACES, seen, viewer
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.memory.recall.rankers.base import Ranker
from memshadow.memory.recall.rankers.trained import PACKAGED, SHIPPED
from memshadow.memory.recall.viewing import Viewer

FILES = {file.stem: file for file in sorted((config_dir() / "ranker").glob("*.yaml"))}
ASKED = {place: seen(talk) for place, talk in PLACES.items()}


@pytest.fixture(params=FILES)
def ranker(request, trained):
    """The ranker of each file; where it needs a model of one's own, what a learner left: that of its name."""
    node = OmegaConf.load(FILES[request.param])
    if OmegaConf.is_missing(node, "model"):
        node.model = str(trained(request.param if request.param in LEARNERS else LEARNERS[0]).model)
    elif node.get("model") == PACKAGED and not SHIPPED.is_dir():
        pytest.skip("no ranker comes along with this checkout: train one into memory/recall/rankers/shipped")
    return build(node)


def test_it_is_a_ranker(ranker):
    assert isinstance(ranker, Ranker)
    assert ranker.name
    assert ranker.fingerprint


@pytest.mark.parametrize("place", PLACES)
def test_every_candidate_gets_a_finite_score_whatever_is_missing(ranker, place):
    for scene in ASKED[place]:
        scores = ranker.scores(scene)
        assert scores.shape == scene.chosen.shape
        assert np.isfinite(scores).all()


def test_it_says_the_same_twice_and_in_several_threads(ranker):
    expected = [ranker.scores(scene).tolist() for scene in ASKED["many"]]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: [ranker.scores(scene).tolist() for scene in seen(PLACES["many"])], range(8)):
            assert found == expected


def test_it_changes_nothing_in_the_scene(ranker):
    scene = seen(PLACES["many"])[0]
    before = {name: scores.copy() for name, scores in scene.scores.items()}
    chosen = scene.chosen.copy()
    ranker.scores(scene)
    assert all((scene.scores[name] == scores).all() for name, scores in before.items())
    assert (scene.chosen == chosen).all()


def test_it_ranks_where_only_a_part_was_scored(ranker):
    narrow = Viewer(k1=0.9, b=0.4, candidates=10, exact_below=20, listed=10)
    for scene, whole in zip(seen(PLACES["many"], viewer=narrow), seen(PLACES["many"], viewer=viewer()), strict=True):
        assert len(scene.among) < len(whole.among)
        assert np.isfinite(ranker.scores(scene)).all()
