"""How much one request may bring. Knows bytes and counts, not what they mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may bring: bytes of a JSON body or of one imported line, drafts of a batch, texts to embed.

    ``silence_s`` is how long a client may pause while it sends.
    """

    body_bytes: int
    batch: int
    texts: int
    silence_s: float


class TooMuchError(Exception):
    """A body is longer than it may be."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"a body may have {most_bytes:,} bytes; send less at once, or use /v1/import.")


class TooSlowError(Exception):
    """A client stopped sending in the middle of a body."""

    def __init__(self, silence_s: float) -> None:
        super().__init__(f"nothing of the body came for {silence_s:g} seconds.")


class GoneError(Exception):
    """A client went away in the middle of a body."""


async def body_of(receive: Receive, limits: Limits) -> bytes:
    """Return the whole body; raise where it is too long (said or not), too slow, or broken off."""
    part, more = await _part(receive, limits.silence_s)
    parts, size = [part], len(part)
    while more and size <= limits.body_bytes:
        part, more = await _part(receive, limits.silence_s)
        parts.append(part)
        size += len(part)
    if size > limits.body_bytes:
        raise TooMuchError(limits.body_bytes)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def stream_of(receive: Receive, limits: Limits) -> AsyncIterator[bytes]:
    """Yield a body as it comes, however long it is in all."""
    more = True
    while more:
        part, more = await _part(receive, limits.silence_s)
        if part:
            yield part


async def _part(receive: Receive, silence_s: float) -> tuple[bytes, bool]:
    """Return the next part of a body, and whether more follows."""
    try:
        async with asyncio.timeout(silence_s):
            message = await receive()
    except TimeoutError:
        raise TooSlowError(silence_s) from None
    if message["type"] == "http.disconnect":
        raise GoneError
    return message.get("body", b""), message.get("more_body", False)
