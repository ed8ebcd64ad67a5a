"""A cross-encoder that never reads a pair twice, not even in the next process. Knows pairs and scores; no model.

One file an encoder, ``pairs/FINGERPRINT``: records of a 16-byte digest of the pair and its score (float32), appended as
they come. What a process that died left half written is cut off by the next. A cache: delete it freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.models.crossing import CrossEncoder
from memshadow.training.atomic import clear_errors

_RECORD = np.dtype([("pair", "V16"), ("score", "<f4")])


class CachedCrossEncoder:
    """Wraps a cross-encoder; same scores, same fingerprint. For one process at a time that writes.

    Args:
        encoder: what is asked for new pairs.
        folder: of caches.

    Raises:
        MemshadowError: the disk is full, or the folder may not be written.
    """

    def __init__(self, *, encoder: CrossEncoder, folder: str) -> None:
        self._encoder, self.name, self.fingerprint = encoder, encoder.name, encoder.fingerprint
        self._file = Path(folder) / "pairs" / quote(self.fingerprint, safe="")
        with clear_errors(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            kept = self._file.read_bytes() if self._file.exists() else b""
            whole = len(kept) - len(kept) % _RECORD.itemsize
            if whole < len(kept):
                self._file.write_bytes(kept[:whole])
        rows = np.frombuffer(kept[:whole], dtype=_RECORD)
        self._known = {pair.tobytes(): float(score) for pair, score in zip(rows["pair"], rows["score"], strict=True)}

    def scores(self, query: str, texts: Sequence[str]) -> Float32[ndarray, " n"]:
        """Return one score per text; only pairs never seen are read."""
        keys = [_key(query, text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if new:
            self._add(list(new), self._encoder.scores(query, list(new.values())))
        return np.array([self._known[key] for key in keys], dtype=np.float32)

    def _add(self, keys: list[bytes], scores: Float32[ndarray, " n"]) -> None:
        rows = np.array(list(zip(keys, scores.tolist(), strict=True)), dtype=_RECORD)
        with clear_errors(self._file), self._file.open("ab") as target:
            target.write(rows.tobytes())
        self._known |= dict(zip(keys, scores.tolist(), strict=True))


def _key(query: str, text: str) -> bytes:
    told = query.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")
    return blake2b(len(told[0]).to_bytes(8, "little") + told[0] + told[1], digest_size=16).digest()
