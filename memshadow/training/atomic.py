"""Files that are there wholly or not at all. Takes bytes and folders; knows nothing of what is in them.

POSIX: data and folder entries are durable only after fsync of both (rename(2) replaces atomically but does not sync).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from memshadow.errors import MemshadowError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DRAFT = ".draft"


@contextmanager
def clear_errors(target: Path) -> Iterator[None]:
    """Turn a full disk and a forbidden folder, met while writing ``target``, into errors a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            free_mb = shutil.disk_usage(existing_parent(target)).free / 1e6
            raise MemshadowError(
                f"The disk is full: {target} could not be written ({free_mb:.0f} MB free). What was there before is "
                "untouched; make room and run the same command again."
            ) from error
        if isinstance(error, PermissionError):
            raise MemshadowError(f"{target} may not be written by this user; choose another folder.") from error
        raise


def existing_parent(path: Path) -> Path:
    """Return ``path`` or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def sync(path: Path) -> None:
    """Flush a file's data, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace the file ``path`` by ``content``: after a crash it holds the old bytes or the new ones.

    ``mode`` says who may read it, from its first byte on; without one, whoever the process' umask lets.

    Raises:
        MemshadowError: the disk is full or the folder is not writable; the old file is still there.
    """
    draft = path.with_name(f".{path.name}{_DRAFT}")
    with clear_errors(path):
        try:
            if mode is not None:
                draft.touch()
                draft.chmod(mode)
            draft.write_bytes(content)
            sync(draft)
            draft.replace(path)
            sync(path.parent)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file ``path`` by ``value`` as indented JSON."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name ``target`` when the block ends well; otherwise nothing of it stays.

    A folder already there is replaced as the last act.

    Raises:
        MemshadowError: the disk is full or the parent is not writable; what was at ``target`` is still there.
    """
    draft = target.with_name(f".{target.name}{_DRAFT}")
    with clear_errors(target):
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            yield draft
            for path in sorted(draft.rglob("*")):
                sync(path)
            sync(draft)
            _take_place(draft, target)
            sync(target.parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _take_place(draft: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old{_DRAFT}")
    shutil.rmtree(old, ignore_errors=True)
    with suppress(FileNotFoundError):
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def remove_drafts(folder: Path) -> None:
    """Remove what a killed writer left behind in ``folder``; call it where nobody else writes."""
    for draft in folder.glob(f".*{_DRAFT}"):
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
