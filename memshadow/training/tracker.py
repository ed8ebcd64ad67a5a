"""What a run is told about itself: the tracker contract and its silent twin. Knows no tracking product.

``memshadow.training.mlflow_tracker`` is the one that remembers.
"""
# ruff: noqa: ARG002 - a twin that does nothing still takes every argument

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from memshadow.errors import MemshadowError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Status = Literal["FINISHED", "FAILED", "KILLED"]
_LONGEST_VALUE = 1_000
_STOPPED = (KeyboardInterrupt, SystemExit)  # Ctrl-C; SIGTERM as Lightning raises it


@runtime_checkable
class Tracker(Protocol):
    """Records one run at a time.

    The corners, the same for every tracker:

    - ``start`` comes first and returns the run's id. Given the ``run_id`` of an earlier start it goes on with that very
      run; where the configuration is not the one recorded then, the run is tagged ``drift`` with the changed keys. A
      ``run_id`` that the tracker has lost (its database was deleted) starts a new run tagged ``continues``.
    - ``log_metrics`` returns at once and may hold values back; ``flush`` and ``end`` send every one of them. A value
      that a resumed run repeats (same name, step and number) is kept once.
    - ``end`` may be called twice; the second call does nothing. After ``end`` only ``start`` may follow.
    - Names may hold any character ("val/ndcg@10"); what a tracker cannot store it spells otherwise and reads back.
    - What could not be stored raises ``MemshadowError`` at the next call, at the latest in ``end``.
    """

    def start(
        self,
        *,
        name: str,
        config: Mapping[str, Any],
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Open a run, or go on with one. ``config`` is nested and unresolved: secrets stay ``${oc.env:NAME}``."""
        ...

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record further settings, nested or flat. One recorded already with another value keeps it and is drift."""
        ...

    def log_metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Record numbers at a step."""
        ...

    def log_dataset(self, *, name: str, fingerprint: str, context: str) -> None:
        """Record what the run read: ``context`` says what for, e.g. ``training`` or ``held-out``."""
        ...

    def log_figure(self, name: str, figure: Figure) -> None:
        """Keep a figure as ``figures/NAME.png``, in place of an earlier one of that name."""
        ...

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows as ``tables/NAME.csv``; a row may lack columns. No rows: nothing is kept."""
        ...

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Keep a copy of a file, or of a folder and all below it, under ``folder``."""
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Mark the run."""
        ...

    def register_model(self, name: str, folder: Path, *, tags: Mapping[str, str] | None = None) -> str:
        """Keep a model folder as the next version of ``name`` and return the version.

        The same content registered twice by one run is one version. A tracker without a registry returns "".
        """
        ...

    def flush(self) -> None:
        """Return when everything logged so far is stored."""
        ...

    def end(self, status: Status = "FINISHED") -> None:
        """Flush and close the run."""
        ...


class NullTracker:
    """Remembers nothing: for tests, for ``tracker=none``, and for all but the first process of a group."""

    def start(
        self,
        *,
        name: str,
        config: Mapping[str, Any],
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Return the id that came, or "" for a new run."""
        return run_id or ""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log_metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Do nothing."""

    def log_dataset(self, *, name: str, fingerprint: str, context: str) -> None:
        """Do nothing."""

    def log_figure(self, name: str, figure: Figure) -> None:
        """Do nothing."""

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing."""

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Do nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def register_model(self, name: str, folder: Path, *, tags: Mapping[str, str] | None = None) -> str:
        """Return "": there is no registry."""
        return ""

    def flush(self) -> None:
        """Do nothing."""

    def end(self, status: Status = "FINISHED") -> None:
        """Do nothing."""


@contextmanager
def recording(
    tracker: Tracker,
    *,
    name: str,
    config: Mapping[str, Any],
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Open a run for a ``with`` block and close it as it deserves: KILLED when stopped, FAILED after an error.

    Yields the run's id. Whatever was logged before the error is stored; where that fails too, the error carries a note.
    """
    started = tracker.start(name=name, config=config, run_id=run_id, tags=tags)
    try:
        yield started
    except BaseException as error:
        try:
            tracker.end("KILLED" if isinstance(error, _STOPPED) else "FAILED")
        except MemshadowError as lost:
            error.add_note(str(lost))
        raise
    tracker.end("FINISHED")


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a nested configuration flat, as strings: ``{"learner": {"lr": 0.1}}`` -> ``{"learner.lr": "0.1"}``.

    Strings stand as they are, everything else as JSON; a list is one value. A value of more than 1,000 characters is
    cut and ends in its length and hash, so that two long values still compare as they should.
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{inner}": text for inner, text in flatten(value).items()}
        else:
            flat[str(key)] = _cut(value if isinstance(value, str) else json.dumps(value, default=str))
    return flat


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{text[: _LONGEST_VALUE - 60]}… ({len(text)} characters, sha256 {digest})"


def changed_keys(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the keys, sorted, whose values differ or that only one of two flat configurations has."""
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
