"""Which older memories a new one takes the place of. Decides; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from memshadow.types import Draft


@runtime_checkable
class SupersessionRule(Protocol):
    """Finds what a draft contradicts, beside what its ``supersedes`` names."""

    def superseded(self, draft: Draft, keyed: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Return ids of current memories of the same owner; ``keyed`` maps keys to the ids that have them."""
        ...


class NoRule:
    """Only the caller says what is superseded."""

    def superseded(self, draft: Draft, keyed: Mapping[str, Sequence[str]]) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return ()


class KeyedRule:
    """One current memory a key: the newest."""

    def superseded(self, draft: Draft, keyed: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Return the memory that has the draft's key."""
        return tuple(keyed.get(draft.key, ())) if draft.key is not None else ()
