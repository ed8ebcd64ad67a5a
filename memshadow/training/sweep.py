"""Run many jobs so that a killed sweep goes on where it stopped. Knows folders and done marks; not what a job does.

A job that finished leaves ``done.json`` in its folder and is never run again. One that was cut off is run again in the
same folder and resumes from whatever state it keeps there. A job's folder is named after its configuration, so a
changed default makes a new job instead of mixing two. Two processes may share a sweep: a job is locked while it runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from memshadow.training.atomic import write_json

DONE = "done.json"
FAILED = "failed.txt"
_LOCK = "sweep.lock"
Result = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One point of a sweep: all its overrides, those of them that vary, and the hash of the configuration they make."""

    overrides: tuple[str, ...]
    varied: tuple[str, ...]
    fingerprint: str

    @property
    def name(self) -> str:
        """Return the folder's name: what varies, readable, and the start of the fingerprint."""
        words = re.sub(r"[^\w.=,+-]+", "_", ",".join(self.varied))[:80].strip("_.,")
        return f"{words}-{self.fingerprint[:8]}" if words else self.fingerprint[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job: ``done`` now, done ``before``, ``failed``, or running ``elsewhere`` at this moment."""

    job: Job
    folder: Path
    status: Literal["done", "before", "failed", "elsewhere"]
    result: Result = field(default_factory=dict)
    reason: str = ""


def fingerprint(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a plain configuration, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def run_jobs(
    jobs: Sequence[Job], folder: Path, run_one: Callable[[list[str], Path], Mapping[str, float] | None]
) -> Iterator[Outcome]:
    """Run the jobs in order, each in its own folder below ``folder``, and yield what became of each.

    ``run_one`` is given a job's overrides and its folder and may return figures, which must be JSON. An error in one
    job must not cost the others their night: it is kept in the job's ``failed.txt`` and the next one starts. Ctrl-C and
    the end of the process stop the sweep.
    """
    for job in jobs:
        place = folder / job.name
        place.mkdir(parents=True, exist_ok=True)
        with _held(place / _LOCK) as mine:
            if finished := _done(place, job):
                yield Outcome(job=job, folder=place, status="before", result=finished["result"])
            elif not mine:
                yield Outcome(job=job, folder=place, status="elsewhere")
            else:
                yield _run(job, place, run_one)


def _run(job: Job, place: Path, run_one: Callable[[list[str], Path], Mapping[str, float] | None]) -> Outcome:
    failed = place / FAILED
    failed.unlink(missing_ok=True)
    try:
        result = run_one(list(job.overrides), place)
    except Exception as error:  # whatever a job dies of, the others go on: see run_jobs
        failed.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        return Outcome(
            job=job, folder=place, status="failed", reason=f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
    mark: dict[str, Any] = {
        "fingerprint": job.fingerprint,
        "overrides": list(job.overrides),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": {name: value if math.isfinite(value) else None for name, value in (result or {}).items()},
    }
    write_json(place / DONE, mark)
    return Outcome(job=job, folder=place, status="done", result=mark["result"])


def _done(place: Path, job: Job) -> dict[str, Any] | None:
    """Return the done mark, or None where there is none, it is damaged, or it is of another configuration."""
    try:
        mark = json.loads((place / DONE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return mark if isinstance(mark, dict) and mark.get("fingerprint") == job.fingerprint else None


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Yield whether the lock could be had; the operating system frees it when the process dies, however it dies."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
