"""What ``train`` and ``evaluate`` share: which systems stand in the table, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.memory.champion import embedder_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from memshadow.memory.evaluation import Scored
    from memshadow.memory.recall.viewing import Viewer
    from memshadow.memory.retrieval import Retriever
    from memshadow.models.base import Embedder
    from memshadow.models.metrics import Estimate
    from memshadow.training.champion import QuestionScore
    from memshadow.types import Conversation

    Figures = dict[str, Figure]

BM25_K1, BM25_B = 0.9, 0.4
_LOOKED_AT = 100  # questions that importances are worked out on


def widths(model: Path, encoder: Embedder) -> list[int]:
    """Return the widths that a trained head folds to, widest first; none for another model."""
    from memshadow.models.checkpoint import read_model
    from memshadow.models.projected import KIND

    stored = read_model(model)
    if stored.kind != KIND:
        return []
    lexical = int(stored.settings["views"]["width"])
    fits = [encoder.dim + lexical // n for n in (1, 2, 4, 8) if lexical % n == 0]
    return list(dict.fromkeys([*fits, encoder.dim]))


def head_systems(model: Path, encoder: Embedder, *, k1: float, b: float) -> list[Retriever]:
    """Return a trained head at each width, and its dense block fused with BM25 as two indexes."""
    from memshadow.memory.retrieval import FusionRetriever, LexicalRetriever, VectorRetriever

    found: list[Retriever] = []
    for dim in widths(model, encoder):
        embedder = embedder_of(model, encoder, dim=dim)
        found.append(VectorRetriever(name=embedder.name, embedder=embedder))
    if found:
        parts = [LexicalRetriever(name="bm25", k1=k1, b=b), found[-1]]
        found += [FusionRetriever(name=f"fusion-head-{m}", method=m, parts=parts) for m in ("rrf", "minmax")]
    return found


def table(scored: Sequence[Scored], *, subject: str, title: str) -> Table:
    """Return the comparison in points (hundredths): 95 % intervals, and ``subject``'s paired gain over each other."""
    from rich import box
    from rich.table import Table

    from memshadow.memory.evaluation import SHOWN

    mine = next(one for one in scored if one.system == subject)
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", padding=0)
    grid.add_column("system", no_wrap=True)
    for heading in ("nDCG@10", "95 %", "R@10", "er@512", "sess@1", "gain", "95 %"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for one in sorted(scored, key=lambda s: s.estimate(SHOWN[0]).mean):
        first, *others = (one.estimate(metric) for metric in SHOWN)
        gain = ("", "") if one is mine else _parts(mine.gain_over(one, SHOWN[0]), "+")
        figures = [*_parts(first), *(_parts(e)[0] for e in others), *gain]
        grid.add_row(one.system, *figures, style="bold green" if one is mine else None)
    return grid


def _parts(e: Estimate, sign: str = "") -> tuple[str, str]:
    """Return mean and interval in points."""
    return f"{100 * e.mean:{sign}.1f}", f"{100 * e.low:{sign}.1f}..{100 * e.high:{sign}.1f}"


def gains(mine: Scored, other: Scored) -> list[dict[str, Any]]:
    """Return what ``mine`` gains over ``other`` in each category of question, with intervals."""
    from memshadow.models.metrics import estimate

    found = []
    difference = mine.values("ndcg@10") - other.values("ndcg@10")
    categories = [ranking.question.category for ranking in mine.rankings]
    for category in sorted(set(categories)):
        here = [i for i, name in enumerate(categories) if name == category]
        e = estimate(difference[here], [mine.groups[i] for i in here])
        found.append({"category": category, "questions": e.n, "gain": e.mean, "low": e.low, "high": e.high})
    return found


def forgetting(embedders: Mapping[str, Embedder]) -> list[dict[str, Any]]:
    """Return SciFact and STS-B figures of each embedder; sets that are not here are left out."""
    from memshadow.data.corpora.scifact import ScifactCorpus
    from memshadow.data.corpora.stsb import StsbCorpus
    from memshadow.data.home import data_home
    from memshadow.memory.forgetting import retrieval, similarity

    rows: list[dict[str, Any]] = []
    for name, embedder in embedders.items():
        if (data_home() / "scifact").is_dir():
            e = retrieval(embedder, list(ScifactCorpus(split="dev", folder=None).conversations()))
            rows.append({"system": name, "data": "scifact", "metric": "ndcg@10", "mean": e.mean, "n": e.n})
        if (data_home() / "stsb").is_dir():
            pairs = [pair for pair in StsbCorpus(folder=None).pairs() if pair.split == "test"]
            mean = similarity(embedder, pairs)
            rows.append({"system": name, "data": "stsb", "metric": "spearman", "mean": mean, "n": len(pairs)})
    return rows


def held_out_table(
    model: Path, encoder: Embedder, held_out: Sequence[Conversation], *, seed: int, viewer: Viewer | None = None
) -> list[Scored]:
    """Score a trained model beside the baselines on conversations it never saw; the model itself comes last.

    ``viewer``: of a ranker; what an embedder is measured by has none.
    """
    from memshadow.memory.evaluation import score
    from memshadow.memory.retrieval import baselines

    others = baselines(encoder, dim=2048, k1=BM25_K1, b=BM25_B, seed=seed)
    if viewer is not None:
        kept = [one for one in others if not one.name.startswith("random-")]
        return score([*kept, *context_fusions(encoder, viewer), trained(model, encoder, viewer)], held_out)
    heads = head_systems(model, encoder, k1=BM25_K1, b=BM25_B)
    return score([*others, *heads[1:], *(heads[:1] or [trained(model, encoder)])], held_out)


def trained(model: Path, encoder: Embedder, viewer: Viewer | None = None, *, name: str = "trained") -> Retriever:
    """Return a trained model as what ranks a conversation: an embedder, or with a viewer a ranker."""
    from memshadow.memory.retrieval import VectorRetriever

    if viewer is None:
        return VectorRetriever(name=name, embedder=embedder_of(model, encoder))
    from memshadow.memory.recall.rankers.trained import ranker_of
    from memshadow.memory.recall.retrieving import RankedRetriever
    from memshadow.memory.recall.staged import StagedRanking

    ranking = StagedRanking(viewer=viewer, ranker=ranker_of(str(model)))
    return RankedRetriever(name=name, embedder=encoder, ranking=ranking)


def context_fusions(encoder: Embedder, viewer: Viewer) -> list[Retriever]:
    """Return the untuned fusions of vector, words and the words of two turns."""
    from memshadow.memory.recall.rankers.base import Ranker
    from memshadow.memory.recall.rankers.fusions import MinMaxRanker, ReciprocalRanker
    from memshadow.memory.recall.retrieving import RankedRetriever
    from memshadow.memory.recall.scene import LISTS
    from memshadow.memory.recall.staged import StagedRanking

    rankers: dict[str, Ranker] = {
        "context-rrf": ReciprocalRanker(lists=LISTS),
        "context-minmax": MinMaxRanker(weights=dict.fromkeys(LISTS, 1 / len(LISTS))),
    }
    return [
        RankedRetriever(name=name, embedder=encoder, ranking=StagedRanking(viewer=viewer, ranker=ranker))
        for name, ranker in rankers.items()
    ]


def question_scores(scored: Scored) -> list[QuestionScore]:
    """Return what decides on a champion: nDCG@10 of each question."""
    from memshadow.training.champion import QuestionScore

    return [
        QuestionScore(
            question_id=ranking.question.id,
            conversation_id=ranking.question.conversation_id,
            value=ranking.figures["ndcg@10"],
        )
        for ranking in scored.rankings
    ]


def rival_of(scored: Sequence[Scored]) -> Scored:
    """Return what a first champion must beat: BM25; a ranker, the best of the fusions, none of which was tuned."""
    from memshadow.memory.evaluation import SHOWN

    fusions = [one for one in scored if one.system.startswith("context-")]
    if not fusions:
        return next(one for one in scored if one.system == "bm25")
    others = [one for one in scored[:-1] if one.system.startswith("fusion-")]
    return max([*fusions, *others], key=lambda one: one.estimate(SHOWN[0]).mean)


def _importances(model: Path, encoder: Embedder, held_out: Sequence[Conversation], viewer: Viewer) -> Figure:
    from memshadow.memory.recall.examples import examples
    from memshadow.memory.recall.importance import importances
    from memshadow.memory.recall.rankers.trained import ranker_of
    from memshadow.training.plots import importances as drawn

    ranker = ranker_of(str(model))
    found = examples(held_out, encoder, viewer, ranker.table, what="held-out")
    return drawn(importances(ranker, found[:: 1 + len(found) // _LOOKED_AT], by_group=False, seed=0))


def figures_of(
    scored: Sequence[Scored],
    model: Path,
    encoder: Embedder,
    held_out: Sequence[Conversation],
    viewer: Viewer | None = None,
) -> Figures:
    """Return the pictures of a run: gain by category, quality over width, a map of memories; what a ranker looks at."""
    from memshadow.memory.evaluation import SHOWN
    from memshadow.training.plots import gain_by_category, memory_map, ndcg_over_dims
    from memshadow.types import in_context

    subject, rival = scored[-1], rival_of(scored)
    found = {"gain_by_category": gain_by_category(gains(subject, rival), system=subject.system, baseline=rival.system)}
    if viewer is not None:
        return found | {"importances": _importances(model, encoder, held_out, viewer)}
    curve = [
        {"dim": float(one.system.removeprefix("projected-")), "mean": e.mean, "low": e.low, "high": e.high}
        for one in scored
        if one.system.startswith("projected-")
        for e in [one.estimate(SHOWN[0])]
    ]
    if curve:
        levels = {one.system: one.estimate(SHOWN[0]).mean for one in scored if one.system in ("bm25", "fusion-minmax")}
        found["ndcg_over_dims"] = ndcg_over_dims({"projected": sorted(curve, key=lambda r: r["dim"])}, levels=levels)
    embedder, memories = embedder_of(model, encoder), held_out[0].memories
    before, after = embedder.reach
    rows = embedder.embed_passages(in_context(memories, before=before, after=after))
    found["memory_map"] = memory_map(rows, [m.speaker for m in memories], title=f"Memories of {held_out[0].id}")
    return found
