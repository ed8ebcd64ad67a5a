"""Our MAML is MAML: the losses of learn2learn, and the gradients of a plain loop over tasks."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from memshadow.meta.algorithms import Maml
from memshadow.meta.networks import Mlp
from memshadow.meta.tasks import TaskBatch

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "maml"
STORED = json.loads(Path(__file__).with_name("data").joinpath("learn2learn.json").read_text())
PEER_IS_HERE = importlib.util.find_spec("learn2learn") is not None
SETTINGS = [(run["tasks"], run["steps"], run["second_order"]) for run in STORED["runs"]]


def _benchmark(name):
    """Return a module of the benchmark, where weights and tasks are made from a seed."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARK / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tasks = _benchmark("tasks")
NETWORK = Mlp(inputs=1, hidden=[40, 40], outputs=1)


def weights():
    return {name: torch.from_numpy(value) for name, value in tasks.weights(STORED["seed"]).items()}


def batch(number, count):
    return TaskBatch(*map(torch.from_numpy, tasks.batch(STORED["seed"], number, count)))


def trained(outer, learned, count, iterations):
    """Return the query loss before each step of Adam on ``outer(learned, batch)``."""
    optimizer = torch.optim.Adam(learned.values(), lr=STORED["outer_lr"])
    found = []
    for number in range(iterations):
        loss = outer(learned, batch(number, count))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def ours(steps, second_order):
    algorithm = Maml(inner_lr=STORED["inner_lr"], steps=steps, second_order=second_order)
    return lambda learned, given: algorithm.outer(NETWORK, learned, given).loss


def plain(steps, second_order):
    """MAML as it is written down: a network, a loop over tasks, a loop over steps. Slow and obvious."""
    layers = [torch.nn.Linear(1, 40), torch.nn.Linear(40, 40), torch.nn.Linear(40, 1)]
    model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])

    def loss(theta, inputs, targets):
        return ((torch.func.functional_call(model, theta, (inputs,)) - targets) ** 2).mean()

    def outer(learned, given):
        losses = []
        for support, targets, query_set, query_targets in zip(*given, strict=True):
            theta = _as_linear(learned)
            for _ in range(steps):
                gradients = torch.autograd.grad(
                    loss(theta, support, targets), list(theta.values()), create_graph=second_order
                )
                theta = {
                    name: theta[name] - STORED["inner_lr"] * gradient
                    for name, gradient in zip(theta, gradients, strict=True)
                }
            losses.append(loss(theta, query_set, query_targets))
        return torch.stack(losses).mean()

    return outer


def _as_linear(learned):
    """Return weights by the names of ``torch.nn.Sequential``, matrices ``[out in]``."""
    found = {}
    for number in range(3):
        found[f"{2 * number}.weight"] = learned[f"weight_{number}"].mT
        found[f"{2 * number}.bias"] = learned[f"bias_{number}"]
    return found


def fresh():
    return {name: value.requires_grad_() for name, value in weights().items()}


@pytest.mark.parametrize("run", STORED["runs"], ids=map(str, SETTINGS))
def test_query_losses_are_those_of_learn2learn(run):
    found = trained(ours(run["steps"], run["second_order"]), fresh(), run["tasks"], len(run["losses"]))
    assert len(found) == 20
    assert found == pytest.approx(run["losses"], rel=0, abs=5e-6)


if PEER_IS_HERE:

    @pytest.mark.parametrize("setting", SETTINGS, ids=str)
    def test_query_losses_are_those_of_learn2learn_here(setting):
        count, steps, second_order = setting
        iterate = _benchmark("systems").learn2learn(tasks.weights(STORED["seed"]), steps, second_order)
        theirs = [iterate(batch(number, count)) for number in range(20)]
        assert trained(ours(steps, second_order), fresh(), count, 20) == pytest.approx(theirs, rel=0, abs=5e-6)


@pytest.mark.parametrize("second_order", [True, False], ids=["second order", "first order"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_outer_gradient_is_that_of_a_plain_loop_over_tasks(steps, second_order):
    batched, looped = fresh(), fresh()
    given = batch(0, 4)
    losses = ours(steps, second_order)(batched, given), plain(steps, second_order)(looped, given)
    for loss in losses:
        loss.backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for name in batched:
        torch.testing.assert_close(batched[name].grad, looped[name].grad, rtol=1e-4, atol=1e-5)


def test_first_and_second_order_differ():
    """Or the comparisons above would hold whatever ``second_order`` does."""
    first, second = (trained(ours(5, order), fresh(), 4, 20)[-1] for order in (False, True))
    assert abs(first - second) > 1e-4
