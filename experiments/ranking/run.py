"""Train and score rankers under every protocol of this folder's README; write ``results.json``.

    python experiments/ranking/run.py locomo transfer shipped ablation leaks ceilings suites speed

What was read of a corpus, and what each ranker ranked, is kept in ``--work``: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import CORPORA, Bench, categories, folded, gains, row, rows_of
from costs import looked, served, speed

from memshadow.config import build, load
from memshadow.memory.evaluation import Ranking, Scored, write_rankings
from memshadow.memory.recall.conversation import block_of, everything
from memshadow.memory.recall.rankers.trained import TreeRanker
from memshadow.memory.recall.retrieving import asked_of
from memshadow.memory.recall.second import CrossEncoderLook
from memshadow.memory.recall.staged import StagedRanking
from memshadow.models.crossing import CrossEncoder
from memshadow.models.crossing_cached import CachedCrossEncoder
from memshadow.models.metrics import estimate, ndcg
from memshadow.types import Conversation

HERE = Path(__file__).parent
ABLATIONS = {
    "all features": [],
    "no form": ["form"],
    "no neighbours": ["neighbours"],
    "no session": ["session"],
    "no speaker": ["speaker"],
    "no time": ["time"],
    "own match alone": ["neighbours", "session", "form", "speaker", "time", "scope"],
}
RANKERS = {
    "ranker_trees": ("ranker_trees", []),
    "ranker_linear": ("ranker_linear", []),
    "ranker_listwise": ("ranker_listwise", []),
    "three_forests": ("ranker_trees", ["learner.forests=3"]),
}
GROUPS = ["own", "neighbours", "session", "form", "speaker", "time", "scope"]


def locomo(bench: Bench, command: str) -> list[dict[str, Any]]:
    """LoCoMo, each of its ten conversations held out in turn: all rankers."""
    data = bench.corpus("locomo")
    protocol = f"leave-one-conversation-out {bench.choice}"
    others = bench.untrained("locomo", data)
    rows = rows_of(others, "locomo", f"none {bench.choice}", command)
    for name in bench.learners:
        learner, overrides = RANKERS[name]
        found = folded(bench, name, data, learner=learner, overrides=overrides)
        rows += rows_of([found], "locomo", protocol, command) + gains(found, others, "locomo", protocol, command)
        write_rankings(found, bench.work / "referee" / f"{bench.choice}-{name}.jsonl")
        rows += categories(found, "locomo", protocol, command)
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
                rows += rows_of(others, target, f"none {bench.choice}", command)
            rows += rows_of([replace(found[0], system=f"trained on {source}")], target, protocol, command)
            rows += gains(found[0], others, target, protocol, command)
    return rows


def shipped(bench: Bench, command: str) -> list[dict[str, Any]]:
    """The shipped ranker on LoCoMo, of which it saw no line."""
    data = bench.corpus("locomo")
    found, others = bench.ranked("shipped-locomo", None, data)[0], bench.untrained("locomo", data)
    write_rankings(found, bench.work / "referee" / f"{bench.choice}-shipped.jsonl")
    protocol = f"shipped {bench.choice}"
    return (
        rows_of([replace(found, system="shipped")], "locomo", protocol, command)
        + gains(found, others, "locomo", protocol, command)
        + categories(found, "locomo", protocol, command)
    )


def ablation(bench: Bench, command: str) -> list[dict[str, Any]]:
    """LoCoMo in five turns of two conversations, without a group of features; 160 trees at most."""
    data = bench.corpus("locomo")
    rows = []
    for label, gone in ABLATIONS.items():
        groups = ",".join(group for group in GROUPS if group not in gone)
        name = "ablation-" + label.replace(" ", "-")
        found = folded(bench, name, data, n=5, overrides=["learner.max_epochs=8", f"learner.groups=[{groups}]"])
        rows += rows_of([replace(found, system=label)], "locomo", "ablation", command)
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

    found = folded(bench, "permuted-labels", data, change=permuted, overrides=["learner.base=0.0"])
    rows += rows_of([replace(found, system="labels permuted")], "locomo", "leaks", command)
    for label, change in (("neighbours shuffled", _shuffled), ("dates taken away", _undated)):
        changed = [change(c) for c in data]
        found = folded(bench, label.replace(" ", "-"), changed)
        rows += rows_of([replace(found, system=label)], "locomo", "leaks", command)
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
    found = folded(bench, "ranker_trees", data)
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
        rows += rows_of([Scored(label, tuple(perfect))], "locomo", "ceilings", command, ("ndcg@10", "recall@10"))
    return rows


def suites(bench: Bench, command: str) -> list[dict[str, Any]]:
    """Users of whom little is known: the shipped ranker beside its fallback."""
    rows = []
    for file in sorted((HERE.parent.parent / "configs" / "data").glob("suite_*.yaml")):
        data = bench.corpus(file.stem)
        found, others = bench.ranked(f"shipped-{file.stem}", None, data)[0], bench.untrained(file.stem, data)
        rows += rows_of([replace(found, system="shipped"), *others], file.stem, "suites", command)
        rows += gains(replace(found, system="shipped"), others, file.stem, "suites", command)
        if file.stem == "suite_when":
            blind = bench.ranked(f"shipped-{file.stem}-undated", None, [_undated(c) for c in data])[0]
            blind = replace(blind, system="shipped, dates taken away")
            rows += rows_of([blind], file.stem, "suites", command)
            rows += gains(replace(found, system="shipped"), [blind], file.stem, "suites", command)
            rows += categories(replace(found, system="shipped"), file.stem, "suites", command)
    return rows


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
    rows = [row(label, "synthetic", "filters", command, m, estimate(values, groups)) for label, values, m in named]
    gain = estimate(told - alone, groups)
    return [*rows, row("the right speaker", "synthetic", "filters", command, "gain ndcg@10", gain, versus="no filter")]


def second(bench: Bench, command: str) -> list[dict[str, Any]]:
    """LoCoMo by leave one out, with a cross-encoder behind the ranker; its weight was set on synthetic lives."""
    data = bench.corpus("locomo")
    name = bench.learners[0]
    learner, overrides = RANKERS[name]
    alone = folded(bench, name, data, learner=learner, overrides=overrides)
    rows = []
    for k in bench.read:
        settings = load("memory", ["ranking=cross_encoder", f"ranking.second.k={k}"]).ranking.second
        look = CrossEncoderLook(
            make=partial(_remembering, build(settings.make), bench.cache),
            k=k,
            weight=settings.weight,
            before=settings.before,
        )
        found = folded(bench, name, data, learner=learner, overrides=overrides, second=look, ranked=f"second-{k}")
        found = replace(found, system=f"{name}, cross-encoder on {k}")
        rows += rows_of([found], "locomo", f"second {bench.choice}", command)
        rows += gains(found, [alone], "locomo", f"second {bench.choice}", command)
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
        kept = [one for one in old if one["command"] != command]
        file.write_text(json.dumps([*kept, *rows], indent=1) + "\n")
        for one in rows:
            if one["metric"] in ("ndcg@10", "recall@10", "gain ndcg@10", "median ms", "p95 ms"):
                said_of = [str(one.get(key, "")) for key in ("data", "protocol", "system", "versus", "metric")]
                print("  ".join(said_of), f"{one['mean']:.3f}", one["ci95"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
