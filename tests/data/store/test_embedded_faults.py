"""Disks that fill up and syncs that fail: nothing is acknowledged falsely, and what was acknowledged is there later."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_store import Open, insert

from memshadow.data.store.embedded import EmbeddedStore, examine
from memshadow.errors import StoreError

WRITE_UNTIL_REFUSED = """
import resource, signal, sys
import numpy as np
from datetime import UTC, datetime
from memshadow.data.store.base import Embedding, Insert, Row
from memshadow.data.store.embedded import EmbeddedStore
from memshadow.errors import StoreError
from memshadow.types import Draft, Record, Scope

folder, most_bytes, trigger = sys.argv[1], int(sys.argv[2]), sys.argv[3]
store = EmbeddedStore(
    folder=folder, precision="fp16", memory_mb=128, threads=1, log_mb=1, known_versions=1000, known_records=200
)
store.declare(Embedding(fingerprint="one", name="first", dim=256, active=True))
if most_bytes:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
draw = np.random.default_rng(0)
now = datetime(2026, 1, 1, tzinfo=UTC)


def call(start):
    return [
        Insert(
            record=Record(id=f"m{i}", version=1, scope=Scope(), turn=i, draft=Draft(text=draw.bytes(150).hex()),
                          ingested_at=now, digest=i),
            rows=(Row(fingerprint="one", vector=draw.standard_normal(256)),),
        )
        for i in range(start, start + 20)
    ]


for i in range(0, 6000, 20):
    if trigger and i == 200:
        open(trigger, "w").close()
    try:
        store.write(call(i))
        print("acknowledged", i + 20)
    except StoreError as error:
        print("refused", str(error))
        break
for attempt in (lambda: store.write(call(9000)), lambda: store.write([]), lambda: store.last_seq,
                lambda: store.versions(("local", "owner"), [1]), lambda: list(store.owners())):
    try:
        attempt()
        print("goes on")
    except StoreError:
        print("still refused")
store.close()
"""


def write_until_refused(folder: Path, *, most_bytes: int = 0, trigger: str = "", **environment: str) -> int:
    """Write in a process of its own until it is refused; return how many versions were acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_REFUSED, str(folder), str(most_bytes), trigger],
        capture_output=True, text=True, timeout=120, env=os.environ | environment,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    acknowledged = [int(line.split()[1]) for line in lines if line.startswith("acknowledged")]
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 1, done.stdout[-2000:] + done.stderr[-3000:]
    assert "Nothing more is taken until the store is opened again" in refused[0]
    assert lines[-5:] == ["still refused"] * 5
    return acknowledged[-1]


def check_recovers(open_store: Open, folder: Path, acknowledged: int) -> None:
    """Open the store again: all that was acknowledged is there, and each call wholly or not at all."""
    store = open_store()
    count = dict(store.owners())["local", "owner"]
    assert count >= acknowledged
    assert count % 20 == 0
    seq = store.last_seq
    store.close()
    assert examine(folder).findings == []
    assert seq >= acknowledged


def test_a_file_that_may_not_grow(folder: Path, open_store: Open) -> None:
    """The size limit of a process: writes fail as on a full disk (setrlimit(2))."""
    acknowledged = write_until_refused(folder, most_bytes=3_000_000)
    assert acknowledged > 0
    check_recovers(open_store, folder, acknowledged)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("this user may not mount a file system; the test of the size limit stands for it")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path, open_store: Open, folder: Path) -> None:
    there = small_disk / "memories"
    acknowledged = write_until_refused(there)
    assert acknowledged > 0
    shutil.copytree(there, folder)  # to a disk with room
    check_recovers(open_store, folder, acknowledged)


FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) { return access(getenv("SYNC_FAILS_IF"), F_OK) == 0; }
int fsync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def test_a_disk_whose_sync_fails(tmp_path: Path, folder: Path, open_store: Open) -> None:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler: a sync of the database cannot be made to fail")
    source, library, trigger = tmp_path / "sync.c", tmp_path / "sync.so", tmp_path / "broken"
    source.write_text(textwrap.dedent(FAILING_SYNC))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    acknowledged = write_until_refused(
        folder, trigger=str(trigger), LD_PRELOAD=str(library), SYNC_FAILS_IF=str(trigger)
    )
    assert acknowledged == 200
    check_recovers(open_store, folder, acknowledged)


def test_a_mark_that_cannot_be_synced(
    store: EmbeddedStore, open_store: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are in the database, yet nobody was told so: not acknowledged, and there after opening again."""
    store.write([insert("a")])

    def fails(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    futures = [store.submit([insert("b")]), store.submit([insert("c")])]
    for future in futures:
        with pytest.raises(StoreError, match="Input/output error"):
            future.result()
    for call in (lambda: store.write([]), lambda: store.last_seq, lambda: store.compact()):
        with pytest.raises(StoreError, match="opened again"):
            call()
    monkeypatch.undo()
    store.close()
    store = open_store()
    assert store.current(("local", "ann"), ["a"])[0].seq == 1
    store.close()
    assert examine(folder).findings == []
