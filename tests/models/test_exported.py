"""A graph that came from elsewhere: run as it is, pooled as told, known by its bytes."""

import os

import numpy as np
import pytest
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.errors import CheckpointError, MissingExtraError
from memshadow.models.inference.choice import EXPORTED, open_runtime
from memshadow.models.inference.exported import ExportedRuntime
from memshadow.models.transformer import TransformerEmbedder
from memshadow.types import Passage

SEQUENCES = [[2, 40, 3], [2, 5, 6, 7, 8, 9, 3], [2, 70, 71, 3]]


@pytest.fixture
def exported(another_bert):
    """A graph whose row for a token is (its id, twice its id, the length of the sequence), with the usual inputs."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, tensor = onnx.helper.make_node, onnx.TensorProto
    constants = [
        onnx.numpy_helper.from_array(np.array([n]), name) for n, name in ((2, "two"), (-1, "last"), (1, "axis"))
    ]
    nodes = [
        make("Mul", ["input_ids", "two"], ["twice"]),
        make("ReduceSum", ["attention_mask", "axis"], ["count"], keepdims=1),
        make("Add", ["token_type_ids", "count"], ["length"]),
        *(make("Unsqueeze", [name, "last"], [f"{name}_"]) for name in ("input_ids", "twice", "length")),
        make("Concat", ["input_ids_", "twice_", "length_"], ["whole"], axis=2),
        make("Cast", ["whole"], ["states"], to=tensor.FLOAT),
    ]
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    given = [onnx.helper.make_tensor_value_info(name, tensor.INT64, ["n", "length_"]) for name in inputs]
    told = [onnx.helper.make_tensor_value_info("states", tensor.FLOAT, ["n", "length_", 3])]
    graph = onnx.helper.make_graph(nodes, "states", given, told, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    (another_bert / "model.onnx").write_bytes(model.SerializeToString())
    return another_bert


@pytest.mark.parametrize("name", EXPORTED)
def test_each_sequence_runs_alone_and_is_pooled_as_told(name, exported):
    found = open_runtime(exported, name, device="cpu", threads=1)
    first = [ids[0] if name == "exported-cls" else np.mean(ids) for ids in SEQUENCES]
    expected = [(value, 2 * value, len(ids)) for value, ids in zip(first, SEQUENCES, strict=True)]
    np.testing.assert_allclose(found.encode(SEQUENCES), expected, rtol=1e-6)
    assert found.dim == 3
    assert found.encode([]).shape == (0, 3)


def embedder(folder, runtime):
    settings = {"device": "cpu", "batch_tokens": 256, "max_tokens": 32, "context_turns": 0, "threads": 1}
    return TransformerEmbedder(model=str(folder), runtime=runtime, **settings)


def test_the_fingerprint_tells_bytes_and_pooling(exported):
    first = [embedder(exported, runtime).fingerprint for runtime in (*EXPORTED, "exported-cls")]
    assert first[0] == first[2] != first[1]
    (exported / "model.onnx").write_bytes((exported / "model.onnx").read_bytes() + b"\x32\x00")
    assert embedder(exported, "exported-cls").fingerprint != first[0]


def test_a_graph_without_a_row_a_token_is_refused(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["states", "axis"], ["pooled"], keepdims=0))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("pooled", onnx.TensorProto.FLOAT, ["n", 3]))
    onnx.save(model, exported / "model.onnx")
    with pytest.raises(CheckpointError, match="no row a token"):
        ExportedRuntime(exported, pooling="cls", threads=1)


@pytest.fixture(scope="module")
def bge():
    try:
        return build(OmegaConf.load(config_dir() / "embedder" / "bge_small_int8.yaml"))
    except MissingExtraError as missing:
        if os.environ.get("CI"):
            raise
        return pytest.skip(f"the packaged bge needs what is not here: {missing}")


def test_the_packaged_bge_finds_the_answer(bge):
    texts = ["I signed up for a pottery class on Tuesday", "The dog ran up the hill", "We painted the fence green"]
    rows = bge.embed_passages([Passage(text=text) for text in texts])
    assert rows.shape == (3, bge.dim) == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    asked = bge.embed_queries(["When does she do ceramics?", "What animal was running?", "Which colour did they use?"])
    assert (asked @ rows.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_the_packaged_bge_gives_the_same_bits_alone_and_among_others(bge):
    texts = ["a cat", "漢字", "a hike last week, the dog and the cat and the child", "\ud83d lone \udc00"]
    alone = np.vstack([bge.embed_queries([text]) for text in texts])
    np.testing.assert_array_equal(bge.embed_queries(texts), alone)
