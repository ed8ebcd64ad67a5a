"""A BERT encoder at rest: its shape and its weights, read from a folder. Runs nothing.

Devlin et al. 2019, arXiv 1810.04805; the folder is the usual one (``config.json``, ``model.safetensors`` and, where a
sentence encoder was trained, ``1_Pooling/config.json``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from safetensors import SafetensorError, safe_open

from memshadow.errors import CheckpointError

WEIGHTS = "model.safetensors"
_PREFIXES = ("", "bert.", "0.auto_model.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BertShape:
    """The numbers that fix the computation. ``pooling`` is ``mean`` or ``cls``."""

    layers: int
    heads: int
    dim: int
    inner_dim: int
    positions: int
    epsilon: float
    pooling: str


@dataclass(frozen=True, slots=True)
class BertLayer:
    """One block's matrices as ``(in, out)``, so that ``rows @ weight + bias`` is the layer."""

    qkv: ndarray
    qkv_bias: ndarray
    out: ndarray
    out_bias: ndarray
    norm1: ndarray
    norm1_bias: ndarray
    up: ndarray
    up_bias: ndarray
    down: ndarray
    down_bias: ndarray
    norm2: ndarray
    norm2_bias: ndarray


@dataclass(frozen=True, slots=True)
class BertWeights:
    """All matrices, float32. ``positions`` carries the (constant) segment embedding as well."""

    shape: BertShape
    tokens: ndarray
    positions: ndarray
    norm: ndarray
    norm_bias: ndarray
    layers: tuple[BertLayer, ...]


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a model folder; raises CheckpointError where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is not a model folder: it has no {path.name}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as damage:
        raise CheckpointError(f"{path} is damaged: {damage}") from damage
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}, an object was needed")
    return value


def read_pooling(folder: Path) -> str:
    """Return how the folder's sentence encoder pools: ``mean`` (also where nothing is said) or ``cls``."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    said = read_json(path)
    if said.get("pooling_mode") in ("mean", "cls"):
        return str(said["pooling_mode"])
    modes = {
        key.removeprefix("pooling_mode_") for key, on in said.items() if key.startswith("pooling_mode_") and on is True
    }
    names = {frozenset({"mean_tokens"}): "mean", frozenset({"cls_token"}): "cls"}
    if frozenset(modes) not in names:
        raise CheckpointError(f"{path} pools by {sorted(modes) or said}; this reads mean or cls")
    return names[frozenset(modes)]


def is_bert(config: Mapping[str, Any]) -> bool:
    """Say whether ``config.json`` describes the plain encoder that :func:`read_bert` reads."""
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
    )


def read_shape(folder: Path) -> BertShape:
    """Return the shape of a BERT folder; raises CheckpointError for another architecture."""
    config = read_json(folder / "config.json")
    if not is_bert(config):
        kind = config.get("model_type")
        raise CheckpointError(f"{folder} holds a model of type {kind!r}; this runtime reads plain BERT encoders only")
    try:
        return BertShape(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            dim=config["hidden_size"],
            inner_dim=config["intermediate_size"],
            positions=config["max_position_embeddings"],
            epsilon=config.get("layer_norm_eps", 1e-12),
            pooling=read_pooling(folder),
        )
    except KeyError as key:
        raise CheckpointError(f"{folder / 'config.json'} lacks {key}") from None


def read_tensors(path: Path) -> dict[str, ndarray]:
    """Return every floating tensor of a safetensors file as float32; raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}; convert the weights to safetensors first")
    try:
        with safe_open(str(path), framework="np") as file:
            names = [n for n in file.keys() if file.get_slice(n).get_dtype() in ("F32", "F16", "F64")]  # noqa: SIM118
            return {name: np.asarray(file.get_tensor(name), dtype=np.float32) for name in names}
    except SafetensorError as damage:
        raise CheckpointError(f"{path} is damaged: {damage}; copy it again") from damage


def weights_digest(folder: Path) -> str:
    """Return a digest of the bytes of a folder's weights."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def read_bert(folder: Path) -> BertWeights:
    """Read a BERT encoder; raises CheckpointError where a file or a tensor is missing or of another shape."""
    shape, tensors = read_shape(folder), read_tensors(folder / WEIGHTS)
    prefix = next((p for p in _PREFIXES if f"{p}embeddings.word_embeddings.weight" in tensors), "")

    def tensor(name: str, *size: int) -> ndarray:
        full = prefix + name
        if full not in tensors:
            raise CheckpointError(f"{folder / WEIGHTS} lacks the float tensor {full!r} that its config.json promises")
        if size and tensors[full].shape != size:
            raise CheckpointError(f"{folder / WEIGHTS}: {full!r} is {tensors[full].shape}, {size} was needed")
        return tensors[full]

    def linear(name: str, into: int, out: int) -> tuple[ndarray, ndarray]:
        return np.ascontiguousarray(tensor(f"{name}.weight", out, into).T), tensor(f"{name}.bias", out)

    def layer(i: int) -> BertLayer:
        at, dim = f"encoder.layer.{i}", shape.dim
        thirds = [linear(f"{at}.attention.self.{part}", dim, dim) for part in ("query", "key", "value")]
        norms = [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
        (norm1, norm1_bias), (norm2, norm2_bias) = (
            (tensor(f"{n}.weight", dim), tensor(f"{n}.bias", dim)) for n in norms
        )
        return BertLayer(
            np.concatenate([w for w, _ in thirds], axis=1),
            np.concatenate([b for _, b in thirds]),
            *linear(f"{at}.attention.output.dense", dim, dim),
            norm1,
            norm1_bias,
            *linear(f"{at}.intermediate.dense", dim, shape.inner_dim),
            *linear(f"{at}.output.dense", shape.inner_dim, dim),
            norm2,
            norm2_bias,
        )

    segment = tensor("embeddings.token_type_embeddings.weight")[0]
    return BertWeights(
        shape,
        tensor("embeddings.word_embeddings.weight"),
        tensor("embeddings.position_embeddings.weight", shape.positions, shape.dim) + segment,
        tensor("embeddings.LayerNorm.weight", shape.dim),
        tensor("embeddings.LayerNorm.bias", shape.dim),
        tuple(layer(i) for i in range(shape.layers)),
    )
