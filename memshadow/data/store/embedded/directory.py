"""Which versions an owner has, by id and by number: kept in memory, so that checking a write asks no table.

Filled from the database owner by owner, when first needed; the least recently used owners are let go above a bound.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Known(NamedTuple):
    """A version that is there."""

    seq: int
    version: int
    current: bool


@dataclass(slots=True)
class OwnerDirectory:
    """The versions of one owner; those of a memory ascend. Only the writer's thread changes it."""

    number: int
    memories: dict[str, tuple[Known, ...]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def put(self, memory_id: str, versions: tuple[Known, ...]) -> None:
        """Let a memory have exactly these versions; none: it is not there."""
        for known in self.memories.get(memory_id, ()):
            del self.names[known.seq]
        for known in versions:
            self.names[known.seq] = memory_id
        if versions:
            self.memories[memory_id] = versions
        else:
            self.memories.pop(memory_id, None)

    def known(self, seq: int) -> tuple[str, Known] | None:
        """Return the id of a version's memory and the version itself."""
        name = self.names.get(seq)
        if name is None:
            return None
        return name, next(known for known in self.memories[name] if known.seq == seq)


Rows = Iterable[tuple[int, str, int, bool]]
"""(seq, id, version, current) of an owner's versions, by version."""


class Directory:
    """The directories of the owners used last; ``most`` bounds how many versions they hold together."""

    def __init__(self, load: Callable[[int], Rows], *, most: int) -> None:
        self._load, self._most = load, most
        self._owners: OrderedDict[int, OwnerDirectory] = OrderedDict()
        self._at_most = 0  # no fewer than are held: counting at every write would cost more than the write
        self.lock = threading.RLock()
        """Held while an owner is loaded, looked up or changed."""

    def of(self, number: int) -> OwnerDirectory:
        """Return the directory of an owner, loaded where need be."""
        with self.lock:
            if number not in self._owners:
                self._owners[number] = self._loaded(number)
                self._at_most += len(self._owners[number].names)
            self._owners.move_to_end(number)
            return self._owners[number]

    def begin(self, number: int) -> None:
        """Know an owner who has nothing yet; nothing is loaded."""
        with self.lock:
            self._owners[number] = OwnerDirectory(number)

    def drop(self, number: int) -> None:
        """Forget what ``begin`` did."""
        with self.lock:
            self._owners.pop(number, None)

    def trim(self, *, added: int) -> None:
        """Let owners go until the bound holds, after ``added`` versions; for the writer, between two groups."""
        with self.lock:
            self._at_most += added
            if self._at_most <= self._most:
                return
            size = sum(len(owner.names) for owner in self._owners.values())
            while size > self._most and len(self._owners) > 1:
                size -= len(self._owners.popitem(last=False)[1].names)
            self._at_most = size

    def _loaded(self, number: int) -> OwnerDirectory:
        found: dict[str, list[Known]] = {}
        for seq, name, version, current in self._load(number):
            found.setdefault(name, []).append(Known(seq, version, current))
        names = {known.seq: name for name, versions in found.items() for known in versions}
        return OwnerDirectory(number, {name: tuple(versions) for name, versions in found.items()}, names)
