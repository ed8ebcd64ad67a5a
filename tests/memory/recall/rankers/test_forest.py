"""Trees as arrays say what the library that grew them says, to the last leaf."""

import numpy as np
import pytest

from memshadow.errors import CheckpointError
from memshadow.memory.recall.rankers.forest import MOST_LEAVES, Forest

FEATURES = 6


def leaf(value):
    return {"leaf_value": float(value)}


def split(feature, threshold, left, right):
    return {
        "split_feature": feature,
        "threshold": threshold,
        "decision_type": "<=",
        "left_child": left,
        "right_child": right,
    }


def drawn(rng, leaves):
    """Return a tree of random shape with that many leaves."""
    if leaves == 1:
        return leaf(rng.normal())
    left = int(rng.integers(1, leaves))
    parts = drawn(rng, left), drawn(rng, leaves - left)
    return split(int(rng.integers(FEATURES)), float(rng.integers(-2, 3)), *parts)


def walked(node, column):
    while "leaf_value" not in node:
        below = float(column[node["split_feature"]]) <= node["threshold"]
        node = node["left_child" if below else "right_child"]
    return node["leaf_value"]


def grown(*roots):
    return Forest.grown([{"tree_structure": root} for root in roots])


def chain(side, count=MOST_LEAVES):
    """Return a tree that goes down on one side only."""
    tree = leaf(count)
    for n in range(count - 1, 0, -1):
        parts = (tree, leaf(n)) if side == "left" else (leaf(n), tree)
        tree = split(n % FEATURES, float(n % 3 - 1), *parts)
    return tree


def test_every_shape_of_tree_falls_into_the_leaf_that_a_walk_finds():
    rng = np.random.default_rng(0)
    roots = [drawn(rng, int(rng.integers(1, MOST_LEAVES + 1))) for _ in range(60)] + [chain("left"), chain("right")]
    table = rng.integers(-3, 4, (FEATURES, 200)).astype(np.float32)  # mostly on the thresholds
    expected = [sum(walked(root, column) for root in roots) for column in table.T]
    np.testing.assert_allclose(grown(*roots).scores(table), expected, atol=1e-5)
    for root in roots:  # each alone, so that no two mistakes cancel
        expected = [walked(root, column) for column in table.T]
        np.testing.assert_allclose(grown(root).scores(table), expected, atol=1e-6)


def test_a_threshold_between_two_32_bit_numbers_parts_them_as_a_64_bit_one_does():
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    for threshold in (float(low), (float(low) + float(high)) / 2, float(high)):
        tree = split(0, threshold, leaf(-1), leaf(1))
        table = np.array([[low, high]], dtype=np.float32)
        assert grown(tree).scores(table).tolist() == [walked(tree, column) for column in table.T]


def test_what_is_endless_falls_to_its_side_and_nan_to_the_right():
    tree = split(0, 0.0, leaf(-1), leaf(1))
    table = np.array([[-np.inf, np.inf, np.nan]], dtype=np.float32)
    assert grown(tree).scores(table).tolist() == [-1, 1, 1]


def test_a_tree_without_a_split_adds_its_leaf():
    assert grown(leaf(2), leaf(0.5)).scores(np.zeros((1, 3), dtype=np.float32)).tolist() == [2.5] * 3


@pytest.mark.parametrize("leaves", [2, 7, 15, MOST_LEAVES])
@pytest.mark.parametrize("least", [1, 40])
def test_it_says_what_lightgbm_says(leaves, least):
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(leaves)
    table = rng.normal(size=(FEATURES, 600)).round(1).astype(np.float32)  # many equal values
    table[0] = rng.integers(0, 2, 600)
    target = table[0] + np.sin(3 * table[1]) * table[2] + rng.normal(size=600) / 10
    settings = {"num_leaves": leaves, "min_data_in_leaf": least, "verbose": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(table.T, target), num_boost_round=30)
    dumped = booster.dump_model()["tree_info"]
    forest = Forest.grown(dumped)
    asked = np.concatenate([table, _edges(dumped)], axis=1)
    np.testing.assert_allclose(forest.scores(asked), booster.predict(asked.T.astype(np.float64)), atol=1e-6)


def _edges(trees):
    """Return columns that stand at the thresholds of all trees, and right above; what is nearly 0 is 0 to LightGBM."""
    found = [[] for _ in range(FEATURES)]

    def walk(node):
        if "threshold" in node:
            found[node["split_feature"]].append(node["threshold"] if abs(node["threshold"]) > 1e-30 else 0.0)
            walk(node["left_child"])
            walk(node["right_child"])

    for tree in trees:
        walk(tree["tree_structure"])
    width = max(map(len, found))
    at = np.array([np.resize(values or [0.0], width) for values in found], dtype=np.float32)
    above = np.where(at == 0, np.float32(1e-6), np.nextafter(at, np.float32(np.inf)))
    return np.concatenate([at, above], axis=1)


def test_a_choice_among_kinds_is_refused():
    tree = split(0, 1.0, leaf(0), leaf(1)) | {"decision_type": "=="}
    with pytest.raises(ValueError, match="decides by '=='; needed: '<='"):
        grown(tree)


def damaged(**changed):
    arrays = grown(chain("left"), chain("right")).tensors() | changed
    return Forest(*(arrays[name] for name in ("feature", "threshold", "left", "value")))


@pytest.mark.parametrize(
    "changed",
    [
        {"threshold": np.zeros((2, 3), dtype=np.float32)},
        {"left": np.zeros((1, MOST_LEAVES - 1), dtype=np.uint16)},
        {"value": np.zeros((3, MOST_LEAVES), dtype=np.float32)},
        {"value": np.full((2, MOST_LEAVES), np.nan, dtype=np.float32)},
        {"value": np.zeros((2, 65), dtype=np.float32)},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changed):
    with pytest.raises(CheckpointError, match="do not fit together; train the ranker again"):
        damaged(**changed)
