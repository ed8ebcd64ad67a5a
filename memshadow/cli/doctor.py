"""Check a folder of memories row by row, and save what can be saved; exit code 0 where all is well, 1 where not.

  memshadow doctor folder=memories
  memshadow doctor folder=memories salvage=true            mends it; what was there is set aside first

Checked: that nothing acknowledged is missing (mark, ledger and tables agree), that every version and every vector is
what was written, that each memory's versions are without gaps and one of them holds, that every version has its vector,
that what is forgotten left its mark, and that the index opens. Nothing is changed without salvage=true.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memshadow.cli._words import Words, understood
from memshadow.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from memshadow.data.store.embedded.examination import Report

_WHOLE, _DAMAGED = 0, 1


def main(argv: list[str]) -> int | None:
    """Examine, and mend where that was asked."""
    words = understood("doctor", argv)
    if words.text:
        raise ConfigError(f"`memshadow doctor` takes settings only, got {words.text!r:.80}; see its --help")
    from memshadow.data.store.embedded.examination import examine
    from memshadow.serving.presence import served_at

    folder = Path(words["folder"]).expanduser()
    if url := served_at(folder):
        raise StoreError(f"{folder} is served at {url}; stop the service, then ask again.")
    report = examine(folder)
    if report.findings and words["salvage"]:
        report = _salvaged(folder, report)
    _tell(report)
    if report.findings:
        if not words["salvage"]:
            print(f"\nmemshadow doctor folder={folder} salvage=true saves what can be saved.")
        return _DAMAGED
    return _index(words, folder)


def _salvaged(folder: Path, before: Report) -> Report:
    from memshadow.data.store.embedded.salvage import salvage

    _tell(before)
    print()
    return salvage(folder)


def _tell(report: Report) -> None:
    held = f"{report.versions:,} versions, {report.vectors:,} vectors, last write {report.last_seq:,}"
    print(f"{report.folder}: {held}")
    for finding in report.findings:
        print(f"  wrong: {finding}")
    if report.originals is not None:
        print(f"  what was there before lies in {report.originals}")
    if not report.findings:
        print("  store: whole")


def _index(words: Words, folder: Path) -> int:
    """Open the memory as it is opened to be used, and say what the index had to make again."""
    import memshadow

    with memshadow.open(folder, overrides=words.memory, remember=False) as memory:
        warnings = memory.stats().warnings
    for warning in warnings:
        print(f"  index, made again from the store: {warning}")
    if not warnings:
        print("  index: whole")
    return _WHOLE
