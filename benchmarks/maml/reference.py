"""Write the query losses of learn2learn's first 20 meta-iterations, which tests/meta/test_parity.py holds ours to.

    .venv-learn2learn/bin/python benchmarks/maml/reference.py

Weights and tasks are not in the file: tasks.py makes them from the seed.
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from systems import INNER_LR, OUTER_LR, learn2learn
from tasks import batch, weights

FILE = Path(__file__).resolve().parents[2] / "tests" / "meta" / "data" / "learn2learn.json"
SEED, ITERATIONS = 0, 20
SETTINGS = ((32, 5, True), (25, 1, True), (32, 5, False))  # tasks, steps, second order


def losses(system, tasks, steps, second_order):
    """Return the query loss before each of the first meta-iterations' steps of Adam."""
    iterate = system(weights(SEED), steps, second_order)
    return [iterate(tuple(map(torch.from_numpy, batch(SEED, number, tasks)))) for number in range(ITERATIONS)]


def main():
    torch.set_num_threads(1)
    found = [
        {"tasks": tasks, "steps": steps, "second_order": second_order,
         "losses": [round(loss, 7) for loss in losses(learn2learn, tasks, steps, second_order)]}
        for tasks, steps, second_order in SETTINGS
    ]  # fmt: skip
    about = {
        "command": ".venv-learn2learn/bin/python benchmarks/maml/reference.py",
        "learn2learn": version("learn2learn"),
        "torch": torch.__version__,
        "seed": SEED,
        "inner_lr": INNER_LR,
        "outer_lr": OUTER_LR,
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps({**about, "runs": found}, indent=1) + "\n")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
