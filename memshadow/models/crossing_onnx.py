"""A cross-encoder that lies as an ONNX file: the packaged one, or any exported with its tokenizer. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError, ConfigError
from memshadow.models.crossing import Pairs
from memshadow.models.fingerprint import fingerprint_of
from memshadow.models.inference.exported import FILE, ExportedGraph
from memshadow.models.pretrained import CARRIED, locate

_METHOD = "alone-1"  # changes with anything here that changes scores


class OnnxCrossEncoder:
    """Scores pairs by ``model.onnx`` and ``tokenizer.json`` of a folder, one pair a run.

    Args:
        model: ``ms_marco_minilm`` (the packaged ms-marco-MiniLM-L12 in int8) or a model folder.
        max_tokens: the longest pair, special tokens included; bounds the cost of one.
        threads: threads of one run; 0 takes every core.

    Raises MissingExtraError without the model's package or ONNX Runtime, ConfigError for settings that fit no model,
    CheckpointError for a damaged folder or a model that gives no single score.
    """

    def __init__(self, *, model: str, max_tokens: int, threads: int) -> None:
        if threads < 0:
            raise ConfigError(f"threads={threads}: give 0 (every core) or how many")
        if model not in CARRIED and not Path(model).expanduser().is_dir():  # a hub is never asked: it has no such files
            raise ConfigError(f"model={model!r} is no folder here; give one with {FILE}, or {', '.join(CARRIED)}")
        folder = locate(model)
        self._pairs = Pairs(folder, max_tokens=max_tokens)
        self._graph = ExportedGraph(folder, threads=threads)
        (tried,) = self._pairs("a", ["b"])
        if self._graph(*tried).shape != (1,):
            raise CheckpointError(f"{folder / FILE} gives no single score a pair; a cross-encoder was needed")
        self.name = Path(model).name
        settings = _METHOD, self._graph.digest, max_tokens
        self.fingerprint = f"crossencoder-{fingerprint_of(folder, *settings)}"

    def scores(self, query: str, texts: Sequence[str]) -> Float32[ndarray, " n"]:
        """Return one raw logit per text."""
        return np.array([self._graph(*pair).item() for pair in self._pairs(query, texts)], dtype=np.float32)
