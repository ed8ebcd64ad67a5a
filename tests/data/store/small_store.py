"""Small things to put into a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from memshadow.data.store.base import Insert, Row
from memshadow.data.store.embedded import EmbeddedStore
from memshadow.types import Draft, Record, Scope

OWNER = ("local", "ann")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Open = Callable[..., EmbeddedStore]


def insert(name: str, *, version: int = 1, text: str | None = None, owner: tuple[str, str] = OWNER) -> Insert:
    """Return a new version whose vector follows from its id."""
    scope = Scope(tenant=owner[0], user=owner[1])
    draft = Draft(text=text or f"{name} says something", speaker="Ann")
    record = Record(id=name, version=version, scope=scope, turn=0, draft=draft, ingested_at=NOW, digest=7)
    return Insert(record=record, rows=(row(float(len(name))),))


def row(value: float, fingerprint: str = "one") -> Row:
    """Return a vector of four equal numbers."""
    return Row(fingerprint=fingerprint, vector=np.full(4, value, dtype=np.float32))
