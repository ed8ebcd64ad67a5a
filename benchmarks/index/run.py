"""What searching an index costs: python benchmarks/index/run.py users|alone|first|many [options]; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402 - after the threads are set

from memshadow.data.index.base import Entry  # noqa: E402
from memshadow.data.index.blocks import ExactIndex  # noqa: E402
from memshadow.data.index.promoted import PromotedBlock, PromotedIndex  # noqa: E402
from memshadow.data.store.base import Filter, Owner, Stored  # noqa: E402
from memshadow.types import Draft, Record, Scope  # noqa: E402

K = 10
DIM = 384
WORDS = [f"word{i}" for i in range(2_000)]
START = datetime(2026, 1, 1, tzinfo=UTC)


class Made:
    """A store whose content is worked out when asked for: ``rows`` rows of each of ``users`` users."""

    def __init__(self, users: int, rows: int, matrix: np.ndarray | None = None) -> None:
        self.users, self.rows, self.matrix = users, rows, matrix
        self.last_seq = users * rows

    def owners(self, *, tenant: str | None = None) -> Iterator[tuple[Owner, int]]:  # noqa: ARG002
        return iter([(("local", f"u{i}"), self.rows) for i in range(self.users)])

    def changed(self, fingerprint: str, *, after: int) -> Iterator[tuple[Owner, int]]:  # noqa: ARG002
        last = [(owner, (i + 1) * self.rows) for i, (owner, _) in enumerate(self.owners())]
        return iter([(owner, seq) for owner, seq in last if seq > after])

    def stored(self, owner: Owner, fingerprint: str) -> list[Stored]:  # noqa: ARG002
        i = int(owner[1][1:])
        rng = np.random.default_rng(i)
        matrix = self.matrix if self.matrix is not None else unit(rng, self.rows)
        words = rng.integers(0, len(WORDS), size=(self.rows, 12))
        return [
            Stored(record=self.record(owner, i * self.rows + j + 1, words[j]), vector=matrix[j], written_seq=0)
            for j in range(self.rows)
        ]

    def record(self, owner: Owner, seq: int, words: np.ndarray) -> Record:
        draft = Draft(text=" ".join([WORDS[w] for w in words]), speaker="Ann", happened_at=START)
        scope = Scope(user=owner[1], session=f"s{seq // 20}")
        digest = seq * 0x9E3779B97F4A7C15 % 2**64
        return Record(
            id=str(seq), version=1, scope=scope, turn=seq, draft=draft, ingested_at=START, digest=digest, seq=seq
        )

    def versions(self, owner: Owner, seqs: Sequence[int]) -> list[Record]:
        return [self.record(owner, seq, np.zeros(1, dtype=int)) for seq in seqs]


def read(stored: Sequence[Stored]) -> list[Entry]:
    return [Entry(record=s.record, vector=s.vector, terms=s.record.text.split()) for s in stored]


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.standard_normal((count, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cpu_us(search: Callable[[int], object], count: int, repeats: int) -> float:
    """Return microseconds of CPU a search, the median of some rounds."""
    rounds = []
    for _ in range(repeats):
        begun = time.process_time()
        for i in range(count):
            search(i)
        rounds.append((time.process_time() - begun) / count * 1e6)
    return float(np.median(rounds))


def users(_: argparse.Namespace) -> dict[str, float]:
    """One user's search among 1,000 users of 100 rows, against the same on bare arrays."""
    store, rng = Made(1_000, 100), np.random.default_rng(0)
    index = ExactIndex(folder=None, precision="fp32", cache_mb=1_000, save_every=10**9, rebuild=False)
    index.attach(store, fingerprint="made", dim=DIM, read=read)  # type: ignore[arg-type]
    scopes = [Scope(user=f"u{i}") for i in rng.permutation(1_000)]
    queries = unit(rng, 1_000)
    bare = [index.block(scope.owner).matrix.copy() for scope in scopes]
    given = Filter()

    def ours(i: int) -> object:
        block = index.block(scopes[i].owner)
        return block.nearest(queries[i], k=K, allowed=block.allowed(scopes[i], given))

    def one_session(i: int) -> object:
        block = index.block(scopes[i].owner)
        scope = Scope(user=scopes[i].user, session="s3")
        return block.nearest(queries[i], k=K, allowed=block.allowed(scope, given))

    def scan(i: int) -> object:
        scores = bare[i] @ queries[i]
        best = np.argpartition(scores, -K)[-K:]
        best = best[np.argsort(-scores[best])]
        return best, scores[best]

    for i in range(1_000):
        right, wanted = ours(i), scan(i)
        assert (right.places == wanted[0]).all()  # type: ignore[attr-defined,index]
    taken: dict[str, list[float]] = {"ours": [], "bare scan": [], "ours, one session": []}
    for _ in range(7):
        for name, search in (("ours", ours), ("bare scan", scan), ("ours, one session", one_session)):
            taken[name].append(cpu_us(search, 1_000, 1))
    index.close()
    return {f"{name}, us": round(float(np.median(t)), 1) for name, t in taken.items()} | {
        "ratio": round(float(np.median(taken["ours"]) / np.median(taken["bare scan"])), 2)
    }


def alone(given: argparse.Namespace) -> dict[str, float]:
    """One owner of 100,000 rows: FlatIP, our exact scan, our promoted search."""
    import faiss

    faiss.omp_set_num_threads(1)
    rows, queries = np.load(given.rows), np.load(given.queries)[: given.count]
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    bound = flat.search(queries, K)[0][:, -1] - 1e-6
    index = PromotedIndex(
        folder=given.folder,
        precision="fp32",
        cache_mb=1_000,
        save_every=10**9,
        rebuild=False,
        promote_at=20_000,
        shortlist=16,
        structure=given.structure,
        links=24,
        build_effort=120,
        lists=256,
        effort=given.effort,
    )
    store = Made(1, len(rows), rows)
    index.attach(store, fingerprint="made", dim=rows.shape[1], read=read)  # type: ignore[arg-type]
    owner, scope = ("local", "u0"), Scope(user="u0")
    block, begun = index.block(owner), time.process_time()
    while not isinstance(index.block(owner), PromotedBlock):
        time.sleep(0.5)
    built = time.process_time() - begun
    promoted = index.block(owner)
    recalls = [(promoted.nearest(q, k=K, allowed=None).scores >= b).mean() for q, b in zip(queries, bound, strict=True)]
    halves = np.array_split(np.random.default_rng(7).permutation(len(queries)), 2)

    def ours(i: int) -> object:
        here = index.block(owner)
        return here.nearest(queries[i], k=K, allowed=here.allowed(scope, Filter()))

    taken: dict[str, list[float]] = {"FlatIP": [], "exact": [], "promoted": []}
    for _ in range(15):
        taken["FlatIP"].append(cpu_us(lambda i: flat.search(queries[i : i + 1], K), 10, 1))
        taken["exact"].append(cpu_us(lambda i: block.nearest(queries[i], k=K, allowed=None), 10, 1))
        taken["promoted"].append(cpu_us(ours, len(queries), 1))
    index.close()
    us = {name: float(np.median(t)) for name, t in taken.items()}
    return {f"{name}, us": round(t, 1) for name, t in us.items()} | {
        "times FlatIP": round(us["FlatIP"] / us["promoted"], 1),
        "recall@10 of the half that settings were chosen by": round(float(np.mean(np.take(recalls, halves[0]))), 4),
        "recall@10 of the other half": round(float(np.mean(np.take(recalls, halves[1]))), 4),
        "build, CPU s": round(built, 1),
        "rows": len(rows),
    }


def first(given: argparse.Namespace) -> dict[str, float]:
    """One owner's rows, all scored: by all their numbers, or by the first of them and then the best wholly."""
    rows, queries = np.load(given.rows), np.load(given.queries)
    rows = rows[np.random.default_rng(0).permutation(len(rows))][: given.most]
    queries = queries[np.random.default_rng(1).permutation(len(queries))][: given.count]
    store, dim = Made(1, len(rows), rows), rows.shape[1]

    def opened(dims: int | None, times: int) -> ExactIndex:
        index = ExactIndex(
            folder=None,
            precision="fp32",
            cache_mb=4_000,
            save_every=10**9,
            rebuild=False,
            first_dims=dims,
            first_k=times,
        )
        index.attach(store, fingerprint="made", dim=dim, read=read)  # type: ignore[arg-type]
        return index

    whole = opened(None, 1)
    block = whole.block(("local", "u0"))
    bound = [block.nearest(q, k=K, allowed=None).scores[-1] - 1e-5 for q in queries]
    found: dict[str, float] = {"rows": len(rows), "whole, us": 0.0}
    found["whole, us"] = round(cpu_us(lambda i: block.nearest(queries[i], k=K, allowed=None), 20, 5), 1)
    whole.close()
    for dims, times in given.stages:
        index = opened(dims, times)
        near = index.block(("local", "u0")).nearest
        hits = [(near(q, k=K, allowed=None).scores >= b).mean() for q, b in zip(queries, bound, strict=True)]
        found[f"{dims} numbers, {times} times: recall@10"] = round(float(np.mean(hits)), 4)
        found[f"{dims} numbers, {times} times: us"] = round(
            cpu_us(lambda i, near=near: near(queries[i], k=K, allowed=None), 20, 5), 1
        )
        index.close()
    return found


def many(given: argparse.Namespace) -> dict[str, float]:
    """10,000 owners of 100 rows: make and save, then open in a new process."""
    if given.open:
        return _opened(given)
    index = ExactIndex(folder=given.folder, precision=given.precision, cache_mb=512, save_every=50_000, rebuild=False)
    store = Made(given.owners, 100)
    index.attach(store, fingerprint="made", dim=DIM, read=read)  # type: ignore[arg-type]
    begun, saving = time.process_time(), 0.0
    for i, (owner, count) in enumerate(store.owners()):
        assert index.block(owner).size == count
        if i % 500 == 499:
            before = time.process_time()
            index.save()
            saving += time.process_time() - before
    made = time.process_time() - begun
    index.close()
    size = sum(path.stat().st_size for path in Path(given.folder).iterdir())
    again = [*sys.argv, "--open"]
    opened = json.loads(subprocess.run([sys.executable, *again], stdout=subprocess.PIPE, check=True).stdout)
    return {
        "rows": store.last_seq,
        "made and saved, CPU s": round(made, 1),
        "of it saving, CPU s": round(saving, 1),
        "bytes a row": round(size / store.last_seq, 1),
        **opened,
    }


def _opened(given: argparse.Namespace) -> dict[str, float]:
    store = Made(given.owners, 100)
    bare = _resident_mb()
    index = ExactIndex(folder=given.folder, precision=given.precision, cache_mb=512, save_every=50_000, rebuild=True)
    begun = time.perf_counter()
    index.attach(store, fingerprint="made", dim=DIM, read=read)  # type: ignore[arg-type]
    attached = time.perf_counter() - begun
    after = _resident_mb()
    rng = np.random.default_rng(1)
    scopes = [Scope(user=f"u{i}") for i in rng.integers(0, given.owners, size=2_000)]
    queries = unit(rng, 2_000)

    def search(i: int) -> object:
        block = index.block(scopes[i].owner)
        return block.nearest(queries[i], k=K, allowed=block.allowed(scopes[i], Filter()))

    first = cpu_us(search, 2_000, 1)
    again = cpu_us(search, 2_000, 3)
    result = {
        "attach, wall s": round(attached, 3),
        "attach, MB": round(after - bare, 1),
        "first search of an owner, us": round(first, 1),
        "later search, us": round(again, 1),
        "MB after 2,000 owners": round(_resident_mb() - bare, 1),
        "found wrong": len(index.report),
    }
    begun = time.perf_counter()
    index.close()
    return result | {"close, wall s": round(time.perf_counter() - begun, 3)}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verbs.add_parser("users").set_defaults(run=users)
    large = verbs.add_parser("alone")
    large.set_defaults(run=alone)
    large.add_argument("--rows", required=True, help="a .npy file of float32 rows")
    large.add_argument("--queries", required=True, help="a .npy file of float32 rows")
    large.add_argument("--count", type=int, default=500)
    large.add_argument("--folder", default=None)
    large.add_argument("--structure", default="hnsw")
    large.add_argument("--effort", type=int, default=20)
    early = verbs.add_parser("first")
    early.set_defaults(run=first)
    early.add_argument("--rows", required=True, help="a .npy file of float32 rows")
    early.add_argument("--queries", required=True, help="a .npy file of float32 rows")
    early.add_argument("--count", type=int, default=200)
    early.add_argument("--most", type=int, default=None, help="rows taken at most")
    early.add_argument(
        "--stages",
        type=lambda word: tuple(map(int, word.split("x"))),
        nargs="+",
        default=[(384, 30), (384, 100), (800, 30), (1216, 10)],
        help="DIMSxTIMES",
    )
    full = verbs.add_parser("many")
    full.set_defaults(run=many)
    full.add_argument("--owners", type=int, default=10_000)
    full.add_argument("--folder", required=True)
    full.add_argument("--precision", default="fp16")
    full.add_argument("--open", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    print(json.dumps(given.run(given)))


if __name__ == "__main__":
    main()
