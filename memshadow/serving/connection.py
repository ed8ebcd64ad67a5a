"""Requests over kept-open connections, and the service's problems as the errors they were. Standard library only."""

from __future__ import annotations

import json
import select
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from memshadow.errors import ConfigError, DataError, MemshadowError, NotFoundError, StoreError

_PROBLEM = "urn:memshadow:problem:"
_ERRORS: Mapping[str, type[MemshadowError]] = {
    "not-found": NotFoundError,
    "data": DataError,
    "shape": DataError,
    "json": DataError,
    "too-much": DataError,
    "config": ConfigError,
    "store": StoreError,
}
_MOST_IDLE = 8
Body = bytes | Iterable[bytes] | None


class ServiceError(MemshadowError):
    """The service cannot be reached, does not let one in, or failed; ``status`` is HTTP's, 0 where none came."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connections:
    """Connections to one service, kept open between requests; safe to use from several threads.

    Args:
        url: ``http://HOST:PORT`` or ``https://...``.
        headers: sent with every request.
        timeout_s: how long one step (connecting, sending, an answer's next part) may take.

    Raises:
        ConfigError: the url is none.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError(f"{url!r:.200} is no address of a service; needed: http://HOST:PORT.")
        self.url = url.rstrip("/")
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._headers, self._timeout_s = dict(headers), timeout_s
        self._idle: list[HTTPConnection] = []
        self._lock, self._closed = Lock(), False

    def ask(self, method: str, path: str, body: Body, headers: Mapping[str, str], *, again: bool) -> Any:
        """Return the JSON of an answer (``None`` where it has none).

        ``again``: the request may be sent a second time where the first found its kept-open connection closed.

        Raises:
            MemshadowError: the error that the service told, or :class:`ServiceError`.
        """
        with self._answered(method, path, body, headers, again=again) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def lines(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        """Yield the lines of an answer as they come, each with its newline; errors as ``ask``."""
        with self._answered(method, path, None, headers, again=True) as answer:
            for line in answer:
                yield line.decode()

    def close(self) -> None:
        """Close what is idle; twice is once."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _answered(
        self, method: str, path: str, body: Body, headers: Mapping[str, str], *, again: bool
    ) -> Iterator[HTTPResponse]:
        connection, answer = self._sent(method, path, body, headers, again=again)
        whole = False
        try:
            if answer.status >= 400:
                raise _error(answer.status, answer.read())
            yield answer
            whole = answer.isclosed()
        except (OSError, HTTPException) as error:
            raise ServiceError(f"{self.url} broke off its answer: {_said(error)}.") from error
        finally:
            self._give_back(connection, whole=whole or answer.isclosed())

    def _sent(
        self, method: str, path: str, body: Body, headers: Mapping[str, str], *, again: bool
    ) -> tuple[HTTPConnection, HTTPResponse]:
        connection, kept = self._take()
        try:
            return connection, self._exchange(connection, method, path, body, headers)
        except BaseException as error:
            connection.close()
            if not isinstance(error, (OSError, HTTPException)):
                raise
            if not (kept and again and isinstance(error, (ConnectionError, HTTPException))):
                raise ServiceError(f"{self.url} does not answer: {_said(error)}.") from error
        return self._sent(method, path, body, headers, again=False)

    def _exchange(
        self, connection: HTTPConnection, method: str, path: str, body: Body, headers: Mapping[str, str]
    ) -> HTTPResponse:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer says why
            connection.request(method, path, body=body, headers={**self._headers, **headers})
        return connection.getresponse()

    def _take(self) -> tuple[HTTPConnection, bool]:
        """Return a connection, and whether it was open before."""
        with self._lock:
            if self._closed:
                raise ServiceError("this client is closed; make another.")
            while self._idle:
                connection = self._idle.pop()
                if not _ended(connection):
                    return connection, True
                connection.close()
        return self._kind(self._host, self._port, timeout=self._timeout_s), False

    def _give_back(self, connection: HTTPConnection, *, whole: bool) -> None:
        with self._lock:
            if whole and connection.sock is not None and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()


def _ended(connection: HTTPConnection) -> bool:
    """Return whether the other side closed an idle connection: there is something to read, and it is the end."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _error(status: int, content: bytes) -> MemshadowError:
    """Return the error that a problem tells of."""
    try:
        told = json.loads(content)
        kind, detail = str(told["type"]).removeprefix(_PROBLEM), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"the service answered {status}: {content[:200]!r}", status=status)
    if kind in _ERRORS:
        return _ERRORS[kind](detail)
    return ServiceError(f"{detail} (status {status}, request {told.get('request_id', '')})", status=status)
