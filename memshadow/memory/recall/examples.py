"""What a ranker learns from: the candidates of a question as a table, and which of them are evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy import ndarray

from memshadow.memory.recall.conversation import block_of, everything
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.memory.recall.rankers.home import likeness
from memshadow.memory.recall.retrieving import asked_of
from memshadow.memory.recall.scene import Scene
from memshadow.memory.recall.viewing import Viewer
from memshadow.models.base import Embedder
from memshadow.models.metrics import ndcg
from memshadow.training.progress import steps
from memshadow.types import Conversation, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question: its candidates (columns of ``table``), what is right, and what the fusion makes of them."""

    table: Float32[ndarray, "features c"]
    plain: Float32[ndarray, " c"]
    gold: Bool[ndarray, " c"]
    missed: int
    """Pieces of evidence that are no candidates."""
    likeness: tuple[float, ...]
    """What its scope is like, see :mod:`.rankers.home`."""
    corpus: str
    conversation: str
    question: str

    def worth(self, scores: Float[ndarray, " c"]) -> float:
        """Return nDCG@10 of the order that scores give; evidence that is no candidate counts as never found."""
        places = np.flatnonzero(self.gold[np.argsort(-scores, kind="stable")])
        return ndcg(places.tolist(), int(self.gold.sum()) + self.missed)


def examples(
    conversations: Sequence[Conversation], embedder: Embedder, viewer: Viewer, table: FeatureTable, *, what: str
) -> list[Example]:
    """Return an example for every question with evidence, in order."""
    askable = [c for c in conversations if any(q.evidence for q in c.questions)]
    shown = steps(askable, f"reading {what} conversations", total=len(askable))
    return [one for conversation in shown for one in _of(conversation, embedder, viewer, table)]


def scenes(
    conversation: Conversation, questions: Iterable[Question], embedder: Embedder, viewer: Viewer
) -> Iterator[tuple[Question, Scene]]:
    """Yield what is seen when each question is asked of the whole conversation."""
    block = block_of(conversation, embedder)
    allowed = everything(block)
    for question in questions:
        scene = viewer.see(block, allowed, asked_of(block, allowed, question.text, embedder))
        if scene is not None:
            yield question, scene


def _of(conversation: Conversation, embedder: Embedder, viewer: Viewer, table: FeatureTable) -> Iterator[Example]:
    place = {memory.id: number for number, memory in enumerate(conversation.memories)}
    asked = [question for question in conversation.questions if question.evidence]
    for question, scene in scenes(conversation, asked, embedder, viewer):
        right = {place[name] for name in question.evidence if name in place}
        gold = np.isin(scene.said.places[scene.here], list(right))
        yield Example(
            table=table.rows(scene),
            plain=scene.at(scene.plain).astype(np.float32),
            gold=gold,
            missed=len(right) - int(gold.sum()),
            likeness=likeness(scene),
            corpus=getattr(conversation, "corpus", ""),
            conversation=conversation.id,
            question=question.id,
        )
