"""Any cross-encoder that the transformers library knows, run by its own modelling code: slower, and general."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError, ConfigError, MissingExtraError
from memshadow.models.chunking import batches
from memshadow.models.crossing import Pair, Pairs
from memshadow.models.fingerprint import fingerprint_of
from memshadow.models.inference.choice import torch_device
from memshadow.models.inference.padding import padded
from memshadow.models.pretrained import locate

_METHOD = "transformers-1"  # changes with anything here that changes scores


class TransformersCrossEncoder:
    """Scores pairs in fp32 by a sequence classifier with one output: safetensors only, no code of its folder is run.

    Args:
        model: a model folder, or a hub id ``owner/name``.
        device: ``cpu``, ``cuda``, or ``auto`` (cuda where there is one).
        batch_tokens: how many tokens a batch may hold, padding included: bounds memory, changes no score.
        max_tokens: the longest pair, special tokens included; bounds the cost of one.
        threads: threads of torch, for the whole process; 0 leaves them as they are.

    Raises MissingExtraError without torch or transformers, ConfigError for settings that fit no model, CheckpointError
    for a damaged folder or a model that gives no single score.
    """

    def __init__(self, *, model: str, device: str, batch_tokens: int, max_tokens: int, threads: int) -> None:
        if batch_tokens < 1:
            raise ConfigError(f"batch_tokens >= 1 is needed; got {batch_tokens}")
        folder = locate(model)
        self._pairs = Pairs(folder, max_tokens=max_tokens)
        self._batch_tokens, self._device = batch_tokens, torch_device(device, threads=threads)
        self._model = _classifier(folder).to(self._device)
        self._segments = int(getattr(self._model.config, "type_vocab_size", 0) or 0) > 1
        self.name = Path(model).name
        self.fingerprint = f"crossencoder-{fingerprint_of(folder, _METHOD, max_tokens)}"

    def scores(self, query: str, texts: Sequence[str]) -> Float32[ndarray, " n"]:
        """Return one raw logit per text."""
        pairs = self._pairs(query, texts)
        found = np.zeros(len(pairs), dtype=np.float32)
        for batch in batches([len(pair.ids) for pair in pairs], self._batch_tokens):
            found[batch] = self._logits([pairs[place] for place in batch])
        return found

    def _logits(self, pairs: Sequence[Pair]) -> Float32[ndarray, " n"]:
        import torch

        ids, mask = padded([pair.ids for pair in pairs])
        given = {"input_ids": ids, "attention_mask": mask}
        if self._segments:
            given["token_type_ids"], _ = padded([pair.segments for pair in pairs])
        with torch.inference_mode():
            logits = self._model(
                **{name: torch.from_numpy(part).to(self._device) for name, part in given.items()}
            ).logits
        return np.asarray(logits[:, 0].float().cpu().numpy())


def _classifier(folder: Path) -> Any:
    try:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise MissingExtraError("transformers", "train") from None
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError) as refusal:
        raise CheckpointError(f"transformers could not read a cross-encoder from {folder}: {refusal}") from refusal
    if model.config.num_labels != 1 or told["missing_keys"]:
        lacks = ", ".join(sorted(told["missing_keys"])[:3]) or "nothing"
        raise CheckpointError(
            f"{folder} is no cross-encoder: one number a pair was needed, it gives {model.config.num_labels}, and its "
            f"weights lack {lacks}"
        )
    return model.eval()
