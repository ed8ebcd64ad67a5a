"""Write a folder's database anew: what was forgotten or replaced leaves the disk, and it takes less room.

  memshadow compact folder=memories
  memshadow compact folder=memories salvaged=drop          the copies that `memshadow doctor` set aside go too

What is forgotten is never found again, but until this its bytes stay in the database's file. A copy of everything is
written beside the old file and takes its place when it is whole, so there must be room for both; killed, the old one
stays. Backups and exports are not reached.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from memshadow.cli._words import Words, understood
from memshadow.errors import ConfigError, DataError, StoreError
from memshadow.training.atomic import clear_errors

_KEEP, _DROP = "keep", "drop"


def main(argv: list[str]) -> int | None:
    """Compact, and say what was freed and what still holds old bytes."""
    words = understood("compact", argv)
    if words.text:
        raise ConfigError(f"`memshadow compact` takes settings only, got {words.text!r:.80}; see its --help")
    if words["salvaged"] not in (_KEEP, _DROP):
        raise ConfigError(f"salvaged={words['salvaged']!r:.80}; needed: {_KEEP} or {_DROP}.")
    from memshadow.serving.presence import served_at

    folder = Path(words["folder"]).expanduser()
    if not (folder.is_dir() and any(folder.iterdir())):
        raise DataError(f"there are no memories in {folder}; folder=... names another place.")
    if url := served_at(folder):
        raise StoreError(f"{folder} is served at {url}; stop the service, then ask again.")
    before, salvaged = _bytes(folder), folder / "salvaged"
    _compacted(folder, words, salvaged)
    freed = before - _bytes(folder)
    print(f"{folder}: {max(freed, 0):,} bytes freed, {_bytes(folder):,} left")
    if salvaged.exists():
        print(
            f"  {salvaged} ({_bytes(salvaged):,} bytes) holds what was there when it was set aside, forgotten memories "
            f"too; salvaged={_DROP} removes it"
        )
    return 0


def _compacted(folder: Path, words: Words, salvaged: Path) -> None:
    """Compact while nobody else holds the folder; then remove the copies, where that was asked."""
    import memshadow

    with memshadow.open(folder, overrides=words.memory, remember=False) as memory:
        if not hasattr(memory.store, "compact"):
            raise ConfigError("this store writes no files, so there is nothing to compact; store=embedded does.")
        memory.store.compact()
        if words["salvaged"] == _DROP and salvaged.exists():
            with clear_errors(salvaged):
                shutil.rmtree(salvaged)


def _bytes(folder: Path) -> int:
    """Return what the files in a folder take, those of the folders in it too."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
