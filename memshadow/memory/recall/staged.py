"""Candidates, features, a ranker, a second look: from a block and a question to the best places, in stages.

Each stage is replaced by configuration. What a missing stage falls back to stands in ``Ranked.notes``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

from memshadow.data.index.base import Block
from memshadow.memory.ranking import Asked, Ranked
from memshadow.memory.recall.rankers.base import Ranker
from memshadow.memory.recall.scene import Scene
from memshadow.memory.recall.second import SecondLook
from memshadow.memory.recall.viewing import Viewer


class StagedRanking:
    """Orders the candidates of a scene by a ranker, and what is no candidate behind them by the fusion.

    Args:
        viewer: how a question is seen; a trained ranker wants the one that it was trained with.
        ranker: what orders the candidates.
        second: what looks at the best of them again; ``None``: nothing does.
    """

    def __init__(self, *, viewer: Viewer, ranker: Ranker, second: SecondLook | None = None) -> None:
        self.viewer, self.ranker, self.second = viewer, ranker, second

    def rank(self, block: Block, allowed: Bool[ndarray, " size"], asked: Asked, *, k: int) -> Ranked:
        """Return the ``k`` best allowed places."""
        scene = self.viewer.see(block, allowed, asked)
        if scene is None:
            nothing = np.zeros(0)
            return Ranked(places=nothing.astype(np.int64), scores=nothing, parts={}, among=nothing.astype(np.int64))
        scores = first = self.ranker.scores(scene)
        parts = _parts(scene) | {"ranker": _spread(scene, first)}
        notes = self.ranker.notes(scene)
        if self.second is not None:
            scores, seen, more = self.second.look(scene, asked, first)
            parts["second"], notes = _spread(scene, seen), (*notes, *more)
        order, found = _ordered(scene, scores, k)
        parts, among = _passed(scene, parts, order[:k])
        ranked = Ranked(
            places=scene.said.places[scene.among[order[:k]]], scores=found[:k], parts=parts, among=among, notes=notes
        )
        return _lengthened(ranked, block, allowed, asked, k) if len(order) < k else ranked


def _lengthened(ranked: Ranked, block: Block, allowed: Bool[ndarray, " size"], asked: Asked, k: int) -> Ranked:
    """Return a ranking of a large scope up to ``k``: behind all that was scored comes what is nearest by the vector."""
    if asked.visible is not None and allowed is not asked.visible:
        allowed = allowed & asked.visible
    if len(ranked.places) == np.count_nonzero(allowed):  # there is no more
        return ranked
    near = block.nearest(asked.vector, k=k, allowed=allowed)
    new = np.flatnonzero(~np.isin(near.places, ranked.places))[: k - len(ranked.places)]
    vector = near.scores[new].astype(np.float64)
    behind = ranked.scores[-1] - 1.0 - (vector[:1] - vector)
    nothing, first = np.full(len(new), np.nan), len(next(iter(ranked.parts.values())))
    return Ranked(
        places=np.concatenate([ranked.places, near.places[new]]),
        scores=np.concatenate([ranked.scores, behind]),
        parts={
            name: np.concatenate([part, vector if name == "vector" else nothing]) for name, part in ranked.parts.items()
        },
        among=np.concatenate([ranked.among, np.arange(first, first + len(new))]),
        notes=ranked.notes,
    )


def _ordered(scene: Scene, scores: Float[ndarray, " c"], k: int) -> tuple[ndarray, Float[ndarray, " n"]]:
    """Return at least ``k`` numbers of ``among``, best first, with scores that never rise.

    Behind the candidates, with scores that begin 1 below theirs, come the others as the fusion has them.
    """
    first = np.argsort(-scores, kind="stable")
    if k <= len(first):
        return scene.chosen[first], scores[first]
    rest = np.ones(len(scene.among), dtype=bool) if scene.passing is None else scene.passing.copy()
    rest[scene.chosen] = False
    others = np.flatnonzero(rest)
    others = others[np.argsort(-scene.smoothed[others], kind="stable")]
    least = float(scores.min())
    behind = scene.smoothed[others]
    lowered = least - 1.0 - (behind[0] - behind if len(behind) else behind)
    return np.concatenate([scene.chosen[first], others]), np.concatenate([scores[first], lowered])


def _passed(
    scene: Scene, parts: dict[str, Float[ndarray, " m"]], order: Int64[ndarray, " k"]
) -> tuple[dict[str, Float[ndarray, " passing"]], Int64[ndarray, " k"]]:
    """Return the parts of what may be a hit alone, and where the hits stand there: context is not told of."""
    if scene.passing is None:
        return parts, order
    kept = np.flatnonzero(scene.passing)
    return {name: part[kept] for name, part in parts.items()}, kept.searchsorted(order)


def _parts(scene: Scene) -> dict[str, Float[ndarray, " m"]]:
    """Return the raw scores that explain a hit."""
    return {"vector": scene.scores["vector"], "words": scene.scores["whole"], "context": scene.smoothed}


def _spread(scene: Scene, values: Float[ndarray, " c"]) -> Float[ndarray, " m"]:
    """Return the candidates' values among all that was scored; NaN for the others."""
    spread = np.full(len(scene.among), np.nan)
    spread[scene.chosen] = values
    return spread
