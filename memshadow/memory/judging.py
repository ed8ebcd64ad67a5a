"""What people found useful: looked up in what they may see, kept beside the memories. Knows no file and no ranker."""

from __future__ import annotations

from dataclasses import replace

from memshadow.data.feedback import FeedbackLog, Judgement
from memshadow.data.store.base import Owner
from memshadow.errors import ConfigError, NotFoundError
from memshadow.memory.adapting import Adapting
from memshadow.memory.parts import Parts
from memshadow.types import Adaptation, Record

_LAST = 1_000
"""Judgements of an owner that an adapter is made of at most: what is older is read by training alone."""


class Judging:
    """Keeps judgements under their owner's lock, so that none comes to name a memory that is being forgotten.

    Args:
        parts: where the memories are looked up.
        log: where judgements are kept; ``None``: nowhere.
        adapters: what each owner's answers change.
    """

    def __init__(self, parts: Parts, log: FeedbackLog | None, adapters: Adapting) -> None:
        self._parts, self._log, self._adapters = parts, log, adapters

    def note(self, said: Judgement) -> Adaptation:
        """Keep a judgement and adapt; of what was shown only what is still there, as nobody could forget the rest.

        Raises:
            NotFoundError: a memory that is judged is not in the judgement's scope; nothing was kept.
            ConfigError: there is no log.
            MemshadowError: the log cannot be written; nothing was kept.
        """
        if self._log is None:
            raise ConfigError(
                "this memory lies in no folder, so there is no place for what was found useful; open one that does: "
                "memshadow.open(FOLDER)."
            )
        with self._parts.gate.together(), self._parts.locks.of(said.scope.owner):
            there = self._there(said)
            for memory_id in (*said.useful, *said.wrong):
                if memory_id not in there:
                    raise NotFoundError(f"there is no memory {memory_id!r:.80} in this scope.")
            self._log.append(replace(said, shown=tuple(one for one in said.shown if one in there)))
            return self._adapters.learn(said.scope.owner, self._log.of(said.scope.owner, last=_LAST))

    def adapt(self, owner: Owner) -> Adaptation:
        """Make the owner's adapter anew of what is kept, and return what came of it."""
        with self._parts.gate.together(), self._parts.locks.of(owner):
            return self._adapters.learn(owner, self._log.of(owner, last=_LAST) if self._log is not None else [])

    def unadapt(self, owner: Owner) -> None:
        """Remove the owner's adapter."""
        with self._parts.gate.together(), self._parts.locks.of(owner):
            self._adapters.drop(owner)

    def without(self, record: Record) -> Record:
        """Return a memory's record when no judgement names it and no adapter is made of it; with the owner's lock held.

        An adapter is made of all memories of its owner, those too that are not the answer, so any that goes ends it.

        Raises:
            MemshadowError: the log cannot be written; it names what it named.
        """
        if self._log is not None:
            self._log.forget(record.id, record.scope.owner)
        self._adapters.drop(record.scope.owner)
        return record

    def _there(self, said: Judgement) -> set[str]:
        named = list(dict.fromkeys([*said.useful, *said.wrong, *said.shown]))
        found = self._parts.store.current(said.scope.owner, named)
        return {record.id for record in found if said.scope.covers(record.scope)}
