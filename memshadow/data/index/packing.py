"""A block as bytes, and back. Knows arrays; nothing of files, owners or trust: who calls has checked the hash.

Header: one (code, count, base) an array. Whole numbers are kept as their distance from the smallest, in as few bytes as
do; names (sessions, agents, speakers) as numbers into a table; rows of vectors last, from a multiple of 64 bytes on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from memshadow.data.index.columns import DTYPES, Columns
from memshadow.data.index.live import Content
from memshadow.data.index.snapshot import ExactBlock
from memshadow.data.index.terms import Table, Terms

_HEADER = np.dtype([("code", "<u4"), ("count", "<u4"), ("base", "<u8")])
_WIDTHS = tuple(np.dtype(kind) for kind in ("u1", "u1", "<u2", "<u4", "<u8"))
_BOUNDS = np.array([0, 0xFF, 0xFFFF, 0xFFFF_FFFF], dtype=np.uint64)
"""The largest distance that width 0 (all the same), 1, 2, 3 can hold."""
_NAMES = frozenset(("sessions", "agents", "speakers", "voices"))
_LINE = 64
_PARTS = len(DTYPES) + len(_NAMES) + 4


def packed(block: ExactBlock, *, half: bool) -> list[bytes]:
    """Return the pieces of the bytes of a block that was folded (see ``Live.fold``)."""
    arrays = list(_arrays(block.columns, block.terms.table))
    head = np.zeros(_PARTS, dtype=_HEADER)
    pieces = [b""]
    for i, array in enumerate(arrays):
        code, base, content = _narrowed(array)
        head[i] = (code, len(array), base)
        pieces.append(content + bytes(-len(content) % 8))
    pieces[0] = head.tobytes()
    pieces.append(bytes(-sum(map(len, pieces)) % _LINE))
    pieces.append(np.ascontiguousarray(block.matrix, dtype="<f2" if half else "<f4").tobytes())
    return pieces


def unpacked(content: ndarray, *, dim: int, half: bool) -> Content:
    """Return what ``packed`` was given; 32-bit rows are views of ``content`` (bytes from a multiple of 64 on)."""
    head = content[: _PARTS * _HEADER.itemsize].view(_HEADER)
    place = _PARTS * _HEADER.itemsize
    arrays = []
    for code, count, base in head.tolist():
        size = count * _WIDTHS[code].itemsize if code else 0
        arrays.append(_widened(content[place : place + size], code, count, base))
        place += size + -size % 8
    place += -place % _LINE
    rows = content[place:].view("<f2" if half else "<f4").reshape(-1, dim)
    columns, table = _sorted_out(arrays)
    return Content(columns, rows.astype(np.float32) if half else rows, Terms(table, len(columns.seqs)))


def _arrays(columns: Columns, terms: Table) -> Iterator[ndarray]:
    for name, column in zip(Columns._fields, columns, strict=True):
        if name in _NAMES:
            yield from np.unique(column, return_inverse=True)
        else:
            yield column
    yield terms.hashes
    yield np.diff(terms.starts)
    yield terms.places
    yield terms.counts


def _sorted_out(arrays: list[ndarray]) -> tuple[Columns, Table]:
    left = iter(arrays)
    columns = []
    for name, kind in zip(Columns._fields, DTYPES, strict=True):
        values = next(left)
        columns.append((values[next(left).astype(np.int64)] if name in _NAMES else values).astype(kind, copy=False))
    hashes, lengths, places, counts = left
    starts = np.zeros(len(hashes) + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return Columns(*columns), Table(hashes, starts, places, counts)


def _narrowed(array: ndarray) -> tuple[int, int, bytes]:
    """Return (width code, smallest value as 64 bits, distances from it); of no width where all values are the same."""
    if not len(array):
        return 0, 0, b""
    signed = array.dtype.kind == "i"
    bits = array.astype(np.int64 if signed else np.uint64, copy=False).view(np.uint64)
    base = int(array.min()) % 2**64
    distance = bits - np.uint64(base)
    code = int(np.searchsorted(_BOUNDS, distance.max()))
    return code, base, distance.astype(_WIDTHS[code]).tobytes() if code else b""


def _widened(content: ndarray, code: int, count: int, base: int) -> ndarray:
    if not code:
        return np.full(count, base, dtype=np.uint64)
    distance = content.view(_WIDTHS[code])
    return distance.astype(np.uint64) + np.uint64(base) if base else distance
