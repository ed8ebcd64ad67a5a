"""Memories by HTTP: add, read, change, forget, search, context, feedback. A route is a call of ``Memory``, no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import Response

from memshadow.errors import DataError
from memshadow.serving.http import Answer, Call, LeanRoute
from memshadow.serving.scoping import PARAMETERS
from memshadow.serving.shapes import (
    AdaptationTold,
    AddedTold,
    Batch,
    BatchTold,
    Changes,
    ContextTold,
    ContextWanted,
    DraftGiven,
    FeedbackGiven,
    HitsTold,
    MemoriesTold,
    MemoryTold,
    PageTold,
    PageWanted,
    RecentWanted,
    Search,
    SessionContextWanted,
    StatsTold,
)
from memshadow.serving.wire import added_out, context_out, hit_out, page_out, record_out, stats_out
from memshadow.types import Scope

_CREATED = 201
SCOPED: dict[str, Any] = {"parameters": PARAMETERS}
router = APIRouter(route_class=LeanRoute)


@router.post("/v1/memories", response_model=AddedTold, status_code=_CREATED, openapi_extra=SCOPED, tags=["memories"])
async def remember(call: Call, body: DraftGiven) -> Any:
    """Remember one thing. 201: it is durable. 200: the very same is there already, so it may be sent again."""
    added = await call.work.write(call.memory.add, body.said(), scope=call.whose())
    status = 200 if added.duplicate else _CREATED
    return Answer(
        added_out(added), status_code=status, headers={"Location": f"/v1/memories/{quote(added.id, safe='')}"}
    )


@router.post("/v1/memories/batch", response_model=BatchTold, openapi_extra=SCOPED, tags=["memories"])
async def remember_many(call: Call, body: Batch) -> Any:
    """Remember several things, wholly or not at all. May be sent again: what is there already says `duplicate`."""
    return await _remember_all(call, body, call.whose())


@router.get("/v1/memories", response_model=PageTold, openapi_extra=SCOPED, tags=["memories"])
async def page(call: Call, query: Annotated[PageWanted, Query()]) -> Any:
    """List memories by cursor: oldest write first; what is written meanwhile comes on a later page, nothing twice."""
    narrowed = query.model_dump(exclude_unset=True, exclude={"after", "limit"})
    if query.between is not None:
        narrowed["between"] = [bound or None for bound in query.between]
    found = await call.work.read(call.memory.page, after=query.after, limit=query.limit, scope=call.whose(), **narrowed)
    return page_out(found, limit=query.limit)


@router.get("/v1/memories/{memory_id}", response_model=MemoryTold, openapi_extra=SCOPED, tags=["memories"])
async def read(call: Call, memory_id: str) -> Any:
    """Return the newest version of a memory."""
    return record_out(await call.work.read(call.memory.get, memory_id, scope=call.whose()))


@router.get("/v1/memories/{memory_id}/history", response_model=MemoriesTold, openapi_extra=SCOPED, tags=["memories"])
async def history(call: Call, memory_id: str) -> Any:
    """Return all versions of a memory, oldest first."""
    return _told(await call.work.read(call.memory.history, memory_id, scope=call.whose()))


@router.patch("/v1/memories/{memory_id}", response_model=MemoryTold, openapi_extra=SCOPED, tags=["memories"])
async def change(call: Call, memory_id: str, body: Changes) -> Any:
    """Replace fields of a memory by a new version; the older ones stay in its history. May be repeated."""
    return record_out(await call.work.write(call.memory.update, memory_id, scope=call.whose(), **body.said()))


@router.delete(
    "/v1/memories/{memory_id}", response_model=None, status_code=204, openapi_extra=SCOPED, tags=["memories"]
)
async def forget(call: Call, memory_id: str) -> Response:
    """Erase a memory: all versions, vectors and words of it."""
    await call.work.write(call.memory.forget, memory_id, scope=call.whose())
    return Response(status_code=204)


@router.post("/v1/search", response_model=HitsTold, openapi_extra=SCOPED, tags=["search"])
async def search(call: Call, body: Search) -> Any:
    """Find the memories that answer a query best."""
    return {"hits": await call.work.read(_hits, call.memory.search, call.whose(), body.said())}


@router.post("/v1/context", response_model=ContextTold, openapi_extra=SCOPED, tags=["search"])
async def context(call: Call, body: ContextWanted) -> Any:
    """Return what a prompt should hold to answer a query: dated, attributed lines within the budget."""
    return context_out(await call.work.read(call.memory.context, scope=call.whose(), **body.said()))


@router.post("/v1/feedback", response_model=AdaptationTold, openapi_extra=SCOPED, tags=["search"])
async def feedback(call: Call, body: FeedbackGiven) -> Any:
    """Note which memories answered a query, and adapt to it. May be sent again: it counts once."""
    return asdict(await call.work.write(call.memory.feedback, scope=call.whose(), **body.said()))


@router.get("/v1/adaptation", response_model=AdaptationTold, openapi_extra=SCOPED, tags=["search"])
async def adaptation(call: Call) -> Any:
    """Return whether what this user answered moves this user's questions, and why (or why not)."""
    return asdict(await call.work.read(call.memory.adaptation, scope=call.whose()))


@router.post("/v1/adaptation", response_model=AdaptationTold, openapi_extra=SCOPED, tags=["search"])
async def adapt(call: Call) -> Any:
    """Make this user's adapter anew of all that was answered."""
    return asdict(await call.work.write(call.memory.adapt, scope=call.whose()))


@router.delete("/v1/adaptation", response_model=None, status_code=204, openapi_extra=SCOPED, tags=["search"])
async def unadapt(call: Call) -> Response:
    """Remove this user's adapter; the answers stay."""
    await call.work.write(call.memory.unadapt, scope=call.whose())
    return Response(status_code=204)


@router.get("/v1/recent", response_model=MemoriesTold, openapi_extra=SCOPED, tags=["sessions"])
async def recent(call: Call, query: Annotated[RecentWanted, Query()]) -> Any:
    """Return the last memories of the scope that the headers name, in the order of saying."""
    return await _recent(call, query, call.whose())


@router.post("/v1/recent/context", response_model=ContextTold, openapi_extra=SCOPED, tags=["sessions"])
async def recent_context(call: Call, body: SessionContextWanted) -> Any:
    """Return the last memories of the scope that the headers name as text for a prompt."""
    return await _recent_context(call, body, call.whose())


@router.get("/v1/sessions/{session}/recent", response_model=MemoriesTold, openapi_extra=SCOPED, tags=["sessions"])
async def session_recent(call: Call, session: str, query: Annotated[RecentWanted, Query()]) -> Any:
    """Return the last memories of a session, in the order of saying."""
    return await _recent(call, query, call.whose(session))


@router.post("/v1/sessions/{session}/context", response_model=ContextTold, openapi_extra=SCOPED, tags=["sessions"])
async def session_context(call: Call, session: str, body: SessionContextWanted) -> Any:
    """Return the end of a session as text for a prompt: a conversation goes on, in whatever client."""
    return await _recent_context(call, body, call.whose(session))


@router.post("/v1/sessions/{session}/memories", response_model=BatchTold, openapi_extra=SCOPED, tags=["sessions"])
async def session_memories(call: Call, session: str, body: Batch) -> Any:
    """Remember turns of a session, in the order of saying."""
    return await _remember_all(call, body, call.whose(session))


@router.get("/v1/stats", response_model=StatsTold, openapi_extra=SCOPED, tags=["service"])
async def stats(call: Call) -> Any:
    """Return what is kept for this user, and with what."""
    return stats_out(await call.work.read(call.memory.stats, scope=call.whose()))


async def _remember_all(call: Call, body: Batch, scope: Scope) -> Any:
    most = call.limits.batch
    if len(body.memories) > most:
        raise DataError(f"{len(body.memories):,} memories came; a batch may have {most:,}. Use /v1/import for more.")
    drafts = [draft.said() for draft in body.memories]
    return {"results": [added_out(one) for one in await call.work.write(call.memory.add, drafts, scope=scope)]}


async def _recent(call: Call, query: RecentWanted, scope: Scope) -> Any:
    return _told(await call.work.read(call.memory.recent, last=query.last, scope=scope))


async def _recent_context(call: Call, body: SessionContextWanted, scope: Scope) -> Any:
    told = await call.work.read(
        call.memory.recent_context, budget_tokens=body.budget_tokens, last=body.last, scope=scope
    )
    return context_out(told)


def _hits(look: Callable[..., Any], scope: Scope, said: dict[str, Any]) -> list[dict[str, Any]]:
    return [hit_out(hit) for hit in look(scope=scope, **said)]


def _told(records: Any) -> dict[str, Any]:
    return {"memories": [record_out(record) for record in records]}
