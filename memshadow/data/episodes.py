"""Draws few-shot tasks: a support set to learn from and a query set to be asked. Takes arrays; knows nothing of text.

Batch ``number`` of a ``seed`` depends on these two alone, never on the batches drawn before it: a resumed run needs
no state of its sampler, and two algorithms can be given the very same tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy import ndarray

from memshadow.errors import DataError


class Tasks(NamedTuple):
    """One batch of t tasks, in the words of MAML (Finn et al. 2017, arXiv 1703.03400); targets follow their inputs."""

    support: Float32[ndarray, "t s d"]
    support_targets: Float32[ndarray, "t s o"] | Int64[ndarray, "t s"]
    """Values to regress on, or classes 0 to ways - 1."""
    query_set: Float32[ndarray, "t q d"]
    query_targets: Float32[ndarray, "t q o"] | Int64[ndarray, "t q"]


@runtime_checkable
class Episodes(Protocol):
    """A source of tasks. The same arguments give the same bits; ``seed`` and ``number`` are whole numbers from 0."""

    name: str

    def batch(self, number: int, *, tasks: int, seed: int) -> Tasks:
        """Return batch ``number`` of ``tasks`` tasks; raise ``DataError`` where a number is out of its range."""
        ...


class SinusoidEpisodes:
    """Sine waves to regress: y = a sin(x - p), one a and p a task (Finn et al. 2017, section 5.1).

    Args:
        shots: Points in a support set.
        queries: Points in a query set.
        amplitude: Lowest and highest a; drawn uniformly, as are p and x.
        phase: Lowest and highest p, in radians.
        inputs: Lowest and highest x.
        stream: Sources of different streams never draw the same tasks: one for training, one for testing.

    Raises:
        DataError: A number is out of its range, or a range runs backwards.
    """

    def __init__(
        self,
        *,
        shots: int,
        queries: int,
        amplitude: Sequence[float] = (0.1, 5.0),
        phase: Sequence[float] = (0.0, pi),
        inputs: Sequence[float] = (-5.0, 5.0),
        stream: int = 0,
    ) -> None:
        self._shots = _at_least(1, "shots", shots)
        self._queries = _at_least(1, "queries", queries)
        self._amplitude = _range("amplitude", amplitude)
        self._phase = _range("phase", phase)
        self._inputs = _range("inputs", inputs)
        self._stream = _at_least(0, "stream", stream)
        self.name = f"sinusoids {shots}-shot"

    def batch(self, number: int, *, tasks: int, seed: int) -> Tasks:
        """Return ``tasks`` waves, [t shots 1] and [t queries 1]."""
        chance = _chance(seed, number, self._stream)
        waves = (_at_least(1, "tasks", tasks), 1, 1)
        amplitude, phase = _uniform(chance, self._amplitude, waves), _uniform(chance, self._phase, waves)
        x = _uniform(chance, self._inputs, (tasks, self._shots + self._queries, 1))
        y = amplitude * np.sin(x - phase)
        s = self._shots
        return Tasks(x[:, :s], y[:, :s], x[:, s:], y[:, s:])


class ClassEpisodes:
    """N-way K-shot tasks over rows with labels: ``ways`` classes, and of each ``shots`` and ``queries`` other rows.

    Which classes a task has, which number 0 to ways - 1 each is given, and which of its rows are drawn, without
    repetition, are drawn anew for each task. Support and query set go class by class, the lowest number first.

    Args:
        rows: What a text became, e.g. the vectors of a frozen encoder; copied, sorted by class.
        labels: The class of each row: strings or whole numbers.
        ways: Classes in a task; None takes all.
        shots: Rows of each class in the support set.
        queries: Rows of each class in the query set; None takes all the rest, as many as the smallest class has.

    Raises:
        DataError: A row is not finite, rows and labels differ in number, there are fewer classes than ``ways``, or a
            class (named in the message) has too few rows.
    """

    def __init__(
        self,
        *,
        rows: Float32[ndarray, "n d"],
        labels: Sequence[Any] | ndarray,
        ways: int | None,
        shots: int,
        queries: int | None,
    ) -> None:
        _check(rows, labels)
        classes, place, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        self.classes: list[Any] = classes.tolist()
        self.ways = _ways(ways, len(self.classes))
        self._shots = _at_least(1, "shots", shots)
        asked = 1 if queries is None else _at_least(1, "queries", queries)
        _need(self.classes, counts, shots, asked)
        self._queries = int(counts.min()) - shots if queries is None else queries
        self._rows = np.asarray(rows, np.float32)[np.argsort(place, kind="stable")]
        self._counts, self._starts = counts, np.cumsum(counts) - counts
        self.name = f"{self.ways}-way {shots}-shot"

    def batch(self, number: int, *, tasks: int, seed: int) -> Tasks:
        """Return ``tasks`` tasks: a support set of ways * shots rows, a query set of ways * queries."""
        chance = _chance(seed, number, 0)
        shape = (_at_least(1, "tasks", tasks), len(self.classes))
        classes = chance.random(shape, dtype=np.float32).argsort(axis=1)[:, : self.ways]
        drawn = distinct(self._counts[classes.ravel()], self._shots + self._queries, chance)
        places = (drawn + self._starts[classes.ravel(), None]).reshape(tasks, self.ways, -1)
        support, queries = places[..., : self._shots], places[..., self._shots :]
        return Tasks(*self._of(support), *self._of(queries))

    def _of(self, places: Int64[ndarray, "t w k"]) -> tuple[Float32[ndarray, "t n d"], Int64[ndarray, "t n"]]:
        tasks, ways, each = places.shape
        targets = np.tile(np.arange(ways).repeat(each), (tasks, 1))
        return self._rows.take(places.reshape(tasks, -1), axis=0), targets


def distinct(counts: Int64[ndarray, " m"], k: int, chance: np.random.Generator) -> Int64[ndarray, "m k"]:
    """Return for each count n a random sequence of ``k`` different whole numbers below n; needs k <= n.

    Each of the sequences is as likely as any other: Floyd's subset (Bentley and Floyd, CACM 30(9), 1987), shuffled.
    Its cost does not grow with n.
    """
    highest = counts - k + np.arange(k)[:, None]
    drawn = (chance.random((k, len(counts))) * (highest + 1)).astype(np.int64)
    for i in range(1, k):
        np.copyto(drawn[i], highest[i], where=(drawn[:i] == drawn[i]).any(axis=0))
    order = chance.random((len(counts), k), dtype=np.float32).argsort(axis=1)
    return np.take_along_axis(drawn.T, order, axis=1)


def _chance(seed: int, number: int, stream: int) -> np.random.Generator:
    numbers = _at_least(0, "seed", seed), _at_least(0, "number", number)
    return np.random.default_rng((*numbers, stream) if stream else numbers)


def _uniform(chance: np.random.Generator, ends: tuple[float, float], shape: tuple[int, ...]) -> Float32[ndarray, "..."]:
    low, high = ends
    return np.float32(low) + np.float32(high - low) * chance.random(shape, dtype=np.float32)


def _at_least(least: int, what: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < least:
        raise DataError(f"{what} is a whole number from {least}; {what}={given!r} came")
    return int(given)


def _range(what: str, given: Sequence[float]) -> tuple[float, float]:
    if len(given) != 2 or not np.isfinite(given).all() or not given[0] <= given[1]:
        raise DataError(f"{what} is a lowest and a highest number, e.g. [0, 1]; {what}={list(given)} came")
    return float(given[0]), float(given[1])


def _check(rows: Float[ndarray, "n d"], labels: Sequence[Any] | ndarray) -> None:
    if rows.ndim != 2:
        raise DataError(f"rows are needed as [n d], one a text; an array of shape {list(rows.shape)} came")
    if len(rows) != len(labels):
        raise DataError(f"each row needs one label; {len(rows)} rows and {len(labels)} labels came")
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if broken.size:
        raise DataError(f"{broken.size} of {len(rows)} rows are not finite, row {broken[0]} first; encode them again")


def _ways(ways: int | None, classes: int) -> int:
    if classes < 2:
        raise DataError(f"a task needs two classes or more; the labels have {classes}")
    wanted = classes if ways is None else _at_least(2, "ways", ways)
    if wanted > classes:
        raise DataError(f"ways={wanted} came, but the labels have {classes} classes; say ways={classes} or fewer")
    return wanted


def _need(classes: list[Any], counts: Int64[ndarray, " c"], shots: int, queries: int) -> None:
    smallest = int(counts.argmin())
    few = int((counts < shots + queries).sum())
    if few:
        raise DataError(
            f"class {classes[smallest]!r} has {counts[smallest]} rows; shots={shots} and queries={queries} need "
            f"{shots + queries}. {few} of {len(classes)} classes have too few: draw fewer, or leave them out"
        )
