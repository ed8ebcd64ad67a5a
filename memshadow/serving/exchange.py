"""Everything out and in again, as a stream of JSON lines: neither side ever holds it whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from memshadow.errors import DataError
from memshadow.serving.http import Call, LeanRoute
from memshadow.serving.limits import TooMuchError, stream_of
from memshadow.serving.memories import SCOPED
from memshadow.serving.shapes import ImportedTold
from memshadow.serving.wire import imported_out

_LINES = "application/jsonl"
_PORTION = 500
_IN: dict[str, Any] = {"requestBody": {"required": True, "content": {_LINES: {"schema": {"type": "string"}}}}}
_OUT: dict[int | str, dict[str, Any]] = {200: {"content": {_LINES: {"schema": {"type": "string"}}}}}
router = APIRouter(route_class=LeanRoute)


@router.get("/v1/export", responses=_OUT, response_class=StreamingResponse, openapi_extra=SCOPED, tags=["exchange"])
async def export(call: Call) -> Any:
    """Return everything of the scope, the past too; the last line counts the others, so a cut file is noticed."""
    lines = call.memory.export(scope=call.whose())
    first = await call.work.read(_portion, lines)  # what goes wrong before the first line is still told as a problem
    return StreamingResponse(_rest(call, lines, first), media_type=_LINES)


async def _rest(call: Call, lines: Iterator[str], first: bytes) -> AsyncIterator[bytes]:
    portion = first
    while portion:
        yield portion
        portion = await call.work.read(_portion, lines)


def _portion(lines: Iterator[str]) -> bytes:
    return "".join(islice(lines, _PORTION)).encode()


@router.post("/v1/import", response_model=ImportedTold, openapi_extra=SCOPED | _IN, tags=["exchange"])
async def import_(call: Call) -> Any:
    """Bring in the lines of an export or of another program, in this scope's name; what is there stays once.

    Lines are written as they come: after an error those before it are there, and the same call, sent again,
    brings in the rest. Of several memories of one `key` the one that was learned last holds afterwards.
    """
    loop, chunks = asyncio.get_running_loop(), stream_of(call.receive, call.limits)

    def pulled() -> Iterator[bytes]:
        while (chunk := asyncio.run_coroutine_threadsafe(_next(chunks), loop).result()) is not None:
            yield chunk

    lines = split(pulled(), longest=call.limits.body_bytes)
    return imported_out(await call.work.take_in(call.memory.import_, lines, scope=call.whose()))


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


def split(chunks: Iterator[bytes], *, longest: int) -> Iterator[str]:
    """Yield the lines of a stream of UTF-8 bytes, each with its newline; the last one may lack it.

    Raises:
        DataError: a line is no UTF-8.
        TooMuchError: a line is longer than ``longest`` bytes.
    """
    kept = b""
    number = 0
    for chunk in chunks:
        *whole, kept = (kept + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield _text(line + b"\n", number)
        if len(kept) > longest:
            raise TooMuchError(longest)
    if kept:
        yield _text(kept, number + 1)


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"line {number} is no UTF-8: {error}.") from None
