"""Which memories a search may return, said loosely by callers. Knows no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from memshadow.data.store.base import Filter
from memshadow.errors import DataError
from memshadow.memory.drafting import moment, wellformed, whole
from memshadow.types import Kind


def filtered(**narrowed: Any) -> Filter:
    """Return a filter from loose words: times as text or datetime, lists as tuples, metadata as a mapping.

    Raises:
        DataError: a part is unknown or of the wrong kind: it would match nothing, and say so to no one.
    """
    unknown = [name for name in narrowed if name not in Filter.__dataclass_fields__]
    if unknown:
        names = ", ".join(Filter.__dataclass_fields__)
        raise DataError(f"a search has no filter {unknown[0]!r}; it has {names}.")
    given = dict(narrowed)
    for name in ("kinds", "tags", "speakers", "keys"):
        given[name] = _words(given.get(name, ()), name)
    for kind in given["kinds"]:
        if kind not in get_args(Kind):
            raise DataError(f"kinds hold {kind!r:.60}; choose {', '.join(get_args(Kind))}.")
    if not isinstance(given.get("latest_only", True), bool):
        raise DataError(f"latest_only={given['latest_only']!r:.60}; needed: true or false.")
    given["as_of"] = moment(given.get("as_of"), "as_of")
    given["between"] = _between(given.get("between"))
    given["metadata"] = _pairs(given.get("metadata", {}))
    return Filter(**given)


def _words(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise DataError(f"{name} must be a list, got {value!r:.60}.")
    words = tuple(value)
    for word in words:
        if not isinstance(word, str):
            raise DataError(f"{name} must be text, got {word!r:.60}.")
    return tuple(wellformed(word) for word in words)


def _pairs(value: Any) -> tuple[tuple[str, str | int | float | bool | None], ...]:
    if not isinstance(value, Mapping):
        raise DataError(f"metadata must be a mapping of names to values, got {value!r:.60}.")
    for name, wanted in value.items():
        scalar = wanted is None or isinstance(wanted, (str, float)) or (isinstance(wanted, int) and whole(wanted))
        if not isinstance(name, str) or not scalar:
            raise DataError(f"metadata.{name}={wanted!r:.60}; needed: text, a number of 64 bits, true, false or null.")
    return tuple((wellformed(name), wellformed(it) if isinstance(it, str) else it) for name, it in value.items())


def _between(value: Any) -> tuple[datetime | None, datetime | None] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise DataError(f"between must be two times (None: open), got {value!r:.80}.")
    first, last = (moment(one, "between") for one in value)
    if first and last and first > last:
        raise DataError(f"between ends ({last.isoformat()}) before it begins ({first.isoformat()}).")
    return first, last
