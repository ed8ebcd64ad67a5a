"""Makes a stored artefact of today's form: ``python tests/data/store/forms/make.py form1.tar.gz``.

Run once for each form that is released; the artefact is kept and never made again, so that old files still open.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from memshadow.data.store.base import Change, Embedding, End, Erase, Insert, MemoryStore, Revector, Row
from memshadow.data.store.embedded import EmbeddedStore
from memshadow.types import Draft, Record, Scope, Source

NOW = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
WIDTHS = {"first": 8, "second": 4}


def fill(store: MemoryStore) -> None:
    """Write a little of everything."""
    store.declare(Embedding(fingerprint="first", name="First", dim=8, active=True))
    store.declare(Embedding(fingerprint="second", name="Second", dim=4, active=False))
    ann = Scope(tenant="local", user="ann", agent="helper", session="s1")
    bob = Scope(tenant="firm", user="Боб")
    full = Draft(
        text="I went hiking \u2600 half \ud83d of a pair", speaker="Ann", role="user", kind="semantic",
        happened_at=NOW, importance=0.9, tags=("hike", "ключ"), metadata={"n": 2**70, "deep": [None, {"x": 0.1}]},
        image_caption="a lake", source=Source(provider="p", model="m", tool="t"), provenance="said so",
        key="hobby", supersedes="old", id="given",
    )  # fmt: skip
    store.write([_insert(ann, "hike", 1, full), _insert(bob, "nul", 1, Draft(text="nul \0 inside"))])
    store.write([End(owner=ann.owner, seq=1, at=NOW, by="update"), _insert(ann, "hike", 2, Draft(text="second"))])
    new = _insert(ann, "new", 1, Draft(text="instead"))
    store.write([End(owner=ann.owner, seq=4, at=NOW, by="supersede", superseded_by="new"), new])
    store.write(
        [
            Revector(owner=bob.owner, seq=2, row=_row("first", 99)),
            Revector(owner=bob.owner, seq=2, row=_row("second", 1)),
        ]
    )
    store.write([_insert(bob, "secret", 1, Draft(text="forget me")), Erase(owner=bob.owner, id="secret")])


def _insert(scope: Scope, name: str, version: int, draft: Draft) -> Change:
    record = Record(
        id=name, version=version, scope=scope, turn=-3, draft=draft, ingested_at=NOW, digest=2**64 - version
    )
    return Insert(record=record, rows=(_row("first", len(name) + version),))


def _row(fingerprint: str, start: int) -> Row:
    return Row(fingerprint=fingerprint, vector=np.arange(start, start + WIDTHS[fingerprint], dtype=np.float32) / 4)


def main(target: Path) -> None:
    """Write the artefact as a killed process would leave it: something in the database, something in the log."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "memories"
        store = EmbeddedStore(
            folder=str(folder),
            precision="fp16",
            memory_mb=256,
            threads=1,
            log_mb=16,
            known_versions=1000,
            known_records=200,
        )
        fill(store)
        with tarfile.open(target, "w:gz") as archive:
            for name in ("memories.duckdb", "memories.duckdb.wal", "memories.mark"):
                archive.add(folder / name, name)
        store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
