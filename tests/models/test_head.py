"""The head learns, and what it learned is what is served."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from memshadow.models.hashing import HashingEmbedder
from memshadow.models.head import HeadModule, ProjectionHead, blended, chosen_blend, question_ndcg
from memshadow.models.head_learner import FeatureStore
from memshadow.models.lexical import TermStatistics, terms
from memshadow.models.metrics import score_ranking
from memshadow.models.projected import ProjectedEmbedder, Projection, ViewSettings, untrained, write_projection
from memshadow.types import Conversation, Memory, Question, in_context

DENSE = 12
SETTINGS = ViewSettings(
    before=2, after=1, context_chars=60, k1=0.9, b=0.4, mean_length=4.0, copies=4, width=64
)  # fmt: skip
WORDS = "river stone cloud tiger piano lemon train candle garden apple".split()
ENCODER = HashingEmbedder(dim=DENSE, k1=0.9, b=0.4, mean_length=4.0, copies=2)


def conversation(seed=0, turns=14):
    """Random words said in two sessions, one turn of them blank; questions are other words than their answers."""
    rng = np.random.default_rng(seed)
    said = [" ".join(rng.choice(WORDS, 3)) if i != 4 else " " for i in range(turns)]
    memories = tuple(
        Memory(
            id=f"{seed}/{i}",
            conversation_id=str(seed),
            session_id=f"s{i // 8}",
            turn=i,
            speaker="Ann" if i % 2 else "Bo",
            text=text,
        )
        for i, text in enumerate(said)
    )
    evidence = [(f"{seed}/{i}", f"{seed}/{i + 2}")[: 1 + i % 2] for i in (0, 3, 5, 9, 11)]
    questions = tuple(
        Question(id=f"q{n}", conversation_id=str(seed), text=f"{WORDS[n]} what{n} Ann", evidence=gold)
        for n, gold in enumerate(evidence)
    )
    return Conversation(id=str(seed), memories=memories, questions=questions)


def features(*seeds):
    return FeatureStore(ENCODER, SETTINGS).features([conversation(seed) for seed in seeds], "test")


def every(given):
    return given, torch.arange(len(given.queries))


def module(start=None, **changed):
    given = {"lr": 0.02, "scalar_lr": 0.02, "keep": 1.0, "pull": 0.0, "steps": 100_000, "warmup_steps": 0}
    made = HeadModule(
        start=start or untrained(DENSE, SETTINGS), make_optimizer=torch.optim.AdamW, **{**given, **changed}
    )
    made.log = lambda name, value, **_: made.logged.update({name: torch.as_tensor(value).item()})
    made.logged = {}
    return made


def fitted(made, batch, steps):
    """Train on one batch; return the loss of each step."""
    optimizer, losses = made.configure_optimizers()["optimizer"], []
    for step in range(steps):
        loss = made.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def random_weights(seed=0):
    rng = np.random.default_rng(seed)
    start = untrained(DENSE, SETTINGS)
    drawn = {name: rng.normal(size=value.shape).astype(np.float32) for name, value in start.tensors().items()}
    drawn["scales"] = np.array([-0.7, 1.3, 2.0, 0.6], dtype=np.float32)  # the last two are positive: exp of a weight
    return Projection(**drawn)


def trained_scores(weights, given):
    head = ProjectionHead(weights).eval()
    with torch.no_grad():
        return (head.dense(*every(given)) + head.lexical(*every(given))).numpy()


def served_scores(weights, talk, folder, dim=DENSE + 64):
    """Scores of the exported model's vectors, as a search would have them."""
    memories = talk.memories
    statistics = TermStatistics.of(terms(m.rendered()) for m in memories)
    write_projection(folder, weights, SETTINGS, statistics, ENCODER)
    embedder = ProjectedEmbedder(encoder=ENCODER, model=str(folder), dim=dim, views={})
    before, after = embedder.reach
    rows = embedder.embed_passages(in_context(memories, before=before, after=after))
    return embedder.embed_queries([q.text for q in talk.questions], statistics=statistics) @ rows.T


def test_what_is_served_is_what_was_trained(tmp_path):
    for number, weights in enumerate((untrained(DENSE, SETTINGS), random_weights())):
        expected = trained_scores(weights, features(0)[0])
        exported = ProjectionHead(weights).projection()
        np.testing.assert_allclose(
            served_scores(exported, conversation(), tmp_path / str(number)), expected, rtol=1e-4, atol=1e-4
        )
        assert abs(expected).max() > 1


def test_each_block_is_served_as_it_was_trained(tmp_path):
    weights, given = random_weights(), features(0)[0]
    with torch.no_grad():
        dense = ProjectionHead(weights).dense(*every(given)).numpy()
    served = served_scores(weights, conversation(), tmp_path, dim=DENSE)
    np.testing.assert_allclose(served, dense, rtol=1e-4, atol=1e-4)


def test_the_weights_come_back_as_they_went_in():
    weights = random_weights()
    for name, value in ProjectionHead(weights).projection().tensors().items():
        np.testing.assert_allclose(value, getattr(weights, name), rtol=1e-6, err_msg=name)


def test_one_batch_is_overfitted():
    given = features(0)[0]
    made = module()
    losses = fitted(made, every(given), 150)
    least = -(given.gold * given.gold.clamp(min=1e-9).log()).sum(-1).mean().item()
    assert losses[0] - least > 1
    assert losses[-1] - least < 0.05
    made.validation_step(every(given), 0)
    made.on_validation_epoch_end()
    assert made.logged["val/ndcg@10"] == pytest.approx(1)


def test_the_same_seed_gives_the_same_weights():
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made = module(keep=0.5)
        fitted(made, every(features(0)[0]), 5)
        found.append(made.head.projection().tensors())
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)
    assert not np.array_equal(found[0]["query"], found[2]["query"])


def test_every_weight_gets_a_gradient():
    made = module()
    made.training_step(every(features(0)[0]), 0).backward()
    gradients = {name: float(p.grad.abs().sum()) for name, p in made.head.named_parameters()}
    assert len(gradients) == 7
    assert all(value > 0 for value in gradients.values()), gradients
    assert all((made.head.dense_lags.grad != 0).tolist())
    assert all((made.head.word_lags.grad != 0).tolist())


def test_columns_are_dropped_in_training_only():
    given = features(0)[0]
    head = module().head.train()
    assert not torch.equal(head.dense(*every(given), 0.5), head.dense(*every(given), 0.5))
    assert torch.equal(head.dense(*every(given)), head.dense(*every(given)))
    head.eval()
    assert torch.equal(head.dense(*every(given), 0.5), head.dense(*every(given)))


def test_the_pull_is_the_squared_distance_from_the_start():
    start = random_weights()
    plain, pulled = module(start=start), module(start=start, pull=0.5)
    batch = every(features(0)[0])
    assert pulled.training_step(batch, 0).item() == pytest.approx(plain.training_step(batch, 0).item())
    for made in (plain, pulled):
        made.head.context.data += 0.1
    gap = pulled.training_step(batch, 0).item() - plain.training_step(batch, 0).item()
    assert gap == pytest.approx(0.5 * DENSE**2 * 0.01, rel=1e-3)
    assert pulled.logged["train/loss"] == pytest.approx(plain.logged["train/loss"])


def test_the_rate_warms_up_and_falls_to_zero():
    made = module(steps=10, warmup_steps=4)
    rates = [made._rate(step) for step in range(11)]
    assert rates[:3] == sorted(rates[:3])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert (rates[0], rates[10]) == (0.25, 0)
    groups = made.configure_optimizers()["optimizer"].param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(made.parameters()))


def test_ndcg_of_scores_is_ndcg_of_the_ranking():
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.integers(0, 6, (20, 15)).astype(np.float32))  # with ties
    gold = torch.tensor((rng.uniform(size=(20, 15)) < 0.2).astype(np.float32))
    gold[:, 0] += gold.sum(-1) == 0
    found = question_ndcg(scores, gold / gold.sum(-1, keepdim=True))
    nothing = dict.fromkeys(map(str, range(15)), 1), dict.fromkeys(map(str, range(15)), "s")
    for value, row, right in zip(found, scores, gold, strict=True):
        ranked = sorted(range(15), key=lambda i: (-float(row[i]), i))
        wanted = {str(i) for i in range(15) if right[i]}
        figures = score_ranking([str(i) for i in ranked], wanted, cost=nothing[0], session=nothing[1])
        assert value == pytest.approx(figures["ndcg@10"], abs=1e-12)


def test_a_blend_of_nothing_has_the_matrices_of_the_start_and_one_of_all_is_the_trained():
    start, trained = untrained(DENSE, SETTINGS), random_weights()
    none, whole = (blended(start, trained, share=share, lexical=1.0) for share in (0.0, 1.0))
    for name in ("query", "turn", "context"):
        np.testing.assert_array_equal(getattr(none, name), getattr(start, name))
        np.testing.assert_array_equal(getattr(whole, name), getattr(trained, name))
    half = blended(start, trained, share=0.5, lexical=3.0)
    np.testing.assert_allclose(half.turn, (start.turn + trained.turn) / 2, rtol=1e-6)
    np.testing.assert_allclose(half.scales, trained.scales * [1, 1, 1, 3], rtol=1e-6)
    np.testing.assert_array_equal(half.word_lags, trained.word_lags)
    assert half.query.dtype == np.float32


def test_the_blend_that_ranks_best_held_out_is_chosen_and_the_first_of_equals():
    held_out = features(0, 1)
    start = untrained(DENSE, SETTINGS)
    worse = replace(start, query=-start.query, turn=start.turn)
    grid = [(1.0, 1.0), (0.0, 1.0), (0.0, 1.5)]

    def quality(blend):
        weights = blended(start, worse, share=blend[0], lexical=blend[1])
        values = [
            v for g in held_out for v in question_ndcg(torch.from_numpy(trained_scores(weights, g)), g.gold)
        ]  # fmt: skip
        return np.mean(values)

    qualities = [quality(blend) for blend in grid]
    assert chosen_blend(start, worse, held_out, grid) == grid[int(np.argmax(qualities))]
    assert max(qualities) > qualities[0]
    assert chosen_blend(start, start, held_out, [(0.5, 1.0), (1.0, 1.0)]) == (0.5, 1.0)
