"""The promises of every index. Takes rows of numbers and stemmed terms; knows nothing of embedders and of ranking.

The store is the truth, an index its cache. It keeps, for each owner, one contiguous block of all versions: vectors,
the columns that filters ask for, and the terms of each text. Ranking (``memshadow.memory``) reads blocks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float32, Int64, UInt64
from numpy import ndarray

from memshadow.data.store.base import Filter, MemoryStore, Owner, Stored
from memshadow.types import Record, Scope

HALF = 2**32 - 1
"""The lower half of 64 bits."""
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
"""A word of a name, once it is straight: "Speaker_1" has two, "O'Brien" one."""
_STRAIGHT = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\uff07\u00b4`", "'") | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
)


@lru_cache(maxsize=200_000)
def text_hash(text: str) -> int:
    """Return 64 bits of BLAKE2b over a text: how names and terms stand in a block, the same on every machine."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def straight(text: str) -> str:
    """Return a text with one way to write an apostrophe, a hyphen and a letter with an accent."""
    return unicodedata.normalize("NFC", text).translate(_STRAIGHT)


@lru_cache(maxsize=200_000)
def voice_hash(name: str) -> int:
    """Return 64 bits by which a speaker is known, whatever its case, spaces, stops and apostrophes.

    The upper half is of its first word, the lower half of all of it: ``voice_hash("Ann")`` has the upper half of
    ``voice_hash("Ann Lee")`` twice.
    """
    plain = straight(name).casefold()
    words = WORD.findall(plain) or plain.split()
    return (text_hash(words[0] if words else "") & HALF) << 32 | text_hash(" ".join(words)) & HALF


def session_hash(name: str | None) -> int:
    """Return the hash by which a session (or an agent) is known in ``Block.sessions``; 0 where there is none."""
    return 0 if name is None else text_hash(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A version as an index takes it up; ``terms`` are the stemmed terms of its text, repeats and all.

    ``form`` is 64 bits on how the text is put, whatever who reads them back agrees on; 0 where nothing is known.
    """

    record: Record
    vector: Float32[ndarray, " dim"]
    terms: Sequence[str]
    form: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one durable write, number ``seq``, did to one owner. Seqs of versions that are unknown are no error."""

    seq: int
    inserted: Sequence[Entry] = ()
    ended: Sequence[Record] = ()
    """Versions as they are now, with ``ended_at`` set."""
    revectored: Mapping[int, Float32[ndarray, " dim"]] = field(default_factory=dict)
    erased: Sequence[int] = ()
    """Seqs of the versions that are gone."""


class Postings(NamedTuple):
    """The places of a block whose text holds a term, ascending, and how often each does."""

    places: Int64[ndarray, " found"]
    counts: Int64[ndarray, " found"]


class Nearest(NamedTuple):
    """Places of a block and their scores, best first; equal scores in the order of places."""

    places: Int64[ndarray, " k"]
    scores: Float32[ndarray, " k"]


class Block(Protocol):
    """All versions of one owner at one moment, by seq: a snapshot that later writes do not change.

    Arrays are read only, of length ``size``, in the order of ``seqs``. ``ended`` is in microseconds since 1970 UTC and
    the largest int64 where a version is current; ``happened`` is the time of the event in the same unit, the smallest
    int64 where it is unknown. ``digests`` are ``Record.digest``, ``sessions`` a 64-bit hash of the session's name (see
    ``session_hash``), ``speakers`` the ``text_hash`` of ``Draft.speaker`` (of ``""``, which is not 0, where nobody is
    named). ``forms`` are ``Entry.form``.
    """

    seqs: Int64[ndarray, " size"]
    ended: Int64[ndarray, " size"]
    happened: Int64[ndarray, " size"]
    turns: Int64[ndarray, " size"]
    sessions: UInt64[ndarray, " size"]
    speakers: UInt64[ndarray, " size"]
    voices: UInt64[ndarray, " size"]
    """The ``voice_hash`` of who is heard: the speaker, the role of one who has no name."""
    forms: UInt64[ndarray, " size"]
    digests: UInt64[ndarray, " size"]
    lengths: Int64[ndarray, " size"]
    """Terms of each text."""

    @property
    def size(self) -> int:
        """Return the number of versions."""
        ...

    def allowed(self, scope: Scope, given: Filter) -> Bool[ndarray, " size"] | None:
        """Return which versions lie in scope and pass the filter; ``None``: ask the store (tags, keys, metadata)."""
        ...

    def scores(self, query: Float32[ndarray, " dim"]) -> Float32[ndarray, " size"]:
        """Return the exact dot product of every version with the query."""
        ...

    def scores_at(self, query: Float32[ndarray, " dim"], places: Int64[ndarray, " n"]) -> Float32[ndarray, " n"]:
        """Return the exact dot products at some places, without touching the others."""
        ...

    def rows(self, places: Int64[ndarray, " n"]) -> Float32[ndarray, "n dim"]:
        """Return a copy of the rows at some places."""
        ...

    def nearest(self, query: Float32[ndarray, " dim"], *, k: int, allowed: Bool[ndarray, " size"] | None) -> Nearest:
        """Return the ``k`` best allowed versions, or all there are. Scores are exact, whatever found them."""
        ...

    def postings(self, term: str) -> Postings:
        """Return where a stemmed term stands."""
        ...


Reader = Callable[[Sequence[Stored]], list[Entry]]
"""Turns what a store holds into what an index takes up: it knows which terms a text has."""


@runtime_checkable
class MemoryIndex(Protocol):
    """Blocks of many owners, made from a store, kept in step with it.

    The corners, the same for every index:

    - Nothing may be asked before ``attach``. ``attach`` never fails because of what lies in the index's own files: what
      is damaged or foreign is left aside (``report`` says so), what is of another embedder or precision, or of an
      older memshadow that kept less, too (which is no fault), and all are made again from the store.
    - After ``attach`` and after every ``apply``, ``block`` shows everything that the store acknowledged up to then.
    - ``block`` of an owner without versions is empty; it is never ``None``.
    - ``apply`` is called once for each durable write of the store and owner, in the order of ``seq``, from one thread
      at a time for one owner; different owners may come at once. ``drop`` forgets an owner's block: the next ``block``
      makes it again from the store (what a caller does when it does not know whether ``apply`` was called).
    - ``save`` writes what is needed for a fast start; a kill at any moment of it leaves the old files or the new ones.
    - ``close`` saves; twice is once.
    """

    def check(self, dim: int) -> None:
        """Refuse, with a ConfigError, rows of a width that this index is not set up for; changes nothing."""
        ...

    def attach(self, store: MemoryStore, *, fingerprint: str, dim: int, read: Reader) -> None:
        """Begin to serve the vectors that ``store`` has of ``fingerprint``."""
        ...

    @property
    def report(self) -> tuple[str, ...]:
        """Return what was found wrong with the files at ``attach`` or since, one sentence each; empty: nothing.

        Every owner may read it: no sentence holds an owner's name.
        """
        ...

    def block(self, owner: Owner) -> Block:
        """Return the owner's block as it is now."""
        ...

    def apply(self, owner: Owner, applied: Applied) -> None:
        """Take up a durable write."""
        ...

    def drop(self, owner: Owner) -> None:
        """Forget an owner's block."""
        ...

    def save(self) -> None:
        """Write the files."""
        ...

    def close(self) -> None:
        """Save and let go of everything."""
        ...
