"""Checkpoints that can be undone: what one overwrites in place is first written down beside the database.

DuckDB 2.0 rewrites its blocks of metadata where they lie (seen by comparing a file before and after). A kill, or a
power cut, in the middle of such a write leaves neither the old block nor the new one, and the database cannot be
opened: once in 520 trials of ``benchmarks/durability/kill.py`` before this was here. All else goes to free blocks, and
the log stays until the new header is durable; so headers and blocks of metadata, put back as they were, give the state
before.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import duckdb

from memshadow.data.store.embedded.files import Files
from memshadow.training.atomic import sync, write_bytes

_MAGIC = b"memshimg"
_PIECE = struct.Struct("<QQ")
_DIGEST_BYTES = 16
_HEADERS_BYTES = 3 * 4096
Image = list[tuple[int, bytes]]
"""(place in the file, what stood there)."""


def checkpoint(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    """Move what lies in the log into the database; a kill at any moment leaves what was there or what is new.

    Raises:
        duckdb.Error, MemshadowError, OSError: nothing is known to be moved; the store must be opened again.
    """
    write_bytes(files.image, packed(_overwritten(connection, files.database)))
    connection.execute("CHECKPOINT m")
    files.image.unlink()
    sync(files.folder)  # an image that came back later would undo what is newer


def read_image(file: Path) -> Image | None:
    """Return what an image holds; ``None`` where there is none, or it was never finished."""
    with suppress(FileNotFoundError):
        content = file.read_bytes()
        body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if body.startswith(_MAGIC) and digest == _digest(body):
            return _unpacked(body)
    return None


def swap(database: Path, image: Image) -> Image:
    """Put the pieces of an image into the database; return what stood there."""
    before: Image = []
    handle = os.open(database, os.O_RDWR)
    try:
        for place, piece in image:
            before.append((place, os.pread(handle, len(piece), place)))
            os.pwrite(handle, piece, place)
        os.fsync(handle)
    finally:
        os.close(handle)
    return before


def packed(image: Image) -> bytes:
    """Return an image as bytes, a hash of them at the end."""
    body = _MAGIC + b"".join(_PIECE.pack(place, len(piece)) + piece for place, piece in image)
    return body + _digest(body)


def _unpacked(body: bytes) -> Image:
    image, at = [], len(_MAGIC)
    while at < len(body):
        place, size = _PIECE.unpack_from(body, at)
        at += _PIECE.size
        image.append((place, body[at : at + size]))
        at += size
    return image


def _overwritten(connection: duckdb.DuckDBPyConnection, database: Path) -> Image:
    """Return what a checkpoint may overwrite: the headers and the blocks of metadata, as they are now."""
    sizes = connection.execute("SELECT block_size FROM pragma_database_size() WHERE database_name = 'm'").fetchall()
    block_bytes = int(sizes[0][0])
    blocks = [number for (number,) in connection.execute("SELECT block_id FROM pragma_metadata_info('m')").fetchall()]
    with database.open("rb") as file:
        image = [(0, file.read(_HEADERS_BYTES))]
        for number in blocks:
            place = _HEADERS_BYTES + number * block_bytes
            file.seek(place)
            image.append((place, file.read(block_bytes)))
    return [(place, piece) for place, piece in image if piece]


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()
