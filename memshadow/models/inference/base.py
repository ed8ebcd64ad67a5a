"""What an encoder asks of the engine that runs it. Takes token ids; knows nothing of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jaxtyping import Float32
from numpy import ndarray


class Runtime(Protocol):
    """Runs one transformer on one batch.

    - ``encode`` keeps the order, and a sequence's row depends on the other sequences of the batch only within the
      tolerance of the arithmetic. Neighbours of similar length make it faster, never different.
    - Every sequence holds its special tokens already and is non-empty; the row is pooled, not normalised.
    - ``name`` says engine and precision (``torch-fp32``). ``precision`` alone goes into fingerprints: the fp32 engines
      agree within 1e-5, as one engine does with itself on another CPU; bf16 and int8 change what is found.
    """

    name: str
    precision: str
    dim: int

    def encode(self, sequences: Sequence[Sequence[int]]) -> Float32[ndarray, "n dim"]:
        """Return one pooled row per sequence of token ids."""
        ...
