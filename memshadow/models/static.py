"""One vector a token, added up: far faster than the transformer it was distilled from, and blind to order.

The table is a file (``static.safetensors`` + ``static.json`` + ``tokenizer.json``) that loads with numpy and a
tokenizer alone; :mod:`memshadow.models.distillation` makes it. Knows nothing of how a table was made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from memshadow.errors import CheckpointError
from memshadow.models.chunking import unit
from memshadow.models.lexical import TermStatistics
from memshadow.models.reading import reading
from memshadow.models.tokens import FILE, Tokens
from memshadow.types import Passage

FORMAT = 1
_WEIGHTS, _ABOUT = "static.safetensors", "static.json"


@dataclass(frozen=True, slots=True)
class StaticTable:
    """Row i is the vector of token i, its weight multiplied in. ``about`` says where it came from."""

    rows: Float32[ndarray, "vocabulary dim"]
    about: dict[str, object]

    def save(self, folder: Path, tokenizer: bytes) -> None:
        """Write the table and its tokenizer into an existing folder."""
        save_file({"rows": np.ascontiguousarray(self.rows)}, folder / _WEIGHTS)
        (folder / FILE).write_bytes(tokenizer)
        (folder / _ABOUT).write_text(json.dumps({"format": FORMAT, **self.about}, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> StaticTable:
        """Read a table; raises CheckpointError where it is missing, damaged, or of a newer format."""
        if missing := [name for name in (_WEIGHTS, _ABOUT) if not (folder / name).is_file()]:
            raise CheckpointError(
                f"{folder} holds no static table: {' and '.join(missing)} is missing; distil it again"
            )
        try:
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            rows = load_file(folder / _WEIGHTS)["rows"]
        except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError, KeyError) as damage:
            raise CheckpointError(
                f"the static table in {folder} is damaged ({damage}); delete it and distil it again"
            ) from None
        if about.get("format") != FORMAT:
            raise CheckpointError(
                f"the static table in {folder} has format {about.get('format')}, this version reads {FORMAT}; "
                "upgrade memshadow or distil the table again"
            )
        return cls(np.asarray(rows, dtype=np.float32), about)


def is_table(folder: Path) -> bool:
    """Say whether ``folder`` holds a static table."""
    return (folder / _ABOUT).is_file()


class StaticEmbedder:
    """Embeds by the weighted mean of token vectors; unit rows, any length in one piece.

    Args:
        model: a folder with a static table, or what to distil one from: ``minilm``, a model folder, a hub id.
        dim: width of the distilled table (a ready table keeps its own).
        sif: weight of frequent tokens, ``sif / (sif + p)`` with p from Zipf's law (Arora et al. 2017, eq. 3).
        cache: folder in which a distilled table is kept.

    Distilling MiniLM reads each of its 30,522 tokens once (about 40 CPU seconds) and needs a transformer's packages; a
    later start needs neither.
    """

    normalised = True

    def __init__(self, *, model: str, dim: int, sif: float, cache: str) -> None:
        folder = Path(model).expanduser()
        if not is_table(folder):
            from memshadow.models.distillation import distilled_folder

            folder = distilled_folder(model, dim=dim, sif=sif, cache=Path(cache).expanduser())
        table = StaticTable.load(folder)
        self._rows, self._tokens = table.rows, Tokens(folder)
        self.dim = self._rows.shape[1]
        self.name = f"static-{self.dim}"
        digest = blake2b(self._rows.tobytes(), digest_size=16)
        digest.update((folder / FILE).read_bytes())
        self.fingerprint = f"static-1-{digest.hexdigest()}"

    @property
    def reach(self) -> tuple[int, int]:
        """Return (0, 0): one turn alone is read."""
        return 0, 0

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one unit row per passage, the turns around it not read; a blank one gives zeros."""
        return self._embed([reading(passage, context_turns=0) for passage in passages])

    def embed_queries(
        self,
        texts: Sequence[str],
        *,
        statistics: TermStatistics | None = None,  # noqa: ARG002 (no idf here)
    ) -> Float32[ndarray, "n dim"]:
        """Return one unit row per query; a blank one gives zeros, ``statistics`` are ignored."""
        return self._embed(texts)

    def _embed(self, texts: Sequence[str]) -> Float32[ndarray, "n dim"]:
        whole = np.zeros((len(texts), self.dim), dtype=np.float32)
        spoken = [place for place, text in enumerate(texts) if text.strip()]
        if spoken:
            pieces = [ids or [self._tokens.unknown] for ids in self._tokens([texts[place] for place in spoken])]
            starts = np.cumsum([0, *(len(ids) for ids in pieces[:-1])])
            ids = np.fromiter(chain.from_iterable(pieces), dtype=np.intp)
            whole[spoken] = unit(np.add.reduceat(self._rows[ids], starts, axis=0))
        return whole
