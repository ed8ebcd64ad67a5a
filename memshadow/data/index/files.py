"""The files of an index: segments of blocks, and a signed directory that says what stands where. Knows bytes.

All of them are readable by their owner alone: they hold words and the names of those whose they are.

A block's bytes are read only after their SHA-256 was found to be the one in the directory, the directory only after its
HMAC-SHA256 was found to be made with this folder's key. Segments are never changed: a new state is new segments and a
new directory, which takes its place by rename as the last act. A kill leaves the old directory or the new one; segments
that no directory names are removed at the next opening.
"""

from __future__ import annotations

import hmac
import json
import mmap
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy import ndarray

from memshadow.data.store.base import Owner
from memshadow.training.atomic import clear_errors, remove_drafts, sync, write_bytes

VERSION = 3
"""Of what blocks hold: 2 added ``Entry.form``, since 3 ``voices`` are ``voice_hash``.

It rises too when what stands there comes to mean something else.
"""
_MAGIC = b"MSHINDEX"
_MAC_BYTES = 32
_LINE = 64
_SEGMENT_BYTES = 64 << 20
_MOST_SMALL = 16
_PLACE = np.dtype(
    [
        ("segment", "<u4"),
        ("rows", "<u4"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("seq", "<i8"),
        ("checksum", "<u8"),
        ("digest", "V32"),
    ]
)


class DamageError(Exception):
    """What lies in the folder cannot be used; the text says what was found."""


class Place(NamedTuple):
    """Where an owner's block stands, what it must hash to, and the last write that it holds."""

    segment: int
    rows: int
    offset: int
    size: int
    seq: int
    checksum: int
    """Over the block's seqs and digests: see ``set_checksum``."""
    digest: bytes


Written = tuple[Owner, Sequence[bytes | memoryview], Place]
"""A block to write, in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Everything that the files hold. ``checksum`` is the sum of those of all blocks, modulo 2**64."""

    fingerprint: str
    dim: int
    half: bool
    last_seq: int
    places: dict[Owner, Place] = field(default_factory=dict)

    @property
    def checksum(self) -> int:
        """Return the checksum over the whole set of versions, the same in whatever order they were written."""
        return sum(place.checksum for place in self.places.values()) % 2**64


class Segment:
    """A file of blocks, open for reading."""

    def __init__(self, path: Path) -> None:
        self.path, self._handle = path, -1
        self._handle = os.open(path, os.O_RDONLY)
        self._map: mmap.mmap | None = None

    def read(self, place: Place, *, mapped: bool) -> ndarray:
        """Return a block's bytes: a view of the file where ``mapped``, else a copy.

        Raises:
            DamageError: they are not there, or are not those that were written.
        """
        content = self._mapped(place) if mapped else self._copied(place)
        if sha256(content.data).digest() != place.digest:
            raise DamageError(
                f"{self.path.name}: {place.size} bytes from {place.offset} on are not those that were written"
            )
        return content

    def __del__(self) -> None:
        """Close the file when the last reader has let go of it; arrays that are mapped stay valid."""
        if self._handle >= 0:
            os.close(self._handle)

    def _copied(self, place: Place) -> ndarray:
        room = np.empty(place.size + _LINE, dtype=np.uint8)
        first = -room.ctypes.data % _LINE
        content = room[first : first + place.size]
        if os.preadv(self._handle, [content.data], place.offset) != place.size:
            raise DamageError(f"{self.path.name} ends before byte {place.offset + place.size}")
        return content

    def _mapped(self, place: Place) -> ndarray:
        if self._map is None:
            self._map = mmap.mmap(self._handle, 0, prot=mmap.PROT_READ)
        if len(self._map) < place.offset + place.size:
            raise DamageError(f"{self.path.name} ends before byte {place.offset + place.size}")
        return np.frombuffer(self._map, dtype=np.uint8, count=place.size, offset=place.offset)


class BlockFiles:
    """The folder of an index. One writer; readers of blocks whenever they like."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._segments: dict[int, Segment] = {}
        with clear_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_drafts(folder)

    def open(self) -> Directory | None:
        """Return what the folder holds; ``None`` where nothing was ever saved, or by an older program that kept less.

        Removes what no directory names; an older program's files stay until another directory takes their place.

        Raises:
            DamageError: the directory or the key is not what it was, or a newer program wrote it.
        """
        path = self.folder / "directory"
        key = self.key()
        if not path.exists():
            self.sweep(())
            return None
        directory = _read_directory(path.read_bytes(), key)
        if directory is not None:
            self.sweep(place.segment for place in directory.places.values())
        return directory

    def block(self, place: Place, *, mapped: bool) -> ndarray:
        """Return a block's bytes, checked."""
        try:
            segment = self._segments.get(place.segment) or self._segments.setdefault(
                place.segment, Segment(self._path(place.segment))
            )
            return segment.read(place, mapped=mapped)
        except (OSError, ValueError) as error:
            raise DamageError(f"{self._path(place.segment).name} cannot be read: {error}") from error

    def write_blocks(self, blocks: Iterable[Written]) -> dict[Owner, Place]:
        """Write blocks (their pieces; of the place only rows, seq and checksum count) to new segments, durably."""
        written: dict[Owner, Place] = {}
        left = iter(blocks)
        with clear_errors(self.folder):
            while filled := self._fill(self._next_number(), left):
                written |= filled
            sync(self.folder)
        return written

    def write_directory(self, directory: Directory, *, keep: Iterable[Place]) -> None:
        """Put a directory in the place of the old one, then remove the segments that no place to ``keep`` is in."""
        write_bytes(self.folder / "directory", _directory_bytes(directory, self.key()), mode=0o600)
        self.sweep(place.segment for place in keep)

    def wasteful(self, used: Iterable[Place]) -> set[int]:
        """Return the segments of which less than half is used, and the small ones where there are many."""
        sizes, left = self.sizes(), Counter[int]()
        for place in used:
            left[place.segment] += place.size
        small = {number for number, size in sizes.items() if size < _SEGMENT_BYTES // 8}
        return {n for n, size in sizes.items() if 2 * left[n] < size} | (small if len(small) > _MOST_SMALL else set())

    def sizes(self) -> dict[int, int]:
        """Return the bytes of each segment there is."""
        names = [path for path in self.folder.glob("*.blocks") if path.stem.isdecimal()]
        return {int(path.stem): path.stat().st_size for path in names}

    def sweep(self, named: Iterable[int]) -> None:
        """Remove every segment that is not named."""
        kept = set(named)
        for number in self.sizes().keys() - kept:
            self._segments.pop(number, None)
            self._path(number).unlink()

    def close(self) -> None:
        """Let go of all files."""
        self._segments.clear()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.blocks"

    def _next_number(self) -> int:
        return max(self.sizes(), default=0) + 1

    def _fill(self, number: int, blocks: Iterator[Written]) -> dict[Owner, Place]:
        """Write one segment, up to about its full size."""
        written: dict[Owner, Place] = {}
        draft = self.folder / f".{number:08d}.blocks.draft"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for owner, pieces, place in blocks:
                written[owner] = place._replace(segment=number, offset=file.tell(), **_put(file, pieces))
                file.write(bytes(-file.tell() % _LINE))
                if file.tell() >= _SEGMENT_BYTES:
                    break
            file.flush()
            os.fsync(file.fileno())
        if written:
            draft.rename(self._path(number))
        else:
            draft.unlink()
        return written

    def key(self) -> bytes:
        """Return the key that signs the directory; one that is missing or cut is made anew."""
        path = self.folder / "key"
        if path.exists() and len(key := path.read_bytes()) == _MAC_BYTES:
            return key
        key = secrets.token_bytes(_MAC_BYTES)
        with clear_errors(path):
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            sync(self.folder)
        return key


def _put(file: BinaryIO, pieces: Sequence[bytes | memoryview]) -> dict[str, Any]:
    """Write the pieces of a block; return its size and digest."""
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
        file.write(piece)
    return {"size": sum(map(len, pieces)), "digest": digest.digest()}


def _directory_bytes(directory: Directory, key: bytes) -> bytes:
    places = list(directory.places.values())
    table = np.array(places, dtype=_PLACE)
    head = {
        "version": VERSION,
        "fingerprint": directory.fingerprint,
        "dim": directory.dim,
        "half": directory.half,
        "last_seq": directory.last_seq,
        "checksum": directory.checksum,
        "owners": list(directory.places),
    }
    return signed(key, head, table.tobytes())


def signed(key: bytes, head: Mapping[str, Any], content: bytes) -> bytes:
    """Return a file that ``opened`` takes: what JSON can say, and bytes."""
    said = json.dumps(head, ensure_ascii=False).encode()
    body = b"".join((_MAGIC, len(said).to_bytes(8, "little"), said, bytes(-len(said) % 8), content))
    return hmac.digest(key, body, "sha256") + body


def opened(key: bytes, file: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return what was signed.

    Raises:
        DamageError: these bytes were not signed with this key.
    """
    body = memoryview(file)[_MAC_BYTES:]
    if not hmac.compare_digest(file[:_MAC_BYTES], hmac.digest(key, body, "sha256")):
        raise DamageError("it was changed, cut, or signed with another key")
    start = len(_MAGIC) + 8
    end = start + int.from_bytes(body[len(_MAGIC) : start], "little")
    return json.loads(bytes(body[start:end])), body[end + -(end - start) % 8 :]


def _read_directory(content: bytes, key: bytes) -> Directory | None:
    try:
        head, table = opened(key, content)
    except DamageError as damage:
        raise DamageError(f"the directory cannot be used: {damage}") from damage
    version = head.get("version")
    if isinstance(version, int) and version < VERSION:
        return None
    if version != VERSION:  # another of our files, signed too, has none
        raise DamageError(f"the directory is of version {version}, this program reads {VERSION}")
    try:
        rows = np.frombuffer(table, dtype=_PLACE).tolist()
        places = {(owner[0], owner[1]): Place(*row) for owner, row in zip(head["owners"], rows, strict=True)}
    except ValueError as error:  # signed by this key, but by a program that wrote other rows
        raise DamageError(f"the directory is not of the form that this program reads: {error}") from error
    return Directory(
        fingerprint=head["fingerprint"], dim=head["dim"], half=head["half"], last_seq=head["last_seq"], places=places
    )


def set_checksum(seqs: ndarray, digests: ndarray) -> int:
    """Return 64 bits over a set of versions, whatever their order: the sum of a mix of seq and digest of each.

    The mix is the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
    """
    mixed = digests ^ (seqs.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((mixed ^ (mixed >> np.uint64(31))).sum(dtype=np.uint64))
