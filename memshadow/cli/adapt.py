"""Show whether what you answered moves your questions, make your adapter anew, or remove it.

  memshadow adapt                       made anew of all answers (memshadow feedback), and put to the test
  memshadow adapt show=true             what came of the last one
  memshadow adapt remove=true           removed; the answers stay
  memshadow adapt adapter.model=FOLDER  with a start of your own (memshadow train learner=adapter)

An adapter is a few kilobytes for one user and touches no stored vector. It is used where it finds more than none on
your own answered questions, each held out in turn.
"""

from __future__ import annotations

from memshadow.cli._reach import reached
from memshadow.cli._words import understood
from memshadow.errors import ConfigError, DataError


def main(argv: list[str]) -> int | None:
    """Adapt, show or remove."""
    words = understood("adapt", argv, reads=False)
    if words.apart:
        raise DataError(f"{words.apart[0]!r:.40} came, and no text is needed; memshadow adapt [show=true|remove=true]")
    show, remove = (bool(words[name]) for name in ("show", "remove"))
    if show and remove:
        raise ConfigError("show=true and remove=true: choose one.")
    with reached(words) as memory:
        if remove:
            memory.unadapt()
            print("removed; the next answer makes a new one")
            return 0
        found = memory.adaptation() if show else memory.adapt()
    print(f"adapter    {'in use' if found.used else 'not in use'}: {found.reason}")
    print(f"answers    {found.answered} questions")
    if found.used:
        print(f"size       {found.size_bytes:,} bytes")
    return 0
