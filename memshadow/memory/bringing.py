"""Versions that come from elsewhere, an export for instance: written as they are, once, whatever order they come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy import ndarray

from memshadow.data.store.base import Filter, Owner
from memshadow.errors import DataError
from memshadow.memory.intake import Plan, alone, embedded, passages_of, touched
from memshadow.memory.parts import Parts
from memshadow.memory.supersession import SupersessionRule
from memshadow.memory.writing import written
from memshadow.types import Record, Scope

_LAST = np.iinfo(np.int64).max
"""Above every sequence number: where a version without one is sorted."""
_PAGE = 1000
_KEYS = 500
"""Keys that are looked up at once."""
Placed = list[tuple[Record, list[ndarray]]]
Versions = Mapping[tuple[str, int], Record]
"""(id, version) -> that version."""


class Bringing:
    """The importing half of :class:`memshadow.memory.service.Memory`. All records of a call have one owner."""

    def __init__(self, parts: Parts, *, rule: SupersessionRule) -> None:
        self._parts, self._rule = parts, rule

    def take_in(self, records: Sequence[Record]) -> int:
        """Write the versions that are not there; return how many.

        A version that is there and was updated since in what comes is ended with it.

        Raises:
            DataError: a version is there with other content, an earlier one of it is nowhere, or two of a memory would
                hold; nothing of the call was written.
        """
        owner = records[0].scope.owner
        with self._parts.gate.together(), self._parts.locks.of(owner):
            known = self._known(owner, records)
            fresh = _fresh(records, known)
            plan = Plan(owner=owner, embedders=self._parts.embedders)
            gone = self._end_replaced(plan, records, known)
            _refuse_torn(fresh, known, gone)
            for scope, told in _by_session(fresh):
                rows, moved = self._rows_among(scope, told, gone)
                for record in told:
                    plan.insert(record, rows[record.id, record.version])
                for old, row in moved:
                    plan.move(old, row)
            if plan.changes:
                written(self._parts, plan)
                self._parts.tails.forget(owner)
        return len(fresh)

    def end_superseded(self, records: Sequence[Record]) -> None:
        """End what is current here and was superseded in what came, once all of that is there."""
        owner = records[0].scope.owner
        with self._parts.gate.together(), self._parts.locks.of(owner):
            plan = Plan(owner=owner, embedders=self._parts.embedders)
            there = {record.id for record in self._parts.store.current(owner, [str(r.superseded_by) for r in records])}
            for came in records:
                kept = self._parts.store.current(owner, [came.id])
                same = bool(kept) and kept[0].current and kept[0].version == came.version
                if same and came.ended_at is not None and came.superseded_by in there:
                    plan.end(kept[0], at=came.ended_at, by="supersede", superseded_by=came.superseded_by)
            if plan.changes:
                written(self._parts, plan)

    def settle_keys(self, owner: Owner, keys: Iterable[str]) -> None:
        """Let the rule decide what holds, where several memories of one key do: the one that was learned last is new.

        It is what ``ingested_at`` says: an old backup takes the place of nothing that was learned since.
        """
        remaining = iter(keys)
        while some := tuple(islice(remaining, _KEYS)):
            with self._parts.gate.together(), self._parts.locks.of(owner):
                plan = Plan(owner=owner, embedders=self._parts.embedders)
                for key, held in self._holding(owner, some).items():
                    *older, newest = sorted(held, key=lambda record: (record.ingested_at, record.seq))
                    ended = set(self._rule.superseded(newest.draft, {key: [record.id for record in older]}))
                    for old in (record for record in older if record.id in ended):
                        plan.end(old, at=newest.ingested_at, by="supersede", superseded_by=newest.id)
                if plan.changes:
                    written(self._parts, plan)

    def _holding(self, owner: Owner, keys: tuple[str, ...]) -> dict[str, list[Record]]:
        """Return key -> the memories that hold and have it."""
        found: dict[str, list[Record]] = {}
        whole, after = Scope(tenant=owner[0], user=owner[1]), 0
        while page := self._parts.store.page(whole, Filter(keys=keys), after=after, limit=_PAGE):
            for record in page:
                found.setdefault(str(record.draft.key), []).append(record)
            after = page[-1].seq
        return found

    def _known(self, owner: Owner, records: Sequence[Record]) -> Versions:
        """Return the versions of the same memories that are there."""
        ids = list(dict.fromkeys(record.id for record in records))
        there = [record.id for record in self._parts.store.current(owner, ids)]
        return {(r.id, r.version): r for one in there for r in self._parts.store.history(owner, one)}

    def _end_replaced(self, plan: Plan, records: Sequence[Record], known: Versions) -> frozenset[int]:
        """Plan the end of what is current here and was updated there; return the numbers of those versions."""
        gone = set()
        for came in records:
            kept = known.get((came.id, came.version))
            if kept and kept.current and came.ended_by == "update" and came.ended_at and kept.seq not in gone:
                plan.end(kept, at=came.ended_at, by="update")
                plan.move(kept, embedded(self._parts.embedders, alone([kept]))[0])
                gone.add(kept.seq)
        return frozenset(gone)

    def _rows_among(
        self, scope: Scope, told: Sequence[Record], gone: frozenset[int]
    ) -> tuple[dict[tuple[str, int], list[ndarray]], Placed]:
        """Return the rows of versions that come anywhere in a session, and those of the turns beside them."""
        said = [record for record in told if record.ended_by != "update"]
        past = [record for record in told if record.ended_by == "update"]
        reach = self._parts.reach if scope.session is not None else (0, 0)
        there = self._parts.tails.whole(scope) if reach != (0, 0) else []
        kept = [record for record in there if record.seq not in gone]
        session = sorted([*kept, *said], key=lambda record: (record.turn, record.seq or _LAST))
        new = [place for place, record in enumerate(session) if not record.seq]
        near = [place for place in touched(new, reach, size=len(session)) if session[place].seq]
        passages = passages_of([record.draft.said() for record in session], reach, places=[*new, *near])
        rows = embedded(self._parts.embedders, [*passages, *alone(past)])
        made = list(zip([*(session[place] for place in (*new, *near)), *past], rows, strict=True))
        fresh = {(record.id, record.version): row for record, row in made if not record.seq}
        return fresh, [(record, row) for record, row in made if record.seq]


def _fresh(records: Sequence[Record], known: Versions) -> list[Record]:
    """Return the versions that are not there, each once, those of one memory ascending.

    Refuses one that is there with other content.
    """
    fresh: dict[tuple[str, int], Record] = {}
    for record in records:
        name = (record.id, record.version)
        same = known.get(name) or fresh.setdefault(name, replace(record, seq=0, ended_seq=None))
        if same.digest != record.digest:
            raise DataError(
                f"memory {record.id!r:.80}, version {record.version}, is there with other content or in another "
                "session; forget it first, or import into another scope."
            )
    ascending: dict[str, deque[int]] = {}
    for one, version in sorted(fresh):
        ascending.setdefault(one, deque()).append(version)
    return [fresh[one, ascending[one].popleft()] for one, _ in fresh]


def _refuse_torn(fresh: Sequence[Record], known: Versions, gone: frozenset[int]) -> None:
    """Refuse what would leave a memory without a part of its past, or with two versions that hold."""
    newest: dict[str, int] = {}
    holds: dict[str, int] = {}
    for (name, version), kept in known.items():
        newest[name] = max(version, newest.get(name, 0))
        if kept.current and kept.seq not in gone:
            holds[name] = version
    for came in fresh:
        before = newest.get(came.id, 0)
        if came.version != before + 1:
            raise DataError(
                f"memory {came.id!r:.80}: version {came.version} came, and {before or 'none'} before it is here; bring "
                "in the whole export, its lines in their order."
            )
        if came.current and came.id in holds:
            raise DataError(
                f"memory {came.id!r:.80}: versions {holds[came.id]} and {came.version} would both hold; export again."
            )
        newest[came.id] = came.version
        if came.current:
            holds[came.id] = came.version


def _by_session(records: Sequence[Record]) -> list[tuple[Scope, list[Record]]]:
    """Return the records in groups of one session (of any agent), in the order of first coming."""
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(record.scope.session, []).append(record)
    return [(group[0].scope, group) for group in groups.values()]
