"""The whole state of a training on disk: safetensors and JSON, checked, the last good ones kept. Knows no model.

A state is a tree of plain values, tensors and arrays. Tensors go to ``tensors.safetensors``; the tree goes to
``state.json`` with tags for what JSON cannot say (tuples, keys that are no strings, infinities). What cannot be said so
is refused: nothing is pickled, so loading a state runs no code of it.
"""

# ruff: noqa: ARG002 - the signatures of StateIO are Lightning's
from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from memshadow.errors import CheckpointError
from memshadow.training.atomic import new_folder, remove_drafts, write_json

FORMAT_VERSION = 1
_TAG = "~"
_LOG = logging.getLogger(__name__)
_MAPPINGS: dict[str, Callable[[Any], Any]] = {"dict": dict, "ordered": OrderedDict, "counter": Counter}
_TAG_OF: dict[type, str] = {dict: "dict", OrderedDict: "ordered", Counter: "counter"}


def encode(value: Any, tensors: dict[str, Tensor], path: str = "state") -> Any:
    """Return ``value`` as JSON values, its tensors and arrays put into ``tensors`` under their path.

    Raises:
        CheckpointError: a value of a type that cannot be written; the message names its path.
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {_TAG: "float", "value": repr(value)}
    if isinstance(value, Tensor | np.ndarray):
        return _encode_tensor(value, tensors, path)
    if type(value) in (list, tuple):
        items = [encode(item, tensors, f"{path}/{i}") for i, item in enumerate(value)]
        return items if type(value) is list else {_TAG: "tuple", "items": items}
    if type(value) in _TAG_OF:
        return _encode_mapping(value, tensors, path)
    raise CheckpointError(
        f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which a training state cannot hold; keep "
        "numbers, strings, lists, tuples, dicts, tensors or arrays there."
    )


def _encode_tensor(value: Tensor | np.ndarray, tensors: dict[str, Tensor], path: str) -> dict[str, str]:
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
        raise CheckpointError(f"{path} is an array of {value.dtype}; a training state holds numbers and booleans.")
    tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    if tensor.layout is not torch.strided or tensor.is_complex():
        raise CheckpointError(f"{path} is a {tensor.layout} tensor of {tensor.dtype}; a state holds dense real ones.")
    name = path
    while name in tensors:  # the keys 0 and "0" of one mapping
        name += "'"
    tensors[name] = tensor
    return {_TAG: "tensor" if isinstance(value, Tensor) else "array", "name": name}


def _encode_mapping(value: Mapping[Any, Any], tensors: dict[str, Tensor], path: str) -> dict[str, Any]:
    kind = _TAG_OF[type(value)]
    if kind == "dict" and all(type(key) is str for key in value) and _TAG not in value:
        return {key: encode(item, tensors, f"{path}/{key}") for key, item in value.items()}
    items = [
        [encode(key, tensors, f"{path}/key"), encode(item, tensors, f"{path}/{key}")] for key, item in value.items()
    ]
    return {_TAG: kind, "items": items}


def decode(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the value that ``encode`` wrote as ``tree`` and ``tensors``."""
    if isinstance(tree, list):
        return [decode(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag = tree.get(_TAG)
    if tag is None:
        return {key: decode(item, tensors) for key, item in tree.items()}
    if tag == "float":
        return float(tree["value"])
    if tag in ("tensor", "array"):
        tensor = tensors[tree["name"]]
        return tensor if tag == "tensor" else tensor.numpy()
    if tag == "tuple":
        return tuple(decode(item, tensors) for item in tree["items"])
    return _MAPPINGS[tag](OrderedDict((decode(key, tensors), decode(item, tensors)) for key, item in tree["items"]))


class StateFolder:
    """The states of one run: ``00000001/``, ``00000002/`` …, the newest ``keep`` of them. One writer at a time.

    ``save`` is atomic: a process killed or a disk filled at any moment leaves the states that were there.
    """

    def __init__(self, path: Path, *, keep: int = 2) -> None:
        self.path = path
        self._keep = keep

    def numbers(self) -> list[int]:
        """Return the numbers of the states on disk, oldest first."""
        return sorted(int(entry.name) for entry in self.path.glob("[0-9]*") if entry.name.isdigit())

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state`` as the newest and forget those beyond ``keep``."""
        tensors: dict[str, Tensor] = {}
        tree = encode(dict(state), tensors)
        content = tensor_bytes(tensors)
        numbers = self.numbers()
        with new_folder(self._folder(numbers[-1] + 1 if numbers else 1)) as draft:
            (draft / "tensors.safetensors").write_bytes(content)
            write_json(draft / "state.json", _sealed(tree, content))
        for number in numbers[: max(0, len(numbers) + 1 - self._keep)]:
            shutil.rmtree(self._folder(number))
        remove_drafts(self.path)

    def load(self) -> dict[str, Any]:
        """Return the newest state that is whole; say so where that is not the newest.

        Raises:
            CheckpointError: there is none, or the newest was written by a newer memshadow.
        """
        for number in reversed(self.numbers()):
            folder = self._folder(number)
            try:
                return _opened(folder)
            except _DamagedError as damage:
                _LOG.warning("Training state %s is damaged (%s); going back to the one before it.", folder, damage)
        raise CheckpointError(f"{self.path} holds no training state that is whole; start a new run.")

    def _folder(self, number: int) -> Path:
        return self.path / f"{number:08d}"


class _DamagedError(Exception):
    """A state whose files are not the ones written."""


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors of any device as the content of a safetensors file; those that share memory are written twice."""
    seen: set[int] = set()
    alone = {}
    for name, tensor in tensors.items():
        copy = tensor.detach().cpu().contiguous()
        place = copy.untyped_storage().data_ptr()
        alone[name] = copy.clone() if place in seen else copy
        seen.add(place)
    return bytes(save(alone))


def _sealed(tree: Any, tensors: bytes) -> dict[str, Any]:
    body = {"format_version": FORMAT_VERSION, "tensors_sha256": hashlib.sha256(tensors).hexdigest(), "tree": tree}
    return {**body, "sha256": _digest(body)}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _opened(folder: Path) -> dict[str, Any]:
    try:
        body = json.loads((folder / "state.json").read_bytes())
        version, seal = body["format_version"], body.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _DamagedError(f"state.json: {error!r}") from error
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"The training state {folder} has format version {version}; this memshadow reads up to {FORMAT_VERSION}. "
            "Go on with the memshadow that wrote it, or start a new run."
        )
    if seal != _digest(body):
        raise _DamagedError("state.json is not the one written")
    return dict(decode(body["tree"], _tensors(folder / "tensors.safetensors", body["tensors_sha256"])))


def _tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _DamagedError(f"{path.name} is not the one written")
        return dict(load(content))
    except (OSError, SafetensorError) as error:
        raise _DamagedError(f"{path.name}: {error!r}") from error


class StateIO(CheckpointIO):
    """Lightning's door to ``StateFolder``: the checkpoint path is the folder of states.

    ``shapes`` are those of the module's ``state_dict``: a state of another model is refused before it does harm.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint as the newest state in the folder ``path``."""
        StateFolder(Path(path)).save(checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Return the newest whole state in the folder ``path``, tensors on the CPU.

        Raises:
            CheckpointError: as ``StateFolder.load``, or the state's weights are not the module's by name and shape.
        """
        state = StateFolder(Path(path)).load()
        found = {name: tuple(value.shape) for name, value in state["state_dict"].items()}
        different = sorted(name for name in found.keys() | self._shapes if found.get(name) != self._shapes.get(name))
        if different:
            name = different[0]
            raise CheckpointError(
                f"{path} is the state of another model: {name} has shape {found.get(name)} there and "
                f"{self._shapes.get(name)} now ({len(different)} differ). Use that run's settings or start a new run."
            )
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the folder of states."""
        shutil.rmtree(path)
