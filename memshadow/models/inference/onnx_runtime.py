"""An encoder's ONNX graph, run by ONNX Runtime. Needs no torch; its threads sleep while they wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError, MissingExtraError
from memshadow.models.inference.padding import padded


class OnnxRuntime:
    """Runs a graph with inputs ``ids``, ``mask`` and output ``rows`` (see :mod:`.onnx_graph`).

    Args:
        graph: the file, or its bytes.
        weights: the constants that the graph names and does not hold; they are used where they lie.
        precision: ``fp32`` or ``int8``: what the graph computes in.
        threads: threads of one run; 0 takes every core.
    """

    def __init__(
        self, graph: Path | bytes, *, precision: str, threads: int, weights: Mapping[str, ndarray] | None = None
    ) -> None:
        self.name, self.precision = f"onnx-{precision}", precision
        self._weights = dict(weights or {})  # the session reads them as long as it lives, and does not hold them
        self._session = open_session(graph, threads, self._weights)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.dim = int(self._session.get_outputs()[0].shape[1])

    def encode(self, sequences: Sequence[Sequence[int]]) -> Float32[ndarray, "n dim"]:
        """Return one pooled row per sequence of token ids."""
        if not sequences:
            return np.zeros((0, self.dim), dtype=np.float32)
        ids, mask = padded(sequences)
        return np.asarray(self._session.run(["rows"], {"ids": ids, "mask": mask})[0], dtype=np.float32)


def open_session(graph: Path | bytes, threads: int, weights: Mapping[str, ndarray]) -> Any:
    """Return ONNX Runtime's session on a graph; raises MissingExtraError without it, CheckpointError for no graph."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "encode") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except (
        onnxruntime.capi.onnxruntime_pybind11_state.Fail,
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
        onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile,
    ) as damage:
        raise CheckpointError(
            f"no ONNX encoder could be read from {'bytes' if isinstance(graph, bytes) else graph}: {damage}"
        ) from None
