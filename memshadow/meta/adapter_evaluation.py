"""What answered questions are worth: a user's other questions, after none, one, five, ten answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from memshadow.meta.adapter import Start
from memshadow.meta.adapter_learner import User, question_ndcg

ANSWERS = (0, 1, 5, 10)


def by_answers(
    users: Sequence[User], start: Start, *, answers: Sequence[int] = ANSWERS, draws: int = 10, seed: int = 0
) -> dict[str, Float[ndarray, " q"]]:
    """Return nDCG@10 of every question: ``without`` an adapter, and after each number of ``answers``.

    A question is asked under ``draws`` sets of answered questions of its user that it is not in (mean); where a user
    has too few for that, under none. ``0`` answers: the start alone.
    """
    found = {"without": np.concatenate([_asked(user, user.queries.numpy()) for user in users])}
    for k in answers:
        each = [_after(user, start, k, draws, np.random.default_rng((seed, n, k))) for n, user in enumerate(users)]
        found[f"{k} answers"] = np.concatenate(each)
    return found


def owners(users: Sequence[User]) -> list[str]:
    """Return the user of every question, in the same order: what intervals are drawn over."""
    return [user.id for user in users for _ in range(len(user.queries))]


def _after(user: User, start: Start, k: int, draws: int, chance: np.random.Generator) -> Float[ndarray, " q"]:
    queries, rows, gold = (part.numpy() for part in user[1:])
    begun = _asked(user, start.begin(queries))
    if k == 0 or len(queries) <= k:
        return begun
    total, times = np.zeros(len(queries)), np.zeros(len(queries))
    for _ in range(draws):
        answered = chance.choice(len(queries), k, replace=False)
        wanted = np.zeros((k, len(rows)), dtype=np.float32)
        wanted[np.arange(k), [chance.choice(np.flatnonzero(gold[q])) for q in answered]] = 1
        scores = _asked(user, start.adapted(queries[answered], rows, wanted).rows(start, queries))
        others = np.ones(len(queries), dtype=bool)
        others[answered] = False
        total += np.where(others, scores, 0)
        times += others
    return np.where(times > 0, total / np.maximum(times, 1), begun)


def _asked(user: User, queries: Float[ndarray, "q d"]) -> Float[ndarray, " q"]:
    scores = torch.from_numpy(np.asarray(queries, dtype=np.float32)) @ user.rows.T
    return np.array(question_ndcg(scores, user.gold))
