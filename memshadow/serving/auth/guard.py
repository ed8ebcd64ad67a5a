"""What stands before every route: the right host, the right token, a number for the request. Knows no routes' meaning.

Everything needs the token but the paths that are named here: a route that nobody thought of is closed, not open.
No CORS headers are ever sent, so a page of another site can neither read an answer nor ask with a token.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from http import HTTPStatus
from secrets import token_hex
from typing import Any

from memshadow.serving.auth.token import Token
from memshadow.serving.http import REQUEST_ID, Problem, Send, dressed
from memshadow.serving.limits import Receive

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPEN = frozenset({"/health", "/openapi.json", "/api/docs"})
"""Paths that need no token; they tell nothing of any memory."""
_GIVEN_ID = re.compile(rb"[\w-]{1,64}", re.ASCII)


class Guard:
    """ASGI middleware.

    Args:
        app: what it stands before.
        token: what a request must bring.
        hosts: what clients may call this service, ports aside; anything else is refused (DNS rebinding). ``*``: all.
    """

    def __init__(self, app: App, *, token: Token, hosts: Collection[str]) -> None:
        self._app, self._token = app, token
        self._hosts = None if "*" in hosts else frozenset(host.lower().encode() for host in hosts)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        brought = dict(scope["headers"])
        given = brought.get(b"x-request-id", b"")
        number = given if given and _GIVEN_ID.fullmatch(given) else token_hex(8).encode()
        scope[REQUEST_ID] = number.decode()
        refusal = self._refusal(scope, brought) if _host_once(scope["headers"]) else _two_hosts(scope)
        await (dressed(refusal, scope) if refusal else self._app)(scope, receive, send)

    def _refusal(self, scope: MutableMapping[str, Any], brought: dict[bytes, bytes]) -> Problem | None:
        if self._hosts is not None and _name(brought.get(b"host", b"")) not in self._hosts:
            detail = "this service has no such name; the setting hosts=[...] lists those it answers to."
            return Problem(scope, HTTPStatus.MISDIRECTED_REQUEST, "host", detail)
        if scope["path"] in OPEN or self._token.fits(brought.get(b"authorization", b"")):
            return None
        detail = "send Authorization: Bearer TOKEN; the token lies in the file `token` of the memories' folder."
        return Problem(scope, HTTPStatus.UNAUTHORIZED, "token", detail, {"WWW-Authenticate": "Bearer"})


def _host_once(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return sum(name == b"host" for name, _ in headers) <= 1


def _two_hosts(scope: MutableMapping[str, Any]) -> Problem:
    """Refuse what RFC 9112 (3.2) has refused: whatever stands between may have looked at the other one."""
    return Problem(scope, HTTPStatus.BAD_REQUEST, "host", "more than one Host header came; send one.")


def _name(host: bytes) -> bytes:
    """Return a Host header without its port."""
    if host.startswith(b"["):
        return host.partition(b"]")[0].lower() + b"]"
    return host.partition(b":")[0].lower()
