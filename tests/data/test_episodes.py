"""Tasks: the same for the same numbers, of the right classes, drawn fairly, and refused where they cannot be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memshadow.data.episodes import ClassEpisodes, Episodes, SinusoidEpisodes, Tasks, distinct
from memshadow.errors import DataError

COUNTS = {"blue": 9, "red": 6, "green": 12, "grey": 7}
LABELS = [name for name, count in COUNTS.items() for _ in range(count)]
ROWS = np.stack([np.arange(len(LABELS)), [list(COUNTS).index(name) for name in LABELS]], axis=1).astype(np.float32)
"""Row i is (i, the place of its class in COUNTS): a task shows what was drawn."""


def colours(**changes: Any) -> ClassEpisodes:
    return ClassEpisodes(**({"rows": ROWS, "labels": LABELS, "ways": 3, "shots": 2, "queries": 4} | changes))


def waves(**changes: Any) -> SinusoidEpisodes:
    return SinusoidEpisodes(**({"shots": 5, "queries": 10} | changes))


def same(one: Tasks, other: Tasks) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("make", [colours, waves])
def test_a_batch_depends_on_seed_and_number_alone(make: Any) -> None:
    fresh, used = make(), make()
    assert isinstance(fresh, Episodes)
    for number in range(5):
        used.batch(number, tasks=3, seed=8)
    assert same(fresh.batch(5, tasks=2, seed=7), used.batch(5, tasks=2, seed=7))
    others = [fresh.batch(6, tasks=2, seed=7), fresh.batch(5, tasks=2, seed=8), fresh.batch(7, tasks=2, seed=5)]
    assert not any(same(fresh.batch(5, tasks=2, seed=7), other) for other in others)


@pytest.mark.parametrize("make", [colours, waves])
@pytest.mark.parametrize("words", [{"number": -1}, {"seed": -1}, {"tasks": 0}, {"seed": 1.5}, {"tasks": True}])
def test_numbers_out_of_range_are_named(make: Any, words: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(words))}="):
        make().batch(**({"number": 0, "tasks": 1, "seed": 0} | words))


def test_sinusoids_are_sine_waves_of_one_amplitude_and_phase_a_task() -> None:
    tasks = waves(shots=6, queries=14).batch(0, tasks=200, seed=0)
    assert [(array.shape, array.dtype) for array in tasks] == [
        ((200, n, 1), np.dtype(np.float32)) for n in (6, 6, 14, 14)
    ]
    x, y = (np.concatenate(pair, axis=1)[..., 0].astype(np.float64) for pair in (tasks[::2], tasks[1::2]))
    # a sin(x - p) = u sin x + v cos x: two unknowns, fitted on the support set, hold on the query set
    amplitudes, phases = [], []
    for points, values in zip(x, y, strict=True):
        basis = np.stack([np.sin(points), np.cos(points)], axis=1)
        u, v = np.linalg.lstsq(basis[:6], values[:6])[0]
        assert np.allclose(basis @ (u, v), values, atol=1e-3)
        amplitudes.append(np.hypot(u, v))
        phases.append(np.arctan2(-v, u))
    assert 0.1 <= min(amplitudes) < 0.6
    assert 4.5 < max(amplitudes) <= 5.001
    assert -0.001 <= min(phases) < 0.2
    assert 2.9 < max(phases) <= np.pi + 0.001
    assert -5 <= x.min() < -4.9 < 4.9 < x.max() <= 5


def test_streams_draw_other_tasks_and_the_first_is_the_plain_one() -> None:
    plain, *others = (waves(**more).batch(3, tasks=2, seed=1) for more in ({}, {"stream": 1}, {"stream": 2}))
    assert same(plain, waves(stream=0).batch(3, tasks=2, seed=1))
    assert not any(same(plain, other) for other in others)
    assert not same(*others)


@pytest.mark.parametrize(
    "words",
    [
        {"shots": 0},
        {"queries": 0},
        {"amplitude": (2, 1)},
        {"phase": (0, float("nan"))},
        {"inputs": [1]},
        {"stream": -1},
    ],
)
def test_sinusoids_refuse_what_is_no_range(words: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(words))}="):
        waves(**words)


def test_a_task_holds_its_classes_and_no_row_twice() -> None:
    tasks = colours().batch(0, tasks=50, seed=0)
    assert [array.shape for array in tasks] == [(50, 6, 2), (50, 6), (50, 12, 2), (50, 12)]
    assert tasks.support.dtype == np.float32
    assert tasks.query_targets.dtype == np.int64
    for support, support_targets, queries, query_targets in zip(*tasks, strict=True):
        drawn = np.concatenate([support, queries])
        targets = np.concatenate([support_targets, query_targets])
        assert len({int(row) for row in drawn[:, 0]}) == 18
        assert sorted(support_targets) == [0, 0, 1, 1, 2, 2]
        assert sorted(query_targets) == [0] * 4 + [1] * 4 + [2] * 4
        assert len({(int(colour), int(target)) for colour, target in zip(drawn[:, 1], targets, strict=True)}) == 3
        assert all((row == ROWS[int(row[0])]).all() for row in drawn)


def test_classes_are_numbered_anew_in_each_task() -> None:
    tasks = colours(ways=None).batch(0, tasks=2_400, seed=0)
    orders, counts = np.unique(tasks.support[:, ::2, 1], axis=0, return_counts=True)
    assert len(orders) == 24, "an order of the four classes never comes"
    assert counts.min() > 60
    assert counts.max() < 140


def test_every_row_is_drawn_as_often_as_any_other_of_its_class() -> None:
    """A support of 2 and queries of 4 out of n: each row is in a share of 2/n and 4/n of its class's tasks."""
    tasks = colours(ways=None).batch(0, tasks=4_000, seed=1)
    for part, each in ((tasks.support, 2), (tasks.query_set, 4)):
        drawn = np.bincount(part[..., 0].ravel().astype(int), minlength=len(ROWS)) / 4_000
        fair = np.array([each / COUNTS[name] for name in LABELS])
        assert np.abs(drawn - fair).max() < 0.04


def test_distinct_draws_every_sequence_alike() -> None:
    drawn = distinct(np.full(12_000, 4), 3, np.random.default_rng(0))
    sequences, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(sequences) == 24
    assert abs(counts - 500).max() < 100
    assert (np.sort(distinct(np.array([5, 5]), 5, np.random.default_rng(1)), axis=1) == np.arange(5)).all()


def test_all_ways_and_all_the_rest_are_cut_to_the_smallest_class() -> None:
    episodes = colours(ways=None, queries=None)
    assert episodes.batch(0, tasks=1, seed=0).query_set.shape == (1, 4 * (6 - 2), 2)
    assert (episodes.ways, episodes.classes, episodes.name) == (4, sorted(COUNTS), "4-way 2-shot")


def test_labels_may_be_numbers_and_rows_unsorted() -> None:
    order = np.random.default_rng(0).permutation(len(ROWS))
    mixed = ClassEpisodes(rows=ROWS[order], labels=ROWS[order, 1].astype(int), ways=4, shots=1, queries=1)
    tasks = mixed.batch(0, tasks=20, seed=0)
    assert (tasks.support[..., 1] == tasks.query_set[..., 1]).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shots": 3}, r"class 'red' has 6 rows; shots=3 and queries=4 need 7\. 1 of 4 classes"),
        ({"shots": 6, "queries": None}, r"class 'red' has 6 rows; shots=6 and queries=1 need 7"),
        ({"ways": 5}, r"ways=5 came, but the labels have 4 classes"),
        ({"ways": 1}, r"ways is a whole number from 2; ways=1 came"),
        ({"shots": 0}, r"shots=0"),
        ({"queries": 0}, r"queries=0"),
        ({"labels": LABELS[:-1]}, r"34 rows and 33 labels"),
        ({"labels": ["one"] * len(ROWS)}, r"two classes or more; the labels have 1"),
        ({"rows": ROWS[:, 0]}, r"\[n d\].*\[34\]"),
        ({"rows": np.where(ROWS == 7, np.nan, ROWS)}, r"1 of 34 rows are not finite, row 7 first"),
        ({"rows": ROWS[:0], "labels": []}, r"two classes or more; the labels have 0"),
    ],
)
def test_what_cannot_be_drawn_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        colours(**changes)
