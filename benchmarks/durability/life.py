"""A random life of a store: what it is told, what it acknowledged, and what it must therefore hold.

Text, and every vector, follow from names and a nonce, so that a few bytes about a call are enough to know all it wrote.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import numpy as np

from memshadow.data.store.base import Change, End, Erase, Filter, Insert, MemoryStore, Revector, Row
from memshadow.types import Draft, Record, Scope

DIMS = {"main": 256, "second": 64}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Op = list[Any]
"""["i", id, nonce] insert, ["u", id, nonce] update, ["s", old, new, nonce] supersede, ["e", id], ["r", id, nonce]."""


def vector(name: str, version: int, fingerprint: str, nonce: int) -> np.ndarray:
    """Return the vector that follows from these, exactly representable in half precision."""
    seed = blake2b(f"{name}/{version}/{fingerprint}/{nonce}".encode(), digest_size=8).digest()
    numbers = np.random.default_rng(int.from_bytes(seed, "big")).integers(-512, 512, DIMS[fingerprint])
    return (numbers / 512).astype(np.float32)


def text(name: str, version: int, nonce: int) -> str:
    """Return what memory ``name`` says in this version."""
    return f"{name} v{version} n{nonce} " + "lorem ipsum " * (nonce % 20)


@dataclass
class Version:
    """What must be kept of a version."""

    version: int
    nonce: int
    ended_by: str | None = None
    superseded_by: str | None = None
    vector_nonce: int = 0
    seq: int = 0


@dataclass
class Life:
    """What one owner's memories must be."""

    memories: dict[str, list[Version]] = field(default_factory=dict)
    born: int = 0

    def copy(self) -> Life:
        """Return an independent copy."""
        return Life({n: [Version(**vars(v)) for v in vs] for n, vs in self.memories.items()}, self.born)

    def apply(self, ops: list[Op], last_seq: int = 0) -> None:
        """Do what a call said; ``last_seq`` is its answer, 0 where none came."""
        number = last_seq - sum(2 if op[0] in "us" else 1 for op in ops)
        for kind, name, *rest in ops:
            number += 2 if kind in "us" else 1
            seq = number if last_seq else 0
            if kind == "i":
                self.memories[name] = [Version(1, rest[0], seq=seq)]
            elif kind == "u":
                versions = self.memories[name]
                versions[-1].ended_by = "update"
                versions.append(Version(versions[-1].version + 1, rest[0], seq=seq))
            elif kind == "s":
                newest = self.memories[name][-1]
                newest.ended_by, newest.superseded_by = "supersede", rest[0]
                self.memories[rest[0]] = [Version(1, rest[1], seq=seq)]
            elif kind == "e":
                del self.memories[name]
            else:
                self.memories[name][-1].vector_nonce = rest[0]

    def changes(self, scope: Scope, ops: list[Op], fingerprints: list[str]) -> list[Change]:
        """Return the changes that a call stands for; every op names another memory."""
        changes: list[Change] = []
        for kind, name, *rest in ops:
            if kind == "i":
                changes.append(_insert(scope, name, 1, rest[0], fingerprints))
                continue
            newest = self.memories[name][-1]
            if kind == "u":
                changes.append(End(owner=scope.owner, seq=newest.seq, at=NOW, by="update"))
                changes.append(_insert(scope, name, newest.version + 1, rest[0], fingerprints))
            elif kind == "s":
                by = rest[0]
                changes.append(End(owner=scope.owner, seq=newest.seq, at=NOW, by="supersede", superseded_by=by))
                changes.append(_insert(scope, by, 1, rest[1], fingerprints))
            elif kind == "e":
                changes.append(Erase(owner=scope.owner, id=name))
            else:
                row = Row(fingerprint="main", vector=vector(name, newest.version, "main", rest[0]))
                changes.append(Revector(owner=scope.owner, seq=newest.seq, row=row))
        return changes

    def random_call(self, chance: random.Random, busy: set[str]) -> list[Op]:
        """Return a call on memories that no open call names."""
        free = [name for name in self.memories if name not in busy]
        holding = [name for name in free if self.memories[name][-1].ended_by is None]
        ops: list[Op] = []
        used: set[str] = set()
        for _ in range(chance.choice([1, 1, 1, 2, 5, 30])):
            kind = chance.choices("iuser", [6, 3, 2, 3, 3])[0]
            pool = [n for n in (free if kind in "er" else holding) if n not in used]
            nonce = chance.randrange(1_000_000)
            self.born += 1
            if kind == "i" or not pool:
                ops.append(["i", f"m{self.born}", nonce])
            else:
                name = chance.choice(pool)
                used.add(name)
                ops.append(
                    {"u": ["u", name, nonce], "s": ["s", name, f"m{self.born}", nonce], "e": ["e", name]}.get(
                        kind, ["r", name, nonce]
                    )
                )
        return ops

    def differences(self, store: MemoryStore, scope: Scope) -> list[str]:
        """Return how a store's memories of an owner differ from these, one sentence each."""
        kept = {(r.id, r.version): r for r in everything(store, scope)}
        must = {(n, v.version): v for n, versions in self.memories.items() for v in versions}
        found = [f"lost {key}" for key in must.keys() - kept.keys()]
        found += [f"ghost {key}" for key in kept.keys() - must.keys()]
        for key in must.keys() & kept.keys():
            record, version = kept[key], must[key]
            wanted = (text(*key, version.nonce), version.ended_by, version.superseded_by)
            if (record.text, record.ended_by, record.superseded_by) != wanted:
                found.append(f"altered {key}: {record} against {version}")
            if version.seq and record.seq != version.seq:
                found.append(f"renumbered {key}: {record.seq} against {version.seq}")
        return found + self._wrong_vectors(store, scope, kept, must)

    def _wrong_vectors(
        self, store: MemoryStore, scope: Scope, kept: dict[Any, Record], must: dict[Any, Version]
    ) -> list[str]:
        found = []
        for fingerprint in (embedding.fingerprint for embedding in store.embeddings()):
            vectors = {(s.record.id, s.record.version): s.vector for s in store.stored(scope.owner, fingerprint)}
            if fingerprint == "main":
                found += [f"no vector {key}" for key in kept.keys() - vectors.keys()]
            for key in vectors.keys() & must.keys():
                nonce = must[key].vector_nonce if fingerprint == "main" else 0
                if not np.array_equal(vectors[key], vector(*key, fingerprint, nonce)):
                    found.append(f"wrong vector {fingerprint} {key}")
        return found

    def take_numbers(self, store: MemoryStore, scope: Scope) -> None:
        """Learn the numbers that the store gave."""
        for record in everything(store, scope):
            self.memories[record.id][record.version - 1].seq = record.seq


def everything(store: MemoryStore, scope: Scope) -> list[Record]:
    """Return all versions of an owner, read in pages."""
    found: list[Record] = []
    while page := store.page(scope, Filter(latest_only=False), after=found[-1].seq if found else 0, limit=200):
        found += page
    return found


def _insert(scope: Scope, name: str, version: int, nonce: int, fingerprints: list[str]) -> Insert:
    draft = Draft(text=text(name, version, nonce), speaker="Ann", tags=("t",), metadata={"n": nonce})
    record = Record(id=name, version=version, scope=scope, turn=nonce, draft=draft, ingested_at=NOW, digest=nonce)
    rows = tuple(Row(fingerprint=f, vector=vector(name, version, f, 0)) for f in fingerprints)
    return Insert(record=record, rows=rows)
