"""Rows near a query without looking at all: a FAISS structure over one owner's rows. Knows ordinals, seqs and rows.

Each row that is taken up gets the next ordinal; ``seqs`` tells whose it is. Nothing is changed in place: a row that was
replaced is dead and comes again under a new ordinal. One lock lets searches and additions take turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from memshadow.data.index.snapshot import ExactBlock
from memshadow.data.index.structures import Shape, faiss, from_bytes, parameters, to_bytes, trained

_AT_ONCE = 16  # rows added between two searches
_AGED = 0.25  # share of dead ordinals above which a structure is built anew
_SAMPLE = 50_000  # rows that codes and centroids are learned from


class View(NamedTuple):
    """How a structure and a snapshot stand to each other while the structure has this version."""

    version: int
    missing: Int64[ndarray, " n"]
    """Places of the snapshot that a search cannot find, ascending."""
    whole: bool
    """Nothing was ever taken out: ordinals are places."""


class _Asked:
    """What searches for ``k`` rows share: settings, and room for what FAISS finds, written to under the lock."""

    __slots__ = ("found", "found_at", "parameters", "scores", "scores_at")

    def __init__(self, module: Any, k: int, parameters: Any) -> None:
        self.parameters = parameters
        self.scores, self.found = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        self.scores_at, self.found_at = module.swig_ptr(self.scores), module.swig_ptr(self.found)


class Neighbours:
    """The structure of one owner, and which of its ordinals still stand for a row."""

    def __init__(self, shape: Shape, index: Any, seqs: Int64[ndarray, " n"], hashes: ndarray) -> None:
        self._shape, self._index, self._lock, self._module = shape, index, threading.Lock(), faiss()
        self._asked: dict[int, _Asked] = {}  # by k
        self._version = 0  # changes with what is taken up and forgotten
        self.seqs, self.hashes = seqs, hashes
        self.alive: Bool[ndarray, " n"] = np.ones(len(seqs), dtype=bool)
        self.dead, self.forgotten = 0, False
        self.last_seq = int(seqs.max(initial=-1))
        """The newest version that was ever taken up: no later one is in here."""
        self.moved: Int64[ndarray, " m"] = np.zeros(0, dtype=np.int64)
        """Seqs that were taken up once and must be again."""
        self._late = self.moved  # seqs that were forgotten since a taking up began: its block may be too old for them

    @classmethod
    def built(cls, block: ExactBlock, shape: Shape, stop: Callable[[], bool]) -> Neighbours | None:
        """Learn from a snapshot and take up its rows; ``None`` where ``stop`` asked for an end."""
        picked = np.random.default_rng(0).permutation(block.size)[:_SAMPLE]
        index = trained(np.ascontiguousarray(block.rows(np.sort(picked))), shape)
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

    def take_up(self, read: Callable[[], ExactBlock], stop: Callable[[], bool]) -> None:
        """Add what is missing of the block that ``read`` returns, a few rows at a time.

        The block is read after what moves is noted, so that nothing moves unseen between the two.
        """
        with self._lock:
            self._late = np.zeros(0, dtype=np.int64)
        block = read()
        with self._lock:
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
            self._late = np.union1d(self._late, gone)
            self.moved = np.union1d(self.moved, gone) if moved else np.setdiff1d(self.moved, gone)
            self.forgotten |= not moved
            self._version += 1

    def search(
        self,
        query: Float32[ndarray, " dim"],
        k: int,
        allowed: Bool[ndarray, " size"] | None,
        block: ExactBlock,
        view: View | None,
    ) -> tuple[Int64[ndarray, " found"], View]:
        """Return places of ``block`` near the query, at most ``k``, in no order, and how it stood to the block then.

        ``view`` is what the last search of the same block returned: while nothing has changed it is not worked out
        again, which would cost as much as a search.
        """
        with self._lock:
            if view is None or view.version != self._version:
                view = View(self._version, self.missing(block), self._whole(block))
            found = self._found(query, k, None if allowed is None and not self.dead else self._mask(allowed, block))
            if not view.whole:
                found = _places(block, self.seqs[found])
        return found, view

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

    def _found(self, query: ndarray, k: int, mask: ndarray | None) -> Int64[ndarray, " found"]:
        """Return the ordinals that FAISS finds, best first; its Python wrapper costs as much as the search."""
        share = 1.0 if mask is None else max(np.count_nonzero(mask) / len(mask), 1e-3)
        k = self._shape.wanted(k, share)
        asked = self._asked.get(k)
        if asked is None:
            asked = self._asked[k] = _Asked(self._module, k, parameters(self._shape, k, 1.0))
        how = asked.parameters
        if mask is not None and not self._shape.on_gpu:
            bits = np.packbits(mask, bitorder="little")
            how = parameters(self._shape, k, share)
            how.sel = self._module.IDSelectorBitmap(len(bits), self._module.swig_ptr(bits))
        row = np.ascontiguousarray(query, dtype=np.float32)  # by name: a pointer keeps nothing alive
        self._index.search_c(1, self._module.swig_ptr(row), k, asked.scores_at, asked.found_at, how)
        found = asked.found
        found = found.copy() if found[-1] >= 0 else found[found >= 0]  # what is lacking stands at the end as -1
        return found[mask[found]] if mask is not None and self._shape.on_gpu else found

    def _take_up(self, block: ExactBlock, places: Int64[ndarray, " n"]) -> None:
        rows = np.ascontiguousarray(block.rows(places))
        self._index.add(rows)
        seqs = block.seqs[places]
        fresh = np.isin(seqs, self._late, invert=True)
        self.hashes = np.append(self.hashes, row_hashes(rows))
        self.alive = np.append(self.alive, fresh)
        self.dead += len(fresh) - int(np.count_nonzero(fresh))
        self.seqs = np.append(self.seqs, seqs)
        self.last_seq = max(self.last_seq, int(seqs.max(initial=-1)))
        if len(self.moved):
            self.moved = np.setdiff1d(self.moved, seqs[fresh])
        self._version += 1

    def packed(self) -> tuple[int, bytes]:
        """Return what ``unpacked`` takes."""
        with self._lock:
            content = to_bytes(self._index, self._shape)
            return len(self.seqs), self.seqs.tobytes() + self.hashes.tobytes() + content

    @classmethod
    def unpacked(cls, shape: Shape, rows: int, content: memoryview, block: ExactBlock) -> Neighbours:
        """Return what was packed; what a block holds otherwise now is dead, and missing."""
        seqs = np.frombuffer(content, dtype=np.int64, count=rows)
        hashes = np.frombuffer(content, dtype=np.uint64, count=rows, offset=8 * rows)
        index = from_bytes(np.frombuffer(content, dtype=np.uint8, offset=16 * rows), shape)
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
