"""Every variant of ``configs/algorithm`` keeps the promises of the protocol, and does what its paper says."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from memshadow.config import build, config_dir, load
from memshadow.errors import ConfigError, DataError
from memshadow.meta.algorithms import Anil, FirstOrderMaml, Maml, MetaSgd, ProtoMaml, Reptile, Ridge
from memshadow.meta.losses import cross_entropy, squared_error, task_loss
from memshadow.meta.maml import adapt
from memshadow.meta.networks import Mlp, stacked
from memshadow.meta.tasks import TaskBatch

NAMES = sorted(file.stem for file in (config_dir() / "algorithm").glob("*.yaml"))


def numbers(tasks: int = 4, *, seed: int = 0) -> TaskBatch:
    """Sinusoids of random height and shift."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-5, 5, (tasks, 20, 1)).astype(np.float32)
    y = (rng.uniform(0.5, 5, (tasks, 1, 1)) * np.sin(x - rng.uniform(0, 3, (tasks, 1, 1)))).astype(np.float32)
    return TaskBatch(*map(torch.from_numpy, (x[:, :10], y[:, :10], x[:, 10:], y[:, 10:])))


def classes(tasks: int = 4, *, ways: int = 3, seed: int = 0) -> TaskBatch:
    """Clouds around a random middle for each class."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(tasks, ways, 6))
    labels = np.tile(np.repeat(np.arange(ways), 2), (tasks, 1))
    support, query = (
        (np.take_along_axis(middles, labels[..., None], 1) + 0.7 * rng.normal(size=(tasks, 2 * ways, 6)))
        for _ in range(2)
    )
    rows = (torch.from_numpy(part.astype(np.float32)) for part in (support, query))
    given, asked = rows
    return TaskBatch(given, torch.from_numpy(labels), asked, torch.from_numpy(labels))


NETWORKS = {"numbers": Mlp(inputs=1, hidden=[8], outputs=1), "classes": Mlp(inputs=6, hidden=[8], outputs=3)}
KINDS = {"numbers": numbers, "classes": classes}


@cache
def chosen(name):
    return build(load("train", ["learner=meta", f"algorithm@learner.algorithm={name}"]).learner.algorithm)


def made(name, kind):
    network = NETWORKS[kind]
    algorithm = chosen(name)
    learned = algorithm.init(network, torch.Generator().manual_seed(1))
    return network, algorithm, {key: value.requires_grad_() for key, value in learned.items()}


PAIRS = [pair for pair in product(NAMES, KINDS) if pair != ("protomaml", "numbers")]  # prototypes are of classes


@pytest.mark.parametrize(("name", "kind"), PAIRS)
class TestEveryVariant:
    def test_is_named_as_its_file(self, name, kind):
        assert made(name, kind)[1].name == name

    def test_learns_each_task_as_if_it_were_alone(self, name, kind):
        network, algorithm, learned = made(name, kind)
        tasks = KINDS[kind]()
        together = algorithm.fit(network, learned, tasks.support, tasks.support_targets)(tasks.query_set)
        for number in range(4):
            one = TaskBatch(*(part[number : number + 1] for part in tasks))
            alone = algorithm.fit(network, learned, one.support, one.support_targets)(one.query_set)
            torch.testing.assert_close(together[number : number + 1], alone, rtol=1e-4, atol=1e-5)

    def test_changes_nothing_that_it_is_given(self, name, kind):
        network, algorithm, learned = made(name, kind)
        tasks = KINDS[kind]()
        before = {key: value.clone() for key, value in learned.items()}, [part.clone() for part in tasks]
        algorithm.outer(network, learned, tasks).loss.backward()
        assert all(torch.equal(value, before[0][key]) for key, value in learned.items())
        assert all(torch.equal(now, then) for now, then in zip(tasks, before[1], strict=True))

    def test_the_outer_loop_moves_all_that_is_learned(self, name, kind):
        network, algorithm, learned = made(name, kind)
        algorithm.outer(network, learned, KINDS[kind]()).loss.backward()
        still = {key for key, value in learned.items() if value.grad is None or not value.grad.abs().sum()}
        # a number added to all logits changes no class
        assert still <= ({"offset"} if kind == "classes" else set())

    def test_learns_a_batch_by_heart(self, name, kind):
        network, algorithm, learned = made(name, kind)
        tasks = KINDS[kind]()
        optimizer = torch.optim.Adam(learned.values(), lr=0.01)
        told = []
        for _ in range(150):
            optimizer.zero_grad()
            outer = algorithm.outer(network, learned, tasks)
            outer.loss.backward()
            optimizer.step()
            told.append(outer.query_loss.item())
        assert np.mean(told[-10:]) < 0.8 * told[0]

    def test_more_steps_can_be_asked_for_than_it_was_trained_with(self, name, kind):
        network, algorithm, learned = made(name, kind)
        tasks = KINDS[kind]()
        loss = task_loss(tasks.support_targets)
        fits = [algorithm.fit(network, learned, *tasks[:2], steps=n) for n in (0, 1, 20)]
        after = [loss(fitted(tasks.support), tasks.support_targets) for fitted in fits]
        assert after[2].mean() <= after[1].mean() < after[0].mean()


def test_first_order_takes_the_gradient_where_the_steps_end():
    network, tasks = NETWORKS["numbers"], numbers(1)
    learned = network.init(torch.Generator().manual_seed(0))
    ends = adapt(network, stacked(learned, 1), *tasks[:2], loss=squared_error, rates=0.01, steps=3, second_order=False)
    ends = {name: value.detach().requires_grad_() for name, value in ends.items()}
    squared_error(network(ends, tasks.query_set), tasks.query_targets).sum().backward()
    learned = {name: value.requires_grad_() for name, value in learned.items()}
    FirstOrderMaml(inner_lr=0.01, steps=3).outer(network, learned, tasks).loss.backward()
    for name, value in learned.items():
        torch.testing.assert_close(value.grad, ends[name].grad[0])


def test_second_order_is_another_gradient_than_first():
    network, tasks = NETWORKS["numbers"], numbers()
    grads = []
    for algorithm in (Maml(inner_lr=0.05, steps=3, second_order=True), FirstOrderMaml(inner_lr=0.05, steps=3)):
        learned = network.init(torch.Generator().manual_seed(0))
        learned["weight_0"].requires_grad_()
        algorithm.outer(network, learned, tasks).loss.backward()
        grads.append(learned["weight_0"].grad)
    assert not torch.allclose(*grads, rtol=1e-2)


def test_second_order_gradients_are_those_of_finite_differences():
    network, tasks = Mlp(inputs=1, hidden=[3], outputs=1), TaskBatch(*(part.double() for part in numbers(2)))
    algorithm = Maml(inner_lr=0.05, steps=2, second_order=True)
    learned = {k: v.double().requires_grad_() for k, v in network.init(torch.Generator().manual_seed(0)).items()}
    names = list(learned)

    def outer(*values):
        return algorithm.outer(network, dict(zip(names, values, strict=True)), tasks).loss

    assert torch.autograd.gradcheck(outer, list(learned.values()), eps=1e-6, atol=1e-5)


def test_anil_leaves_all_but_the_last_layer():
    network, tasks = NETWORKS["numbers"], numbers()
    learned = network.init(torch.Generator().manual_seed(0))
    hidden = []

    class Watched(Mlp):
        def embed(self, params, inputs):
            hidden.append(params["weight_0"][0].detach().clone())
            return super().embed(params, inputs)

    watched = Watched(inputs=1, hidden=[8], outputs=1)
    before = Anil(inner_lr=0.01, steps=0, second_order=True).fit(network, learned, *tasks[:2])(tasks.query_set)
    after = Anil(inner_lr=0.01, steps=5, second_order=True).fit(watched, learned, *tasks[:2])(tasks.query_set)
    assert all(torch.equal(one, learned["weight_0"]) for one in hidden)
    assert not torch.allclose(before, after)


def test_meta_sgd_begins_as_maml_and_learns_its_rates():
    network, tasks = NETWORKS["numbers"], numbers()
    own = MetaSgd(inner_lr=0.01, steps=2, second_order=True)
    learned = own.init(network, torch.Generator().manual_seed(0))
    plain = Maml(inner_lr=0.01, steps=2, second_order=True)
    weights = {name: value for name, value in learned.items() if not name.startswith("rate_of_")}
    assert len(learned) == 2 * len(weights)
    mine, theirs = own.outer(network, learned, tasks).loss, plain.outer(network, weights, tasks).loss
    torch.testing.assert_close(mine, theirs)
    rate = learned["rate_of_weight_0"].requires_grad_()
    own.outer(network, learned, tasks).loss.backward()
    assert rate.grad.abs().sum() > 0


def test_reptile_moves_towards_where_training_on_the_tasks_ends():
    network, tasks = NETWORKS["numbers"], numbers()
    learned = {k: v.requires_grad_() for k, v in network.init(torch.Generator().manual_seed(0)).items()}
    Reptile(inner_lr=0.02, steps=4).outer(network, learned, tasks).loss.backward()
    everything = torch.cat([tasks.support, tasks.query_set], 1), torch.cat([tasks[1], tasks[3]], 1)
    ends = adapt(network, stacked(learned, 4), *everything, loss=squared_error, rates=0.02, steps=4, second_order=False)
    for name, value in learned.items():
        torch.testing.assert_close(value.grad, (value - ends[name].mean(0)).detach())


def test_protomaml_without_steps_takes_the_nearest_prototype():
    tasks, identity = classes(), Mlp(inputs=6, hidden=[], outputs=3)
    algorithm = ProtoMaml(inner_lr=0.1, steps=0, second_order=True, scale=1.0)
    learned = algorithm.init(identity, torch.Generator().manual_seed(0))
    outputs = algorithm.fit(identity, learned, *tasks[:2])(tasks.query_set)
    center = torch.stack([tasks.support[:, 2 * way : 2 * way + 2].mean(1) for way in range(3)], 1)
    distances = torch.cdist(tasks.query_set, center).square()
    torch.testing.assert_close(outputs.softmax(-1), (-distances).softmax(-1))


def test_protomaml_takes_any_number_of_classes():
    algorithm = ProtoMaml(inner_lr=0.1, steps=2, second_order=True, scale=1.0)
    learned = algorithm.init(NETWORKS["classes"], torch.Generator().manual_seed(0))
    assert algorithm.outer(NETWORKS["classes"], learned, classes(ways=5)).loss.isfinite()


def test_ridge_solves_what_least_squares_with_a_ridge_solves():
    tasks, identity = numbers(1), Mlp(inputs=1, hidden=[], outputs=1)
    algorithm = Ridge(weight=0.5, scale=1.0)
    learned = algorithm.init(identity, torch.Generator().manual_seed(0))
    found = algorithm.fit(identity, learned, *tasks[:2])(tasks.query_set)[0]
    x, y, asked = (part[0].double().numpy() for part in tasks[:3])
    expected = asked @ np.linalg.solve(x.T @ x + 0.5 * np.eye(1), x.T @ y)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["ridge", "protomaml"])
def test_a_class_without_an_example_is_told(name):
    (_, algorithm, learned), tasks = made(name, "classes"), classes()
    lacking = torch.where(tasks.support_targets == 1, 2, tasks.support_targets)
    with pytest.raises(DataError, match="task 0 has no example of class 1"):
        algorithm.fit(NETWORKS["classes"], learned, tasks.support, lacking)


def test_prototypes_of_numbers_are_refused():
    algorithm = ProtoMaml(inner_lr=0.1, steps=1, second_order=True, scale=1.0)
    learned = algorithm.init(NETWORKS["numbers"], torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="prototypes need classes"):
        algorithm.outer(NETWORKS["numbers"], learned, numbers())


@pytest.mark.parametrize("wrong", [{"inner_lr": 0.0}, {"inner_lr": float("nan")}, {"steps": -1}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match="a rate above 0, and 0 steps or more"):
        Maml(**({"inner_lr": 0.1, "steps": 1, "second_order": True} | wrong))


def test_losses_are_one_number_a_task():
    outputs = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])
    torch.testing.assert_close(cross_entropy(outputs, torch.tensor([[0], [1]])), torch.tensor([0.126928, 0.693147]))
    torch.testing.assert_close(squared_error(outputs, torch.zeros(2, 1, 2)), torch.tensor([2.0, 0.0]))
