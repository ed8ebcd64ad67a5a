"""A small store that is written to and an index that is told, for the tests of this folder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.data.index.base import Applied, Entry, MemoryIndex, text_hash
from memshadow.data.store.base import Change, Embedding, End, Erase, Insert, MemoryStore, Owner, Revector, Row, Stored
from memshadow.data.store.reference import ReferenceStore
from memshadow.types import Draft, Record, Scope

DIM = 8
FINGERPRINT = "print"
START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIGS = sorted(path.stem for path in (config_dir() / "index").glob("*.yaml"))
WORDS = [f"word{i}" for i in range(12)]


def node(name: str) -> dict[str, Any]:
    """Return a choice of ``configs/index`` with the choice that it is made from."""
    tree = OmegaConf.to_container(OmegaConf.load(config_dir() / "index" / f"{name}.yaml"))
    assert isinstance(tree, dict)
    whole: dict[str, Any] = {}
    for base in tree.pop("defaults", ["_self_"]):
        whole |= tree if base == "_self_" else node(base)
    return whole


def index(name: str, folder: Path | None, **settings: Any) -> MemoryIndex:
    """Build a choice; settings that it does not know are left out."""
    choice = node(name)
    given = {"folder": str(folder) if folder else None} | settings
    made = build(choice, **{key: value for key, value in given.items() if key in choice})
    assert isinstance(made, MemoryIndex)
    return made


def read(stored: Sequence[Stored]) -> list[Entry]:
    return [
        Entry(
            record=s.record,
            vector=s.vector,
            terms=s.record.text.split(),
            form=text_hash(s.record.text) if s.record.text else 0,
        )
        for s in stored
    ]


class World:
    """Writes, and tells an index what it wrote. Vectors are small whole numbers: scores are exact, and often equal."""

    def __init__(self, seed: int = 0, dim: int = DIM) -> None:
        self.dim = dim
        self.random = random.Random(seed)
        self.store: MemoryStore = ReferenceStore()
        self.store.declare(Embedding(fingerprint=FINGERPRINT, name="test", dim=dim, active=True))
        self.names = 0
        self.clock = START

    def attached(self, made: MemoryIndex) -> MemoryIndex:
        made.attach(self.store, fingerprint=FINGERPRINT, dim=self.dim, read=read)
        return made

    def vector(self) -> np.ndarray:
        return np.array([self.random.randint(-3, 3) for _ in range(self.dim)], dtype=np.float32)

    def tick(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock

    def draft(self) -> Draft:
        pick = self.random.choice
        return Draft(
            text=" ".join(self.random.choices(WORDS, k=self.random.randint(0, 6))),
            speaker=pick(["", "Ann", "Bob"]),
            kind=pick(["episodic", "semantic", "prospective"]),
            happened_at=pick([None, START, START + timedelta(days=self.random.randint(0, 5))]),
            tags=pick([(), ("t",)]),
        )

    def insert(self, user: str, old: Record | None = None) -> Insert:
        self.names += 1
        pick = self.random.choice
        scope = Scope(user=user, agent=pick([None, "x", "y"]), session=pick([None, "s", "t"]))
        record = Record(
            id=old.id if old else f"m{self.names}",
            version=old.version + 1 if old else 1,
            scope=old.scope if old else scope,
            turn=self.random.randint(0, 9),
            draft=self.draft(),
            ingested_at=self.tick(),
            digest=self.random.getrandbits(64),
        )
        return Insert(record=record, rows=(Row(fingerprint=FINGERPRINT, vector=self.vector()),))

    def update(self, user: str, old: Record) -> list[Change]:
        return [End(owner=("local", user), seq=old.seq, at=self.tick(), by="update"), self.insert(user, old)]

    def revector(self, user: str, old: Record) -> Revector:
        return Revector(owner=("local", user), seq=old.seq, row=Row(fingerprint=FINGERPRINT, vector=self.vector()))

    def records(self, user: str) -> list[Record]:
        return [s.record for s in self.store.stored(("local", user), FINGERPRINT)]

    def write(self, user: str, changes: Sequence[Change]) -> Applied:
        """Write to the store; return what an index must be told of it."""
        owner: Owner = ("local", user)
        before = {s.record.seq: s for s in self.store.stored(owner, FINGERPRINT)}
        first = self.store.last_seq
        seq = self.store.write(changes)
        after = {s.record.seq: s for s in self.store.stored(owner, FINGERPRINT)}
        return Applied(
            seq=seq,
            inserted=read([s for n, s in after.items() if n > first]),
            ended=[s.record for s in after.values() if s.record.ended_seq and s.record.ended_seq > first],
            revectored={c.seq: after[c.seq].vector for c in changes if isinstance(c, Revector) and c.seq in after},
            erased=[n for n in before if n not in after],
        )

    def add(self, index: MemoryIndex, user: str, count: int = 1) -> None:
        """Add some memories in one write."""
        index.apply(("local", user), self.write(user, [self.insert(user) for _ in range(count)]))

    def erase(self, index: MemoryIndex, user: str, record: Record) -> None:
        index.apply(("local", user), self.write(user, [Erase(owner=("local", user), id=record.id)]))
