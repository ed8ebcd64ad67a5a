"""Find the memories that answer a question best.

  memshadow recall "where does Ann live" k=5
  memshadow recall what did we plan session=tuesday speakers=Ann,Bob between=2026-03-01,2026-04-01
  memshadow recall tea explain=true json=true              a line of JSON a hit, for machines

A word name=value is a setting, every other word is text; after -- everything is text, - reads standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memshadow.cli._reach import as_json, harmless, reached
from memshadow.cli._words import Words, understood
from memshadow.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from memshadow.types import Hit

_PIPE_WIDTH = 200  # columns, where no terminal says how many there are


def main(argv: list[str]) -> int | None:
    """Search and show the hits."""
    words = understood("recall", argv)
    if not words.text.strip():
        raise DataError('recall what? Ask behind the settings: memshadow recall "where does Ann live"')
    with reached(words) as memory:
        hits = memory.search(words.text, k=words["k"], explain=words["explain"], **filters(words))
    if words["json"]:
        from memshadow.serving.wire import hit_out

        for hit in hits:
            print(as_json(hit_out(hit)))
    elif hits:
        from rich.console import Console

        console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
        console.print(table_of(hits, explain=words["explain"]))
    else:
        print("nothing found", file=sys.stderr)
    return 0


def filters(words: Words) -> dict[str, Any]:
    """Return what was said to narrow a search.

    Raises:
        DataError: ``between`` is not two times.
    """
    given = words.chosen("kinds", "tags", "speakers", "keys", "metadata", "as_of")
    if words["between"]:
        first, comma, last = words["between"].strip("[]()").partition(",")
        if not comma:
            raise DataError(f"between={words['between']!r:.60}; needed: two times, either may be empty: 2026-03-01,")
        given["between"] = [first.strip() or None, last.strip() or None]
    return {**given, "latest_only": words["latest_only"]}


def table_of(hits: Sequence[Hit], *, explain: bool) -> Table:
    """Return one row a hit, best first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    whys = [hit.explanation for hit in hits if explain and hit.explanation]
    parts = sorted({part for why in whys for part in why.scores})
    for name in ("score", *parts):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("when", no_wrap=True)
    table.add_column("memory", ratio=1)
    table.add_column("id", style="dim", overflow="fold", max_width=32)
    for hit in hits:
        at, why = hit.record.draft.happened_at, hit.explanation
        told = (
            [f"{why.scores[part]:.3f} #{why.ranks[part]}" if part in why.scores else "" for part in parts]
            if why
            else []
        )
        said = Text(harmless(hit.record.draft.said().rendered()))
        if not hit.record.current:
            said.append(f"  ({hit.record.ended_by}d {hit.record.ended_at:%Y-%m-%d})", style="dim")
        table.add_row(f"{hit.score:.3f}", *told, f"{at:%Y-%m-%d %H:%M}" if at else "", said, Text(hit.record.id))
    table.caption = "\n".join(dict.fromkeys(note for why in whys for note in why.notes)) or None
    return table
