"""A checkpoint that is killed at its worst moment can be undone, whatever it had written by then."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_store import OWNER, Open, insert, row

from memshadow.data.store.base import Erase, Filter, Revector
from memshadow.data.store.embedded import EmbeddedStore, checkpoint as checkpoints, examine, salvage
from memshadow.errors import StoreError
from memshadow.types import Scope

ALL = Filter(latest_only=False)
SCOPE = Scope(tenant=OWNER[0], user=OWNER[1])
NAMES = ("memories.duckdb", "memories.duckdb.wal", "memories.mark")


def contents(store: EmbeddedStore) -> object:
    stored = [(s.record, s.vector.tolist(), s.written_seq) for s in store.stored(OWNER, "one")]
    return store.page(SCOPE, ALL, after=0, limit=9999), stored, store.last_seq


def some_work(store: EmbeddedStore, step: int) -> None:
    store.write([insert(f"m{step}-{i}", text=f"{step} {i} " * 40) for i in range(60)])
    store.write([Erase(owner=OWNER, id=f"m{step}-{i}") for i in range(20)])
    store.write([Revector(owner=OWNER, seq=store.last_seq - 30, row=row(step))])


def killed_in_checkpoint(folder: Path, store: EmbeddedStore) -> tuple[dict[str, bytes], checkpoints.Image]:
    """Run a checkpoint; return the files as if it had written all but what it overwrites, and the image it made."""
    before = {name: (folder / name).read_bytes() for name in NAMES}
    image = checkpoints._overwritten(store._opened.connection, folder / "memories.duckdb")
    store._alone(lambda: checkpoints.checkpoint(store._opened.connection, store._opened.files))
    after = (folder / "memories.duckdb").read_bytes()
    assert after != before["memories.duckdb"]
    assert not (folder / "memories.before").exists()
    return before | {"memories.duckdb": after}, image


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name in NAMES:
        (folder / name).write_bytes(files[name])


@pytest.mark.parametrize("torn", ["nothing", "half of each", "all scrambled"])
def test_a_killed_checkpoint_is_undone(store: EmbeddedStore, open_store: Open, folder: Path, torn: str) -> None:
    for step in range(2):
        some_work(store, step)
        expected = contents(store)
        files, image = killed_in_checkpoint(folder, store)
        store.close()
        put(folder, files)
        pieces = {
            "nothing": image,
            "half of each": [(place, piece[: len(piece) // 2]) for place, piece in image],
            "all scrambled": [(place, b"\7" * len(piece)) for place, piece in image],
        }[torn]
        checkpoints.swap(folder / "memories.duckdb", pieces)
        (folder / "memories.before").write_bytes(checkpoints.packed(image))
        store = open_store()
        assert contents(store) == expected
        assert store.report == () if torn == "nothing" else "has been undone" in store.report[0]
        assert not (folder / "memories.before").exists()
    store.close()
    assert examine(folder).findings == []


def test_salvage_undoes_it_too(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    some_work(store, 0)
    expected = contents(store)
    files, image = killed_in_checkpoint(folder, store)
    store.close()
    put(folder, files)
    checkpoints.swap(folder / "memories.duckdb", [(place, b"\7" * len(piece)) for place, piece in image])
    (folder / "memories.before").write_bytes(checkpoints.packed(image))
    assert salvage(folder).whole
    assert contents(open_store()) == expected


@pytest.mark.parametrize("damage", [b"", b"memshimg", b"memshimg" + bytes(100)])
def test_an_image_that_was_never_finished_is_ignored(
    store: EmbeddedStore, open_store: Open, folder: Path, damage: bytes
) -> None:
    store.write([insert("a")])
    store.close()
    (folder / "memories.before").write_bytes(damage)
    store = open_store()
    assert store.last_seq == 1
    assert store.report == ()
    assert not (folder / "memories.before").exists()


def test_an_image_that_helps_nothing_is_not_put_in(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    some_work(store, 0)
    _, image = killed_in_checkpoint(folder, store)
    store.close()
    database = folder / "memories.duckdb"
    database.write_bytes(bytes(database.stat().st_size))
    (folder / "memories.before").write_bytes(checkpoints.packed(image))
    with pytest.raises(StoreError, match=r"neither as it is nor as it was.*Nothing was changed"):
        open_store()
    assert not any(database.read_bytes())
    assert (folder / "memories.before").exists()


def test_the_log_is_emptied_when_it_has_grown(open_store: Open, store: EmbeddedStore, folder: Path) -> None:
    store.close()
    store = open_store(log_mb=0)
    store.write([insert("a")])
    store.write([insert("b")])  # the log of the first was emptied after its caller was told
    log = folder / "memories.duckdb.wal"
    store._alone(lambda: None)
    assert not log.exists() or log.stat().st_size == 0
    assert [record.id for record in store.page(SCOPE, ALL, after=0, limit=9)] == ["a", "b"]
