"""A plan made durable, then visible: the one way in which anything is written."""

from __future__ import annotations

from concurrent.futures import wait

from memshadow.memory.intake import Plan
from memshadow.memory.parts import Parts
from memshadow.types import Record


def written(parts: Parts, plan: Plan) -> list[Record]:
    """Write a plan, tell the index, and return the versions it made.

    Where it is not known whether the index heard of it (an interrupt, an error), the index reads that owner's memories
    from the store again: what is durable is found.
    """
    done = parts.store.submit(plan.changes)
    try:
        applied, made = plan.applied(done.result())
        parts.index.apply(plan.owner, applied)
    except BaseException:
        wait([done])  # what is queued is written even if nobody waits for it any more
        parts.index.drop(plan.owner)
        parts.tails.forget(plan.owner)
        raise
    return made
