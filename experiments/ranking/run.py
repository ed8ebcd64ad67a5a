"""Train and score rankers under every protocol of this folder's README; write ``results.json``.

    python experiments/ranking/run.py locomo transfer shipped ablation leaks ceilings suites speed

What was read of a corpus, and what each ranker ranked, is kept in ``--work``: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from memshadow.cli._measure import context_fusions
from memshadow.config import build, load
from memshadow.data.index.base import Block
from memshadow.data.index.promoted import PromotedBlock
from memshadow.data.partition import folds, hold_out, leave_one_out
from memshadow.memory.counting import ByteCounter
from memshadow.memory.evaluation import Ranking, Scored, score, write_rankings
from memshadow.memory.ranking import Asked, Ranked, Ranking as Order
from memshadow.memory.recall.conversation import block_of, everything
from memshadow.memory.recall.rankers.trained import TreeRanker, ranker_of
from memshadow.memory.recall.retrieving import RankedRetriever, asked_of
from memshadow.memory.recall.second import CrossEncoderLook, SecondLook
from memshadow.memory.recall.staged import StagedRanking
from memshadow.memory.retrieval import Retriever, baselines
from memshadow.memory.service import Memory
from memshadow.memory.supersession import KeyedRule
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.crossing import CrossEncoder
from memshadow.models.crossing_cached import CachedCrossEncoder
from memshadow.models.metrics import Estimate, estimate, ndcg
from memshadow.training.origin import commit
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation, Draft, Scope

HERE = Path(__file__).parent
METRICS = ("ndcg@10", "recall@10", "er@512", "session_hit@1", "mrr")
K1, B = 0.9, 0.4
CORPORA = {
    "synthetic": ["data=synthetic", "data.memories=20000"],
    "beam500k_user": ["data=beam500k_user"],
    "beam100k": ["data=beam100k"],
    "locomo": ["data=locomo"],
}
ABLATIONS = {
    "all features": [],
    "no form": ["form"],
    "no neighbours": ["neighbours"],
    "no session": ["session"],
    "no speaker": ["speaker"],
    "no time": ["time"],
    "own match alone": ["neighbours", "session", "form", "speaker", "time", "scope"],
}
WATCHES = 0.1
"""Share of the training conversations that ends the training, one at least."""
RANKERS = {
    "ranker_trees": ("ranker_trees", []),
    "ranker_linear": ("ranker_linear", []),
    "ranker_listwise": ("ranker_listwise", []),
    "three_forests": ("ranker_trees", ["learner.forests=3"]),
}
GROUPS = ["own", "neighbours", "session", "form", "speaker", "time", "scope"]


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


def _row(system: str, data: str, protocol: str, command: str, metric: str, e: Estimate, **more: str) -> dict[str, Any]:
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


def _rows(
    scored: Sequence[Scored], data: str, protocol: str, command: str, metrics: Sequence[str] = METRICS
) -> list[dict[str, Any]]:
    """Return a row a system and metric, with the interval over conversations."""
    return [
        _row(one.system, data, protocol, command, metric, one.estimate(metric)) for one in scored for metric in metrics
    ]


def _gains(mine: Scored, others: Sequence[Scored], data: str, protocol: str, command: str) -> list[dict[str, Any]]:
    """Return what ``mine`` gains over each other, the same questions."""
    order = {r.question.id: i for i, r in enumerate(mine.rankings)}
    rows = []
    for other in others:
        same = replace(other, rankings=tuple(sorted(other.rankings, key=lambda r: order[r.question.id])))
        gain = mine.gain_over(same, "ndcg@10")
        rows.append(_row(mine.system, data, protocol, command, "gain ndcg@10", gain, versus=other.system))
    return rows


def _folds(
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


def locomo(bench: Bench, command: str) -> list[dict[str, Any]]:
    """LoCoMo, each of its ten conversations held out in turn: all rankers."""
    data = bench.corpus("locomo")
    protocol = f"leave-one-conversation-out {bench.choice}"
    others = bench.untrained("locomo", data)
    rows = _rows(others, "locomo", f"none {bench.choice}", command)
    for name in bench.learners:
        learner, overrides = RANKERS[name]
        found = _folds(bench, name, data, learner=learner, overrides=overrides)
        rows += _rows([found], "locomo", protocol, command) + _gains(found, others, "locomo", protocol, command)
        write_rankings(found, bench.work / "referee" / f"{bench.choice}-{name}.jsonl")
        rows += _categories(found, "locomo", protocol, command)
    return rows


def _categories(found: Scored, data: str, protocol: str, command: str) -> list[dict[str, Any]]:
    rows = []
    for category in sorted({r.question.category for r in found.rankings}):
        here = [r for r in found.rankings if r.question.category == category]
        for metric in ("ndcg@10", "recall@10"):
            e = estimate(np.array([r.figures[metric] for r in here]), [r.question.conversation_id for r in here])
            rows.append(_row(found.system, data, f"{protocol} by category", command, metric, e, category=category))
    return rows


def transfer(bench: Bench, command: str) -> list[dict[str, Any]]:
    """Train on one corpus, score another: every pair."""
    data = {name: bench.corpus(name) for name in CORPORA}
    rows = []
    for source, training in data.items():
        model = bench.model(f"on-{source}", training)
        for target in data.keys() - {source}:
            found = bench.ranked(f"{source}-to-{target}", model, data[target])
            others = bench.untrained(target, data[target])
            protocol = f"trained on {source}"
            if source == "synthetic" and target != "locomo":  # those of LoCoMo stand beside its own rankers
                rows += _rows(others, target, f"none {bench.choice}", command)
            rows += _rows([replace(found[0], system=f"trained on {source}")], target, protocol, command)
            rows += _gains(found[0], others, target, protocol, command)
    return rows


def shipped(bench: Bench, command: str) -> list[dict[str, Any]]:
    """The shipped ranker on LoCoMo, of which it saw no line."""
    data = bench.corpus("locomo")
    found, others = bench.ranked("shipped-locomo", None, data)[0], bench.untrained("locomo", data)
    write_rankings(found, bench.work / "referee" / f"{bench.choice}-shipped.jsonl")
    protocol = f"shipped {bench.choice}"
    return (
        _rows([replace(found, system="shipped")], "locomo", protocol, command)
        + _gains(found, others, "locomo", protocol, command)
        + _categories(found, "locomo", protocol, command)
    )


def ablation(bench: Bench, command: str) -> list[dict[str, Any]]:
    """LoCoMo in five turns of two conversations, without a group of features; 160 trees at most."""
    data = bench.corpus("locomo")
    rows = []
    for label, gone in ABLATIONS.items():
        groups = ",".join(group for group in GROUPS if group not in gone)
        name = "ablation-" + label.replace(" ", "-")
        found = _folds(bench, name, data, n=5, overrides=["learner.max_epochs=8", f"learner.groups=[{groups}]"])
        rows += _rows([replace(found, system=label)], "locomo", "ablation", command)
    return rows


def leaks(bench: Bench, command: str) -> list[dict[str, Any]]:
    """What must fail, fails: labels permuted, neighbours shuffled, dates taken away."""
    data = bench.corpus("locomo")
    rows = []
    rng = np.random.default_rng(0)

    def permuted(conversation: Conversation) -> Conversation:
        ids = [m.id for m in conversation.memories]
        questions = tuple(
            replace(q, evidence=tuple(str(x) for x in rng.choice(ids, size=len(q.evidence), replace=False)))
            for q in conversation.questions
        )
        return replace(conversation, questions=questions)

    found = _folds(bench, "permuted-labels", data, change=permuted, overrides=["learner.base=0.0"])
    rows += _rows([replace(found, system="labels permuted")], "locomo", "leaks", command)
    for label, change in (("neighbours shuffled", _shuffled), ("dates taken away", _undated)):
        changed = [change(c) for c in data]
        found = _folds(bench, label.replace(" ", "-"), changed)
        rows += _rows([replace(found, system=label)], "locomo", "leaks", command)
    return rows


def _shuffled(conversation: Conversation) -> Conversation:
    """Return the conversation with its turns in another order: each keeps its words, none its place."""
    rng = np.random.default_rng(len(conversation.memories))
    places = [(m.session_id, m.turn, m.timestamp) for m in conversation.memories]
    order = rng.permutation(len(places))
    moved = [
        replace(conversation.memories[old], session_id=session, turn=turn, timestamp=at)
        for old, (session, turn, at) in zip(order, places, strict=True)
    ]
    return replace(conversation, memories=tuple(moved))


def _undated(conversation: Conversation) -> Conversation:
    return replace(conversation, memories=tuple(replace(m, timestamp=None) for m in conversation.memories))


def ceilings(bench: Bench, command: str) -> list[dict[str, Any]]:
    """How good any order of the candidates could be, and of the first twelve that the ranker chooses."""
    data = bench.corpus("locomo")
    found = _folds(bench, "ranker_trees", data)
    rows = []
    for label, most in (("perfect order of the ranker's 12", 12), ("perfect order of its candidates", 100)):
        perfect = []
        for r in found.rankings:
            first = r.memory_ids[:most]
            right = [i for i in first if i in r.question.evidence]
            ids = [*right, *(i for i in first if i not in r.question.evidence), *r.memory_ids[most:]]
            places = [i for i, name in enumerate(ids) if name in r.question.evidence]
            figures = dict(r.figures) | {
                "ndcg@10": ndcg(places, len(set(r.question.evidence))),
                "recall@10": sum(p < 10 for p in places) / len(set(r.question.evidence)),
            }
            perfect.append(Ranking(r.question, tuple(ids), figures))
        rows += _rows([Scored(label, tuple(perfect))], "locomo", "ceilings", command, ("ndcg@10", "recall@10"))
    return rows


def suites(bench: Bench, command: str) -> list[dict[str, Any]]:
    """Users of whom little is known: the shipped ranker beside its fallback."""
    rows = []
    for file in sorted((HERE.parent.parent / "configs" / "data").glob("suite_*.yaml")):
        data = bench.corpus(file.stem)
        found, others = bench.ranked(f"shipped-{file.stem}", None, data)[0], bench.untrained(file.stem, data)
        rows += _rows([replace(found, system="shipped"), *others], file.stem, "suites", command)
        rows += _gains(replace(found, system="shipped"), others, file.stem, "suites", command)
        if file.stem == "suite_when":
            blind = bench.ranked(f"shipped-{file.stem}-undated", None, [_undated(c) for c in data])[0]
            blind = replace(blind, system="shipped, dates taken away")
            rows += _rows([blind], file.stem, "suites", command)
            rows += _gains(replace(found, system="shipped"), [blind], file.stem, "suites", command)
            rows += _categories(replace(found, system="shipped"), file.stem, "suites", command)
    return rows


def looked(bench: Bench, command: str) -> list[dict[str, Any]]:
    """CPU milliseconds of a question to one user's 1,000 memories, beyond encoding, with a cross-encoder behind."""
    lives = build(load("train", ["data=synthetic", "data.memories=1000"]).data).conversations()
    life = max(lives, key=lambda one: len(one.memories))
    ranking = build(load("memory", ["ranking=cross_encoder"]).ranking)
    block = block_of(life, bench.encoder)
    asked = [asked_of(block, everything(block), q.text, bench.encoder, life.memories) for q in life.questions[:60]]
    timed = _Timed(ranking, time.process_time)  # the model may run in threads of its own
    for one in [asked[0], *asked]:  # the first opens the model
        timed.rank(block, everything(block), one, k=10)
    spent, rows = timed.spent[1:], []
    for name, value in (("median ms", np.median(spent)), ("p95 ms", np.percentile(spent, 95))):
        e = Estimate(float(value), np.nan, np.nan, len(spent))
        system = f"{len(life.memories)} memories, 6 read"
        rows.append(_row(system, "synthetic", "looked", command, name, e) | {"ci95": []})
    return rows


def speed(bench: Bench, command: str) -> list[dict[str, Any]]:
    """CPU milliseconds a question beyond encoding, of one user's 1,000 and 50,000 memories."""
    ranking = StagedRanking(viewer=bench.viewer, ranker=TreeRanker(model="packaged"))
    rows = []
    for size in (1_000, 50_000):
        lives = build(load("train", ["data=synthetic", f"data.memories={size}"]).data).conversations()
        memories = [
            replace(m, conversation_id="all", id=f"{m.id}-{i}") for life in lives for i, m in enumerate(life.memories)
        ]
        asked_for = list(next(iter(build(load("train", ["data=synthetic"]).data).conversations())).questions)
        conversation = Conversation(id="all", memories=tuple(memories), questions=tuple(asked_for))
        encoder = build(load("train", ["embedder=hashing", "embedder.dim=384"]).embedder)
        block = block_of(conversation, encoder)
        allowed = everything(block)
        asked = [asked_of(block, allowed, q.text, encoder) for q in conversation.questions[:200]]
        ranking.rank(block, allowed, asked[0], k=10)
        spent, scan = [], []
        for one in asked:
            before = time.process_time()
            ranking.rank(block, allowed, one, k=10)
            between = time.process_time()
            block.nearest(one.vector, k=bench.viewer.listed, allowed=None)
            spent.append((between - before) * 1e3)
            scan.append((time.process_time() - between) * 1e3)
        for name, value in (
            ("median ms", np.median(spent)),
            ("p95 ms", np.percentile(spent, 95)),
            ("of it the scan", np.median(scan)),
        ):
            system, e = f"{len(conversation.memories)} memories", Estimate(float(value), np.nan, np.nan, len(spent))
            rows.append(_row(system, "synthetic", "speed", command, name, e) | {"ci95": []})
    return rows


class _Timed:
    """A ranking that keeps what each question cost it, in milliseconds of CPU."""

    def __init__(self, ranking: Order, clock: Callable[[], float]) -> None:
        self._ranking, self._clock, self.spent = ranking, clock, list[float]()

    def rank(self, block: Block, allowed: Any, asked: Asked, *, k: int) -> Ranked:
        """Rank as the one within does."""
        before = self._clock()
        found = self._ranking.rank(block, allowed, asked, k=k)
        self.spent.append((self._clock() - before) * 1e3)
        return found


def served(bench: Bench, command: str) -> list[dict[str, Any]]:
    """CPU milliseconds of ranking inside a memory in a folder, with the index that it is served with."""
    rows = []
    words = ["embedder=hashing", "embedder.dim=384", "tokenizer=bytes"]
    scope = Scope(user="one")
    for size in (1_000, 50_000):
        composed = load("memory", [f"folder={bench.work / 'served' / str(size)}", *words])
        config: Any = OmegaConf.create(OmegaConf.to_container(composed, resolve=True))
        timed = _Timed(build(config.ranking), time.thread_time)  # a structure may be built beside the work
        parts = {name: build(config[name]) for name in ("store", "index", "embedder")}
        with Memory(
            **parts, ranking=timed, rule=KeyedRule(), counter=ByteCounter(), near_threshold=config.near_threshold
        ) as memory:
            lives = list(build(load("train", ["data=synthetic", f"data.memories={size}"]).data).conversations())
            if not memory.stats(scope=scope).memories:
                _tell(memory, lives, scope)
            asked = [q.text for q in lives[0].questions][:100]
            until = time.monotonic() + 300
            while size > config.index.promote_at and time.monotonic() < until:
                if isinstance(parts["index"].block(scope.owner), PromotedBlock):  # built beside the work
                    break
                time.sleep(1)
            for text in asked * 3:  # the first two rounds read what was just opened
                memory.search(text, k=10, scope=scope)
            timed.spent = timed.spent[-len(asked) :]
        for name, value in (("median ms", np.median(timed.spent)), ("p95 ms", np.percentile(timed.spent, 95))):
            e = Estimate(float(value), np.nan, np.nan, len(timed.spent))
            rows.append(_row(f"{size} memories", "synthetic", "served", command, name, e) | {"ci95": []})
    return rows


def _tell(memory: Memory, lives: Sequence[Conversation], scope: Scope) -> None:
    """Add all turns, session by session."""
    for number, life in enumerate(lives):
        for session, turns in groupby(life.memories, key=lambda m: m.session_id):
            drafts = [Draft(text=m.text, speaker=m.speaker, happened_at=m.timestamp) for m in turns]
            memory.add(drafts, scope=replace(scope, session=f"{number}-{session}"))


def filters(bench: Bench, command: str) -> list[dict[str, Any]]:
    """The shipped ranker on synthetic lives, told who said the answer: by a filter, which leaves the context alone."""
    config = ["data=synthetic", "data.memories=3000", "data.seed=11"]
    ranking = StagedRanking(viewer=bench.viewer, ranker=TreeRanker(model="packaged"))
    gains, groups = [], []
    for life in build(load("train", config).data).conversations():
        block = block_of(life, bench.encoder)
        visible = everything(block)
        said_by = {memory.id: memory.speaker for memory in life.memories}
        by = np.array([memory.speaker for memory in life.memories])
        for question in life.questions:
            voices = {said_by[name] for name in question.evidence}
            if len(voices) != 1:
                continue
            asked = asked_of(block, visible, question.text, bench.encoder)
            found = []
            for allowed in (visible, by == voices.pop()):
                places = ranking.rank(block, allowed, replace(asked, visible=visible), k=10).places
                right = [n for n, place in enumerate(places) if life.memories[place].id in question.evidence]
                found.append(ndcg(right, len(question.evidence)))
            gains.append(found)
            groups.append(life.id)
    alone, told = np.array(gains).T
    named = (("no filter", alone, "ndcg@10"), ("the right speaker", told, "ndcg@10"))
    rows = [_row(label, "synthetic", "filters", command, m, estimate(values, groups)) for label, values, m in named]
    gain = estimate(told - alone, groups)
    return [*rows, _row("the right speaker", "synthetic", "filters", command, "gain ndcg@10", gain, versus="no filter")]


def second(bench: Bench, command: str) -> list[dict[str, Any]]:
    """LoCoMo by leave one out, with a cross-encoder behind the ranker; its weight was set on synthetic lives."""
    data = bench.corpus("locomo")
    name = bench.learners[0]
    learner, overrides = RANKERS[name]
    alone = _folds(bench, name, data, learner=learner, overrides=overrides)
    rows = []
    for k in bench.read:
        settings = load("memory", ["ranking=cross_encoder", f"ranking.second.k={k}"]).ranking.second
        look = CrossEncoderLook(
            make=partial(_remembering, build(settings.make), bench.cache),
            k=k,
            weight=settings.weight,
            before=settings.before,
        )
        found = _folds(bench, name, data, learner=learner, overrides=overrides, second=look, ranked=f"second-{k}")
        found = replace(found, system=f"{name}, cross-encoder on {k}")
        rows += _rows([found], "locomo", f"second {bench.choice}", command)
        rows += _gains(found, [alone], "locomo", f"second {bench.choice}", command)
    return rows


def _remembering(make: Callable[[], CrossEncoder], folder: Path) -> CrossEncoder:
    return CachedCrossEncoder(encoder=make(), folder=str(folder))


PARTS = {
    "locomo": locomo,
    "second": second,
    "filters": filters,
    "transfer": transfer,
    "shipped": shipped,
    "ablation": ablation,
    "leaks": leaks,
    "ceilings": ceilings,
    "suites": suites,
    "speed": speed,
    "served": served,
    "looked": looked,
}


def main() -> int:
    """Run the parts that are named and put their rows into ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    parser.add_argument("--encoder", default="minilm", help="a choice of configs/embedder")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments/ranking"))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--read", nargs="+", type=int, default=[6], help="candidates that a cross-encoder reads")
    parser.add_argument("--learners", nargs="+", choices=list(RANKERS), default=list(RANKERS)[:3])
    said = parser.parse_args()
    bench = Bench(said.work, said.cache, said.encoder, said.learners)
    bench.read = said.read
    file = HERE / "results.json"
    for part in said.parts:
        command = f"python experiments/ranking/run.py {part}" + (
            f" --encoder {said.encoder}" if said.encoder != "minilm" else ""
        )
        if said.learners != parser.get_default("learners"):
            command += f" --learners {' '.join(said.learners)}"
        rows = PARTS[part](bench, command)
        old = json.loads(file.read_text()) if file.is_file() else []
        kept = [row for row in old if row["command"] != command]
        file.write_text(json.dumps([*kept, *rows], indent=1) + "\n")
        for row in rows:
            if row["metric"] in ("ndcg@10", "recall@10", "gain ndcg@10", "median ms", "p95 ms"):
                said_of = [str(row.get(key, "")) for key in ("data", "protocol", "system", "versus", "metric")]
                print("  ".join(said_of), f"{row['mean']:.3f}", row["ci95"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
