"""The second look: what a cross-encoder changes in the order, and what is said where it cannot look."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from place import asked, block, mask, turn, viewer

from memshadow.errors import CheckpointError, ConfigError, MissingExtraError
from memshadow.memory.recall.second import CrossEncoderLook, SecondLook

TURNS = [turn(f"line {n}", session="ab"[n // 3], turn=n) for n in range(6)]
HERE = block(TURNS, np.eye(6))
SCORES = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])


class Crossing:
    """Likes the line numbers that it is given, in their order, and remembers what it read."""

    name, fingerprint = "crossing", "1"

    def __init__(self, *liked):
        self.liked, self.read = liked, []

    def scores(self, query, texts):
        self.read = list(texts)
        return np.array([float(self.liked.index(int(t[-1])) if int(t[-1]) in self.liked else -1) for t in texts])


def read(places):
    return [f"Ann: line {place}" for place in places]


def look(crossing=None, *, scores=SCORES, reading=read, make=None, **changed):
    """Return what comes of a second look; candidate n is line n."""
    allowed = mask(6)
    ask = asked(HERE, allowed, "", np.arange(6)[::-1], read=reading)
    scene = viewer().see(HERE, allowed, ask)
    given = {"make": make or (lambda: crossing), "k": 3, "weight": 1.0, "before": False} | changed
    order = [int(at) for at in scene.here]
    found = CrossEncoderLook(**given).look(scene, ask, np.asarray(scores)[order])
    back = np.argsort(order)
    return found._replace(scores=found.scores[back], seen=found.seen[back])


def best(found):
    return np.argsort(-found.scores, kind="stable").tolist()


def test_it_is_a_second_look():
    assert isinstance(CrossEncoderLook(make=Crossing, k=2, weight=0.5, before=True), SecondLook)


def test_it_orders_the_best_anew_and_leaves_the_others_behind_in_their_order():
    found = look(Crossing(0, 2, 1))
    assert best(found) == [1, 2, 0, 3, 4, 5]
    assert found.seen[:3].tolist() == [0.0, 2.0, 1.0]
    assert np.isnan(found.seen[3:]).all()
    assert found.scores[3:].tolist() == SCORES[3:].tolist()
    assert found.notes == ()


def test_the_weight_is_its_say():
    crossing = Crossing(0, 1, 2)
    assert best(look(crossing, weight=0.0)) == [0, 1, 2, 3, 4, 5]
    assert best(look(crossing, weight=1.0)) == [2, 1, 0, 3, 4, 5]
    assert best(look(Crossing(0, 2, 1), weight=0.6))[0] == 1


def test_more_may_be_read_than_there_are():
    found = look(Crossing(5, 4, 3, 2, 1, 0), k=50)
    assert best(found) == [0, 1, 2, 3, 4, 5]
    assert not np.isnan(found.seen).any()


def test_where_it_thinks_the_same_of_all_the_ranker_decides():
    assert best(look(Crossing(), weight=0.9)) == [0, 1, 2, 3, 4, 5]


def test_where_the_ranker_thinks_the_same_of_all_it_decides():
    assert best(look(Crossing(2, 1, 0), scores=np.ones(6), weight=0.1)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("scale", [1e-300, 1e9])
def test_the_others_stay_behind_whatever_the_scale(scale):
    assert set(best(look(Crossing(2, 1, 0), scores=SCORES * scale))[:3]) == {0, 1, 2}


def test_a_turn_is_read_with_the_one_it_follows():
    crossing = Crossing(0)
    look(crossing, before=True, k=6)
    assert crossing.read == [
        "Ann: line 0",
        "Ann: line 0\nAnn: line 1",
        "Ann: line 1\nAnn: line 2",
        "Ann: line 3",  # of another session
        "Ann: line 3\nAnn: line 4",
        "Ann: line 4\nAnn: line 5",
    ]
    look(crossing, before=False, k=2)
    assert crossing.read == ["Ann: line 0", "Ann: line 1"]


def test_what_is_set_wrongly_is_an_error():
    def make():
        raise CheckpointError("no model there")

    allowed = mask(6)
    ask = asked(HERE, allowed, "", np.arange(6), read=read)
    second = CrossEncoderLook(make=make, k=3, weight=0.5, before=True)
    with pytest.raises(CheckpointError, match="no model there"):
        second.look(viewer().see(HERE, allowed, ask), ask, SCORES)


def test_where_it_cannot_be_had_the_order_stays_and_note_and_log_say_why(caplog):
    error = MissingExtraError("onnxruntime", "rerank")
    calls = []

    def make():
        calls.append(1)
        raise error

    allowed = mask(6)
    ask = asked(HERE, allowed, "", np.arange(6), read=read)
    scene = viewer().see(HERE, allowed, ask)
    second = CrossEncoderLook(make=make, k=3, weight=0.5, before=True)
    for _ in range(2):
        found = second.look(scene, ask, SCORES)
        assert found.scores.tolist() == SCORES.tolist()
        assert np.isnan(found.seen).all()
        assert found.notes == (f"no cross-encoder took a second look: {error}",)
    assert len(calls) == 1  # not again at every question
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_where_texts_cannot_be_had_a_note_says_so():
    found = look(Crossing(2, 1, 0), reading=None)
    assert found.scores.tolist() == SCORES.tolist()
    assert found.notes == ("no cross-encoder took a second look: texts cannot be had here",)


def test_one_candidate_is_not_looked_at():
    def never():
        raise AssertionError("nothing to order")

    here, allowed = block([turn("line 0")]), mask(1)
    ask = asked(here, allowed, "", read=read)
    found = CrossEncoderLook(make=never, k=2, weight=0.5, before=True).look(
        viewer().see(here, allowed, ask), ask, np.ones(1)
    )
    assert (found.scores.tolist(), np.isnan(found.seen).tolist(), found.notes) == ([1.0], [True], ())


def test_threads_open_it_once():
    made, gate = [], threading.Barrier(4)

    def make():
        made.append(1)
        time.sleep(0.05)
        return Crossing(2, 1, 0)

    second = CrossEncoderLook(make=make, k=3, weight=1.0, before=False)
    allowed = mask(6)
    ask = asked(HERE, allowed, "", np.arange(6)[::-1], read=read)
    scene = viewer().see(HERE, allowed, ask)

    def one(_):
        gate.wait()
        return second.look(scene, ask, SCORES).scores.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert len({tuple(found) for found in pool.map(one, range(4))}) == 1
    assert len(made) == 1


@pytest.mark.parametrize("wrong", [{"k": 1}, {"weight": -0.1}, {"weight": 1.1}, {"weight": float("nan")}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match="2 candidates or more, and a weight"):
        CrossEncoderLook(**{"make": Crossing, "k": 3, "weight": 0.5, "before": True} | wrong)
