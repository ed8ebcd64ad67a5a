"""Which versions a reading asks for. Takes records, a scope and a filter; knows nothing of how records are kept."""

from __future__ import annotations

from datetime import datetime

from memshadow.data.store.admission import utc
from memshadow.data.store.base import Filter
from memshadow.types import Draft, Record


def passes(record: Record, given: Filter) -> bool:
    """Return whether a version passes a filter; its scope is another question (``Scope.covers``)."""
    return _holds(record, given) and in_time(record.draft, given) and says(record.draft, given)


def _holds(record: Record, given: Filter) -> bool:
    if given.as_of is None:
        return record.current or not given.latest_only
    moment = utc(given.as_of)
    return record.ingested_at <= moment and (record.ended_at is None or record.ended_at > moment)


def in_time(draft: Draft, given: Filter) -> bool:
    """Return whether the event lies between the filter's bounds; one of unknown time lies outside any."""
    if given.between is None:
        return True
    first, second = given.between
    when = draft.happened_at
    return when is not None and _at_or_after(when, first) and not (second is not None and when >= utc(second))


def _at_or_after(when: datetime, first: datetime | None) -> bool:
    return first is None or when >= utc(first)


def says(draft: Draft, given: Filter) -> bool:
    """Return whether kind, speaker, key, tags and metadata are those asked for."""
    return (
        (not given.kinds or draft.kind in given.kinds)
        and (not given.speakers or draft.speaker in given.speakers)
        and (not given.keys or draft.key in given.keys)
        and set(given.tags) <= set(draft.tags)
        and all(name in draft.metadata and draft.metadata[name] == value for name, value in given.metadata)
    )


def order_of_saying(record: Record) -> tuple[str, int, int]:
    """Return the key that puts versions in the order in which they were said: no session comes first."""
    return record.scope.session or "", record.turn, record.seq
