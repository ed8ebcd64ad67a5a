"""Note which memories answered a question: durable when this returns.

  memshadow feedback "where does Ann live" ID              as `memshadow recall` shows it
  memshadow feedback "where does Ann live" ID ID kind=answer
  memshadow feedback "where does Ann live" ID helpful=false    found, and no answer
  memshadow feedback -- "is a=b" ID                        after -- everything is text

The question is one word of the shell, so one of several words goes in quotes; every further word is a memory's id.
It adapts this user's recall (`memshadow adapt`), and `memshadow train data=feedback` learns from it. Where a service
holds the folder, it is spoken to.
"""

from __future__ import annotations

from memshadow.cli._reach import reached
from memshadow.cli._words import understood
from memshadow.errors import DataError, NotFoundError


def main(argv: list[str]) -> int | None:
    """Note one judgement."""
    words = understood("feedback", argv, reads=False)
    if len(words.apart) < 2:
        raise DataError('which memories answered which question? memshadow feedback "where does Ann live" ID [ID ...]')
    query, *useful = words.apart
    with reached(words) as memory:
        try:
            found = memory.feedback(query, useful, **words.chosen("helpful", "shown", "kind"))
        except NotFoundError as error:
            error.add_note("The question comes first, in quotes; ids as `memshadow recall` shows them.")
            raise
    print(f"noted for {', '.join(dict.fromkeys(useful))}")
    print(f"adapter {'in use' if found.used else 'not in use'}: {found.reason}")
    return 0
