"""Sinusoids from 5 and from 10 points, all variants: every table and plot of this folder's README.

    python experiments/fewshot_sinusoids/run.py                        # all: most of an hour on one core
    python experiments/fewshot_sinusoids/run.py --variants maml meta_sgd --shots 10

Fits lie in ``--work``: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from memshadow.config import build, load
from memshadow.data.corpora.part import TaskPart
from memshadow.meta.evaluation import TASKS, Learned, by_steps, untrained
from memshadow.meta.learner import MetaLearner, learned_in
from memshadow.training.origin import commit
from memshadow.training.plots import over_steps
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker

HERE = Path(__file__).parent
VARIANTS = {
    "maml": ["algorithm@learner.algorithm=maml", "learner.algorithm.steps=1"],
    "fomaml": ["algorithm@learner.algorithm=fomaml", "learner.algorithm.steps=1"],
    "anil": ["algorithm@learner.algorithm=anil", "learner.algorithm.steps=1"],
    "meta_sgd": ["algorithm@learner.algorithm=meta_sgd", "learner.algorithm.steps=1"],
    "reptile": ["algorithm@learner.algorithm=reptile"],
    "ridge": ["algorithm@learner.algorithm=ridge"],
    "maml, 5 steps": ["algorithm@learner.algorithm=maml"],
}
STEPS = [0, 1, 2, 3, 5, 7, 10]
ASKED = 100
"""Points that a new task is asked."""


def main() -> int:
    """Train what is not there yet, measure all on the same new tasks, write rows and plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--shots", nargs="+", type=int, default=[10, 5])
    parser.add_argument("--epochs", type=int, default=40, help="of 500 meta-iterations of 25 tasks")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments/fewshot_sinusoids"))
    said = parser.parse_args()
    for shots in said.shots:
        for name in said.variants:
            found = _measured(name, shots, said.epochs, said.work)
            _keep(shots, found if name == "maml" else {name: found[name]})
        _draw(shots)
    return 0


def _measured(name: str, shots: int, epochs: int, work: Path) -> dict[str, list[Learned]]:
    config = load(
        "train",
        ["experiment=maml_sinusoids", *VARIANTS[name], f"learner.shots={shots}", f"learner.max_epochs={epochs}"],
    )
    learner: MetaLearner = build(config.learner)
    corpus = build(config.data)
    folder = work / f"{name.replace(', ', '-').replace(' ', '')}-{shots}"
    if not (folder / "model" / "model.json").is_file():
        result = train(
            learner,
            [TaskPart(corpus, "train")],
            [TaskPart(corpus, "valid")],
            folder=folder,
            cache=work,
            seed=0,
            options=build(config.trainer),
            tracker=NullTracker(),
        )
        print(f"{folder.name}: {result.steps} meta-iterations, {result.seconds:.0f} s", file=sys.stderr, flush=True)
    episodes = corpus.episodes("test", shots=shots, queries=ASKED)
    network, algorithm = learner.network, learner.algorithm
    steps = [0, 1] if name == "ridge" else STEPS
    start = untrained(network, algorithm, seed=0)
    return {
        "untrained": by_steps(network, algorithm, start, episodes, steps=steps),
        name: by_steps(network, algorithm, learned_in(folder / "model"), episodes, steps=steps),
    }


def _keep(shots: int, found: dict[str, list[Learned]]) -> None:
    """Put the rows in the place of those that were there of the same systems; errors without bound have no row."""
    file = HERE / "results.json"
    rows = [_row(name, shots, one) for name, line in found.items() for one in line if math.isfinite(one.mean)]
    for one in rows:
        if one["metric"] in ("after 1", "after 5"):
            print(f"{shots} shots  {one['system']:14} {one['metric']}  {one['mean']:.3f} {one['ci95']}", flush=True)
    old = json.loads(file.read_text()) if file.is_file() else []
    kept = [one for one in old if not (one["system"] in found and one["protocol"] == f"{shots} shots")]
    file.write_text(json.dumps([*kept, *rows], indent=1) + "\n")


def _row(name: str, shots: int, one: Learned) -> dict[str, Any]:
    middle, half = -one.mean, one.half_width
    return {
        "system": name,
        "data": "sinusoids",
        "protocol": f"{shots} shots",
        "metric": f"after {one.steps}",
        "mean": round(middle, 5),
        "ci95": [round(middle - half, 5), round(middle + half, 5)],
        "seeds": 1,
        "n": TASKS,
        "command": "python experiments/fewshot_sinusoids/run.py",
        "commit": commit(),
    }


def _draw(shots: int) -> None:
    """Draw what is in the table, but for what is worse than before the first step: it would hide all else."""
    lines: dict[str, list[dict[str, float]]] = {}
    for one in json.loads((HERE / "results.json").read_text()):
        if one["protocol"] == f"{shots} shots" and one["system"] not in ("untrained", "ridge"):
            steps = int(one["metric"].split()[1])
            point = {"steps": steps, "score": -one["mean"], "half_width": (one["ci95"][1] - one["ci95"][0]) / 2}
            line = lines.setdefault(one["system"], [])
            if not line or point["score"] > line[0]["score"]:
                line.append(point)
    over_steps(lines, title=f"Sinusoids from {shots} points").savefig(HERE / f"steps_{shots}.png", dpi=110)


if __name__ == "__main__":
    sys.exit(main())
