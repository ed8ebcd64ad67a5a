"""How good a retriever is on questions with known evidence: rankings, figures, differences. Knows no embedder.

The protocol: turn level, within the question's own conversation; questions without evidence are left out; every memory
is ranked; 95 % intervals by bootstrap over conversations, and the same resamples for a difference of two systems.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from memshadow.errors import DataError
from memshadow.memory.retrieval import Retriever
from memshadow.models.metrics import Estimate, estimate, prompt_tokens, score_ranking
from memshadow.training.progress import steps
from memshadow.types import Conversation, Question

SHOWN = ("ndcg@10", "recall@10", "er@512", "session_hit@1")


@dataclass(frozen=True, slots=True)
class Ranking:
    """The memories of a question's conversation, best first, and what the ranking is worth."""

    question: Question
    memory_ids: tuple[str, ...]
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """All rankings of one system over a corpus, questions in the order of the corpus."""

    system: str
    rankings: tuple[Ranking, ...]

    @property
    def groups(self) -> list[str]:
        """Return the conversation of each question."""
        return [ranking.question.conversation_id for ranking in self.rankings]

    def values(self, metric: str) -> Float64[ndarray, " questions"]:
        """Return one metric's value for each question."""
        return np.array([ranking.figures[metric] for ranking in self.rankings])

    def estimate(self, metric: str) -> Estimate:
        """Return a metric's mean and interval."""
        return estimate(self.values(metric), self.groups)

    def gain_over(self, other: Scored, metric: str) -> Estimate:
        """Return the paired difference to ``other`` on the same questions, mine minus the other's."""
        if [r.question.id for r in self.rankings] != [r.question.id for r in other.rankings]:
            raise ValueError(f"{self.system} and {other.system} answered different questions; score both on the same")
        return estimate(self.values(metric) - other.values(metric), self.groups)

    def by_category(self, metric: str) -> dict[str, float]:
        """Return the mean of a metric for each category of question."""
        found: dict[str, list[float]] = {}
        for ranking in self.rankings:
            found.setdefault(ranking.question.category, []).append(ranking.figures[metric])
        return {category: float(np.mean(values)) for category, values in sorted(found.items())}


def score(retrievers: Sequence[Retriever], conversations: Iterable[Conversation]) -> list[Scored]:
    """Rank the questions of every conversation by each retriever; the result has the retrievers' order.

    Raises:
        DataError: no conversation has a question with evidence.
        ValueError: two retrievers share a name.
    """
    found: dict[str, list[Ranking]] = {retriever.name: [] for retriever in retrievers}
    if len(found) < len(retrievers):
        raise ValueError(f"two systems share a name; came: {', '.join(r.name for r in retrievers)}")
    for conversation in steps(conversations, "ranking"):
        asked = [question for question in conversation.questions if question.evidence]
        for retriever in retrievers if asked else ():
            rows = retriever.scores(conversation.memories, [question.text for question in asked])
            found[retriever.name] += _rankings(conversation, asked, rows)
    if not any(found.values()):
        raise DataError("no question with evidence came; choose a corpus that has some, e.g. data=synthetic")
    return [Scored(system, tuple(rankings)) for system, rankings in found.items()]


def _rankings(conversation: Conversation, asked: Sequence[Question], rows: ndarray) -> list[Ranking]:
    ids = [memory.id for memory in conversation.memories]
    cost = {m.id: prompt_tokens(f"{m.speaker}: {m.text}") for m in conversation.memories}
    session = {m.id: m.session_id or m.id for m in conversation.memories}  # a lone note is one of its own
    order = np.argsort(-rows, axis=1, kind="stable")
    rankings = []
    for question, places in zip(asked, order, strict=True):
        ranked = tuple(ids[place] for place in places)
        figures = score_ranking(ranked, set(question.evidence), cost=cost, session=session)
        rankings.append(Ranking(question, ranked, figures))
    return rankings


def write_rankings(scored: Scored, file: Path) -> None:
    """Write one JSON object a line, ``{"question_id", "memory_ids"}``: what a referee outside the project can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as lines:
        for ranking in scored.rankings:
            row = {"question_id": ranking.question.id, "memory_ids": ranking.memory_ids}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def result_rows(scored: Sequence[Scored], **said: Any) -> list[dict[str, Any]]:
    """Return one row per system and metric: system, metric, mean, ci95, n, and whatever else is ``said`` of all."""
    rows = []
    for one in scored:
        for metric in one.rankings[0].figures:
            e = one.estimate(metric)
            rows.append(
                {"system": one.system, "metric": metric, "mean": e.mean, "ci95": [e.low, e.high], "n": e.n} | said
            )
    return rows
