"""Which conversations train and which are held out. Takes ids; knows nothing of what stands behind them.

A split goes by conversation, never through one: the questions of a conversation are not independent. Every split
depends on the *set* of ids and the seed alone, not on their order, and is the same on every machine and Python version
(the draw is a SHA-256 of seed and id).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Split:
    """Two sorted groups of ids that share none; together they are all the ids that came in."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


def leave_one_out(ids: Iterable[str]) -> list[Split]:
    """Return one split for each id, in sorted order, with that id alone held out.

    Raises:
        ValueError: fewer than two ids, or an id twice.
    """
    known = _distinct(ids, at_least=2)
    return [_split(known, {held}) for held in known]


def folds(ids: Iterable[str], *, n: int, seed: int) -> list[Split]:
    """Return ``n`` splits; every id is held out in exactly one, and fold sizes differ by one at most.

    Raises:
        ValueError: ``n`` is under 2 or over the number of ids, or an id comes twice.
    """
    if n < 2:
        raise ValueError(f"at least 2 folds are needed, {n} were asked for")
    known = _distinct(ids, at_least=n)
    drawn = _drawn(known, seed)
    return [_split(known, set(drawn[fold::n])) for fold in range(n)]


def hold_out(ids: Iterable[str], *, share: float, seed: int) -> Split:
    """Return a split that holds out ``share`` of the ids, rounded half up, but at least one and never all.

    The same seed with a larger share holds out a superset.

    Raises:
        ValueError: ``share`` is not between 0 and 1 (both excluded), fewer than two ids, or an id twice.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share between 0 and 1 is needed, {share} came")
    known = _distinct(ids, at_least=2)
    count = min(max(1, math.floor(len(known) * share + 0.5)), len(known) - 1)
    return _split(known, set(_drawn(known, seed)[:count]))


def _distinct(ids: Iterable[str], *, at_least: int) -> list[str]:
    known = sorted(ids)
    if twice := {a for a, b in pairwise(known) if a == b}:
        raise ValueError(f"every id may come once; these come more often: {', '.join(sorted(twice)[:5])}")
    if len(known) < at_least:
        raise ValueError(f"at least {at_least} conversations are needed for this split, {len(known)} came")
    return known


def _drawn(ids: list[str], seed: int) -> list[str]:
    """Return the ids in a random order that seed and ids decide."""
    return sorted(ids, key=lambda one: hashlib.sha256(f"{seed}\0{one}".encode("utf-8", "surrogatepass")).digest())


def _split(ids: list[str], held: set[str]) -> Split:
    return Split(
        training=tuple(one for one in ids if one not in held), held_out=tuple(one for one in ids if one in held)
    )
