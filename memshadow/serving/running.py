"""Runs the service: one port, one process, an end in good order. Knows no routes."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from memshadow.errors import ConfigError
from memshadow.serving.auth.guard import LOOPBACK, App


def listening(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0: a free one.

    Raises:
        ConfigError: the port is taken or may not be had, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot listen at {host}:{port}: {reason}. Choose another port=..., 0: a free one."
        ) from None
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the address under which a client on this machine reaches a bound socket."""
    host, port = bound.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - every address has the loopback's too
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def names_of(host: str, *, remote: bool, hosts: list[str]) -> list[str]:
    """Return the names that the service answers to: the loopback's, and those that are given.

    Raises:
        ConfigError: other machines could reach it and nobody said that they may, or it is not said by which name.
    """
    if _is_loopback(host):
        return [*LOOPBACK, *hosts]
    if not remote:
        raise ConfigError(
            f"host={host} lets other machines in, with the token in clear text on the way. If that is meant (behind a "
            "proxy that adds TLS, or in a network that you trust), say remote=true."
        )
    if not hosts:
        raise ConfigError(f"host={host} remote=true: say by which names clients call it: hosts=[memory.example.org].")
    return [*LOOPBACK, *hosts]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(app: App, bound: socket.socket, *, stop_s: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; then take no new requests, finish those under way, and return.

    Args:
        app: an ASGI application.
        bound: where to listen.
        stop_s: how long requests under way may take at the end.
        ready: called when requests are answered.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with _signals_end_quietly():
        Telling(app, ready=ready, stop_s=stop_s).run(sockets=[bound])


class Telling(uvicorn.Server):
    """A server that says when it answers; arguments as for :func:`run`."""

    def __init__(self, app: App, *, ready: Callable[[], None], stop_s: int) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # an address may name a memory or a session
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=stop_s,
            lifespan="on",
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Let the signals that uvicorn took, and raises again when it is done, do nothing more."""
    taken = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: None) for number in taken]
    try:
        yield
    finally:
        for number, handler in zip(taken, before, strict=True):
            signal.signal(number, handler)
