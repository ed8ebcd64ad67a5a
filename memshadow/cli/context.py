"""Print what a prompt should hold to answer a question: dated, attributed lines, never over budget.

  memshadow context "where does Ann live" budget_tokens=400
  memshadow context session=tuesday                        without a question: the end of a session, to go on with it

A word name=value is a setting, every other word is text; after -- everything is text, - reads standard input.
"""

from __future__ import annotations

import sys

from memshadow.cli._reach import as_json, reached, shown
from memshadow.cli._words import understood
from memshadow.cli.recall import filters
from memshadow.errors import DataError


def main(argv: list[str]) -> int | None:
    """Print the text, and nothing else, on standard output."""
    words = understood("context", argv)
    budget = words["budget_tokens"]
    if not words.text.strip() and words["session"] is None:
        raise DataError('context of what? Ask behind the settings, or name a session: memshadow context "where is Ann"')
    with reached(words) as memory:
        if words.text.strip():
            found = memory.context(words.text, budget_tokens=budget, k=words["k"], **filters(words))
        else:
            found = memory.recent_context(budget_tokens=budget, last=words["k"])
    if words["json"]:
        from memshadow.serving.wire import context_out

        print(as_json(context_out(found)))
    elif found.text:
        print(shown(found.text))
    else:
        print(f"nothing found that fits {budget} tokens", file=sys.stderr)
    return 0
