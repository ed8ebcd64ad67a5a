"""A user's adapter: what it promises on its own, in files, and how its start is learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from memshadow.config import build, load
from memshadow.errors import CheckpointError, ConfigError, DataError
from memshadow.meta.adapter import SHIPPED, Start, inner_steps, plain_start, read_adapter, read_start, write_start
from memshadow.meta.adapter_learner import question_ndcg
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker

DIM, MANY = 16, 40


@pytest.fixture
def user():
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(MANY, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    turn = np.linalg.qr(chance.normal(size=(DIM, DIM)))[0].astype(np.float32)
    return rows[:12] @ turn, rows  # question i asks for row i, in words that are turned away from it


def start(**changed):
    return plain_start(**({"dim": DIM, "embedder": "e", "temperature": 10.0, "rate": 1.0, "steps": 5} | changed))


def wanted(*right, n=MANY):
    shares = np.zeros((len(right), n), dtype=np.float32)
    shares[np.arange(len(right)), right] = 1
    return shares


def place_of(row, rows, right):
    return int((rows @ row > rows[right] @ row).sum())


def test_what_was_answered_is_found_better(user):
    queries, rows = user
    adapter = start().adapted(queries[:5], rows, wanted(*range(5)))
    moved = adapter.rows(start(), queries[:5])
    before = sum(place_of(queries[i], rows, i) for i in range(5))
    after = sum(place_of(moved[i], rows, i) for i in range(5))
    assert after < before / 2
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)


def test_it_is_gradient_descent_on_the_matrix(user):
    queries, rows = (torch.from_numpy(part) for part in user)
    keys, shares = queries[:4], torch.from_numpy(wanted(*range(4)))
    matrix = torch.zeros(DIM, DIM)
    for _ in range(5):
        matrix.requires_grad_()
        scores = 10.0 * (keys + keys @ matrix) @ rows.T
        loss = -(shares * scores.log_softmax(-1)).sum(-1).mean()
        matrix = (matrix - 0.1 * torch.autograd.grad(loss, matrix)[0]).detach()
    values = inner_steps(keys, keys, rows, shares, temperature=10.0, rate=1.0, steps=5, xp=torch)
    torch.testing.assert_close(keys.mT @ values, matrix, rtol=1e-4, atol=1e-5)


def test_numpy_and_torch_take_the_same_steps(user):
    queries, rows = user
    shares = wanted(0, 1, 2)
    shares[2] = -shares[2]
    given = queries[:3], queries[:3], rows, shares
    how = {"temperature": 10.0, "rate": 1.0, "steps": 5}
    mine = inner_steps(*given, **how, xp=np)
    theirs = inner_steps(*map(torch.from_numpy, given), **how, xp=torch)
    np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_what_was_wrong_sinks(user):
    queries, rows = user
    first = int((rows @ queries[0]).argmax())
    adapter = start().adapted(queries[:1], rows, -wanted(first))
    moved = adapter.rows(start(), queries[:1])[0]
    assert place_of(moved, rows, first) > 0


def test_what_sinks_is_what_was_wrong_by_its_gradient(user):
    queries, rows = (torch.from_numpy(part).double() for part in user)
    wrong = torch.zeros(1, MANY, dtype=torch.float64)
    wrong[0, [3, 7]] = 1
    given = {"temperature": 4.0, "rate": 1.0, "steps": 1, "xp": torch}
    value = inner_steps(queries[:1], queries[:1], rows, -wrong / 2, **given)[0]
    x = queries[:1].clone().requires_grad_()
    loss = -torch.log(1 - ((4.0 * x @ rows.T).softmax(-1) * wrong).sum())
    torch.testing.assert_close(value, -torch.autograd.grad(loss, x)[0][0] / 4.0)


def test_it_comes_back_from_its_file_and_is_small(user, tmp_path):
    queries, rows = user
    adapter = start().adapted(queries[:5], rows, wanted(*range(5)))
    file = tmp_path / "one.safetensors"
    adapter.write(file)
    np.testing.assert_array_equal(read_adapter(file, dim=DIM).rows(start(), queries), adapter.rows(start(), queries))
    assert file.stat().st_mode & 0o777 == 0o600
    assert adapter.size_bytes == 5 * 2 * DIM * 2 <= file.stat().st_size <= adapter.size_bytes + 400


def test_an_adapter_of_another_embedder_or_start_is_refused(user):
    queries, rows = user
    adapter = start().adapted(queries[:1], rows, wanted(0))
    for other in (start(embedder="f"), start(rate=2.0)):
        with pytest.raises(CheckpointError, match="adapt again"):
            adapter.rows(other, queries)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64, bytes(8)])
def test_a_damaged_file_is_told(content, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(CheckpointError, match="is no adapter"):
        read_adapter(tmp_path / "bad", dim=DIM)


@pytest.mark.parametrize("change", [lambda a: a[:, :7], lambda a: a * np.float16("nan"), lambda a: a[0]])
def test_a_file_that_does_not_fit_is_told(user, change, tmp_path):
    queries, rows = user
    adapter = start().adapted(queries[:2], rows, wanted(0, 1))
    replace(adapter, keys=change(adapter.keys), values=change(adapter.values)).write(tmp_path / "odd")
    with pytest.raises(CheckpointError, match="is no adapter"):
        read_adapter(tmp_path / "odd", dim=DIM)


@pytest.mark.parametrize("wrong", [{"rate": float("nan")}, {"temperature": -1.0}, {"steps": 10**9}])
def test_a_start_that_means_nothing_is_told(wrong, tmp_path):
    write_start(tmp_path, replace(start(), **wrong))
    with pytest.raises(CheckpointError, match="cannot be"):
        read_start(tmp_path)


def test_an_answer_without_a_memory_is_refused(user):
    queries, rows = user
    with pytest.raises(DataError, match="without a memory"):
        start().adapted(queries[:1], rows, np.zeros((1, MANY), dtype=np.float32))


def test_a_start_comes_back_from_its_folder(user, tmp_path):
    queries, _ = user
    matrix = np.random.default_rng(1).normal(size=(DIM, DIM)).astype(np.float16).astype(np.float32)
    given = Start(matrix=matrix, temperature=20.0, rate=0.5, steps=3, embedder="e", fingerprint="")
    name = write_start(tmp_path, given)
    found = read_start(tmp_path)
    np.testing.assert_array_equal(found.begin(queries), given.begin(queries))
    assert (found.temperature, found.rate, found.steps, found.fingerprint) == (20.0, 0.5, 3, name)


def test_the_shipped_start_is_of_the_packaged_embedder():
    embedder = build(load("memory", []).embedder)
    assert read_start(SHIPPED).embedder == embedder.fingerprint


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"rate": -1.0}, {"steps": -1}])
def test_a_start_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="needed"):
        start(**wrong)


def test_a_start_is_learned_from_conversations(tmp_path):
    small = ["data.memories=240", "data.memories_per_conversation=40", "embedder=hashing", "embedder.dim=64"]
    config = load("train", [*small, "learner=adapter", "learner.max_epochs=2", "learner.lr=0.01"])
    talks = list(build(config.data).conversations())
    how = {"cache": tmp_path, "seed": 0, "options": build(config.trainer), "tracker": NullTracker()}
    result = train(build(config.learner), talks[2:], talks[:2], folder=tmp_path / "run", **how)
    found = read_start(result.model)
    assert np.abs(found.matrix).max() > 0
    assert 0 < result.score <= 1
    silent = [replace(one, questions=()) for one in talks]
    with pytest.raises(DataError, match="two questions with evidence"):
        train(build(config.learner), silent[2:], silent[:2], folder=tmp_path / "none", **how)


def test_the_score_is_ndcg():
    scores, gold = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert question_ndcg(scores, gold) == pytest.approx([1 / np.log2(3)])
