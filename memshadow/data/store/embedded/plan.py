"""What a group of calls does to the tables, worked out before any of it is written. Runs no SQL.

Each call is checked against the promises on its own: one that breaks them leaves no trace, the others go on. What comes
out is the net effect: a version that one call inserts and the next one forgets never reaches the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from memshadow.data.store.admission import admitted
from memshadow.data.store.base import Change, Embedding, End, Erase, Insert, Owner, Revector, Row
from memshadow.data.store.embedded.directory import Directory, Known, OwnerDirectory
from memshadow.data.store.embedded.row import VectorRow, VersionRow, ended, hashed, micros, vector_row, version_row
from memshadow.errors import StoreError

K = TypeVar("K")
V = TypeVar("V")


class Embedder(NamedTuple):
    """A declared embedder and the small number that stands for it in the rows."""

    number: int
    embedding: Embedding


class Tombstone(NamedTuple):
    """The row that a forgotten memory leaves: when, whose, and a hash of its id."""

    seq: int
    owner: int
    id_hash: int
    hash: int


def embedder_row(embedder: Embedder) -> list[Any]:
    """Return the row of an embedder; the last value is its hash."""
    known = embedder.embedding
    row = [embedder.number, known.fingerprint, known.name, known.dim, known.active]
    return [*row, hashed(["embedder", *row])]


def owner_row(number: int, owner: Owner) -> list[Any]:
    """Return the row of an owner; the last value is its hash."""
    return [number, *owner, hashed(["owner", number, *owner])]


def tombstone(seq: int, number: int, id_hash: int) -> Tombstone:
    """Return the row that a forgotten memory leaves."""
    return Tombstone(seq, number, id_hash, hashed(["tombstone", seq, number, id_hash]))


def id_hash(owner: Owner, memory_id: str) -> int:
    """Return what a tombstone says of a memory's id."""
    return hashed(["id", *owner, memory_id])


class Ending(NamedTuple):
    """What ending writes into the row of an older version."""

    at: int
    seq: int
    by: str
    superseded_by: str | None
    hash: int
    """To be combined with the row's own by xor."""


@dataclass(slots=True)
class Owners:
    """The numbers that stand for owners in the rows; ``names`` ascend."""

    numbers: dict[Owner, int]
    names: dict[int, Owner]
    _last: int = field(init=False)

    def __post_init__(self) -> None:
        """Go on after the last number that was written."""
        self._last = max(self.names, default=0)

    def add(self, owner: Owner) -> int:
        """Return the number of an owner seen for the first time; no other ever had it while this process runs."""
        self._last += 1
        self.numbers[owner], self.names[self._last] = self._last, owner
        return self._last

    def drop(self, owner: Owner) -> None:
        """Forget what ``add`` did; the number is not given again: a reader may be holding it."""
        del self.names[self.numbers.pop(owner)]


@dataclass(slots=True)
class Plan:
    """The net effect of the calls taken so far; ``last_seq`` is the number of their last change."""

    last_seq: int
    owners: Owners
    directory: Directory
    embedders: dict[str, Embedder]
    dtype: np.dtype[Any]
    new_owners: dict[int, Owner] = field(default_factory=dict)
    versions: dict[int, VersionRow] = field(default_factory=dict)
    vectors: dict[tuple[int, int], VectorRow] = field(default_factory=dict)
    endings: dict[int, Ending] = field(default_factory=dict)
    replaced: set[tuple[int, int]] = field(default_factory=set)
    """(seq, embedder) of vectors of older versions that may be in the table and must go."""
    erased: set[int] = field(default_factory=set)
    """Older versions that must go, vectors and all."""
    tombstones: list[Tombstone] = field(default_factory=list)
    _undo: list[Callable[[], object]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to write."""
        return not (self.versions or self.vectors or self.endings or self.replaced or self.erased or self.tombstones)

    def hashes(self) -> Iterator[int]:
        """Yield what the rows to be written add to the set checksum."""
        yield from (row.hash for row in self.versions.values())
        yield from (row.hash for row in self.vectors.values())
        yield from (row.hash for row in self.tombstones)
        yield from (ending.hash for ending in self.endings.values())

    def take(self, changes: Sequence[Change]) -> int:
        """Add the changes of one call and return the number of the last one.

        Raises:
            StoreError: the call breaks a promise; the plan is as it was.
        """
        before, self._undo = self.last_seq, []
        with self.directory.lock:
            try:
                for change in changes:
                    self.last_seq += 1
                    self._change(admitted(change))
                self._check_whole(changes)
            except BaseException:
                for undo in reversed(self._undo):
                    undo()
                self.last_seq = before
                raise
        return self.last_seq

    def _change(self, change: Change) -> None:
        match change:
            case Insert():
                self._insert(change)
            case End():
                self._end(change)
            case Revector():
                self._known(change.owner, change.seq)
                self._vector(self.owners.numbers[change.owner], change.seq, change.row)
            case Erase():
                self._erase(change)

    def _insert(self, change: Insert) -> None:
        record = change.record
        mine = self._owner(record.scope.owner)
        older = mine.memories.get(record.id, ())
        newest = older[-1].version if older else 0
        if record.version != newest + 1:
            raise StoreError(
                f"memory {record.id!r} has {newest} versions; the next is {newest + 1}, not {record.version}."
            )
        lacking = {name for name, known in self.embedders.items() if known.embedding.active}
        lacking -= {row.fingerprint for row in change.rows}
        if lacking:
            raise StoreError(f"memory {record.id!r} comes without a vector of the active embedder {lacking.pop()!r}.")
        seq = self.last_seq
        self._put(mine, record.id, (*older, Known(seq, record.version, record.current)))
        self._set(self.versions, seq, version_row(record, mine.number, seq=seq))
        for row in change.rows:
            self._vector(mine.number, seq, row)

    def _end(self, change: End) -> None:
        name, known = self._known(change.owner, change.seq)
        if not known.current:
            raise StoreError(f"version {change.seq} of memory {name!r} has ended already; read it again.")
        mine = self._owner(change.owner)
        versions = (known._replace(current=False) if v.seq == change.seq else v for v in mine.memories[name])
        self._put(mine, name, tuple(versions))
        if change.seq in self.versions:
            self._set(self.versions, change.seq, ended(self.versions[change.seq], change, self.last_seq))
            return
        at, by, superseded_by = micros(change.at), change.by, change.superseded_by
        value = hashed(["end", change.seq, at, self.last_seq, by, superseded_by])
        self._set(self.endings, change.seq, Ending(at, self.last_seq, by, superseded_by, value))

    def _erase(self, change: Erase) -> None:
        mine = self._owner(change.owner)
        versions = mine.memories.get(change.id)
        if not versions:
            raise StoreError(f"{change.owner} has no memory {change.id!r}; nothing to forget.")
        self._put(mine, change.id, ())
        for known in versions:
            self._drop(self.endings, known.seq)
            for embedder in self.embedders.values():
                self._drop(self.vectors, (known.seq, embedder.number))
            if not self._drop(self.versions, known.seq):
                self._add(self.erased, known.seq)
        self.tombstones.append(tombstone(self.last_seq, mine.number, id_hash(change.owner, change.id)))
        self._undo.append(self.tombstones.pop)

    def _vector(self, owner: int, seq: int, row: Row) -> None:
        known = self.embedders.get(row.fingerprint)
        if known is None:
            raise StoreError(
                f"a vector of embedder {row.fingerprint!r} came, which was never declared; declare it first."
            )
        if len(row.vector) != known.embedding.dim:
            raise StoreError(
                f"a vector of width {len(row.vector)} came; embedder {row.fingerprint!r} has {known.embedding.dim}."
            )
        with np.errstate(over="ignore"):
            kept = row.vector.astype(self.dtype)
        if not np.isfinite(kept).all():
            raise StoreError(
                f"a vector of embedder {row.fingerprint!r} holds {np.abs(row.vector).max():.3g}, more than "
                f"{self.dtype} can; open the store with precision=fp32."
            )
        key = seq, known.number
        if seq not in self.versions:
            self._add(self.replaced, key)
        kept_row = vector_row(seq, owner, known.number, written_seq=self.last_seq, vector=kept.tobytes())
        self._set(self.vectors, key, kept_row)

    def _known(self, owner: Owner, seq: int) -> tuple[str, Known]:
        found = self._owner(owner).known(seq) if owner in self.owners.numbers else None
        if found is None:
            raise StoreError(f"{owner} has no version {seq}; it was forgotten, or the number is another owner's.")
        return found

    def _owner(self, owner: Owner) -> OwnerDirectory:
        number = self.owners.numbers.get(owner)
        if number is None:
            number = self._begin(owner)
        return self.directory.of(number)

    def _begin(self, owner: Owner) -> int:
        """Give an owner seen for the first time a number; there is nothing of it to be read."""
        number = self.owners.add(owner)
        self.directory.begin(number)
        self._undo.append(lambda: self.owners.drop(owner))
        self._undo.append(lambda: self.directory.drop(number))
        self._set(self.new_owners, number, owner)
        return number

    def _check_whole(self, changes: Sequence[Change]) -> None:
        """Refuse what leaves two versions of a memory current, or one that gave way to a memory that is not there."""
        for change in changes:
            if isinstance(change, Insert):
                versions = self._owner(change.record.scope.owner).memories.get(change.record.id, ())
                if sum(known.current for known in versions) > 1:
                    raise StoreError(
                        f"memory {change.record.id!r} would have two current versions; end the older in the same call."
                    )
            elif isinstance(change, End) and change.superseded_by is not None:
                self._check_superseding(self._owner(change.owner), change.seq, change.superseded_by)

    @staticmethod
    def _check_superseding(mine: OwnerDirectory, seq: int, superseded_by: str) -> None:
        name = mine.names.get(seq)
        if name is not None and superseded_by not in mine.memories:
            raise StoreError(f"version {seq} gives way to {superseded_by!r}, which is not there.")
        if name == superseded_by:
            raise StoreError(f"memory {name!r} cannot supersede itself; end its version by 'update'.")

    def _put(self, mine: OwnerDirectory, name: str, versions: tuple[Known, ...]) -> None:
        before = mine.memories.get(name, ())
        self._undo.append(lambda: mine.put(name, before))
        mine.put(name, versions)

    def _set(self, table: dict[K, V], key: K, value: V) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def _drop(self, table: dict[K, V], key: K) -> bool:
        if key not in table:
            return False
        before = table.pop(key)
        self._undo.append(lambda: table.__setitem__(key, before))
        return True

    def _add(self, table: set[K], key: K) -> None:
        if key not in table:
            table.add(key)
            self._undo.append(lambda: table.remove(key))
