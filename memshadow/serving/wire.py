"""Memories as plain JSON values and back: what the service says and the client reads. Knows no HTTP and no framework.

Every field is there in every answer, empty or not. ``digest`` is 16 hex digits, because JSON readers that know doubles
only would round 64 bits. Times go out as ``datetime`` in UTC, which the encoder writes (``time_out``, or orjson's own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from memshadow.memory.exchange import Imported
from memshadow.types import Added, Context, Draft, Explanation, Hit, Record, Scope, Source, Stats


def time_out(at: Any) -> str:
    """Return a time as ``2026-03-01T09:30:00Z``: what ``json.dumps`` takes as ``default``."""
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(at).__name__} cannot be said in JSON")


def _time_in(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def record_out(record: Record) -> dict[str, Any]:
    """Return a version flat: whose, what was said, and what became of it."""
    scope, draft = record.scope, record.draft
    source = draft.source
    return {
        "id": record.id,
        "version": record.version,
        "tenant": scope.tenant,
        "user": scope.user,
        "agent": scope.agent,
        "session": scope.session,
        "turn": record.turn,
        "seq": record.seq,
        "text": draft.text,
        "speaker": draft.speaker,
        "role": draft.role,
        "kind": draft.kind,
        "happened_at": draft.happened_at,
        "importance": draft.importance,
        "tags": draft.tags,
        "metadata": draft.metadata,
        "image_caption": draft.image_caption,
        "source": {"provider": source.provider, "model": source.model, "tool": source.tool},
        "provenance": draft.provenance,
        "key": draft.key,
        "supersedes": draft.supersedes,
        "digest": f"{record.digest:016x}",
        "ingested_at": record.ingested_at,
        "ended_at": record.ended_at,
        "ended_seq": record.ended_seq,
        "ended_by": record.ended_by,
        "superseded_by": record.superseded_by,
    }


def draft_out(draft: Draft) -> dict[str, Any]:
    """Return what a request says of a memory to be: its text, and what is not the default."""
    plain = Draft(text=draft.text)
    said = {name: getattr(draft, name) for name in _FIELDS if getattr(draft, name) != getattr(plain, name)}
    if "source" in said:
        said["source"] = asdict(draft.source)
    return {"text": draft.text, **said}


_FIELDS = tuple(field.name for field in fields(Draft))


def record_in(told: Mapping[str, Any]) -> Record:
    """Return the version that :func:`record_out` told."""
    return Record(
        id=told["id"],
        version=told["version"],
        scope=Scope(tenant=told["tenant"], user=told["user"], agent=told["agent"], session=told["session"]),
        turn=told["turn"],
        draft=_draft_in(told),
        ingested_at=datetime.fromisoformat(told["ingested_at"]).astimezone(UTC),
        digest=int(told["digest"], 16),
        seq=told["seq"],
        ended_at=_time_in(told["ended_at"]),
        ended_seq=told["ended_seq"],
        ended_by=told["ended_by"],
        superseded_by=told["superseded_by"],
    )


def _draft_in(told: Mapping[str, Any]) -> Draft:
    same = ("id", "text", "speaker", "role", "kind", "importance", "metadata", "image_caption", "provenance")
    return Draft(
        **{name: told[name] for name in (*same, "key", "supersedes")},
        happened_at=_time_in(told["happened_at"]),
        tags=tuple(told["tags"]),
        source=Source(**told["source"]),
    )


def hit_out(hit: Hit) -> dict[str, Any]:
    """Return a hit: its score, why it has it (where that was asked), and the memory."""
    why = hit.explanation
    told = None if why is None else {"scores": dict(why.scores), "ranks": dict(why.ranks), "notes": list(why.notes)}
    return {"score": hit.score, "explanation": told, "memory": record_out(hit.record)}


def hit_in(told: Mapping[str, Any]) -> Hit:
    """Return the hit that :func:`hit_out` told."""
    why = told["explanation"]
    explanation = None if why is None else Explanation(**{**why, "notes": tuple(why.get("notes", ()))})
    return Hit(record=record_in(told["memory"]), score=told["score"], explanation=explanation)


def added_out(added: Added) -> dict[str, Any]:
    """Return what became of a draft."""
    return {
        "id": added.id,
        "duplicate": added.duplicate,
        "near": list(added.near),
        "superseded": list(added.superseded),
    }


def added_in(told: Mapping[str, Any]) -> Added:
    """Return what :func:`added_out` told."""
    near, superseded = tuple(told["near"]), tuple(told["superseded"])
    return Added(id=told["id"], duplicate=told["duplicate"], near=near, superseded=superseded)


def context_out(context: Context) -> dict[str, Any]:
    """Return text for a prompt, its tokens, and the ids in it."""
    return {"text": context.text, "tokens": context.tokens, "ids": list(context.ids)}


def context_in(told: Mapping[str, Any]) -> Context:
    """Return what :func:`context_out` told."""
    return Context(text=told["text"], tokens=told["tokens"], ids=tuple(told["ids"]))


def stats_out(stats: Stats) -> dict[str, Any]:
    """Return what is kept for an owner."""
    return {**asdict(stats), "warnings": list(stats.warnings)}


def stats_in(told: Mapping[str, Any]) -> Stats:
    """Return what :func:`stats_out` told."""
    return Stats(**{**told, "warnings": tuple(told["warnings"])})


def imported_out(imported: Imported) -> dict[str, int]:
    """Return what became of imported lines."""
    return {"added": imported.added, "known": imported.known}


def page_out(records: Sequence[Record], *, limit: int) -> dict[str, Any]:
    """Return a page and where the next one begins: ``null`` after the last one."""
    following = records[-1].seq if len(records) == limit else None
    return {"memories": [record_out(record) for record in records], "next": following}
