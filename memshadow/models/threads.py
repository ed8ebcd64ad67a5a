"""Threads that sleep while they wait. Must be called before an engine loads; imports none.

An OpenMP thread with nothing to do spins by default: alone that saves microseconds, beside busy neighbours it burns
the CPU that they and the query itself need. ``benchmarks/encoding`` measures what that costs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
_READS_AT_LOAD = ("torch", "faiss", "openvino")


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Ask every OpenMP runtime of this process and its children to sleep while waiting; say whether all will hear.

    The first line of a process that serves. What the user has set stands. False means that torch, FAISS or OpenVINO was
    imported before, whose OpenMP has read its settings already: only children will follow.
    """
    for name, value in _PASSIVE.items():
        environment.setdefault(name, value)
    return not any(module in sys.modules for module in _READS_AT_LOAD)
