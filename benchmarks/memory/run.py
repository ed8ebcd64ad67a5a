"""Our memory beside others: the same texts, the same MiniLM, one process a task, rounds interleaved.

    python benchmarks/memory/run.py peers                       # builds .venv-peers, once
    python benchmarks/memory/run.py texts --memories 10000      # makes texts and rows, kept
    python benchmarks/memory/run.py measure --memories 10000 --rounds 3
    python benchmarks/memory/run.py texts --memories 1000000 --users 10000 --encoded 100000
    python benchmarks/memory/run.py measure --memories 1000000 --users 10000 --systems memshadow --tasks use,rows
    python benchmarks/memory/run.py tables                      # as in README.md, from results.json
    python benchmarks/memory/run.py plot                        # growth.png, from results.json

Figures are CPU time of the process (user + system), one thread; ``results.json`` keeps them, README.md shows them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PEERS = HERE.parents[1] / ".venv-peers"
PERSISTENT = ("memshadow", "mem0", "chroma", "lancedb", "txtai", "qdrant-edge", "sqlite-vec", "duckdb", "langgraph")
QUERIES, FRESH = 200, 50
MOST = 500_000  # memories of one made-up corpus


def build_peers(_):
    subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
    lines = (HERE / "requirements.txt").read_text().splitlines()
    for one in (line for line in lines if line and not line.startswith("#")):  # together, pip would look for hours
        print(f"installing {one}", flush=True)
        subprocess.run([PEERS / "bin" / "pip", "install", "-q", one], check=True)


def make_texts(given):
    """Write memories.json, asked.json, rows.npy, query_rows.npy and best.json (exact top ten) into the work folder."""
    from memshadow.config import build, load
    from memshadow.models.cached import CachedEmbedder

    work = folder_of(given)
    work.mkdir(parents=True, exist_ok=True)
    texts, asked = told(given.memories)
    users = [f"user{place * given.users // given.memories:05d}" for place in range(given.memories)]
    memories = [(f"m{i}", users[i], texts[i]) for i in range(given.memories)]
    rng = np.random.default_rng(0)
    queries = [(users[rng.integers(given.memories)], asked[rng.integers(len(asked))]) for _ in range(QUERIES)]
    fresh = [(f"f{i}", users[rng.integers(given.memories)], texts[given.memories + i]) for i in range(FRESH)]
    embedder = CachedEmbedder(encoder=build(load("memory", []).embedder), folder=str(given.cache))
    rows = rows_of(embedder, texts[: given.memories], given.encoded, rng)
    query_rows = embedder.embed_queries([text for _, text in queries])
    best = []
    for (user, _), row in zip(queries, query_rows, strict=True):
        mine = [place for place, name in enumerate(users) if name == user]
        best.append([f"m{mine[i]}" for i in np.argsort(-(rows[mine] @ row), kind="stable")[:10]])
    np.save(work / "rows.npy", rows)
    np.save(work / "query_rows.npy", query_rows)
    (work / "memories.json").write_text(json.dumps(memories))
    (work / "asked.json").write_text(json.dumps({"queries": queries, "fresh": fresh}))
    (work / "best.json").write_text(json.dumps(best))
    print(f"{given.memories} texts of {given.users} users in {work}")


def told(count):
    """Return distinct texts of made-up lives, a few more than ``count``, and questions about such lives."""
    from memshadow.config import build, load

    texts, asked = [], []
    for seed in range(1 + count // MOST):
        wanted = min(count, MOST) + max(5000, count // 20)
        corpus = build(load("train", [f"data.memories={wanted}", f"data.seed={seed}"]).data)
        for conversation in corpus.conversations():
            texts += [memory.rendered() for memory in conversation.memories]
            asked += [question.text for question in conversation.questions]
    texts = list(islice(dict.fromkeys(texts), count + FRESH))
    if len(texts) < count + FRESH:
        sys.exit(f"only {len(texts)} distinct texts came; raise the margin")
    known = set(texts)
    return texts, [text for text in dict.fromkeys(asked) if text not in known]


def rows_of(embedder, texts, encoded, rng):
    """Return a row a text; beyond the first ``encoded``, one near to that of an encoded text, drawn."""
    from memshadow.types import Passage

    encoded = min(encoded or len(texts), len(texts))
    firsts = range(0, encoded, 2000)
    rows = np.vstack([embedder.embed_passages([Passage(text=t) for t in texts[i : i + 2000]]) for i in firsts])
    rows = rows[: len(texts)]
    while len(rows) < len(texts):
        near = rows[: min(encoded, len(texts) - len(rows))]
        near = near + rng.standard_normal(near.shape, dtype=np.float32) / 40  # cosine to its origin about .9
        rows = np.vstack([rows, near / np.linalg.norm(near, axis=1, keepdims=True)])
    return rows


def folder_of(given):
    return given.work / name_of(given)


def name_of(given):
    return str(given.memories) if given.users == 1000 else f"{given.memories}-{given.users}"


def run(system, task, given, folder, number=0):
    from memshadow.models.pretrained import locate

    python = sys.executable if system == "memshadow" else PEERS / "bin" / "python"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "MINILM": str(locate("minilm")),
    }
    command = [
        python,
        HERE / "one.py",
        "--system",
        system,
        "--task",
        task,
        "--work",
        folder_of(given),
        "--folder",
        folder,
        "--round",
        str(number),
        "--queries",
        str(given.queries),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=7200)
    if done.returncode:
        print(f"{system} {task} failed:\n{done.stderr[-2000:]}", flush=True)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(given):
    best = json.loads((folder_of(given) / "best.json").read_text())
    systems = given.systems.split(",")
    told = {system: [] for system in systems}
    for number in range(given.rounds):
        for system in systems:
            folder = folder_of(given) / f"store-{system}"
            row = {"round": number}
            if number == 0:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                loaded = run(system, "load", given, folder)
                if loaded is None:
                    continue
                row["load"] = loaded
            for task in given.tasks.split(","):
                place = folder
                if task == "encode":
                    place = folder_of(given) / f"encode-{system}"
                    shutil.rmtree(place, ignore_errors=True)
                    place.mkdir(parents=True)
                row[task] = run(system, task, given, place, number)
                if row[task] and "found" in row[task]:
                    found = row[task].pop("found")
                    same = [len(set(a) & set(b)) / max(1, len(b)) for a, b in zip(found, best, strict=False)]
                    row[task]["overlap"] = float(np.mean(same))
            told[system].append(row)
            print(system, json.dumps(row), flush=True)
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    results.setdefault(name_of(given), {}).update({system: rows for system, rows in told.items() if rows})
    file.write_text(json.dumps(results, indent=1) + "\n")


def plot(_):
    """Draw growth.png: what one user's search, a single add and the folder cost as memories become more."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    results = json.loads((HERE / "results.json").read_text())
    sizes = {name: int(name.partition("-")[0]) for name in results}
    panels = {
        "one user's search, text in, CPU ms": lambda row: row["use"]["search"]["cpu_ms"],
        "the same with the question's row given, CPU ms": lambda row: row["rows"]["search"]["cpu_ms"],
        "one add, text in, CPU ms": lambda row: row["use"]["add_one"]["cpu_ms"],
        "loading, CPU ms a memory": lambda row: 1000 * row["load"]["load_cpu_s"] / row["memories"],
        "open and first search, wall s": lambda row: row["use"]["cold_wall_s"],
        "disk, bytes a memory": lambda row: row["use"]["disk_bytes"] / row["memories"],
    }
    figure, axes = plt.subplots(2, 3, figsize=(14, 7.5), layout="constrained")
    for place, system in enumerate(PERSISTENT):
        for axis, (title, of) in zip(axes.flat, panels.items(), strict=True):
            points = {}
            for name in sorted(sizes, key=len):  # where 10,000 were also measured with 100 a user, those
                values = _values(results[name].get(system, []), of, sizes[name])
                points |= {sizes[name]: float(np.median(values))} if values else {}
            points = sorted(points.items())
            own = system == "memshadow"
            axis.plot(*zip(*points, strict=True) if points else ([], []), marker="o", label=system, color=f"C{place}",
                      linewidth=2.6 if own else 1.1, zorder=3 if own else 2)  # fmt: skip
            axis.set(title=title, xscale="log", yscale="log")
            axis.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter="")
            axis.grid(alpha=0.25)
    for axis in axes[1]:
        axis.set_xlabel("memories")
    axes[0, 0].legend(fontsize=8, frameon=False)
    figure.savefig(HERE / "growth.png", dpi=110)
    print(HERE / "growth.png")


TABLE = {
    "load, CPU s": (lambda row: row["load"]["load_cpu_s"], "{:.1f}"),
    "one user's search, text in, CPU ms": (lambda row: row["use"]["search"]["cpu_ms"], "{:.1f}"),
    "its wall p50, ms": (lambda row: row["use"]["search"]["wall_p50_ms"], "{:.1f}"),
    "the same, the question's row given, CPU ms": (lambda row: row["rows"]["search"]["cpu_ms"], "{:.1f}"),
    "one add, text in, CPU ms": (lambda row: row["use"]["add_one"]["cpu_ms"], "{:.1f}"),
    "top ten as exact fp32": (lambda row: row["use"]["overlap"], "{:.3f}"),
    "open and first search, wall s": (lambda row: row["use"]["cold_wall_s"], "{:.1f}"),
    "disk, MB": (lambda row: row["use"]["disk_bytes"] / 1e6, "{:.0f}"),
    "resident at its most, MB": (lambda row: row["use"]["rss_mb"], "{:.0f}"),
}


def tables(_):
    """Print the tables of README.md: medians over the rounds of each comparison."""
    results = json.loads((HERE / "results.json").read_text())
    for name, systems in results.items():
        own = {one: rows for one, rows in systems.items() if rows}
        print(f"\n{name}\n\n| | {' | '.join(own)} |\n|---|{'---|' * len(own)}")
        print(f"| rounds | {' | '.join(str(len(rows)) for rows in own.values())} |")
        for title, (of, form) in TABLE.items():
            values = [_values(rows, of, 0) for rows in own.values()]
            cells = [form.format(np.median(value)) if value else "" for value in values]
            print(f"| {title} | {' | '.join(cells)} |")


def _values(rows, of, memories):
    values = []
    for row in rows:
        try:
            values.append(of({**row, "memories": memories}))
        except (KeyError, TypeError):  # a task that was not run, or failed
            continue
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["peers", "texts", "measure", "tables", "plot"])
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--encoded", type=int, default=0, help="texts that are really encoded; 0: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", default=",".join(PERSISTENT))
    parser.add_argument("--queries", type=int, default=QUERIES, help="of the slow ones at many memories, fewer")
    parser.add_argument("--tasks", default="encode,use,rows")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--cache", type=Path, default=HERE / "work" / "cache")
    given = parser.parse_args()
    task = {"peers": build_peers, "texts": make_texts, "measure": measure, "tables": tables, "plot": plot}[given.what]
    task(given)


if __name__ == "__main__":
    main()
