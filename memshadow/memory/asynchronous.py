"""``AsyncMemory``: the same calls for an event loop. Each runs on a thread of its own pool; knows nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from memshadow.memory.exchange import Imported
from memshadow.memory.service import Memory, What
from memshadow.models.base import Embedder
from memshadow.types import Adaptation, Added, Context, Hit, Record, Scope, Stats

P = ParamSpec("P")
R = TypeVar("R")
_PORTION = 500
"""Items of an iterator that one hop to a thread brings."""


class AsyncMemory:
    """A :class:`Memory` whose methods are awaited; arguments, results and errors are those of the method they name.

    A call that is cancelled goes on in its thread: what it writes is written.
    """

    def __init__(self, memory: Memory, *, threads: int = 4) -> None:
        self.memory = memory
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="memshadow")

    def at(self, scope: Scope | None = None, **parts: str | None) -> AsyncMemory:
        """Return this memory seen from another scope, on the same threads; close either, and both are closed."""
        seen: AsyncMemory = object.__new__(AsyncMemory)
        seen.memory, seen._pool = self.memory.at(scope, **parts), self._pool
        return seen

    async def add(self, what: What | list[Any], *, scope: Scope | None = None, **said: Any) -> Added | list[Added]:
        """Remember one thing or many."""
        return await self._run(self.memory.add, what, scope=scope, **said)

    async def get(self, memory_id: str, *, scope: Scope | None = None) -> Record:
        """Return the newest version of a memory."""
        return await self._run(self.memory.get, memory_id, scope=scope)

    async def history(self, memory_id: str, *, scope: Scope | None = None) -> list[Record]:
        """Return all versions of a memory, oldest first."""
        return await self._run(self.memory.history, memory_id, scope=scope)

    async def update(self, memory_id: str, *, scope: Scope | None = None, **changed: Any) -> Record:
        """Replace fields of a memory by a new version."""
        return await self._run(self.memory.update, memory_id, scope=scope, **changed)

    async def forget(self, memory_id: str, *, scope: Scope | None = None) -> None:
        """Erase a memory."""
        await self._run(self.memory.forget, memory_id, scope=scope)

    async def search(self, query: str, *, k: int = 10, scope: Scope | None = None, **narrowed: Any) -> list[Hit]:
        """Return the memories that answer a query best."""
        return await self._run(self.memory.search, query, k=k, scope=scope, **narrowed)

    async def context(self, query: str, *, budget_tokens: int, scope: Scope | None = None, **narrowed: Any) -> Context:
        """Return what a prompt should hold to answer a query."""
        return await self._run(self.memory.context, query, budget_tokens=budget_tokens, scope=scope, **narrowed)

    async def feedback(
        self,
        query: str,
        useful: Sequence[str] | str,
        helpful: bool = True,
        *,
        scope: Scope | None = None,
        **said: Any,
    ) -> Adaptation:
        """Note which memories answered a question, and adapt to it."""
        return await self._run(self.memory.feedback, query, useful, helpful, scope=scope, **said)

    async def adaptation(self, *, scope: Scope | None = None) -> Adaptation:
        """Return whether what a user answered moves that user's questions."""
        return await self._run(self.memory.adaptation, scope=scope)

    async def adapt(self, *, scope: Scope | None = None) -> Adaptation:
        """Make the user's adapter anew."""
        return await self._run(self.memory.adapt, scope=scope)

    async def unadapt(self, *, scope: Scope | None = None) -> None:
        """Remove the user's adapter."""
        await self._run(self.memory.unadapt, scope=scope)

    async def recent(self, *, last: int = 20, scope: Scope | None = None) -> list[Record]:
        """Return the last memories of a scope."""
        return await self._run(self.memory.recent, last=last, scope=scope)

    async def recent_context(self, *, budget_tokens: int, last: int = 50, scope: Scope | None = None) -> Context:
        """Return the end of a session as text for a prompt."""
        return await self._run(self.memory.recent_context, budget_tokens=budget_tokens, last=last, scope=scope)

    async def page(
        self, *, after: int = 0, limit: int = 100, scope: Scope | None = None, **narrowed: Any
    ) -> list[Record]:
        """Return a page of the memories of a scope."""
        return await self._run(self.memory.page, after=after, limit=limit, scope=scope, **narrowed)

    def everything(self, *, scope: Scope | None = None, **narrowed: Any) -> AsyncIterator[Record]:
        """Yield all memories of a scope, by seq, reading as it goes: ``async for``."""
        return self._each(self.memory.everything(scope=scope, **narrowed))

    def export(self, *, scope: Scope | None = None) -> AsyncIterator[str]:
        """Yield everything of a scope, the past too, as lines of JSON: ``async for``."""
        return self._each(self.memory.export(scope=scope))

    async def import_(self, lines: Iterable[str] | AsyncIterable[str], *, scope: Scope | None = None) -> Imported:
        """Bring in the lines of an export, or of another program.

        Lines of an ``Iterable`` are read on a thread, those of an ``AsyncIterable`` on this loop, as they are wanted.
        """
        if isinstance(lines, AsyncIterable):
            lines = _pulled(aiter(lines), asyncio.get_running_loop())
        return await self._run(self.memory.import_, lines, scope=scope)

    async def reembed(self, embedder: Embedder, **given: Any) -> None:
        """Take up another embedder; ``progress`` is called on a thread."""
        await self._run(self.memory.reembed, embedder, **given)

    async def stats(self, *, scope: Scope | None = None) -> Stats:
        """Return what is kept for a scope's owner."""
        return await self._run(self.memory.stats, scope=scope)

    async def close(self) -> None:
        """Finish what runs and what waits, then close the memory; twice is once."""
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self.memory.close)

    async def __aenter__(self) -> AsyncMemory:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _each(self, items: Iterator[R]) -> AsyncIterator[R]:
        while portion := await self._run(_portion, items):
            for item in portion:
                yield item

    async def _run(self, call: Callable[..., R], *given: Any, **named: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *given, **named))


def _pulled(lines: AsyncIterator[str], loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """Yield on a thread what an event loop makes; what came before an error too."""
    error: Exception | None = None
    found = [""]
    while found and error is None:
        found, error = asyncio.run_coroutine_threadsafe(_next(lines), loop).result()
        yield from found
    if error is not None:
        raise error


async def _next(lines: AsyncIterator[str]) -> tuple[list[str], Exception | None]:
    found: list[str] = []
    try:
        while len(found) < _PORTION:
            found.append(await anext(lines))
    except StopAsyncIteration:
        return found, None
    except Exception as error:
        return found, error
    return found, None


def _portion(items: Iterator[R]) -> list[R]:
    return list(islice(items, _PORTION))
