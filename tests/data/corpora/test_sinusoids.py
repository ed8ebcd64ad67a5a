"""Sine waves as a choice of data; that parts never meet is held for every corpus of tasks in test_corpus_contract."""

from __future__ import annotations

import numpy as np
import pytest

from memshadow.cli import main
from memshadow.data.corpora.base import TaskCorpus
from memshadow.data.corpora.sinusoids import Sinusoids
from memshadow.data.episodes import SinusoidEpisodes
from memshadow.errors import DataError

RANGES = {"amplitude": [0.1, 5.0], "phase": [0.0, 3.0], "inputs": [-5.0, 5.0]}


def test_the_ranges_reach_the_tasks() -> None:
    corpus = Sinusoids(**(RANGES | {"amplitude": [2.0, 2.0], "phase": [0.0, 0.0], "inputs": [1.0, 1.5]}))
    assert isinstance(corpus, TaskCorpus)
    x, y, *_ = corpus.episodes("valid", shots=50, queries=1).batch(0, tasks=3, seed=0)
    assert 1.0 <= x.min() < x.max() <= 1.5
    assert np.allclose(y, 2 * np.sin(x), atol=1e-6)


def test_train_is_the_plain_stream() -> None:
    mine = Sinusoids(**RANGES).episodes("train", shots=2, queries=3).batch(4, tasks=2, seed=1)
    plain = SinusoidEpisodes(shots=2, queries=3, phase=(0.0, 3.0)).batch(4, tasks=2, seed=1)
    assert all((a == b).all() for a, b in zip(mine, plain, strict=True))


def test_the_fingerprint_is_of_the_ranges() -> None:
    prints = {Sinusoids(**(RANGES | {"phase": phase})).fingerprint for phase in ([0.0, 3.0], [0.0, 2.0], [1.0, 3.0])}
    assert len(prints) == 3
    assert Sinusoids(**RANGES).fingerprint == Sinusoids(**{k: tuple(v) for k, v in RANGES.items()}).fingerprint


def test_a_range_that_runs_backwards_is_refused_at_once() -> None:
    with pytest.raises(DataError, match=r"inputs=\[5\.0, -5\.0\]"):
        Sinusoids(**(RANGES | {"inputs": [5.0, -5.0]}))


def test_they_are_listed_and_shown_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "sinusoids", "n=2"]) in (None, 0)
    shown = capsys.readouterr().out
    assert "sinusoids  (tasks, fingerprint " in shown
    assert shown.count("task ") == 2
    assert shown.count(" -> ") == 10
