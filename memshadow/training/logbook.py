"""Read what trackers recorded: runs, curves, which of them is the champion. Writes nothing; prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from memshadow.errors import DataError
from memshadow.training.database import database_path, open_client
from memshadow.training.mlflow_tracker import shown_name, stored_name
from memshadow.training.process import PROCESS_TAG, is_gone

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run
    from mlflow.tracking import MlflowClient

_PAGE = 1_000
_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """One run as recorded. ``metrics`` are the last values, ``data`` reads "training: locomo 1a2b3c4d5e6f".

    ``versions`` are the models registered from it, like "embedder v3", and ``aliases`` the titles they hold now.
    ``status`` is ``running``, ``finished``, ``failed``, ``stopped`` (Ctrl-C) or ``cut off`` (its process is gone).
    """

    id: str
    name: str
    status: str
    started: datetime
    seconds: float | None
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Sequence[str] = ()
    versions: Sequence[str] = ()
    aliases: Sequence[str] = ()


class Logbook:
    """The runs of one database, newest first."""

    def __init__(self, *, uri: str) -> None:
        """Open an existing database.

        Raises:
            DataError: there is none yet; nothing is made by looking.
        """
        path = database_path(uri)
        if not path.is_file():
            raise DataError(f"no runs are recorded in {path} yet; `memshadow train` makes the first one")
        self._client: MlflowClient = open_client(uri)

    def runs(self, limit: int = _PAGE) -> list[RecordedRun]:
        """Return at most ``limit`` runs of all experiments, the youngest first."""
        homes = [experiment.experiment_id for experiment in self._client.search_experiments()]
        found = self._client.search_runs(homes, order_by=["attributes.start_time DESC"], max_results=limit)
        versions, aliases = self._models()
        return [_recorded(run, versions.get(run.info.run_id, ()), aliases.get(run.info.run_id, ())) for run in found]

    def curve(self, run: RecordedRun, metric: str) -> list[tuple[int, float]]:
        """Return (step, value) in the order of the steps; of values recorded twice for a step the later one."""
        points = self._client.get_metric_history(run.id, stored_name(metric))
        return sorted({point.step: point.value for point in sorted(points, key=lambda p: p.timestamp)}.items())

    def _models(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return the registered versions and their aliases, each by run id."""
        versions: dict[str, list[str]] = {}
        aliases: dict[str, list[str]] = {}
        for model in self._client.search_registered_models():
            held: dict[str, list[str]] = {}
            for alias, version in dict(model.aliases).items():
                held.setdefault(str(version), []).append(alias)
            for version in self._client.search_model_versions(f"name = '{model.name}'"):
                versions.setdefault(str(version.run_id), []).append(f"{model.name} v{version.version}")
                aliases.setdefault(str(version.run_id), []).extend(held.get(str(version.version), ()))
        return versions, aliases


def find(runs: Sequence[RecordedRun], word: str) -> RecordedRun:
    """Return the run that ``word`` means: an id, the start of one (4 letters or more), or a name.

    Of runs that share a name the youngest is meant.

    Raises:
        DataError: nothing fits (the nearest name is told), or the start fits several.
    """
    by_name = [run for run in runs if run.name == word]
    by_id = [run for run in runs if len(word) >= _SHORTEST_PREFIX and run.id.startswith(word)]
    if len(by_id) > 1 and not by_name:
        raise DataError(f"{word!r} begins the ids of {len(by_id)} runs: {', '.join(run.id[:12] for run in by_id)}")
    if found := by_name or by_id:
        return found[0]
    known = list(dict.fromkeys([run.name for run in runs] + [run.id[:8] for run in runs]))
    close = get_close_matches(word, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise DataError(f"no run is called {word!r}{hint}; `memshadow runs list` shows names and ids")


def _recorded(run: Run, versions: Sequence[str], aliases: Sequence[str]) -> RecordedRun:
    tags = {key: text for key, text in run.data.tags.items() if not key.startswith("mlflow.")}
    ended = run.info.end_time
    return RecordedRun(
        id=run.info.run_id,
        name=run.info.run_name or run.info.run_id[:8],
        status=_status(run.info.status, tags.get(PROCESS_TAG, "")),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        seconds=(ended - run.info.start_time) / 1000 if ended else None,
        tags=tags,
        settings=dict(run.data.params),
        metrics={shown_name(name): value for name, value in run.data.metrics.items()},
        data=tuple(_data(used) for used in (run.inputs.dataset_inputs if run.inputs else ())),
        versions=tuple(versions),
        aliases=tuple(aliases),
    )


def _status(stored: str, process: str) -> str:
    if stored == "RUNNING":
        return "cut off" if is_gone(process) else "running"
    return {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}.get(stored, stored.lower())


def _data(used: DatasetInput) -> str:
    """Return what was read and what for, e.g. ``training: locomo 1a2b3c4d5e6f``."""
    tags = {tag.key: tag.value for tag in used.tags}
    return f"{tags.get('mlflow.data.context', 'read')}: {used.dataset.name} {used.dataset.digest[:12]}"
