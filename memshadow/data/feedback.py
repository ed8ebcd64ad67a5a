"""What people found useful, a line of JSON a judgement, beside the memories that it speaks of. Knows ids, no texts.

The file is for its owner's eyes alone (mode 0600). A judgement is appended, durable when the call returns, and never
changed, until one of its memories is forgotten. Threads and processes take turns by a lock on a file of its own.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from memshadow.errors import DataError, MemshadowError
from memshadow.training.atomic import clear_errors, sync, write_bytes
from memshadow.types import Scope

FILE = "feedback.jsonl"
"""Its name in a folder of memories."""
How = Literal["click", "answer", "explicit"]
"""Taken from what was shown, used in an answer that was given, said to be useful: each more certain than the last."""
_VERSION = 1
_LONGEST_QUERY, _LONGEST_ID, _MOST_IDS = 10_000, 2_000, 1_000
Owner = tuple[str, str]
"""(tenant, user)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """For one question that was asked in ``scope``, which memories were useful.

    ``shown`` are the ids of what was returned, best first (empty: not known); ``useful`` may name others. Ids that
    repeat count once. ``at`` without a zone is UTC. Messages of errors quote neither the query nor ids.

    Raises:
        DataError: the query is blank or above 10,000 characters, an id is no text of 1 to 2,000, above 1,000 ids came,
            nothing was named, ``kind`` is unknown, ``at`` is no time.
    """

    scope: Scope
    query: str
    useful: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    """Ids of what did not answer it, and was said not to."""
    shown: tuple[str, ...] = ()
    kind: How
    at: datetime

    def __post_init__(self) -> None:
        """Check what came, and bring it into one form."""
        checked = {
            "query": _words(self.query),
            "useful": _ids("useful", self.useful),
            "wrong": _ids("wrong", self.wrong),
            "shown": _ids("shown", self.shown),
            "at": _moment(self.at),
        }
        if not (checked["useful"] or checked["wrong"]):
            raise DataError("a judgement names at least one useful memory, or one that was not; none came.")
        if self.kind not in get_args(How):
            raise DataError(f"kind={self.kind!r:.40}; choose {', '.join(get_args(How))}.")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def without(self, memory_id: str) -> Judgement | None:
        """Return the judgement without every trace of a memory; ``None`` where nothing is left."""
        named = self.useful, self.wrong, self.shown
        useful, wrong, shown = (tuple(one for one in ids if one != memory_id) for ids in named)
        return replace(self, useful=useful, wrong=wrong, shown=shown) if useful or wrong else None


class Judgements:
    """The judgements of a file, oldest first, read as they are asked for; ``damaged`` counts lines passed over so far.

    A line is damaged where a kill tore it, where it is not a judgement, or where a later release wrote it.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.damaged = 0

    def __iter__(self) -> Iterator[Judgement]:
        """Return itself: what was read is not read again."""
        return self

    def __next__(self) -> Judgement:
        """Return the next whole one."""
        for line in self._lines:
            if not line.strip():
                continue
            judgement = _read(line)
            if judgement is not None:
                return judgement
            self.damaged += 1
        raise StopIteration


class FeedbackLog:
    """An append-only file of judgements. Safe to use from several threads and processes.

    Args:
        file: made, with its folder, when the first judgement comes.
    """

    def __init__(self, *, file: Path) -> None:
        self.file = file

    def append(self, judgement: Judgement) -> None:
        """Keep a judgement; when this returns no kill, crash or power cut loses it.

        Raises:
            MemshadowError: the disk is full, or the file may not be written or is a link; nothing was kept.
        """
        with self._alone():
            _append(self.file, _line(judgement))

    def read(self) -> Judgements:
        """Return the judgements, oldest first; none where there is no file yet."""
        return Judgements(self._lines())

    def of(self, owner: Owner, *, last: int) -> list[Judgement]:
        """Return the ``last`` judgements of one owner, oldest first; lines of others are not parsed."""
        sought = _written({"tenant": owner[0], "user": owner[1]})[1:-1]  # as it stands in a line; in text quotes differ
        return list(Judgements(deque((line for line in self._lines() if sought in line), maxlen=last)))

    def forget(self, memory_id: str, owner: Owner) -> int:
        """Remove every trace of a memory's id, and judgements that have nothing useful left; return how many changed.

        The file is replaced at once and as a whole. Lines that a kill tore go too: nobody knows whom they named.
        """

        def cleaned(judgement: Judgement) -> Judgement | None:
            return judgement.without(memory_id) if judgement.scope.owner == owner else judgement

        return self._rewrite(cleaned, naming=memory_id)

    def forget_owner(self, owner: Owner) -> int:
        """Remove every judgement of an owner; return how many there were. As ``forget`` else."""
        return self._rewrite(lambda judgement: None if judgement.scope.owner == owner else judgement, naming=owner[1])

    def _rewrite(self, change: Callable[[Judgement], Judgement | None], *, naming: str) -> int:
        """Replace the lines that hold the text ``naming`` by what they become; the others stay byte for byte."""
        if not self.file.exists():
            return 0
        sought = _written(naming)
        with self._alone():
            lines, kept, changed = list(self._lines()), [], 0
            for line in lines:
                if _whole(line) and sought not in line:
                    kept.append(line)
                elif (judgement := _read(line)) is not None:
                    after = change(judgement)
                    changed += after != judgement
                    kept += [] if after is None else [_line(after)]
            if kept != lines:
                write_bytes(self.file, b"".join(kept), mode=0o600)
        return changed

    def _lines(self) -> Iterator[bytes]:
        with suppress(FileNotFoundError), self.file.open("rb") as lines:
            yield from lines

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the file's lock for the block; the system lets go of it however the process ends."""
        with clear_errors(self.file):
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = _opened(self.file.with_name(f".{self.file.name}.lock"))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)


def _opened(file: Path) -> int:
    """Open a file to read and append, for its owner alone; refuse a link, which could lead out of the folder."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise MemshadowError(f"{file} is a link; remove it, and a file of its own takes its place.") from error
    os.fchmod(handle, 0o600)
    return handle


def _append(file: Path, line: bytes) -> None:
    """Write a line behind the last whole one and make it durable, or leave the file as it was."""
    handle = _opened(file)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        left = memoryview(b"\n" + line if torn else line)
        try:
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
            if size == 0:
                sync(file.parent)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def _written(value: Any) -> bytes:
    """Return a value as it stands in a line: in ASCII."""
    return json.dumps(value).encode()


def _whole(line: bytes) -> bool:
    """Return whether a line was written to its end, by this release or a later one."""
    return line.startswith(b'{"version": ') and line.endswith(b"}\n")


def _line(judgement: Judgement) -> bytes:
    scope = judgement.scope
    told = {
        "version": _VERSION,
        "at": judgement.at.isoformat(),
        "tenant": scope.tenant,
        "user": scope.user,
        "agent": scope.agent,
        "session": scope.session,
        "query": judgement.query,
        "shown": judgement.shown,
        "useful": judgement.useful,
        "kind": judgement.kind,
        **({"wrong": judgement.wrong} if judgement.wrong else {}),
    }
    return _written(told) + b"\n"


def _read(line: bytes) -> Judgement | None:
    """Return what a line says; ``None`` where it says no judgement."""
    try:
        said = json.loads(line)
        if said["version"] != _VERSION:
            return None
        return Judgement(
            scope=Scope(**{name: said[name] for name in ("tenant", "user", "agent", "session")}),
            query=said["query"],
            useful=said["useful"],
            wrong=said.get("wrong", []),
            shown=said["shown"],
            kind=said["kind"],
            at=datetime.fromisoformat(said["at"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _words(given: Any) -> str:
    """Return a query as UTF-8 can hold it: half of a surrogate pair becomes U+FFFD."""
    if not isinstance(given, str) or not given.strip():
        raise DataError("a judgement needs the words that were asked; none came.")
    if len(given) > _LONGEST_QUERY:
        raise DataError(f"the query has {len(given):,} characters; a judgement takes {_LONGEST_QUERY:,}.")
    return given.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _moment(given: Any) -> datetime:
    if not isinstance(given, datetime) or given != given:  # pandas' NaT calls itself a datetime
        raise DataError(f"at must be a time, got {type(given).__name__}.")
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given


def _ids(name: str, given: Any) -> tuple[str, ...]:
    """Return ids without repeats."""
    if not isinstance(given, (list, tuple)) or len(given) > _MOST_IDS:
        raise DataError(f"{name} must be a list of up to {_MOST_IDS:,} memory ids; {type(given).__name__} came.")
    for one in given:
        if not isinstance(one, str) or not 0 < len(one) <= _LONGEST_ID:
            raise DataError(
                f"an id in {name} is no text of 1 to {_LONGEST_ID:,} characters (it is {type(one).__name__}); needed: "
                "ids as a search returned them."
            )
    return tuple(dict.fromkeys(given))
