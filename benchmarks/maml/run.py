"""Time MAML side by side, in interleaved rounds, one process a system; write results.json and the README's table.

    python benchmarks/maml/run.py [--rounds 7] [--seconds 3] [--seed 0] [--peer .venv-learn2learn]

Within a setting all systems begin with the same weights and see the same tasks; the query losses of the first 20
meta-iterations are compared, then the systems take turns. CPU seconds are the process's own (user and system), one
thread; ratios are taken within a round, to the faster of learn2learn's two ways of going back.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
PEER = "learn2learn"
SYSTEMS = (PEER, f"{PEER}, backward a task", "torch.func vmap", "memshadow")
SETTINGS = ((32, 5, 2), (25, 1, 2), (32, 5, 1))  # tasks, inner steps, order
ITERATIONS = 20
COLUMNS = (
    "tasks, steps, order",
    "system",
    "meta-iterations / CPU-s (range)",
    "times learn2learn (range)",
    "peak memory, MiB",
    "query loss, 1st",
    "20th",
    "largest difference",
)


class Worker:
    """A system in a process, asked one thing at a time."""

    def __init__(self, python, system, setting, seed):
        self.system = system
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", system, *map(str, setting), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.system}: ended with status {self.process.wait()}; its error is above.")
        return json.loads(line)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def measured(setting, given):
    """Return one entry a system: speeds of all rounds, losses, memory."""
    with ExitStack() as stack:
        workers = []
        for system in SYSTEMS:
            python = given.peer / "bin" / "python" if system.startswith(PEER) else sys.executable
            workers.append(Worker(python, system, setting, given.seed))
            stack.callback(workers[-1].close)
        found = {one.system: {**one.about, **one.ask(losses=ITERATIONS), "per_cpu_s": []} for one in workers}
        for number in range(given.rounds):
            print(f"{setting}, round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
            for one in workers[:: 1 if number % 2 else -1]:
                found[one.system]["per_cpu_s"].append(one.ask(seconds=given.seconds)["per_cpu_s"])
    return found


def entries(setting, found):
    """Return the rows of results.json of one setting."""
    best = [max(pair) for pair in zip(*(found[name]["per_cpu_s"] for name in SYSTEMS[:2]), strict=True)]
    for system, got in found.items():
        ratios = [own / peers for own, peers in zip(got["per_cpu_s"], best, strict=True)]
        apart = max(abs(own - peers) for own, peers in zip(got["losses"], found[PEER]["losses"], strict=True))
        yield {
            "system": system,
            "torch": got["torch"],
            **dict(zip(("tasks", "steps", "order"), setting, strict=True)),
            "per_cpu_s": spread(got["per_cpu_s"]),
            "times_learn2learn": spread(ratios),
            "peak_mib": got["peak_mib"],
            "losses": got["losses"],
            "largest_difference": apart,
        }


def spread(values):
    return {"median": median(values), "least": min(values), "most": max(values), "rounds": values}


def table(rows):
    """Return the rows as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        speed, times = row["per_cpu_s"], row["times_learn2learn"]
        shown = [
            f"{row['tasks']}, {row['steps']}, {row['order']}",
            row["system"],
            f"{speed['median']:.1f} ({speed['least']:.1f} to {speed['most']:.1f})",
            f"{times['median']:.2f} ({times['least']:.2f} to {times['most']:.2f})",
            f"{row['peak_mib']:.1f}",
            *(f"{row['losses'][place]:.5f}" for place in (0, -1)),
            f"{row['largest_difference']:.0e}",
        ]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def cpu_name():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {os.cpu_count()} cores"


def described(given, load_before):
    """Return what results.json says of the run."""
    asked = ["git", "-C", str(HERE), "rev-parse", "--verify", "--quiet", "HEAD"]
    return {
        "command": " ".join(["python benchmarks/maml/run.py", *sys.argv[1:]]),
        "seed": given.seed,
        "rounds": given.rounds,
        "commit": subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip(),
        "cpu": cpu_name(),
        "date": datetime.now(UTC).date().isoformat(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
    }


def publish(rows, about):
    """Write results.json, and the table between the README's markers."""
    (HERE / "results.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    readme = (HERE / "README.md").read_text()
    head, rest = readme.split("<!-- table -->")[0], readme.split("<!-- /table -->")[1]
    load = f"load {about['load_before']:.1f} before and {about['load_after']:.1f} after"
    said = f"{about['cpu']}; {about['date']}; seed {about['seed']}; {about['rounds']} rounds; {load}."
    (HERE / "README.md").write_text(f"{head}<!-- table -->\n{said}\n\n{table(rows)}\n<!-- /table -->{rest}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of CPU, a system a round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", type=Path, default=HERE.parents[1] / ".venv-learn2learn")
    given = parser.parse_args()
    if not (given.peer / "bin" / "python").exists():
        raise SystemExit(f"no environment at {given.peer}; make it: python benchmarks/maml/environment.py {given.peer}")
    load_before = os.getloadavg()[0]
    rows = [row for setting in SETTINGS for row in entries(setting, measured(setting, given))]
    publish(rows, described(given, load_before))
    print(table(rows))


if __name__ == "__main__":
    main()
