"""Which memories a search may return, said loosely by callers. Knows no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from memshadow.data.store.base import Filter
from memshadow.errors import DataError
from memshadow.memory.drafting import moment


def filtered(**narrowed: Any) -> Filter:
    """Return a filter from loose words: times as text or datetime, lists as tuples, metadata as a mapping.

    Raises:
        DataError: a part is unknown or of the wrong kind.
    """
    unknown = [name for name in narrowed if name not in Filter.__dataclass_fields__]
    if unknown:
        names = ", ".join(Filter.__dataclass_fields__)
        raise DataError(f"a search has no filter {unknown[0]!r}; it has {names}.")
    given = dict(narrowed)
    for name in ("kinds", "tags", "speakers", "keys"):
        value = given.get(name, ())
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise DataError(f"{name} must be a list, got {value!r:.60}.")
        given[name] = tuple(value)
    given["as_of"] = moment(given.get("as_of"), "as_of")
    given["between"] = _between(given.get("between"))
    metadata = given.get("metadata", ())
    given["metadata"] = tuple(metadata.items() if isinstance(metadata, Mapping) else metadata)
    return Filter(**given)


def _between(value: Any) -> tuple[datetime | None, datetime | None] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise DataError(f"between must be two times (None: open), got {value!r:.80}.")
    first, last = (moment(one, "between") for one in value)
    if first and last and first > last:
        raise DataError(f"between ends ({last.isoformat()}) before it begins ({first.isoformat()}).")
    return first, last
