"""Every index of configs/index answers as the reference does, through whatever is written, saved and reopened."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import world
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from memshadow.data.index.base import Block, session_hash, text_hash
from memshadow.data.index.reference import ReferenceIndex
from memshadow.data.store.base import End, Erase, Filter
from memshadow.types import Scope

USERS = ("ann", "ben", "cy")
COLUMNS = ("seqs", "ended", "happened", "turns", "sessions", "speakers", "voices", "forms", "digests", "lengths")
users = st.sampled_from(USERS)
moments = st.integers(0, 60).map(lambda s: world.START + timedelta(seconds=s))
days = st.integers(-1, 6).map(lambda d: world.START + timedelta(days=d))
filters = st.builds(
    Filter,
    latest_only=st.booleans(),
    as_of=st.none() | moments,
    between=st.none() | st.tuples(st.none() | days, st.none() | days),
    kinds=st.sampled_from([(), ("episodic",), ("semantic", "prospective"), ("procedural",)]),
    speakers=st.sampled_from([(), ("Ann",), ("", "Bob"), ("nobody",)]),
)
scopes = st.builds(
    Scope,
    user=users,
    agent=st.sampled_from([None, "x", "y", "z"]),
    session=st.sampled_from([None, "s", "t", "nowhere"]),
)


def assert_alike(block: Block, right: Block, query: np.ndarray, seed: int) -> None:
    """Hold a block to the reference's."""
    assert block.size == right.size
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(block, name), getattr(right, name), err_msg=name)
        assert not getattr(block, name).flags.writeable
    np.testing.assert_array_equal(block.scores(query), right.scores(query))
    some = np.random.default_rng(seed).integers(0, block.size, size=5) if block.size else np.zeros(0, dtype=np.int64)
    np.testing.assert_array_equal(block.scores_at(query, some), right.scores_at(query, some))
    assert_nearest(block, right, query, None)
    for word in (*world.WORDS, "nowhere"):
        for found, wanted in zip(block.postings(word), right.postings(word), strict=True):
            np.testing.assert_array_equal(found, wanted)


def assert_nearest(block: Block, right: Block, query: np.ndarray, allowed: np.ndarray | None) -> None:
    for k in (0, 1, 3, 1_000):
        for found, wanted in zip(
            block.nearest(query, k=k, allowed=allowed), right.nearest(query, k=k, allowed=allowed), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


class IndexMachine(RuleBasedStateMachine):
    """One store, one index told of every write, one reference that reads the store each time."""

    def __init__(self, choice: str, changed: dict[str, Any]) -> None:
        super().__init__()
        self.choice, self.changed = choice, changed
        self.folder = Path(tempfile.mkdtemp())
        self.files = self.folder / "0"
        self.world = world.World()
        self.index = self.opened()
        self.reference = self.world.attached(ReferenceIndex())
        self.kept: list[tuple[Block, dict[str, np.ndarray], np.ndarray, np.ndarray]] = []

    def opened(self) -> Any:
        return self.world.attached(world.index(self.choice, self.files, **self.changed))

    def teardown(self) -> None:
        self.index.close()
        self.index.close()
        assert self.index.report == ()
        shutil.rmtree(self.folder)

    @rule(user=users, count=st.integers(1, 12))
    def add(self, user: str, count: int) -> None:
        self.world.add(self.index, user, count)

    def chosen(self, user: str, number: int) -> Any:
        records = self.world.records(user)
        return records[number % len(records)] if records else None

    def tell(self, user: str, changes: list[Any]) -> None:
        self.index.apply(("local", user), self.world.write(user, changes))

    @rule(user=users, number=st.integers(0, 99))
    def update(self, user: str, number: int) -> None:
        if (old := self.chosen(user, number)) and old.current:
            self.tell(user, self.world.update(user, old))

    @rule(user=users, number=st.integers(0, 99))
    def supersede(self, user: str, number: int) -> None:
        if (old := self.chosen(user, number)) and old.current:
            new = self.world.insert(user)
            end = End(
                owner=("local", user), seq=old.seq, at=self.world.tick(), by="supersede", superseded_by=new.record.id
            )
            self.tell(user, [new, end])

    @rule(user=users, number=st.integers(0, 99))
    def revector(self, user: str, number: int) -> None:
        if old := self.chosen(user, number):
            self.tell(user, [self.world.revector(user, old), self.world.insert(user)])

    @rule(user=users, number=st.integers(0, 99))
    def erase(self, user: str, number: int) -> None:
        if old := self.chosen(user, number):
            self.tell(user, [self.world.insert(user), Erase(owner=("local", user), id=old.id)])

    @rule(user=users)
    def erase_all(self, user: str) -> None:
        ids = {record.id for record in self.world.records(user)}
        if ids:
            self.tell(user, [Erase(owner=("local", user), id=name) for name in sorted(ids)])

    @rule(user=users)
    def write_unheard(self, user: str) -> None:
        self.world.write(user, [self.world.insert(user)])
        self.index.drop(("local", user))

    @rule(user=users)
    def write_unheard_and_die(self, user: str) -> None:
        self.world.write(user, [self.world.insert(user)])
        self.die()

    @rule()
    def save(self) -> None:
        self.index.save()

    @rule()
    def reopen(self) -> None:
        self.index.close()
        assert self.index.report == ()
        self.index = self.opened()

    @rule()
    def die(self) -> None:
        """Go on with the files as they are now."""
        before, self.files = self.files, self.folder / str(int(self.files.name) + 1)
        with getattr(self.index, "_saving", nullcontext()):  # a moment between two saves; kills within: test_files.py
            if before.exists():
                shutil.copytree(before, self.files)
        self.index.close()
        self.index = self.opened()

    @rule(user=users)
    def keep(self, user: str) -> None:
        """Hold a snapshot, and what it says now."""
        block, query = self.index.block(("local", user)), self.world.vector()
        said = {name: getattr(block, name).copy() for name in COLUMNS}
        self.kept.append((block, said, query, block.scores(query)))

    @rule(scope=scopes, given=filters)
    def filtered(self, scope: Scope, given: Filter) -> None:
        block, right = self.index.block(scope.owner), self.reference.block(scope.owner)
        allowed = block.allowed(scope, given)
        assert allowed is not None
        assert block.seqs[allowed].tolist() == self.world.store.matching(scope, given)
        np.testing.assert_array_equal(allowed, right.allowed(scope, given))
        assert_nearest(block, right, self.world.vector(), allowed)
        assert block.allowed(scope, Filter(tags=("t",))) is None

    @invariant()
    def answers_alike(self) -> None:
        user = self.world.random.choice(USERS)
        query = self.world.vector()
        right = self.reference.block(("local", user))
        assert_alike(self.index.block(("local", user)), right, query, self.world.random.randint(0, 9))

    @invariant()
    def snapshots_stay(self) -> None:
        for block, said, query, scores in self.kept:
            for name, column in said.items():
                np.testing.assert_array_equal(getattr(block, name), column)
            np.testing.assert_array_equal(block.scores(query), scores)


ROOMY: dict[str, Any] = {"rebuild": False}
CRAMPED = {"cache_mb": 0.012, "save_every": 10, "rebuild": True}


@pytest.mark.parametrize("changed", [ROOMY, CRAMPED], ids=["roomy", "cramped"])
@pytest.mark.parametrize("choice", world.CONFIGS)
def test_an_index_answers_as_the_reference(choice: str, changed: dict[str, Any]) -> None:
    run_state_machine_as_test(
        lambda: IndexMachine(choice, changed),
        settings=settings(
            max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_hashes_are_the_same_everywhere() -> None:
    assert text_hash("hiking") == 11872755553097506435
    assert session_hash(None) == 0
    assert session_hash("s") == text_hash("s")
    assert text_hash("\ud800") != text_hash("\ud801")
