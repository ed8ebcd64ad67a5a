"""Small places to recall in: blocks made by hand, with any vectors, sessions, dates and speakers."""

from datetime import UTC, datetime, timedelta

import numpy as np

from memshadow.data.index.base import Entry
from memshadow.data.index.live import Content
from memshadow.data.index.snapshot import ExactBlock
from memshadow.memory.ranking import Asked, statistics_of
from memshadow.memory.recall.said import said
from memshadow.memory.recall.viewing import Viewer
from memshadow.models.form import form
from memshadow.models.lexical import terms
from memshadow.types import Draft, Record, Scope

START = datetime(2024, 5, 1, tzinfo=UTC)


def turn(text, *, session="s", turn=0, speaker="Ann", day=None, words=None):
    """Return what is said of a version: ``day`` after the first of May 2024; ``words`` in the place of its terms."""
    return {"text": text, "session": session, "turn": turn, "speaker": speaker, "day": day, "words": words}


def block(turns, vectors=None, dim=4):
    """Return the block of some turns, in the order of adding; vectors of ones where none are given."""
    rows = np.ones((len(turns), dim), dtype=np.float32) if vectors is None else np.asarray(vectors, dtype=np.float32)
    entries = [_entry(one, seq, row) for seq, (one, row) in enumerate(zip(turns, rows, strict=True), start=1)]
    content = Content.of(entries, dim=rows.shape[1] if len(rows) else dim, half=False)
    return ExactBlock(Scope().owner, content.columns, content.matrix, None, content.terms)


def _entry(one, seq, row):
    happened = None if one["day"] is None else START + timedelta(days=one["day"])
    draft = Draft(text=one["text"], speaker=one["speaker"], happened_at=happened)
    record = Record(
        id=str(seq),
        version=1,
        scope=Scope(session=one["session"]),
        turn=one["turn"],
        draft=draft,
        ingested_at=START,
        digest=0,
        seq=seq,
    )
    spoken = terms(draft.said().rendered()) if one["words"] is None else one["words"]
    return Entry(record=record, vector=row, terms=spoken, form=form(draft.text, image=False))


def mask(size, without=()):
    """Return a mask that shuts some places out, as snapshots keep them: read only."""
    allowed = np.ones(size, dtype=bool)
    allowed[list(without)] = False
    allowed.setflags(write=False)
    return allowed


def told(turns, without=()):
    """Return the order of saying of some turns."""
    here = block(turns)
    return said(here, mask(here.size, without))


def asked(here, allowed, text, vector=None, **more):
    words = terms(text)
    row = np.ones(here.matrix.shape[1], dtype=np.float32) if vector is None else np.asarray(vector, dtype=np.float32)
    return Asked(vector=row, terms=words, statistics=statistics_of(here, allowed, words), text=text, **more)


def viewer(**changed):
    return Viewer(**{"k1": 0.9, "b": 0.4, "candidates": 40, "exact_below": 5000, "listed": 60} | changed)


def chat(count, *, seed=0, dim=8, sessions=25):
    """Return the block of a chat of two, with random vectors."""
    draw = np.random.default_rng(seed)
    words = [f"word{n}" for n in range(30)]
    turns = [
        turn(
            " ".join(draw.choice(words, size=1 + int(draw.integers(8)))) + ("?" if draw.random() < 0.3 else ""),
            session=f"s{n // sessions}",
            turn=n % sessions,
            speaker=("Ann", "Bob")[n % 2],
            day=n // sessions,
        )
        for n in range(count)
    ]
    return block(turns, draw.normal(size=(count, dim)))
