"""The tracker that remembers: one MLflow run per training run, in SQLite. Knows nothing of what is trained."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.training.database import database_path, open_client, storing
from memshadow.training.process import PROCESS_TAG, process_name
from memshadow.training.registry import ModelRegistry
from memshadow.training.tracker import Status, changed_keys, flatten

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Metric, Run

_TRIES = 3
_AT_ONCE = 100  # parameters or tags in one request, MLflow's limit
_LONGEST_KEY, _LONGEST_TAG = 250, 5_000  # characters; MLflow's limits are 250 and 8,000
_OTHER_PARAMS = "other_params"  # tag: the parameters that are not of the configuration
_UNSTORABLE = re.compile(r"[^\w.\- :/]")


def stored_name(name: str) -> str:
    """Return ``name`` as MLflow takes it: "@" is spelled "_at_", any other character that it refuses "_"."""
    return _UNSTORABLE.sub("_", name.replace("@", "_at_"))


def shown_name(name: str) -> str:
    """Return the name that ``stored_name`` was given, as far as "@" goes."""
    return name.replace("_at_", "@")


class MlflowTracker:
    """Keeps runs in an SQLite database and their files in a folder beside it.

    Metrics are collected and sent in batches by one background thread, since a single log call costs some 10-30 ms.
    """

    def __init__(self, *, uri: str, artifacts: str, experiment: str, batch_size: int, flush_s: float) -> None:
        self.uri = uri
        self.path = database_path(uri)
        self.artifacts = Path(artifacts).absolute()
        self.experiment = experiment
        self.batch_size = batch_size
        self.flush_s = flush_s
        self.run_id = ""
        self._recorded: dict[str, str] = {}
        self._others: set[str] = set()
        self._drifted: set[str] = set()
        self._known: dict[tuple[str, int], float] = {}
        self._waiting: list[Metric] = []
        self._sent: list[Future[None]] = []
        self._last_sent = 0.0

    def start(
        self,
        *,
        name: str,
        config: Mapping[str, Any],
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Open a run or go on with one; see ``Tracker.start``."""
        if self.run_id:
            raise RuntimeError(f"run {self.run_id} is still open: call end() first")
        self._client = open_client(self.uri)
        here = {PROCESS_TAG: process_name()}
        with storing(self.path):
            earlier = self._find(run_id) if run_id else None
            if earlier is not None:
                self._go_on(earlier)
            else:
                marks = {**(tags or {}), **here, **({"continues": run_id} if run_id else {})}
                self.run_id = self._client.create_run(self._experiment_id(), run_name=name, tags=marks).info.run_id
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memshadow-tracker")
        self._last_sent = time.monotonic()
        flat = _storable(config)
        if earlier is not None:
            self._mark_drift(flat, {key: text for key, text in self._recorded.items() if key not in self._others})
            self.set_tags({**(tags or {}), **here})
        self._record(flat)
        return self.run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record settings that are not in the configuration; see ``Tracker.log_params``."""
        flat = _storable(params)
        self._mark_drift(flat, {key: text for key, text in self._recorded.items() if key in flat} or flat)
        self._others |= flat.keys() - self._recorded.keys()
        self._record(flat)
        self.set_tags({_OTHER_PARAMS: ",".join(sorted(self._others))})

    def log_metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Collect numbers; send them when there are many or the last sending is some seconds ago."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        for name, value in values.items():
            key = stored_name(name)
            if self._known.get((key, step)) != float(value):
                self._waiting.append(Metric(key, float(value), now_ms, step))
        if len(self._waiting) >= self.batch_size or time.monotonic() - self._last_sent >= self.flush_s:
            self._send()

    def log_dataset(self, *, name: str, fingerprint: str, context: str) -> None:
        """Record what the run read; the fingerprint stands as MLflow's digest (at most 36 characters)."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name=name, digest=fingerprint[:36], source_type="memshadow", source=name)
        with storing(self.path):
            self._client.log_inputs(
                self.run_id, [DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", context)])]
            )

    def log_figure(self, name: str, figure: Figure) -> None:
        """Keep a figure as ``figures/NAME.png``."""
        with storing(self.path):
            self._client.log_figure(self.run_id, figure, f"figures/{stored_name(name)}.png", save_kwargs={"dpi": 160})

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows as ``tables/NAME.csv``."""
        if not rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
        with storing(self.path):
            self._client.log_text(self.run_id, text.getvalue(), f"tables/{stored_name(name)}.csv")

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Keep a copy of a file or folder."""
        with storing(self.path):
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), folder or None)
            else:
                self._client.log_artifact(self.run_id, str(path), folder or None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Mark the run."""
        from mlflow.entities import RunTag

        marks = [RunTag(stored_name(key)[:_LONGEST_KEY], value[:_LONGEST_TAG]) for key, value in tags.items()]
        with storing(self.path):
            for i in range(0, len(marks), _AT_ONCE):
                self._client.log_batch(self.run_id, tags=marks[i : i + _AT_ONCE])

    def register_model(self, name: str, folder: Path, *, tags: Mapping[str, str] | None = None) -> str:
        """Keep a model folder as the next version of ``name``: plain files, no pickled wrapper."""
        registry = ModelRegistry(client=self._client, path=self.path)
        return registry.register(name, folder, run_id=self.run_id, tags=tags or {})

    def flush(self) -> None:
        """Return when every metric is stored."""
        self._send()
        while self._sent:
            with storing(self.path):
                self._sent.pop(0).result()

    def end(self, status: Status = "FINISHED") -> None:
        """Flush, close the run and let the thread go."""
        if not self.run_id:
            return
        try:
            self.flush()
            with storing(self.path):
                self._client.set_terminated(self.run_id, status)
        finally:
            self._thread.shutdown()
            self.run_id = ""
            self._recorded, self._known, self._waiting, self._sent = {}, {}, [], []
            self._others, self._drifted = set(), set()

    def _send(self) -> None:
        """Hand what waits to the thread; raise here what went wrong there."""
        while self._sent and self._sent[0].done():
            with storing(self.path):
                self._sent.pop(0).result()
        for i in range(0, len(self._waiting), self.batch_size):
            batch = self._waiting[i : i + self.batch_size]
            self._sent.append(self._thread.submit(self._store, self.run_id, batch))
        self._waiting = []
        self._last_sent = time.monotonic()

    def _store(self, run_id: str, batch: Sequence[Metric]) -> None:
        """Store a batch; wait some more where another process held the file for longer than SQLite waits (20 s)."""
        from mlflow.exceptions import MlflowException

        for left in reversed(range(_TRIES)):
            try:
                self._client.log_batch(run_id, metrics=batch)
            except MlflowException as error:
                if not left or error.error_code != "TEMPORARILY_UNAVAILABLE":
                    raise
            else:
                return

    def _find(self, run_id: str) -> Run | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _go_on(self, run: Run) -> None:
        """Make ``run`` the open one again and learn what it knows already."""
        self.run_id = run.info.run_id
        if run.info.lifecycle_stage == "deleted":
            self._client.restore_run(self.run_id)
        self._client.update_run(self.run_id, status="RUNNING")
        self._recorded = dict(run.data.params)
        self._others = set(filter(None, run.data.tags.get(_OTHER_PARAMS, "").split(",")))
        self._drifted = set(filter(None, run.data.tags.get("drift", "").split(", ")))
        for key in run.data.metrics:
            for point in self._client.get_metric_history(self.run_id, key):
                self._known[key, point.step] = point.value

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self.experiment, artifact_location=self.artifacts.as_uri()))

    def _record(self, flat: Mapping[str, str]) -> None:
        """Store the settings that are not stored yet; MLflow never changes one."""
        from mlflow.entities import Param

        new = [Param(key, text) for key, text in flat.items() if key not in self._recorded]
        with storing(self.path):
            for i in range(0, len(new), _AT_ONCE):
                self._client.log_batch(self.run_id, params=new[i : i + _AT_ONCE])
        self._recorded = {**flat, **self._recorded}

    def _mark_drift(self, now: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Tag the run ``drift`` = all keys that ever changed, and each as ``drift.KEY`` = "before -> now"."""
        keys = changed_keys(before, now)
        if keys:
            self._drifted |= set(keys)
            each = {f"drift.{key}": f"{_brief(before.get(key))} -> {_brief(now.get(key))}" for key in keys}
            self.set_tags({"drift": ", ".join(sorted(self._drifted)), **each})


def _brief(text: str | None) -> str:
    """Return both ends of a long value (the far end holds its hash)."""
    if text is None:
        return "(unset)"
    return text if len(text) <= 120 else f"{text[:60]}…{text[-60:]}"


def _storable(config: Mapping[str, Any]) -> dict[str, str]:
    return {stored_name(key)[:_LONGEST_KEY]: text for key, text in flatten(config).items()}
