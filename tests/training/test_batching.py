"""The order of batches: complete, seeded, alike in length, and resumable."""

from functools import partial

import numpy as np
import pytest

from memshadow.errors import CheckpointError
from memshadow.training.batching import BatchLoader, FixedBatches, bucketed, shuffled


def flat(batches):
    return sorted(i for batch in batches for i in batch)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_every_example_comes_once_an_epoch(count):
    lengths = np.random.default_rng(0).integers(1, 50, count).tolist()
    for epoch in range(3):
        assert flat(shuffled(epoch, count=count, batch_size=8, seed=1)) == list(range(count))
        assert flat(bucketed(epoch, lengths=lengths, batch_size=8, seed=1, pool=3)) == list(range(count))


def test_no_batch_is_of_one_and_epochs_are_as_long_as_each_other():
    assert [len(batch) for batch in shuffled(0, count=17, batch_size=8, seed=1)] == [8, 9]
    assert len({len(bucketed(e, lengths=[1, 2] * 50, batch_size=8, seed=1, pool=4)) for e in range(9)}) == 1


def test_orders_differ_by_epoch_and_seed_and_by_nothing_else():
    plan = partial(bucketed, lengths=list(range(100)), batch_size=8, pool=4)
    assert plan(1, seed=1) == plan(1, seed=1)
    assert plan(1, seed=1) != plan(2, seed=1)
    assert plan(1, seed=1) != plan(1, seed=2)


def test_buckets_save_padding():
    lengths = np.random.default_rng(0).integers(5, 120, 800).tolist()

    def padded(batches):
        return sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)

    assert padded(bucketed(0, lengths=lengths, batch_size=16, seed=0, pool=16)) < 0.65 * padded(
        bucketed(0, lengths=lengths, batch_size=16, seed=0, pool=1)
    )


def loader(seed=3, workers=0):
    plan = partial(shuffled, count=20, batch_size=4, seed=seed)
    return BatchLoader(lambda draw: (draw.indices, draw.generator().random()), plan, seed=seed, workers=workers)


def test_a_loader_goes_on_where_another_stood():
    whole = loader()
    wanted = [list(whole) for _ in range(3)]
    for epoch in range(3):
        for position in range(5):
            first = loader()
            for _ in range(epoch):
                list(first)
            walk = iter(first)
            got = [next(walk) for _ in range(position)]
            second = loader()
            second.load_state_dict(first.state_dict())
            if position:
                assert got + list(second) == wanted[epoch]
            else:  # at an epoch's end the next one begins
                assert list(second) == wanted[epoch]


def test_an_epoch_left_at_its_last_batch_is_over():
    first = loader()
    walk = iter(first)
    for _ in range(5):
        next(walk)
    whole = loader()
    assert [list(whole), list(whole)][1] == list(first)


def test_workers_make_the_same_batches_in_the_same_order():
    assert list(loader(workers=2)) == list(loader())


def test_another_seed_is_refused():
    with pytest.raises(CheckpointError, match=r"seed 3 \(now 4\)"):
        loader(seed=4).load_state_dict(loader(seed=3).state_dict())


def test_fixed_batches_are_the_same_every_time():
    batches = FixedBatches([1, 2])
    assert (list(batches), list(batches), len(batches)) == ([1, 2], [1, 2], 2)
