"""Joins the rooms into one application. Decides which rooms there are; knows nothing that happens in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response

from memshadow.memory.service import Memory
from memshadow.serving import embeddings, exchange, memories, ops
from memshadow.serving.auth.guard import LOOPBACK, OPEN, Guard
from memshadow.serving.auth.token import Token
from memshadow.serving.http import Answer, Services, Table, dressed, refused
from memshadow.serving.limits import Limits
from memshadow.serving.shapes import ProblemTold
from memshadow.serving.succession import Choices, Succession
from memshadow.serving.work import Work
from memshadow.version import __version__

_PATIENCE_S = 10.0
"""How long the end waits for rows that are being embedded; they are embedded again otherwise."""
_ROOMS = (memories, exchange, embeddings, ops)
_TAGS = [{"name": name} for name in ("memories", "search", "sessions", "exchange", "embeddings", "service")]
_ABOUT = """Remember, recall, context: a memory for language models.

Every route but /health needs `Authorization: Bearer TOKEN`. Every route on memories needs `X-Memshadow-User-Id`: whose
memories (`owner` is the folder's own user); `X-Memshadow-Agent-Id` and `X-Memshadow-Session-Id` narrow. Values are
percent-encoded UTF-8.

    curl -H "Authorization: Bearer $(cat memories/token)" -H "X-Memshadow-User-Id: owner" \\
         -d '{"query": "where does Ann live", "k": 3}' http://127.0.0.1:8765/v1/search

In Python, with the methods of the library:

    from memshadow.serving.client import Client
    with Client("http://127.0.0.1:8765", token=TOKEN) as memory:
        memory.add("I moved to Lisbon", speaker="Ann")
        print(memory.search("where does Ann live", k=3))

Times are ISO 8601 in UTC. Errors are `application/problem+json` (RFC 9457); the last word of `type` names the kind.
What a 2xx answer acknowledged is durable. A POST that adds may be sent again, say because the connection broke before
the answer came: what is there already, word for word by the same speaker at the same time in the same scope, is
recognised by its content and kept once. So there is no Idempotency-Key; one that is sent is ignored.
"""


def create_app(
    memory: Memory,
    *,
    token: str,
    limits: Limits,
    work: Work,
    hosts: Collection[str] = LOOPBACK,
    tenant: str = "local",
    embedders: Choices = MappingProxyType({}),
) -> Guard:
    """Return the application that serves a memory; who made the memory closes it.

    Args:
        memory: what is served.
        token: what every request must bring.
        limits: what a request may bring.
        work: the threads on which the memory is called; closed with the application.
        hosts: the names that clients may call the service by, ports aside.
        tenant: whose users the token stands for.
        embedders: what ``POST /v1/embedder`` may take up.
    """
    succession = Succession(memory, embedders)

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(succession.close, wait_s=_PATIENCE_S)
        await asyncio.to_thread(work.close)  # an import that is cut off still asks this loop for its next lines

    app = FastAPI(
        title="memshadow",
        version=__version__,
        description=_ABOUT,
        lifespan=alive,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: refused},
        openapi_tags=_TAGS,
        responses={"default": {"model": ProblemTold, "description": "What went wrong."}},
    )
    for room in _ROOMS:
        app.router.routes.extend(room.router.routes)
    app.add_route("/openapi.json", _described, include_in_schema=False)
    _describe_token(app)
    services = Services(memory=memory, work=work, limits=limits, succession=succession, tenant=tenant)
    return Guard(Table(app, services), token=Token(token), hosts=hosts)


async def _described(request: Any) -> Response:
    return dressed(Answer(request.app.openapi()), request.scope)


def _describe_token(app: FastAPI) -> None:
    """Let the description say which routes need the token."""
    described = app.openapi()
    described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in described["paths"].items():
        for route in methods.values():
            route["security"] = [] if path in OPEN else [{"token": []}]
