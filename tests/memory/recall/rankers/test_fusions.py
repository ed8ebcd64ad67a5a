"""Rankers that learn nothing, by hand."""

import numpy as np
import pytest
from lesson import PLACES, seen

from memshadow.errors import ConfigError
from memshadow.memory.recall.rankers.fusions import MinMaxRanker, ReciprocalRanker
from memshadow.memory.recall.scene import LISTS


def test_min_max_weighs_the_normalised_lists():
    (scene, *_) = seen(PLACES["many"])
    found = MinMaxRanker(weights={"vector": 2.0, "window": 0.5}).scores(scene)
    expected = 2.0 * scene.norms["vector"][scene.chosen] + 0.5 * scene.norms["window"][scene.chosen]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    best = scene.at(scene.scores["whole"]).argmax()
    assert MinMaxRanker(weights={"whole": 1.0}).scores(scene)[best] == 1.0


def test_reciprocal_ranks_count_from_one_over_all_that_was_scored():
    (scene, *_) = seen(PLACES["many"])
    found = ReciprocalRanker(lists=["vector", "bare"]).scores(scene)
    expected = np.zeros(len(scene.chosen))
    for name in ("vector", "bare"):
        order = np.argsort(-scene.scores[name], kind="stable").tolist()
        expected += [1 / (60 + 1 + order.index(place)) for place in scene.chosen]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_what_tells_nothing_leaves_the_order_of_the_candidates():
    scene = seen(PLACES["notes"])[1]  # no word of it is met
    assert not MinMaxRanker(weights={"whole": 1.0, "bare": 1.0}).scores(scene).any()


@pytest.mark.parametrize("weights", [{}, {"vectors": 1.0}, {"vector": -1.0}, {"vector": float("nan")}])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ConfigError, match=f"needed: numbers of at least 0 for some of {', '.join(LISTS)}"):
        MinMaxRanker(weights=weights)


@pytest.mark.parametrize("lists", [[], ["vectors"]])
def test_lists_that_are_none_are_refused(lists):
    with pytest.raises(ConfigError, match=f"needed: some of {', '.join(LISTS)}"):
        ReciprocalRanker(lists=lists)


def test_settings_tell_fingerprints_apart():
    made = [MinMaxRanker(weights={"vector": 1.0}), MinMaxRanker(weights={"vector": 2.0})]
    made += [ReciprocalRanker(lists=["vector"]), ReciprocalRanker(lists=["whole"])]
    assert len({ranker.fingerprint for ranker in made}) == 4
