"""What lies in a store's folder."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """The names in a store's folder. What ends in ``.draft`` was left behind by a killed process."""

    folder: Path

    @property
    def database(self) -> Path:
        """Return the rows."""
        return self.folder / "memories.duckdb"

    @property
    def log(self) -> Path:
        """Return the database's write-ahead log: commits since its last checkpoint."""
        return self.folder / "memories.duckdb.wal"

    @property
    def mark(self) -> Path:
        """Return how far acknowledged writes go."""
        return self.folder / "memories.mark"

    @property
    def image(self) -> Path:
        """Return what a checkpoint overwrites, as it was before; there only while one runs."""
        return self.folder / "memories.before"

    @property
    def compacted(self) -> Path:
        """Return a database that is to take the place of ``database``, while it is made."""
        return self.folder / "compacted.draft"

    @property
    def trial(self) -> Path:
        """Return a folder in which a shortened log is tried out."""
        return self.folder / "trial.draft"

    @property
    def logged(self) -> bool:
        """Return whether commits lie in the log."""
        return self.log.exists() and self.log.stat().st_size > 0

    def sweep(self) -> None:
        """Remove what a killed process left half done."""
        for left in (*self.folder.glob("*.draft"), *self.folder.glob("*.draft.*"), self.folder / "spill"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)

    def restrict(self) -> None:
        """Let nobody else read what lies here."""
        for file in (self.database, self.log, self.mark):
            restrict(file)

    def new_attic(self) -> Path:
        """Make a folder for originals that are about to be replaced."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        attic = next(
            folder for folder in (self.folder / "salvaged" / f"{now}-{i}" for i in range(1_000)) if not folder.exists()
        )
        attic.mkdir(parents=True, mode=0o700)
        return attic


def restrict(file: Path) -> None:
    """Let nobody else read a file, if it is there."""
    with suppress(FileNotFoundError):
        file.chmod(0o600)
