"""Whose memories a request is about: three headers, the same on every route. The token decides the tenant.

``X-Memshadow-User-Id`` must be there (``owner`` is the folder's own); ``X-Memshadow-Agent-Id`` and
``X-Memshadow-Session-Id`` narrow. Headers, because they fit every method and stay out of addresses, which get logged.
Values are percent-encoded UTF-8, so any name can be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from memshadow.errors import DataError
from memshadow.types import Scope

HEADERS = {"user": "X-Memshadow-User-Id", "agent": "X-Memshadow-Agent-Id", "session": "X-Memshadow-Session-Id"}
_PARTS = {name.lower().encode(): part for part, name in HEADERS.items()}
_TOLD = {
    "user": "Whose memories. The folder's own user is `owner`.",
    "agent": "Only memories of this agent; on adding: the agent that remembers.",
    "session": "Only memories of this session; on adding: the session they belong to.",
}
PARAMETERS: list[dict[str, Any]] = [
    {
        "name": header,
        "in": "header",
        "required": part == "user",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
        "description": f"{_TOLD[part]} Percent-encoded UTF-8.",
    }
    for part, header in HEADERS.items()
]
"""The headers as OpenAPI describes them."""


def scope_of(headers: Iterable[tuple[bytes, bytes]], *, tenant: str, session: str | None = None) -> Scope:
    """Return the scope that a request names; ``session`` is the one in its path, if any.

    Raises:
        DataError: the user is not named, a name is none, a header came twice, or path and header name two sessions.
    """
    parts: dict[str, str] = {} if session is None else {"session": session}
    for name, value in headers:
        part = _PARTS.get(name)
        if part is None:
            continue
        named = _decoded(value, part)
        if parts.setdefault(part, named) != named:
            raise DataError(f"two {part}s came, {parts[part]!r:.60} and {named!r:.60}; name one.")
    if "user" not in parts:
        raise DataError(f"whose memories? Send {HEADERS['user']}: NAME (`owner` is the folder's own user).")
    try:
        return Scope(tenant=tenant, **parts)
    except ValueError as error:
        raise DataError(f"{error}.") from None


def _decoded(value: bytes, part: str) -> str:
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise DataError(f"{HEADERS[part]} must be percent-encoded UTF-8, got {value!r:.60}.") from None


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers that name a scope."""
    named = {"user": scope.user, "agent": scope.agent, "session": scope.session}
    return {HEADERS[part]: quote(name, safe="@:._-+") for part, name in named.items() if name is not None}
