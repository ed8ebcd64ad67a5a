"""A transformer that turns token ids into unit rows, as a torch module to be trained. Knows no text and no loss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from memshadow.models.pretrained import locate
from memshadow.models.tokens import FILE
from memshadow.training.atomic import write_bytes, write_json

_COPIED = (FILE, "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


class TextEncoder(nn.Module):
    """Mean pooled, unit rows (Reimers & Gurevych 2019, 1908.10084) over any transformer that takes ids and a mask."""

    def __init__(self, transformer: Any, *, folder: Path) -> None:
        super().__init__()
        self.transformer = transformer
        self.config = transformer.config
        self.folder = folder

    def forward(self, ids: Int[Tensor, "n l"], mask: Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        """Return one row per sequence; ``mask`` is 1 on tokens and 0 on padding."""
        states = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = mask[:, :, None].to(states.dtype)
        return functional.normalize((states * kept).sum(1) / kept.sum(1), dim=1)

    def save(self, folder: Path) -> None:
        """Write weights, shape, tokenizer and pooling in the usual layout of a sentence encoder."""
        weights = {name: value.detach().cpu().contiguous() for name, value in self.transformer.state_dict().items()}
        write_bytes(folder / "model.safetensors", bytes(save(weights, metadata={"format": "pt"})))
        write_json(folder / "config.json", json.loads(self.config.to_json_string()))
        (folder / "1_Pooling").mkdir()
        dim = self.config.hidden_size
        write_json(
            folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dim, "pooling_mode_mean_tokens": True}
        )
        for name in _COPIED:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)


class EncoderSource(Protocol):
    """Where training starts. ``folder`` holds the tokenizer."""

    folder: Path
    pretrained: bool

    def encoder(self) -> TextEncoder:
        """Return a new encoder in training mode, the same at every call under the same torch seed."""
        ...


class PretrainedEncoder:
    """Starts from a trained one: ``minilm`` (packaged), a model folder, or a hub id. ``dropout`` replaces its own."""

    pretrained = True

    def __init__(self, *, model: str, dropout: float) -> None:
        self.folder = locate(model)
        self._dropout = dropout

    def encoder(self) -> TextEncoder:
        """Return the pretrained encoder."""
        from transformers import AutoModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        rates = {"hidden_dropout_prob": self._dropout, "attention_probs_dropout_prob": self._dropout}
        transformer = AutoModel.from_pretrained(self.folder, dtype=torch.float32, local_files_only=True, **rates)
        return _ready(transformer, self.folder)


class ScratchEncoder:
    """Starts from random numbers: a BERT (Devlin et al. 2019, 1810.04805) of the given size and a known tokenizer."""

    pretrained = False

    def __init__(self, *, tokenizer: str, layers: int, heads: int, dim: int, inner_dim: int, dropout: float) -> None:
        self.folder = locate(tokenizer)
        self._shape: dict[str, Any] = {
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_size": dim,
            "intermediate_size": inner_dim,
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout,
        }

    def encoder(self) -> TextEncoder:
        """Return an untrained encoder."""
        from transformers import BertConfig, BertModel

        return _ready(BertModel(BertConfig(**self._shape)), self.folder)


def _ready(transformer: Any, folder: Path) -> TextEncoder:
    """Drop the pooler, which mean pooling never asks (under several processes it would be waited for)."""
    if getattr(transformer, "pooler", None) is not None:
        transformer.pooler = None
    return TextEncoder(transformer, folder=folder).train()


def padded(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
    """Return ids, filled up with 0 to the longest row, and the mask."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(longest) < lengths[:, None]).long()
