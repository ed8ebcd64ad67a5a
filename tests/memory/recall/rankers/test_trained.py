"""A trained ranker opens as what it is, or says why it does not."""

import json
import shutil

import numpy as np
import pytest
from lesson import PLACES, seen

from memshadow.errors import CheckpointError
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.memory.recall.rankers import trained as rankers
from memshadow.memory.recall.rankers.home import Home, likeness
from memshadow.memory.recall.rankers.trained import LINEAR, LISTWISE, TREES, LinearRanker, ListwiseRanker, TreeRanker
from memshadow.models.checkpoint import write_model

TABLE = FeatureTable(groups=["own"])
WIDE = len(TABLE.names)
HOME = [likeness(seen(PLACES["many"])[0])]


def forest():
    return {
        "feature": np.array([[1]], dtype=np.int32),
        "threshold": np.array([[0.5]], dtype=np.float32),
        "left": np.array([[0b10]], dtype=np.uint16),
        "value": np.array([[-1.0, 1.0]], dtype=np.float32),
    }


def attention():
    rng = np.random.default_rng(0)
    width, inner = 4, 8
    shapes = {
        **dict.fromkeys(("mean", "scale"), (WIDE,)),
        **dict.fromkeys(("entry_bias", "norm", "norm_bias", "head"), (width,)),
        **{f"layer_{name}": (1, width) for name in ("norm1", "norm1_bias", "norm2", "norm2_bias")},
        **{f"layer_{name}": (1, width) for name in ("out_bias", "down_bias")},
        "entry": (width, WIDE),
        "layer_mix": (1, 3, 2, 2, width),
        "layer_mix_bias": (1, 3 * width),
        "layer_out": (1, width, width),
        "layer_up": (1, inner, width),
        "layer_up_bias": (1, inner),
        "layer_down": (1, width, inner),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def weights():
    return {"weight": np.arange(WIDE, dtype=np.float32)}


KINDS = {TREES: (TreeRanker, forest), LINEAR: (LinearRanker, weights), LISTWISE: (ListwiseRanker, attention)}


def written(folder, kind, *, tensors=None, tolerance=1.0, **changed):
    """Write a model folder of that kind; ``changed`` settings of ``None`` are left out."""
    settings = rankers.described(TABLE, base=2.0, home=Home(HOME, tolerance)) | changed
    settings = {name: value for name, value in settings.items() if value is not None}
    write_model(folder, kind=kind, settings=settings, tensors=KINDS[kind][1]() if tensors is None else tensors)
    return str(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_it_adds_what_it_learned_to_the_fusion(kind, tmp_path):
    ranker = rankers.ranker_of(written(tmp_path, kind))
    assert type(ranker) is KINDS[kind][0]
    scene = seen(PLACES["many"])[0]
    learned = ranker.learned(TABLE.rows(scene))
    assert np.ptp(learned) > 0
    np.testing.assert_allclose(ranker.scores(scene), 2.0 * scene.at(scene.plain) + learned, rtol=1e-6)
    assert ranker.notes(scene) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_ranker_is_whatever_lies_there(kind, tmp_path):
    model = written(tmp_path, kind, tolerance=0.01)
    ranker, stored = rankers.ranker_of(model), rankers.StoredRanker(model=model)
    assert (stored.name, stored.fingerprint) == (ranker.name, ranker.fingerprint)
    for place in ("many", "notes"):
        scene = seen(PLACES[place])[0]
        assert stored.scores(scene).tolist() == ranker.scores(scene).tolist()
        assert stored.notes(scene) == ranker.notes(scene)


@pytest.mark.parametrize("kind", KINDS)
def test_among_strangers_it_leaves_the_order_to_the_fusion_and_says_so(kind, tmp_path):
    ranker = rankers.ranker_of(written(tmp_path, kind, tolerance=0.01))
    scene = seen(PLACES["notes"])[0]
    assert ranker.home.share(scene) == 0
    assert ranker.scores(scene).tolist() == (2.0 * scene.at(scene.plain)).tolist()
    (note,) = ranker.notes(scene)
    assert "was trained on other kinds of memories" in note


def test_halfway_from_home_half_of_what_was_learned_counts(tmp_path):
    scene = seen(PLACES["many"])[0]
    away = {"scopes": [[value + 1.5 for value in HOME[0]]], "tolerance": 1.0}
    ranker = rankers.ranker_of(written(tmp_path, LINEAR, home=away))
    expected = 2.0 * scene.at(scene.plain) + ranker.learned(TABLE.rows(scene)) / 2
    np.testing.assert_allclose(ranker.scores(scene), expected, rtol=1e-3)
    assert ranker.notes(scene)


def test_weights_and_settings_have_a_say_in_the_fingerprint(tmp_path):
    one, other = written(tmp_path / "1", LINEAR), written(tmp_path / "2", LINEAR, base=3.0)
    third = written(tmp_path / "3", LINEAR, tensors={"weight": np.ones(WIDE, dtype=np.float32)})
    assert len({rankers.ranker_of(model).fingerprint for model in (one, other, third)}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_ranker_of_another_kind_is_refused(kind, tmp_path):
    model = written(tmp_path, kind)
    assert rankers.is_ranker(tmp_path)
    for other, (cls, _) in KINDS.items():
        if other != kind:
            with pytest.raises(CheckpointError, match=f"holds a '{kind}' model; needed: '{other}'"):
                cls(model=model)


def test_what_is_no_ranker_is_refused(tmp_path):
    write_model(tmp_path, kind="projection", settings={}, tensors={})
    assert not rankers.is_ranker(tmp_path)
    with pytest.raises(CheckpointError, match="'projection' model; needed: one of ranker-trees, ranker-linear"):
        rankers.ranker_of(str(tmp_path))


@pytest.mark.parametrize("opened", [rankers.ranker_of, lambda model: LinearRanker(model=model)])
def test_a_folder_without_a_model_is_refused(opened, tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no model: model.json is missing"):
        opened(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["model.safetensors", "model.json"])
def test_damage_is_told(kind, file, tmp_path):
    model = written(tmp_path, kind)
    content = bytearray((tmp_path / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged|holds no model|lacks"):
        rankers.ranker_of(model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", ["features", "base", "home"])
def test_a_missing_setting_is_named(kind, lost, tmp_path):
    with pytest.raises(CheckpointError, match=f"lacks or garbles '{lost}'; train the ranker again"):
        rankers.ranker_of(written(tmp_path, kind, **{lost: None}))


@pytest.mark.parametrize("kind", KINDS)
def test_each_missing_array_is_named(kind, tmp_path):
    for name in KINDS[kind][1]():
        tensors = KINDS[kind][1]()
        del tensors[name]
        with pytest.raises(CheckpointError, match=f"lacks or garbles '{name}'"):
            rankers.ranker_of(written(tmp_path / name, kind, tensors=tensors))


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_mean_something_else_now_are_refused(kind, tmp_path):
    names = list(TABLE.names)
    model = written(tmp_path / "1", kind, features={"names": names, "fingerprint": "0" * 16})
    with pytest.raises(CheckpointError, match="features that meant something else; train it again"):
        rankers.ranker_of(model)
    gone = {"names": [*names, "own/of_old"], "fingerprint": TABLE.fingerprint}
    with pytest.raises(CheckpointError, match="needs the feature 'own/of_old', which this program does not have"):
        rankers.ranker_of(written(tmp_path / "2", kind, features=gone))


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        (LINEAR, {"weight": np.ones(3, dtype=np.float32)}, "one weight a feature"),
        (TREES, {"feature": np.array([[WIDE]], dtype=np.int32)}, "the features that are asked for"),
        (TREES, {"feature": np.array([[-1]], dtype=np.int32)}, "the features that are asked for"),
        (TREES, {"threshold": np.ones((1, 2), dtype=np.float32)}, "do not fit together"),
        (LISTWISE, {"mean": np.ones(3, dtype=np.float32)}, r"mean is float32\[3\]"),
        (LISTWISE, {"head": np.full(4, np.nan, dtype=np.float32)}, "head"),
        (LISTWISE, {"layer_mix": np.ones((1, 3, 3, 2, 4), dtype=np.float32)}, "layer_mix is"),
        (LISTWISE, {"layer_mix": np.ones((1, 3, 0, 2, 4), dtype=np.float32)}, "layer_mix is"),
        (LISTWISE, {"layer_up": np.ones((1, 8), dtype=np.float32)}, "do not fit together"),
        (LISTWISE, {"entry": np.ones((4, 3), dtype=np.float32)}, "mean is|entry is"),
    ],
)
def test_arrays_of_another_shape_are_refused(kind, changed, said, tmp_path):
    with pytest.raises(CheckpointError, match=said):
        rankers.ranker_of(written(tmp_path, kind, tensors=KINDS[kind][1]() | changed))


def test_a_narrower_table_than_the_columns_is_refused(tmp_path):
    names = TABLE.names[:-1]
    table = FeatureTable(groups=["own"], without=[TABLE.names[-1]])
    said = {"names": list(names), "fingerprint": table.fingerprint}
    with pytest.raises(CheckpointError, match="one column a feature"):
        rankers.ranker_of(written(tmp_path, LISTWISE, features=said))


@pytest.mark.parametrize("kind", ["trees", "linear", "listwise"])
def test_a_copy_of_a_trained_folder_opens_as_the_same_ranker(kind, trained, tmp_path):
    model = trained(kind).model
    shutil.copytree(model, tmp_path / "copy")
    ranker, copy = rankers.ranker_of(str(model)), rankers.ranker_of(str(tmp_path / "copy"))
    assert ranker.fingerprint == copy.fingerprint == json.loads((model / "model.json").read_text())["fingerprint"]
    scene = seen(PLACES["many"])[0]
    assert ranker.scores(scene).tolist() == copy.scores(scene).tolist()
