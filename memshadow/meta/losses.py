"""What a task is judged by: one number a task. Pure functions."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

TaskLoss = Callable[[Tensor, Tensor], Tensor]
"""Outputs ``[t n o]`` and targets -> a loss ``[t]`` for each task, the mean over its n examples."""


def squared_error(outputs: Float[Tensor, "t n o"], targets: Float[Tensor, "t n o"]) -> Float[Tensor, " t"]:
    """Return the mean squared error of each task."""
    return functional.mse_loss(outputs, targets, reduction="none").mean((1, 2))


def cross_entropy(outputs: Float[Tensor, "t n o"], targets: Int[Tensor, "t n"]) -> Float[Tensor, " t"]:
    """Return the mean cross entropy of each task, in nats; targets count the classes from 0."""
    return functional.cross_entropy(outputs.mT, targets, reduction="none").mean(1)


def task_loss(targets: Tensor) -> TaskLoss:
    """Return the loss that targets ask for: numbers are predicted, whole numbers are classes."""
    return squared_error if targets.is_floating_point() else cross_entropy


def accuracy(outputs: Float[Tensor, "t n o"], targets: Int[Tensor, "t n"]) -> Float[Tensor, " t"]:
    """Return the share of each task's examples whose highest output is their class."""
    return (outputs.argmax(-1) == targets).float().mean(1)
