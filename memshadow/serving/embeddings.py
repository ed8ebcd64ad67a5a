"""The embedder: vectors of texts that come with the request, in the shape of OpenAI's API, and which one it is.

Tells no vector of any memory.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from fastapi import APIRouter
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import DataError
from memshadow.memory.counting import TokenCounter
from memshadow.models.base import Embedder
from memshadow.serving.http import Answer, Call, LeanRoute
from memshadow.serving.shapes import EmbedderWanted, ProblemTold, StandingTold, Texts, VectorsTold
from memshadow.serving.standing import standing_out
from memshadow.types import Passage

_ACCEPTED, _OK = 202, 200
_STANDING: dict[int | str, dict[str, Any]] = {
    _OK: {"model": StandingTold, "description": "It is in use already."},
    409: {"model": ProblemTold, "description": "Another one is being taken up."},
}
router = APIRouter(route_class=LeanRoute)


@router.post("/v1/embeddings", response_model=VectorsTold, tags=["embeddings"])
async def embed(call: Call, body: Texts) -> Any:
    """Embed texts with the embedder that the memories are searched by. Needs no user.

    `usage` counts by the service's tokenizer (its setting `tokenizer`), special tokens aside.
    """
    texts = [body.input] if isinstance(body.input, str) else body.input
    embedder: Embedder = call.memory.embedder
    if not 1 <= len(texts) <= call.limits.texts:
        raise DataError(f"{len(texts):,} texts came; needed: 1 to {call.limits.texts:,}.")
    if body.dimensions not in (None, embedder.dim):
        raise DataError(f"dimensions={body.dimensions}; {embedder.name} makes {embedder.dim}, leave it out.")
    rows, tokens = await call.work.read(_rows, embedder, call.memory.counter, texts, body.input_type)
    packed = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": _packed(row) if packed else row.tolist()}
        for i, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": embedder.name, "usage": usage}


@router.get("/v1/embedder", response_model=StandingTold, tags=["embeddings"])
async def standing(call: Call) -> Any:
    """Say which embedder searches now, and how far the taking up of another one is. Needs no user."""
    return standing_out(call.succession.told())


@router.post(
    "/v1/embedder", response_model=StandingTold, status_code=_ACCEPTED, responses=_STANDING, tags=["embeddings"]
)
async def take_up(call: Call, body: EmbedderWanted) -> Any:
    """Take up another embedder for all memories of the folder, in the background. Needs no user.

    202: it began; searches and additions go on, the one before answers until every memory has its new vector, and then
    the new one takes over in one step. 200: it is in use already. 409: another one is being taken up. May be repeated:
    after a stop, an error or a kill the next run goes on behind what is done.
    """
    begun = await call.work.write(call.succession.begin, body.embedder)
    told = standing_out(call.succession.told())
    return Answer(told, status_code=_ACCEPTED if begun else _OK, headers={"Location": "/v1/embedder"})


def _rows(
    embedder: Embedder, counter: TokenCounter, texts: list[str], kind: str
) -> tuple[Float32[ndarray, "n dim"], int]:
    tokens = sum(counter.count(text) for text in texts)
    if kind == "query":
        return embedder.embed_queries(texts), tokens
    return embedder.embed_passages([Passage(text=text) for text in texts]), tokens


def _packed(row: Float32[ndarray, " dim"]) -> str:
    return b64encode(row.astype("<f4").tobytes()).decode()
