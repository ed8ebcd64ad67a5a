"""An embedder that never encodes a text twice, not even in the next process. Knows texts and rows; no model.

One folder, two files an encoder: ``FINGERPRINT.rows`` (float32 rows, one after another) and ``FINGERPRINT.keys`` (a
16-byte digest of each row's text, in the same order). Both only grow. A key is written after its row is on disk, so a
process that dies in between leaves a row without a key, which the next one writes over. A cache: delete it freely.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.models.base import Embedder
from memshadow.models.lexical import TermStatistics
from memshadow.training.atomic import clear_errors
from memshadow.types import Passage

_KEY_BYTES = 16
_AT_ONCE = 512  # texts encoded between two writes: what a kill can cost


class CachedEmbedder:
    """Wraps a frozen encoder that reads one text at a time (no context, no statistics); same rows, same fingerprint.

    Several processes, and several of these in one process, may share the folder: what another has written since is read
    before anything is encoded.

    Raises:
        MemshadowError: the disk is full, or the folder may not be written.
    """

    def __init__(self, *, encoder: Embedder, folder: str) -> None:
        if encoder.reach != (0, 0):
            raise ConfigError(
                f"a cache keeps one row a text, but {encoder.name} reads {encoder.reach[0]} turns before and "
                f"{encoder.reach[1]} after; set its context_turns to 0"
            )
        self._encoder = encoder
        self.name, self.dim, self.fingerprint = encoder.name, encoder.dim, encoder.fingerprint
        self.normalised = encoder.normalised
        base, name = Path(folder) / "rows", quote(self.fingerprint, safe="")  # that of a remote one holds an address
        with clear_errors(base):
            base.mkdir(parents=True, exist_ok=True)
        self._keys_file, self._rows_file = base / f"{name}.keys", base / f"{name}.rows"
        self._known: dict[bytes, ndarray] = {}
        self._read_rows = 0

    @property
    def reach(self) -> tuple[int, int]:
        """Return (0, 0): one turn alone is read."""
        return 0, 0

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return the encoder's rows for the passages' own rendered texts."""
        return self._rows([passage.rendered() if passage.text.strip() else "" for passage in passages], asked=False)

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return the encoder's rows for queries."""
        del statistics
        return self._rows(texts, asked=True)

    def _rows(self, texts: Sequence[str], *, asked: bool) -> Float32[ndarray, "n dim"]:
        keys = [_key(text, asked=asked) for text in texts]
        if not self._known.keys() >= set(keys):
            self._catch_up()
        waiting = list({k: text for k, text in zip(keys, texts, strict=True) if k not in self._known}.items())
        for first in range(0, len(waiting), _AT_ONCE):
            self._encode(dict(waiting[first : first + _AT_ONCE]), asked=asked)
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, self.dim), dtype=np.float32)

    def _encode(self, new: dict[bytes, str], *, asked: bool) -> None:
        texts = list(new.values())
        rows = (
            self._encoder.embed_queries(texts)
            if asked
            else self._encoder.embed_passages([Passage(text=text) for text in texts])
        )
        self._known |= dict(zip(new, rows, strict=True))
        with clear_errors(self._rows_file), self._alone() as count:
            _write_at(self._rows_file, count * self.dim * 4, np.ascontiguousarray(rows, dtype="<f4").tobytes())
            _write_at(self._keys_file, count * _KEY_BYTES, b"".join(new))

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the cache against other processes; give the number of rows that have a key."""
        with self._keys_file.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self._keys_file.stat().st_size // _KEY_BYTES
            rows = self._rows_file.stat().st_size // (self.dim * 4) if self._rows_file.exists() else 0
            yield min(keys, rows)

    def _catch_up(self) -> None:
        """Read what was written since the last look."""
        with self._alone() as count:
            first, self._read_rows = self._read_rows, count
            if count <= first:
                return
            keys = self._keys_file.read_bytes()[first * _KEY_BYTES : count * _KEY_BYTES]
            place = first * self.dim * 4
            rows = np.fromfile(self._rows_file, dtype="<f4", count=(count - first) * self.dim, offset=place)
        for i, row in enumerate(rows.reshape(-1, self.dim)):
            self._known[keys[i * _KEY_BYTES : (i + 1) * _KEY_BYTES]] = row


def _key(text: str, *, asked: bool) -> bytes:
    said = text.encode("utf-8", "surrogatepass")
    return blake2b(said, digest_size=_KEY_BYTES, person=b"query" if asked else b"passage").digest()


def _write_at(file: Path, place: int, content: bytes) -> None:
    """Write ``content`` at byte ``place``, cut off what stood behind it, and wait until the disk has it."""
    with file.open("r+b" if file.exists() else "w+b") as target:
        target.seek(place)
        target.truncate()
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
