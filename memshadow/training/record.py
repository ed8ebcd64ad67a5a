"""``run.json``: what a run is, written before its first step. Knows the file; knows no configuration framework."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from memshadow.errors import CheckpointError
from memshadow.training.atomic import write_json

FORMAT_VERSION = 1
FILE = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What was asked (``overrides``, ``config``), on what (``data``: name -> fingerprint), with what code.

    ``status`` is ``running`` until ``finished``: a run that was killed stays ``running``. ``config`` is unresolved.
    """

    name: str
    seed: int
    overrides: Sequence[str]
    config: Mapping[str, Any]
    data: Mapping[str, str]
    commit: str
    lock: str
    versions: Mapping[str, str]
    created: str
    tracker_run_id: str = ""
    status: str = "running"
    resumed: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> RunRecord:
        """Write ``run.json`` into ``folder`` and return the record."""
        write_json(folder / FILE, {"format_version": FORMAT_VERSION, **asdict(self)})
        return self

    def continued_by(self, now: RunRecord) -> RunRecord:
        """Return the record of ``now`` going on with this run.

        Raises:
            CheckpointError: seed or data are not the same, so that going on would be neither run.
        """
        if now.seed != self.seed:
            raise CheckpointError(f"Run {self.name!r} has seed {self.seed}, not {now.seed}; start a new run for that.")
        if dict(now.data) != dict(self.data):
            raise CheckpointError(
                f"Run {self.name!r} was started on data {dict(self.data)}, now it is {dict(now.data)}; start a new run."
            )
        same = {"created": self.created, "tracker_run_id": self.tracker_run_id, "resumed": self.resumed + 1}
        return replace(now, **same)  # type: ignore[arg-type]


def read_record(folder: Path) -> RunRecord | None:
    """Return the record in ``folder``; ``None`` where no run was started.

    Raises:
        CheckpointError: the file is damaged or of a newer version.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        version = body.pop("format_version")
        if version <= FORMAT_VERSION:
            return RunRecord(**body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}. Start a new run under another name.") from error
    raise CheckpointError(
        f"{path} has format version {version}, this memshadow reads up to {FORMAT_VERSION}: update it."
    )
