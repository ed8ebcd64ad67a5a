"""A small embedded store, opened as often as a test likes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memshadow.data.store.base import Embedding
from memshadow.data.store.embedded import EmbeddedStore

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder: small_store.py is shared by these tests

from small_store import Open


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "memories"


@pytest.fixture
def open_store(folder: Path) -> Iterator[Open]:
    """Open the store in ``folder``, as often as is asked; all are closed at the end."""
    stores: list[EmbeddedStore] = []

    def opened(**given: object) -> EmbeddedStore:
        settings = {
            "precision": "fp16",
            "memory_mb": 256,
            "threads": 1,
            "log_mb": 16,
            "known_versions": 1000,
            "known_records": 100,
        } | given
        stores.append(EmbeddedStore(folder=str(folder), **settings))  # type: ignore[arg-type]
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open) -> EmbeddedStore:
    """A new store that knows one embedder."""
    made = open_store()
    made.declare(Embedding(fingerprint="one", name="first", dim=4, active=True))
    return made
