"""What a caller hands in, checked and brought into one form. Knows no store: only what a memory may be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, get_args
from unicodedata import category

from memshadow.errors import DataError
from memshadow.types import Draft, Kind, Memory, Scope, Source

LONGEST_TEXT = 1_000_000
"""Characters. A memory is something that was said, not an archive; cut longer documents into passages."""
_LONGEST_FIELD = 2_000
_LONGEST_METADATA = 64_000
_DEEPEST_METADATA = 50
_LEAST, _MOST = -(2**63), 2**64 - 1
"""Whole numbers that writers of JSON agree on."""
_UNSOURCED = Source()
_FIELDS = frozenset(field.name for field in fields(Draft))


def drafted(what: str | Draft | Memory | Mapping[str, Any], **said: Any) -> Draft:
    """Return a checked draft of a text, a draft, a corpus memory, or a mapping with a draft's fields.

    ``said`` are further fields; they rule over those in ``what``. Times may be ISO 8601 text; without a zone they are
    UTC.

    Raises:
        DataError: a field is unknown or of the wrong kind, the text is blank or too long, metadata is not JSON
            or not what every reader of JSON can hold.
    """
    given = _fields_of(what) | said
    unknown = [name for name in given if name not in _FIELDS]
    if unknown:
        raise DataError(f"a memory has no field {unknown[0]!r}; it has {', '.join(sorted(_FIELDS))}.")
    if "text" not in given:
        raise DataError(f"a memory needs text; only {', '.join(sorted(given)) or 'nothing'} came.")
    given["happened_at"] = moment(given.get("happened_at"), "happened_at")
    given["source"] = _source(given.get("source"))
    given["tags"] = _tags(given.get("tags", ()))
    return _checked(Draft(**given))


def _fields_of(what: Any) -> dict[str, Any]:
    if isinstance(what, str):
        return {"text": what}
    if isinstance(what, Draft):
        return {field.name: getattr(what, field.name) for field in fields(Draft)}
    if isinstance(what, Memory):
        return {
            "text": what.text,
            "speaker": what.speaker,
            "happened_at": what.timestamp,
            "image_caption": what.image_caption,
            "metadata": dict(what.metadata),
        }
    if isinstance(what, Mapping):
        return {str(name): value for name, value in what.items()}
    raise DataError(f"a memory is a text, a Draft or a mapping with its fields; {type(what).__name__} came.")


def moment(value: Any, name: str) -> datetime | None:
    """Return a time in UTC, from a datetime or ISO 8601 text; ``None`` stays ``None``."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DataError(f"{name}={value!r:.60} is no time; needed: ISO 8601, e.g. 2026-03-01T09:30:00Z.") from None
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise DataError(f"{name} must be a time, got {type(value).__name__}; e.g. 2026-03-01T09:30:00Z.")
    if value != value:  # pandas' NaT calls itself a datetime
        raise DataError(f"{name}={value} is no time; leave it out where the time is not known.")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise DataError(f"{name}={value.isoformat()} is outside of what UTC can hold: {error}.") from None


def _source(value: Any) -> Source:
    if value is None:
        return _UNSOURCED
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in ("provider", "model", "tool")]
        if unknown:
            raise DataError(f"a source has no field {unknown[0]!r}; it has provider, model, tool.")
        value = Source(**value)
    if not isinstance(value, Source):
        raise DataError(f"source must hold provider, model or tool, got {type(value).__name__}.")
    return value


def _tags(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
        raise DataError(f"tags must be a list of words, got {value!r:.60}; e.g. ['travel', 'work'].")
    for tag in value:
        if not isinstance(tag, str):
            raise DataError(f"a tag must be text, got {tag!r:.60}.")
    return tuple(dict.fromkeys(wellformed(tag) for tag in value))


def _checked(draft: Any) -> Draft:
    """Refuse what cannot be kept; metadata comes back as what JSON makes of it."""
    if not isinstance(draft.text, str) or not (draft.text.strip() or draft.image_caption):
        raise DataError(f"a memory needs text that says something; {draft.text!r:.40} came.")
    if len(draft.text) > LONGEST_TEXT:
        raise DataError(
            f"a memory may have {LONGEST_TEXT:,} characters, {len(draft.text):,} came; add it in passages instead."
        )
    if draft.kind not in get_args(Kind):
        raise DataError(f"kind={draft.kind!r}; choose {', '.join(get_args(Kind))}.")
    number = draft.importance
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise DataError(f"importance={number!r}; needed: a number from 0 to 1.")
    words = _words(draft)
    for name, value in words:
        if not isinstance(value, str) or len(value) > _LONGEST_FIELD:
            raise DataError(f"{name} must be text of at most {_LONGEST_FIELD:,} characters, got {value!r:.60}.")
    _check_id(draft.id)
    cleaned: dict[str, Any] = {name: wellformed(value) for name, value in words if name in _FIELDS}
    cleaned |= {"text": wellformed(draft.text), "importance": float(number), "metadata": _json(draft.metadata)}
    if draft.source != _UNSOURCED:
        cleaned["source"] = Source(**{name: wellformed(value) for name, value in asdict(draft.source).items()})
    whole: Draft = replace(draft, **cleaned)
    return whole


def _check_id(name: str | None) -> None:
    """Refuse an id that no address and no header could hold."""
    if name is not None and (not name or any(category(character) == "Cc" for character in name)):
        raise DataError(f"id={name!r:.80}; needed: one character or more and no control characters, or none at all.")


def _words(draft: Any) -> list[tuple[str, Any]]:
    """Return (name, value) of every short text in a draft."""
    always = ["speaker", "role", "provenance"]
    perhaps = ["image_caption", "key", "supersedes", "id"]
    words = [(name, getattr(draft, name)) for name in always]
    words += [(name, value) for name in perhaps if (value := getattr(draft, name)) is not None]
    words += [("a tag", tag) for tag in draft.tags]
    source = draft.source
    if source is not _UNSOURCED:
        words += [(f"source.{name}", getattr(source, name)) for name in ("provider", "model", "tool")]
    return words


def wellformed(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes U+FFFD; all else stays, byte for byte."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise DataError(f"metadata must be a mapping, got {type(metadata).__name__}.")
    if not metadata:
        return {}
    try:
        text = json.dumps(dict(metadata), allow_nan=False)
    except RecursionError:
        raise DataError(_TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise DataError(f"metadata must be what JSON can hold: {error}.") from None
    if len(text) > _LONGEST_METADATA:
        raise DataError(f"metadata may have {_LONGEST_METADATA:,} characters as JSON, {len(text):,} came.")
    found: dict[str, Any] = _plain(json.loads(text), depth=0)
    return found


_TOO_DEEP = f"metadata are nested deeper than {_DEEPEST_METADATA} levels; keep them flatter, or as text."


def _plain(value: Any, *, depth: int) -> Any:
    """Return a value of JSON without lone surrogates; refuse what some readers of JSON could not hold."""
    if depth > _DEEPEST_METADATA:
        raise DataError(_TOO_DEEP)
    if isinstance(value, str):
        return wellformed(value)
    if isinstance(value, dict):
        return {wellformed(name): _plain(inner, depth=depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth=depth + 1) for inner in value]
    if isinstance(value, int) and not whole(value):
        raise DataError(f"metadata hold {value!r:.60}; needed: whole numbers from -2^63 to 2^64 - 1. Keep it as text.")
    return value


def whole(number: int) -> bool:
    """Return whether a whole number fits into 64 bits, with sign or without."""
    return _LEAST <= number <= _MOST


def digest(scope: Scope, draft: Draft) -> int:
    """Return 64 bits over where and what: equal for the same thing said at the same time by the same one."""
    happened = draft.happened_at.isoformat() if draft.happened_at else None
    parts = [scope.tenant, scope.user, scope.agent, scope.session, draft.speaker, draft.role, draft.text]
    told = json.dumps([*parts, draft.image_caption, happened, draft.kind, draft.key])
    return int.from_bytes(blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def finite(score: float) -> float:
    """Return a score as JSON can say it."""
    return float(score) if math.isfinite(score) else 0.0
