"""Our memory beside others: the same texts, the same MiniLM, one process a task, rounds interleaved.

    python benchmarks/memory/run.py peers                       # builds .venv-peers, once
    python benchmarks/memory/run.py texts --memories 10000      # makes texts and rows, kept
    python benchmarks/memory/run.py measure --memories 10000 --rounds 3
    python benchmarks/memory/run.py measure --memories 1000000 --systems memshadow

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
USERS, QUERIES, FRESH = 1000, 200, 50


def build_peers(_):
    subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
    lines = (HERE / "requirements.txt").read_text().splitlines()
    for one in (line for line in lines if line and not line.startswith("#")):  # together, pip would look for hours
        print(f"installing {one}", flush=True)
        subprocess.run([PEERS / "bin" / "pip", "install", "-q", one], check=True)


def make_texts(given):
    """Write texts.json, rows.npy, query_rows.npy and best.json (exact top ten) into the work folder."""
    from memshadow.config import build, load
    from memshadow.models.cached import CachedEmbedder
    from memshadow.types import Passage

    work = folder_of(given)
    work.mkdir(parents=True, exist_ok=True)
    corpus = build(load("train", [f"data.memories={given.memories + 5000}"]).data)
    texts, asked = [], []
    for conversation in corpus.conversations():
        texts += [memory.rendered() for memory in conversation.memories]
        asked += [question.text for question in conversation.questions]
    texts = list(islice(dict.fromkeys(texts), given.memories + FRESH))
    if len(texts) < given.memories + FRESH:
        sys.exit(f"only {len(texts)} distinct texts came; raise the margin")
    users = [f"user{place * USERS // given.memories:04d}" for place in range(given.memories)]
    memories = [(f"m{i}", users[i], texts[i]) for i in range(given.memories)]
    rng = np.random.default_rng(0)
    known = set(texts)
    asked = [text for text in dict.fromkeys(asked) if text not in known]
    queries = [(users[rng.integers(given.memories)], asked[rng.integers(len(asked))]) for _ in range(QUERIES)]
    fresh = [(f"f{i}", users[rng.integers(given.memories)], texts[given.memories + i]) for i in range(FRESH)]
    config = load("memory", [])
    embedder = CachedEmbedder(encoder=build(config.embedder), folder=str(given.cache))
    rows = np.vstack(
        [
            embedder.embed_passages([Passage(text=text) for text in texts[first : first + 2000]])
            for first in range(0, given.memories, 2000)
        ]
    )[: given.memories]
    query_rows = embedder.embed_queries([text for _, text in queries])
    best = []
    for (user, _), row in zip(queries, query_rows, strict=True):
        mine = [place for place, name in enumerate(users) if name == user]
        best.append([f"m{mine[i]}" for i in np.argsort(-(rows[mine] @ row), kind="stable")[:10]])
    np.save(work / "rows.npy", rows)
    np.save(work / "query_rows.npy", query_rows)
    (work / "texts.json").write_text(json.dumps({"memories": memories, "queries": queries, "fresh": fresh}))
    (work / "best.json").write_text(json.dumps(best))
    print(f"{given.memories} texts of {USERS} users in {work}")


def folder_of(given):
    return given.work / str(given.memories)


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
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=3600)
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
                    same = [len(set(a) & set(b)) / max(1, len(b)) for a, b in zip(found, best, strict=True)]
                    row[task]["overlap"] = float(np.mean(same))
            told[system].append(row)
            print(system, json.dumps(row), flush=True)
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    results.setdefault(str(given.memories), {}).update(told)
    file.write_text(json.dumps(results, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["peers", "texts", "measure"])
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", default=",".join(PERSISTENT))
    parser.add_argument("--tasks", default="encode,use,rows")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--cache", type=Path, default=HERE / "work" / "cache")
    given = parser.parse_args()
    {"peers": build_peers, "texts": make_texts, "measure": measure}[given.what](given)


if __name__ == "__main__":
    main()
