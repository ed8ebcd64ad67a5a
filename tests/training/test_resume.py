"""k + k steps with a resume equal 2k steps to the bit, wherever the cut falls."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memshadow.errors import CheckpointError

_FILE = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="module")
def toy():
    spec = importlib.util.spec_from_file_location("toy", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Cut(Exception):
    """Stands for whatever ends a process at a given step."""


def cut_at(toy, folder, step, **changed):
    class Cutting(toy.Module):
        def on_train_batch_start(self, batch, index):
            if self.global_step == step:
                raise Cut

    learner = toy.Toy()
    learner.module = Cutting
    with pytest.raises(Cut):
        toy.go(folder, learner, **changed)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    toy.go(folder)
    return toy.digest(folder)


def test_two_runs_of_one_seed_are_equal_and_another_seed_is_not(toy, whole, tmp_path):
    toy.go(tmp_path / "same")
    toy.go(tmp_path / "other", seed=8)
    assert toy.digest(tmp_path / "same") == whole != toy.digest(tmp_path / "other")


@pytest.mark.parametrize("step", [2, 5, 19, 20, 21, 40, 59])
def test_a_cut_anywhere_leaves_no_trace(toy, whole, tmp_path, step):
    cut_at(toy, tmp_path, step)
    result = toy.go(tmp_path)
    assert toy.digest(tmp_path) == whole
    assert result.steps == 60
    assert len(result.history) == 3


def test_two_cuts_and_another_rhythm_of_saving_leave_no_trace(toy, whole, tmp_path):
    cut_at(toy, tmp_path, 11)
    cut_at(toy, tmp_path, 33, save_every_steps=1)
    toy.go(tmp_path, save_every_steps=7)
    assert toy.digest(tmp_path) == whole


def test_more_epochs_later_equal_more_epochs_at_once(toy, tmp_path):
    toy.go(tmp_path / "later", toy.Toy(2))
    toy.go(tmp_path / "later", toy.Toy(4))
    toy.go(tmp_path / "once", toy.Toy(4))
    assert toy.digest(tmp_path / "later") == toy.digest(tmp_path / "once")


def test_a_run_that_stopped_early_does_not_start_again(toy, tmp_path):
    before = toy.go(tmp_path, toy.Toy(9, patience=2, worse=True))
    after = toy.go(tmp_path, toy.Toy(9, patience=2, worse=True))
    assert (before.epochs, after.epochs, after.resumed) == (3, 3, True)
    assert (before.best_epoch, after.best_epoch) == (0, 0)
    assert before.history == after.history


def test_the_export_is_of_the_best_epoch(toy, tmp_path):
    toy.go(tmp_path / "best", toy.Toy(5, patience=2, worse=True))
    toy.go(tmp_path / "first", toy.Toy(1, worse=True))
    assert toy.digest(tmp_path / "best") == toy.digest(tmp_path / "first")


def test_a_damaged_state_costs_steps_but_not_the_result(toy, whole, tmp_path, caplog):
    cut_at(toy, tmp_path, 33)
    newest = max((tmp_path / "state").glob("[0-9]*")) / "tensors.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    toy.go(tmp_path)
    assert "is damaged" in caplog.text
    assert toy.digest(tmp_path) == whole


def test_a_state_of_another_model_or_seed_is_refused(toy, tmp_path):
    cut_at(toy, tmp_path, 5)
    with pytest.raises(CheckpointError, match=r"another model: net.0.bias has shape \(16,\) there and \(32,\) now"):
        toy.go(tmp_path, toy.Toy(width=32))
    with pytest.raises(CheckpointError, match="seed 7"):
        toy.go(tmp_path, seed=8)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_with_the_same_weights(tmp_path):
    done = subprocess.run(
        [sys.executable, str(_FILE), str(tmp_path), "20", "1"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    digests = {digest for word, digest, *_ in lines if word in ("whole", "killed")}
    assert len(digests) == 1, done.stdout
    assert lines[-1][:2] == ["kills", "20"]
    assert int(lines[-1][2]) >= 5, "too few kills came after the first state"
