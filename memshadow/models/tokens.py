"""Text to token ids, by the tokenizer file of a model folder. Knows nothing of windows, batches or weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memshadow.errors import CheckpointError, MissingExtraError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
_UNKNOWN = ("[UNK]", "<unk>")


def wellformed(text: str) -> str:
    """Return ``text`` with surrogate pairs joined and lone surrogates replaced by U+FFFD: what UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Tokens:
    """The tokenizer of a folder. ``prefix`` and ``suffix`` are the special tokens around every sequence."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = open_tokenizer(folder)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        inside = self._tokenizer.encode("a", add_special_tokens=False).ids
        around = self._tokenizer.encode("a", add_special_tokens=True).ids
        start = around.index(inside[0])
        self.prefix: list[int] = around[:start]
        self.suffix: list[int] = around[start + len(inside) :]
        self.vocabulary: int = self._tokenizer.get_vocab_size()
        self.unknown: int = _unknown(self._tokenizer)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, uncut and without special tokens."""
        encoded = self._tokenizer.encode_batch_fast([wellformed(text) for text in texts], add_special_tokens=False)
        return [item.ids for item in encoded]

    def read(self, text: str) -> tuple[int, list[str]]:
        """Return how many tokens stand for something, and the parts of the text that none of them stands for.

        Those are what became an unknown token (perhaps nothing) and what the tokenizer dropped, whitespace aside.
        """
        text = wellformed(text)
        found = self._tokenizer.encode(text, add_special_tokens=False)
        known = [token not in _UNKNOWN for token in found.tokens]
        unread, end = [], 0
        for (start, stop), stands in zip(found.offsets, known, strict=True):
            unread += text[end:start].split()
            unread += [] if stands else [text[max(start, end) : stop]]
            end = max(end, stop)
        return sum(known), [*unread, *text[end:].split()]

    def framed(self, ids: list[int]) -> list[int]:
        """Return ``ids`` between the special tokens: what a transformer reads."""
        return [*self.prefix, *ids, *self.suffix]


def _unknown(tokenizer: Tokenizer) -> int:
    """Return the id that stands for text without a token of its own (0 where the vocabulary names none)."""
    return next((found for name in _UNKNOWN if (found := tokenizer.token_to_id(name)) is not None), 0)


def open_tokenizer(folder: Path) -> Tokenizer:
    """Return a folder's tokenizer as it was saved; raises MissingExtraError, or CheckpointError where it is damaged."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "encode") from None
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}; save the model with its fast tokenizer")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as damage:  # the library raises bare Exception
        raise CheckpointError(f"{path} is damaged: {damage}") from damage
