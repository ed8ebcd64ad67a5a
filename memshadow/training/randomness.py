"""The global random generators as one value. Knows who draws from them no more than they do."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import distributed


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators (torch's on every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # libraries draw from the global one
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of the global generators of this process: plain values, tensors and arrays."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "torch": torch.get_rng_state(),
        "cuda": devices,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set the global generators to what ``random_state`` returned, here or in another process."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def states_of_all_ranks() -> list[dict[str, Any]]:
    """Return ``random_state`` of every process of the group, by rank; every rank must call it."""
    mine = random_state()
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, mine)
    return gathered
