"""Teach the 2048-d embedder by rankers, score it under every protocol of this folder's README; write ``results.json``.

    python experiments/distillation/run.py locomo transfer --encoder minilm --seeds 2

What a teacher taught and what each head ranked is kept in ``--work``: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from memshadow.config import build, load
from memshadow.data.partition import Split, hold_out, leave_one_out
from memshadow.memory.champion import embedder_of
from memshadow.memory.evaluation import Ranking, Scored, score
from memshadow.memory.recall.rankers.trained import PACKAGED, StoredRanker
from memshadow.memory.recall.staged import StagedRanking
from memshadow.memory.recall.teaching import RankingTeacher
from memshadow.memory.retrieval import VectorRetriever
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.metrics import estimate
from memshadow.models.teaching import Lesson, Teacher
from memshadow.training.origin import commit
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation

HERE = Path(__file__).parent
METRICS = ("ndcg@10", "recall@10", "er@512", "session_hit@1", "mrr")
CORPORA = {"synthetic": ["data=synthetic", "data.memories=10000"], "locomo": ["data=locomo"]}
ALONE = "head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a head is taught: by which configuration of ``configs/teacher``, with which settings of the learner."""

    teacher: str
    overrides: tuple[str, ...] = ()


WAYS = {
    ALONE: Way(teacher=""),
    "head taught by ranker": Way(teacher="ranker"),
    "head taught by ranker + cross-encoder": Way(teacher="cross_encoder"),
}
CHOICES = {
    "weight 1": ("learner.teacher_weight=1.0",),
    "weight 3": (),  # what configs/learner/head.yaml says
    "weight 10": ("learner.teacher_weight=10.0",),
}


class KeptTeacher:
    """Remembers in a folder what a teacher says of whole conversations: folds and seeds share lessons."""

    def __init__(self, make: Callable[[], Teacher], folder: Path) -> None:
        self._make, self._folder = make, folder

    def lessons(self, conversations: Sequence[Conversation], *, cache: Path) -> Iterator[Sequence[Lesson]]:
        """Yield the lessons of each conversation."""
        missing = [one for one in conversations if not self._file(one).is_file()]
        for one, lessons in zip(missing, self._make().lessons(missing, cache=cache) if missing else (), strict=True):
            self._keep(one, lessons)
        for one in conversations:
            with np.load(self._file(one)) as kept:
                cuts = np.cumsum(kept["sizes"])[:-1]
                parts = np.split(kept["places"], cuts), np.split(kept["scores"], cuts)
            yield [Lesson(*lesson) for lesson in zip(*parts, strict=True)]

    def _file(self, conversation: Conversation) -> Path:
        return self._folder / f"{conversation.id.replace('/', '-')}.npz"

    def _keep(self, conversation: Conversation, lessons: Sequence[Lesson]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        places, scores = (np.concatenate(part) for part in zip(*lessons, strict=True))
        np.savez(
            self._file(conversation), places=places, scores=scores, sizes=[len(lesson.places) for lesson in lessons]
        )


class Bench:
    """One encoder with its cache, the rankers that teach, and a folder for what was taught and ranked."""

    def __init__(self, work: Path, cache: Path, rankers: Path, encoder: str, teachers: Sequence[str]) -> None:
        self.work, self.cache, self.rankers, self.choice = work, cache, rankers, encoder
        self.kinds = ["", *teachers]
        self.words = [f"embedder={encoder}", f"cache_dir={cache}"]
        self.encoder: Embedder = CachedEmbedder(encoder=build(load("train", self.words).embedder), folder=str(cache))

    def corpus(self, name: str) -> list[Conversation]:
        """Return the conversations that have questions with evidence."""
        found = build(load("train", CORPORA[name]).data).conversations()
        return [c for c in found if any(q.evidence for q in c.questions)]

    def ranker(self, fold: str, training: Sequence[Conversation]) -> str:
        """Return a ranker that saw ``training`` alone, as ``experiments/ranking`` makes it."""
        folder = self.rankers / f"{self.choice}-ranker_trees-{fold}-ranker_trees-s0"
        if not (folder / "model" / "model.json").is_file():
            split = hold_out([c.id for c in training], share=1 / 6, seed=0)
            config = load("train", ["learner=ranker_trees", *self.words])
            self._train(build(config.learner), training, split, folder, seed=0)
        return str(folder / "model")

    def teacher(self, kind: str, fold: str, training: Sequence[Conversation]) -> Teacher:
        """Return the teacher of a fold; of no fold (``packaged``), the ranker that comes along."""

        def made() -> Teacher:
            config = load("train", ["learner=head", f"+teacher@learner.teacher={kind}", *self.words]).learner.teacher
            ranking, model = config.ranking, PACKAGED if fold == PACKAGED else self.ranker(fold, training)
            second = build(ranking.second) if ranking.second else None
            staged = StagedRanking(viewer=build(ranking.viewer), ranker=StoredRanker(model=model), second=second)
            return RankingTeacher(encoder=self.encoder, ranking=staged, candidates=config.candidates)

        return KeptTeacher(made, self.work / "lessons" / f"{self.choice}-{kind}-{fold}")

    def head(
        self, way: Way, label: str, training: Sequence[Conversation], split: Split, seed: int, fold: str
    ) -> tuple[Path, float]:
        """Train a head; return its folder and what it scores on the conversations that watched."""
        folder = self.work / "fits" / f"{self.choice}-{label}"
        if not (folder / "watched.json").is_file():
            teacher = self.teacher(way.teacher, fold, training) if way.teacher else None
            learner = build(load("train", ["learner=head", *self.words, *way.overrides]).learner, teacher=teacher)
            figure = self._train(learner, training, split, folder, seed=seed)
            (folder / "watched.json").write_text(json.dumps(figure))
        return folder / "model", json.loads((folder / "watched.json").read_text())

    def ranked(self, label: str, model: Path, test: Sequence[Conversation]) -> Scored:
        """Score ``test`` by a head's whole vector; rankings are kept."""
        kept = self.work / "rankings" / f"{self.choice}-{label}.json"
        if not kept.is_file():
            _keep(kept, self._scored(model, test))
        return _kept(kept, test)

    def _scored(self, model: Path, test: Sequence[Conversation]) -> Scored:
        embedder = embedder_of(model, self.encoder)
        return score([VectorRetriever(name=ALONE, embedder=embedder)], test)[0]

    def _train(self, learner: Any, training: Sequence[Conversation], split: Split, folder: Path, *, seed: int) -> float:
        result = train(
            learner,
            [c for c in training if c.id in set(split.training)],
            [c for c in training if c.id in set(split.held_out)],
            folder=folder,
            cache=self.cache,
            seed=seed,
            options=build(load("train", self.words).trainer),
            tracker=NullTracker(),
        )
        print(f"{folder.name}: {result.epochs} epochs, {result.seconds:.0f} s", file=sys.stderr, flush=True)
        return float(result.score or 0)


def _keep(file: Path, scored: Scored) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [[r.question.id, list(r.memory_ids[:50]), dict(r.figures)] for r in scored.rankings]
    file.write_text(json.dumps(rows))


def _kept(file: Path, test: Iterable[Conversation]) -> Scored:
    asked = {q.id: q for c in test for q in c.questions}
    rows = json.loads(file.read_text())
    return Scored(ALONE, tuple(Ranking(asked[i], tuple(ids), figures) for i, ids, figures in rows))


def _folds(bench: Bench, name: str, way: Way, data: list[Conversation], seed: int) -> tuple[Scored, float]:
    """Leave each conversation out in turn; return how it was ranked, and the mean of what the watching ones say."""
    found: list[Ranking] = []
    watched = []
    for fold in leave_one_out([c.id for c in data]):
        (held,) = fold.held_out
        label = f"{name.replace(' ', '-')}-s{seed}-{held}"
        training, test = [c for c in data if c.id != held], [c for c in data if c.id == held]
        split = hold_out(fold.training, share=0.2, seed=seed)
        model, figure = bench.head(way, label, training, split, seed, held)
        found += bench.ranked(label, model, test).rankings
        watched.append(figure)
    return Scored(name, tuple(found)), float(np.mean(watched))


def locomo(bench: Bench, seeds: int, command: str) -> list[dict[str, Any]]:
    """LoCoMo, each of its ten conversations held out in turn, from head and teacher alike."""
    data = bench.corpus("locomo")
    found = {
        name: [_folds(bench, name, way, data, seed)[0] for seed in range(seeds)]
        for name, way in WAYS.items()
        if way.teacher in bench.kinds
    }
    return _table(found, "locomo", f"leave-one-conversation-out {bench.choice}", command)


def choice(bench: Bench, seeds: int, command: str) -> list[dict[str, Any]]:  # noqa: ARG001 - one seed chooses
    """What the watching conversations of LoCoMo's folds say of the lesson's weight; no scored one is looked at."""
    data = bench.corpus("locomo")
    rows = []
    for name, overrides in {"no teacher": None, **CHOICES}.items():
        way = WAYS[ALONE] if overrides is None else Way(teacher="ranker", overrides=overrides)
        label = f"choice {name}" if overrides else ALONE if overrides is None else "head taught by ranker"
        figure = _folds(bench, label, way, data, 0)[1]
        rows.append(
            _row(name, "locomo", f"watching conversations {bench.choice}", "ndcg@10", figure, [], 1, len(data), command)
        )
    return rows


def transfer(bench: Bench, seeds: int, command: str) -> list[dict[str, Any]]:
    """Trained on synthetic lives, taught by the ranker that comes along: neither saw a line of LoCoMo."""
    training, test = bench.corpus("synthetic"), bench.corpus("locomo")
    found: dict[str, list[Scored]] = {}
    for name, way in WAYS.items():
        for seed in range(seeds) if way.teacher in bench.kinds else ():
            label = f"synthetic-{name.replace(' ', '-')}-s{seed}"
            split = hold_out([c.id for c in training], share=0.2, seed=seed)
            model, _ = bench.head(way, label, training, split, seed, PACKAGED)
            found.setdefault(name, []).append(replace(bench.ranked(label, model, test), system=name))
    return _table(found, "locomo", f"trained on synthetic {bench.choice}", command)


def _table(found: dict[str, list[Scored]], data: str, protocol: str, command: str) -> list[dict[str, Any]]:
    """Return a row a system and metric (mean over questions of the mean over seeds), and each gain over no teacher."""
    rows, values = [], {}
    for name, seeds in found.items():
        for metric in METRICS:
            each = np.array([one.values(metric) for one in seeds])
            values[name, metric] = each.mean(axis=0)
            e = estimate(values[name, metric], seeds[0].groups)
            by_seed = [round(float(value), 5) for value in each.mean(axis=1)]
            rows.append(_row(name, data, protocol, metric, e.mean, [e.low, e.high], len(seeds), e.n, command, by_seed))
    for name, seeds in found.items():
        if name != ALONE:
            e = estimate(values[name, "ndcg@10"] - values[ALONE, "ndcg@10"], seeds[0].groups)
            row = _row(name, data, protocol, "gain ndcg@10", e.mean, [e.low, e.high], len(seeds), e.n, command)
            rows.append(row | {"versus": ALONE})
    return rows


def _row(
    system: str,
    data: str,
    protocol: str,
    metric: str,
    mean: float,
    ci95: Sequence[float],
    seeds: int,
    n: int,
    command: str,
    by_seed: Sequence[float] = (),
) -> dict[str, Any]:
    return {
        "system": system,
        "data": data,
        "protocol": protocol,
        "metric": metric,
        "mean": round(mean, 5),
        "ci95": [round(bound, 5) for bound in ci95],
        "seeds": seeds,
        "by_seed": list(by_seed),
        "n": n,
        "command": command,
        "commit": commit(),
    }


PARTS = {"locomo": locomo, "choice": choice, "transfer": transfer}


def main() -> int:
    """Run the parts that are named and put their rows into ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    parser.add_argument("--encoder", default="minilm", help="a choice of configs/embedder")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--teachers", nargs="*", default=["ranker", "cross_encoder"], help="of configs/teacher")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments/distillation"))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--rankers", type=Path, default=Path("runs/experiments/ranking/fits"), help="trained ones")
    said = parser.parse_args()
    bench = Bench(said.work, said.cache, said.rankers, said.encoder, said.teachers)
    file = HERE / "results.json"
    for part in said.parts:
        command = f"python experiments/distillation/run.py {part} --encoder {said.encoder} --seeds {said.seeds}"
        command += f" --teachers {' '.join(said.teachers)}"
        rows = PARTS[part](bench, said.seeds, command)
        _merge(file, rows)
        for row in rows:
            if row["metric"] in ("ndcg@10", "gain ndcg@10"):
                print(
                    f"{row['protocol']}  {row['system']}  {row['metric']}  {row['mean']:.3f}",
                    row["ci95"],
                    row["by_seed"],
                )
    return 0


def _merge(file: Path, rows: list[dict[str, Any]]) -> None:
    """Put the rows in place of older ones of the same system, protocol and metric."""
    old = json.loads(file.read_text()) if file.is_file() else []
    key = lambda row: (row["system"], row.get("versus", ""), row["data"], row["protocol"], row["metric"])  # noqa: E731
    merged = {key(row): row for row in old} | {key(row): row for row in rows}
    file.write_text(json.dumps(list(merged.values()), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
