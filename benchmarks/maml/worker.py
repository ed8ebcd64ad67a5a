"""One system and one setting in a process of its own. Reads requests, one JSON a line, and answers likewise.

    worker.py SYSTEM TASKS STEPS ORDER SEED

``{"losses": n}``: the query losses of the next n meta-iterations, and the most memory they took above what stood before
the first. ``{"seconds": s}``: meta-iterations per CPU-second (user and system), tasks made beforehand.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # memshadow, where its dependencies are

import numpy as np
import torch
from systems import SYSTEMS
from tasks import batch, weights

PREPARED = 50


def status_kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def losses(iterate, batches):
    """Return the losses, and the peak of resident memory above that of before, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status_kib("VmRSS")
    found = [iterate(one) for one in batches]
    return {"losses": found, "peak_mib": (status_kib("VmHWM") - before) / 1024}


def speed(iterate, batches, seconds):
    iterate(batches[0])
    done, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        iterate(batches[done % len(batches)])
        done += 1
    return {"iterations": done, "per_cpu_s": done / (time.process_time() - began)}


def main():
    torch.set_num_threads(1)
    system, tasks, steps, order, seed = sys.argv[1], *map(int, sys.argv[2:])
    prepared = [tuple(map(torch.from_numpy, batch(seed, number, tasks))) for number in range(PREPARED)]
    iterate = SYSTEMS[system](weights(seed), steps, order == 2)
    print(json.dumps({"ready": system, "torch": torch.__version__, "numpy": np.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "losses" in asked:
            answer = losses(iterate, prepared[: asked["losses"]])
        else:
            answer = speed(iterate, prepared, asked["seconds"])
        print(json.dumps(answer), flush=True)


main()
