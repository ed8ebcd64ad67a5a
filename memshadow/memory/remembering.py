"""What is written when something is remembered, changed, forgotten; called under the owner's lock, checks no scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import numpy as np
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.data.store.base import Filter, Owner
from memshadow.errors import DataError, NotFoundError
from memshadow.memory.drafting import digest, drafted
from memshadow.memory.intake import Plan, embedded, passages_of, touched
from memshadow.memory.parts import Parts
from memshadow.memory.sessions import SessionTails
from memshadow.memory.supersession import SupersessionRule
from memshadow.types import Added, Draft, Record, Scope

CURRENT = np.iinfo(np.int64).max
"""What a block says in ``ended`` of a version that holds."""
_MOST_COMPARED = 32
"""Drafts of one call that are compared with what is there; a batch is an import, and nobody reads its reports."""


_LAST = np.iinfo(np.int64).max
"""Above every sequence number: where a version without one is sorted."""


class Remembering:
    """The writing half of :class:`memshadow.memory.service.Memory`; arguments as there."""

    def __init__(
        self, parts: Parts, *, rule: SupersessionRule, near_threshold: float, clock: Callable[[], datetime]
    ) -> None:
        self._parts, self._rule, self._near, self._clock = parts, rule, near_threshold, clock
        self._tails = SessionTails(parts.store)

    def add(self, scope: Scope, drafts: Sequence[Draft]) -> list[Added]:
        """Remember drafts in one durable write."""
        with self._parts.gate.passing(), self._parts.locks.of(scope.owner):
            return self._add(scope, drafts)

    def _add(self, scope: Scope, drafts: Sequence[Draft]) -> list[Added]:
        owner, now = scope.owner, self._clock()
        block = self._parts.index.block(owner)
        digests = [digest(scope, draft) for draft in drafts]
        known = self._known(owner, block, digests)
        self._refuse_taken(owner, drafts, digests, known)
        plan = Plan(owner=owner, embedders=self._parts.embedders)
        tail = self._tails.of(scope, self._parts.reach)
        turn = self._next_turn(block, tail, scope)
        results: list[Added] = []
        fresh: list[Record] = []
        for draft, mark in zip(drafts, digests, strict=True):
            if mark in known:
                results.append(Added(id=known[mark], duplicate=True))
                continue
            memory_id = draft.id or uuid4().hex
            known[mark] = memory_id
            kept = replace(draft, id=memory_id)
            fresh.append(
                Record(
                    id=memory_id,
                    version=1,
                    scope=scope,
                    turn=turn + len(fresh),
                    draft=kept,
                    ingested_at=now,
                    digest=mark,
                )
            )
            results.append(Added(id=memory_id))
        if not fresh:
            return results
        vectors, moved = self._rows(scope, tail, fresh)
        near = {} if len(fresh) > _MOST_COMPARED else self._near_ones(owner, block, fresh, vectors)
        for record, row in zip(fresh, vectors, strict=True):
            plan.insert(record, row)
        ended = self._supersede(plan, fresh, now)
        for record, row in moved:
            plan.move(record, row)
        made = self._write(plan)
        self._tails.extend(scope, made, self._parts.reach)
        return [
            result
            if result.duplicate
            else replace(result, near=near.get(result.id, ()), superseded=ended.get(result.id, ()))
            for result in results
        ]

    def _known(self, owner: Owner, block: Block, digests: Sequence[int]) -> dict[int, str]:
        """Return digest -> id of what is there and holds."""
        wanted = np.asarray(digests, dtype=np.uint64)
        same = np.flatnonzero(np.isin(block.digests, wanted) & (block.ended == CURRENT))
        return {record.digest: record.id for record in self._parts.store.versions(owner, block.seqs[same].tolist())}

    def _refuse_taken(
        self, owner: Owner, drafts: Sequence[Draft], digests: Sequence[int], known: Mapping[int, str]
    ) -> None:
        """Refuse an id that another memory has."""
        named: dict[str, int] = {}
        for draft, mark in zip(drafts, digests, strict=True):
            if draft.id is None or known.get(mark) == draft.id:
                continue
            if named.setdefault(draft.id, mark) != mark:
                raise DataError(f"the id {draft.id!r:.80} came twice with different content; nothing was added.")
        taken = self._parts.store.current(owner, list(named))
        if taken:
            raise DataError(f"the id {taken[0].id!r:.80} is taken; update that memory, or leave out the id.")

    def _next_turn(self, block: Block, tail: Sequence[Record], scope: Scope) -> int:
        if scope.session is None:
            return 0
        mine = block.allowed(replace(scope, agent=None), Filter(latest_only=False))
        turns = block.turns if mine is None else block.turns[mine]
        return max([*(record.turn for record in tail), int(turns.max(initial=-1))]) + 1

    def _rows(
        self, scope: Scope, tail: Sequence[Record], fresh: Sequence[Record]
    ) -> tuple[list[list[ndarray]], list[tuple[Record, list[ndarray]]]]:
        """Return the rows of new turns, and those of the last turns before them, which now have a neighbour more."""
        if scope.session is None:
            alone = [record.draft.said() for record in fresh]
            passages = [passage for turn in alone for passage in passages_of([turn], (0, 0), places=[0])]
            return embedded(self._parts.embedders, passages), []
        session = [*tail, *fresh]
        turns = [record.draft.said() for record in session]
        new = list(range(len(tail), len(session)))
        moved = touched(new, (0, self._parts.reach[1]), size=len(session))
        rows = embedded(self._parts.embedders, passages_of(turns, self._parts.reach, places=[*moved, *new]))
        old = [session[place] for place in moved]
        return rows[len(moved) :], list(zip(old, rows, strict=False))

    def _near_ones(
        self, owner: Owner, block: Block, fresh: Sequence[Record], vectors: Sequence[Sequence[ndarray]]
    ) -> dict[str, tuple[str, ...]]:
        if self._near > 1 or not self._parts.embedder.normalised or not block.size:
            return {}
        current = block.ended == CURRENT
        seqs: dict[str, list[int]] = {}
        for record, rows in zip(fresh, vectors, strict=True):
            found = block.nearest(rows[0], k=3, allowed=current)
            if len(close := found.places[found.scores >= self._near]):
                seqs[record.id] = block.seqs[close].tolist()
        names = {
            r.seq: r.id for r in self._parts.store.versions(owner, [seq for some in seqs.values() for seq in some])
        }
        return {one: tuple(names[seq] for seq in some if seq in names) for one, some in seqs.items()}

    def _supersede(self, plan: Plan, fresh: Sequence[Record], now: datetime) -> dict[str, tuple[str, ...]]:
        """End what the new ones take the place of, and return new id -> the ids it ended."""
        wanted = [record.draft.key for record in fresh if record.draft.key is not None]
        keyed = self._keyed(plan.owner, wanted)
        ended: dict[str, tuple[str, ...]] = {}
        within: dict[str, int] = {}
        for record in fresh:
            ids = list(self._rule.superseded(record.draft, keyed))
            if record.draft.supersedes is not None:
                ids.append(record.draft.supersedes)
            if record.draft.key is not None:
                keyed[record.draft.key] = record.id
            ended[record.id] = tuple(dict.fromkeys(ids))
            within[record.id] = len(within)
        for new_id, old_ids in ended.items():
            for old_id in old_ids:
                self._end(plan, old_id, new_id, fresh, within, now)
        return ended

    def _end(
        self, plan: Plan, old_id: str, new_id: str, fresh: Sequence[Record], within: Mapping[str, int], now: datetime
    ) -> None:
        if old_id in within:  # of the same call: it comes as ended already
            plan.insert_ended(fresh[within[old_id]], at=now, superseded_by=new_id)
            return
        old = self._parts.store.current(plan.owner, [old_id])
        if not old:
            raise NotFoundError(f"supersedes={old_id!r:.80}: there is no such memory; nothing was added.")
        if old[0].current:
            plan.end(old[0], at=now, by="supersede", superseded_by=new_id)

    def _keyed(self, owner: Owner, keys: Iterable[str]) -> dict[str, str]:
        wanted = tuple(dict.fromkeys(keys))
        if not wanted:
            return {}
        whole = Scope(tenant=owner[0], user=owner[1])
        found = self._parts.store.page(whole, Filter(keys=wanted), after=0, limit=10 * len(wanted))
        return {str(record.draft.key): record.id for record in found}

    def take_in(self, records: Sequence[Record]) -> int:
        """Write versions of one owner as they come, but for those that are there; return how many were new."""
        scope = records[0].scope
        with self._parts.gate.passing(), self._parts.locks.of(scope.owner):
            fresh = self._unknown(scope.owner, records)
            plan = Plan(owner=scope.owner, embedders=self._parts.embedders)
            for session, told in _by_session(fresh):
                rows, moved = self._rows_among(session, told)
                for record in told:
                    plan.insert(record, rows[record.id, record.version])
                for old, row in moved:
                    plan.move(old, row)
            if fresh:
                self._write(plan)
            for session, _ in _by_session(fresh):
                self._tails.drop(session)
        return len(fresh)

    def _rows_among(
        self, scope: Scope, told: Sequence[Record]
    ) -> tuple[dict[tuple[str, int], list[ndarray]], list[tuple[Record, list[ndarray]]]]:
        """Return the rows of versions that come anywhere in a session, and those of the turns beside them.

        A version that an update replaced has no neighbours: its successor stands in its place.
        """
        said = [record for record in told if record.ended_by != "update"]
        past = [record for record in told if record.ended_by == "update"]
        there = self._tails.whole(scope) if scope.session is not None else []
        session = sorted([*there, *said], key=lambda record: (record.turn, record.seq or _LAST))
        new = [place for place, record in enumerate(session) if not record.seq]
        reach = self._parts.reach if scope.session is not None else (0, 0)
        near = [place for place in touched(new, reach, size=len(session)) if session[place].seq]
        passages = passages_of([record.draft.said() for record in session], reach, places=[*new, *near])
        alone = [record.draft.said() for record in past]
        passages += passages_of(alone, (0, 0), places=range(len(alone)))
        rows = embedded(self._parts.embedders, passages)
        named = [*(session[place] for place in new), *(session[place] for place in near), *past]
        made = list(zip(named, rows, strict=True))
        fresh = {(record.id, record.version): row for record, row in made if not record.seq}
        return fresh, [(record, row) for record, row in made if record.seq]

    def _unknown(self, owner: Owner, records: Sequence[Record]) -> list[Record]:
        """Return the versions that are not there; refuse one that is there with other content."""
        ids = list(dict.fromkeys(record.id for record in records))
        there = [known.id for known in self._parts.store.current(owner, ids)]
        known = {(r.id, r.version): r.digest for one in there for r in self._parts.store.history(owner, one)}
        fresh: dict[tuple[str, int], Record] = {}
        for record in records:
            name = (record.id, record.version)
            if name not in known:
                fresh.setdefault(name, record)
            if known.get(name, fresh[name].digest if name in fresh else 0) != record.digest:
                raise DataError(
                    f"memory {record.id!r:.80}, version {record.version}, is there with other content or in another "
                    "session; forget it first, or import into another scope."
                )
        return list(fresh.values())

    def update(self, read: Callable[[], Record], changed: Mapping[str, Any], *, owner: Owner) -> Record:
        """Write a new version of what ``read`` returns once nobody else writes."""
        with self._parts.gate.passing(), self._parts.locks.of(owner):
            old = read()
            draft = drafted(old.draft, **changed)
            if draft == old.draft:
                return old
            if not old.current:
                raise DataError(f"{old.id} was superseded by {old.superseded_by}; update that one.")
            return self._update(old, draft)

    def _update(self, old: Record, draft: Draft) -> Record:
        now = self._clock()
        new = replace(
            old, version=old.version + 1, draft=draft, ingested_at=now, digest=digest(old.scope, draft), seq=0
        )
        plan = Plan(owner=old.scope.owner, embedders=self._parts.embedders)
        plan.end(old, at=now, by="update")
        rows = self._replaced(plan, old, new)
        plan.insert(new, rows)
        made = self._write(plan)
        self._tails.drop(old.scope)
        return made[0]

    def forget(self, read: Callable[[], Record], *, owner: Owner) -> None:
        """Erase a memory and its trace in its neighbours."""
        with self._parts.gate.passing(), self._parts.locks.of(owner):
            self._forget(read())

    def _forget(self, record: Record) -> None:
        plan = Plan(owner=record.scope.owner, embedders=self._parts.embedders)
        plan.erase(record.id, self._parts.store.history(record.scope.owner, record.id))
        self._replaced(plan, record, None)
        self._write(plan)
        self._tails.drop(record.scope)

    def _replaced(self, plan: Plan, old: Record, new: Record | None) -> list[ndarray]:
        """Plan the vectors of the neighbours of a turn that changes or goes; return those of the new turn."""
        session = self._tails.whole(old.scope) if old.scope.session is not None else [old]
        place = next(i for i, record in enumerate(session) if record.id == old.id)
        after = [*session[:place], *([new] if new else []), *session[place + 1 :]]
        turns = [record.draft.said() for record in after]
        if new:
            near = touched([place], self._parts.reach, size=len(after))
        else:  # those on both sides of the gap see each other now
            near = [i for i in range(place - self._parts.reach[1], place + self._parts.reach[0]) if 0 <= i < len(after)]
        own = [place] if new else []
        rows = embedded(self._parts.embedders, passages_of(turns, self._parts.reach, places=[*own, *near]))
        for i, row in zip(near, rows[len(own) :], strict=True):
            plan.move(after[i], row)
        return rows[0] if new else []

    def _write(self, plan: Plan) -> list[Record]:
        """Make a plan durable, then visible."""
        last = self._parts.store.write(plan.changes)
        applied, made = plan.applied(last)
        try:
            self._parts.index.apply(plan.owner, applied)
        except BaseException:
            self._parts.index.drop(plan.owner)
            raise
        return made


def _by_session(records: Sequence[Record]) -> list[tuple[Scope, list[Record]]]:
    """Return the records in groups of one session (of any agent), in the order of first coming."""
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(record.scope.session, []).append(record)
    return [(group[0].scope, group) for group in groups.values()]
