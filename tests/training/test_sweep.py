"""A sweep that was killed goes on where it stopped; what is finished is never touched again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memshadow.cli._sweep import jobs, run_sweep
from memshadow.errors import ConfigError, MemshadowError
from memshadow.training.sweep import Job, fingerprint, run_jobs


class TestJobs:
    @pytest.mark.parametrize(
        ("overrides", "wanted"),
        [
            ([], [[]]),
            (["a=1"], [["a=1"]]),
            (["a=1,2", "b=x"], [["a=1", "b=x"], ["a=2", "b=x"]]),
            (["a=1,2", "b=range(0,2)"], [["a=1", "b=0"], ["a=1", "b=1"], ["a=2", "b=0"], ["a=2", "b=1"]]),
            (["a=choice(1,1)"], [["a=1"]]),
            (["a=[1,2],[3]"], [["a=[1,2]"], ["a=[3]"]]),
            (["a='x,y',z"], [["a='x,y'"], ["a=z"]]),
            (["+a=1,2"], [["+a=1"], ["+a=2"]]),
            (["tracker=glob(*)"], [["tracker=mlflow"], ["tracker=none"]]),
        ],
    )
    def test_one_list_per_combination(self, overrides: list[str], wanted: list[list[str]]) -> None:
        assert jobs(overrides) == wanted

    @pytest.mark.parametrize(
        ("override", "says"), [("a=interval(0,1)", "no end"), ("a=1,,", "cannot read"), ("tracker=glob(x*)", "no file")]
    )
    def test_what_cannot_be_listed_is_refused(self, override: str, says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            jobs([override])


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task of its own: ``toy.yaml`` with two settings."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "toy.yaml").write_text("# A toy.\nlr: 1\nseed: 0\n")
    monkeypatch.setenv("MEMSHADOW_CONFIGS", str(folder))
    return folder


class TestRunSweep:
    def test_finished_jobs_are_skipped_and_new_values_join(self, configs: Path, tmp_path: Path) -> None:
        ran: list[list[str]] = []

        def run_one(overrides: list[str], folder: Path) -> dict[str, float]:
            ran.append(overrides)
            return {"score": float(len(ran))}

        run_sweep("toy", ["-m", "lr=1,2"], tmp_path / "sweeps", run_one)
        outcomes = run_sweep("toy", ["-m", "lr=1,2,3"], tmp_path / "sweeps", run_one)
        assert ran == [["lr=1"], ["lr=2"], ["lr=3"]]
        assert [(o.status, o.result["score"]) for o in outcomes] == [("before", 1), ("before", 2), ("done", 3)]

    def test_a_changed_default_is_another_job(self, configs: Path, tmp_path: Path) -> None:
        first = run_sweep("toy", ["lr=1,2"], tmp_path / "sweeps", lambda *_: None)
        (configs / "toy.yaml").write_text("# A toy.\nlr: 1\nseed: 7\n")
        second = run_sweep("toy", ["lr=1,2"], tmp_path / "sweeps", lambda *_: None)
        assert [o.status for o in second] == ["done", "done"]
        assert {o.folder for o in first}.isdisjoint(o.folder for o in second)

    def test_a_misspelt_key_costs_no_job(self, configs: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="'lr'"):
            run_sweep("toy", ["lrr=1,2"], tmp_path / "sweeps", lambda *_: pytest.fail("a job ran"))

    def test_a_failing_job_does_not_stop_the_others(
        self, configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def run_one(overrides: list[str], folder: Path) -> None:
            if overrides == ["lr=2"]:
                raise RuntimeError("loss is nan")

        with pytest.raises(MemshadowError, match="1 of 3 jobs failed, the first one with RuntimeError: loss is nan"):
            run_sweep("toy", ["lr=1,2,3"], tmp_path / "sweeps", run_one)
        assert "failed, see failed.txt" in capsys.readouterr().out
        (traceback,) = (tmp_path / "sweeps").rglob("failed.txt")
        assert "Traceback" in traceback.read_text()
        assert len(list((tmp_path / "sweeps").rglob("done.json"))) == 2
        again = run_sweep("toy", ["lr=1,2,3"], tmp_path / "sweeps", lambda *_: None)
        assert [o.status for o in again] == ["before", "done", "before"]
        assert not traceback.exists()

    def test_the_table_shows_figures_and_nothing_for_nan(
        self, configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        figures = iter([0.5, float("nan")])
        run_sweep("toy", ["lr=1,2"], tmp_path / "sweeps", lambda *_: {"ndcg@10": next(figures)})
        shown = capsys.readouterr().out
        assert "ndcg@10" in shown
        assert "0.5000" in shown
        assert "nan" not in shown


def test_ctrl_c_stops_the_sweep(tmp_path: Path) -> None:
    def run_one(overrides: list[str], folder: Path) -> None:
        raise KeyboardInterrupt

    plan = [Job(overrides=(f"a={i}",), varied=(f"a={i}",), fingerprint=fingerprint({"a": i})) for i in range(2)]
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(plan, tmp_path, run_one))
    assert not list(tmp_path.rglob("done.json"))


@pytest.mark.parametrize("mark", ['{"fingerprint": ', '{"fingerprint": "of another configuration", "result": {}}'])
def test_a_damaged_or_foreign_mark_is_no_mark(tmp_path: Path, mark: str) -> None:
    job = Job(overrides=("a=1",), varied=("a=1",), fingerprint=fingerprint({"a": 1}))
    (tmp_path / job.name).mkdir()
    (tmp_path / job.name / "done.json").write_text(mark)
    (outcome,) = run_jobs([job], tmp_path, lambda *_: {"score": 1.0})
    assert outcome.status == "done"
    assert json.loads((outcome.folder / "done.json").read_text())["overrides"] == ["a=1"]


_SLOW_SWEEP = """
import sys, time
from pathlib import Path
from memshadow.cli._sweep import run_sweep

def run_one(overrides, folder):  # ten steps, each kept; a job that was cut off goes on from the last one
    steps = folder / "steps.txt"
    for step in range(len(steps.read_text()) if steps.exists() else 0, 10):
        with steps.open("a") as file:
            file.write(str(step))
        time.sleep(0.02)
    return {"steps": 10.0}

run_sweep("toy", ["-m", "lr=1,2,3,4", "seed=0"], Path(sys.argv[1]), run_one)
"""


def start(tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _SLOW_SWEEP, str(tmp_path / "sweeps")]
    return subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.DEVNULL)


def marks(tmp_path: Path) -> dict[Path, tuple[bytes, int]]:
    found = (tmp_path / "sweeps").rglob("done.json")
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_a_killed_sweep_goes_on_where_it_stopped(configs: Path, tmp_path: Path) -> None:
    process = start(tmp_path)
    while len(marks(tmp_path)) < 2 or len(list((tmp_path / "sweeps").rglob("steps.txt"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = marks(tmp_path)
    assert 2 <= len(before) < 4
    assert start(tmp_path).wait() == 0
    after = marks(tmp_path)
    assert len(after) == 4
    assert {path: after[path] for path in before} == before
    assert {path.read_text() for path in (tmp_path / "sweeps").rglob("steps.txt")} == {"0123456789"}


def test_two_processes_share_a_sweep(configs: Path, tmp_path: Path) -> None:
    both = [start(tmp_path), start(tmp_path)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(marks(tmp_path)) == 4
    assert {path.read_text() for path in (tmp_path / "sweeps").rglob("steps.txt")} == {"0123456789"}
