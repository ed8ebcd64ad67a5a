"""A transformer boiled down to one vector a token. Makes the tables that :mod:`memshadow.models.static` reads.

Each token of the vocabulary is embedded alone, the vectors are rotated and cut by principal components, and each is
weighted by how rare it is: the recipe of model2vec (Tulkens & van Dongen 2024), with the smooth inverse frequency of
Arora et al. 2017 (*A simple but tough-to-beat baseline for sentence embeddings*, eq. 3).
"""

from __future__ import annotations

import shutil
import tempfile
from hashlib import blake2b
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError
from memshadow.models.chunking import unit
from memshadow.models.fingerprint import fingerprint_of
from memshadow.models.inference.base import Runtime
from memshadow.models.inference.choice import open_runtime
from memshadow.models.pretrained import locate
from memshadow.models.static import FORMAT, StaticTable, is_table
from memshadow.models.tokens import FILE, Tokens

_BATCH = 1024


def distilled_folder(model: str, *, dim: int, sif: float, cache: Path) -> Path:
    """Return the folder of the table distilled from ``model``, made now where ``cache`` does not hold it.

    The folder appears whole or not at all; of two processes that make it at once, one's is kept.
    """
    source = locate(model)
    made_of = f"{fingerprint_of(source, FORMAT)}-{dim}-{sif:g}"
    target = cache / "static" / blake2b(made_of.encode(), digest_size=12).hexdigest()
    if is_table(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".draft-"))
    try:
        runtime = open_runtime(source, "auto", device="auto", threads=0)
        table = distil(runtime, Tokens(source), dim=dim, sif=sif)
        table.about["source"] = model
        table.save(draft, (source / FILE).read_bytes())
        _move(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _move(draft: Path, target: Path) -> None:
    try:
        draft.replace(target)
    except OSError:
        if not is_table(target):  # not the other process's table: a full disk, a right that is missing
            raise


def distil(runtime: Runtime, tokens: Tokens, *, dim: int, sif: float) -> StaticTable:
    """Return the table of a vocabulary: each token embedded alone, ``dim`` principal components, weighted by rarity."""
    if not 1 <= dim <= runtime.dim or sif <= 0:
        raise ConfigError(
            f"a table distilled from this model needs dim from 1 to {runtime.dim} and sif > 0; got {dim=}, {sif=}"
        )
    alone = [tokens.framed([token]) for token in range(tokens.vocabulary)]
    parts = [runtime.encode(alone[start : start + _BATCH]) for start in range(0, len(alone), _BATCH)]
    rows = principal(unit(np.concatenate(parts)), dim) * rarity(tokens.vocabulary, sif)[:, None]
    return StaticTable(np.asarray(rows, dtype=np.float32), {"dim": dim, "sif": sif, "runtime": runtime.name})


def principal(rows: Float32[ndarray, "n wide"], dim: int) -> Float32[ndarray, "n dim"]:
    """Return centred rows on their ``dim`` strongest directions, each direction's largest entry positive."""
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    kept = directions[:, ::-1][:, :dim]
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(dim)])
    return np.asarray(centred @ kept, dtype=np.float32)


def rarity(vocabulary: int, sif: float) -> Float32[ndarray, " vocabulary"]:
    """Return sif / (sif + p) for each token, p by Zipf's law: a vocabulary lists its tokens by falling frequency."""
    frequency = 1 / np.arange(2, vocabulary + 2)
    return np.asarray(sif / (sif + frequency / frequency.sum()), dtype=np.float32)
