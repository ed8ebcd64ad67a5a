"""An encoder's ONNX graph, run by OpenVINO: the faster engine where the CPU multiplies bf16 (AMX, AVX-512)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import MissingExtraError
from memshadow.models.inference.padding import padded

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenvinoRuntime:
    """Runs a graph with inputs ``ids``, ``mask`` and output ``rows``; ``precision`` is ``fp32`` or ``bf16``.

    A CPU without bf16 instructions computes in fp32 whatever the hint says.
    """

    def __init__(self, graph: bytes, *, precision: str, threads: int) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("openvino", "openvino") from None
        core = openvino.Core()
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _HINTS[precision]}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        self.name, self.precision = f"openvino-{precision}", precision
        self._model = core.compile_model(core.read_model(graph), "CPU", settings)
        self._request = self._model.create_infer_request()
        self.dim = int(self._model.output(0).partial_shape[1].get_length())

    def encode(self, sequences: Sequence[Sequence[int]]) -> Float32[ndarray, "n dim"]:
        """Return one pooled row per sequence of token ids."""
        if not sequences:
            return np.zeros((0, self.dim), dtype=np.float32)
        ids, mask = padded(sequences)
        return np.array(self._request.infer({"ids": ids, "mask": mask})[self._model.output(0)], dtype=np.float32)
