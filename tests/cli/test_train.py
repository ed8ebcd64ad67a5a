"""`memshadow train` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memshadow.cli import main
from memshadow.cli.train import _name
from memshadow.config import load
from memshadow.training.lock import only_one

_SMALL = [
    "data.memories=240",
    "data.memories_per_conversation=40",
    "data.questions_per_conversation=12",
    "embedder=hashing",
    "learner=scratch",
    "learner.encoder.layers=1",
    "learner.encoder.dim=32",
    "learner.encoder.inner_dim=32",
    "learner.encoder.heads=2",
    "learner.max_epochs=2",
    "learner.batch_size=32",
    "trainer.threads=1",
    "tracker=none",
]


def train(folder, *words):
    return main(["train", *_SMALL, f"runs_dir={folder}", *words])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    assert train(folder, "name=one") == 0
    return folder


def test_a_run_leaves_a_signed_model_and_a_record(runs):
    record = json.loads((runs / "one" / "run.json").read_text())
    assert (record["status"], record["seed"], record["resumed"]) == ("finished", 0, 0)
    assert "learner.max_epochs=2" in record["overrides"]
    model = json.loads((runs / "one" / "model" / "model.json").read_text())
    assert model["origin"]["config"]["learner"]["max_epochs"] == 2
    assert model["origin"]["data"] == record["data"]
    assert {"commit", "lock", "versions", "metrics"} <= model["origin"].keys()


def test_it_says_what_came_of_it_and_where_it_is(runs, capsys):
    assert main(["train", "resume=one", f"runs_dir={runs}"]) == 0
    shown = capsys.readouterr()
    assert "conversations never seen" in shown.out
    assert "bm25" in shown.out
    assert str(runs / "one" / "model") in shown.out
    assert shown.err == ""
    assert json.loads((runs / "one" / "run.json").read_text())["resumed"] >= 1


def test_the_same_seed_gives_the_same_model_and_held_out_never_trains(runs):
    assert train(runs, "name=two") == 0
    one, two = (json.loads((runs / n / "model" / "model.json").read_text())["fingerprint"] for n in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resume=three"], "there is no such run"),
        (["learner.lrr=1"], "lrr"),
        (["held_out=1.5"], "conversations of synthetic: a share between 0 and 1"),
        (["name=one", "seed=5"], "has seed 0, not 5"),
        (["name=one", "data.seed=9"], "was started on data"),
        (["-m", "seed=1,2", "trainer=ddp_cpu"], "a sweep trains in one process"),
    ],
)
def test_mistakes_are_answered(runs, capsys, words, said):
    assert train(runs, *words) == 2
    assert said in capsys.readouterr().err


def test_a_corpus_without_conversations_is_refused(tmp_path, capsys):
    assert main(["train", "data=stsb", "tracker=none", f"runs_dir={tmp_path}"]) == 2
    assert "data=stsb holds no conversations" in capsys.readouterr().err


def test_runs_without_a_name_never_share_a_folder(tmp_path):
    config = load("train", [*_SMALL, f"runs_dir={tmp_path}"])
    first = _name(config)
    (tmp_path / first).mkdir()
    assert _name(config) != first


def test_a_second_process_on_a_run_is_refused(runs, capsys):
    with only_one(runs / "one"):
        assert train(runs, "name=one") == 2
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err


def test_a_sweep_runs_each_job_once(runs, capsys):
    words = ["-m", "seed=1,2", "learner.max_epochs=1"]
    assert train(runs, *words) == 0
    models = {path: path.stat().st_mtime_ns for path in (runs / "sweeps").rglob("model/model.json")}
    assert len(models) == 2
    assert train(runs, *words) == 0
    assert {path: path.stat().st_mtime_ns for path in (runs / "sweeps").rglob("model/model.json")} == models


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    command = [sys.executable, "-m", "memshadow", "train", *_SMALL, "trainer=ddp_cpu", f"runs_dir={tmp_path}", "name=d"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("conversations never seen") == 1
    assert json.loads((tmp_path / "d" / "run.json").read_text())["status"] == "finished"
    assert (tmp_path / "d" / "model" / "model.json").is_file()


def test_tasks_are_learned_and_shown_by_inner_steps(tmp_path, capsys):
    words = ["experiment=maml_sinusoids", "learner.max_epochs=1", "learner.steps_per_epoch=3", "tracker=none"]
    assert main(["train", *words, f"runs_dir={tmp_path}", "name=waves"]) == 0
    shown = capsys.readouterr().out
    assert "sinusoids: 600 tasks never seen, squared error" in shown
    assert "untrained" in shown
    record = json.loads((tmp_path / "waves" / "run.json").read_text())
    assert {"test/score", "test/untrained"} <= record["result"].keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learner=meta"], "data=synthetic holds no tasks and no classes"),
        (["experiment=maml_sinusoids", "learner.network.inputs=3"], "set learner.network.inputs=1"),
    ],
)
def test_what_holds_no_tasks_is_refused(tmp_path, capsys, words, said):
    assert main(["train", *words, "tracker=none", f"runs_dir={tmp_path}"]) == 2
    assert said in capsys.readouterr().err
