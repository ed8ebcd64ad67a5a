"""The contract of every cross-encoder: a question and a text are read together, one number says how well they fit.

Nogueira & Cho 2019, arXiv 1901.04085. Slower than comparing vectors by orders of magnitude, since nothing can be worked
out before the question is known; so it orders a handful of candidates. Knows nothing of where those came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.models.inference.bert import read_json
from memshadow.models.tokens import open_tokenizer, wellformed


@runtime_checkable
class CrossEncoder(Protocol):
    """Scores texts for a question.

    The corners, the same for every cross-encoder:

    - Order is kept: score i belongs to text i. No texts give an empty array.
    - Scores are raw logits: finite, of any sign, higher is better. They order the texts of one question; those of two
      models, or of a model before and after it was quantised, are on different scales.
    - A pair's score does not depend on the other texts of the call (within the float tolerance of its engine).
    - Any ``str`` is accepted: blank, 100,000 characters, emoji, any script, lone surrogates. What does not fit into the
      model's tokens is not read, so that a pair has a bounded cost: the longer of the two is cut at its end first.
    - May be called from several threads at once.
    - ``fingerprint`` changes whenever any score could.
    """

    name: str
    fingerprint: str

    def scores(self, query: str, texts: Sequence[str]) -> Float32[ndarray, " n"]:
        """Return one score per text."""
        ...


class Pair(NamedTuple):
    """A question and a text as a transformer reads them, special tokens included; ``segments`` tell which is which."""

    ids: list[int]
    segments: list[int]


class Pairs:
    """The tokenizer of a folder, for pairs of at most ``max_tokens`` tokens.

    Raises ConfigError where so many, or so few, fit no model, CheckpointError for a damaged folder.
    """

    def __init__(self, folder: Path, *, max_tokens: int) -> None:
        self._tokenizer = open_tokenizer(folder)
        least, most = 2 + self._tokenizer.num_special_tokens_to_add(True), _longest(folder)
        if max_tokens < least or (most is not None and max_tokens > most):
            fits = f"from {least} to {most}" if most is not None else f"of at least {least}"
            raise ConfigError(f"max_tokens={max_tokens} does not fit this model; give a number {fits}")
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens, strategy="longest_first")

    def __call__(self, query: str, texts: Sequence[str]) -> list[Pair]:
        """Return the question with each text."""
        query = wellformed(query)
        encoded = self._tokenizer.encode_batch_fast([(query, wellformed(text)) for text in texts])
        return [Pair(item.ids, item.type_ids) for item in encoded]


def _longest(folder: Path) -> int | None:
    """Return how many tokens the model reads, by the files beside it; ``None`` where they do not say."""
    said = (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length"))
    found = [read_json(folder / file).get(key) for file, key in said if (folder / file).is_file()]
    return min((length for length in found if isinstance(length, int)), default=None)
