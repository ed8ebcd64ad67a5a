"""A transformer as an embedder: chunks, batches of like length, one runtime. Knows no matrix and no memory.

``memshadow.models.inference`` holds what computes; here stands what every engine has in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.models.checkpoint import DESCRIPTION, read_model
from memshadow.models.chunking import batches, joined, windows
from memshadow.models.fingerprint import fingerprint_of
from memshadow.models.inference.bert import read_json
from memshadow.models.inference.choice import open_runtime
from memshadow.models.lexical import TermStatistics
from memshadow.models.pretrained import locate
from memshadow.models.reading import reading
from memshadow.models.tokens import Tokens
from memshadow.types import Passage

_METHOD = "packed-1"  # changes with anything below that changes vectors


class TransformerEmbedder:
    """Embeds with a pretrained or fine-tuned encoder: mean (or cls) pooled, unit rows.

    Args:
        model: ``minilm`` (the packaged all-MiniLM-L6-v2), a model folder, or a hub id ``owner/name``.
        runtime: ``auto``, or one of those in :mod:`memshadow.models.inference.choice`.
        device: ``cpu``, ``cuda``, or ``auto`` (cuda where there is one). Only torch runtimes leave the CPU.
        batch_tokens: how many tokens a batch may hold, padding included: bounds memory, changes no vector.
        max_tokens: the longest chunk, special tokens included; a longer text is cut into chunks of equal length whose
            unit vectors are averaged, weighted by length, and brought back to norm 1.
        context_turns: how many turns of ``Passage.before`` are put in front of a passage, one a line; ``None``: as many
            as the model was trained with here, none for another.
        threads: threads of the engine; 0 leaves it to the engine.

    Raises MissingExtraError without the runtime's package, ConfigError for settings that fit no model, CheckpointError
    for a damaged folder.
    """

    normalised = True

    def __init__(
        self,
        *,
        model: str,
        runtime: str,
        device: str,
        batch_tokens: int,
        max_tokens: int,
        context_turns: int | None,
        threads: int,
    ) -> None:
        if batch_tokens < 1 or (context_turns or 0) < 0:
            raise ConfigError(
                f"batch_tokens >= 1 and context_turns >= 0 are needed; got {batch_tokens=}, {context_turns=}"
            )
        folder = locate(model)
        trained = _trained_with(folder)
        if context_turns is None:
            context_turns = int(trained.get("context_turns", 0))
        self._tokens = Tokens(folder)
        self._window = _window(folder, self._tokens, max_tokens)
        self._runtime = open_runtime(folder, runtime, device=device, threads=threads)
        self._batch_tokens, self._context_turns = batch_tokens, context_turns
        self.name = f"{folder.name if model != 'minilm' else model}-{self._runtime.name}"
        self.dim = self._runtime.dim
        self.fingerprint = (
            f"transformer-{fingerprint_of(folder, _METHOD, self._runtime.precision, max_tokens, context_turns)}"
        )

    @property
    def reach(self) -> tuple[int, int]:
        """Return the turns of context in front, and none behind."""
        return self._context_turns, 0

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one unit row per passage, read with its ``context_turns`` earlier turns; a blank one gives zeros."""
        return self._embed([reading(passage, context_turns=self._context_turns) for passage in passages])

    def embed_queries(
        self,
        texts: Sequence[str],
        *,
        statistics: TermStatistics | None = None,  # noqa: ARG002 (no idf here)
    ) -> Float32[ndarray, "n dim"]:
        """Return one unit row per query; blank gives zeros, ``statistics`` are ignored."""
        return self._embed(texts)

    def _embed(self, texts: Sequence[str]) -> Float32[ndarray, "n dim"]:
        """Embed each distinct text once."""
        distinct = {text: place for place, text in enumerate(dict.fromkeys(t for t in texts if t.strip()))}
        rows = np.vstack([self._rows(list(distinct)), np.zeros((1, self.dim), dtype=np.float32)])
        return rows[[distinct.get(text, -1) for text in texts]]

    def _rows(self, texts: Sequence[str]) -> Float32[ndarray, "n dim"]:
        pieces, owners, sizes = [], [], []
        for owner, ids in enumerate(self._tokens(texts)):
            for window in windows(len(ids), self._window):
                pieces.append(self._tokens.framed(ids[window]))
                owners.append(owner)
                sizes.append(window.stop - window.start)
        rows = np.zeros((len(pieces), self.dim), dtype=np.float32)
        for batch in batches([len(piece) for piece in pieces], self._batch_tokens):
            rows[batch] = self._runtime.encode([pieces[place] for place in batch])
        return joined(rows, owners, sizes, len(texts))


def _trained_with(folder: Path) -> Mapping[str, Any]:
    """Return the settings of a model that memshadow trained, checked for version and damage; none of another's."""
    return read_model(folder).settings if (folder / DESCRIPTION).is_file() else {}


def _window(folder: Path, tokens: Tokens, max_tokens: int) -> int:
    """Return how many text tokens fit one chunk."""
    longest = read_json(folder / "config.json").get("max_position_embeddings", max_tokens)
    room = max_tokens - len(tokens.prefix) - len(tokens.suffix)
    if room < 1 or max_tokens > longest:
        least = 1 + len(tokens.prefix) + len(tokens.suffix)
        raise ConfigError(f"max_tokens={max_tokens} does not fit this model; give a number from {least} to {longest}")
    return room
