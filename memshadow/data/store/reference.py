"""The store that defines right answers: dicts in memory, nothing clever. Gone when the process ends.

Every other store is held to this one by ``tests/data/store/test_store_contract.py``. Use it for tests and for
collections that live as long as a script.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from jaxtyping import Float32
from numpy import ndarray

from memshadow.data.store.admission import admitted, admitted_embedding
from memshadow.data.store.base import Change, Embedding, End, Erase, Filter, Insert, Owner, Revector, Row, Stored
from memshadow.data.store.selection import order_of_saying, passes
from memshadow.errors import StoreError
from memshadow.types import Record, Scope


@dataclass(slots=True)
class _State:
    """Everything that is kept; a write works on a copy, which then takes the place of the old one."""

    last_seq: int = 0
    records: dict[int, Record] = field(default_factory=dict)
    vectors: dict[tuple[int, str], tuple[int, Float32[ndarray, " dim"]]] = field(default_factory=dict)
    erased: list[tuple[Owner, int]] = field(default_factory=list)
    embeddings: dict[str, Embedding] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(self.last_seq, dict(self.records), dict(self.vectors), list(self.erased), dict(self.embeddings))

    def history(self, owner: Owner, memory_id: str) -> list[Record]:
        found = [r for r in self.records.values() if r.scope.owner == owner and r.id == memory_id]
        return sorted(found, key=lambda record: record.version)

    def version(self, owner: Owner, seq: int) -> Record:
        record = self.records.get(seq)
        if record is None or record.scope.owner != owner:
            raise StoreError(f"{owner} has no version {seq}; it was forgotten, or the number is another owner's.")
        return record


class ReferenceStore:
    """Keeps the promises of ``MemoryStore`` but one: nothing outlives the process."""

    def __init__(self) -> None:
        self._state = _State()
        self._lock = threading.RLock()
        self._closed = False

    @property
    def last_seq(self) -> int:
        """Return the number of the last write."""
        return self._now().last_seq

    def write(self, changes: Sequence[Change]) -> int:
        """Write all changes, or raise and write none."""
        with self._lock:
            state = self._now().copy()
            for change in changes:
                state.last_seq += 1
                _apply(state, admitted(change))
            _check_whole(state, changes)
            self._state = state
            return state.last_seq

    def submit(self, changes: Sequence[Change]) -> Future[int]:
        """Write at once; the future is done when this returns."""
        done: Future[int] = Future()
        try:
            done.set_result(self.write(changes))
        except StoreError as error:
            done.set_exception(error)
        return done

    def versions(self, owner: Owner, seqs: Sequence[int]) -> list[Record]:
        """Return the versions with these numbers, in the order asked for."""
        records = self._now().records
        return [records[s] for s in seqs if s in records and records[s].scope.owner == owner]

    def history(self, owner: Owner, memory_id: str) -> list[Record]:
        """Return all versions of a memory, oldest first."""
        return self._now().history(owner, memory_id)

    def current(self, owner: Owner, memory_ids: Sequence[str]) -> list[Record]:
        """Return the newest version of each memory that is there, in the order asked for."""
        histories = [self.history(owner, memory_id) for memory_id in memory_ids]
        return [history[-1] for history in histories if history]

    def matching(self, scope: Scope, given: Filter) -> list[int]:
        """Return the numbers of all versions in a scope that pass the filter, ascending."""
        return [r.seq for r in self._in(scope) if passes(r, given)]

    def page(self, scope: Scope, given: Filter, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions in a scope that pass the filter and have ``seq > after``, ascending."""
        return [r for r in self._in(scope) if passes(r, given) and r.seq > after][: max(0, limit)]

    def tail(self, scope: Scope, *, last: int) -> list[Record]:
        """Return the last ``last`` memories in a scope, in the order of saying, each as no update replaced it."""
        said = sorted((r for r in self._in(scope) if r.ended_by != "update"), key=order_of_saying)
        return said[max(0, len(said) - max(0, last)) :]

    def stored(self, owner: Owner, fingerprint: str) -> list[Stored]:
        """Return all versions of an owner that have a vector of this fingerprint, by seq."""
        state = self._now()
        found = []
        for record in _by_seq(state):
            if record.scope.owner == owner and (record.seq, fingerprint) in state.vectors:
                written, vector = state.vectors[record.seq, fingerprint]
                touched = max(record.seq, record.ended_seq or 0, written)
                found.append(Stored(record=record, vector=vector.copy(), written_seq=touched))
        return found

    def changed(self, fingerprint: str, *, after: int) -> Iterator[tuple[Owner, int]]:
        """Yield (owner, number of the newest such write) of each owner with a write after ``after``."""
        state = self._now()
        newest: dict[Owner, int] = {}
        writes = list(state.erased)
        writes += [(r.scope.owner, max(r.seq, r.ended_seq or 0)) for r in state.records.values()]
        writes += [(state.records[s].scope.owner, w) for (s, f), (w, _) in state.vectors.items() if f == fingerprint]
        for owner, seq in writes:
            newest[owner] = max(seq, newest.get(owner, 0))
        return iter(sorted((owner, seq) for owner, seq in newest.items() if seq > after))

    def owners(self, *, tenant: str | None = None) -> Iterator[tuple[Owner, int]]:
        """Yield each owner and the number of its versions, sorted."""
        counts: dict[Owner, int] = {}
        for record in self._now().records.values():
            counts[record.scope.owner] = counts.get(record.scope.owner, 0) + 1
        return iter(sorted((owner, n) for owner, n in counts.items() if tenant in (None, owner[0])))

    def embeddings(self) -> list[Embedding]:
        """Return every embedder declared, the active one first."""
        return sorted(self._now().embeddings.values(), key=lambda embedding: not embedding.active)

    def declare(self, embedding: Embedding) -> None:
        """Make a fingerprint known, or let it take over from the active one."""
        with self._lock:
            state = self._now().copy()
            known = state.embeddings.get(admitted_embedding(embedding).fingerprint)
            if known and known.dim != embedding.dim:
                raise StoreError(f"embedder {known.fingerprint!r} has width {known.dim}, not {embedding.dim}.")
            if known and known.active:
                embedding = replace(embedding, active=True)
            state.embeddings[embedding.fingerprint] = embedding
            if embedding.active:
                _switch(state, embedding.fingerprint)
            self._state = state

    def retire(self, fingerprint: str) -> None:
        """Remove an inactive embedder and all its vectors; an unknown one is no error."""
        with self._lock:
            state = self._now().copy()
            known = state.embeddings.pop(fingerprint, None)
            if known and known.active:
                raise StoreError(f"embedder {fingerprint!r} is in use; let another one take over, then retire it.")
            state.vectors = {key: value for key, value in state.vectors.items() if key[1] != fingerprint}
            self._state = state

    def unembedded(self, fingerprint: str, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions with ``seq > after`` that lack a vector of this fingerprint, ascending."""
        state = self._now()
        lacking = [r for r in _by_seq(state) if r.seq > after and (r.seq, fingerprint) not in state.vectors]
        return lacking[: max(0, limit)]

    def close(self) -> None:
        """Let go of everything."""
        self._closed = True

    def _now(self) -> _State:
        if self._closed:
            raise StoreError("this store is closed; open it again.")
        return self._state

    def _in(self, scope: Scope) -> list[Record]:
        return [record for record in _by_seq(self._now()) if scope.covers(record.scope)]


def _by_seq(state: _State) -> list[Record]:
    return [state.records[seq] for seq in sorted(state.records)]


def _switch(state: _State, fingerprint: str) -> None:
    lacking = sum((seq, fingerprint) not in state.vectors for seq in state.records)
    if lacking:
        raise StoreError(f"{lacking} versions lack a vector of embedder {fingerprint!r}; embed them, then switch.")
    for name, other in state.embeddings.items():
        state.embeddings[name] = replace(other, active=name == fingerprint)


def _apply(state: _State, change: Change) -> None:
    """Do one change under the number ``state.last_seq``."""
    match change:
        case Insert():
            _insert(state, change)
        case End():
            record = state.version(change.owner, change.seq)
            if not record.current:
                raise StoreError(f"version {change.seq} of memory {record.id!r} has ended already; read it again.")
            state.records[change.seq] = replace(
                record,
                ended_at=change.at,
                ended_seq=state.last_seq,
                ended_by=change.by,
                superseded_by=change.superseded_by,
            )
        case Revector():
            state.version(change.owner, change.seq)
            _put(state, change.seq, change.row)
        case Erase():
            gone = {record.seq for record in state.history(change.owner, change.id)}
            if not gone:
                raise StoreError(f"{change.owner} has no memory {change.id!r}; nothing to forget.")
            state.records = {seq: r for seq, r in state.records.items() if seq not in gone}
            state.vectors = {key: value for key, value in state.vectors.items() if key[0] not in gone}
            state.erased.append((change.owner, state.last_seq))


def _insert(state: _State, change: Insert) -> None:
    came_ended = change.record.ended_at is not None  # an import of the past
    record = replace(change.record, seq=state.last_seq, ended_seq=state.last_seq if came_ended else None)
    newest = max((r.version for r in state.history(record.scope.owner, record.id)), default=0)
    if record.version != newest + 1:
        raise StoreError(f"memory {record.id!r} has {newest} versions; the next is {newest + 1}, not {record.version}.")
    lacking = {e.fingerprint for e in state.embeddings.values() if e.active} - {row.fingerprint for row in change.rows}
    if lacking:
        raise StoreError(f"memory {record.id!r} comes without a vector of the active embedder {lacking.pop()!r}.")
    state.records[record.seq] = record
    for row in change.rows:
        _put(state, record.seq, row)


def _put(state: _State, seq: int, row: Row) -> None:
    known = state.embeddings.get(row.fingerprint)
    if known is None:
        raise StoreError(f"a vector of embedder {row.fingerprint!r} came, which was never declared; declare it first.")
    if len(row.vector) != known.dim:
        raise StoreError(f"a vector of width {len(row.vector)} came; embedder {row.fingerprint!r} has {known.dim}.")
    state.vectors[seq, row.fingerprint] = state.last_seq, row.vector.copy()


def _check_whole(state: _State, changes: Sequence[Change]) -> None:
    """Refuse a state in which two versions of a memory hold at once, or one gave way to a memory that is not there."""
    for change in changes:
        if isinstance(change, Insert):
            owner, name = change.record.scope.owner, change.record.id
            if sum(record.current for record in state.history(owner, name)) > 1:
                raise StoreError(
                    f"memory {name!r} would have two current versions; end the older one in the same call."
                )
        elif isinstance(change, End) and change.superseded_by is not None:
            ended = state.records.get(change.seq)
            if ended and not state.history(change.owner, change.superseded_by):
                raise StoreError(f"version {change.seq} gives way to {change.superseded_by!r}, which is not there.")
            if ended and ended.id == change.superseded_by:
                raise StoreError(f"memory {ended.id!r} cannot supersede itself; end its version by 'update'.")
