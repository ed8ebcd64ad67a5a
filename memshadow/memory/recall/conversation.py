"""A conversation as a block, without a store: what training and evaluation rank is what a served memory would hold."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from memshadow.data.index.live import Content
from memshadow.data.index.snapshot import ExactBlock
from memshadow.memory.intake import entry
from memshadow.models.base import Embedder
from memshadow.types import Conversation, Draft, Memory, Record, Scope, in_context

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def block_of(conversation: Conversation, embedder: Embedder) -> ExactBlock:
    """Return all memories of a conversation, in the order of saying, as one user's block; place i is memory i."""
    before, after = embedder.reach
    rows = embedder.embed_passages(in_context(conversation.memories, before=before, after=after))
    turns: Counter[str] = Counter()
    records = []
    for seq, memory in enumerate(conversation.memories):
        records.append(_record(memory, conversation.id, seq, turns[memory.session_id]))
        turns[memory.session_id] += 1
    entries = [entry(record, row) for record, row in zip(records, rows, strict=True)]
    content = Content.of(entries, dim=embedder.dim, half=False)
    content.columns.ended.setflags(write=False)
    owner = Scope(user=conversation.id).owner
    return ExactBlock(owner, content.columns, np.ascontiguousarray(content.matrix), None, content.terms)


def everything(block: ExactBlock) -> Bool[ndarray, " size"]:
    """Return the mask that allows every version."""
    allowed = np.ones(block.size, dtype=bool)
    allowed.setflags(write=False)
    return allowed


def _record(memory: Memory, user: str, seq: int, turn: int) -> Record:
    draft = Draft(
        text=memory.text,
        speaker=memory.speaker,
        happened_at=memory.timestamp,
        image_caption=memory.image_caption,
    )
    scope = Scope(user=user, session=memory.session_id or None)
    return Record(
        id=memory.id, version=1, scope=scope, turn=turn, draft=draft, ingested_at=_NEVER, digest=0, seq=seq + 1
    )
