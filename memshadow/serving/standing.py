"""Which embedder a service searches with, and which one is about to take over: plain values, for both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An embedder by name; the fingerprint says whether two are the same."""

    name: str
    dim: int
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An embedder that is being taken up: versions that have its row, of all that there were when it began."""

    embedder: Told
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What answers searches now, what is being taken up, what may be, and what went wrong with the last try."""

    active: Told
    upcoming: Taken | None = None
    choices: tuple[str, ...] = ()
    error: str | None = None


def standing_out(standing: Standing) -> dict[str, Any]:
    """Return a standing as plain JSON."""
    return {**asdict(standing), "choices": list(standing.choices)}


def standing_in(told: Mapping[str, Any]) -> Standing:
    """Return what :func:`standing_out` told."""
    upcoming = told["upcoming"]
    return Standing(
        active=Told(**told["active"]),
        upcoming=None if upcoming is None else Taken(**{**upcoming, "embedder": Told(**upcoming["embedder"])}),
        choices=tuple(told["choices"]),
        error=told["error"],
    )
