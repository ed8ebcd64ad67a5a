"""MAML three ways behind one call: weights and settings in, a function from tasks to the mean query loss out.

Each call of that function is one meta-iteration: adapt to every task, go back through it, one step of Adam. All three
have the same Adam. Each imports only what it needs, so that the peer's environment does without memshadow.
"""

import importlib.util
import sys
from types import ModuleType

import torch
from torch.nn import functional

INNER_LR, OUTER_LR = 0.01, 0.001


def adam(parameters):
    return torch.optim.Adam(parameters, lr=OUTER_LR, fused=True)


def memshadow(weights, steps, second_order):
    """Ours: all tasks in one batched product a layer."""
    from memshadow.meta.algorithms import Maml
    from memshadow.meta.networks import Mlp
    from memshadow.meta.tasks import TaskBatch

    outputs = len(weights["bias_2"])
    network = Mlp(inputs=len(weights["weight_0"]), hidden=[len(weights[f"bias_{i}"]) for i in (0, 1)], outputs=outputs)
    algorithm = Maml(inner_lr=INNER_LR, steps=steps, second_order=second_order)
    learned = {name: torch.from_numpy(value).requires_grad_() for name, value in weights.items()}
    optimizer = adam(learned.values())

    def iterate(batch):
        outer = algorithm.outer(network, learned, TaskBatch(*batch))
        optimizer.zero_grad()
        outer.loss.backward()
        optimizer.step()
        return outer.query_loss.item()

    return iterate


def vmap(weights, steps, second_order):
    """``torch.func`` as its documentation does MAML: the loss of one task, ``vmap`` over tasks."""
    learned = {name: torch.from_numpy(value) for name, value in weights.items()}
    optimizer = adam(learned.values())

    def forward(params, inputs):
        for layer in range(2):
            inputs = torch.relu(inputs @ params[f"weight_{layer}"] + params[f"bias_{layer}"])
        return inputs @ params["weight_2"] + params["bias_2"]

    def support_loss(params, inputs, targets):
        return functional.mse_loss(forward(params, inputs), targets)

    def query_loss(params, inputs, targets, query_inputs, query_targets):
        for _ in range(steps):
            gradients = torch.func.grad(support_loss)(params, inputs, targets)
            if not second_order:
                gradients = {name: value.detach() for name, value in gradients.items()}
            params = {name: value - INNER_LR * gradients[name] for name, value in params.items()}
        return support_loss(params, query_inputs, query_targets)

    def mean_loss(params, batch):
        return torch.vmap(query_loss, in_dims=(None, 0, 0, 0, 0))(params, *batch).mean()

    def iterate(batch):
        gradients, loss = torch.func.grad_and_value(mean_loss)(learned, batch)
        for name, value in learned.items():
            value.grad = gradients[name]
        optimizer.step()
        return loss.item()

    return iterate


def learn2learn_maml():
    """Return learn2learn's MAML; raises ImportError where it is not installed.

    Its ``__init__`` files import reinforcement learning and vision, none of which MAML uses, so bare packages stand
    in for them.
    """
    if "learn2learn" not in sys.modules:
        found = importlib.util.find_spec("learn2learn")
        if found is None:
            raise ImportError("learn2learn is not installed; benchmarks/maml/environment.py builds its environment")
        (root,) = found.submodule_search_locations
        for name, folder in (("learn2learn", root), ("learn2learn.algorithms", f"{root}/algorithms")):
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__path__ = [folder]
    from learn2learn.algorithms.maml import MAML

    return MAML


class SineModel(torch.nn.Module):
    """The network of learn2learn's example maml_sine.py."""

    def __init__(self, weights):
        super().__init__()
        layers = [torch.nn.Linear(*weights[f"weight_{i}"].shape) for i in range(3)]
        for number, layer in enumerate(layers):
            layer.weight.data = torch.from_numpy(weights[f"weight_{number}"]).T.contiguous()
            layer.bias.data = torch.from_numpy(weights[f"bias_{number}"])
        self.hidden1, self.hidden2, self.hidden3 = layers

    def forward(self, x):
        x = functional.relu(self.hidden1(x))
        x = functional.relu(self.hidden2(x))
        return self.hidden3(x)


def learn2learn(weights, steps, second_order, *, backward_a_task=False):
    """The peer, as in its examples: maml_sine.py sums the losses and goes back once; maml_omniglot.py, once a task."""
    model = SineModel(weights)
    maml = learn2learn_maml()(model, lr=INNER_LR, first_order=not second_order)
    optimizer = adam(maml.parameters())
    mean_squared_error = torch.nn.MSELoss()

    def iterate(batch):
        optimizer.zero_grad()
        total, told = 0.0, 0.0
        for inputs, targets, query_inputs, query_targets in zip(*batch, strict=True):
            learner = maml.clone()
            for _ in range(steps):
                learner.adapt(mean_squared_error(learner(inputs), targets))
            loss = mean_squared_error(learner(query_inputs), query_targets) / len(batch[0])
            if backward_a_task:
                loss.backward()
                told += loss.item()
            else:
                total = total + loss
        if not backward_a_task:
            total.backward()
            told = total.item()
        optimizer.step()
        return told

    return iterate


def learn2learn_a_task(weights, steps, second_order):
    """The peer with a backward pass for each task: less memory."""
    return learn2learn(weights, steps, second_order, backward_a_task=True)


SYSTEMS = {
    "learn2learn": learn2learn,
    "learn2learn, backward a task": learn2learn_a_task,
    "torch.func vmap": vmap,
    "memshadow": memshadow,
}
