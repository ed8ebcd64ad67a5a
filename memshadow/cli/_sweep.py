"""Sweeps: ``learner.lr=1e-3,3e-3 seed=range(0,5) learner=glob(*)`` is one job per combination.

Hydra's own sweeper numbers its jobs and starts anew each time; here a job is known by its configuration, so the same
command goes on where it stopped (``memshadow.training.sweep``). The grammar is Hydra's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from memshadow.config import folders, load, plain
from memshadow.errors import ConfigError, MemshadowError
from memshadow.training.sweep import FAILED, Job, Outcome, fingerprint, run_jobs

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from rich.table import Table

FLAGS = ("-m", "--multirun")
_OWN_FOLDER = "config_dir="


def jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Return one list of overrides per combination, the last one varying fastest; without a sweep there is one.

    Raises:
        ConfigError: an override cannot be read, or sweeps over an interval, which has no end.
    """
    own = [word for word in overrides if word.startswith(_OWN_FOLDER)]
    choices = [_choices(parsed, own) for parsed in _parsed(overrides)]
    return [[*own, *job] for job in dict.fromkeys(itertools.product(*choices))]


def run_sweep(
    task: str, overrides: Sequence[str], folder: Path, run_one: Callable[[list[str], Path], Mapping[str, float] | None]
) -> list[Outcome]:
    """Run every job of a sweep that is not done yet and print a table of all of them.

    The sweep has a folder below ``folder``, named after the task and what is swept, so that more values of the same
    settings join the jobs that are there. All jobs are composed before the first one starts, so a misspelt key costs
    nothing. ``run_one(overrides, job_folder)`` runs one; it must resume by itself if it was cut off in that folder.

    Raises:
        ConfigError: a job does not compose.
        MemshadowError: at the end, where jobs failed.
    """
    from rich.console import Console

    words = [word for word in overrides if word not in FLAGS]
    varied = [parsed for parsed in _parsed(words) if parsed.is_sweep_override()]
    keys = {parsed.get_key_element() for parsed in varied}
    planned = [_job(task, job, keys) for job in jobs(words)]
    fixed = sorted(word for word in words if word not in {parsed.input_line for parsed in varied})
    place = folder / f"{task}-{fingerprint({'fixed': fixed, 'swept': sorted(keys)})[:8]}"
    console = Console()
    console.print(f"Sweep of {len(planned)} jobs in {place}", highlight=False)
    outcomes: list[Outcome] = []
    for outcome in run_jobs(planned, place, run_one):
        outcomes.append(outcome)
        console.print(_line(outcome, len(outcomes), len(planned)), highlight=False, markup=False)
    console.print(table(outcomes))
    _refuse_failures(outcomes)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the sweep as a table: what varies, what became of it, and the figures that the jobs returned."""
    from rich.table import Table

    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.result))
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("job", "status"):
        shown.add_column(title, overflow="fold")
    for name in names:
        shown.add_column(name, justify="right")
    for outcome in outcomes:
        figures = ["" if (value := outcome.result.get(name)) is None else f"{value:.4f}" for name in names]
        shown.add_row(" ".join(outcome.job.varied), _STATUS[outcome.status], *figures)
    return shown


_STATUS = {
    "done": "done",
    "before": "done before",
    "failed": f"failed, see {FAILED}",
    "elsewhere": "running in another process",
}


def _parsed(overrides: Sequence[str]) -> list[Override]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    words = [word for word in overrides if not word.startswith(_OWN_FOLDER)]
    try:
        return OverridesParser.create().parse_overrides(words)
    except OverrideParseException as error:
        raise ConfigError(f"cannot read {error.override!r}: a sweep is written key=a,b or key=range(0,5).") from error


def _choices(override: Override, own: Sequence[str]) -> list[str]:
    """Return the override once per value that it sweeps over."""
    from hydra.core.override_parser.types import Glob, ValueType

    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line!r} has no end of values; name them, e.g. key=1e-3,3e-3 or range(0,5).")
    key = override.get_key_element()
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        files = {file.stem for home in folders(own) for file in (home / override.key_or_group).glob("*.yaml")}
        values = cast(Glob, override.value()).filter(sorted(files))
    else:
        values = list(override.sweep_string_iterator())
    if not values:
        raise ConfigError(f"{override.input_line!r} matches no file of {override.key_or_group!r}.")
    return [f"{key}={value}" for value in values]


def _job(task: str, overrides: Sequence[str], keys: set[str]) -> Job:
    varied = tuple(word for word in overrides if word.partition("=")[0] in keys)
    return Job(overrides=tuple(overrides), varied=varied, fingerprint=fingerprint(plain(load(task, overrides))))


def _line(outcome: Outcome, number: int, total: int) -> str:
    what = " ".join(outcome.job.varied) or "(nothing varies)"
    reason = f": {outcome.reason}" if outcome.reason else ""
    return f"[{number}/{total}] {what}  {_STATUS[outcome.status]}{reason}"


def _refuse_failures(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise MemshadowError(
            f"{len(failed)} of {len(outcomes)} jobs failed, the first one with {failed[0].reason.rstrip('.')}. "
            f"Its traceback is in {failed[0].folder / FAILED}. The same command tries only the unfinished ones again."
        )
