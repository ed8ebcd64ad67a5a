"""What a question costs, in milliseconds of CPU beyond its encoding: ranked alone, served, with a second look."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from bench import Bench, row
from omegaconf import OmegaConf

from memshadow.config import build, load
from memshadow.data.index.base import Block
from memshadow.data.index.promoted import PromotedBlock
from memshadow.memory.counting import ByteCounter
from memshadow.memory.ranking import Asked, Ranked, Ranking as Order
from memshadow.memory.recall.conversation import block_of, everything
from memshadow.memory.recall.rankers.trained import TreeRanker
from memshadow.memory.recall.retrieving import asked_of
from memshadow.memory.recall.staged import StagedRanking
from memshadow.memory.service import Memory
from memshadow.memory.supersession import KeyedRule
from memshadow.models.metrics import Estimate
from memshadow.types import Conversation, Draft, Scope


class _Timed:
    """A ranking that keeps what each question cost it, in milliseconds of CPU."""

    def __init__(self, ranking: Order, clock: Callable[[], float]) -> None:
        self._ranking, self._clock, self.spent = ranking, clock, list[float]()

    def rank(self, block: Block, allowed: Any, asked: Asked, *, k: int) -> Ranked:
        """Rank as the one within does."""
        before = self._clock()
        found = self._ranking.rank(block, allowed, asked, k=k)
        self.spent.append((self._clock() - before) * 1e3)
        return found


def speed(bench: Bench, command: str) -> list[dict[str, Any]]:
    """CPU milliseconds a question beyond encoding, of one user's 1,000 and 50,000 memories."""
    ranking = StagedRanking(viewer=bench.viewer, ranker=TreeRanker(model="packaged"))
    rows = []
    for size in (1_000, 50_000):
        lives = build(load("train", ["data=synthetic", f"data.memories={size}"]).data).conversations()
        memories = [
            replace(m, conversation_id="all", id=f"{m.id}-{i}") for life in lives for i, m in enumerate(life.memories)
        ]
        asked_for = list(next(iter(build(load("train", ["data=synthetic"]).data).conversations())).questions)
        conversation = Conversation(id="all", memories=tuple(memories), questions=tuple(asked_for))
        encoder = build(load("train", ["embedder=hashing", "embedder.dim=384"]).embedder)
        block = block_of(conversation, encoder)
        allowed = everything(block)
        asked = [asked_of(block, allowed, q.text, encoder) for q in conversation.questions[:200]]
        ranking.rank(block, allowed, asked[0], k=10)
        spent, scan = [], []
        for one in asked:
            before = time.process_time()
            ranking.rank(block, allowed, one, k=10)
            between = time.process_time()
            block.nearest(one.vector, k=bench.viewer.listed, allowed=None)
            spent.append((between - before) * 1e3)
            scan.append((time.process_time() - between) * 1e3)
        for name, value in (
            ("median ms", np.median(spent)),
            ("p95 ms", np.percentile(spent, 95)),
            ("of it the scan", np.median(scan)),
        ):
            system, e = f"{len(conversation.memories)} memories", Estimate(float(value), np.nan, np.nan, len(spent))
            rows.append(row(system, "synthetic", "speed", command, name, e) | {"ci95": []})
    return rows


def served(bench: Bench, command: str) -> list[dict[str, Any]]:
    """CPU milliseconds of ranking inside a memory in a folder, with the index that it is served with."""
    rows = []
    words = ["embedder=hashing", "embedder.dim=384", "tokenizer=bytes"]
    scope = Scope(user="one")
    for size in (1_000, 50_000):
        composed = load("memory", [f"folder={bench.work / 'served' / str(size)}", *words])
        config: Any = OmegaConf.create(OmegaConf.to_container(composed, resolve=True))
        timed = _Timed(build(config.ranking), time.thread_time)  # a structure may be built beside the work
        parts = {name: build(config[name]) for name in ("store", "index", "embedder")}
        with Memory(
            **parts, ranking=timed, rule=KeyedRule(), counter=ByteCounter(), near_threshold=config.near_threshold
        ) as memory:
            lives = list(build(load("train", ["data=synthetic", f"data.memories={size}"]).data).conversations())
            if not memory.stats(scope=scope).memories:
                _tell(memory, lives, scope)
            asked = [q.text for q in lives[0].questions][:100]
            until = time.monotonic() + 300
            while size > config.index.promote_at and time.monotonic() < until:
                if isinstance(parts["index"].block(scope.owner), PromotedBlock):  # built beside the work
                    break
                time.sleep(1)
            for text in asked * 3:  # the first two rounds read what was just opened
                memory.search(text, k=10, scope=scope)
            timed.spent = timed.spent[-len(asked) :]
        for name, value in (("median ms", np.median(timed.spent)), ("p95 ms", np.percentile(timed.spent, 95))):
            e = Estimate(float(value), np.nan, np.nan, len(timed.spent))
            rows.append(row(f"{size} memories", "synthetic", "served", command, name, e) | {"ci95": []})
    return rows


def _tell(memory: Memory, lives: Sequence[Conversation], scope: Scope) -> None:
    """Add all turns, session by session."""
    for number, life in enumerate(lives):
        for session, turns in groupby(life.memories, key=lambda m: m.session_id):
            drafts = [Draft(text=m.text, speaker=m.speaker, happened_at=m.timestamp) for m in turns]
            memory.add(drafts, scope=replace(scope, session=f"{number}-{session}"))


def looked(bench: Bench, command: str) -> list[dict[str, Any]]:
    """CPU milliseconds of a question to one user's 1,000 memories, beyond encoding, with a cross-encoder behind."""
    lives = build(load("train", ["data=synthetic", "data.memories=1000"]).data).conversations()
    life = max(lives, key=lambda one: len(one.memories))
    config = load("memory", ["ranking=cross_encoder"]).ranking
    ranking = build(config)
    block = block_of(life, bench.encoder)
    asked = [asked_of(block, everything(block), q.text, bench.encoder, life.memories) for q in life.questions[:60]]
    timed = _Timed(ranking, time.process_time)  # the model may run in threads of its own
    for one in [asked[0], *asked]:  # the first opens the model
        timed.rank(block, everything(block), one, k=10)
    spent, rows = timed.spent[1:], []
    for name, value in (("median ms", np.median(spent)), ("p95 ms", np.percentile(spent, 95))):
        e = Estimate(float(value), np.nan, np.nan, len(spent))
        system = f"{len(life.memories)} memories, {config.second.k} read"
        rows.append(row(system, "synthetic", "looked", command, name, e) | {"ci95": []})
    return rows
