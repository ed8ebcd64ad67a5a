"""Memories as lines of JSON, out and in again: nothing lost, nothing doubled, a cut file noticed. Knows no vectors.

The first line says what the file is, each further one is a version of a memory, by seq, and the last counts them and
gives their SHA-256. Whatever a file says of tenant and user is not believed: the scope that it is brought into is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from memshadow.errors import DataError
from memshadow.memory.drafting import digest, drafted, moment
from memshadow.types import Draft, Record, Scope

FORMAT = 1
_HEAD, _END = "memshadow", "memshadow_end"
_SHARED = {"timestamp": "happened_at", "content": "text", "created_at": "happened_at", "conversation_id": None}
"""Names that other formats use, and what they are here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of the lines: versions that are new, and those that were there already."""

    added: int
    known: int


def told(record: Record) -> dict[str, Any]:
    """Return a version as JSON can hold it; what is empty is left out."""
    draft = {name: value for name, value in asdict(record.draft).items() if value not in ("", None, (), {})}
    draft.pop("id", None)
    draft["source"] = {name: value for name, value in asdict(record.draft.source).items() if value}
    if record.draft.happened_at:
        draft["happened_at"] = record.draft.happened_at.isoformat()
    kept = {
        "id": record.id,
        "version": record.version,
        "agent": record.scope.agent,
        "session": record.scope.session,
        "turn": record.turn,
        "ingested_at": record.ingested_at.isoformat(),
        "ended_at": record.ended_at.isoformat() if record.ended_at else None,
        "ended_by": record.ended_by,
        "superseded_by": record.superseded_by,
    }
    full = kept | draft
    return {name: value for name, value in full.items() if value not in (None, {})}


def lines_of(records: Iterable[Record], *, at: datetime) -> Iterator[str]:
    """Yield the lines of an export, each with its newline."""
    yield json.dumps({_HEAD: "memories", "format": FORMAT, "exported_at": at.isoformat()}) + "\n"
    count, seen = 0, sha256()
    for record in records:
        line = json.dumps(told(record), ensure_ascii=False) + "\n"
        count += 1
        seen.update(line.encode())
        yield line
    yield json.dumps({_END: True, "records": count, "sha256": seen.hexdigest()}) + "\n"


def records_of(lines: Iterable[str], scope: Scope, *, at: datetime) -> Iterator[Record]:
    """Yield the versions that lines hold, in the given owner's name.

    Lines of an export come back as they were. Other lines are taken as new memories: objects with ``text`` (or
    ``content``) and any field of a draft, ``session_id`` and ``timestamp``; unknown fields become metadata.

    Raises:
        DataError: a line is no JSON object or no memory (its number is told), the format is newer than this, the file
            ends before its last line, or its content is not what its last line says.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise DataError("there is nothing to import: no line came.")
    head = _object(*first)
    if _HEAD not in head:
        yield _foreign(head, scope, at=at, number=first[0])
        for number, line in numbered:
            yield _foreign(_object(number, line), scope, at=at, number=number)
        return
    if head.get("format") != FORMAT:
        raise DataError(f"this export has format {head.get('format')!r}; this version reads {FORMAT}. Use a newer one.")
    count, seen = 0, sha256()
    for number, line in numbered:
        given = _object(number, line)
        if _END in given:
            if (given.get("records"), given.get("sha256")) != (count, seen.hexdigest()):
                raise DataError(f"the export is damaged: {given.get('records')} versions were written, {count} came.")
            return
        count += 1
        seen.update((line.rstrip("\r\n") + "\n").encode())
        yield _own(given, scope, number)
    raise DataError(f"the export is cut off after {count} versions: its last line is missing. Copy the file again.")


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(f"line {number} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise DataError(f"line {number} must be a JSON object, got {type(found).__name__}.")
    return found


def _own(given: dict[str, Any], scope: Scope, number: int) -> Record:
    """Return a version of an export."""
    try:
        kept = {name: given.pop(name, None) for name in _KEPT}
        draft = drafted(given | {"id": kept["id"]})
        inside = replace(scope, agent=scope.agent or kept["agent"], session=scope.session or kept["session"])
        return Record(
            id=kept["id"],
            version=_version(kept["version"]),
            scope=inside,
            turn=int(kept["turn"] or 0),
            draft=draft,
            ingested_at=moment(kept["ingested_at"], "ingested_at") or datetime.now(UTC),
            digest=digest(inside, draft),
            ended_at=moment(kept["ended_at"], "ended_at"),
            ended_by=kept["ended_by"],
            superseded_by=kept["superseded_by"],
        )
    except (DataError, ValueError, TypeError) as error:
        raise DataError(f"line {number}: {error}") from error


def _version(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise DataError(f"version={value!r}; needed: a whole number from 1.")
    return value


_KEPT = ("id", "version", "agent", "session", "turn", "ingested_at", "ended_at", "ended_by", "superseded_by")


def _foreign(given: Mapping[str, Any], scope: Scope, *, at: datetime, number: int) -> Record:
    """Return a first version from a line of another program."""
    named = {_SHARED.get(name, name): value for name, value in given.items() if value is not None}
    session = named.pop("session_id", named.pop("session", None))
    where = given.get("conversation_id")
    turn = named.pop("turn", 0)
    named.pop(None, None)
    known = {name: value for name, value in named.items() if name in Draft.__dataclass_fields__}
    others = {str(name): value for name, value in named.items() if name not in known}
    own = known.get("metadata", {})
    if others:
        known["metadata"] = {**others, **own} if isinstance(own, Mapping) else own
    try:
        draft = drafted(known)
        named_session = "/".join(str(part) for part in (where, session) if part is not None) or None
        inside = replace(scope, session=scope.session or named_session)
        mark = digest(inside, draft)
        memory_id = draft.id or f"{mark:016x}"
        return Record(
            id=memory_id,
            version=1,
            scope=inside,
            turn=turn if isinstance(turn, int) else 0,
            draft=replace(draft, id=memory_id),
            ingested_at=at.astimezone(UTC),
            digest=mark,
        )
    except (DataError, ValueError, TypeError) as error:
        raise DataError(f"line {number}: {error}") from error
