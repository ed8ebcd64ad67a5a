"""Any encoder that the transformers library knows, run by its own modelling code: slower, and general."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError, MissingExtraError
from memshadow.models.inference.bert import read_pooling
from memshadow.models.inference.padding import padded


class TransformersRuntime:
    """Runs the encoder in ``folder`` in fp32 on ``device``: safetensors only, code from the folder is never run."""

    name, precision = "transformers-fp32", "fp32"

    def __init__(self, folder: Path, *, device: str) -> None:
        try:
            from transformers import AutoModel
        except ImportError:
            raise MissingExtraError("transformers", "train") from None
        try:
            model = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError, KeyError) as refusal:
            raise CheckpointError(f"transformers could not read an encoder from {folder}: {refusal}") from refusal
        self._model = model.eval().to(device)
        self._pooling, self._device = read_pooling(folder), device
        self.dim = int(model.config.hidden_size)

    @torch.inference_mode()
    def encode(self, sequences: Sequence[Sequence[int]]) -> Float32[ndarray, "n dim"]:
        """Return one pooled row per sequence of token ids."""
        if not sequences:
            return np.zeros((0, self.dim), dtype=np.float32)
        ids, mask = (torch.from_numpy(part).to(self._device) for part in padded(sequences))
        rows = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        if self._pooling == "cls":
            return np.asarray(rows[:, 0].float().cpu().numpy())
        weight = mask.unsqueeze(-1).to(rows.dtype)
        return np.asarray(((rows * weight).sum(1) / weight.sum(1)).float().cpu().numpy())
