"""Show what was trained: list the runs, compare some of them.

  memshadow runs list [limit=50]              the newest runs, the champion marked
  memshadow runs compare RUN RUN [...]        changed settings, metrics side by side, curves

RUN is a name or the first letters of an id. `memshadow ui` shows the same in a browser.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from memshadow.config import load, nearest, plain
from memshadow.errors import ConfigError
from memshadow.training.database import database_path

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from memshadow.training.logbook import Logbook, RecordedRun

_WORDS = ("list", "compare")
_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 24
_LONGEST_VALUE = 120
_PIPE_WIDTH = 200  # columns, where no terminal says how many there are


def main(argv: list[str]) -> int | None:
    """Answer ``list`` or ``compare``."""
    word, *rest = argv or ["list"]
    if word not in _WORDS:
        raise ConfigError(
            f"`memshadow runs` takes {' or '.join(_WORDS)}, got {word!r}{nearest(word, _WORDS)}; see its --help"
        )
    names = [text for text in rest if _is_name(text, compare=word == "compare")]
    settings = plain(load("runs", [text for text in rest if text not in names]), resolve=True)
    if word == "list" and names:
        raise ConfigError(
            f"`memshadow runs list` takes settings only, got {names[0]!r}; to see a run: compare {names[0]}"
        )
    if word == "compare" and not names:
        raise ConfigError("`memshadow runs compare` needs the names or ids of runs; `memshadow runs list` shows them")
    if word == "list":
        _list(settings)
    else:
        _compare(names, settings)
    return 0


def _is_name(text: str, *, compare: bool) -> bool:
    """Return whether a word names a run: those of a sweep hold "=" too (``seed=0-1aa450b8``)."""
    if "=" not in text:
        return True
    return compare and text.partition("=")[0] not in {*load("runs"), "config_dir"}


def _list(settings: dict[str, Any]) -> None:
    from memshadow.training.logbook import Logbook

    console = _console()
    path = database_path(settings["uri"])
    runs = Logbook(uri=settings["uri"]).runs(limit=settings["limit"]) if path.is_file() else []
    if not runs:
        console.print(f"No runs in {path} yet; `memshadow train` makes the first one.", highlight=False)
        return
    console.print(list_table(runs, settings["metrics"]))
    if any("champion" in run.aliases for run in runs):
        console.print("* holds the title champion", style="dim")


def _compare(names: Sequence[str], settings: dict[str, Any]) -> None:
    from memshadow.training.logbook import Logbook, find

    book = Logbook(uri=settings["uri"])
    known = book.runs()
    runs = list({run.id: run for run in (find(known, name) for name in names)}.values())
    console = _console()
    console.print(settings_table(runs), "", metrics_table(runs))
    if settings["curves"]:
        console.print("", curves_table(book, runs))


def list_table(runs: Sequence[RecordedRun], wanted: Sequence[str], *, now: datetime | None = None) -> Table:
    """Return one row per run: id, name, age, status, what was learned from what, and the wanted metrics."""
    present = list(dict.fromkeys(name for run in runs for name in sorted(run.metrics)))
    metrics = [name for name in wanted if name in present] or present[:3]
    table = _table("id", "name", "when", "took", "status", "learner", "data", "model", numbers=metrics)
    for run in runs:
        champion = "*" if "champion" in run.aliases else ""
        table.add_row(
            run.id[:8],
            run.name,
            _age(run.started, now or datetime.now(UTC)),
            _duration(run.seconds),
            _coloured(run.status) + (" drift" if "drift" in run.tags else ""),
            run.tags.get("learner", ""),
            run.tags.get("data", ""),
            ", ".join(run.versions) + champion,
            *(_number(run.metrics.get(name)) for name in metrics),
        )
    return table


def settings_table(runs: Sequence[RecordedRun]) -> Table:
    """Return the settings, data and marks in which the runs differ (all there are, where there is one run)."""
    table = _table("differs", *(_title(run) for run in runs))
    rows = {
        "status": [run.status for run in runs],
        "data": ["\n".join(run.data) for run in runs],
        "model": [", ".join([*run.versions, *run.aliases]) for run in runs],
        "drift": [run.tags.get("drift", "") for run in runs],
    }
    for key in sorted({key for run in runs for key in run.settings}):
        rows[key] = [run.settings.get(key, "(unset)") for run in runs]
    for key, texts in rows.items():
        if len(set(texts)) > 1 or (len(runs) == 1 and texts[0]):
            table.add_row(key, *(_brief(text) for text in texts))
    if not table.row_count:
        table.add_row("nothing", *("" for _ in runs))
    return table


def metrics_table(runs: Sequence[RecordedRun]) -> Table:
    """Return the last value of every metric; from the second run on with its difference to the first one."""
    table = _table("metric", numbers=[_title(run) for run in runs])
    for name in sorted({name for run in runs for name in run.metrics}):
        first, *others = (run.metrics.get(name) for run in runs)
        table.add_row(name, _number(first), *(_number(value) + _gap(value, first) for value in others))
    return table


def curves_table(book: Logbook, runs: Sequence[RecordedRun]) -> Table:
    """Return a sparkline per metric and run, for metrics of more than one step; one scale per metric."""
    table = _table("curve", *(_title(run) for run in runs), "from .. to")
    for name in sorted({name for run in runs for name in run.metrics}):
        curves = [[value for _, value in book.curve(run, name)] if name in run.metrics else [] for run in runs]
        values = [value for curve in curves for value in curve if value == value]
        if values and max(map(len, curves)) > 1:
            low, high = min(values), max(values)
            table.add_row(name, *(sparkline(curve, low, high) for curve in curves), f"{low:.4g} .. {high:.4g}")
    return table


def sparkline(values: Sequence[float], low: float, high: float, *, width: int = _CURVE_WIDTH) -> str:
    """Return the values as blocks between ``low`` and ``high``; more than ``width`` of them are averaged in groups."""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)] if count else []
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join("·" if mean != mean else _BLOCKS[round((mean - low) * scale)] for mean in means)


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


def _table(*titles: str, numbers: Sequence[str] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold")
    for title in numbers:
        table.add_column(title, justify="right", overflow="fold")
    return table


def _title(run: RecordedRun) -> str:
    return f"{run.name} {run.id[:8]}"


def _coloured(status: str) -> str:
    colour = {"finished": "green", "running": "cyan", "failed": "red"}.get(status, "yellow")
    return f"[{colour}]{status}[/]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _brief(text: str) -> str:
    """Return both ends of a long value: the far one holds the hash of what was cut."""
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE // 2]} … {text[-_LONGEST_VALUE // 2 :]}"


def _gap(value: float | None, first: float | None) -> str:
    return "" if value is None or first is None else f" ({value - first:+.4f})"


def _age(started: datetime, now: datetime) -> str:
    """Return how long ago, for a day; the local date after that."""
    seconds = (now - started).total_seconds()
    if seconds < 3600:
        return f"{max(0, int(seconds // 60))} min ago"
    if seconds < 24 * 3600:
        return f"{int(seconds // 3600)} h ago"
    return started.astimezone().strftime("%Y-%m-%d %H:%M")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
