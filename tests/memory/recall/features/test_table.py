"""All features: finite wherever they are asked for, named once, and known again by a ranker trained on them."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from place import asked, block, chat, mask, turn, viewer

from memshadow.errors import CheckpointError, ConfigError
from memshadow.memory.recall.features.table import GROUPS, FeatureTable

EVERYTHING = FeatureTable()

texts = st.sampled_from(
    ["", "?", "tea", "Do you like tea?", "Ann met Bob in May 2023", "wow thanks", "3 4 5", "\ud800", "李雷", "a" * 300]
)
spoken = st.builds(
    turn,
    texts,
    session=st.sampled_from([None, None, "a", "b"]),
    turn=st.integers(0, 5),
    speaker=st.sampled_from(["", "Ann", "Bob", "user"]),
    day=st.sampled_from([None, 0, 1, 400, -600_000, 2_000_000]),
)
lengths = st.sampled_from([0.0, 1.0, 1e-30, 1e-3, 1e4, 1e15, 1e25, 1e37])
questions = st.sampled_from(
    ["", "?", "xylophone", "What tea does Ann like?", "When in May did Bob drink tea before Ann met Bob?", "now 3 ago"]
)


@given(
    st.lists(spoken, min_size=1, max_size=60),
    st.lists(lengths, min_size=1, max_size=3),
    st.booleans(),
    lengths,
    questions,
    st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=40)
def test_every_feature_is_finite_in_every_scope(turns, norms, alike, asked_norm, text, seed):
    draw = np.random.default_rng(seed)
    rows = np.ones((len(turns), 4)) if alike else draw.normal(size=(len(turns), 4))
    rows *= np.resize(norms, len(turns))[:, None]
    here, allowed = block(turns, rows), mask(len(turns))
    ask = asked(here, allowed, text, draw.normal(size=4) * asked_norm)
    for most in (5_000, 1):
        with np.errstate(over="ignore", invalid="ignore"):  # the block's own product may not fit into 32 bits
            scene = viewer(exact_below=most, candidates=8, listed=8).see(here, allowed, ask)
        table = EVERYTHING.rows(scene)
        assert table.shape == (len(EVERYTHING.names), len(scene.chosen))
        assert np.isfinite(table).all(), np.array(EVERYTHING.names)[~np.isfinite(table).all(axis=1)]
        for values in (scene.smoothed, scene.plain):
            assert np.isfinite(values).all()


def test_names_are_given_once_and_say_their_group():
    assert len(set(EVERYTHING.names)) == len(EVERYTHING.names)
    assert list(dict.fromkeys(name.split("/")[0] for name in EVERYTHING.names)) == list(GROUPS)
    assert all(EVERYTHING.units.values())


def test_a_table_has_the_groups_that_are_asked_for_less_what_is_left_out():
    assert FeatureTable(groups=["time"]).names == tuple(n for n in EVERYTHING.names if n.startswith("time/"))
    assert FeatureTable(groups=["time", "own"]).names == FeatureTable(groups=["own", "time"]).names
    less = FeatureTable(without=["own/fused"])
    assert set(EVERYTHING.names) - set(less.names) == {"own/fused"}
    scene = viewer().see(here := chat(30), allowed := mask(30), asked(here, allowed, "word1", np.ones(8)))
    kept = [n for n, name in enumerate(EVERYTHING.names) if name != "own/fused"]
    np.testing.assert_array_equal(less.rows(scene), EVERYTHING.rows(scene)[kept])


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"groups": ["tone"]}, "no group of features 'tone'; choose from own, "),
        ({"without": ["own/tone"]}, "no feature 'own/tone' to leave out"),
        ({"groups": ["own"], "without": ["time/inside"]}, "no feature 'time/inside'"),
        ({"groups": []}, "no feature is left"),
    ],
)
def test_what_there_is_not_is_refused(given_, said):
    with pytest.raises(ConfigError, match=said):
        FeatureTable(**given_)


def test_a_ranker_gets_its_own_table_again():
    table = FeatureTable(groups=["own", "time"], without=["own/fused"])
    again = FeatureTable.named(table.names, table.fingerprint)
    assert (again.names, again.fingerprint) == (table.names, table.fingerprint)
    assert table.fingerprint != EVERYTHING.fingerprint


def test_features_that_are_unknown_or_mean_something_else_are_refused(monkeypatch):
    with pytest.raises(CheckpointError, match="needs the feature 'own/tone', which this program does not have"):
        FeatureTable.named([*EVERYTHING.names, "own/tone"], EVERYTHING.fingerprint)
    fingerprint = EVERYTHING.fingerprint
    monkeypatch.setattr("memshadow.memory.recall.features.table.VERSION", 99)
    with pytest.raises(CheckpointError, match="meant something else; train it again"):
        FeatureTable.named(EVERYTHING.names, fingerprint)


def test_another_order_is_another_table():
    with pytest.raises(CheckpointError, match="meant something else"):
        FeatureTable.named(EVERYTHING.names[::-1], "0" * 16)
