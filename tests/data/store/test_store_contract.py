"""Every store under ``configs/store/`` gives the answers of the reference, whatever is done to it in whatever order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.data.store.base import (
    Change,
    Embedding,
    End,
    Erase,
    Filter,
    Insert,
    MemoryStore,
    Revector,
    Row,
    Stored,
)
from memshadow.data.store.reference import ReferenceStore
from memshadow.errors import StoreError
from memshadow.types import Draft, Record, Scope, Source

FILES = sorted((config_dir() / "store").glob("*.yaml"))
START = datetime(2026, 1, 1, tzinfo=UTC)
WIDTHS = {"one": 3, "two": 2, "three": 3}
OWNERS = [("local", "ann"), ("local", "bob"), ("other", "ann")]
IDS = ["a", "b", "c", "Ж-4"]
WORDS = [
    "",
    "hello",
    "I went hiking",
    "Грузія",
    "日本",
    "half \ud83d of a pair",
    "nul \0 inside",
    "'; DROP TABLE versions",
]
TEXT = st.sampled_from(WORDS)
METADATA = st.dictionaries(
    st.sampled_from(["n", "mood", "ключ"]),
    st.sampled_from([None, True, 1, 0, 1.0, 0.1, 2**70, "x", "", "\udfff", [1, "y"], {"z": None}]),
    max_size=2,
)
ZONES = [None, UTC, timezone(timedelta(hours=5, minutes=30))]


def moments() -> st.SearchStrategy[datetime]:
    """Return moments that meet often, in several zones and in none."""
    return st.builds(
        lambda hours, micros, zone: (START + timedelta(hours=hours, microseconds=micros)).replace(tzinfo=zone),
        st.integers(0, 5),
        st.integers(0, 1),
        st.sampled_from(ZONES),
    )


def vectors(dim: int) -> st.SearchStrategy[np.ndarray]:
    """Return vectors that half precision holds exactly."""
    numbers = st.lists(st.integers(-64, 64), min_size=dim, max_size=dim)
    return numbers.map(lambda row: np.array(row, dtype=np.float32) / 8)


DRAFTS = st.builds(
    Draft,
    text=TEXT,
    speaker=st.sampled_from(["", "Ann", "\ud800"]),
    role=st.sampled_from(["", "user"]),
    kind=st.sampled_from(["episodic", "semantic"]),
    happened_at=st.none() | moments(),
    importance=st.sampled_from([0.5, 0.0, 0.1, 1.0]),
    tags=st.lists(st.sampled_from(["t", "u", "\ud801"]), max_size=2).map(tuple),
    metadata=METADATA,
    image_caption=st.none() | TEXT,
    source=st.builds(Source, provider=TEXT, model=st.just(""), tool=st.just("")),
    provenance=TEXT,
    key=st.none() | TEXT,
    supersedes=st.none() | st.sampled_from(IDS),
    id=st.none() | st.just("given"),
)
SCOPES = st.builds(
    lambda owner, agent, session: Scope(tenant=owner[0], user=owner[1], agent=agent, session=session),
    st.sampled_from(OWNERS),
    st.sampled_from([None, "x", "y"]),
    st.sampled_from([None, "s1", "s2"]),
)
FILTERS = st.builds(
    Filter,
    latest_only=st.booleans(),
    as_of=st.none() | moments(),
    between=st.none() | st.tuples(st.none() | moments(), st.none() | moments()),
    kinds=st.sampled_from([(), ("episodic",), ("semantic", "procedural")]),
    tags=st.sampled_from([(), (), ("t",), ("t", "u")]),
    speakers=st.sampled_from([(), (), ("Ann",), ("", "Bob"), ("\ud800",)]),
    keys=st.sampled_from([(), (), ("hello", "日本"), ("half \ud83d of a pair",)]),
    metadata=st.sampled_from([(), (), (("n", 1),), (("n", None),), (("mood", "x"), ("n", True))]),
)


def opened(file: Path, folder: str) -> MemoryStore:
    """Build the store of a YAML in ``folder``."""
    node = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(node, dict)
    if "folder" in node:
        node["folder"] = folder
    store: MemoryStore = build(node)
    assert isinstance(store, MemoryStore)
    return store


class Store(RuleBasedStateMachine):
    """Does the same to a store and to the reference, and compares what both say."""

    file: Path
    names = Bundle("names")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = opened(self.file, self.folder.name)
        self.reference = ReferenceStore()
        self.hours = 0
        self.both(lambda s: s.declare(Embedding(fingerprint="one", name="first", dim=3, active=True)))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.store.close()
            for call in (lambda: self.store.last_seq, lambda: self.store.write([]), lambda: self.store.owners()):
                with pytest.raises(StoreError):
                    call()
            self.folder.cleanup()

    def both(self, do: Callable[[MemoryStore], Any]) -> Any:
        """Do it to both and compare the answers; both must refuse, or none."""
        try:
            expected = do(self.reference)
        except StoreError:
            with pytest.raises(StoreError):
                do(self.store)
            return None
        assert plain(do(self.store)) == plain(expected)
        return expected

    def now(self) -> datetime:
        self.hours += 1
        return START + timedelta(hours=self.hours)

    def rows(self, data: st.DataObject, *, also: Sequence[str] = ()) -> tuple[Row, ...]:
        active = [e.fingerprint for e in self.reference.embeddings() if e.active]
        return tuple(Row(fingerprint=f, vector=data.draw(vectors(WIDTHS[f]))) for f in {*active, *also})

    def record(self, scope: Scope, name: str, version: int, draft: Draft) -> Record:
        return Record(
            id=name, version=version, scope=scope, turn=self.hours % 3, draft=draft, ingested_at=self.now(),
            digest=2**64 - self.hours,
        )  # fmt: skip

    def newest(self, scope: Scope, name: str) -> Record | None:
        found = self.reference.current(scope.owner, [name])
        return found[0] if found else None

    # -- writes that make sense --------------------------------------------------------------------------------------

    @rule(data=st.data(), scope=SCOPES, name=st.sampled_from(IDS), draft=DRAFTS, both=st.booleans())
    def add_or_update(self, data: st.DataObject, scope: Scope, name: str, draft: Draft, both: bool) -> None:
        older = self.newest(scope, name)
        also = [e.fingerprint for e in self.reference.embeddings() if both]
        insert = Insert(
            record=self.record(scope, name, older.version + 1 if older else 1, draft), rows=self.rows(data, also=also)
        )
        changes: list[Change] = [insert]
        if older and older.current:
            end = End(owner=scope.owner, seq=older.seq, at=self.now(), by="update")
            changes.insert(data.draw(st.integers(0, 1)), end)
        self.both(lambda s: s.write(changes))

    @rule(data=st.data(), scope=SCOPES, draft=DRAFTS, names=st.permutations(IDS))
    def supersede(self, data: st.DataObject, scope: Scope, draft: Draft, names: list[str]) -> None:
        older = [record for record in self.reference.current(scope.owner, names) if record.current]
        fresh = [name for name in names if self.newest(scope, name) is None]
        if not (older and fresh):
            return
        insert = Insert(record=self.record(scope, fresh[0], 1, draft), rows=self.rows(data))
        at = data.draw(moments())
        ends = [End(owner=scope.owner, seq=r.seq, at=at, by="supersede", superseded_by=fresh[0]) for r in older[:2]]
        self.both(lambda s: s.submit([*ends, insert]).result())

    @rule(data=st.data(), scope=SCOPES, name=st.sampled_from(IDS), fingerprint=st.sampled_from(sorted(WIDTHS)))
    def revector(self, data: st.DataObject, scope: Scope, name: str, fingerprint: str) -> None:
        record = self.newest(scope, name)
        if record:
            row = Row(fingerprint=fingerprint, vector=data.draw(vectors(WIDTHS[fingerprint])))
            self.both(lambda s: s.write([Revector(owner=scope.owner, seq=record.seq, row=row)]))

    @rule(owner=st.sampled_from(OWNERS), name=st.sampled_from([*IDS, "never"]))
    def erase(self, owner: tuple[str, str], name: str) -> None:
        self.both(lambda s: s.write([Erase(owner=owner, id=name)]))

    @rule(data=st.data(), fingerprint=st.sampled_from(["two", "three"]), some=st.booleans())
    def embed_all(self, data: st.DataObject, fingerprint: str, some: bool) -> None:
        """Take up an embedder: declare it, embed what lacks it (or only a part), switch to it."""
        inactive = Embedding(fingerprint=fingerprint, name="x", dim=WIDTHS[fingerprint], active=False)
        self.both(lambda s: s.declare(inactive))
        lacking = self.both(lambda s: s.unembedded(fingerprint, after=0, limit=2 if some else 100))
        row = Row(fingerprint=fingerprint, vector=data.draw(vectors(WIDTHS[fingerprint])))
        self.both(lambda s: s.write([Revector(owner=r.scope.owner, seq=r.seq, row=row) for r in lacking]))
        self.both(lambda s: s.declare(replace(inactive, active=True)))

    @rule(fingerprint=st.sampled_from([*WIDTHS, ""]), wrong=st.integers(-9, 1), active=st.booleans())
    def declare(self, fingerprint: str, wrong: int, active: bool) -> None:
        known = {e.fingerprint for e in self.reference.embeddings()}
        dim = WIDTHS.get(fingerprint, 1) + (wrong if fingerprint in known else 0)
        self.both(lambda s: s.declare(Embedding(fingerprint=fingerprint, name="n", dim=dim, active=active)))

    @rule(fingerprint=st.sampled_from([*WIDTHS, "unknown"]))
    def retire(self, fingerprint: str) -> None:
        self.both(lambda s: s.retire(fingerprint))

    # -- writes that make none ---------------------------------------------------------------------------------------

    @rule(data=st.data(), scope=SCOPES, name=st.sampled_from(IDS), draft=DRAFTS, first=st.booleans())
    def write_nonsense(self, data: st.DataObject, scope: Scope, name: str, draft: Draft, first: bool) -> None:
        """One change of a call is wrong, wherever it stands: nothing of the call is written."""
        good = Insert(record=self.record(scope, "fresh", 1, draft), rows=self.rows(data))
        wrong = data.draw(st.sampled_from(self.nonsense(scope, name, good)))
        before = self.reference.last_seq
        changes = [*wrong, good] if first else [good, *wrong]
        self.both(lambda s: s.write(changes))
        assert self.reference.last_seq in (before, before + len(changes))
        if self.newest(scope, "fresh"):
            self.both(lambda s: s.write([Erase(owner=scope.owner, id="fresh")]))

    def nonsense(self, scope: Scope, name: str, good: Insert) -> list[list[Change]]:
        owner, rows, draft = scope.owner, good.rows, good.record.draft
        newest = self.newest(scope, name)
        seq = newest.seq if newest else 10**6
        at = START

        def insert(record: Record, given: tuple[Row, ...] = rows) -> Insert:
            return Insert(record=record, rows=given)

        version = newest.version if newest else 0
        next_one = self.record(scope, name, version + 1, draft)
        wide = tuple(replace(row, vector=np.zeros(9, dtype=np.float32)) for row in rows)
        nan = tuple(replace(row, vector=np.full(WIDTHS[row.fingerprint], np.nan, dtype=np.float32)) for row in rows)
        return [
            [insert(replace(next_one, version=max(1, version)))],
            [insert(replace(next_one, version=version + 2))],
            [insert(next_one)],
            [insert(replace(next_one, version=version + 1)), insert(replace(next_one, version=version + 2))],
            [insert(replace(next_one, ended_at=at))],
            [insert(replace(next_one, digest=2**64))],
            [insert(replace(next_one, digest=-1))],
            [insert(replace(next_one, turn=2**63))],
            [insert(replace(next_one, id=""))],
            [insert(replace(next_one, id="\ud800"))],
            [insert(replace(next_one, draft=replace(draft, metadata={"x": {1, 2}})))],
            [insert(replace(next_one, draft=replace(draft, metadata={"x": float("nan")})))],
            [insert(replace(next_one, draft=replace(draft, metadata={1: "x"})))],
            [insert(next_one, ())],
            [insert(next_one, wide)],
            [insert(next_one, nan)],
            [insert(next_one, (*rows, *rows))],
            [insert(next_one, (*rows, Row(fingerprint="unknown", vector=np.zeros(3, dtype=np.float32))))],
            [End(owner=owner, seq=10**6, at=at, by="update")],
            [End(owner=("no", "body"), seq=seq, at=at, by="update")],
            [End(owner=owner, seq=seq, at=at, by="supersede", superseded_by="never")],
            [End(owner=owner, seq=seq, at=at, by="supersede", superseded_by=name)],
            [End(owner=owner, seq=seq, at=at, by="supersede")],
            [End(owner=owner, seq=seq, at=at, by="update", superseded_by="fresh")],
            [End(owner=owner, seq=seq, at=at, by="update"), End(owner=owner, seq=seq, at=at, by="update")],
            [Revector(owner=owner, seq=10**6, row=rows[0])],
            [Revector(owner=("local", "eve"), seq=seq, row=rows[0])],
            [Revector(owner=owner, seq=seq, row=wide[0])],
            [Erase(owner=owner, id="never")],
            [Erase(owner=("no", "body"), id=name)],
            [Erase(owner=owner, id=name), Erase(owner=owner, id=name)],
            [Erase(owner=owner, id=name), Revector(owner=owner, seq=seq, row=rows[0])],
        ]

    # -- readings ----------------------------------------------------------------------------------------------------

    @rule(scope=SCOPES, given=FILTERS, after=st.integers(-1, 20), limit=st.integers(-1, 4), last=st.integers(-1, 4))
    def read_scope(self, scope: Scope, given: Filter, after: int, limit: int, last: int) -> None:
        self.both(lambda s: s.matching(scope, given))
        self.both(lambda s: s.page(scope, given, after=after, limit=limit))
        self.both(lambda s: s.tail(scope, last=last))

    @rule(
        owner=st.sampled_from(OWNERS),
        seqs=st.lists(st.integers(-1, 40), max_size=8),
        fingerprint=st.sampled_from(sorted(WIDTHS)),
    )
    def read_owner(self, owner: tuple[str, str], seqs: list[int], fingerprint: str) -> None:
        self.both(lambda s: s.versions(owner, seqs))
        self.both(lambda s: s.current(owner, ["c", "never", "a", "c", "Ж-4"]))
        for name in IDS:
            self.both(lambda s, name=name: s.history(owner, name))
        self.both(lambda s: s.stored(owner, fingerprint))
        self.both(lambda s: s.stored(("no", "body"), fingerprint))

    @rule(fingerprint=st.sampled_from([*WIDTHS, "unknown"]), after=st.integers(0, 30), limit=st.integers(0, 5))
    def read_all(self, fingerprint: str, after: int, limit: int) -> None:
        self.both(lambda s: s.changed(fingerprint, after=after))
        self.both(lambda s: s.unembedded(fingerprint, after=after, limit=limit))
        self.both(lambda s: s.owners())
        self.both(lambda s: s.owners(tenant="local"))

    @rule()
    def reopen(self) -> None:
        if hasattr(self.store, "report"):  # what is durable says what it found when it was opened
            self.store.close()
            self.store = opened(self.file, self.folder.name)
            assert self.store.report == ()

    @invariant()
    def same_end(self) -> None:
        if hasattr(self, "store"):
            self.both(lambda s: s.last_seq)
            self.both(lambda s: s.embeddings())
            self.both(lambda s: s.write([]))


def plain(answer: Any) -> Any:
    """Return an answer in a form that ``==`` compares wholly."""
    if isinstance(answer, Stored):
        return answer.record, answer.vector.dtype, answer.vector.tolist(), answer.written_seq
    if isinstance(answer, Record):
        return answer, repr(dict(answer.draft.metadata)), answer.ingested_at.tzinfo, answer.draft.happened_at
    if isinstance(answer, list) or hasattr(answer, "__next__"):
        return [plain(item) for item in answer]
    return answer


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_answers_as_the_reference_does(file: Path) -> None:
    machine = type(f"Store_{file.stem}", (Store,), {"file": file})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=6,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],  # a durable store is too slow for shrinking; the steps that failed are printed
            suppress_health_check=list(HealthCheck),
        ),
    )
