"""One thread that writes for all: what came while it was busy goes into its next transaction together.

Knows queues and futures; what a group does is the caller's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from memshadow.data.store.base import Change

_MOST_CHANGES = 5_000


@dataclass(frozen=True, slots=True)
class Call:
    """The changes of one call."""

    changes: Sequence[Change]
    done: Future[int] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Job:
    """Something that must run alone, between two groups."""

    run: Callable[[], Any]
    done: Future[Any] = field(default_factory=Future)


class Writer:
    """Takes calls and jobs in their order; ``write_group`` settles the futures of the calls it is given."""

    def __init__(self, write_group: Callable[[list[Call]], None]) -> None:
        self._write_group = write_group
        self._queue: SimpleQueue[Call | Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="memshadow-store-writer", daemon=True)
        self._thread.start()

    def put(self, item: Call | Job) -> None:
        """Queue a call or a job."""
        self._queue.put(item)

    def stop(self) -> None:
        """Finish what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        item = self._queue.get()
        while item is not None:
            if isinstance(item, Job):
                _settle(item)
                item = self._queue.get()
            else:
                item = self._write_from(item)

    def _write_from(self, first: Call) -> Call | Job | None:
        """Write a call and the calls behind it as one group; return what came next."""
        group: list[Call] = []
        item: Call | Job | None = first
        changes = 0
        try:
            while isinstance(item, Call) and changes < _MOST_CHANGES:
                if item.done.set_running_or_notify_cancel():
                    group.append(item)
                    changes += len(item.changes)
                item = self._queue.get_nowait()
        except Empty:
            self._write_group(group)
            return self._queue.get()
        self._write_group(group)
        return item


def _settle(job: Job) -> None:
    if job.done.set_running_or_notify_cancel():
        try:
            job.done.set_result(job.run())
        except BaseException as error:
            job.done.set_exception(error)
