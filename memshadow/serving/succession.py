"""Another embedder for a served memory, taken up in the background. Knows no HTTP, and not what a choice stands for.

One at a time. What may be chosen is decided by whoever starts the service; a choice's name is all that comes from
outside. A run that is stopped, fails or is killed leaves the embedder before in charge, and the next one goes on behind
the rows that are there. What went wrong is told in general words: the details, which name paths, are for the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread

from memshadow.errors import ConfigError, DataError, MemshadowError
from memshadow.memory.service import Memory
from memshadow.memory.upcoming import Upcoming
from memshadow.models.base import Embedder
from memshadow.serving.standing import Standing, Taken, Told

Choices = Mapping[str, Callable[[], Upcoming]]
"""Name -> makes what it stands for, as that is now."""
_LOG = logging.getLogger("memshadow.serving")


class RunningError(Exception):
    """Another embedder is being taken up already."""


class _StoppedError(Exception):
    """The service ends: what is left is done the next time."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """What is being taken up, and how far that is."""

    embedder: Embedder
    total: int
    done: int = 0

    def told(self) -> Taken:
        """Return it as it is told."""
        return Taken(embedder=_named(self.embedder), done=min(self.done, self.total), total=self.total)


class Succession:
    """Lets one embedder follow another.

    Args:
        memory: what is served.
        choices: what may be taken up.
    """

    def __init__(self, memory: Memory, choices: Choices) -> None:
        self._memory, self._choices = memory, choices
        self._busy, self._ending = Lock(), Event()
        self._thread: Thread | None = None
        self._run: _Run | None = None
        self._error: str | None = None

    def told(self) -> Standing:
        """Return what answers now, what is being taken up, and what went wrong with the last one."""
        run = self._run
        return Standing(
            active=_named(self._memory.embedder),
            upcoming=None if run is None else run.told(),
            choices=tuple(self._choices),
            error=self._error,
        )

    def begin(self, choice: str) -> bool:
        """Make what a choice stands for now and begin to take it up; return whether there is anything to do.

        Raises:
            DataError: there is no such choice.
            RunningError: another one is being taken up.
            ConfigError: it cannot be made here, e.g. nobody holds the title; the log says why.
        """
        if choice not in self._choices:
            known = ", ".join(self._choices) or "nothing (its setting embedders says what)"
            raise DataError(f"embedder={choice!r:.80} is no choice of this service; it may take up: {known}.")
        if not self._busy.acquire(blocking=False):
            raise RunningError("another embedder is being taken up already; GET /v1/embedder says how far that is.")
        try:
            upcoming = self._made(choice)
            if begun := upcoming.embedder.fingerprint != self._memory.embedder.fingerprint:
                self._start(upcoming)
        except BaseException:
            self._busy.release()
            raise
        if not begun:
            self._error = None
            self._busy.release()
        return begun

    def close(self, *, wait_s: float) -> None:
        """Stop at the next row that is durable; wait for that so long. Twice is once."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _made(self, choice: str) -> Upcoming:
        try:
            return self._choices[choice]()
        except MemshadowError as error:
            _LOG.warning("making the choice %s: %s", choice, error)
            raise ConfigError(f"the choice {choice!r} cannot be made on this server; its log says why.") from error

    def _start(self, upcoming: Upcoming) -> None:
        total = sum(count for _, count in self._memory.store.owners())
        self._run, self._error = _Run(embedder=upcoming.embedder, total=total), None
        self._thread = Thread(target=self._take_up, args=(upcoming,), name="memshadow-succession", daemon=True)
        self._thread.start()

    def _take_up(self, upcoming: Upcoming) -> None:
        try:
            upcoming.take_up(self._memory, progress=self._advance)
        except _StoppedError:
            pass
        except Exception as error:
            known = isinstance(error, MemshadowError)
            _LOG.error("taking up %s: %s", upcoming.embedder.name, error, exc_info=None if known else error)
            self._error = f"taking up {upcoming.embedder.name} failed; the service's log says why."
        finally:
            self._run = None
            self._busy.release()

    def _advance(self, done: int) -> None:
        if self._ending.is_set():
            raise _StoppedError
        if self._run is not None:
            self._run.done += done


def _named(embedder: Embedder) -> Told:
    return Told(name=embedder.name, dim=embedder.dim, fingerprint=embedder.fingerprint)
