"""One writer an owner: the order of a session's turns must be one order. Knows only names."""

from __future__ import annotations

from threading import RLock

_STRIPES = 256


class OwnerLocks:
    """Locks by owner: the order of a session's turns must be one order.

    Two owners may share one (they are striped), so never hold two.
    """

    def __init__(self) -> None:
        self._locks = [RLock() for _ in range(_STRIPES)]

    def of(self, owner: tuple[str, str]) -> RLock:
        """Return the owner's lock, the same one each time; it may be taken again by the thread that holds it."""
        return self._locks[hash(owner) % _STRIPES]
