"""One system, one task, one process: prints a line of JSON. ``run.py`` calls it."""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from systems import Rows, open_system

BATCH = 100


def cpu_s():
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def size_bytes(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def by_user(memories):
    users = {}
    for place, (one, user, text) in enumerate(memories):
        users.setdefault(user, []).append((one, text, place))
    return users


def load(system, memories):
    began = cpu_s()
    for user, told in by_user(memories).items():
        for first in range(0, len(told), BATCH):
            part = told[first : first + BATCH]
            system.add(user, [one for one, _, _ in part], [text for _, text, _ in part])
    if hasattr(system, "loaded"):
        system.loaded()
    return cpu_s() - began


def timed(calls):
    used, waited = [], []
    for call in calls:
        began, at = cpu_s(), time.perf_counter()
        call()
        used.append(1000 * (cpu_s() - began))
        waited.append(1000 * (time.perf_counter() - at))
    return {"cpu_ms": float(np.mean(used)), "wall_p50_ms": float(np.median(waited))}


def use(system, queries, fresh, k):
    """Search by text, search by row, add one by one."""
    found = []
    for user, text in queries[:3]:
        system.search(user, text, k)
    searches = timed([lambda u=user, t=text: found.append(system.search(u, t, k)) for user, text in queries])
    told = {"search": searches, "found": found}
    singles = [lambda u=user, i=one, t=text: system.add(u, [i], [t]) for one, user, text in fresh]
    told["add_one"] = timed(singles)
    return told


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--system", required=True)
    parser.add_argument("--task", required=True, choices=["load", "use", "rows", "encode"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--round", default="0")
    parser.add_argument("--queries", type=int, default=200)
    given = parser.parse_args()
    asked = json.loads((given.work / "asked.json").read_text())
    queries = asked["queries"][: given.queries]
    # texts that nobody has seen, of users whom nobody searches
    fresh = [
        (f"{one}-{given.round}", f"new{i % 10}", f"{text} ({given.round})")
        for i, (one, _, text) in enumerate(asked["fresh"])
    ]
    loads = given.task in ("load", "encode") or given.system == "langgraph"  # which keeps all in memory
    memories = json.loads((given.work / "memories.json").read_text()) if loads else []
    texts, known = [], []
    if loads and given.task != "encode":
        texts, known = [text for _, _, text in memories], list(np.load(given.work / "rows.npy"))
    if given.task == "rows":  # the vector part alone: the question's row is given
        texts = texts + [text for _, text in queries]
        known = known + list(np.load(given.work / "query_rows.npy")[: len(queries)])
    rows = Rows(texts, known)
    began, at = cpu_s(), time.perf_counter()
    system = open_system(given.system, given.folder, rows)
    told = {"open_cpu_s": cpu_s() - began}
    if loads and given.task != "encode":
        told["load_cpu_s"] = load(system, memories)
    if given.task == "encode":
        told["encode_cpu_s"] = load(system, memories[:512])
    if given.task in ("use", "rows"):
        began = cpu_s()
        system.search(*queries[0], 10)
        told |= {"first_cpu_s": cpu_s() - began, "cold_wall_s": time.perf_counter() - at}
        told |= use(system, queries, fresh if given.task == "use" else [], 10)
    began = cpu_s()
    system.close()
    told["close_cpu_s"] = cpu_s() - began
    told["disk_bytes"] = size_bytes(given.folder)
    told["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
