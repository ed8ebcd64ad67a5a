"""Who may do what at the same time: one writer an owner, and nobody while embedders are changed. Knows only names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, RLock

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


class Gate:
    """Many pass at once; who closes it waits until they are through, and then is alone."""

    def __init__(self) -> None:
        self._changed, self._inside, self._closed = Condition(), 0, False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait while it is closed, then be one of many. Not to be entered again by a thread that is inside."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody in, wait until all are out, then be alone."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._closed = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
