"""What the embedded store promises beyond the contract: durable, guarded, locked down, and it forgets for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from small_store import NOW, OWNER, Open, insert, row

from memshadow.data.store.base import Embedding, End, Erase, Filter, MemoryStore, Revector
from memshadow.data.store.embedded import EmbeddedStore, compaction, examine, mark as marks
from memshadow.data.store.embedded.writer import Job
from memshadow.errors import MemshadowError, StoreError
from memshadow.types import Scope

SCOPE = Scope(tenant=OWNER[0], user=OWNER[1])
SECRET = "the word that must go: xylographer"


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def raw(folder: Path, *statements: str) -> None:
    """Change the tables behind the store's back."""
    with duckdb.connect(str(folder / "memories.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


# -- who may come in -------------------------------------------------------------------------------------------------


def test_is_a_memory_store(store: EmbeddedStore) -> None:
    assert isinstance(store, MemoryStore)


def test_this_process_is_told_that_it_holds_the_folder(store: EmbeddedStore, open_store: Open) -> None:
    with pytest.raises(StoreError, match=r"held by this very process since 2.*close it there"):
        open_store()


def test_another_process_is_told_who_holds_the_folder(store: EmbeddedStore, folder: Path) -> None:
    code = (
        "import sys; from memshadow.data.store.embedded import examine; from memshadow.errors import StoreError\n"
        "try: examine(sys.argv[1])\n"
        "except StoreError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    assert f"is held by process {os.getpid()} on " in said.stdout
    assert "memshadow serve" in said.stdout


def test_a_folder_is_free_once_its_store_is_closed(store: EmbeddedStore, open_store: Open) -> None:
    store.write([insert("a")])
    store.close()
    assert open_store().last_seq == 1


def test_nobody_else_may_read_the_files(store: EmbeddedStore, folder: Path) -> None:
    store.write([insert("a")])
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}
    assert set(modes) >= {"memories.duckdb", "memories.duckdb.wal", "memories.mark", "lock"}
    assert set(modes.values()) == {"0o600"}
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.duckdb' AS other",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SET threads = 4",
        "SET enable_external_access = true",
        "INSTALL fts",
        "LOAD fts",
    ],
)
def test_the_database_reaches_nothing_else(store: EmbeddedStore, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        store._opened.connection.cursor().execute(statement)


def test_a_later_form_is_refused_and_left_alone(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    store.close()
    raw(folder, "UPDATE form SET version = 2", "ALTER TABLE versions RENAME COLUMN text TO words")
    before = (folder / "memories.duckdb").read_bytes()
    with pytest.raises(StoreError, match=r"form 2, which a later memshadow made.*Upgrade"):
        open_store()
    assert (folder / "memories.duckdb").read_bytes() == before


def test_the_other_precision_is_refused(store: EmbeddedStore, open_store: Open) -> None:
    store.close()
    with pytest.raises(StoreError, match="keeps vectors as fp16 and was asked for fp32; open it with precision=fp16"):
        open_store(precision="fp32")


def test_an_unknown_precision_is_refused(open_store: Open) -> None:
    with pytest.raises(StoreError, match=r"fp8.*fp16, fp32"):
        open_store(precision="fp8")


def test_a_folder_that_is_a_file_is_refused(folder: Path, open_store: Open) -> None:
    folder.write_text("not a folder")
    with pytest.raises((MemshadowError, OSError)):
        open_store()


# -- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [Path("a\\b")])
def test_a_folder_with_a_backslash_is_refused_and_not_made(
    folder: Path, open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="holds a backslash"):
        open_store()
    assert not list(tmp_path.iterdir())


def test_full_precision_keeps_each_bit(open_store: Open) -> None:
    store = open_store(precision="fp32")
    store.declare(Embedding(fingerprint="one", name="first", dim=4, active=True))
    vector = np.array([0.1, -3.3e30, 1e-40, 7], dtype=np.float32)
    store.write([replace(insert("a"), rows=(replace(row(0), vector=vector),))])
    assert store.stored(OWNER, "one")[0].vector.tobytes() == vector.tobytes()


def test_half_precision_refuses_what_it_cannot_hold(store: EmbeddedStore) -> None:
    with pytest.raises(StoreError, match=r"7e\+04.*precision=fp32"):
        store.write([replace(insert("a"), rows=(row(70_000),))])
    assert store.last_seq == 0


def test_calls_that_come_while_one_is_written_share_a_commit(store: EmbeddedStore) -> None:
    before = store._ledger.commits
    futures = [store.submit([insert(f"m{i}")]) for i in range(50)]
    assert sorted(future.result() for future in futures) == list(range(1, 51))
    assert store._ledger.commits - before < 25


def test_a_bad_call_fails_alone_in_its_group(store: EmbeddedStore) -> None:
    futures = [store.submit([insert(name)] if name != "bad" else [insert("new"), Erase(owner=OWNER, id="no")])
               for name in ("a", "bad", "b", "a")]  # fmt: skip
    assert [future.exception() is None for future in futures] == [True, False, True, False]
    assert [record.id for record in store.page(SCOPE, Filter(), after=0, limit=9)] == ["a", "b"]
    assert store.last_seq == 2


def test_a_time_that_is_none_fails_alone(store: EmbeddedStore) -> None:
    """pandas' NaT: the database would refuse it with the whole transaction, and the store then takes nothing more."""
    nat = pytest.importorskip("pandas").NaT
    good = insert("a")
    bad = replace(good, record=replace(good.record, draft=replace(good.record.draft, happened_at=nat)))
    with pytest.raises(StoreError, match="a time or none"):
        store.write([bad])
    assert store.write([good]) == 1


def test_the_number_of_a_refused_owner_is_never_given_again(store: EmbeddedStore) -> None:
    """A reader may have looked it up before the refusal, and would read whoever has it next."""
    evil, good = ("local", "evil"), ("local", "good")
    number = store._owners.add(evil)
    store._owners.drop(evil)
    store.write([insert("a", owner=good)])
    assert store._owners.numbers[good] > number


def test_a_waiting_reader_of_a_refused_owner_reads_nobody_else(store: EmbeddedStore) -> None:
    evil, good = ("local", "evil"), ("local", "good")
    number = store._owners.add(evil)
    store._directory.begin(number)  # evil's first write is being checked
    waits = store._directory.lock

    class Refused:
        """The lock, got after evil's write was refused and good took the number."""

        def __enter__(self) -> None:
            if threading.current_thread() is threading.main_thread():
                store._directory.lock = waits
                store._owners.drop(evil)
                store._directory.drop(number)
                store._owners._last = number - 1
                store.write([insert("a", owner=good)])
            waits.acquire()

        def __exit__(self, *_: object) -> None:
            waits.release()

    store._directory.lock = Refused()  # type: ignore[assignment]
    assert store.current(evil, ["a"]) == []
    assert store._owners.numbers[good] == number


def test_one_group_may_insert_end_revector_and_forget_the_same_memory(store: EmbeddedStore, open_store: Open) -> None:
    """The net effect is written, whatever became of a version before it reached the database."""
    over = pause(store)
    end = End(owner=OWNER, seq=1, at=NOW, by="update")
    calls = [
        [insert("a")],
        [end, insert("a", version=2)],
        [Revector(owner=OWNER, seq=3, row=row(9))],
        [insert("b"), insert("c")],
        [Erase(owner=OWNER, id="b")],
        [insert("b", text="again")],
    ]
    futures = [store.submit(call) for call in calls]
    over.set()
    assert [future.result() for future in futures] == [1, 3, 4, 6, 7, 8]
    store.close()
    store = open_store()
    assert [(r.seq, r.current) for r in store.history(OWNER, "a")] == [(1, False), (3, True)]
    assert [r.text for r in store.history(OWNER, "b")] == ["again"]
    assert {s.record.seq: (s.vector[0], s.written_seq) for s in store.stored(OWNER, "one")} == {
        1: (1, 2), 3: (9, 4), 6: (1, 6), 8: (1, 8)
    }  # fmt: skip
    store.close()
    assert examine(store._opened.files.folder).whole


def pause(store: EmbeddedStore) -> threading.Event:
    """Keep the writer's thread busy until the event is set, so that calls gather behind it."""
    over = threading.Event()
    store._writer.put(Job(lambda: over.wait(10)))
    return over


def test_many_threads_write_and_read_their_own(store: EmbeddedStore, open_store: Open) -> None:
    wrong: list[object] = []

    def work(user: str) -> None:
        owner = ("local", user)
        for i in range(15):
            seq = store.write([insert(f"m{i}", owner=owner)])
            if [record.id for record in store.versions(owner, [seq])] != [f"m{i}"]:
                wrong.append((user, seq))
            if len(store.matching(Scope(user=user), Filter())) != i + 1:
                wrong.append((user, i))

    threads = [threading.Thread(target=work, args=(f"u{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    store.compact()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [count for _, count in store.owners()] == [15] * 6


def test_owners_beyond_the_bound_are_read_again(open_store: Open) -> None:
    store = open_store(known_versions=3)
    store.declare(Embedding(fingerprint="one", name="first", dim=4, active=True))
    owners = [("local", f"u{i}") for i in range(4)]
    for owner in owners:
        store.write([insert("a", owner=owner), insert("b", owner=owner)])
    assert len(store._directory._owners) < 4
    for owner in owners:
        with pytest.raises(StoreError, match="has 1 versions"):
            store.write([insert("a", owner=owner)])
        assert [record.id for record in store.current(owner, ["b", "a"])] == ["b", "a"]


def test_what_was_queued_is_written_before_the_store_closes(store: EmbeddedStore, open_store: Open) -> None:
    futures = [store.submit([insert(f"m{i}")]) for i in range(30)]
    store.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert open_store().last_seq == 30


def test_what_a_reader_does_to_metadata_stays_with_it(store: EmbeddedStore) -> None:
    given = insert("a")
    kept = replace(given.record, draft=replace(given.record.draft, metadata={"k": [1]}))
    store.write([replace(given, record=kept)])
    for _ in range(3):
        (record,) = store.versions(OWNER, [1])
        assert record.draft.metadata == {"k": [1]}
        record.draft.metadata["k"].append(2)


def test_a_cancelled_call_is_not_written(store: EmbeddedStore) -> None:
    over = pause(store)
    future = store.submit([insert("a")])
    assert future.cancel()
    over.set()
    assert store.write([insert("b")]) == 1
    assert store.current(OWNER, ["a"]) == []


# -- what is forgotten -----------------------------------------------------------------------------------------------


def test_forgotten_words_leave_the_files_with_compaction(store: EmbeddedStore, folder: Path) -> None:
    store.write([insert(f"m{i}", text=f"{SECRET} {i}") for i in range(200)])
    store.write([insert("kept", text="this stays: quincunx")])
    store.compact()
    store.write([insert("late", text=f"{SECRET} in the log")])
    store.write([Erase(owner=OWNER, id=f"m{i}") for i in range(200)])
    store.write([Erase(owner=OWNER, id="late")])
    assert b"xylographer" in bytes_of(folder), "the test looks for something that is written differently"
    store.compact()
    assert b"xylographer" not in bytes_of(folder)
    assert [record.text for record in store.page(SCOPE, Filter(), after=0, limit=9)] == ["this stays: quincunx"]
    assert store.write([insert("m1")]) == 404
    store.close()
    assert b"xylographer" not in bytes_of(folder)
    assert b"quincunx" in bytes_of(folder)
    assert examine(folder).whole


def test_compaction_gives_room_back(store: EmbeddedStore, folder: Path) -> None:
    draw = np.random.default_rng(0)
    store.write([insert(f"m{i}", text=draw.bytes(20_000).hex()) for i in range(200)])
    store.compact()
    full = (folder / "memories.duckdb").stat().st_size
    store.write([Erase(owner=OWNER, id=f"m{i}") for i in range(190)])
    store.compact()
    assert (folder / "memories.duckdb").stat().st_size < full / 2, (
        "eight million letters, of which four hundred thousand stay"
    )


@pytest.mark.parametrize("moment", ["before", "copied", "renamed"])
def test_a_kill_in_compaction_leaves_the_old_file_or_the_new(
    store: EmbeddedStore, open_store: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store.write([insert("a"), insert("b")])
    store.write([Erase(owner=OWNER, id="a")])
    expected = store.page(SCOPE, Filter(), after=0, limit=9)

    def die(*_: object, **__: object) -> None:
        raise OSError("killed")

    place = {"before": "copy", "copied": "sync", "renamed": "sync"}[moment]
    real = compaction.sync
    if moment == "renamed":
        monkeypatch.setattr(compaction, "sync", lambda path: die() if path == folder else real(path))
    else:
        monkeypatch.setattr(compaction, place, die)
    with pytest.raises(StoreError, match="killed"):
        store.compact()
    with pytest.raises(StoreError, match="opened again"):
        store.write([insert("c")])
    store.close()
    monkeypatch.undo()
    store = open_store()
    assert store.page(SCOPE, Filter(), after=0, limit=9) == expected
    assert not list(folder.glob("*.draft*"))


# -- what is damaged -------------------------------------------------------------------------------------------------


def test_an_altered_version_is_never_shown(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    store.write([insert("a"), insert("b")])
    store.close()
    raw(folder, "UPDATE versions SET text = 'something else' WHERE id = 'a'")
    store = open_store()
    assert [record.id for record in store.history(OWNER, "b")] == ["b"]
    for read in (
        lambda: store.history(OWNER, "a"),
        lambda: store.versions(OWNER, [1]),
        lambda: store.page(SCOPE, Filter(), after=0, limit=9),
        lambda: store.stored(OWNER, "one"),
        lambda: store.tail(SCOPE, last=5),
    ):
        with pytest.raises(StoreError, match=r"version 1 of memory 'a'.*is damaged"):
            read()
    store.close()
    assert "1 versions are damaged" in str(examine(folder).findings)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM versions WHERE id = 'a'", "1 versions of 2"),
        ("DELETE FROM vectors WHERE seq = 1", "1 vectors of 2"),
        ("INSERT INTO vectors SELECT * FROM vectors WHERE seq = 1", "3 vectors of 2"),
        ("DELETE FROM tombstones", "checksum"),
        ("UPDATE owners SET hash = 5", "checksum"),
        ("UPDATE ledger SET last_seq = 2", "belong together"),
        ("UPDATE ledger SET commits = commits - 1, last_seq = 1", r"3 writes \(2 to 4\) that were acknowledged"),
        ("UPDATE ledger SET commits = commits - 1", "change of embedders that was acknowledged"),
    ],
)
def test_tables_that_were_changed_are_refused(
    store: EmbeddedStore, open_store: Open, folder: Path, statement: str, said: str
) -> None:
    store.write([insert("a"), insert("b"), insert("c"), Erase(owner=OWNER, id="c")])
    store.close()
    raw(folder, statement)
    with pytest.raises(StoreError, match=said):
        open_store()
    assert not examine(folder).whole


def test_a_missing_mark_is_refused_and_salvage_makes_a_new_one(
    store: EmbeddedStore, open_store: Open, folder: Path
) -> None:
    from memshadow.data.store.embedded import salvage

    store.write([insert("a")])
    store.close()
    (folder / "memories.mark").unlink()
    with pytest.raises(StoreError, match=r"is missing: nothing says how far.*doctor"):
        open_store()
    report = salvage(folder)
    assert report.originals is not None
    assert (report.originals / "memories.duckdb").exists()
    assert open_store().current(OWNER, ["a"])[0].seq == 1


def test_a_torn_slot_of_the_mark_is_mended(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    store.write([insert("a")])
    store.close()
    mark = folder / "memories.mark"
    content = bytearray(mark.read_bytes())
    ledger = marks.read(mark).newest
    assert ledger is not None
    content[(ledger.commits % 2) * 512 + 20] ^= 1
    mark.write_bytes(content)
    assert marks.read(mark).newest != ledger
    assert open_store().last_seq == 1
    assert marks.read(mark) == (ledger, ledger)


def test_a_torn_log_is_cut_kept_and_reported(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    """Power went while the second write was on its way: it was never acknowledged, and half of it is wrong."""
    store.write([insert("a")])
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    store.write([insert("b")])
    log = folder / "memories.duckdb.wal"
    torn = bytearray(log.read_bytes())
    store.close()
    torn[-30] ^= 1
    for name, content in (files | {log.name: bytes(torn)}).items():
        (folder / name).write_bytes(content)
    store = open_store()
    assert [record.id for record in store.page(SCOPE, Filter(), after=0, limit=9)] == ["a"]
    assert len(store.report) == 1
    assert "bytes of the log were damaged and are cut off; every acknowledged write is there" in store.report[0]
    kept = list(folder.glob("salvaged/*/memories.duckdb.wal"))
    assert [file.read_bytes() for file in kept] == [bytes(torn)]
    assert store.write([insert("b")]) == 2


def test_a_log_cut_short_is_refused_unchanged_and_salvaged(
    store: EmbeddedStore, open_store: Open, folder: Path
) -> None:
    from memshadow.data.store.embedded import salvage

    store.write([insert("a")])
    store.write([insert("b")])
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    store.close()
    files["memories.duckdb.wal"] = files["memories.duckdb.wal"][:-5]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"1 writes \(2 to 2\) that were acknowledged are missing"):
            open_store()
    left = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "lock"}
    assert left == {name: content for name, content in files.items() if name != "lock"}
    report = salvage(folder)
    assert any("writes 2 to 2" in finding for finding in report.findings)
    store = open_store()
    assert [record.id for record in store.page(SCOPE, Filter(), after=0, limit=9)] == ["a"]
    assert store.write([insert("b")]) == 3, "numbers are never given twice"
    store.close()
    assert examine(folder).whole


def test_salvage_takes_over_all_but_what_is_damaged(store: EmbeddedStore, open_store: Open, folder: Path) -> None:
    from memshadow.data.store.embedded import salvage

    store.write([insert(name) for name in ("a", "bb", "ccc")])
    store.close()
    raw(folder, "UPDATE versions SET turn = 9 WHERE id = 'a'", "UPDATE vectors SET vector = 'x' WHERE seq = 2")
    report = salvage(folder)
    said = " | ".join(report.findings)
    assert "1 versions could not be taken over: 'a' version 1" in said
    assert "1 versions must be embedded again; until then 'first' is not active: 2" in said
    store = open_store()
    assert [record.id for record in store.unembedded("one", after=0, limit=9)] == ["bb"]
    assert [s.record.id for s in store.stored(OWNER, "one")] == ["ccc"]
    store.write([Revector(owner=OWNER, seq=2, row=row(2))])
    store.declare(Embedding(fingerprint="one", name="first", dim=4, active=True))
    store.close()
    assert examine(folder).findings == []


def test_salvage_leaves_a_whole_store_alone(store: EmbeddedStore, folder: Path) -> None:
    from memshadow.data.store.embedded import salvage

    store.write([insert("a")])
    store.close()
    before = (folder / "memories.duckdb").read_bytes()
    report = salvage(folder)
    assert (report.whole, report.originals, report.versions, report.vectors, report.last_seq) == (True, None, 1, 1, 1)
    assert (folder / "memories.duckdb").read_bytes() == before


def test_examine_says_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store in"):
        examine(tmp_path)


def test_examine_finds_what_sums_cannot_see(store: EmbeddedStore, folder: Path) -> None:
    """Rows moved between memories in pairs leave every sum as it was."""
    store.write([insert("a"), insert("bb")])
    store.close()
    raw(
        folder,
        "UPDATE versions SET id = CASE id WHEN 'a' THEN 'bb' ELSE 'a' END",
        "UPDATE vectors SET seq = 3 - seq",
    )
    said = json.dumps(examine(folder).findings)
    assert "2 versions are damaged" in said
    assert "2 vectors are damaged" in said
