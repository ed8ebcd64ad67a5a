"""A batch of tasks as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from memshadow.data.episodes import Tasks


class TaskBatch(NamedTuple):
    """Support and query set of t tasks: inputs ``[t n d]``; targets ``[t n o]`` numbers or ``[t n]`` classes."""

    support: Tensor
    support_targets: Tensor
    query_set: Tensor
    query_targets: Tensor

    @classmethod
    def of(cls, tasks: Tasks) -> Self:
        """Return the arrays as tensors."""
        return cls(*(torch.from_numpy(np.ascontiguousarray(array)) for array in tasks))

    @property
    def ways(self) -> int:
        """Return the number of classes of each task, or of numbers to predict."""
        targets = self.support_targets
        return int(targets.shape[-1]) if targets.is_floating_point() else int(targets.max()) + 1
