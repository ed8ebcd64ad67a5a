"""The high-water mark: a small file that says how far acknowledged writes go. Knows nothing of the database.

Two slots are written in turn, each checked by its own hash, so that a torn write leaves the other one. A database that
has less than its mark has lost something; a write-ahead log that was cut short would not show that by itself.
"""

from __future__ import annotations

import os
import struct
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from memshadow.errors import StoreError
from memshadow.training.atomic import sync

_MAGIC = b"memshad1"
_FORM = struct.Struct("<8sQQQQQ")
_DIGEST_BYTES = 16
_SLOT_BYTES = 512  # a slot a sector: no write touches both
SIZE_BYTES = 2 * _SLOT_BYTES


class Ledger(NamedTuple):
    """What a store holds after a commit: its number, the last write, how many rows, and their set checksum."""

    commits: int = 0
    last_seq: int = 0
    versions: int = 0
    vectors: int = 0
    checksum: int = 0


class Slots(NamedTuple):
    """What stands in a mark's two slots; ``None`` where a slot is damaged."""

    first: Ledger | None
    second: Ledger | None

    @property
    def newest(self) -> Ledger | None:
        """Return the later of the readable ones."""
        return max((slot for slot in self if slot is not None), default=None)


class Mark:
    """An open mark. One thread writes it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY)

    def write(self, ledger: Ledger) -> None:
        """Make ``ledger`` durable; returns when it is.

        Raises:
            OSError: the disk refused; what is durable is then unknown.
        """
        _put(self._handle, ledger)
        os.fdatasync(self._handle)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)


def create(path: Path, ledger: Ledger) -> None:
    """Write a new mark with ``ledger`` in both slots, wholly or not at all; an old one is replaced."""
    draft = path.with_name(path.name + ".draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for slot in (0, 1):
            _put(handle, ledger, slot)
        os.ftruncate(handle, SIZE_BYTES)
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(path)
    sync(path.parent)


def read(path: Path) -> Slots:
    """Return what stands in a mark.

    Raises:
        StoreError: neither slot is readable.
    """
    content = path.read_bytes()
    slots = Slots(_slot(content[:_SLOT_BYTES]), _slot(content[_SLOT_BYTES:]))
    if slots.newest is None:
        raise StoreError(
            f"{path} is damaged in both halves: nothing says how far acknowledged writes went. The memories may be "
            "whole; run `memshadow doctor` on this folder, which checks them and makes a new mark."
        )
    return slots


def _put(handle: int, ledger: Ledger, slot: int | None = None) -> None:
    packed = _FORM.pack(_MAGIC, *ledger)
    place = ledger.commits % 2 if slot is None else slot
    os.pwrite(handle, packed + _digest(packed), place * _SLOT_BYTES)


def _slot(content: bytes) -> Ledger | None:
    packed, digest = content[: _FORM.size], content[_FORM.size : _FORM.size + _DIGEST_BYTES]
    if len(digest) < _DIGEST_BYTES or digest != _digest(packed):
        return None
    return Ledger(*_FORM.unpack(packed)[1:])


def _digest(packed: bytes) -> bytes:
    return blake2b(packed, digest_size=_DIGEST_BYTES).digest()
