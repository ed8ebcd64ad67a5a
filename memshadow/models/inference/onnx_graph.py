"""BERT written down as an ONNX graph, straight from its weights: no tracing, standard operators only (opset 20).

Written by hand because a traced graph hides what is computed, and because int8 needs a choice that tools do not offer:
activations are scaled **per token**, so a text's vector does not depend on what else is in the batch, and the inner
layer (GELU is never below -.17) uses all 256 steps. Weights are int8 per output channel. Knows nothing of engines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from memshadow.errors import MissingExtraError
from memshadow.models.inference.bert import BertLayer, BertShape, BertWeights, read_bert, weights_digest

if TYPE_CHECKING:
    from onnx import ModelProto

STAMP = "memshadow.weights"
_OPSET, _IR = 20, 9
_GELU_FLOOR = 0.17  # GELU's minimum is -.16997
_MASKED = 1e4
_LARGE = 1_024  # bytes from which a constant stands beside a graph that is made apart from its weights


def export_onnx(model: Path | str, out: Path, *, int8: bool) -> Path:
    """Write a model folder's encoder as ONNX: int64 ``ids``, ``mask`` ``(n, length)`` in, ``rows`` ``(n, dim)`` out.

    The file carries a digest of the weights that it was made from, so that it is never run beside others.
    Raises MissingExtraError without the ``onnx`` package and CheckpointError where ``model`` is no BERT folder.
    """
    graph = graph_of(read_bert(Path(model)), int8=int8)
    stamp = graph.metadata_props.add()
    stamp.key, stamp.value = STAMP, weights_digest(Path(model))
    out.write_bytes(graph.SerializeToString())
    return out


def graph_of(weights: BertWeights, *, int8: bool) -> ModelProto:
    """Return the graph of an encoder, pooled as its shape says; ``int8`` quantises the linear layers."""
    return _model(_Graph(whole=True), weights, int8=int8)


def graph_apart(weights: BertWeights, *, int8: bool) -> tuple[bytes, dict[str, ndarray]]:
    """Return the same graph without its large constants, and those by name: nothing of them is copied or parsed."""
    graph = _Graph(whole=False)
    return _model(graph, weights, int8=int8).SerializeToString(), graph.apart


def _model(graph: _Graph, weights: BertWeights, *, int8: bool) -> ModelProto:
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise MissingExtraError("onnx", "encode") from None
    rows = _encoder(graph, weights, int8=int8)
    graph.op("Identity", _pooled(graph, rows, weights.shape), out="rows")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in ("ids", "mask")]
    outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", weights.shape.dim])]
    whole = helper.make_graph(graph.nodes, "bert", inputs, outputs, graph.constants)
    model: ModelProto = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="memshadow"
    )
    return model


class _Graph:
    """Nodes and constants in the making; every call gives back the name of a value."""

    def __init__(self, *, whole: bool) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.apart: dict[str, ndarray] = {}
        self._whole = whole

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Append a node with one result."""
        name = out or f"{kind}_{len(self.nodes)}"
        self._node(kind, inputs, [name], attributes)
        return name

    def split(self, value: str, *, parts: int, axis: int) -> list[str]:
        """Append a split into equal parts."""
        names = [f"Split_{len(self.nodes)}_{i}" for i in range(parts)]
        self._node("Split", (value,), names, {"axis": axis, "num_outputs": parts})
        return names

    def constant(self, value: ArrayLike, dtype: str = "float32") -> str:
        """Append a constant."""
        from onnx import numpy_helper

        name, array = f"constant_{len(self.constants)}", np.asarray(value, dtype=dtype, order="C")
        if self._whole or array.nbytes < _LARGE:
            self.constants.append(numpy_helper.from_array(array, name))
        else:
            self.constants.append(_named(name, array))
            self.apart[name] = array
        return name

    def _node(self, kind: str, inputs: tuple[str, ...], outputs: list[str], attributes: dict[str, Any]) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=f"{kind}_{len(self.nodes)}", **attributes))


def _named(name: str, array: ndarray) -> Any:
    """Return a constant whose content whoever runs the graph will bring."""
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    constant = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
    constant.external_data.add(key="location", value="apart")
    return constant


def _encoder(graph: _Graph, weights: BertWeights, *, int8: bool) -> str:
    shape = weights.shape
    length = graph.op("Shape", "ids", start=1, end=2)
    zero = graph.constant([0], "int64")
    places = graph.op("Slice", graph.constant(weights.positions), zero, length, zero)
    rows = graph.op("Add", graph.op("Gather", graph.constant(weights.tokens), "ids"), places)
    rows = _norm(graph, rows, weights.norm, weights.norm_bias, shape)
    closed = graph.op("Sub", graph.op("Cast", "mask", to=1), graph.constant(1.0))
    mask = graph.op("Unsqueeze", graph.op("Mul", closed, graph.constant(_MASKED)), graph.constant([1, 2], "int64"))
    for layer in weights.layers:
        rows = _block(graph, rows, mask, layer, shape, int8=int8)
    return rows


def _block(graph: _Graph, rows: str, mask: str, layer: BertLayer, shape: BertShape, *, int8: bool) -> str:
    """Append one post-norm transformer block."""
    linear = _linear_int8 if int8 else _linear
    attended = _attention(graph, linear(graph, rows, layer.qkv, layer.qkv_bias), mask, shape)
    rows = graph.op("Add", linear(graph, attended, layer.out, layer.out_bias), rows)
    rows = _norm(graph, rows, layer.norm1, layer.norm1_bias, shape)
    inner = graph.op("Gelu", linear(graph, rows, layer.up, layer.up_bias))
    down = _linear_int8_above if int8 else _linear
    inner = down(graph, inner, layer.down, layer.down_bias)
    return _norm(graph, graph.op("Add", inner, rows), layer.norm2, layer.norm2_bias, shape)


def _norm(graph: _Graph, rows: str, weight: ndarray, bias: ndarray, shape: BertShape) -> str:
    parts = graph.constant(weight), graph.constant(bias)
    return graph.op("LayerNormalization", rows, *parts, axis=-1, epsilon=shape.epsilon)


def _attention(graph: _Graph, qkv: str, mask: str, shape: BertShape) -> str:
    head_dim = shape.dim // shape.heads
    heads = graph.op("Reshape", qkv, graph.constant([0, 0, 3, shape.heads, head_dim], "int64"))
    thirds = graph.split(graph.op("Transpose", heads, perm=[2, 0, 3, 1, 4]), parts=3, axis=0)
    query, key, value = (graph.op("Squeeze", third, graph.constant([0], "int64")) for third in thirds)
    query = graph.op("Mul", query, graph.constant(head_dim**-0.5))
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    shares = graph.op("Softmax", graph.op("Add", scores, mask), axis=-1)
    found = graph.op("Transpose", graph.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    return graph.op("Reshape", found, graph.constant([0, 0, shape.dim], "int64"))


def _pooled(graph: _Graph, rows: str, shape: BertShape) -> str:
    if shape.pooling == "cls":
        return graph.op("Gather", rows, graph.constant(0, "int64"), axis=1)
    mask = graph.op("Unsqueeze", graph.op("Cast", "mask", to=1), graph.constant([-1], "int64"))
    axis = graph.constant([1], "int64")
    total = graph.op("ReduceSum", graph.op("Mul", rows, mask), axis, keepdims=0)
    return graph.op("Div", total, graph.op("ReduceSum", mask, axis, keepdims=0))


def _linear(graph: _Graph, rows: str, weight: ndarray, bias: ndarray) -> str:
    return graph.op("Add", graph.op("MatMul", rows, graph.constant(weight)), graph.constant(bias))


def _linear_int8(graph: _Graph, rows: str, weight: ndarray, bias: ndarray) -> str:
    """Scale each token to its largest entry, in steps of 1/127 around 128."""
    top = _top(graph, graph.op("Abs", rows))
    return _product_int8(graph, rows, top, weight, bias, zero=128, steps=127)


def _linear_int8_above(graph: _Graph, rows: str, weight: ndarray, bias: ndarray) -> str:
    """Scale each token of a GELU's output from its floor to its largest entry, in steps of 1/255 above 0."""
    codes, _, scale = _codes(weight)
    rows = graph.op("Add", rows, graph.constant(_GELU_FLOOR))
    moved = bias - _GELU_FLOOR * (codes.astype(np.float64) - 128).sum(axis=0) * scale
    return _product_int8(graph, rows, _top(graph, rows), weight, moved, zero=0, steps=255)


def _top(graph: _Graph, rows: str) -> str:
    largest = graph.op("ReduceMax", rows, graph.constant([-1], "int64"), keepdims=1)
    return graph.op("Max", largest, graph.constant(1e-9))


def _product_int8(graph: _Graph, rows: str, top: str, weight: ndarray, bias: ndarray, *, zero: int, steps: int) -> str:
    codes, zeros, scale = _codes(weight)
    zero_point = graph.constant(zero, "uint8")
    quantised = graph.op("QuantizeLinear", graph.op("Div", rows, top), graph.constant(1 / steps), zero_point)
    weights = graph.constant(codes, "uint8"), zero_point, graph.constant(zeros, "uint8")
    product = graph.op("Cast", graph.op("MatMulInteger", quantised, *weights), to=1)
    scaled = graph.op("Mul", graph.op("Mul", product, top), graph.constant(scale / steps))
    return graph.op("Add", scaled, graph.constant(bias))


def _codes(weight: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Return a weight matrix as uint8 codes around 128 and one scale a column.

    uint8 rather than int8: on CPUs without VNNI the signed kernel adds pairs in 16 bits and saturates.
    """
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-9) / 127
    codes = np.round(weight / scale).astype(np.int16) + 128
    return codes.astype(np.uint8), np.full(weight.shape[1], 128, dtype=np.uint8), scale.astype(np.float32)
