"""Progress of long work on the terminal. Knows only that there are steps."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_T = TypeVar("_T")


def steps(work: Iterable[_T], what: str, *, total: int | None = None) -> Iterator[_T]:
    """Yield from ``work`` and show a bar on standard error while it lasts; nothing where that is no terminal."""
    console = Console(stderr=True)
    yield from track(work, what, total=total, console=console, transient=True, disable=not sys.stderr.isatty())
