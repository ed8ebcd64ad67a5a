"""Files of rows, read so that every error names file and line. Knows JSON, CSV and gzip; nothing of memories."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from memshadow.errors import DataError

Row = dict[str, Any]
_DIGITS = 16
_BUFFER = 1 << 20
# strptime's month names follow the locale; these are the files'.
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def require(folder: Path, names: Sequence[str], *, corpus: str) -> list[Path]:
    """Return the paths of ``names`` in ``folder``.

    Raises:
        DataError: the folder or one of its files is absent; the message says which and how to get it.
    """
    paths = [folder / name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if not missing:
        return paths
    what = f"{folder} lacks {', '.join(missing)}" if folder.is_dir() else f"there is no folder {folder}"
    raise DataError(
        f"The data set {corpus!r} is not on this machine: {what}. Get it with: memshadow data fetch {corpus}; "
        f"or say where it lies: MEMSHADOW_DATA=FOLDER (which holds {corpus}/) or data.folder=FOLDER."
    )


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its end) of a UTF-8 file, through gzip where its name ends in ``.gz``.

    Raises:
        DataError: the file is cut, not gzip, or not UTF-8 from some line on.
    """
    number = 0
    try:
        # A large buffer: the gzip module hands over 8 KiB at a time, which costs a quarter of the reading.
        with (
            gzip.open(path) if path.suffix == ".gz" else path.open("rb", buffering=0) as raw,
            io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER) as file,
        ):
            for number, line in enumerate(file, 1):
                yield number, line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, number, f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, number + 1, f"the file cannot be unpacked from here ({error})") from error


def json_lines(path: Path, *, needs: Sequence[str] = ()) -> Iterator[tuple[int, Row]]:
    """Yield (line number from 1, object) of a JSON-lines file; blank lines are passed over.

    Raises:
        DataError: a line is not a JSON object, lacks a key of ``needs``, or the file cannot be decoded to its end.
    """
    for number, line in text_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise damaged(path, number, f"it is not JSON ({error.msg} at column {error.colno})") from error
        if not isinstance(row, dict):
            raise damaged(path, number, f"a JSON object was needed, it holds {type(row).__name__}")
        if lacking := [key for key in needs if key not in row]:
            raise damaged(path, number, f"it lacks {', '.join(map(repr, lacking))}")
        yield number, row


def csv_rows(path: Path, *, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the row's last line, cells) of a comma-separated file, its first row too.

    Raises:
        DataError: a row has another number of cells, or the file cannot be decoded.
    """
    text = (line for _, line in text_lines(path))
    reader = csv.reader(text, strict=True)
    try:
        for row in reader:
            if len(row) != columns:
                raise damaged(path, reader.line_num, f"{columns} cells were needed, it has {len(row)}")
            yield reader.line_num, row
    except csv.Error as error:
        raise damaged(path, reader.line_num, f"it is not CSV ({error})") from error


def json_file(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises:
        DataError: it is not JSON, or not UTF-8.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a JSON file ({error}); fetch it again.") from error


def damaged(path: Path, number: int, why: str) -> DataError:
    """Return the error of a line that cannot be read."""
    return DataError(f"{path}, line {number}: {why}. Mend the line, or remove the file and fetch the set again.")


def fingerprint(*paths: Path) -> str:
    """Return 16 hex digits of the SHA-256 over the contents of files, in the order given; their names do not count.

    What gzip packed is hashed as it was before, so that a set has one fingerprint however it was packed.

    Raises:
        DataError: a packed file cannot be unpacked.
    """
    digest = hashlib.sha256()
    for path in paths:
        facts = path.stat()
        digest.update(bytes.fromhex(_sha256(path, facts.st_size, facts.st_mtime_ns)))
    return digest.hexdigest()[:_DIGITS]


def content_sha256(path: Path) -> str:
    """Return the SHA-256, in hex, of a file's content: unpacked where its name ends in ``.gz``.

    Raises:
        DataError: it cannot be unpacked.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); remove it and fetch the set again.") from error


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001  (size and time are the cache's key)
    return content_sha256(path)
