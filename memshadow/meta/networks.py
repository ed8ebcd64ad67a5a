"""Networks whose weights are an argument, a set of them for each task. Knows no task, no loss and no optimiser.

All weights are applied by batched matrix products: one product for all tasks, not one a task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from memshadow.errors import ConfigError

Params = dict[str, Tensor]
"""Weights by name: shared by all tasks in their plain shape, or one set a task with a leading axis of tasks."""


@runtime_checkable
class Network(Protocol):
    """Maps inputs to outputs with weights that are given with each call, one set a task.

    The last layer is linear; ``head`` names its weight ``[h o]`` and bias ``[o]``, and what comes before it is
    ``embed``. Names hold no dots.
    """

    inputs: int
    """Width of the inputs."""
    outputs: int
    """Numbers to predict, or most classes of a task."""
    head: tuple[str, str]

    def init(self, generator: torch.Generator) -> Params:
        """Return new shared weights."""
        ...

    def embed(self, params: Params, inputs: Float[Tensor, "t n d"]) -> Float[Tensor, "t n h"]:
        """Return what the last layer reads."""
        ...

    def __call__(self, params: Params, inputs: Float[Tensor, "t n d"]) -> Float[Tensor, "t n o"]:
        """Return the outputs of each task's own weights."""
        ...


def stacked(params: Params, tasks: int) -> Params:
    """Return shared weights as a set a task; views, nothing is copied."""
    return {name: value.expand(tasks, *value.shape) for name, value in params.items()}


def affine(inputs: Float[Tensor, "t n d"], weight: Float[Tensor, "t d o"], bias: Float[Tensor, "t o"]) -> Tensor:
    """Return ``inputs @ weight + bias`` for each task."""
    return torch.baddbmm(bias.unsqueeze(1), inputs, weight)


class Mlp:
    """Layers with ReLU between them: ``weight_0 [in out]``, ``bias_0 [out]``, ``weight_1`` ...

    Begins with what ``torch.nn.Linear`` begins with: uniform in +-1/sqrt(in).

    Args:
        inputs: width of the inputs.
        hidden: widths of the layers between; none makes it linear, and ``embed`` gives the inputs.
        outputs: width of the outputs: numbers to predict, or classes.
    """

    def __init__(self, *, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        widths = [inputs, *hidden, outputs]
        if min(widths) < 1:
            raise ConfigError(f"{inputs=}, hidden={list(hidden)}, {outputs=}; needed: widths of at least 1.")
        self.inputs, self.outputs = inputs, outputs
        self._widths, self._hidden = widths, len(hidden)
        self.head = f"weight_{self._hidden}", f"bias_{self._hidden}"

    def init(self, generator: torch.Generator) -> Params:
        """Return new shared weights."""
        params: Params = {}
        for number, (wide, out) in enumerate(zip(self._widths, self._widths[1:], strict=False)):
            params[f"weight_{number}"] = _uniform((wide, out), wide, generator)
            params[f"bias_{number}"] = _uniform((out,), wide, generator)
        return params

    def embed(self, params: Params, inputs: Float[Tensor, "t n d"]) -> Float[Tensor, "t n h"]:
        """Return what the last layer reads."""
        for number in range(self._hidden):
            inputs = affine(inputs, params[f"weight_{number}"], params[f"bias_{number}"]).relu()
        return inputs

    def __call__(self, params: Params, inputs: Float[Tensor, "t n d"]) -> Float[Tensor, "t n o"]:
        """Return the outputs of each task's own weights."""
        weight, bias = (params[name] for name in self.head)
        return affine(self.embed(params, inputs), weight, bias)


def _uniform(shape: tuple[int, ...], wide: int, generator: torch.Generator) -> Tensor:
    bound = 1 / math.sqrt(wide)
    return torch.rand(shape, generator=generator) * 2 * bound - bound
