"""The inner loop of MAML: gradient steps on each task's support set, as a pure function of weights and examples.

Finn, Abbeel, Levine 2017 (arXiv 1703.03400), eq. 1: theta'_i = theta - alpha grad_theta L_i(theta), repeated ``steps``
times. All tasks step together: weights have a leading axis of tasks, and as no task's loss depends on another's
weights, the gradient of the sum of losses is each task's own gradient. Knows no outer loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from memshadow.meta.losses import TaskLoss
from memshadow.meta.networks import Params

Forward = Callable[[Params, Tensor], Tensor]
"""Weights, one set a task, and inputs ``[t n d]`` -> outputs ``[t n o]``: a network, or a part of one."""
Rates = float | Mapping[str, Tensor]
"""The inner learning rate: one for all, or one for each weight by name (Meta-SGD)."""


def adapt(
    forward: Forward,
    params: Params,
    support: Tensor,
    targets: Tensor,
    *,
    loss: TaskLoss,
    rates: Rates,
    steps: int,
    second_order: bool,
    only: Collection[str] | None = None,
) -> Params:
    """Return each task's weights after ``steps`` gradient steps on its support set.

    Differentiable in ``params`` and in ``rates``; nothing that is given is changed.

    Args:
        forward: applies the weights.
        params: a set of weights a task (:func:`~memshadow.meta.networks.stacked`).
        support: ``[t s d]``.
        targets: ``[t s o]`` numbers or ``[t s]`` classes.
        loss: what each step lowers.
        rates: alpha.
        steps: how many; 0 gives ``params`` back.
        second_order: whether the way back goes through the inner gradients too (MAML), or takes them as given (FOMAML,
            sec. 5.2 there).
        only: names of the weights that adapt; ``None``: all.
    """
    moving = {name: params[name] for name in (params if only is None else only)}
    for _ in range(steps):
        moving = _stepped(forward, params | moving, moving, support, targets, loss, rates, second_order)
    return params | moving


def _stepped(
    forward: Forward,
    params: Params,
    moving: Params,
    support: Tensor,
    targets: Tensor,
    loss: TaskLoss,
    rates: Rates,
    second_order: bool,
) -> Params:
    """Return the moving weights one step further."""
    own, shared = (rates, -1.0) if isinstance(rates, Mapping) else (None, -rates)
    with torch.enable_grad():
        moving = {name: _tracked(value) for name, value in moving.items()}
        losses = loss(forward(params | moving, support), targets)
        # one rate for all goes in at the loss: what comes back is the step itself, a fifth cheaper than a product each
        down = torch.full_like(losses, shared)
        found = torch.autograd.grad(losses, list(moving.values()), down, create_graph=second_order)
    return {
        name: value + (gradient if own is None else own[name] * gradient)
        for (name, value), gradient in zip(moving.items(), found, strict=True)
    }


def _tracked(value: Tensor) -> Tensor:
    return value if value.requires_grad else value.detach().requires_grad_()
