"""What a training leaves behind and what it refuses."""

import importlib.util
import json
import logging
import warnings
from pathlib import Path

import pytest

from memshadow.errors import CheckpointError, ConfigError, DataError, MemshadowError
from memshadow.training.lock import only_one
from memshadow.training.record import RunRecord, read_record
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker


@pytest.fixture(scope="module")
def toy():
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Listening(NullTracker):
    def __init__(self):
        self.seen = []

    def log_metrics(self, values, *, step):
        self.seen.append((step, set(values)))


def test_it_learns_exports_and_tells_the_tracker(toy, tmp_path, capfd, caplog):
    tracker = Listening()
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        result = toy.go(tmp_path, tracker=tracker)
    assert result.history[-1]["val/score"] > result.history[0]["val/score"] + 1
    assert result.score == max(row["val/score"] for row in result.history)
    assert sorted(p.name for p in result.model.iterdir()) == ["model.json", "model.safetensors"]
    assert {"train/loss"} <= tracker.seen[0][1]
    assert any("val/score" in names for _, names in tracker.seen)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(tmp_path.rglob("*.ckpt"))


def test_several_workers_make_the_same_batches(toy, tmp_path):
    toy.go(tmp_path / "none", toy.Toy(1))
    toy.go(tmp_path / "two", toy.Toy(1, workers=2))
    assert toy.digest(tmp_path / "none") == toy.digest(tmp_path / "two")


def test_accumulated_gradients_make_fewer_steps(toy, tmp_path):
    assert toy.go(tmp_path, toy.Toy(1), accumulate=4).steps == 5


def test_a_monitor_that_is_never_logged_is_named(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"no 'val/ndcg', .* it logged: train/loss, val/score"):
        toy.go(tmp_path, toy.Toy(1, monitor="val/ndcg"))


@pytest.mark.parametrize("wrong", [{"accelerator": "abacus"}, {"precision": "half"}, {"devices": 0}])
def test_a_trainer_that_cannot_be_had_is_named(toy, tmp_path, wrong):
    with pytest.raises(ConfigError, match=r"cannot be had here .*; trainer=cpu runs on every machine"):
        toy.go(tmp_path, toy.Toy(1), **wrong)


def test_nothing_to_learn_from_is_refused(toy, tmp_path):
    with pytest.raises(DataError, match="0 conversations to train on"):
        train(
            toy.Toy(),
            [],
            [],
            folder=tmp_path,
            cache=tmp_path,
            seed=0,
            options=None,
            tracker=NullTracker(),
        )


def test_a_failed_export_leaves_no_model(toy, tmp_path):
    learner = toy.Toy(1)
    learner.export = lambda module, folder: (folder / "half").write_text("x") and 1 / 0
    with pytest.raises(ZeroDivisionError):
        toy.go(tmp_path, learner)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


def test_a_folder_has_one_process_at_a_time(tmp_path):
    refused = pytest.raises(MemshadowError, match=r"in use by process \d+")
    with only_one(tmp_path / "run"), refused, only_one(tmp_path / "run"):
        pass
    with only_one(tmp_path / "run"):
        pass


def record(**changed):
    given = {
        "name": "r",
        "seed": 1,
        "overrides": ["seed=1"],
        "config": {"seed": 1},
        "data": {"locomo": "abc"},
        "commit": "",
        "lock": "",
        "versions": {},
        "created": "2026-01-01",
    }
    return RunRecord(**{**given, **changed})


def test_a_record_comes_back_and_counts_resumes(tmp_path):
    assert read_record(tmp_path) is None
    first = record(tracker_run_id="t").write(tmp_path)
    assert read_record(tmp_path) == first
    second = first.continued_by(record(created="later", config={"seed": 1, "more": 2}))
    assert (second.resumed, second.created, second.tracker_run_id) == (1, "2026-01-01", "t")
    assert second.config == {"seed": 1, "more": 2}


def test_a_run_does_not_go_on_with_other_data_or_another_seed():
    with pytest.raises(CheckpointError, match="has seed 1, not 2"):
        record().continued_by(record(seed=2))
    with pytest.raises(CheckpointError, match="was started on data"):
        record().continued_by(record(data={"locomo": "abd"}))


def test_a_damaged_or_newer_record_says_so(tmp_path):
    record().write(tmp_path)
    path = tmp_path / "run.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "format_version": 9}))
    with pytest.raises(CheckpointError, match="format version 9"):
        read_record(tmp_path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_record(tmp_path)
