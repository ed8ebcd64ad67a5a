"""Attention over a set: no order, no strangers, and the same numbers with torch and without."""

# ruff: noqa: E402 - what may be missing is asked for first

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

from memshadow.errors import ConfigError
from memshadow.memory.recall.examples import Example
from memshadow.memory.recall.rankers.listwise import LIMIT, SetTransformer
from memshadow.memory.recall.rankers.listwise_learner import listwise_loss, padded, spread
from memshadow.memory.recall.rankers.nets import AttentionNet, LinearNet, Spread

FEATURES = 7


def net(seed=0, **changed):
    """Return attention with random weights: at first it says nothing."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2, FEATURES).astype(np.float32)
    at = Spread(rng.normal(size=FEATURES).astype(np.float32), scale)
    made = AttentionNet(at, **({"width": 12, "heads": 3, "layers": 2, "dropout": 0.5} | changed))
    with torch.no_grad():
        for part in made.parameters():
            part.add_(torch.randn_like(part) / 2)
    return made.eval()


def table(count, seed=0, scale=2.0):
    return np.random.default_rng(seed).normal(0, scale, (FEATURES, count)).astype(np.float32)


def said(of, *tables):
    """Return what torch makes of some questions in one batch."""
    widest = max(one.shape[1] for one in tables)
    there = torch.zeros(len(tables), widest, dtype=torch.bool)
    rows = torch.full((len(tables), widest, FEATURES), 99.0)  # what is not there may be anything
    for row, one in enumerate(tables):
        there[row, : one.shape[1]] = True
        rows[row, : one.shape[1]] = torch.from_numpy(one.T)
    with torch.no_grad():
        found = of(rows, there).numpy()
    return [scores[: one.shape[1]] for scores, one in zip(found, tables, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 120),
    seed=st.integers(0, 99),
    heads=st.sampled_from([1, 2, 4]),
    layers=st.integers(1, 3),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
)
def test_torch_and_numpy_say_the_same(count, seed, heads, layers, scale):
    of = net(seed, width=8, heads=heads, layers=layers)
    given_ = table(count, seed, scale)
    (expected,) = said(of, given_)
    found = SetTransformer.of(of.tensors()).scores(given_)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_order_of_the_candidates_does_not_matter():
    of = SetTransformer.of(net().tensors())
    given_ = table(50)
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_allclose(of.scores(given_[:, order]), of.scores(given_)[order], atol=1e-5)


def test_each_candidate_is_seen_beside_all_others():
    of = SetTransformer.of(net().tensors())
    given_ = table(20)
    changed = given_.copy()
    changed[:, 19] += 1
    assert np.abs(of.scores(changed)[:19] - of.scores(given_)[:19]).min() > 1e-6


def test_what_is_not_there_changes_nothing():
    of = net()
    short, long = table(3), table(30, 1)
    together, _ = said(of, short, long)
    np.testing.assert_allclose(together, said(of, short)[0], atol=1e-5)


def test_an_untrained_net_says_nothing():
    at = Spread(np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32))
    for made in (LinearNet(at), AttentionNet(at, width=8, heads=2, layers=1, dropout=0.0)):
        assert not said(made.eval(), table(9))[0].any()


def test_a_feature_far_out_tells_no_more_than_its_limit_and_one_that_never_differed_nothing():
    made = net()
    made.scale[2] = 0.0
    of = SetTransformer.of(made.tensors())
    given_ = table(10)
    edge, beyond, other = given_.copy(), given_.copy(), given_.copy()
    edge[0, 4] = made.mean[0] + LIMIT / made.scale[0]
    beyond[0, 4] = 1e6
    other[2] = 1e6
    np.testing.assert_allclose(of.scores(edge), of.scores(beyond), atol=1e-4)
    assert of.scores(other).tolist() == of.scores(given_).tolist()


@pytest.mark.parametrize(
    "changed", [{"width": 10}, {"width": 2}, {"heads": 0}, {"layers": 0}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_a_shape_that_cannot_be_is_refused(changed):
    with pytest.raises(ConfigError, match="needed: a layer and a head or more, a width that the heads divide"):
        net(**changed)


def example(count, gold, seed=0):
    right = np.zeros(count, dtype=bool)
    right[gold] = True
    plain = np.random.default_rng(seed).normal(size=count).astype(np.float32)
    names = {"missed": 0, "likeness": (), "corpus": "", "conversation": "", "question": ""}
    return Example(table=table(count, seed), plain=plain, gold=right, **names)


def test_the_loss_by_hand():
    found = [example(3, [1]), example(5, [0, 4], 1)]
    batch = padded(found, [1.0, 3.0])
    scores = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))

    def cross_entropy(row, count, gold):
        chances = np.exp(row[:count]) / np.exp(row[:count]).sum()
        return -np.mean(np.log(chances[gold]))

    first, second = cross_entropy(scores[0].numpy(), 3, [1]), cross_entropy(scores[1].numpy(), 5, [0, 4])
    assert listwise_loss(scores, batch).item() == pytest.approx((first + 3 * second) / 4, rel=1e-6)


def test_what_is_not_there_learns_nothing():
    batch = padded([example(3, [1]), example(5, [0], 1)], [1.0, 1.0])
    scores = torch.zeros(2, 5, requires_grad=True)
    listwise_loss(scores, batch).backward()
    assert scores.grad[0, 3:].tolist() == [0.0, 0.0]
    assert scores.grad[0, 1] < 0 < scores.grad[0, 0]


def test_a_batch_holds_each_question_and_nothing_else():
    found = [example(3, [1]), example(5, [0, 4], 1)]
    batch = padded(found, [1.0, 2.0])
    assert batch.there.sum(1).tolist() == [3, 5]
    assert batch.gold.tolist() == [[0, 1, 0, 0, 0], [0.5, 0, 0, 0, 0.5]]
    np.testing.assert_array_equal(batch.table[0, :3].numpy().T, found[0].table)
    assert not batch.table[0, 3:].any()
    assert not batch.plain[0, 3:].any()


def test_the_spread_is_of_all_candidates_and_each_question_counts_by_its_weight():
    found = [example(40, [1]), example(40, [1], 1)]
    for one in found:
        one.table[3] = 0.1
    both = np.concatenate([one.table for one in found], axis=1).astype(np.float64)
    at = spread(found, np.ones(2))
    np.testing.assert_allclose(at.mean, both.mean(axis=1), rtol=1e-5)
    told = np.arange(FEATURES) != 3
    np.testing.assert_allclose(at.scale[told], 1 / both.std(axis=1)[told], rtol=1e-5)
    assert at.scale[3] == 0
    np.testing.assert_allclose(spread(found, np.array([1.0, 0.0])).mean, found[0].table.mean(axis=1), rtol=1e-4)


def test_rounding_does_not_make_a_constant_a_feature():
    found = [example(count, [1], count) for count in range(3, 20)]
    for one in found:
        one.table[3] = 1.7
    for seed in range(20):
        weights = np.random.default_rng(seed).uniform(0.1, 1, len(found))
        assert spread(found, weights).scale[3] == 0


def test_a_linear_net_orders_by_features_as_they_are():
    at = spread([example(40, [1])], np.ones(1))
    made = LinearNet(at)
    with torch.no_grad():
        made.weight.copy_(torch.randn(FEATURES, generator=torch.Generator().manual_seed(0)))
    given_ = table(20, 5)
    difference = made.tensors()["weight"] @ given_ - said(made, given_)[0]
    np.testing.assert_allclose(difference, difference[0], atol=1e-4)
