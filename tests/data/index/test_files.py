"""What lies in an index's folder may be anything; what comes out is what the store holds."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import world

from memshadow.data.index import blocks as blocks_module, files as files_module
from memshadow.data.index.base import Applied, MemoryIndex
from memshadow.data.index.blocks import ExactIndex
from memshadow.data.index.files import set_checksum, signed
from memshadow.data.index.reference import ReferenceIndex
from memshadow.data.store.base import Filter
from memshadow.errors import ConfigError
from memshadow.models import form
from memshadow.types import Scope

USERS = ("ann", "ben", "cy")


def made(folder: Path | None, **changed: object) -> ExactIndex:
    settings = {"precision": "fp32", "cache_mb": 10, "save_every": 10**6, "rebuild": False} | changed
    return ExactIndex(folder=str(folder) if folder else None, **settings)  # type: ignore[arg-type]


def filled(folder: Path, count: int = 30, **changed: object) -> tuple[world.World, ExactIndex]:
    """Return a world of three users and its index, everything saved."""
    small = world.World()
    index = small.attached(made(folder, **changed))
    for user in USERS:
        small.add(index, user, count)
    index.save()
    return small, index


def assert_right(small: world.World, index: MemoryIndex) -> None:
    right = small.attached(ReferenceIndex())
    query = small.vector()
    for user in (*USERS, "nobody"):
        block, wanted = index.block(("local", user)), right.block(("local", user))
        np.testing.assert_array_equal(block.seqs, wanted.seqs)
        np.testing.assert_array_equal(block.ended, wanted.ended)
        np.testing.assert_array_equal(block.forms, wanted.forms)
        np.testing.assert_array_equal(block.scores(query), wanted.scores(query))
        for word in world.WORDS:
            np.testing.assert_array_equal(block.postings(word).places, wanted.postings(word).places)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def test_a_sound_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    index.close()
    again = small.attached(made(tmp_path))
    small.store.stored = lambda *_: pytest.fail("the store was read")
    for user in USERS:
        assert again.block(("local", user)).size == 30
    assert again.report == ()
    again.close()


def test_all_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    filled(tmp_path / "index")[1].close()
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "index").iterdir()}
    assert found == {"directory": 0o600, "key": 0o600, "00000001.blocks": 0o600}
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o700


def test_no_owner_is_named_to_the_others(tmp_path: Path) -> None:
    """A flipped block, and files of another history: everybody may read the report."""
    small, index = filled(tmp_path)
    index.close()
    shutil.copytree(tmp_path, tmp_path / "copy")
    flip(tmp_path / "copy" / "00000001.blocks", 100)
    again = small.attached(made(tmp_path / "copy"))
    for user in USERS:
        again.block(("local", user))
    other = world.World(seed=1)
    for user in USERS:
        other.write(user, [other.insert(user) for _ in range(30)])
    foreign = other.attached(made(tmp_path))
    told = " ".join((*again.report, *foreign.report))
    assert "is made again" in told
    assert "another history" in told
    assert not [user for user in ("local", *USERS) if f"'{user}'" in told]
    again.close()
    foreign.close()


@pytest.mark.parametrize("name", ["directory", "key", "00000001.blocks"])
def test_every_flipped_byte_is_noticed(name: str, tmp_path: Path) -> None:
    """24 places of each: mark, names, table; header, columns, terms, rows, and the gaps between blocks."""
    small, index = filled(tmp_path / "whole")
    index.close()
    size = (tmp_path / "whole" / name).stat().st_size
    places = range(0, size, max(1, size // 24))
    unnoticed = 0
    for place in places:
        shutil.copytree(tmp_path / "whole", tmp_path / "copy", dirs_exist_ok=True)
        flip(tmp_path / "copy" / name, place)
        again = small.attached(made(tmp_path / "copy"))
        assert_right(small, again)
        unnoticed += not again.report
        again.close()
        shutil.rmtree(tmp_path / "copy")
    gaps = 3 if name.endswith("blocks") else 0  # bytes that fill up to the next line belong to no block
    assert unnoticed <= gaps


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def another(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


@pytest.mark.parametrize("name", ["directory", "key", "00000001.blocks"])
@pytest.mark.parametrize("damage", [cut, empty, zero, another, Path.unlink], ids=lambda damage: damage.__name__)
def test_damage_is_reported_and_mended(damage: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    index.close()
    damage(tmp_path / name)
    again = small.attached(made(tmp_path))
    assert_right(small, again)
    if not (name == "directory" and damage is Path.unlink):  # a folder without a directory is a new one
        assert again.report
    again.close()
    third = small.attached(made(tmp_path))
    assert_right(small, third)
    assert third.report == ()
    third.close()


def test_another_signed_file_in_place_of_the_directory_is_noticed(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    index.close()
    key = (tmp_path / "key").read_bytes()
    (tmp_path / "directory").write_bytes(signed(key, {"structure": "hnsw"}, b"rows of something else"))
    again = small.attached(made(tmp_path))
    assert_right(small, again)
    assert "version None" in again.report[0]
    again.close()


def test_a_longer_directory_is_noticed(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    index.close()
    lengthen(tmp_path / "directory")
    again = small.attached(made(tmp_path))
    assert "changed, cut, or signed with another key" in again.report[0]
    again.close()


def test_files_of_another_store_are_not_taken(tmp_path: Path) -> None:
    filled(tmp_path)[1].close()
    other = world.World(seed=1)
    for user in USERS:
        other.write(user, [other.insert(user) for _ in range(30)])
    again = other.attached(made(tmp_path))
    assert "another history" in again.report[0]
    assert_right(other, again)
    again.close()


def test_files_of_a_later_state_are_not_taken(tmp_path: Path) -> None:
    filled(tmp_path)[1].close()
    earlier = world.World()
    earlier.write("ann", [earlier.insert("ann")])
    again = earlier.attached(made(tmp_path))
    assert "put back to an earlier state" in again.report[0]
    assert_right(earlier, again)
    again.close()


def test_files_of_another_precision_are_not_taken(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    index.close()
    again = small.attached(made(tmp_path, precision="fp16"))
    assert again.report == ()  # nothing is wrong with them
    assert again._unmade
    assert_right(small, again)
    again.close()


def test_files_of_an_older_program_are_made_again_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(files_module, "VERSION", files_module.VERSION - 1)
        small, index = filled(tmp_path)
        index.close()
    again = small.attached(made(tmp_path))
    assert again.report == ()  # nothing is wrong with them
    assert again._unmade == {("local", user) for user in USERS}
    assert (tmp_path / "00000001.blocks").exists()  # until others are there
    assert_right(small, again)
    again.close()
    assert [path.name for path in tmp_path.glob("*.blocks")] == ["00000002.blocks"]
    third = small.attached(made(tmp_path))
    assert third.report == ()
    assert not third._unmade
    assert_right(small, third)
    third.close()


def test_files_of_a_newer_program_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(files_module, "VERSION", files_module.VERSION + 1)
        small, index = filled(tmp_path)
        index.close()
    again = small.attached(made(tmp_path))
    assert f"of version {files_module.VERSION + 1}, this program reads {files_module.VERSION}" in again.report[0]
    assert_right(small, again)
    again.close()


def test_the_files_and_what_stands_in_them_rise_together() -> None:
    """Whoever changes what ``forms`` mean raises both: files of the old meaning are made again."""
    assert (form.VERSION, files_module.VERSION) == (1, 3)


def test_a_write_that_was_not_applied_is_not_lost(tmp_path: Path) -> None:
    """The store had it, the index was not told when it saved: the files must not claim to hold it."""
    small, index = filled(tmp_path)
    late = small.write("ann", [small.revector("ann", small.records("ann")[4])])
    small.add(index, "ben")
    index.save()
    again = small.attached(made(tmp_path))
    assert_right(small, again)
    again.close()
    index.apply(("local", "ann"), late)
    index.save()
    index.save()
    third = small.attached(made(tmp_path))
    assert_right(small, third)
    assert not third._unmade
    third.close()
    index.close()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    small, index = filled(tmp_path, count=300)
    before = {path.name for path in tmp_path.glob("*.blocks")}
    small.add(index, "ann")
    index.save()
    new = [path for path in tmp_path.glob("*.blocks") if path.name not in before]
    assert len(new) == 1
    assert new[0].stat().st_size < 300 * 8 * 4 * 3
    index.close()


def test_garbage_is_collected(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    for _ in range(40):
        small.add(index, USERS[_ % 3])
        index.save()
    live = sum(place.size for place in index._places.values())
    assert sum(path.stat().st_size for path in tmp_path.glob("*.blocks")) < 3 * live
    assert len(list(tmp_path.glob("*.blocks"))) < 20
    index.close()


def test_what_was_forgotten_leaves_the_files(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    row = index.block(("local", "ann")).matrix[3].tobytes()
    assert any(row in path.read_bytes() for path in tmp_path.glob("*.blocks"))
    small.erase(index, "ann", small.records("ann")[3])
    index.save()
    assert not any(row in path.read_bytes() for path in tmp_path.glob("*.blocks"))
    assert_right(small, index)
    index.close()


def test_a_save_follows_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "_PAUSE_S", 0.01)
    small = world.World()
    index = small.attached(made(tmp_path, save_every=20))
    small.add(index, "ann", 19)
    time.sleep(0.1)
    assert not (tmp_path / "directory").exists()
    small.add(index, "ann", 1)
    wait_until((tmp_path / "directory").exists)
    index.close()


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


KILLED = """
import importlib.util, os, sys, pathlib, threading
spec = importlib.util.spec_from_file_location("index_world", {world!r})
world = importlib.util.module_from_spec(spec); spec.loader.exec_module(world)
import memshadow.data.index.files as files, memshadow.training.atomic as atomic
small = world.World()
index = small.attached(world.index("exact", pathlib.Path({folder!r}), rebuild=False))
for user in ("ann", "ben", "cy"):
    small.add(index, user, 30)
index.save()
left = int(sys.argv[1])
def counted(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*args, **kwargs)
    return wrapper
os.fsync, os.open, os.rename, os.replace = map(counted, (os.fsync, os.open, os.rename, os.replace))
pathlib.Path.rename, pathlib.Path.replace, pathlib.Path.unlink = map(
    counted, (pathlib.Path.rename, pathlib.Path.replace, pathlib.Path.unlink))
for user in ("ann", "ben"):
    small.add(index, user, 5)
index.save()
os._exit(0)
"""


@pytest.mark.parametrize(
    "steps",
    [1, 6, 30, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14))],
)
def test_a_kill_while_saving_leaves_old_or_new(steps: int, tmp_path: Path) -> None:
    script = KILLED.format(world=str(Path(__file__).with_name("world.py")), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script, str(steps)], timeout=60)
    assert done.returncode in (0, 9)
    small = world.World()  # the same seed writes the same memories
    quiet = small.attached(made(None))
    for user in USERS:
        small.add(quiet, user, 30)
    for user in ("ann", "ben"):
        small.add(quiet, user, 5)
    quiet.close()
    again = small.attached(made(tmp_path))
    assert again.report == ()
    unmade = set(again._unmade)
    assert unmade in (set(), {("local", "ann"), ("local", "ben")})
    assert_right(small, again)
    again.close()
    assert not list(tmp_path.glob(".*draft"))
    assert len(list(tmp_path.glob("*.blocks"))) <= 2


def test_memory_stays_bounded(tmp_path: Path) -> None:
    small = world.World(dim=64)
    index = small.attached(made(tmp_path, cache_mb=0.2, save_every=100))
    for i in range(400):
        small.add(index, f"u{i % 50}", 2)
        assert index._held_bytes <= 2 * 0.2e6 + 50_000
    index.save()
    for i in range(50):
        assert index.block(("local", f"u{i}")).size == 16
        assert index._held_bytes <= 2 * 0.2e6 + 50_000  # what was made from the store again is in no file yet
    index.save()
    assert index._held_bytes <= 0.2e6
    assert index._held_bytes == sum(live.size_bytes for live in index._live.values())
    index.close()


def test_blocks_answer_while_all_is_made_again(tmp_path: Path) -> None:
    small = world.World()
    for i in range(60):
        small.write(f"u{i}", [small.insert(f"u{i}") for _ in range(5)])
    index = small.attached(made(tmp_path, rebuild=True, save_every=50))
    failures: list[BaseException] = []

    def ask(start: int) -> None:
        try:
            for i in range(60):
                block = index.block(("local", f"u{(i + start) % 60}"))
                assert block.size >= 5
                assert block.allowed(Scope(user=f"u{(i + start) % 60}"), Filter()) is not None
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for i in range(0, 60, 7):
        small.add(index, f"u{i}")
    for thread in threads:
        thread.join()
    assert failures == []
    wait_until(lambda: not index._unmade)
    for i in range(60):
        assert index.block(("local", f"u{i}")).size == 5 + (i % 7 == 0)
    index.close()


def test_a_reader_keeps_its_snapshot_while_a_writer_appends(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    failures: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        try:
            while not done.is_set():
                block = index.block(("local", "ann"))
                assert len(block.scores(np.ones(8, dtype=np.float32))) == block.size == len(block.seqs)
                for word in world.WORDS:
                    found = block.postings(word)
                    assert len(found.places) == len(found.counts)
                    assert not len(found.places) or found.places[-1] < block.size
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(150):
        small.add(index, "ann", 3)
    done.set()
    reader.join()
    assert failures == []
    assert_right(small, index)
    index.close()


def test_a_snapshot_stays_as_it_was(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    small.add(index, "ann")  # so that the arrays have room, and are written to in place
    block, query = index.block(("local", "ann")), small.vector()
    said = [column.copy() for column in block.columns], block.scores(query), block.postings(world.WORDS[0]).places
    for record in small.records("ann")[:5]:
        index.apply(("local", "ann"), small.write("ann", small.update("ann", record)))
        index.apply(("local", "ann"), small.write("ann", [small.revector("ann", record)]))
    small.erase(index, "ann", small.records("ann")[9])
    for column, before in zip(block.columns, said[0], strict=True):
        np.testing.assert_array_equal(column, before)
    np.testing.assert_array_equal(block.scores(query), said[1])
    np.testing.assert_array_equal(block.postings(world.WORDS[0]).places, said[2])
    assert_right(small, index)
    index.close()


def test_background_work_stops_on_close(tmp_path: Path) -> None:
    small = world.World()
    for i in range(200):
        small.write(f"u{i}", [small.insert(f"u{i}")])
    index = small.attached(made(tmp_path, rebuild=True))
    worker = index._worker
    assert worker
    index.close()
    assert not worker.is_alive()


def test_a_closed_store_stops_the_work_and_is_reported(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    small.add(index, "ann")
    small.store.close()
    index.close()
    assert "not saved: " in index.report[0]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="precision='fp8' is not known; needed: one of fp16, fp32"):
        made(None, precision="fp8")


def test_a_vector_of_an_unknown_version_makes_the_block_anew(tmp_path: Path) -> None:
    small, index = filled(tmp_path)
    index.apply(("local", "ann"), Applied(seq=small.store.last_seq + 1, revectored={10**6: small.vector()}))
    assert_right(small, index)
    index.close()


def test_the_set_checksum_knows_no_order() -> None:
    seqs, digests = np.array([1, 2, 3]), np.array([7, 2**63, 9], dtype=np.uint64)
    assert set_checksum(seqs, digests) == set_checksum(seqs[::-1], digests[::-1])
    assert set_checksum(seqs, digests) != set_checksum(seqs, digests[::-1])
    assert set_checksum(seqs[:0], digests[:0]) == 0
