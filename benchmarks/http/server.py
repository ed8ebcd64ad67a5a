"""The process that is measured: the service and a trivial FastAPI application behind one uvicorn; see README.md."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from fastapi import FastAPI

import memshadow
from memshadow.config import build, load
from memshadow.data.index.blocks import ExactIndex
from memshadow.data.store.reference import ReferenceStore
from memshadow.memory.service import Memory
from memshadow.memory.supersession import NoRule
from memshadow.models.hashing import HashingEmbedder
from memshadow.serving.app import create_app
from memshadow.serving.limits import Limits
from memshadow.serving.running import listening, run, url_of
from memshadow.serving.work import Work
from memshadow.types import Scope

TOKEN = "msh_a-token-for-a-benchmark-and-nothing-else"
USERS, EACH = 20, 100


class FixedQuery(HashingEmbedder):
    """Embeds every query to one row, made before: what is left of a search is everything but embedding."""

    row = None

    def embed_queries(self, texts: Any, *, statistics: Any = None) -> Any:  # noqa: ARG002 - the protocol's
        """Return the row."""
        if self.row is None:
            self.row = super().embed_queries(["boats and bread"])
        return np.repeat(self.row, len(texts), axis=0)


def opened(folder: str) -> Memory:
    """Return a memory, filled, whose queries cost nothing to embed: in a folder, or ("") with its rows in dicts."""
    words = ["embedder=hashing", "embedder.dim=384", "ranking=vector", "tokenizer=bytes"]
    memory = memshadow.open(folder, overrides=words) if folder else in_dicts(words)
    for user in range(USERS):
        drafts = [{"text": f"{i}: boats {i % 7} and bread {i % 11} by the river"} for i in range(EACH)]
        memory.add(drafts, scope=Scope(user=f"user-{user}"))
    memory.embedder.__class__ = FixedQuery
    return memory


def in_dicts(words: list[str]) -> Memory:
    """Return a memory of the exact index over the reference store: nothing is slow but HTTP."""
    config = load("memory", words)
    embedder, ranking, counter = (build(config[name]) for name in ("embedder", "ranking", "tokenizer"))
    index = ExactIndex(folder=None, precision="fp32", cache_mb=64, save_every=5000, rebuild=False)
    return Memory(
        store=ReferenceStore(), index=index, embedder=embedder, ranking=ranking, counter=counter, rule=NoRule(),
        near_threshold=2.0,
    )  # fmt: skip


def main(folder: str) -> None:
    """Serve until a signal comes; the first line printed is the address."""
    memory, spent = opened(folder), [0.0]
    look = memory.search

    def timed(*given: Any, **named: Any) -> Any:
        """Search, and note the CPU time of this thread that it took."""
        begun = time.thread_time()
        try:
            return look(*given, **named)
        finally:
            spent[0] += time.thread_time() - begun

    memory.search = timed  # type: ignore[method-assign]
    trivial = FastAPI()

    @trivial.get("/trivial")
    async def answer() -> dict[str, bool]:
        return {"ok": True}

    @trivial.get("/trivial/threaded")
    def threaded() -> dict[str, bool]:
        return {"ok": True}

    @trivial.get("/trivial/spent")
    async def told() -> dict[str, float]:
        return {"search_s": spent[0], "cpu_s": time.process_time()}

    work = Work(readers=0, writers=16, importers=2, most_waiting=512)
    limits = Limits(body_bytes=8_000_000, batch=1000, texts=2048, silence_s=20.0)
    service = create_app(memory, token=TOKEN, limits=limits, work=work)

    async def both(scope: Any, receive: Any, send: Any) -> None:
        mine = scope["type"] == "http" and scope["path"].startswith("/trivial")
        await (trivial if mine else service)(scope, receive, send)

    bound = listening("127.0.0.1", 0)
    run(both, bound, stop_s=10, ready=lambda: print(url_of(bound), flush=True))
    memory.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
