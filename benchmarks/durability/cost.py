"""What durability costs: CPU of writes and reads, time to open, room on disk.

    python benchmarks/durability/cost.py --rows 10000 --owners 100
    python benchmarks/durability/cost.py --rows 300000 --owners 1000

Vectors are 384-d, kept in half precision; texts are 14 common words. CPU is that of the whole process.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from memshadow.data.store.base import Embedding, Filter, Insert, Row
from memshadow.data.store.embedded import EmbeddedStore
from memshadow.types import Draft, Record, Scope

DIM = 384
WORDS = """hike lake friend blue garden coffee music Monday birthday project deadline train mountain recipe doctor
parents weekend holiday painting running the a and of to in was with my our""".split()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def open_store(folder: str) -> EmbeddedStore:
    """Open the store as configs/store/embedded.yaml does."""
    return EmbeddedStore(
        folder=folder, precision="fp16", memory_mb=512, threads=1, log_mb=16, known_versions=500_000, known_records=200
    )


class Source:
    """Makes memories of random owners."""

    def __init__(self, owners: int) -> None:
        self.owners, self.made, self.text_bytes = owners, 0, 0
        self.chance, self.draw = random.Random(0), np.random.default_rng(0)

    def insert(self) -> Insert:
        """Return a new memory."""
        self.made += 1
        said = " ".join(self.chance.choices(WORDS, k=14))
        self.text_bytes += len(said)
        scope = Scope(user=f"user{self.chance.randrange(self.owners)}", session=f"s{self.made // 50 % 40}")
        record = Record(
            id=f"{self.chance.getrandbits(128):032x}", version=1, scope=scope, turn=self.made,
            draft=Draft(text=said, speaker="Ann", happened_at=NOW), ingested_at=NOW,
            digest=self.chance.getrandbits(64),
        )  # fmt: skip
        vector = self.draw.standard_normal(DIM, dtype=np.float32)
        return Insert(record=record, rows=(Row(fingerprint="one", vector=vector),))


def report(what: str, times: int, do: Callable[[], object], *, per: int = 1) -> None:
    """Print CPU and wall milliseconds of one of ``per`` parts of ``do``: the median over ``times``."""
    cpu, wall = [], []
    for _ in range(times):
        before = time.process_time(), time.perf_counter()
        do()
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
    print(f"{what:44s} {np.median(cpu) / per * 1e3:9.3f} ms CPU {np.median(wall) / per * 1e3:9.3f} ms wall", flush=True)


def main() -> None:
    """Fill a store and print what each thing costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--owners", type=int, default=100)
    given = parser.parse_args()
    source = Source(given.owners)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        store.declare(Embedding(fingerprint="one", name="one", dim=DIM, active=True))
        batches = [[source.insert() for _ in range(1000)] for _ in range(3)]
        report("a row of a batch of 1,000", 3, lambda: store.write(batches.pop()), per=1000)
        while source.made < given.rows:
            store.write([source.insert() for _ in range(min(1000, given.rows - source.made))])
        raw = source.made * DIM * 2 + source.text_bytes
        singles = [source.insert() for _ in range(100)]
        report("a single write", 100, lambda: store.write([singles.pop()]))
        report("closing", 1, store.close)
        size = (Path(folder) / "memories.duckdb").stat().st_size
        print(f"{'disk':44s} {size / source.made:9.0f} bytes a row, {size / raw:.3f} of vectors + text")
        measure_reads(folder, "")
        store = open_store(folder)
        report("compaction", 1, store.compact)
        store.close()
        size = (Path(folder) / "memories.duckdb").stat().st_size
        print(f"{'disk, compacted':44s} {size / source.made:9.0f} bytes a row, {size / raw:.3f} of vectors + text")
        measure_reads(folder, ", compacted")


def measure_reads(folder: str, state: str) -> None:
    """Print what opening and reading cost."""
    opened: list[EmbeddedStore] = []
    report(f"opening{state}", 1, lambda: opened.append(open_store(folder)))
    store, chance = opened[0], random.Random(1)
    owners = [owner for owner, _ in store.owners()]
    report(f"one owner's vectors and records{state}", 20, lambda: store.stored(chance.choice(owners), "one"))
    seqs = {owner: store.matching(Scope(user=owner[1]), Filter()) for owner in owners[:20]}

    def ten() -> None:
        owner = chance.choice(owners[:20])
        assert len(store.versions(owner, chance.choices(seqs[owner], k=10))) == 10

    report(f"ten records of one owner{state}", 60, ten)
    store.close()


if __name__ == "__main__":
    main()
