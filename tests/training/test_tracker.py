"""What a run is told is there afterwards: all of it, once, in the run it belongs to."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from memshadow.config import build, load, plain
from memshadow.errors import ConfigError, DataError, MemshadowError
from memshadow.training.database import open_client
from memshadow.training.lightning_logger import TrackerLogger
from memshadow.training.logbook import Logbook, find
from memshadow.training.mlflow_tracker import MlflowTracker, shown_name, stored_name
from memshadow.training.privacy_env import quiet_dependencies
from memshadow.training.process import process_name
from memshadow.training.registry import CHAMPION, ModelRegistry
from memshadow.training.tracker import NullTracker, Tracker, changed_keys, flatten, recording

CONFIG = {"learner": {"lr": 0.1, "widths": [384, 2048]}, "key": "${oc.env:SECRET}", "seed": 0}


def stored(tracker: MlflowTracker, run_id: str) -> Run:
    return MlflowClient(tracker.uri).get_run(run_id)


def curve(tracker: MlflowTracker, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in MlflowClient(tracker.uri).get_metric_history(run_id, stored_name(name))]


def files(tracker: MlflowTracker, run_id: str) -> Path:
    return tracker.artifacts / run_id / "artifacts"


@pytest.fixture(params=["none", "mlflow"])
def any_tracker(request: pytest.FixtureRequest) -> Iterator[Tracker]:
    tracker = NullTracker() if request.param == "none" else request.getfixturevalue("tracker")
    yield tracker
    tracker.end()


class TestEveryTracker:
    """The contract's corners that both keep."""

    def test_it_takes_everything(self, any_tracker: Tracker, tmp_path: Path) -> None:
        assert isinstance(any_tracker, Tracker)
        (tmp_path / "model").mkdir()
        run_id = any_tracker.start(name="a", config=CONFIG, tags={"learner": "head"})
        any_tracker.log_params({"more": {"depth": 1}})
        any_tracker.log_metrics({"val/ndcg@10": 0.5}, step=1)
        any_tracker.log_dataset(name="locomo", fingerprint="f" * 64, context="training")
        any_tracker.log_figure("empty", Figure())
        any_tracker.log_table("empty", [])
        any_tracker.log_artifact(tmp_path / "model", folder="kept")
        any_tracker.set_tags({"a": "b"})
        any_tracker.register_model("embedder", tmp_path / "model")
        any_tracker.flush()
        any_tracker.end()
        any_tracker.end("FAILED")
        assert any_tracker.start(name="a", config=CONFIG, run_id=run_id) == run_id

    def test_recording_says_how_it_ended(self, any_tracker: Tracker) -> None:
        for error in (KeyboardInterrupt, ZeroDivisionError):
            with pytest.raises(error), recording(any_tracker, name="a", config={}):
                raise error


class TestMetrics:
    def test_every_value_is_stored_in_order(self, tracker: MlflowTracker) -> None:
        run_id = tracker.start(name="a", config={})
        for step in range(100):
            tracker.log_metrics({"val/ndcg@10": step / 7, "train/loss": -step}, step=step)
        tracker.end()
        assert curve(tracker, run_id, "val/ndcg@10") == [(step, step / 7) for step in range(100)]
        assert len(curve(tracker, run_id, "train/loss")) == 100

    @pytest.mark.parametrize(
        ("error", "status"), [(KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED"), (ValueError, "FAILED")]
    )
    def test_an_error_loses_none(self, tracker: MlflowTracker, error: type[BaseException], status: str) -> None:
        def work() -> None:
            with recording(tracker, name="a", config={}):
                tracker.log_metrics({"loss": 1.0}, step=3)
                raise error

        with pytest.raises(error):
            work()
        (run,) = Logbook(uri=tracker.uri).runs()
        assert curve(tracker, run.id, "loss") == [(3, 1.0)]
        assert stored(tracker, run.id).info.status == status

    def test_a_call_costs_microseconds(self, tracker: MlflowTracker) -> None:
        tracker.batch_size = 1_000
        tracker.start(name="a", config={})
        begun = time.process_time()
        for step in range(900):
            tracker.log_metrics({"loss": 1.0}, step=step)
        assert (time.process_time() - begun) / 900 < 500e-6
        tracker.end()

    def test_what_cannot_be_stored_is_told(self, tracker: MlflowTracker) -> None:
        run_id = tracker.start(name="a", config={})
        MlflowClient(tracker.uri).delete_run(run_id)
        tracker.log_metrics({"loss": 1.0}, step=0)
        with pytest.raises(MemshadowError, match="could not be written"):
            tracker.end()

    def test_an_error_of_ours_keeps_its_place_before_the_tracker_s(self, tracker: MlflowTracker) -> None:
        def work() -> None:
            with recording(tracker, name="a", config={}) as run_id:
                MlflowClient(tracker.uri).delete_run(run_id)
                tracker.log_metrics({"loss": 1.0}, step=0)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as caught:
            work()
        assert "could not be written" in caught.value.__notes__[0]


class TestResume:
    def test_it_is_the_same_run_without_repeats(self, tracker: MlflowTracker) -> None:
        run_id = tracker.start(name="a", config=CONFIG)
        for step in range(10):
            tracker.log_metrics({"loss": step / 3}, step=step)
        tracker.end("KILLED")
        assert tracker.start(name="a", config=CONFIG, run_id=run_id) == run_id
        assert stored(tracker, run_id).info.status == "RUNNING"
        for step in range(5, 15):  # the state was saved at step 5
            tracker.log_metrics({"loss": step / 3}, step=step)
        tracker.end()
        assert curve(tracker, run_id, "loss") == [(step, step / 3) for step in range(15)]
        run = stored(tracker, run_id)
        assert run.info.status == "FINISHED"
        assert "drift" not in run.data.tags

    def test_a_changed_configuration_is_drift(self, tracker: MlflowTracker) -> None:
        run_id = tracker.start(name="a", config={**CONFIG, "gone": 1})
        tracker.log_params({"found": {"rows": 10}})
        tracker.end()
        now = {**CONFIG, "learner": {"lr": 0.3, "widths": [384, 2048]}, "new": True}
        tracker.start(name="a", config=now, run_id=run_id)
        tracker.end()
        run = stored(tracker, run_id)
        assert run.data.tags["drift"] == "gone, learner.lr, new"
        assert run.data.tags["drift.learner.lr"] == "0.1 -> 0.3"
        assert run.data.tags["drift.gone"] == "1 -> (unset)"
        assert run.data.params["learner.lr"] == "0.1"

    def test_a_run_that_the_database_lost_is_begun_anew(self, tracker: MlflowTracker) -> None:
        run_id = tracker.start(name="a", config={}, run_id="0" * 32)
        tracker.end()
        assert run_id != "0" * 32
        assert stored(tracker, run_id).data.tags["continues"] == "0" * 32

    def test_a_deleted_run_comes_back(self, tracker: MlflowTracker) -> None:
        run_id = tracker.start(name="a", config={})
        tracker.end()
        MlflowClient(tracker.uri).delete_run(run_id)
        assert tracker.start(name="a", config={}, run_id=run_id) == run_id
        tracker.end()
        assert stored(tracker, run_id).info.lifecycle_stage == "active"


class TestFiles:
    def test_table_figure_dataset_and_settings(self, tracker: MlflowTracker, tmp_path: Path) -> None:
        rows = [{"system": "bm25", "ndcg@10": 0.5}, {"system": "a, b", "ndcg@10": 0.25, "note": "late"}]
        with recording(tracker, name="a", config={**CONFIG, "long": "x" * 9_000}) as run_id:
            tracker.log_table("results", rows)
            tracker.log_figure("curve", Figure())
            tracker.log_dataset(name="locomo", fingerprint="f" * 64, context="held-out")
            tracker.log_dataset(name="locomo", fingerprint="f" * 64, context="held-out")
        with (files(tracker, run_id) / "tables" / "results.csv").open() as file:
            assert list(csv.DictReader(file)) == [
                {"system": "bm25", "ndcg@10": "0.5", "note": ""},
                {"system": "a, b", "ndcg@10": "0.25", "note": "late"},
            ]
        assert (files(tracker, run_id) / "figures" / "curve.png").read_bytes().startswith(b"\x89PNG")
        run = stored(tracker, run_id)
        assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["locomo"]
        assert run.data.params["key"] == "${oc.env:SECRET}"
        assert len(run.data.params["long"]) <= 1_000
        assert run.data.params["long"].count("9000 characters, sha256 ") == 1

    def test_models_have_versions_by_content(self, tracker: MlflowTracker, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "model.json").write_text("1")
        with recording(tracker, name="a", config={}):
            assert tracker.register_model("embedder", folder, tags={"dim": "2048"}) == "1"
            assert tracker.register_model("embedder", folder) == "1"
            (folder / "model.json").write_text("2")
            assert tracker.register_model("embedder", folder) == "2"
        registry = ModelRegistry.open(tracker.uri)
        first = registry.version("embedder", "1")
        assert (first.folder / "model.json").read_text() == "1"
        assert first.tags["dim"] == "2048"
        assert registry.at("embedder", CHAMPION) is None
        registry.set_alias("embedder", CHAMPION, "2")
        assert registry.at("embedder", CHAMPION) == registry.version("embedder", "2")
        assert registry.at("nobody", CHAMPION) is None


class TestFlatten:
    def test_nested_becomes_dotted(self) -> None:
        assert flatten({"a": {"b": 1, "c": {"d": None}}, "e": [1, "x"], "f": {}, "g": True, "h": "text"}) == {
            "a.b": "1",
            "a.c.d": "null",
            "e": '[1, "x"]',
            "f": "{}",
            "g": "true",
            "h": "text",
        }

    def test_long_values_still_differ(self) -> None:
        one, other = flatten({"a": "x" * 5_000 + "1"}), flatten({"a": "x" * 5_000 + "2"})
        assert len(one["a"]) <= 1_000
        assert changed_keys(one, other) == ["a"]

    @pytest.mark.parametrize("name", ["val/ndcg@10", "train/loss", "er@512"])
    def test_names_come_back(self, name: str) -> None:
        assert shown_name(stored_name(name)) == name


class TestDatabase:
    @pytest.mark.parametrize("uri", ["http://localhost:5000", "runs/mlflow.db", "sqlite:///"])
    def test_another_kind_of_uri_is_refused(self, uri: str) -> None:
        with pytest.raises(ConfigError, match="must be sqlite:///PATH"):
            open_client(uri)

    def test_a_file_that_is_no_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "mlflow.db"
        path.write_text("shopping list")
        with pytest.raises(DataError, match="is not an SQLite database"):
            open_client(f"sqlite:///{path}")
        assert path.read_text() == "shopping list"

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match="name another folder with runs_dir"):
            open_client(f"sqlite:///{tmp_path}/file/mlflow.db")

    def test_the_shipped_configs_build(self, tmp_path: Path) -> None:
        config = load("runs", [f"runs_dir={tmp_path}", "+tracker=mlflow"])
        built = build(config.tracker)
        assert built.path == tmp_path / "mlflow.db"
        assert isinstance(build(load("runs", ["+tracker=none"]).tracker), NullTracker)
        assert "tracker" in plain(config)


class TestLogbook:
    def test_it_reads_what_was_written(self, tracker: MlflowTracker) -> None:
        with recording(tracker, name="first", config=CONFIG, tags={"learner": "head"}) as first:
            for step in range(3):
                tracker.log_metrics({"val/ndcg@10": step / 4}, step=step)
        with recording(tracker, name="second", config={}):
            pass
        book = Logbook(uri=tracker.uri)
        runs = book.runs()
        assert [run.name for run in runs] == ["second", "first"]
        assert runs[1].id == first
        assert runs[1].metrics == {"val/ndcg@10": 0.5}
        assert runs[1].settings["learner.lr"] == "0.1"
        assert book.curve(runs[1], "val/ndcg@10") == [(0, 0.0), (1, 0.25), (2, 0.5)]
        assert find(runs, "first") is find(runs, first[:6]) is runs[1]
        with pytest.raises(DataError, match="did you mean 'second'"):
            find(runs, "secnd")

    def test_looking_makes_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="memshadow train"):
            Logbook(uri=f"sqlite:///{tmp_path}/mlflow.db")
        assert not list(tmp_path.iterdir())


_RUN = """
import sys
from memshadow.training.privacy_env import quiet_dependencies
quiet_dependencies()
from memshadow.training.mlflow_tracker import MlflowTracker
uri, artifacts, name, steps = sys.argv[1:]
tracker = MlflowTracker(uri=uri, artifacts=artifacts, experiment="memshadow", batch_size=20, flush_s=0.0)
print(tracker.start(name=name, config={}))
for step in range(int(steps)):
    tracker.log_metrics({"loss": step, "other": -step}, step=step)
tracker.end()
"""


def write(tracker: MlflowTracker, name: str, *, steps: int) -> subprocess.Popen[str]:
    words = [tracker.uri, str(tracker.artifacts), name, str(steps)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", _RUN, *words], text=True, env=dict(os.environ), **pipes)


@pytest.mark.slow
def test_two_processes_write_at_once_and_say_nothing(tracker: MlflowTracker) -> None:
    both = [write(tracker, name, steps=60) for name in ("a", "b")]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [error for _, error in said] == ["", ""]
    for run_id, _ in said:
        assert curve(tracker, run_id.strip(), "loss") == [(step, step) for step in range(60)]


def test_a_run_whose_process_is_gone_is_shown_as_cut_off(tracker: MlflowTracker) -> None:
    tracker.start(name="a", config={})
    assert Logbook(uri=tracker.uri).runs()[0].status == "running"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tracker.set_tags({"process": process_name().replace(str(os.getpid()), str(gone.pid))})
    assert Logbook(uri=tracker.uri).runs()[0].status == "cut off"
    tracker.end()


def test_the_lightning_logger_hands_everything_on(tracker: MlflowTracker) -> None:
    run_id = tracker.start(name="a", config={})
    logger = TrackerLogger(tracker=tracker, run_id=run_id)
    logger.log_hyperparams({"lr": 1})
    logger.log_metrics({"val/ndcg@10": 0.5}, step=4)
    logger.finalize("success")
    assert (logger.name, logger.version) == ("memshadow", run_id)
    assert curve(tracker, run_id, "val/ndcg@10") == [(4, 0.5)]
    tracker.end()


def test_telemetry_is_off_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    quiet_dependencies()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["MLFLOW_LOGGING_LEVEL"] == "DEBUG"


def test_the_contract_costs_no_heavy_import() -> None:
    code = (
        "import sys, json, memshadow.training.tracker, memshadow.training.mlflow_tracker, memshadow.training.champion;"
        "print(json.dumps([m for m in ('mlflow', 'torch', 'pytorch_lightning', 'pandas') if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(out) == []
