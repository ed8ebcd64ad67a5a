"""How many tokens a text takes: what a budget is counted in."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from memshadow.models.pretrained import locate
from memshadow.models.tokens import Tokens


@runtime_checkable
class TokenCounter(Protocol):
    """Counts the tokens of a text, special ones aside.

    Adding text never lowers the count. ``""`` counts 0.
    """

    name: str

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        ...


class ByteCounter:
    """Counts UTF-8 bytes: never fewer than any byte-level tokenizer's tokens, so a safe bound for an unknown model."""

    name = "bytes"

    def count(self, text: str) -> int:
        """Return the number of bytes."""
        return len(text.encode("utf-8", "surrogatepass"))


class FileCounter:
    """Counts by the ``tokenizer.json`` of a model folder, or of ``minilm`` (packaged).

    What has no token there (a word too long, another script) counts by its bytes: another model reads it all the same.
    """

    def __init__(self, *, model: str) -> None:
        self.name = model
        self._tokens = Tokens(locate(model))

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        tokens, unread = self._tokens.read(text)
        return tokens + sum(max(1, len(part.encode())) for part in unread)
