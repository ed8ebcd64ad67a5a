"""Where blocking work is done: three pools of threads, so that what waits for something else keeps nobody waiting.

Writers wait for the disk, imports for their senders, searches for nothing. A pool of our own, because the hop to a
thread and back is most of what a search costs beside the searching, and the standard library's executor takes half as
much again (``benchmarks/http``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class BusyError(Exception):
    """More calls wait than are worth queueing."""


class Work:
    """Runs calls on threads; used from one event loop.

    Args:
        readers: threads that search and embed; 0: as many as this process has cores, at least 2.
        writers: threads that add, change and forget. They mostly wait for the disk, where waiting ones share a commit.
        importers: threads that take in streams; each is held until its sender has sent all.
        most_waiting: calls under way and waiting, of each kind; one more is refused.
    """

    def __init__(self, *, readers: int, writers: int, importers: int, most_waiting: int) -> None:
        self._readers = _Lane(readers or max(2, len(os.sched_getaffinity(0))), most_waiting, "reader")
        self._writers = _Lane(writers, most_waiting, "writer")
        self._importers = _Lane(importers, most_waiting, "importer")

    async def read(self, call: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        """Run a call that changes nothing."""
        return await self._readers.run(partial(call, *given, **named))

    async def write(self, call: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        """Run a call that changes something; it is finished also when nobody waits for it any more."""
        return await self._writers.run(partial(call, *given, **named))

    async def take_in(self, call: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        """Run a call that changes something as it comes, as slowly as its sender likes."""
        return await self._importers.run(partial(call, *given, **named))

    def close(self) -> None:
        """Finish what runs and what waits; twice is once."""
        for lane in (self._readers, self._writers, self._importers):
            lane.close()


class _Lane:
    """Threads that take calls from one queue, in their order."""

    def __init__(self, threads: int, most_waiting: int, name: str) -> None:
        self._most, self._inside = most_waiting, 0
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [Thread(target=self._serve, name=f"memshadow-{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[[], R]) -> R:
        if self._inside >= self._most:
            raise BusyError(f"{self._inside} calls wait already.")
        self._inside += 1
        loop = asyncio.get_running_loop()
        done: asyncio.Future[R] = loop.create_future()
        self._queue.put((call, done, loop))
        try:
            return await done
        finally:
            self._inside -= 1

    def close(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None:
            _do(*task)


_Task = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


def _do(call: Callable[[], Any], done: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    try:
        told = call()
    except Exception as error:
        loop.call_soon_threadsafe(_fail, done, error)
    else:
        loop.call_soon_threadsafe(_tell, done, told)


def _tell(done: asyncio.Future[Any], told: Any) -> None:
    if not done.done():  # cancelled: nobody waits any more
        done.set_result(told)


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
