"""What an encoder reads of a passage: who spoke, what was said, and how much of what came before. Knows no model."""

from __future__ import annotations

from memshadow.types import Passage


def reading(passage: Passage, *, context_turns: int) -> str:
    """Return the passage below its last ``context_turns`` earlier turns, one a line; a blank text gives ``""``."""
    if not passage.text.strip():
        return ""
    earlier = passage.before[-context_turns:] if context_turns else ()
    return "\n".join(turn.rendered() for turn in (*earlier, passage))
