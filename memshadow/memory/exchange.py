"""Memories as lines of JSON, out and in again: nothing lost, nothing doubled, a cut file noticed. Knows no vectors.

The first line says what the file is, each further one is a version of a memory, by seq, and the last counts them and
gives their SHA-256. Exports may follow each other in one file. Whatever it says of tenant and user is not believed: the
scope that it is brought into is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from typing import Any

from memshadow.errors import DataError
from memshadow.memory.drafting import digest, drafted, moment, wellformed
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


def lines_of(records: Iterable[Record], *, at: datetime, until: int | None = None) -> Iterator[str]:
    """Yield the lines of an export, each with its newline.

    Args:
        records: versions, read page by page.
        at: now.
        until: the store's last write before the first page was read: what was written or ended later is told as it
            stood then, so that writers meanwhile leave no two halves in one file.
    """
    yield json.dumps({_HEAD: "memories", "format": FORMAT, "exported_at": at.isoformat()}) + "\n"
    count, seen = 0, sha256()
    for record in records if until is None else _then(records, until):
        line = json.dumps(told(record), ensure_ascii=False) + "\n"
        count += 1
        seen.update(line.encode())
        yield line
    yield json.dumps({_END: True, "records": count, "sha256": seen.hexdigest()}) + "\n"


def _then(records: Iterable[Record], until: int) -> Iterator[Record]:
    """Yield the versions as they stood after the write ``until``."""
    for record in records:
        if record.seq > until:
            continue
        if record.ended_seq is not None and record.ended_seq > until:
            yield replace(record, ended_at=None, ended_seq=None, ended_by=None, superseded_by=None)
        else:
            yield record


def portions(records: Iterable[Record], *, size: int) -> Iterator[list[Record]]:
    """Yield versions ``size`` at a time, what came before an error too, and then raise it.

    A portion is larger where the versions of one memory follow each other over its end: they stay together.
    """
    portion: list[Record] = []
    try:
        for record in records:
            if len(portion) >= size and record.id != portion[-1].id:
                yield portion
                portion = []
            portion.append(record)
    except Exception:
        if portion:
            yield portion
        raise
    if portion:
        yield portion


def records_of(lines: Iterable[str], scope: Scope, *, at: datetime) -> Iterator[Record]:
    """Yield the versions that lines hold, in the given owner's name.

    Lines of an export, or of several, come back as they were. Other lines are taken as new memories: objects with
    ``text`` (or ``content``) and any field of a draft, ``session_id`` and ``timestamp``; unknown fields become
    metadata.

    Raises:
        DataError: a line is no JSON object or no memory (its number is told), the format is newer than this, an export
            ends before its last line, its content is not what that line says, or something else stands behind it.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise DataError("there is nothing to import: no line came.")
    if _HEAD in _object(*first):
        for number, line in chain([first], numbered):
            yield from _exported(number, _object(number, line), numbered, scope, at=at)
    else:
        for number, line in chain([first], numbered):
            yield _foreign(_object(number, line), scope, at=at, number=number)


def _exported(
    start: int, head: Mapping[str, Any], numbered: Iterator[tuple[int, str]], scope: Scope, *, at: datetime
) -> Iterator[Record]:
    """Yield the versions of one export, whose first line ``head`` was; take its last line, too."""
    if _HEAD not in head:
        raise DataError(f"line {start} stands behind the end of an export; needed: nothing, or the next export.")
    if head.get("format") != FORMAT:
        raise DataError(f"this export has format {head.get('format')!r}; this version reads {FORMAT}. Use a newer one.")
    count, seen = 0, sha256()
    for number, line in numbered:
        given = _object(number, line)
        if _END in given:
            if (given.get("records"), given.get("sha256")) != (count, seen.hexdigest()):
                raise DataError(f"the export is damaged: {given.get('records')} versions were written, {count} came.")
            return
        if _HEAD in given:
            raise DataError(f"{_cut(count)} Line {number} begins another one.")
        count += 1
        seen.update((line.rstrip("\r\n") + "\n").encode("utf-8", "surrogatepass"))
        yield _own(given, scope, number, at=at)
    raise DataError(_cut(count))


def _cut(count: int) -> str:
    return f"the export is cut off after {count} versions: its last line is missing. Copy the file again."


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(f"line {number} is no JSON: {error}.") from None
    except RecursionError:
        raise DataError(f"line {number} is nested too deep to be read.") from None
    if not isinstance(found, dict):
        raise DataError(f"line {number} must be a JSON object, got {type(found).__name__}.")
    return found


def _own(given: dict[str, Any], scope: Scope, number: int, *, at: datetime) -> Record:
    """Return a version of an export."""
    try:
        kept = {name: given.pop(name, None) for name in _KEPT}
        memory_id = _name(kept["id"], "id")
        draft = drafted(given | {"id": memory_id})
        inside = replace(scope, agent=scope.agent or kept["agent"], session=scope.session or kept["session"])
        return Record(
            id=str(draft.id),
            version=_whole(kept["version"], "version", least=1),
            scope=inside,
            turn=_whole(kept["turn"] or 0, "turn", least=0),
            draft=draft,
            ingested_at=moment(kept["ingested_at"], "ingested_at") or at.astimezone(UTC),
            digest=digest(inside, draft),
            **_end(kept, str(draft.id)),
        )
    except _REFUSED as error:
        raise DataError(f"line {number}: {error}") from error


def _end(kept: Mapping[str, Any], memory_id: str) -> dict[str, Any]:
    """Return the fields of an end, all of them or none."""
    ended_at, by, successor = moment(kept["ended_at"], "ended_at"), kept["ended_by"], kept["superseded_by"]
    if by not in (None, "update", "supersede"):
        raise DataError(f"ended_by={by!r:.60}; needed: update or supersede.")
    if successor is not None:
        successor = wellformed(_name(successor, "superseded_by"))
    if successor == memory_id:
        raise DataError(f"superseded_by={successor!r:.80}: the memory takes its own place.")
    if (ended_at is None) != (by is None) or (by == "supersede") != (successor is not None):
        raise DataError(
            f"ended_at={kept['ended_at']!r:.60}, ended_by={by!r}, superseded_by={successor!r:.80}; needed: all of an "
            "end or nothing of it."
        )
    return {"ended_at": ended_at, "ended_by": by, "superseded_by": successor}


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{name}={value!r:.80}; needed: the id of a memory.")
    return value


def _whole(value: Any, name: str, *, least: int) -> int:
    if type(value) is not int or not least <= value <= _LARGEST:
        raise DataError(f"{name}={value!r:.60}; needed: a whole number from {least} to {_LARGEST}.")
    return value


_REFUSED = (DataError, ValueError, TypeError, RecursionError)
_LARGEST = 2**31 - 1
_KEPT = ("id", "version", "agent", "session", "turn", "ingested_at", "ended_at", "ended_by", "superseded_by")


def _foreign(given: Mapping[str, Any], scope: Scope, *, at: datetime, number: int) -> Record:
    """Return a first version from a line of another program."""
    named = {_SHARED.get(name, name): value for name, value in given.items() if value is not None}
    session = named.pop("session_id", named.pop("session", None))
    where = given.get("conversation_id")
    turn = named.pop("turn", 0)
    turn = turn if isinstance(turn, (int, float)) else 0
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
            turn=_whole(turn, "turn", least=0),
            draft=replace(draft, id=memory_id),
            ingested_at=at.astimezone(UTC),
            digest=mark,
        )
    except _REFUSED as error:
        raise DataError(f"line {number}: {error}") from error
