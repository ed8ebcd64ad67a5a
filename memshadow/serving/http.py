"""From a request to a typed call, from an answer or an error to a response. Knows no memories.

FastAPI describes each route (OpenAPI is read from its signature); :class:`LeanRoute` serves it, without the machinery
of dependencies, which costs more than a search does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_args, get_type_hints
from urllib.parse import unquote

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from memshadow.errors import ConfigError, DataError, MemshadowError, MissingExtraError, NotFoundError, StoreError
from memshadow.memory.service import Memory
from memshadow.serving.limits import GoneError, Limits, Receive, TooMuchError, TooSlowError, body_of
from memshadow.serving.scoping import scope_of
from memshadow.serving.succession import RunningError, Succession
from memshadow.serving.work import BusyError, Work
from memshadow.types import Scope

PROBLEM = "urn:memshadow:problem:"
"""What begins every ``type`` of a problem (RFC 9457); its last word names the kind."""
REQUEST_ID, SERVICES = "memshadow.request_id", "memshadow.services"
"""What a request's ASGI scope holds of ours."""
_KINDS: tuple[tuple[type[Exception], str, HTTPStatus], ...] = (
    (NotFoundError, "not-found", HTTPStatus.NOT_FOUND),
    (DataError, "data", HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConfigError, "config", HTTPStatus.UNPROCESSABLE_ENTITY),
    (StoreError, "store", HTTPStatus.SERVICE_UNAVAILABLE),
    (MissingExtraError, "missing-extra", HTTPStatus.NOT_IMPLEMENTED),
    (MemshadowError, "failed", HTTPStatus.SERVICE_UNAVAILABLE),
    (TooMuchError, "too-much", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TooSlowError, "too-slow", HTTPStatus.REQUEST_TIMEOUT),
    (RunningError, "running", HTTPStatus.CONFLICT),
    (BusyError, "busy", HTTPStatus.SERVICE_UNAVAILABLE),
    (GoneError, "gone", HTTPStatus.BAD_REQUEST),
)
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_LOG = logging.getLogger("memshadow.serving")
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the routes work with; ``tenant`` is the one that the token stands for."""

    memory: Memory
    work: Work
    limits: Limits
    succession: Succession
    tenant: str


class Call(Request):
    """A request as the routes see it: the scope it names, and where its work is done."""

    @property
    def _services(self) -> Services:
        services: Services = self.scope[SERVICES]
        return services

    @property
    def memory(self) -> Memory:
        """Return the memory that is served."""
        return self._services.memory

    @property
    def work(self) -> Work:
        """Return the threads for blocking calls."""
        return self._services.work

    @property
    def limits(self) -> Limits:
        """Return what a request may bring."""
        return self._services.limits

    @property
    def succession(self) -> Succession:
        """Return what lets one embedder follow another."""
        return self._services.succession

    def whose(self, session: str | None = None) -> Scope:
        """Return the scope that the headers (and the path's session) name."""
        return scope_of(self.scope["headers"], tenant=self._services.tenant, session=session)


class Answer(Response):
    """Plain values as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes; times in UTC end in Z. Lone surrogates cannot come: no memory holds one."""
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)


class Problem(Answer):
    """An error as RFC 9457 says it."""

    media_type = "application/problem+json"

    def __init__(
        self,
        request: Mapping[str, Any],
        status: int,
        kind: str,
        detail: str,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        told = {
            "type": f"{PROBLEM}{kind}",
            "title": HTTPStatus(status).phrase,
            "status": int(status),
            "detail": detail,
            "request_id": request.get(REQUEST_ID, ""),
            **more,
        }
        super().__init__(told, status_code=status, headers=headers)


_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


def dressed(response: Response, request: Mapping[str, Any]) -> Response:
    """Return the response with the headers that every one has: its number, and what a browser may not do with it."""
    headers = response.raw_headers
    headers.extend(_ALWAYS)
    headers.append((b"x-request-id", request.get(REQUEST_ID, "").encode()))
    if not any(name == _POLICY[0] for name, _ in headers):
        headers.append(_POLICY)
    return response


def problem_of(error: Exception, request: Mapping[str, Any]) -> Problem:
    """Return what to tell of an error; of one that is ours to mend only that it happened, the rest is logged."""
    if isinstance(error, ValidationError):
        return _misshapen(error, request)
    for kind, name, status in _KINDS:
        if isinstance(error, kind):
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                _LOG.warning("%s: %s: %s", request.get(REQUEST_ID, ""), name, error)
            headers = (
                {"Retry-After": "1"} if kind is BusyError else {"Connection": "close"} if kind in _UNREAD else None
            )
            return Problem(request, status, name, str(error), headers)
    _LOG.error("%s: %s", request.get(REQUEST_ID, ""), type(error).__name__, exc_info=error)
    return Problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "unknown", "The service failed; its log says why.")


_UNREAD = (TooMuchError, TooSlowError, GoneError)


def _misshapen(error: ValidationError, request: Mapping[str, Any]) -> Problem:
    """Say which fields are wrong: 400 for what is no JSON at all, 422 for JSON of another shape."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Problem(request, HTTPStatus.BAD_REQUEST, "json", f"the body is no JSON: {found[0]['msg']}.")
    fields = [
        {"field": ".".join(map(str, one["loc"])), "message": _PLAINER.get(one["type"], one["msg"])}
        for one in found[:_MOST_TOLD]
    ]
    detail = "; ".join(f"{one['field'] or 'the body'}: {one['message']}" for one in fields)
    return Problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "shape", f"{detail}.", errors=fields)


_PLAINER = {"extra_forbidden": "there is no such field", "missing": "this field is needed"}


async def refused(request: Request, error: Exception) -> Response:
    """Return the problem for a path or a method that is not there: FastAPI's exception handler."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    detail = f"{request.method} {request.url.path:.200}: {error.detail}; /api/docs lists what there is."
    return dressed(Problem(request.scope, error.status_code, "route", detail, dict(error.headers or {})), request.scope)


class LeanRoute(APIRoute):
    """A route whose endpoint takes ``call``, the path's parts by name, and perhaps a ``body`` and a ``query`` model."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what serves a request: read, check, call, tell."""
        hints = get_type_hints(self.endpoint, include_extras=True)
        body, query = hints.get("body"), (get_args(hints.get("query")) or (None,))[0]
        endpoint: Callable[..., Awaitable[Any]] = self.endpoint
        status = self.status_code or HTTPStatus.OK

        async def serve(request: Request) -> Response:
            call = request if isinstance(request, Call) else Call(request.scope, request.receive)
            try:
                given: dict[str, Any] = {name: unquote(part) for name, part in request.path_params.items()}
                if body is not None:
                    given["body"] = body.model_validate_json(await body_of(request.receive, call.limits))
                if query is not None:
                    given["query"] = _queried(query, request)
                told = await endpoint(call, **given)
                response = told if isinstance(told, Response) else Answer(told, status_code=status)
            except Exception as error:
                response = problem_of(error, request.scope)
            return dressed(response, request.scope)

        return serve


def _queried(model: type[BaseModel], request: Request) -> BaseModel:
    """Return the query's fields; a list's come one by one (``tags=a&tags=b``), any other's once."""
    given: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        field = model.model_fields.get(name)
        if field is not None and "list" in str(field.annotation):
            given.setdefault(name, []).append(text)
        elif name in given:
            raise DataError(f"{name} came twice in the query; it can be said once.")
        else:
            given[name] = text
    return model.model_validate(given)


class Table:
    """ASGI: serves routes whose path has no parameters as a dict finds them, and leaves all others to the application.

    What it leaves out is most of what a trivial route costs (``benchmarks/http``).
    """

    def __init__(self, app: FastAPI, services: Services) -> None:
        self._app, self._services = app, services
        self._found = {
            (method, route.path): route.get_route_handler()
            for route in app.routes
            if isinstance(route, LeanRoute) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http":
            scope[SERVICES], scope["app"] = self._services, self._app
            scope["path"] = scope["raw_path"].decode(
                "latin-1"
            )  # an id may hold a slash: a part is decoded once it is one
            if serve := self._found.get((scope["method"], scope["path"])):
                response = await serve(Call(scope, receive))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
