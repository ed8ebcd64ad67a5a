"""One encoder with its cache and what was ranked by it; rows of ``results.json``; conversations left out in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memshadow.cli._measure import context_fusions
from memshadow.config import build, load
from memshadow.data.partition import folds, hold_out, leave_one_out
from memshadow.memory.evaluation import Ranking, Scored, score
from memshadow.memory.recall.rankers.trained import TreeRanker, ranker_of
from memshadow.memory.recall.retrieving import RankedRetriever
from memshadow.memory.recall.second import SecondLook
from memshadow.memory.recall.staged import StagedRanking
from memshadow.memory.retrieval import Retriever, baselines
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.metrics import Estimate, estimate
from memshadow.training.origin import commit
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation

METRICS = ("ndcg@10", "recall@10", "er@512", "session_hit@1", "mrr")
K1, B = 0.9, 0.4
CORPORA = {
    "synthetic": ["data=synthetic", "data.memories=20000"],
    "beam500k_user": ["data=beam500k_user"],
    "beam100k": ["data=beam100k"],
    "locomo": ["data=locomo"],
}
WATCHES = 0.1
"""Share of the training conversations that ends the training, one at least."""


class Bench:
    """One encoder with its cache, and a folder for what was ranked."""

    def __init__(self, work: Path, cache: Path, encoder: str, learners: Sequence[str]) -> None:
        self.work, self.cache, self.choice, self.learners = work, cache, encoder, learners
        self.read: list[int] = []
        self.config = [f"embedder={encoder}"]
        self.encoder: Embedder = CachedEmbedder(encoder=build(load("train", self.config).embedder), folder=str(cache))
        self.viewer = build(load("train", ["learner=ranker_trees"]).learner.viewer)

    def corpus(self, name: str) -> list[Conversation]:
        """Return the conversations that have questions with evidence."""
        found = build(load("train", CORPORA.get(name, [f"data={name}"])).data).conversations()
        return [c for c in found if any(q.evidence for q in c.questions)]

    def model(
        self,
        label: str,
        training: Sequence[Conversation],
        *,
        learner: str = "ranker_trees",
        overrides: Sequence[str] = (),
        seed: int = 0,
        change: Callable[[Conversation], Conversation] | None = None,
    ) -> Path:
        """Train a ranker on ``training`` (a tenth of it watches) and return its folder."""
        folder = self.work / "fits" / f"{self.choice}-{label}-{learner}-s{seed}"
        if not (folder / "model" / "model.json").is_file():
            split = hold_out([c.id for c in training], share=WATCHES, seed=seed)
            config = load("train", [f"learner={learner}", *self.config, *overrides])
            changed = [change(c) if change else c for c in training]
            result = train(
                build(config.learner),
                [c for c in changed if c.id in set(split.training)],
                [c for c in changed if c.id in set(split.held_out)],
                folder=folder,
                cache=self.cache,
                seed=seed,
                options=build(config.trainer),
                tracker=NullTracker(),
            )
            print(f"{folder.name}: {result.epochs} epochs, {result.seconds:.0f} s", file=sys.stderr, flush=True)
        return folder / "model"

    def ranked(
        self, label: str, model: Path | None, test: Sequence[Conversation], *, second: SecondLook | None = None
    ) -> list[Scored]:
        """Score ``test`` by a trained ranker, by the shipped one (``None``); rankings are kept."""
        kept = self.work / "rankings" / f"{self.choice}-{label}.json"
        if not kept.is_file():
            ranker = ranker_of(str(model)) if model else TreeRanker(model="packaged")
            ranking = StagedRanking(viewer=self.viewer, ranker=ranker, second=second)
            _keep(kept, score([RankedRetriever(name=label, embedder=self.encoder, ranking=ranking)], test))
        return _kept(kept, test)

    def untrained(self, name: str, test: Sequence[Conversation]) -> list[Scored]:
        """Score what needs no training."""
        kept = self.work / "rankings" / f"{self.choice}-untrained-{name}.json"
        if not kept.is_file():
            plain = StagedRanking(viewer=self.viewer, ranker=_Plain())
            systems: list[Retriever] = [
                *(one for one in baselines(self.encoder, dim=2048, k1=K1, b=B, seed=0) if "random" not in one.name),
                *context_fusions(self.encoder, self.viewer),
                RankedRetriever(name="fallback", embedder=self.encoder, ranking=plain),
            ]
            _keep(kept, score(systems, test))
        return _kept(kept, test)


class _Plain:
    """What a trained ranker begins with and falls back to."""

    name = fingerprint = "plain"

    def scores(self, scene: Any) -> np.ndarray:
        """Return the fusion."""
        return np.asarray(scene.at(scene.plain))

    def notes(self, scene: Any) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return ()


def _keep(file: Path, scored: Iterable[Scored]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = {s.system: [[r.question.id, list(r.memory_ids[:100]), dict(r.figures)] for r in s.rankings] for s in scored}
    file.write_text(json.dumps(rows))


def _kept(file: Path, test: Iterable[Conversation]) -> list[Scored]:
    asked = {q.id: q for c in test for q in c.questions}
    rows = json.loads(file.read_text())
    return [
        Scored(system, tuple(Ranking(asked[i], tuple(ids), figures) for i, ids, figures in rankings))
        for system, rankings in rows.items()
    ]


def _joined(parts: Sequence[list[Scored]], system: str) -> Scored:
    """Put the held-out folds together."""
    return Scored(system, tuple(r for part in parts for r in part[0].rankings))


def row(system: str, data: str, protocol: str, command: str, metric: str, e: Estimate, **more: str) -> dict[str, Any]:
    """Return a row of ``results.json``."""
    return {
        "system": system,
        **more,
        "data": data,
        "protocol": protocol,
        "metric": metric,
        "mean": round(e.mean, 5),
        "ci95": [round(e.low, 5), round(e.high, 5)],
        "seeds": 1,
        "n": e.n,
        "command": command,
        "commit": commit(),
    }


def rows_of(
    scored: Sequence[Scored], data: str, protocol: str, command: str, metrics: Sequence[str] = METRICS
) -> list[dict[str, Any]]:
    """Return a row a system and metric, with the interval over conversations."""
    return [
        row(one.system, data, protocol, command, metric, one.estimate(metric)) for one in scored for metric in metrics
    ]


def gains(mine: Scored, others: Sequence[Scored], data: str, protocol: str, command: str) -> list[dict[str, Any]]:
    """Return what ``mine`` gains over each other, the same questions."""
    order = {r.question.id: i for i, r in enumerate(mine.rankings)}
    rows = []
    for other in others:
        same = replace(other, rankings=tuple(sorted(other.rankings, key=lambda r: order[r.question.id])))
        gain = mine.gain_over(same, "ndcg@10")
        rows.append(row(mine.system, data, protocol, command, "gain ndcg@10", gain, versus=other.system))
    return rows


def categories(found: Scored, data: str, protocol: str, command: str) -> list[dict[str, Any]]:
    rows = []
    for category in sorted({r.question.category for r in found.rankings}):
        here = [r for r in found.rankings if r.question.category == category]
        for metric in ("ndcg@10", "recall@10"):
            e = estimate(np.array([r.figures[metric] for r in here]), [r.question.conversation_id for r in here])
            rows.append(row(found.system, data, f"{protocol} by category", command, metric, e, category=category))
    return rows


def folded(
    bench: Bench,
    label: str,
    data: list[Conversation],
    *,
    n: int = 0,
    second: SecondLook | None = None,
    ranked: str = "",
    **how: Any,
) -> Scored:
    """Leave each conversation out in turn, or a share in ``n`` turns: train on the others, rank what was left out.

    ``ranked`` tells apart what one ranker ranked with different second looks.
    """
    parts = []
    ids = [c.id for c in data]
    for fold in folds(ids, n=n, seed=0) if n else leave_one_out(ids):
        name = f"{label}-{'-'.join(fold.held_out)}"
        test = [c for c in data if c.id in set(fold.held_out)]
        model = bench.model(name, [c for c in data if c.id in set(fold.training)], **how)
        parts.append(bench.ranked(f"{name}-{ranked or how.get('learner', 'ranker_trees')}", model, test, second=second))
    return _joined(parts, label)
