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
from memshadow.memory.intake import Plan, alone, embedded, passages_of, touched
from memshadow.memory.parts import Parts
from memshadow.memory.supersession import SupersessionRule
from memshadow.memory.writing import written
from memshadow.types import Added, Draft, Record, Scope

CURRENT = np.iinfo(np.int64).max
"""What a block says in ``ended`` of a version that holds."""
_PAGE = 1000
_MOST_COMPARED = 32
"""Drafts of one call that are compared with what is there; a batch is an import, and nobody reads its reports."""


class Remembering:
    """The writing half of :class:`memshadow.memory.service.Memory`; arguments as there."""

    def __init__(
        self, parts: Parts, *, rule: SupersessionRule, near_threshold: float, clock: Callable[[], datetime]
    ) -> None:
        self._parts, self._rule, self._near, self._clock = parts, rule, near_threshold, clock

    def add(self, scope: Scope, drafts: Sequence[Draft]) -> list[Added]:
        """Remember drafts in one durable write."""
        with self._parts.gate.together(), self._parts.locks.of(scope.owner):
            return self._add(scope, drafts)

    def _add(self, scope: Scope, drafts: Sequence[Draft]) -> list[Added]:
        owner, now = scope.owner, self._clock()
        block = self._parts.index.block(owner)
        digests = [digest(scope, draft) for draft in drafts]
        known = self._known(owner, block, digests)
        self._refuse_taken(owner, drafts, digests, known)
        plan = Plan(owner=owner, embedders=self._parts.embedders)
        tail = self._parts.tails.of(scope, self._parts.reach)
        turn = self._next_turn(block, tail, scope)
        results: list[Added] = []
        fresh: list[Record] = []
        for draft, mark in zip(drafts, digests, strict=True):
            if mark in known:
                results.append(Added(id=known[mark], duplicate=True))
                continue
            memory_id = draft.id or uuid4().hex
            known[mark] = memory_id
            kept = draft if draft.id else replace(draft, id=memory_id)
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
        vectors, moved = self._rows(scope, tail, fresh) if fresh else ([], [])
        near = {} if not 0 < len(fresh) <= _MOST_COMPARED else self._near_ones(scope, block, fresh, vectors)
        for record, row in zip(fresh, vectors, strict=True):
            plan.insert(record, row)
        told = [(result.id, draft) for result, draft in zip(results, drafts, strict=True)]
        ended = self._supersede(plan, scope, told, fresh, now)
        for record, row in moved:
            plan.move(record, row)
        if plan.changes:
            made = written(self._parts, plan)
            self._parts.tails.extend(scope, made, self._parts.reach)
        return [
            replace(result, near=near.get(result.id, ()), superseded=ended.get(result.id, ())) for result in results
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
            return embedded(self._parts.embedders, alone(fresh)), []
        session = [*tail, *fresh]
        turns = [record.draft.said() for record in session]
        new = list(range(len(tail), len(session)))
        moved = touched(new, (0, self._parts.reach[1]), size=len(session))
        rows = embedded(self._parts.embedders, passages_of(turns, self._parts.reach, places=[*moved, *new]))
        old = [session[place] for place in moved]
        return rows[len(moved) :], list(zip(old, rows, strict=False))

    def _near_ones(
        self, scope: Scope, block: Block, fresh: Sequence[Record], vectors: Sequence[Sequence[ndarray]]
    ) -> dict[str, tuple[str, ...]]:
        """Return new id -> ids in the scope that say nearly the same."""
        if self._near > 1 or not self._parts.embedder.normalised or not block.size:
            return {}
        current = block.allowed(scope, Filter())
        seqs: dict[str, list[int]] = {}
        for record, rows in zip(fresh, vectors, strict=True):
            found = block.nearest(rows[0], k=3, allowed=current)
            if len(close := found.places[found.scores >= self._near]):
                seqs[record.id] = block.seqs[close].tolist()
        wanted = [seq for some in seqs.values() for seq in some]
        names = {record.seq: record.id for record in self._parts.store.versions(scope.owner, wanted)}
        return {one: tuple(names[seq] for seq in some if seq in names) for one, some in seqs.items()}

    def _supersede(
        self, plan: Plan, scope: Scope, told: Sequence[tuple[str, Draft]], fresh: Sequence[Record], now: datetime
    ) -> dict[str, tuple[str, ...]]:
        """End what the drafts take the place of; return id -> the ids that it ended.

        ``told`` is every draft of the call and the id of its memory, duplicates too: who says again that something
        supersedes another means it.
        """
        keyed = self._keyed(plan.owner, [draft.key for _, draft in told])
        new = {record.id: record for record in fresh}
        earlier: set[str] = set()
        over: set[str] = set()  # ended in this call already
        ended: dict[str, tuple[str, ...]] = {}
        for memory_id, draft in told:
            by_rule = self._rule.superseded(draft, keyed) if memory_id in new else ()
            wanted = list(by_rule)
            if draft.supersedes is not None:
                wanted.append(draft.supersedes)
            if draft.key is not None and memory_id in new:
                keyed[draft.key] = [memory_id]
            others = [one for one in dict.fromkeys(wanted) if one not in over]
            for old_id in others:
                if old_id == memory_id or (old_id in new and old_id not in earlier):
                    raise DataError(f"{old_id!r:.80} cannot be superseded by itself or by what came before it.")
            whole = Scope(
                tenant=scope.tenant, user=scope.user
            )  # a key is the owner's; what a caller names, the scope's
            ended[memory_id] = tuple(
                one for one in others if self._ended(plan, whole if one in by_rule else scope, one, memory_id, new, now)
            )
            over.update(ended[memory_id])
            earlier.add(memory_id)
        return ended

    def _ended(
        self, plan: Plan, scope: Scope, old_id: str, new_id: str, new: Mapping[str, Record], now: datetime
    ) -> bool:
        """Plan the end of a memory; return whether it held until now."""
        if old_id in new:  # of the same call: it comes as ended already
            plan.insert_ended(new[old_id], at=now, superseded_by=new_id)
            return True
        old = [one for one in self._parts.store.current(plan.owner, [old_id]) if scope.covers(one.scope)]
        if not old:
            raise NotFoundError(f"supersedes={old_id!r:.80}: there is no such memory in this scope; nothing was added.")
        if old[0].current:
            plan.end(old[0], at=now, by="supersede", superseded_by=new_id)
        return old[0].current

    def _keyed(self, owner: Owner, keys: Iterable[str | None]) -> dict[str, Sequence[str]]:
        """Return key -> the memories that hold now and have it, of all the owner's agents and sessions."""
        wanted = tuple(dict.fromkeys(key for key in keys if key is not None))
        found: dict[str, list[str]] = {}
        whole, after = Scope(tenant=owner[0], user=owner[1]), 0
        while wanted and (page := self._parts.store.page(whole, Filter(keys=wanted), after=after, limit=_PAGE)):
            for record in page:
                found.setdefault(str(record.draft.key), []).append(record.id)
            after = page[-1].seq
        return dict(found)

    def update(self, read: Callable[[], Record], changed: Mapping[str, Any], *, owner: Owner) -> Record:
        """Write a new version of what ``read`` returns once nobody else writes."""
        with self._parts.gate.together(), self._parts.locks.of(owner):
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
        if self._parts.reach != (0, 0):
            plan.move(old, embedded(self._parts.embedders, alone([old]))[0])
        rows = self._replaced(plan, old, new)
        plan.insert(new, rows)
        if draft.key != old.draft.key:
            whole = Scope(tenant=old.scope.tenant, user=old.scope.user)
            self._supersede(plan, whole, [(old.id, replace(draft, supersedes=None))], [new], now)
        made = written(self._parts, plan)
        self._parts.tails.drop(old.scope)
        return made[0]

    def forget(self, read: Callable[[], Record], *, owner: Owner) -> None:
        """Erase a memory and its trace in its neighbours."""
        with self._parts.gate.together(), self._parts.locks.of(owner):
            self._forget(read())

    def _forget(self, record: Record) -> None:
        plan = Plan(owner=record.scope.owner, embedders=self._parts.embedders)
        plan.erase(record.id, self._parts.store.history(record.scope.owner, record.id))
        self._replaced(plan, record, None)
        written(self._parts, plan)
        self._parts.tails.drop(record.scope)

    def _replaced(self, plan: Plan, old: Record, new: Record | None) -> list[ndarray]:
        """Plan the vectors of the neighbours of a turn that changes or goes; return those of the new turn."""
        alone_anyway = old.scope.session is None or self._parts.reach == (0, 0)
        session = [old] if alone_anyway else self._parts.tails.whole(old.scope)
        places = [i for i, record in enumerate(session) if record.id == old.id]
        if not places:  # all that is left of it is past: it stands in no session
            return embedded(self._parts.embedders, alone([new]))[0] if new else []
        place = places[0]
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
