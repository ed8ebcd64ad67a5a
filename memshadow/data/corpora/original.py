"""Where a published set comes from and what its files must hash to. Knows URLs; downloads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """One file as its publisher gives it away.

    ``path`` is its place among the downloads. ``sha256`` is ``None`` where no trustworthy checksum is known: then the
    first download's is recorded and a later change refused. ``otherwise`` is tried where ``url`` does not exist.
    """

    url: str
    path: str
    sha256: str | None = None
    otherwise: str | None = None


@runtime_checkable
class Fetchable(Protocol):
    """A corpus that can be downloaded. One class brings its reader, its licence and its sources: there is no table."""

    name: str
    licence: str
    weights_may_ship: bool
    folder: Path
    """Where the set lies once it is there."""
    home: str
    """The page where people read about the set and its terms."""

    @property
    def originals(self) -> Sequence[Original]:
        """Return the files to download."""
        ...

    @property
    def reference(self) -> Mapping[str, str]:
        """Return file of the folder -> SHA-256 of its text (unpacked) in the copy that our figures were made with.

        Not a condition: a set that differs can be used, but its figures may not compare. Empty where the originals'
        checksums say it all.
        """
        ...

    def files(self) -> Sequence[Path]:
        """Return the paths of the files in ``folder`` that it reads; raise ``DataError`` where one is absent."""
        ...

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Make the set in the existing, empty ``folder`` from the originals in ``downloads``."""
        ...


def github(repository: str, commit: str, path: str, *, to: str, sha256: str | None = None) -> Original:
    """Return a file of a public GitHub repository at one commit, to be kept as ``to``."""
    return Original(url=f"{_RAW}/{repository}/{commit}/{path}", path=to, sha256=sha256)
