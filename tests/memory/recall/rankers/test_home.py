"""A ranker is at home where its training scopes were, a stranger far from all of them, and something between."""

import numpy as np
import pytest
from lesson import PLACES, seen

from memshadow.errors import ConfigError
from memshadow.memory.recall.rankers.home import UNITS, Home, likeness


def away(scene, distance):
    """Return a scope that is so far off in one unit, and nearer in the others."""
    return (np.array(likeness(scene)) + distance * np.array([1, 1 / 2, -1 / 3, 0])).tolist()


@pytest.mark.parametrize(("distance", "share"), [(0.0, 1), (1.9, 1), (2.5, 0.75), (3.0, 0.5), (4.0, 0), (9.0, 0)])
def test_the_share_falls_between_one_and_two_tolerances(distance, share):
    (scene, *_) = seen(PLACES["many"])
    assert Home([away(scene, distance)], 2.0).share(scene) == pytest.approx(share, abs=1e-3)


def test_the_nearest_scope_counts():
    (scene, *_) = seen(PLACES["many"])
    assert Home([away(scene, 9.0), away(scene, 0.5), away(scene, -9.0)], 1.0).share(scene) == 1


@pytest.mark.parametrize("home", [Home([], 1.0), Home([[99.0] * len(UNITS)], None)])
def test_without_scopes_or_tolerance_every_place_is_home(home):
    assert home.share(seen(PLACES["one"])[0]) == 1


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_like_itself_and_finite(place):
    for scene in seen(PLACES[place]):
        assert np.isfinite(likeness(scene)).all()
        assert Home([likeness(scene)], 0.01).share(scene) == 1


def test_notes_are_unlike_a_chat():
    notes, chat = (seen(PLACES[place])[0] for place in ("notes", "many"))
    assert Home([likeness(chat)], 1.0).share(notes) < 1


def test_equal_scopes_are_kept_once_and_read_back():
    home = Home([[1.0, 2.0, 3.0, 4.0]] * 3 + [[1.0, 2.0, 3.0, 4.00001]] + [[0.0] * 4], 1.0)
    assert home.scopes == [[1.0, 2.0, 3.0, 4.0], [0.0] * 4]
    assert Home(home.scopes, 1.0).scopes == home.scopes


@pytest.mark.parametrize("tolerance", [0, -1.0, float("nan")])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ConfigError, match="needed: a number above 0, or null: at home everywhere"):
        Home([], tolerance)
