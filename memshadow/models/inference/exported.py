"""A transformer as somebody else exported it to ONNX: token ids in, the graph's first output out. Knows no text.

Such files are mostly quantised with one scale for a whole tensor (``DynamicQuantizeLinear``): in a batch each text, and
the padding, would change the others' results. So every sequence runs alone, unpadded; its result is the same to the bit
whatever else is asked, for about a fifth more CPU than in batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError
from memshadow.models.inference.onnx_runtime import open_session

FILE = "model.onnx"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class ExportedGraph:
    """Runs ``model.onnx`` of a folder by the usual names of its inputs; ``digest`` tells its bytes.

    May be called from several threads at once. Raises CheckpointError where the folder has no such file, or one that is
    damaged or has other inputs.
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        path = folder / FILE
        if not path.is_file():
            raise CheckpointError(f"{folder} has no {FILE}; export the model to ONNX, or run its safetensors instead")
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
        self._session = open_session(path, threads, {})
        self._names = [item.name for item in self._session.get_inputs()]
        if "input_ids" not in self._names or not set(self._names) <= set(_INPUTS):
            raise CheckpointError(f"{path} has the inputs {self._names}; needed: input_ids and some of {_INPUTS[1:]}")

    def __call__(self, ids: Sequence[int], segments: Sequence[int]) -> Float32[ndarray, "..."]:
        """Return the first output for one sequence, its special tokens included; the batch axis is taken off."""
        given = dict(zip(_INPUTS, (ids, [1] * len(ids), segments), strict=True))
        feed = {name: np.asarray([given[name]], dtype=np.int64) for name in self._names}
        return np.asarray(self._session.run(None, feed)[0][0], dtype=np.float32)


class ExportedRuntime:
    """Runs an exported encoder whose first output is one row a token; ``pooling`` is ``cls`` or ``mean``."""

    def __init__(self, folder: Path, *, pooling: str, threads: int) -> None:
        self._graph, self._pooling = ExportedGraph(folder, threads=threads), pooling
        states = self._graph([0], [0])
        if states.ndim != 2:
            raise CheckpointError(f"{folder / FILE} gives no row a token; an encoder's hidden states were needed")
        self.dim = int(states.shape[1])
        self.name, self.precision = f"exported-{pooling}", f"exported-{pooling}-{self._graph.digest}"

    def encode(self, sequences: Sequence[Sequence[int]]) -> Float32[ndarray, "n dim"]:
        """Return one pooled row per sequence of token ids."""
        rows = np.zeros((len(sequences), self.dim), dtype=np.float32)
        for row, ids in zip(rows, sequences, strict=True):
            states = self._graph(ids, [0] * len(ids))
            row[:] = states[0] if self._pooling == "cls" else states.mean(axis=0)
        return rows
