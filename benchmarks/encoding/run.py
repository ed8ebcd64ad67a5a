"""Time encoders side by side, in interleaved rounds, one process a system; write results.json and the README's tables.

    python benchmarks/encoding/run.py [--rounds 5] [--texts 200] [--systems st-fp32,onnx-fp32,...]

CPU seconds are the process's own (user and system), so that other work disturbs little; they are not free
of it (shared caches, clock). Ratios are taken within a round. Wall time is reported only where waiting is the question.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from texts import data_folder

HERE = Path(__file__).resolve().parent
SYSTEMS = ("st-fp32", "torch-fp32", "torch-bf16", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-bf16", "static")
KINDS = ("12 words", "60 words", "turns")
BUSY = "import numpy as np\na = np.random.rand(400, 400)\nwhile True: a @ a"


class Worker:
    """A system in a process, asked one thing at a time."""

    def __init__(self, system: str, threads: int) -> None:
        self.system = system
        quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        pinned = {"OMP_NUM_THREADS": str(threads)} if threads else {}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), system, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **quiet, **pinned}, cwd=HERE,
        )  # fmt: skip
        if not self.process.stdout.readline():
            reason = self.process.stderr.read().strip().splitlines()
            raise RuntimeError(f"{system}: {reason[-1] if reason else 'ended at once'}")

    def ask(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.process.stderr.close()


@contextmanager
def started(systems, threads):
    workers = []
    for system in systems:
        try:
            workers.append(Worker(system, threads))
        except RuntimeError as absent:
            print(f"left out: {absent}", file=sys.stderr)
    try:
        yield workers
    finally:
        for worker in workers:
            worker.close()


@contextmanager
def neighbours(count):
    single = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    busy = [subprocess.Popen([sys.executable, "-c", BUSY], env=single) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def overlap(rows, reference, k=10):
    """Return the share of each text's ``k`` nearest (itself left out) that the reference finds too."""

    def nearest(vectors):
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        return np.argpartition(-scores, k, axis=1)[:, :k]

    pairs = zip(nearest(rows), nearest(reference), strict=True)
    return [len(set(found) & set(true)) / k for found, true in pairs]


def row(system, protocol, metric, values, data):
    half = 1.96 * stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"system": system, "data": data, "protocol": protocol, "metric": metric, "mean": mean(values),
            "ci95": [mean(values) - half, mean(values) + half], "seeds": 1, "n": len(values)}  # fmt: skip


def throughput(workers, rounds, count):
    """Yield rows: texts per CPU second, ratio to st-fp32 in the same round, CPU ms of one query, overlap."""
    for kind in KINDS:
        speed = {worker.system: [] for worker in workers}
        for number in range(rounds):
            print(f"{kind}, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for worker in workers:
                speed[worker.system].append(count / worker.ask(do="batch", kind=kind, count=count)["cpu_s"])
        for system, values in speed.items():
            yield row(system, "one thread", "texts_per_cpu_s", values, kind)
            if "st-fp32" in speed:
                ratios = [a / b for a, b in zip(values, speed["st-fp32"], strict=True)]
                yield row(system, "one thread", "speed_vs_st_fp32", ratios, kind)


def single(workers, rounds, count, protocol):
    cost = {worker.system: [] for worker in workers}
    wall = {worker.system: [] for worker in workers}
    for _ in range(rounds):
        for worker in workers:
            answer = worker.ask(do="singles", count=count)
            cost[worker.system].append(1e3 * answer["cpu_s"] / count)
            wall[worker.system].append(answer["wall_s"])
    for system in cost:
        yield row(system, protocol, "query_cpu_ms", cost[system], "12 words")
        p95 = [1e3 * float(np.quantile(round_, 0.95)) for round_ in wall[system]]
        yield row(system, protocol, "query_p95_wall_ms", p95, "12 words")


def quality(workers, count):
    with tempfile.TemporaryDirectory() as folder:
        rows = {}
        for worker in workers:
            path = str(Path(folder) / f"{worker.system}.npy")
            worker.ask(do="batch", kind="turns", count=count, save=path)
            rows[worker.system] = np.load(path)
    for system, vectors in rows.items():
        if "st-fp32" in rows:
            yield row(system, "neighbours among turns", "top10_overlap", overlap(vectors, rows["st-fp32"]), "turns")


def cpu_name():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "")
    known = [
        flag
        for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
        if f" {flag}" in flags
    ]
    return f"{name}, {os.cpu_count()} cores, {' '.join(known)}"


def table(rows):
    """Return the rows as a Markdown table, one line a system."""
    found = {(r["system"], r["data"], r["protocol"], r["metric"]): r["mean"] for r in rows}
    busy = "default threads, two busy neighbours"
    columns = [(f"{kind}, texts/CPU-s", kind, "one thread", "texts_per_cpu_s", ".0f") for kind in KINDS]
    columns += [(f"{kind}, vs ST", kind, "one thread", "speed_vs_st_fp32", ".2f") for kind in KINDS]
    columns += [("top-10 overlap", "turns", "neighbours among turns", "top10_overlap", ".3f")]
    columns += [("query, CPU ms", "12 words", "one thread", "query_cpu_ms", ".1f")]
    columns += [("beside two busy, CPU ms", "12 words", busy, "query_cpu_ms", ".1f")]
    columns += [("p95 beside two busy, ms", "12 words", busy, "query_p95_wall_ms", ".0f")]
    lines = ["| system | " + " | ".join(c[0] for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for system in dict.fromkeys(r["system"] for r in rows):
        cells = [format(found[(system, *key)], style) if (system, *key) in found else "-" for _, *key, style in columns]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def publish(rows, about):
    """Write results.json, and the table between the README's markers."""
    for entry in rows:
        entry.update(about)
    (HERE / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    readme = (HERE / "README.md").read_text()
    head, rest = readme.split("<!-- table -->")[0], readme.split("<!-- /table -->")[1]
    load = f"load {about['load_before']:.1f} before and {about['load_after']:.1f} after"
    said = f"{about['cpu']}; {about['date']}; {load}; texts: {about['texts']}."
    (HERE / "README.md").write_text(f"{head}<!-- table -->\n{said}\n\n{table(rows)}\n<!-- /table -->{rest}")


def described(load_before):
    """Return what every row says of the run."""
    asked = ["git", "-C", str(HERE), "rev-parse", "--verify", "--quiet", "HEAD"]
    return {
        "command": " ".join(["python benchmarks/encoding/run.py", *sys.argv[1:]]),
        "commit": subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip(),
        "cpu": cpu_name(),
        "date": datetime.now(UTC).date().isoformat(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "texts": "LoCoMo" if data_folder() else "seeded word salad",
    }


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--texts", type=int, default=200)
    arguments.add_argument("--queries", type=int, default=40)
    arguments.add_argument("--systems", default=",".join(SYSTEMS))
    given = arguments.parse_args()
    systems, load_before, rows = given.systems.split(","), os.getloadavg()[0], []
    with started(systems, threads=1) as workers:
        rows += throughput(workers, given.rounds, given.texts)
        rows += single(workers, given.rounds, given.queries, "one thread")
        rows += quality(workers, 3 * given.texts)
    publish(rows, described(load_before))
    with started(systems, threads=0) as workers, neighbours(2):
        rows += single(workers, given.rounds, given.queries, "default threads, two busy neighbours")
    publish(rows, described(load_before))
    print(table(rows))


if __name__ == "__main__":
    main()
