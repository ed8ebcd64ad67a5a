"""The visible versions of a block in the order of saying: sessions, neighbours, who speaks how. Knows no question.

All of it depends on the block and on what is visible alone, so it is worked out once and kept for the next question,
whatever filter that one has.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple
from weakref import ReferenceType, ref

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8, UInt64
from numpy import ndarray

from memshadow.data.index.base import HALF, Block
from memshadow.data.index.columns import UNKNOWN
from memshadow.models.form import Forms

ALIKE = ("length", "asking", "first_person", "phatic", "numbers", "dates", "names")
"""The bytes of a form, in their order, that are compared with the same speaker's other turns."""
_SHORT = 30.0
"""Terms of a turn on average, up to which it is short; twice that is long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """``n`` versions, by session (sessions in the order of their first version) and turn.

    A version without a session is a session of its own: it has no neighbours. Times are microseconds since 1970 UTC.
    """

    places: Int64[ndarray, " n"]
    """Where each stands in the block."""
    at: Int64[ndarray, " size"]
    """The way back: where each place of the block stands here, -1 where it is not visible."""
    session: Int64[ndarray, " n"]
    """Number of its session, ascending from 0."""
    begins: Int64[ndarray, " sessions"]
    """Where each session begins."""
    follows: Bool[ndarray, " n"]
    """Whether the one before is of the same session."""
    followed: Bool[ndarray, " n"]
    """Whether the one after is."""
    lengths: Float[ndarray, " n"]
    """In terms."""
    windows: Float[ndarray, " n"]
    """Length of it and of the turn that it follows."""
    mean_length: float
    mean_window: float
    """Means of both."""
    speaker: Int64[ndarray, " n"]
    """Number of its speaker; ``names`` are the hashes."""
    names: UInt64[ndarray, " speakers"]
    whole_names: Mapping[int, int]
    """The number of a speaker by the lower half of the hash: by the whole name."""
    first_names: Mapping[int, int]
    """The number by the upper half, of those whose first name nobody else here has."""
    happened: Int64[ndarray, " n"]
    first: int
    """The earliest known ``happened``, ``UNKNOWN`` where none is."""
    last: int
    """The latest."""
    forms: Forms
    asking: float
    """Share that holds a question."""
    shares: Float32[ndarray, "alike n"]
    """For each of ``ALIKE``: which share of the same speaker's turns has less of it, ties by half; alone .5."""

    @property
    def size(self) -> int:
        """Return how many there are."""
        return len(self.places)

    @property
    def chat(self) -> float:
        """Return how much this is a chat: 1 where two or more speak in short turns, 0 in long ones or by one alone."""
        if len(self.names) < 2:
            return 0.0
        return float(np.clip(2.0 - self.mean_length / _SHORT, 0.0, 1.0))

    @property
    def sizes(self) -> Int64[ndarray, " sessions"]:
        """Return how many versions each session has."""
        return np.diff(self.begins, append=self.size)


def said(block: Block, visible: Bool[ndarray, " size"]) -> Said:
    """Return the visible versions in the order of saying."""
    places, session = _ordered(block, np.flatnonzero(visible))
    n = len(places)
    at = np.full(block.size, -1, dtype=np.int64)
    at[places] = np.arange(n)
    follows = np.zeros(n, dtype=bool)
    follows[1:] = session[1:] == session[:-1]
    lengths = block.lengths[places].astype(np.float64)
    windows = lengths.copy()
    windows[1:] += np.where(follows[1:], lengths[:-1], 0.0)
    names, speaker = np.unique(block.voices[places], return_inverse=True)
    halves = [divmod(name, HALF + 1) for name in names.tolist()]
    shared = Counter(first for first, _ in halves)
    packed, happened = block.forms[places], block.happened[places]
    known = happened[happened != UNKNOWN]
    forms = Forms.unpacked(packed)
    return Said(
        places=places,
        at=at,
        session=session,
        begins=np.flatnonzero(~follows),
        follows=follows,
        followed=np.append(follows[1:], False) if n else follows,
        lengths=lengths,
        windows=windows,
        mean_length=float(lengths.mean()) if n else 0.0,
        mean_window=float(windows.mean()) if n else 0.0,
        speaker=speaker,
        names=names,
        whole_names={whole: number for number, (_, whole) in enumerate(halves)},
        first_names={first: number for number, (first, _) in enumerate(halves) if shared[first] == 1},
        happened=happened,
        first=int(known.min()) if len(known) else UNKNOWN,
        last=int(known.max()) if len(known) else UNKNOWN,
        forms=forms,
        asking=float(forms.holds_question.mean()) if n else 0.0,
        shares=_shares(np.ascontiguousarray(packed).view(np.uint8).reshape(n, 8), speaker, len(names)),
    )


def _ordered(block: Block, places: Int64[ndarray, " n"]) -> tuple[ndarray, ndarray]:
    """Return the places by session and turn, and the number of each one's session."""
    name, turns = block.sessions[places], block.turns[places]
    head = np.ones(len(places), dtype=bool)
    head[1:] = (name[1:] != name[:-1]) | (name[1:] == 0)
    heads = name[head]
    named = heads[heads != 0]
    runs = np.cumsum(head) - 1
    told = bool(np.all(head[1:] | (turns[1:] >= turns[:-1])))
    if told and len(np.unique(named)) == len(named):  # as most conversations are: one session after the other
        return places, runs
    number = np.arange(len(heads))
    known, inverse = np.unique(heads, return_inverse=True)
    first = np.full(len(known), len(heads))
    np.minimum.at(first, inverse, number)
    session = np.where(heads == 0, number, first[inverse])[runs]
    order = np.lexsort((turns, session))
    session = session[order]
    return places[order], np.cumsum(np.diff(session, prepend=session[:1]) != 0)


def _shares(forms: UInt8[ndarray, "n 8"], speaker: Int64[ndarray, " n"], speakers: int) -> Float32[ndarray, "alike n"]:
    shares = np.empty((len(ALIKE), len(forms)), dtype=np.float32)
    for row, column in enumerate(forms.T[: len(ALIKE)]):
        cell = speaker * 256 + column
        counts = np.bincount(cell, minlength=256 * speakers).reshape(speakers, 256)
        below = np.cumsum(counts, axis=1) - counts / 2
        shares[row] = (below / np.maximum(counts.sum(axis=1, keepdims=True), 1)).ravel()[cell]
    return shares


class _Kept(NamedTuple):
    """What was worked out, and from which arrays: not held, so that it goes when they do."""

    seqs: ReferenceType[ndarray]
    visible: ReferenceType[ndarray]
    said: Said
    cost: int

    def is_of(self, block: Block, visible: ndarray) -> bool:
        """Return whether it was worked out from these; another array may have come to bear the same number."""
        return self.seqs() is block.seqs and self.visible() is visible

    @property
    def gone(self) -> bool:
        """Return whether nobody can ask for it again."""
        return self.seqs() is None or self.visible() is None


class SaidCache:
    """Keeps the last orders of saying, up to about ``most`` versions in all: a block and a mask that are asked again.

    One whose snapshot is gone, because something was added or forgotten since, is let go of at the next question.
    """

    def __init__(self, most: int = 200_000) -> None:
        self._most, self._held, self._lock = most, 0, Lock()
        self._known: OrderedDict[tuple[int, int], _Kept] = OrderedDict()
        self._gone: deque[tuple[int, int]] = deque()  # told by arrays as they die, in whatever thread, at any moment

    def of(self, block: Block, visible: Bool[ndarray, " size"]) -> Said:
        """Return what ``said`` does. The same arrays mean the same: those of a snapshot never change."""
        key = id(block.seqs), id(visible)
        with self._lock:
            self._let_go()
            if (kept := self._known.get(key)) is not None and kept.is_of(block, visible):
                self._known.move_to_end(key)
                return kept.said
        made = said(block, visible)
        if not (visible.flags.writeable or block.seqs.flags.writeable):  # else made for this one question
            self._keep(key, block, visible, made)
        return made

    def _keep(self, key: tuple[int, int], block: Block, visible: ndarray, made: Said) -> None:
        def told(_: ReferenceType[ndarray]) -> None:
            self._gone.append(key)

        cost = made.size + block.size // 16  # the way back is long where little is visible
        with self._lock:
            self._drop(key)
            self._known[key] = _Kept(ref(block.seqs, told), ref(visible, told), made, cost)
            self._held += cost
            while self._held > self._most and len(self._known) > 1:
                self._drop(next(iter(self._known)))

    def _let_go(self) -> None:
        while self._gone:
            key = self._gone.popleft()
            if key in self._known and self._known[key].gone:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        if kept := self._known.pop(key, None):
            self._held -= kept.cost
