"""Figures and intervals, held to slow definitions and, where one is here, to a referee outside the project."""

import importlib.util
import math
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from memshadow.models.metrics import estimate, ndcg, prompt_tokens, score_ranking, spearman

REFEREE = Path(os.environ.get("MEMSHADOW_REFEREE", Path(__file__).parents[3] / "shared/referee/retrieval.py"))


@pytest.fixture(scope="module")
def referee():
    """The scoring script of somebody else."""
    if not REFEREE.is_file():
        pytest.skip(f"NOT COMPARED with the referee: no {REFEREE.name} here; MEMSHADOW_REFEREE=FILE names one")
    spec = importlib.util.spec_from_file_location("referee", REFEREE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@st.composite
def rankings(draw):
    """A ranking of some of a conversation's memories, what is gold, what each costs, where each was said."""
    ids = [f"m{i}" for i in range(draw(st.integers(1, 70)))]
    ranked = draw(st.permutations(ids))[: draw(st.integers(0, len(ids)))]
    gold = draw(st.sets(st.sampled_from(ids), min_size=1, max_size=14))
    cost = {i: draw(st.integers(1, 130)) for i in ids}
    session = {i: draw(st.sampled_from(["s1", "s2", "s3"])) for i in ids}
    return ranked, gold, cost, session


def slow(ranked, gold, cost, session):
    """Every figure straight from its definition."""
    row = {f"recall@{k}": len(gold & set(ranked[:k])) / len(gold) for k in (1, 5, 10, 20, 50)}
    row |= {f"hit@{k}": 1.0 if gold & set(ranked[:k]) else 0.0 for k in (1, 5, 10)}
    row["mrr"] = max((1 / (ranked.index(g) + 1) for g in gold if g in ranked), default=0.0)
    gains = [1 if m in gold else 0 for m in ranked[:10]]
    ideal = ([1] * len(gold))[:10]
    dcg, best = (sum(gain / math.log2(place + 2) for place, gain in enumerate(g)) for g in (gains, ideal))
    row["ndcg@10"] = dcg / best
    for budget in (256, 512, 1024):
        kept = [ranked[:n] for n in range(len(ranked) + 1) if sum(cost[m] for m in ranked[:n]) <= budget][-1]
        row[f"er@{budget}"] = len(gold & set(kept)) / len(gold)
    row["session_hit@1"] = float(any(session[g] == session[m] for m in ranked[:1] for g in gold))
    return row


@settings(max_examples=60, deadline=None)
@given(rankings())
def test_every_figure_is_its_definition(case):
    ranked, gold, cost, session = case
    found, expected = score_ranking(ranked, gold, cost=cost, session=session), slow(*case)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-12)
    assert all(0 <= value <= 1 for value in found.values())


def test_every_figure_is_the_referees(referee):
    @settings(max_examples=60, deadline=None)
    @given(rankings())
    def same(case):
        ranked, gold, cost, session = case
        found = score_ranking(ranked, gold, cost=cost, session=session)
        assert found == pytest.approx(referee.score(ranked, gold, cost, session), abs=1e-9)

    same()


def test_the_interval_is_the_referees(referee):
    rng = np.random.default_rng(3)
    for size, conversations in ((1, 1), (7, 1), (40, 3), (400, 10)):
        groups = [f"c{i}" for i in rng.integers(0, conversations, size)]
        values = rng.uniform(size=size)
        found = estimate(values, groups)
        assert [round(found.low, 4), round(found.high, 4)] == pytest.approx(referee.interval(groups, values), abs=1e-9)
        assert found.mean == pytest.approx(values.mean(), abs=1e-12)


def test_by_hand():
    cost, session = dict.fromkeys("abcd", 200), {"a": "1", "b": "1", "c": "2", "d": "2"}
    row = score_ranking("bacd", {"a", "d"}, cost=cost, session=session)
    assert row["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3)))
    assert (row["recall@1"], row["recall@5"], row["hit@1"], row["hit@5"], row["mrr"]) == (0, 1, 0, 1, 0.5)
    assert (row["er@256"], row["er@512"], row["er@1024"], row["session_hit@1"]) == (0, 0.5, 1, 1)


def test_a_budget_may_be_used_up_and_ends_at_the_first_that_does_not_fit():
    cost, session = {"a": 128, "b": 128, "c": 500, "d": 1}, dict.fromkeys("abcd", "s")
    row = score_ranking("abcd", {"b", "d"}, cost=cost, session=session)
    assert (row["er@256"], row["er@512"], row["er@1024"]) == (0.5, 0.5, 1)


def test_a_ranking_without_anything_scores_zero():
    assert not any(score_ranking([], {"a"}, cost={"a": 1}, session={"a": "1"}).values())


def test_ndcg_is_1_for_gold_first_and_needs_no_more_than_k():
    assert ndcg([0, 1, 2], 3) == 1
    assert ndcg(list(range(10)), 25) == pytest.approx(1)
    assert ndcg([10], 1) == 0
    assert ndcg([1], 1, k=1) == 0


def test_a_memory_costs_a_quarter_of_its_characters():
    assert [prompt_tokens("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_the_interval_draws_whole_conversations():
    values = np.array([1.0] * 50 + [0.0] * 50)
    apart = estimate(values, ["a"] * 50 + ["b"] * 50)
    assert (apart.low, apart.mean, apart.high, apart.n) == (0.0, 0.5, 1.0, 100)
    loose = estimate(values, [str(i) for i in range(100)])
    assert 0.3 < loose.low < 0.5 < loose.high < 0.7
    alone = estimate(values, ["a"] * 100)
    assert alone.low == alone.mean == alone.high


def test_the_interval_is_the_same_each_time_and_in_any_order_of_conversations():
    rng = np.random.default_rng(0)
    values, groups = rng.uniform(size=60), [f"c{i % 7}" for i in range(60)]
    first = estimate(values, groups)
    order = rng.permutation(60)
    again = estimate(values[order], [groups[i] for i in order])
    assert (first.low, first.high) == pytest.approx((again.low, again.high), abs=1e-12)
    assert str(first).startswith(f"{first.mean:.3f} [")


@pytest.mark.parametrize(("values", "groups"), [([], []), ([1.0], []), ([1.0], ["a", "b"])])
def test_values_without_their_groups_are_refused(values, groups):
    with pytest.raises(ValueError, match=f"{len(values)} values with {len(groups)} group names"):
        estimate(np.array(values), groups)


def slow_spearman(first, second):
    """Pearson's correlation of ranks, each the mean of the places that its value could take."""
    ranks = [[sum(b < a for b in side) + (sum(b == a for b in side) - 1) / 2 for a in side] for side in (first, second)]
    means = [sum(r) / len(r) for r in ranks]
    gaps = [[x - m for x in r] for r, m in zip(ranks, means, strict=True)]
    top = sum(x * y for x, y in zip(*gaps, strict=True))
    below = math.sqrt(math.prod(sum(x * x for x in g) for g in gaps))
    return top / below if below else 0.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.floats(-2, 2, width=16)), min_size=1, max_size=30))
def test_spearman_shares_ranks_among_ties(pairs):
    first, second = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    assert spearman(first, second) == pytest.approx(slow_spearman(first.tolist(), second.tolist()), abs=1e-12)


def test_spearman_sees_order_only():
    values = np.array([3.0, 1.0, 2.0, 9.0])
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert spearman(values, -values) == pytest.approx(-1)
    assert spearman(values, np.ones(4)) == 0
    for a, b in product(([1.0],), ([5.0],)):
        assert spearman(np.array(a), np.array(b)) == 0
