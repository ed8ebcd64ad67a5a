"""Which examples make up which batch, and where a training stands in that order. Knows indices and lengths, no texts.

The order of an epoch is a pure function of seed and epoch, so a position in it is two numbers, and a loader that is
told them goes on where another one stopped. A batch carries a seed of its own: what is random in making it does not
depend on which worker makes it, nor on what was made before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset

from memshadow.errors import CheckpointError

_Batch = TypeVar("_Batch")
Plan = Callable[[int], Sequence[Sequence[int]]]
"""Epoch -> the batches of that epoch, each a sequence of example indices; as many batches in every epoch."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The examples of one batch, and the seed of all that is random in making it."""

    indices: tuple[int, ...]
    seed: tuple[int, ...]

    def generator(self) -> np.random.Generator:
        """Return a new generator that gives the same numbers for the same draw."""
        return np.random.default_rng(self.seed)


def shuffled(epoch: int, *, count: int, batch_size: int, seed: int) -> list[list[int]]:
    """Return the indices 0..count-1 in random order, cut into batches.

    A last batch of one example joins the one before: contrastive losses learn nothing from a batch of one.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return _cut(order, batch_size)


def bucketed(epoch: int, *, lengths: Sequence[int], batch_size: int, seed: int, pool: int) -> list[list[int]]:
    """Return batches of like length in random order: less padding, hence more examples a second.

    Each run of ``pool`` shuffled batches is sorted by length and cut; then the batches are shuffled. ``pool`` of 1
    sorts nothing, a large one makes batches alike (and so their in-batch negatives less random).
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    size = np.asarray(lengths)
    runs = (order[i : i + pool * batch_size] for i in range(0, len(order), pool * batch_size))
    # Cutting the concatenation keeps the number of batches the same whatever the pool; ties keep the shuffled order.
    by_length = np.concatenate([run[np.argsort(size[run], kind="stable")] for run in runs]) if len(order) else order
    batches = _cut(by_length, batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


def _cut(order: np.ndarray, batch_size: int) -> list[list[int]]:
    batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        single = batches.pop()
        batches[-1] += single
    return batches


class BatchLoader(Generic[_Batch]):
    """Iterates over the batches of the present epoch from the present position; each full pass begins the next epoch.

    ``make`` turns a draw into a batch; with ``workers`` it runs in that many processes. Under a process group each rank
    gets every ``world``-th batch, the same number for all. ``state_dict`` counts the batches that were handed out, not
    those that workers prepared ahead.
    """

    def __init__(self, make: Callable[[Draw], _Batch], plan: Plan, *, seed: int, workers: int = 0) -> None:
        self._make = make
        self._plan = plan
        self._seed = seed
        self._workers = workers
        self._epoch = 0
        self._position = 0

    def __len__(self) -> int:
        """Return the number of batches in one epoch of this rank."""
        return len(self._plan(self._epoch)) // _world()[1]

    def __iter__(self) -> Iterator[_Batch]:
        if self._position >= len(self):
            self._epoch, self._position = self._epoch + 1, 0
        for batch in self._batches(self._draws()[self._position :]):
            self._position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where the loader stands."""
        return {"seed": self._seed, "epoch": self._epoch, "position": self._position, "world": _world()[1]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the loader that gave ``state`` stood.

        Raises:
            CheckpointError: it had another seed or number of processes, so its order was another one.
        """
        mine = self.state_dict()
        changed = [key for key in ("seed", "world") if state[key] != mine[key]]
        if changed:
            said = ", ".join(f"{key} {state[key]} (now {mine[key]})" for key in changed)
            raise CheckpointError(f"The state was written with {said}: resume with the same, or start a new run.")
        self._epoch, self._position = int(state["epoch"]), int(state["position"])

    def _draws(self) -> list[Draw]:
        rank, world = _world()
        seeds = ((self._seed, self._epoch, number) for number in range(world * len(self)))
        draws = [Draw(tuple(indices), seed) for indices, seed in zip(self._plan(self._epoch), seeds, strict=False)]
        return draws[rank::world]

    def _batches(self, draws: list[Draw]) -> Iterator[_Batch]:
        if not self._workers:
            return map(self._make, draws)
        return iter(
            DataLoader(
                _Made(self._make),
                sampler=draws,  # with batch_size=None a sampler may yield any key
                batch_size=None,
                num_workers=self._workers,
                collate_fn=_as_it_is,
                generator=torch.Generator(),  # its own, so that worker seeds take nothing from the global one
            )
        )


class FixedBatches(Generic[_Batch]):
    """Iterates over the same batches every time: validation data. Lightning takes a bare list for several loaders."""

    def __init__(self, batches: Sequence[_Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[_Batch]:
        return iter(self._batches)


class _Made(Dataset[_Batch]):
    def __init__(self, make: Callable[[Draw], _Batch]) -> None:
        self._make = make

    def __getitem__(self, draw: Draw) -> _Batch:
        return self._make(draw)


def _as_it_is(batch: _Batch) -> _Batch:
    return batch


def _world() -> tuple[int, int]:
    """Return rank and number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
