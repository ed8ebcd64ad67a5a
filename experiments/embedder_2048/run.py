"""Train and score the 2048-d embedder under every protocol of this folder's README; write ``results.json``.

    python experiments/embedder_2048/run.py locomo synthetic beam ablation --seeds 5

Each fit leaves its rankings in ``--work``, so a run that was stopped goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from memshadow.cli._measure import forgetting, head_systems
from memshadow.config import build, load
from memshadow.data.partition import hold_out, leave_one_out
from memshadow.memory.champion import embedder_of
from memshadow.memory.evaluation import Ranking, Scored, score
from memshadow.memory.retrieval import VectorRetriever, baselines
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.metrics import estimate
from memshadow.models.projected import Projection
from memshadow.training.origin import commit
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation

HERE = Path(__file__).parent
METRICS = ("ndcg@10", "recall@10", "er@512", "session_hit@1", "mrr")
K1, B = 0.9, 0.4
ABLATIONS = {
    "": [],
    "no-neighbours": ["learner.before=0", "learner.after=0", "learner.context_chars=0"],
    "no-turn-after": ["learner.after=0"],
    "no-joint-view": ["learner.context_chars=0"],
    "one-hash": ["learner.copies=1"],
    "no-dropout": ["learner.keep=1.0"],
    "dropout-30": ["learner.keep=0.7"],
    "pulled": ["learner.pull=0.001"],
    "untrained": ["learner.max_epochs=1", "learner.lr=0.0", "learner.scalar_lr=0.0"],
}


class Bench:
    """One encoder with its cache, and a folder for what was ranked."""

    def __init__(self, work: Path, cache: Path, ablations: Sequence[str] = ()) -> None:
        self.work, self.cache, self.ablations = work, cache, ablations
        config = load("train", [])
        self.encoder: Embedder = CachedEmbedder(encoder=build(config.embedder), folder=str(cache))

    def scored(
        self,
        label: str,
        training: Sequence[Conversation],
        test: Sequence[Conversation],
        seed: int,
        overrides: list[str],
    ) -> list[Scored]:
        """Fit on ``training`` (a fifth of it watches) and score ``test`` at every width; rankings are kept."""
        kept = self.work / "rankings" / f"{label}.json"
        if not kept.is_file():
            split = hold_out([c.id for c in training], share=0.2, seed=seed)
            config = load("train", ["learner=head", *overrides])
            result = train(
                build(config.learner),
                [c for c in training if c.id in set(split.training)],
                [c for c in training if c.id in set(split.held_out)],
                folder=self.work / "fits" / label,
                cache=self.cache,
                seed=seed,
                options=build(config.trainer),
                tracker=NullTracker(),
            )
            systems = head_systems(result.model, self.encoder, k1=K1, b=B)
            _keep(kept, score(systems, test))
            print(f"{label}: {result.seconds:.0f} s", file=sys.stderr, flush=True)
        return _kept(kept, test)

    def baselines(self, name: str, test: Sequence[Conversation]) -> list[Scored]:
        """Score what needs no training."""
        kept = self.work / "rankings" / f"baselines-{name}.json"
        if not kept.is_file():
            _keep(kept, score(baselines(self.encoder, dim=2048, k1=K1, b=B, seed=0), test))
        return _kept(kept, test)


def _keep(file: Path, scored: Iterable[Scored]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = {s.system: [[r.question.id, list(r.memory_ids[:50]), dict(r.figures)] for r in s.rankings] for s in scored}
    file.write_text(json.dumps(rows))


def _kept(file: Path, test: Iterable[Conversation]) -> list[Scored]:
    asked = {q.id: q for c in test for q in c.questions}
    rows = json.loads(file.read_text())
    return [
        Scored(system, tuple(Ranking(asked[i], tuple(ids), figures) for i, ids, figures in rankings))
        for system, rankings in rows.items()
    ]


def _joined(parts: Sequence[list[Scored]]) -> list[Scored]:
    """Put the held-out folds of one seed together."""
    return [
        replace(systems[0], rankings=tuple(r for one in systems for r in one.rankings))
        for systems in zip(*parts, strict=True)
    ]


def _rows(seeds: Sequence[list[Scored]], data: str, protocol: str, command: str) -> list[dict[str, object]]:
    """Return a row a system and metric: mean over questions of the mean over seeds, interval over conversations."""
    rows: list[dict[str, object]] = []
    for systems in zip(*seeds, strict=True):
        for metric in METRICS:
            e = estimate(np.mean([one.values(metric) for one in systems], axis=0), systems[0].groups)
            spread = [float(one.values(metric).mean()) for one in systems]
            rows.append(
                {
                    "system": systems[0].system,
                    "data": data,
                    "protocol": protocol,
                    "metric": metric,
                    "mean": round(e.mean, 5),
                    "ci95": [round(e.low, 5), round(e.high, 5)],
                    "seeds": len(systems),
                    "by_seed": [round(value, 5) for value in spread],
                    "n": e.n,
                    "command": command,
                    "commit": commit(),
                }
            )
    return rows


def _gain_rows(rows: list[dict[str, object]], seeds: Sequence[list[Scored]], others: list[Scored]) -> None:
    """Add the paired gain of the full vector over each other system."""
    mine = [next(s for s in systems if s.system == "projected-2048") for systems in seeds]
    values = np.mean([one.values("ndcg@10") for one in mine], axis=0)
    rivals = {s.system: s.values("ndcg@10") for s in others}
    for place, first in enumerate(seeds[0]):
        if first.system != "projected-2048":
            rivals[first.system] = np.mean([systems[place].values("ndcg@10") for systems in seeds], axis=0)
    for system, theirs in rivals.items():
        e = estimate(values - theirs, mine[0].groups)
        rows.append(
            rows[0]
            | {
                "system": "projected-2048",
                "versus": system,
                "metric": "gain ndcg@10",
                "mean": round(e.mean, 5),
                "ci95": [round(e.low, 5), round(e.high, 5)],
                "seeds": len(seeds),
                "by_seed": [],
                "n": e.n,
            }
        )


def held_out_conversations(bench: Bench, seeds: int, overrides: list[str], tag: str = "") -> list[list[Scored]]:
    """LoCoMo, each conversation scored by a model that never saw it."""
    corpus = _corpus("locomo")
    found = []
    for seed in range(seeds):
        parts = []
        for i, split in enumerate(leave_one_out([c.id for c in corpus])):
            rest, test = ([c for c in corpus if c.id in set(ids)] for ids in (split.training, split.held_out))
            parts.append(bench.scored(f"locomo{tag}-s{seed}-f{i}", rest, test, seed, overrides))
        found.append(_joined(parts))
    return found


def transfer(bench: Bench, source: str, target: str, seeds: int, overrides: list[str]) -> list[list[Scored]]:
    """Train on one corpus, score another: no line of the target is seen."""
    train_on, test = _corpus(source), _corpus(target)
    return [bench.scored(f"{source}-{target}-s{s}", train_on, test, s, overrides) for s in range(seeds)]


def _corpus(name: str) -> list[Conversation]:
    config = load("train", [f"data={name}", *(["data.memories=10000"] if name == "synthetic" else [])])
    return list(build(config.data).conversations())


def main() -> None:
    """Run the protocols that are named and merge their rows into results.json."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("protocols", nargs="+", choices=sorted(PROTOCOLS))
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--work", type=Path, default=Path("runs/embedder_2048"))
    ask.add_argument("--cache", type=Path, default=Path("runs/cache"))
    ask.add_argument("--ablations", nargs="*", choices=sorted(ABLATIONS), default=list(ABLATIONS))
    given = ask.parse_args()
    bench = Bench(given.work, given.cache, given.ablations)
    for protocol in given.protocols:
        command = f"python experiments/embedder_2048/run.py {protocol} --seeds {given.seeds}"
        _merge(PROTOCOLS[protocol](bench, given.seeds, command))


def _locomo(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:
    found, others = held_out_conversations(bench, seeds, []), bench.baselines("locomo", _corpus("locomo"))
    rows = _rows([others], "locomo", "none", command)
    mine = _rows(found, "locomo", "leave-one-conversation-out", command)
    _gain_rows(mine, found, others)
    return rows + mine


def _synthetic(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:
    return _transferred(bench, "synthetic", "locomo", seeds, command)


def _beam(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:
    return _transferred(bench, "beam500k_user", "locomo", seeds, command)


def _beam100k(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:
    return _transferred(bench, "beam500k_user", "beam100k", seeds, command)


def _transferred(bench: Bench, source: str, target: str, seeds: int, command: str) -> list[dict[str, object]]:
    found, others = transfer(bench, source, target, seeds, []), bench.baselines(target, _corpus(target))
    rows = _rows(found, target, f"trained on {source}", command)
    _gain_rows(rows, found, others)
    return _rows([others], target, "none", command) + rows


def _ablation(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:  # noqa: ARG001
    rows = []
    for name in bench.ablations:
        overrides = ABLATIONS[name]
        found = held_out_conversations(bench, 1, overrides, f"-{name}" if name else "")
        rows += _rows(found, "locomo", f"ablation: {name or 'none'}", command)
    return rows


def _bytes(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:  # noqa: ARG001
    """Score BM25 given as many columns as the trained vector: hashed to each width."""
    corpus = _corpus("locomo")
    widths = (2048, 1216, 800, 592, 384)
    hashers = [HashingEmbedder(dim=d, k1=K1, b=B, mean_length=12.0, copies=8) for d in widths]
    systems = [VectorRetriever(name=f"bm25-hashed-{h.dim}", embedder=h) for h in hashers]
    return _rows([score(systems, corpus)], "locomo", "none", command)


def _forgetting(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:  # noqa: ARG001
    """Score general sets before and after: the encoder, and the heads of seed 0 of every protocol that was run."""
    embedders = {"minilm-384": bench.encoder}
    for label in ("locomo-s0-f0", "locomo-pulled-s0-f0", "synthetic-locomo-s0", "beam500k_user-locomo-s0"):
        model = bench.work / "fits" / label / "model"
        for dim in (2048, 384) if model.is_dir() else ():
            embedders[f"projected-{dim}, {label}"] = embedder_of(model, bench.encoder, dim=dim)
    said = {"protocol": "forgetting", "ci95": [], "seeds": 1, "command": command, "commit": commit()}
    return [row | said for row in forgetting(embedders)]


def _finetune(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:  # noqa: ARG001
    """Train the whole encoder on six conversations of LoCoMo (two watch), then a head over it; two are held out."""
    corpus = _corpus("locomo")
    split = hold_out([c.id for c in corpus], share=0.2, seed=0)
    rest, test = ([c for c in corpus if c.id in set(ids)] for ids in (split.training, split.held_out))
    folder = bench.work / "fits" / "finetune-locomo-s0"
    if not (folder / "model").is_dir():
        inner = hold_out([c.id for c in rest], share=0.2, seed=0)
        config = load("train", ["experiment=finetune_minilm"])
        train(
            build(config.learner),
            [c for c in rest if c.id in set(inner.training)],
            [c for c in rest if c.id in set(inner.held_out)],
            folder=folder,
            cache=bench.cache,
            seed=0,
            options=build(config.trainer),
            tracker=NullTracker(),
        )
    over = Bench(bench.work, bench.cache)
    words = ["embedder=transformer", f"embedder.model={folder / 'model'}", "embedder.context_turns=0"]
    over.encoder = CachedEmbedder(encoder=build(load("train", words).embedder), folder=str(bench.cache))
    tuned = embedder_of(folder / "model", bench.encoder)
    lists = [
        *over.scored("finetuned-locomo-s0", rest, test, 0, words),
        *score([VectorRetriever(name="minilm-tuned-384", embedder=tuned)], test),
    ]
    plain = bench.scored("plain-locomo-s0", rest, test, 0, [])
    named = [replace(one, system=f"{one.system} over minilm-tuned") for one in lists[:-1]] + lists[-1:]
    others = score(baselines(bench.encoder, dim=2048, k1=K1, b=B, seed=0), test)
    rows = _rows([[*named, *plain, *others]], "locomo", "two conversations held out", command)
    head = embedder_of(over.work / "fits" / "finetuned-locomo-s0" / "model", over.encoder)
    said = {"protocol": "forgetting", "ci95": [], "seeds": 1, "command": command, "commit": commit()}
    kept = forgetting({"minilm-tuned-384": tuned, "projected-2048 over minilm-tuned": head})
    return rows + [row | said for row in kept]


def _tries(bench: Bench, seeds: int, command: str) -> list[dict[str, object]]:  # noqa: ARG001
    """What costs less of what the encoder knew: heads of seed 0, changed after training, on LoCoMo and general sets."""
    rows: list[dict[str, object]] = []
    corpus = _corpus("locomo")
    for name, changed in TRIES.items():
        parts, embedders = [], {}
        for i, split in enumerate(leave_one_out([c.id for c in corpus])):
            embedder = embedder_of(bench.work / "fits" / f"locomo-s0-f{i}" / "model", bench.encoder)
            embedder._projection = changed(embedder._projection)  # type: ignore[attr-defined]
            test = [c for c in corpus if c.id in set(split.held_out)]
            parts.append(score([VectorRetriever(name=f"projected-2048, {name}", embedder=embedder)], test))
            embedders.setdefault(f"projected-2048, {name}", embedder)
        rows += _rows([_joined(parts)], "locomo", "against forgetting", command)
        said = {"protocol": "against forgetting", "ci95": [], "seeds": 1, "command": command, "commit": commit()}
        rows += [row | said for row in forgetting(embedders)]
    return rows


def _averaged(p: Projection, share: float) -> Projection:
    """Return the weights moved towards those of the start (WiSE-FT, 2109.01903, eq. 1); scales and lags stay."""
    eye = np.eye(len(p.query), dtype=np.float32)
    parts = ("query", "turn", "context")
    return replace(p, **{part: share * getattr(p, part) + (1 - share) * eye for part in parts})


def _words_at(p: Projection, share: float) -> Projection:
    scales = p.scales.copy()
    scales[3] *= share
    return replace(p, scales=scales)


TRIES: dict[str, Callable[[Projection], Projection]] = {
    "as trained": lambda p: p,
    "averaged with its start, .75": lambda p: _averaged(p, 0.75),
    "averaged with its start, .5": lambda p: _averaged(p, 0.5),
    "words at .7": lambda p: _words_at(p, 0.7),
    "words at .5": lambda p: _words_at(p, 0.5),
    "words at .5, averaged .5": lambda p: _words_at(_averaged(p, 0.5), 0.5),
}


PROTOCOLS: dict[str, Callable[[Bench, int, str], list[dict[str, object]]]] = {
    "locomo": _locomo,
    "synthetic": _synthetic,
    "beam": _beam,
    "beam100k": _beam100k,
    "ablation": _ablation,
    "bytes": _bytes,
    "forgetting": _forgetting,
    "tries": _tries,
    "finetune": _finetune,
}


def _merge(rows: list[dict[str, object]]) -> None:
    """Put the rows into results.json in place of older ones of the same system, data, protocol and metric."""
    file = HERE / "results.json"
    before = json.loads(file.read_text()) if file.is_file() else []
    key = lambda row: (row["system"], row.get("versus", ""), row["data"], row["protocol"], row["metric"])  # noqa: E731
    merged = {key(row): row for row in before} | {key(row): row for row in rows}
    file.write_text(json.dumps(list(merged.values()), indent=1) + "\n")


if __name__ == "__main__":
    main()
