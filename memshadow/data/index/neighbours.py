"""Rows near a query without looking at all: a FAISS structure over one owner's rows. Knows ordinals, seqs and rows.

Each row that is taken up gets the next ordinal; ``seqs`` tells whose it is. Nothing is changed in place: a row that was
replaced is dead and comes again under a new ordinal. One lock lets searches and additions take turns.

HNSW: Malkov & Yashunin 2018 (arXiv 1603.09320), over 8-bit codes. IVF-RaBitQ: Gao & Long 2024 (arXiv 2405.12497).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from memshadow.data.index.snapshot import ExactBlock
from memshadow.errors import ConfigError, MissingExtraError

_AT_ONCE = 16  # rows added between two searches
_AGED = 0.25  # share of dead ordinals above which a structure is built anew
_SAMPLE = 50_000  # rows that codes and centroids are learned from
STRUCTURES = ("hnsw", "ivf_rabitq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What to build, and how hard to look.

    ``structure``: hnsw or ivf_rabitq. ``links`` a node and ``build_effort`` (candidates at building) are hnsw's,
    ``lists`` (clusters) ivf_rabitq's. ``effort``: candidates (hnsw) or clusters (ivf_rabitq) a search goes through.
    """

    structure: str
    links: int
    build_effort: int
    lists: int
    effort: int

    def __post_init__(self) -> None:
        """Refuse a structure that does not exist."""
        if self.structure not in STRUCTURES:
            raise ConfigError(f"structure={self.structure!r} is not known; needed: one of {', '.join(STRUCTURES)}")


def faiss() -> Any:
    """Return the FAISS module, imported when it is first needed."""
    try:
        import faiss as module
    except ImportError as error:
        raise MissingExtraError("faiss", "serve") from error
    return module


class Neighbours:
    """The structure of one owner, and which of its ordinals still stand for a row."""

    def __init__(self, shape: Shape, index: Any, seqs: Int64[ndarray, " n"], hashes: ndarray) -> None:
        self._shape, self._index, self._lock, self._module = shape, index, threading.Lock(), faiss()
        self._usual: dict[int, Any] = {}  # settings of unfiltered searches, by effort
        self.seqs, self.hashes = seqs, hashes
        self.alive: Bool[ndarray, " n"] = np.ones(len(seqs), dtype=bool)
        self.dead, self.forgotten = 0, False
        self.last_seq = int(seqs.max(initial=-1))
        """The newest version that was ever taken up: no later one is in here."""
        self.moved: Int64[ndarray, " m"] = np.zeros(0, dtype=np.int64)
        """Seqs that were taken up once and must be again."""

    @classmethod
    def built(cls, block: ExactBlock, shape: Shape, stop: Callable[[], bool]) -> Neighbours | None:
        """Learn from a snapshot and take up its rows; ``None`` where ``stop`` asked for an end."""
        index = _trained(block, shape)
        made = cls(shape, index, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64))
        for first in range(0, block.size, 1_000):
            if stop():
                return None
            made._take_up(block, np.arange(first, min(first + 1_000, block.size)))
        return made

    @property
    def aged(self) -> bool:
        """Return whether so much of it is dead that it should be built anew."""
        return self.dead > _AGED * len(self.seqs)

    def missing(self, block: ExactBlock) -> Int64[ndarray, " n"]:
        """Return the places of a block that a search here cannot find, ascending."""
        tail = np.arange(int(block.seqs.searchsorted(self.last_seq, side="right")), block.size)
        return np.union1d(_places(block, self.moved), tail) if len(self.moved) else tail

    def take_up(self, block: ExactBlock, stop: Callable[[], bool]) -> None:
        """Add what is missing, a few rows at a time."""
        missing = self.missing(block)
        for first in range(0, len(missing), _AT_ONCE):
            if stop():
                return
            with self._lock:
                self._take_up(block, missing[first : first + _AT_ONCE])

    def forget(self, seqs: Iterable[int], *, moved: bool) -> None:
        """Never find these again; ``moved``: until they are taken up anew."""
        gone = np.array(sorted(seqs), dtype=np.int64)
        with self._lock:
            hit = np.isin(self.seqs, gone) & self.alive
            self.alive = self.alive & ~hit
            self.dead += int(hit.sum())
            self.moved = np.union1d(self.moved, gone) if moved else np.setdiff1d(self.moved, gone)
            self.forgotten |= not moved

    def search(
        self, query: Float32[ndarray, " dim"], k: int, allowed: Bool[ndarray, " size"] | None, block: ExactBlock
    ) -> Int64[ndarray, " found"]:
        """Return places of ``block`` near the query, at most ``k``, in no order."""
        with self._lock:
            found = self._found(query, k, None if allowed is None and not self.dead else self._mask(allowed, block))
            found = found[: np.count_nonzero(found >= 0)]  # what is lacking stands at the end as -1
            return found if self._whole(block) else _places(block, self.seqs[found])

    def _whole(self, block: ExactBlock) -> bool:
        """Return whether nothing was ever taken out, so that ordinals are places."""
        n = len(self.seqs)
        return not self.dead and n <= block.size and bool(block.seqs[n - 1] == self.seqs[n - 1])

    def _mask(self, allowed: Bool[ndarray, " size"] | None, block: ExactBlock) -> Bool[ndarray, " n"]:
        """Return which ordinals may be found."""
        if allowed is None:
            return self.alive
        if self._whole(block):
            return allowed[: len(self.seqs)]
        places = np.minimum(block.seqs.searchsorted(self.seqs), block.size - 1)
        mask: ndarray = self.alive & (block.seqs[places] == self.seqs) & allowed[places]
        return mask

    def _found(self, query: ndarray, k: int, mask: ndarray | None) -> Int64[ndarray, " k"]:
        """Return the ordinals that FAISS finds, best first; its Python wrapper costs as much as the search."""
        pointer = self._module.swig_ptr
        if mask is None:
            parameters = self._parameters(self._effort(k, 1.0))
        else:
            bits = np.packbits(mask, bitorder="little")
            chosen = self._module.IDSelectorBitmap(len(bits), pointer(bits))
            share = max(np.count_nonzero(mask) / len(mask), 1e-3)
            parameters = _parameters(self._module, self._shape.structure, self._effort(k, share))
            parameters.sel = chosen
        query = np.ascontiguousarray(query, dtype=np.float32)
        scores, found = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        self._index.search_c(1, pointer(query), k, pointer(scores), pointer(found), parameters)
        return found

    def _effort(self, k: int, share: float) -> int:
        """Return how much to go through where only a share of it counts."""
        least = k if self._shape.structure == "hnsw" else 1
        return int(max(self._shape.effort, least) / share)

    def _parameters(self, effort: int) -> Any:
        if effort not in self._usual:
            self._usual[effort] = _parameters(self._module, self._shape.structure, effort)
        return self._usual[effort]

    def _take_up(self, block: ExactBlock, places: Int64[ndarray, " n"]) -> None:
        rows = np.ascontiguousarray(block.rows(places))
        self._index.add(rows)
        seqs = block.seqs[places]
        self.hashes = np.append(self.hashes, row_hashes(rows))
        self.alive = np.append(self.alive, np.ones(len(seqs), dtype=bool))
        self.seqs = np.append(self.seqs, seqs)
        self.last_seq = max(self.last_seq, int(seqs.max(initial=-1)))
        if len(self.moved):
            self.moved = np.setdiff1d(self.moved, seqs)

    def packed(self) -> tuple[int, bytes]:
        """Return what ``unpacked`` takes."""
        with self._lock:
            content = faiss().serialize_index(self._index).tobytes()
            return len(self.seqs), self.seqs.tobytes() + self.hashes.tobytes() + content

    @classmethod
    def unpacked(cls, shape: Shape, rows: int, content: memoryview, block: ExactBlock) -> Neighbours:
        """Return what was packed; what a block holds otherwise now is dead, and missing."""
        seqs = np.frombuffer(content, dtype=np.int64, count=rows)
        hashes = np.frombuffer(content, dtype=np.uint64, count=rows, offset=8 * rows)
        index = faiss().deserialize_index(np.frombuffer(content, dtype=np.uint8, offset=16 * rows))
        made = cls(shape, index, seqs, hashes)
        places = np.minimum(block.seqs.searchsorted(seqs), max(block.size - 1, 0))
        here = block.seqs[places] == seqs if block.size else np.zeros(rows, dtype=bool)
        now = block_hashes(block)
        made.alive = here & (now[places] == hashes) if block.size else here
        made.dead = rows - int(made.alive.sum())
        made.forgotten = bool((~here).any())
        made.moved = np.setdiff1d(block.seqs[block.seqs <= made.last_seq], seqs[made.alive])
        return made


def _places(block: ExactBlock, seqs: Int64[ndarray, " n"]) -> Int64[ndarray, " found"]:
    """Return where these versions stand, without those that the block does not have."""
    places: ndarray = np.minimum(block.seqs.searchsorted(seqs), block.size - 1)
    found: ndarray = places[block.seqs[places] == seqs]
    return found


def row_hashes(rows: Float32[ndarray, "n dim"]) -> ndarray:
    """Return 64 bits over each row's bytes: equal rows have equal ones; no protection against an adversary."""
    words = np.ascontiguousarray(rows).view(np.uint32).astype(np.uint64)
    weights = np.random.default_rng(0).integers(1, 2**63, size=words.shape[1], dtype=np.uint64) * np.uint64(2)
    mixed: ndarray = (words * (weights + np.uint64(1))).sum(axis=1, dtype=np.uint64)
    return mixed


def block_hashes(block: ExactBlock) -> ndarray:
    """Return the hashes of all rows of a block, worked out in pieces."""
    pieces = [row_hashes(block.rows(np.arange(i, min(i + 4_096, block.size)))) for i in range(0, block.size, 4_096)]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.uint64)


def _trained(block: ExactBlock, shape: Shape) -> Any:
    module = faiss()
    dim = block.matrix.shape[1]
    picked = np.random.default_rng(0).permutation(block.size)[:_SAMPLE]
    sample = np.ascontiguousarray(block.rows(np.sort(picked)))
    if shape.structure == "hnsw":
        index = module.IndexHNSWSQ(dim, module.ScalarQuantizer.QT_8bit, shape.links, module.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = shape.build_effort
    else:
        coarse = module.IndexFlatIP(dim)
        index = module.IndexIVFRaBitQ(coarse, dim, min(shape.lists, len(sample)), module.METRIC_INNER_PRODUCT)
        index.own_fields = True
        coarse.this.disown()  # belongs to the structure from here on
    index.train(sample)
    return index


def _parameters(module: Any, structure: str, effort: int) -> Any:
    if structure == "hnsw":
        parameters = module.SearchParametersHNSW()
        parameters.efSearch = effort
    else:
        parameters = module.IVFRaBitQSearchParameters()
        parameters.nprobe, parameters.qb = effort, 8
    return parameters
