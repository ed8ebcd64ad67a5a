"""The learner of the projected embedder: conversations in, a model folder out. Knows features, caching and calibration.

Encoding is the cost (minutes), so it is done once per encoder and conversation and kept; the head itself takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError, DataError
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.head import LEXICAL_WEIGHTS, ConversationFeatures, HeadModule, blended, chosen_blend
from memshadow.models.lexical import TermStatistics, terms
from memshadow.models.projected import ViewMaker, ViewSettings, untrained, write_projection
from memshadow.models.teaching import Lesson, Teacher
from memshadow.training.batching import BatchLoader, Draw, FixedBatches
from memshadow.training.progress import steps
from memshadow.types import Conversation, Memory, Question, in_context

_BLENDS = [(share, lexical) for share in (1.0, 0.75, 0.5) for lexical in LEXICAL_WEIGHTS]


class HeadLearner:
    """Trains the head on features of a frozen encoder.

    Args:
        encoder: the frozen encoder.
        optimizer: parameter groups -> optimiser (a ``_partial_`` in YAML).
        dim: width of the vectors: the encoder's plus the lexical block's.
        before, after, context_chars, k1, b, mean_length, copies: see :class:`ViewSettings`.
        lr, scalar_lr, keep, pull, warmup_steps: see :class:`HeadModule`.
        questions_per_step: questions of one conversation in a step.
        max_epochs, patience: passes at most, and validations without a better score before the end.
        teacher: ranks the training conversations; questions without evidence teach by it alone. ``None``: no teacher.
        teacher_weight, temperature: see :class:`HeadModule`.
    """

    name = "head"
    monitor = "val/ndcg@10"

    def __init__(
        self,
        *,
        encoder: Embedder,
        optimizer: Callable[..., torch.optim.Optimizer],
        dim: int,
        before: int,
        after: int,
        context_chars: int,
        k1: float,
        b: float,
        mean_length: float,
        copies: int,
        lr: float,
        scalar_lr: float,
        keep: float,
        pull: float,
        warmup_steps: int,
        questions_per_step: int,
        max_epochs: int,
        patience: int,
        teacher: Teacher | None,
        teacher_weight: float,
        temperature: float,
    ) -> None:
        if not (0 <= teacher_weight < math.inf and 0 < temperature < math.inf):
            raise ConfigError(f"{teacher_weight=}, {temperature=}; needed: at least 0, and above 0.")
        if not (teacher is None or isinstance(teacher, Teacher)):
            raise ConfigError(f"{teacher=}; needed: null, or one of configs/teacher (+teacher@learner.teacher=NAME).")
        self.encoder, self.max_epochs, self.patience = encoder, max_epochs, patience
        self.settings = ViewSettings(
            before=before,
            after=after,
            context_chars=context_chars,
            k1=k1,
            b=b,
            mean_length=mean_length,
            copies=copies,
            width=dim - encoder.dim,
        )
        self._module = partial(
            HeadModule,
            make_optimizer=optimizer,
            lr=lr,
            scalar_lr=scalar_lr,
            keep=keep,
            pull=pull,
            warmup_steps=warmup_steps,
            teacher_weight=teacher_weight,
            temperature=temperature,
        )
        self._teacher = teacher
        self._batch = questions_per_step
        self._start = untrained(encoder.dim, self.settings)
        self._held_out: list[ConversationFeatures] = []
        self._background = TermStatistics()

    def parts(
        self, training: Sequence[Conversation], validation: Sequence[Conversation], *, cache: Path, seed: int
    ) -> tuple[HeadModule, HeadData]:
        """Return the module and its data; features come from ``cache`` where an earlier run left them.

        Raises:
            DataError: no question with evidence to train on, or none to validate on.
        """
        store = FeatureStore(CachedEmbedder(encoder=self.encoder, folder=str(cache)), self.settings)
        learned = store.features(training, "training", self._lessons(training, cache))
        self._held_out = store.features(validation, "held-out")
        for what, found in (("training", learned), ("held-out", self._held_out)):
            if not found:
                raise DataError(f"no {what} conversation has a question with evidence; a head learns from nothing else")
        self._background = _pruned(TermStatistics.of(terms(m.rendered()) for c in training for m in c.memories))
        data = HeadData(learned, self._held_out, questions_per_step=self._batch, seed=seed)
        module = self._module(start=self._start, steps=self.max_epochs * len(data.train_dataloader()))
        return module, data

    def _lessons(self, training: Sequence[Conversation], cache: Path) -> list[Sequence[Lesson]] | None:
        return list(self._teacher.lessons(training, cache=cache)) if self._teacher else None

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Blend with the start as the held-out conversations say, and write the model."""
        if not isinstance(module, HeadModule):
            raise TypeError(f"a {type(module).__name__} came; needed: the HeadModule that parts() gave")
        trained = module.head.projection()
        share, lexical = chosen_blend(self._start, trained, self._held_out, _BLENDS)
        best = blended(self._start, trained, share=share, lexical=lexical)
        write_projection(folder, best, self.settings, self._background, self.encoder)


class HeadData(pl.LightningDataModule):
    """Batches of one conversation each: all its passages, some of its questions."""

    def __init__(
        self,
        training: Sequence[ConversationFeatures],
        validation: Sequence[ConversationFeatures],
        *,
        questions_per_step: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._training, self._validation = training, validation
        self._owners = [(c, q) for c, given in enumerate(training) for q in range(len(given.queries))]
        self._batch = questions_per_step
        self._loader = BatchLoader(self._made, self._plan, seed=seed)
        self._seed = seed

    def train_dataloader(self) -> BatchLoader[tuple[ConversationFeatures, torch.Tensor]]:
        """Return the one resumable loader of this data."""
        return self._loader

    def val_dataloader(self) -> FixedBatches[tuple[ConversationFeatures, torch.Tensor]]:
        """Return each held-out conversation with all its questions."""
        return FixedBatches([(given, torch.arange(len(given.queries))) for given in self._validation])

    def _plan(self, epoch: int) -> list[list[int]]:
        """Return the epoch's batches: questions of each conversation shuffled and cut, then the batches shuffled."""
        rng = np.random.default_rng((self._seed, epoch))
        batches, first = [], 0
        for given in self._training:
            order = first + rng.permutation(len(given.queries))
            batches += [order[i : i + self._batch].tolist() for i in range(0, len(order), self._batch)]
            first += len(order)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _made(self, draw: Draw) -> tuple[ConversationFeatures, torch.Tensor]:
        owners = [self._owners[i] for i in draw.indices]
        return self._training[owners[0][0]], torch.tensor([question for _, question in owners])


class FeatureStore:
    """Makes the features of conversations with an encoder that remembers its rows."""

    def __init__(self, encoder: Embedder, settings: ViewSettings) -> None:
        self._encoder, self._settings = encoder, settings

    def features(
        self, conversations: Sequence[Conversation], what: str, lessons: Sequence[Sequence[Lesson]] | None = None
    ) -> list[ConversationFeatures]:
        """Return the features of every conversation that can be learned from, in order.

        That is one with a question that has evidence; with ``lessons``, one list a conversation, any with a question.
        """
        told = [None] * len(conversations) if lessons is None else lessons
        shown = steps(conversations, f"encoding {what} conversations", total=len(conversations))
        made = (self._made(conversation, lesson) for conversation, lesson in zip(shown, told, strict=True))
        return [one for one in made if one is not None]

    def _made(self, conversation: Conversation, told: Sequence[Lesson] | None) -> ConversationFeatures | None:
        memories = conversation.memories
        asked = [q for q in conversation.questions if q.evidence or told is not None]
        if not asked or not memories:
            return None
        near = in_context(memories, before=max(1, self._settings.before), after=self._settings.after)
        maker = ViewMaker(self._encoder, self._settings)
        views = maker.views(near)
        statistics = TermStatistics.of(terms(m.rendered()) for m in memories)
        queries = np.stack([maker.query_words(q.text, statistics) for q in asked])
        padded = np.hstack([queries @ views.words.T, np.zeros((len(asked), 1), dtype=np.float32)])
        words = np.stack([padded[:, column] for column in views.place.T] + [queries @ views.speaker.T])
        dense = self._encoder.embed_queries([q.text for q in asked])
        targets = _evidence(asked, memories), _told(told or (), len(memories))
        arrays = (views.turns, views.context, views.place, dense, words, *targets)
        return ConversationFeatures(conversation.id, *(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


def _evidence(asked: Sequence[Question], memories: Sequence[Memory]) -> Float32[ndarray, "q n"]:
    """Return the share of each memory in a question's evidence; zeros for a question without."""
    index = {m.id: i for i, m in enumerate(memories)}
    gold = np.zeros((len(asked), len(memories)), dtype=np.float32)
    for row, question in enumerate(asked):
        gold[row, [index[e] for e in question.evidence]] = 1 / max(1, len(set(question.evidence)))
    return gold


def _told(lessons: Sequence[Lesson], memories: int) -> Float32[ndarray, "t n"]:
    """Return a teacher's scores of all memories, -inf where it gave none."""
    told = np.full((len(lessons), memories), -np.inf, dtype=np.float32)
    for row, lesson in zip(told, lessons, strict=True):
        row[lesson.places] = lesson.scores
    return told


def _pruned(statistics: TermStatistics) -> TermStatistics:
    """Return the statistics without terms seen once: mostly names and typos, which weigh much the same unseen."""
    kept = {term: count for term, count in statistics.document_frequency.items() if count > 1}
    return TermStatistics(statistics.documents, statistics.mean_length, kept)
