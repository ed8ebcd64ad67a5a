"""The ends of sessions, remembered: what the row of the next turn depends on. Reads the store, writes nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from memshadow.data.store.base import Filter, MemoryStore, Owner
from memshadow.types import Record, Scope

_REMEMBERED = 2048
_PAGE = 1000


class SessionTails:
    """The last turns of the sessions written to of late; called under the owner's lock.

    Of each memory that version counts which no update replaced, superseded or not: it was said.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tails: OrderedDict[tuple[Owner, str], tuple[int, list[Record]]] = OrderedDict()
        self._guard = Lock()

    def of(self, scope: Scope, reach: tuple[int, int]) -> list[Record]:
        """Return as many last turns of the scope's session as new ones may depend on or change; none without one."""
        if scope.session is None or reach == (0, 0):
            return []
        with self._guard:
            depth, tail = self._tails.get((scope.owner, scope.session), (0, []))
        if depth >= sum(reach):
            return tail
        tail = self._store.tail(replace(scope, agent=None), last=sum(reach))
        self._keep(scope, tail, reach)
        return tail

    def extend(self, scope: Scope, made: Sequence[Record], reach: tuple[int, int]) -> None:
        """Take up turns that were added to the scope's session."""
        if scope.session is not None and reach != (0, 0):
            self._keep(scope, [*self.of(scope, reach), *made][-sum(reach) :], reach)

    def drop(self, scope: Scope) -> None:
        """Forget the scope's session, in which something changed."""
        with self._guard:
            self._tails.pop((scope.owner, str(scope.session)), None)

    def forget(self, owner: Owner) -> None:
        """Forget all sessions of an owner."""
        with self._guard:
            for key in [key for key in self._tails if key[0] == owner]:
                del self._tails[key]

    def whole(self, scope: Scope) -> list[Record]:
        """Return all turns of the scope's session in the order of saying."""
        session = replace(scope, agent=None)
        found: list[Record] = []
        after = 0
        while page := self._store.page(session, Filter(latest_only=False), after=after, limit=_PAGE):
            found += [record for record in page if record.ended_by != "update"]
            after = page[-1].seq
        return sorted(found, key=lambda record: (record.turn, record.seq))

    def _keep(self, scope: Scope, tail: list[Record], reach: tuple[int, int]) -> None:
        with self._guard:
            key = (scope.owner, str(scope.session))
            self._tails[key] = (sum(reach), tail)
            self._tails.move_to_end(key)
            while len(self._tails) > _REMEMBERED:
                self._tails.popitem(last=False)
