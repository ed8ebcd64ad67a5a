"""Which model made a vector: a digest of its folder, worked out once. Knows bytes and files; nothing of weights.

Hashing the weights of a small encoder takes as long as starting it, so the digest is remembered in the user's cache
beside what the system says of each file: size, place, and the times at which it was written and changed. The last of
them cannot be set by a program, so other bytes under the same name are noticed; what changed a moment ago is not
remembered, since clocks of file systems tick slowly. Nothing is believed that another user may have written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from memshadow.errors import CheckpointError, MemshadowError
from memshadow.models.inference.bert import WEIGHTS
from memshadow.models.tokens import FILE
from memshadow.training.atomic import write_bytes

_FILES = (WEIGHTS, FILE, "config.json", "1_Pooling/config.json")
_WORTH_BYTES = 8 << 20  # smaller folders are hashed faster than remembered
_SETTLED_NS = 2_000_000_000
_OTHERS_MAY_WRITE = 0o022


def fingerprint_of(folder: Path, *settings: object) -> str:
    """Return a digest of a model folder's weights, tokenizer and shape, and of the settings that change its vectors.

    Raises:
        CheckpointError: a file stands where a folder is needed.
    """
    seen = [_seen(folder / name) for name in _FILES]
    note = _note(folder, settings) if sum(size for size, *_ in seen) >= _WORTH_BYTES else None
    if note is None:
        return _digest(folder, settings)
    found = _recalled(note, seen)
    if found is None:
        found = _digest(folder, settings)
        if seen == [_seen(folder / name) for name in _FILES]:
            _remember(note, seen, found)
    return found


def _digest(folder: Path, settings: Sequence[object]) -> str:
    digest = blake2b(repr(tuple(settings)).encode(), digest_size=16)
    for name in _FILES:
        path = folder / name
        digest.update(f"{name}:{path.stat().st_size if path.is_file() else None};".encode())
        if path.is_file():
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _seen(path: Path) -> list[int]:
    """Return size, writing and changing time, inode and device of a file; zeros where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return [0] * 5
    except NotADirectoryError as error:
        raise CheckpointError(
            f"{path.parent} is a file; needed: a folder (with {path.name}, where the model has one). Put the model's "
            "files there again as they were published or exported."
        ) from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]


def _note(folder: Path, settings: Sequence[object]) -> Path | None:
    """Return where the digest is remembered; ``None`` where nothing safe can be."""
    place = _place()
    if place is None:
        return None
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(place.stat()):
            return None
    except OSError:
        return None
    name = blake2b(repr((str(folder.resolve()), tuple(settings))).encode(), digest_size=16).hexdigest()
    return place / f"{name}.json"


def _place() -> Path | None:
    """Return the folder of the notes, by the XDG base directory specification: a relative path is not valid there."""
    said = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = said if said.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return None
    return cache / "memshadow" / "fingerprints"


def _ours(stat: os.stat_result) -> bool:
    """Return whether nobody but this user can have written it; where the system does not say, it is not."""
    return hasattr(os, "getuid") and stat.st_uid == os.getuid() and not stat.st_mode & _OTHERS_MAY_WRITE


def _recalled(note: Path, seen: Sequence[Sequence[int]]) -> str | None:
    """Return what was remembered of exactly these files; ``None``: nothing, or nothing that can be trusted."""
    try:
        with note.open("rb") as file:
            if not _ours(os.fstat(file.fileno())):
                return None
            said = json.load(file)
        found = str(said["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if said == _sealed(seen, found) else None


def _remember(note: Path, seen: Sequence[Sequence[int]], found: str) -> None:
    """Write it down, unless a file is so young that it may be written again within one tick of its clock."""
    youngest = max(max(written, changed) for _, written, changed, *_ in seen)
    if time.time_ns() - youngest > _SETTLED_NS:
        with suppress(MemshadowError, OSError):  # a cache: without it the next start is slower
            write_bytes(note, json.dumps(_sealed(seen, found)).encode(), mode=0o600)


def _sealed(seen: Sequence[Sequence[int]], found: str) -> dict[str, Any]:
    """Return what a note says: a digest over it tells one that was cut or changed."""
    files = [list(file) for file in seen]
    return {
        "files": files,
        "fingerprint": found,
        "seal": blake2b(repr((files, found)).encode(), digest_size=16).hexdigest(),
    }
