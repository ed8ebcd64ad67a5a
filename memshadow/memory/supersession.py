"""Which older memories a new one takes the place of. Decides; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from memshadow.types import Draft


@runtime_checkable
class SupersessionRule(Protocol):
    """Finds what a draft contradicts, beside what its ``supersedes`` names."""

    def superseded(self, draft: Draft, keyed: Mapping[str, str]) -> tuple[str, ...]:
        """Return ids of current memories of the same owner; ``keyed`` maps the keys in use to the id that has each."""
        ...


class NoRule:
    """Only the caller says what is superseded."""

    def superseded(self, draft: Draft, keyed: Mapping[str, str]) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return ()


class KeyedRule:
    """One current memory a key: the newest."""

    def superseded(self, draft: Draft, keyed: Mapping[str, str]) -> tuple[str, ...]:
        """Return the memory that has the draft's key."""
        return (keyed[draft.key],) if draft.key is not None and draft.key in keyed else ()
