"""The head of the projected embedder and how it learns. Takes cached features; the encoder stays frozen.

Score of a passage for a query = tau (W_q q) . (W_t sum_l a_l t_l + W_c c) + beta (sum_l b_l L_l + s S): dense views and
lexical views of the same passage, all weights trained together by a softmax over every turn of the conversation, so
each question has hundreds of negatives and none needs mining (listwise softmax, top one: Cao et al. 2007, *ListNet*).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional

from memshadow.models.losses import taught
from memshadow.models.metrics import ndcg
from memshadow.models.projected import Projection

LEXICAL_WEIGHTS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""How many times its trained weight the lexical block may get at export."""
_MATRICES = ("query", "turn", "context")


class ConversationFeatures(NamedTuple):
    """One conversation, ready for the head: frozen dense rows, lexical scores, gold.

    ``words[v, i, j]`` is the lexical score of passage j for question i in view v (the lags, then the speaker's name):
    lexical rows have no trained matrix, so their products are computed once. ``taught`` has a teacher's score of each
    passage, -inf where it gave none, and no rows where there is no teacher.
    """

    id: str
    turns: Float[Tensor, "m e"]
    context: Float[Tensor, "n e"]
    place: Int[Tensor, "n lags"]
    queries: Float[Tensor, "q e"]
    words: Float[Tensor, "views q n"]
    gold: Float[Tensor, "q n"]
    taught: Float[Tensor, "t n"]


class ProjectionHead(nn.Module):
    """The trained weights as a module; :meth:`projection` gives them back as arrays."""

    def __init__(self, start: Projection) -> None:
        super().__init__()
        self.query, self.turn, self.context = (
            nn.Parameter(torch.tensor(matrix)) for matrix in (start.query, start.turn, start.context)
        )
        self.dense_lags = nn.Parameter(torch.tensor(start.dense_lags))
        self.word_lags = nn.Parameter(torch.tensor(start.word_lags))
        self.mixes = nn.Parameter(torch.tensor(start.scales[:2]))
        self.log_scales = nn.Parameter(torch.tensor(start.scales[2:]).log())

    def dense(self, given: ConversationFeatures, rows: Int[Tensor, " b"], keep: float = 1.0) -> Float[Tensor, "b n"]:
        """Return the dense scores of every passage for the chosen questions; ``keep`` < 1 drops query columns."""
        padded = torch.cat([given.turns, given.turns.new_zeros(1, given.turns.shape[1])])
        mixed = torch.einsum("nle,l->ne", padded[given.place], self.dense_lags)
        passages = mixed @ self.turn.T + self.mixes[0] * given.context @ self.context.T
        queries = functional.dropout(given.queries[rows] @ self.query.T, 1 - keep, self.training)
        return self.log_scales[0].exp() * queries @ passages.T

    def lexical(self, given: ConversationFeatures, rows: Int[Tensor, " b"]) -> Float[Tensor, "b n"]:
        """Return the lexical scores of every passage for the chosen questions."""
        weights = torch.cat([self.word_lags, self.mixes[1:]])
        return self.log_scales[1].exp() * torch.einsum("vbn,v->bn", given.words[:, rows], weights)

    def projection(self) -> Projection:
        """Return the weights as arrays."""
        weights = {name: getattr(self, name) for name in (*_MATRICES, "dense_lags", "word_lags")}
        weights["scales"] = torch.cat([self.mixes, self.log_scales.exp()])
        return Projection(**{name: weight.detach().cpu().numpy().copy() for name, weight in weights.items()})


class HeadModule(pl.LightningModule):
    """Trains a :class:`ProjectionHead`; a batch is one conversation and some of its questions.

    Args:
        start: weights to begin with.
        make_optimizer: parameter groups -> optimiser.
        lr: learning rate of the three matrices.
        scalar_lr: learning rate of the few mixing weights and scales.
        keep: share of the query's columns kept at each step (dropout of 1 - keep).
        pull: weight of the squared distance of the matrices from the start, against forgetting.
        steps: steps of the whole training: the rate falls to 0 along it after ``warmup_steps``.
        teacher_weight: of what a teacher says beside the evidence, where one taught.
        temperature: that a teacher's scores are divided by: a low one teaches its first place alone.
    """

    def __init__(
        self,
        *,
        start: Projection,
        make_optimizer: Callable[..., torch.optim.Optimizer],
        lr: float,
        scalar_lr: float,
        keep: float,
        pull: float,
        steps: int,
        warmup_steps: int,
        teacher_weight: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.head = ProjectionHead(start)
        for name in _MATRICES:
            self.register_buffer(f"start_{name}", torch.tensor(getattr(start, name)), persistent=False)
        self._make_optimizer, self._rates = make_optimizer, (lr, scalar_lr)
        self._keep, self._pull, self._steps, self._warmup = keep, pull, steps, warmup_steps
        self._teacher_weight, self._temperature = teacher_weight, temperature
        self._found: list[list[float]] = []

    def training_step(self, batch: tuple[ConversationFeatures, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the listwise cross entropy of one batch, and what a teacher adds to it."""
        given, rows = batch
        scores = self.head.dense(given, rows, self._keep) + self.head.lexical(given, rows)
        loss = -(given.gold[rows] * functional.log_softmax(scores, dim=-1)).sum(-1).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(rows))
        if len(given.taught):
            told = taught(scores, given.taught[rows], temperature=self._temperature)
            self.log("train/taught", told, batch_size=len(rows))
            loss = loss + self._teacher_weight * told
        return loss + self._pull * self._distance() if self._pull else loss

    def validation_step(self, batch: tuple[ConversationFeatures, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect nDCG@10 of each held-out question at every weight of the lexical block that export may choose."""
        given, rows = batch
        dense, lexical, gold = self.head.dense(given, rows), self.head.lexical(given, rows), given.gold[rows]
        at_each = [question_ndcg(dense + weight * lexical, gold) for weight in LEXICAL_WEIGHTS]
        self._found += [list(values) for values in zip(*at_each, strict=True)]

    def on_validation_epoch_end(self) -> None:
        """Log the best mean over held-out questions: the one that the exported model will have."""
        mean = float(np.mean(self._found, axis=0).max()) if self._found else 0.0
        self.log("val/ndcg@10", mean, prog_bar=True, batch_size=max(1, len(self._found)))
        self._found = []

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser over matrices and scalars and a linear decay after a short warm-up."""
        head = self.head
        matrices = [head.query, head.turn, head.context]
        scalars = [head.dense_lags, head.word_lags, head.mixes, head.log_scales]
        groups = [{"params": matrices, "lr": self._rates[0]}, {"params": scalars, "lr": self._rates[1]}]
        optimizer = self._make_optimizer(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        return min(1.0, (step + 1) / max(1, self._warmup)) * max(0.0, 1 - step / max(1, self._steps))

    def _distance(self) -> Tensor:
        gaps = [getattr(self.head, name) - self.get_buffer(f"start_{name}") for name in _MATRICES]
        return torch.stack([gap.square().sum() for gap in gaps]).sum()


def question_ndcg(scores: Float[Tensor, "q n"], gold: Float[Tensor, "q n"], k: int = 10) -> list[float]:
    """Return nDCG@k of each question; equal scores keep the order of saying."""
    order = torch.argsort(scores, dim=-1, descending=True, stable=True)[:, :k]
    found = torch.gather(gold, 1, order) > 0
    return [ndcg(torch.nonzero(f).flatten().tolist(), int((g > 0).sum()), k) for f, g in zip(found, gold, strict=True)]


def blended(start: Projection, trained: Projection, *, share: float, lexical: float) -> Projection:
    """Return matrices between the start and the trained ones, and the lexical block ``lexical`` times as heavy.

    The mixing weights and scales stay the trained ones. Averaging with the start keeps what training did not need to
    change (Wortsman et al. 2022, *WiSE-FT*, eq. 1); heads over-trust what they fitted, so a heavier lexical block is
    often right on unseen conversations.
    """

    def between(name: str) -> np.ndarray:
        return np.asarray((1 - share) * getattr(start, name) + share * getattr(trained, name), dtype=np.float32)

    scales = trained.scales.copy()
    scales[3] *= lexical
    return Projection(
        query=between("query"),
        turn=between("turn"),
        context=between("context"),
        dense_lags=trained.dense_lags,
        word_lags=trained.word_lags,
        scales=scales,
    )


def chosen_blend(
    start: Projection,
    trained: Projection,
    held_out: Sequence[ConversationFeatures],
    grid: Sequence[tuple[float, float]],
) -> tuple[float, float]:
    """Return the (share, lexical) of ``grid`` with the best held-out nDCG@10; the first wins ties."""
    return max(grid, key=lambda blend: _quality(blended(start, trained, share=blend[0], lexical=blend[1]), held_out))


def _quality(projection: Projection, held_out: Sequence[ConversationFeatures]) -> float:
    head = ProjectionHead(projection).eval()
    with torch.no_grad():
        return float(np.mean([value for given in held_out for value in _values(head, given)]))


def _values(head: ProjectionHead, given: ConversationFeatures) -> Iterator[float]:
    rows = torch.arange(len(given.queries))
    yield from question_ndcg(head.dense(given, rows) + head.lexical(given, rows), given.gold)
