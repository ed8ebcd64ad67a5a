"""Sinusoids to learn (Finn et al. 2017, sec. 5.1), from a seed: the same arrays for every system. NumPy only."""

from itertools import pairwise

import numpy as np

WIDTHS = (1, 40, 40, 1)
SHOTS = 10


def weights(seed):
    """Return ``weight_0 [in out]``, ``bias_0 [out]``, ...: uniform in +-1/sqrt(in), float32."""
    rng = np.random.default_rng([seed, 0])
    found = {}
    for layer, (wide, out) in enumerate(pairwise(WIDTHS)):
        bound = 1 / np.sqrt(wide)
        found[f"weight_{layer}"] = rng.uniform(-bound, bound, (wide, out)).astype(np.float32)
        found[f"bias_{layer}"] = rng.uniform(-bound, bound, out).astype(np.float32)
    return found


def batch(seed, number, tasks):
    """Return inputs and targets of ``tasks`` sinusoids: support ``[t s 1]`` twice, query set ``[t q 1]`` twice."""
    rng = np.random.default_rng([seed, 1, number])
    amplitude, phase = rng.uniform(0.1, 5.0, (tasks, 1, 1)), rng.uniform(0, np.pi, (tasks, 1, 1))
    inputs = rng.uniform(-5.0, 5.0, (tasks, 2 * SHOTS, 1))
    targets = amplitude * np.sin(inputs - phase)
    parts = inputs[:, :SHOTS], targets[:, :SHOTS], inputs[:, SHOTS:], targets[:, SHOTS:]
    return tuple(part.astype(np.float32) for part in parts)
