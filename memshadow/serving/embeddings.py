"""Vectors of texts that come with the request, in the shape of OpenAI's API. Tells no vector of any memory."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from fastapi import APIRouter
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import DataError
from memshadow.models.base import Embedder
from memshadow.models.lexical import terms
from memshadow.serving.http import Call, LeanRoute
from memshadow.serving.shapes import Texts, VectorsTold
from memshadow.types import Passage

router = APIRouter(route_class=LeanRoute)


@router.post("/v1/embeddings", response_model=VectorsTold, tags=["embeddings"])
async def embed(call: Call, body: Texts) -> Any:
    """Embed texts with the embedder that the memories are searched by; the only route that needs no user."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    embedder: Embedder = call.memory.embedder
    if not 1 <= len(texts) <= call.limits.texts:
        raise DataError(f"{len(texts):,} texts came; needed: 1 to {call.limits.texts:,}.")
    if body.dimensions not in (None, embedder.dim):
        raise DataError(f"dimensions={body.dimensions}; {embedder.name} makes {embedder.dim}, leave it out.")
    rows, tokens = await call.work.read(_rows, embedder, texts, body.input_type)
    packed = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": _packed(row) if packed else row.tolist()}
        for i, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": embedder.name, "usage": usage}


def _rows(embedder: Embedder, texts: list[str], kind: str) -> tuple[Float32[ndarray, "n dim"], int]:
    tokens = sum(len(terms(text)) for text in texts)
    if kind == "query":
        return embedder.embed_queries(texts), tokens
    return embedder.embed_passages([Passage(text=text) for text in texts]), tokens


def _packed(row: Float32[ndarray, " dim"]) -> str:
    return b64encode(row.astype("<f4").tobytes()).decode()
