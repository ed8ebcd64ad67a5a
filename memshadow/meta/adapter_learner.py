"""Learns what all users' adapters begin with, over many users: conversations in, a model folder out.

The outer loop of MAML around :func:`memshadow.meta.adapter.inner_steps`: a batch is one user, several draws of a few
answered questions, and other questions of the same user that the adapted rows are to find the memories of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from memshadow.errors import ConfigError, DataError
from memshadow.meta.adapter import Start, inner_steps, write_start
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.metrics import ndcg
from memshadow.training.batching import BatchLoader, Draw, FixedBatches
from memshadow.training.progress import steps as progressing
from memshadow.types import Conversation, in_context


class User(NamedTuple):
    """One user's questions with evidence and memories, as an embedder made them; ``gold`` has 1 for evidence."""

    id: str
    queries: Float[Tensor, "q d"]
    rows: Float[Tensor, "n d"]
    gold: Float[Tensor, "q n"]


class UserTask(NamedTuple):
    """One user, several draws of answered questions, and the questions that are asked then."""

    user: User
    support: Int[Tensor, "t k"]
    answers: Int[Tensor, "t k"]
    """The memory that was said to be right, of each."""
    asked: Int[Tensor, " m"]


class AdapterModule(pl.LightningModule):
    """W, the temperature and the inner rate, learned through the inner steps."""

    def __init__(
        self,
        *,
        dim: int,
        temperature: float,
        rate: float,
        steps: int,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        lr: float,
        scalar_lr: float,
        total: int,
    ) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(dim, dim))
        self.logs = nn.Parameter(torch.tensor([math.log(temperature), math.log(rate)]))
        self.inner = steps
        self._optimizer, self._rates, self._total = optimizer, (lr, scalar_lr), total
        self._found: list[float] = []

    def scores(self, task: UserTask) -> Float[Tensor, "t m n"]:
        """Return the scores of a user's memories for the questions asked, after adapting on each draw."""
        user, (temperature, rate) = task.user, self.logs.exp()
        keys = user.queries[task.support]
        wanted = functional.one_hot(task.answers, len(user.rows)).to(keys.dtype)
        begin = keys + keys @ self.matrix
        values = inner_steps(
            keys, begin, user.rows, wanted, temperature=temperature, rate=rate, steps=self.inner, xp=torch
        )
        asked = user.queries[task.asked]
        moved = asked + asked @ self.matrix + (asked @ keys.mT) @ values
        scores: Tensor = temperature * moved @ user.rows.T
        return scores

    def training_step(self, batch: UserTask, _: int) -> Tensor:
        """Return the cross entropy of what is asked."""
        gold = batch.user.gold[batch.asked]
        share = gold / gold.sum(-1, keepdim=True)
        loss = -(share * functional.log_softmax(self.scores(batch), -1)).sum(-1).mean()
        self.log("train/query_loss", loss.detach(), prog_bar=True, batch_size=len(batch.asked))
        return loss

    def validation_step(self, batch: UserTask, _: int) -> None:
        """Collect nDCG@10 of each question asked."""
        gold = batch.user.gold[batch.asked]
        for scores in self.scores(batch):
            self._found += question_ndcg(scores, gold)

    def on_validation_epoch_end(self) -> None:
        """Log the mean over questions."""
        self.log("val/ndcg@10", float(np.mean(self._found)), prog_bar=True, sync_dist=True)
        self._found = []

    def configure_optimizers(self) -> Any:
        """Return the optimiser and a rate that falls to 0 along the training."""
        lr, scalar_lr = self._rates
        optimizer = self._optimizer([{"params": [self.matrix], "lr": lr}, {"params": [self.logs], "lr": scalar_lr}])
        falling = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: max(0.0, min(1.0, (step + 1) / 10, 1 - step / self._total))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling, "interval": "step"}}

    def start(self, *, embedder: str) -> Start:
        """Return what was learned."""
        temperature, rate = self.logs.detach().exp().tolist()
        return Start(
            matrix=self.matrix.detach().cpu().numpy().copy(),
            temperature=temperature,
            rate=rate,
            steps=self.inner,
            embedder=embedder,
            fingerprint="",
        )


def question_ndcg(scores: Float[Tensor, "m n"], gold: Float[Tensor, "m n"]) -> list[float]:
    """Return nDCG@10 of each question."""
    first = scores.topk(min(10, scores.shape[1])).indices
    hits = gold.gather(1, first) > 0
    return [
        ndcg(hit.nonzero().flatten().tolist(), int((right > 0).sum())) for hit, right in zip(hits, gold, strict=True)
    ]


class AdapterLearner:
    """Meta-trains the start of users' adapters; a user is a conversation.

    Args:
        encoder: makes the rows; one that reads a turn at a time.
        optimizer: parameter groups -> optimiser (a ``_partial_`` in YAML).
        support: numbers of answered questions that a user may have; a step takes one of them.
        draws: sets of answered questions in a step.
        asked: questions of a step that are asked after adapting, at most; half of a user's at most.
        steps: inner steps.
        temperature, rate: what the two begin with.
        lr, scalar_lr: outer learning rates of W and of the two.
        steps_per_epoch: between two validations.
        max_epochs, patience: passes at most, and validations without a better score before the end.
    """

    name = "adapter"
    monitor = "val/ndcg@10"

    def __init__(
        self,
        *,
        encoder: Embedder,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        support: Sequence[int],
        draws: int,
        asked: int,
        steps: int,
        temperature: float,
        rate: float,
        lr: float,
        scalar_lr: float,
        steps_per_epoch: int,
        max_epochs: int,
        patience: int,
    ) -> None:
        if not support or min(*support, draws, asked, steps_per_epoch) < 1 or steps < 0:
            raise ConfigError(f"{support=}, {draws=}, {asked=}, {steps_per_epoch=}, {steps=}; needed: 1 or more.")
        self.encoder, self.max_epochs, self.patience = encoder, max_epochs, patience
        self._module = {"optimizer": optimizer, "temperature": temperature, "rate": rate, "steps": steps}
        self._rates = {"lr": lr, "scalar_lr": scalar_lr}
        self._support, self._draws, self._asked, self._steps = tuple(support), draws, asked, steps_per_epoch

    def parts(
        self, training: Sequence[Conversation], validation: Sequence[Conversation], *, cache: Path, seed: int
    ) -> tuple[AdapterModule, AdapterData]:
        """Return the module and its data; raises DataError where no user has two questions with evidence."""
        encoder = CachedEmbedder(encoder=self.encoder, folder=str(cache))
        learned, watched = users_of(training, "training", encoder), users_of(validation, "held-out", encoder)
        data = AdapterData(
            learned,
            watched,
            support=self._support,
            draws=self._draws,
            asked=self._asked,
            steps=self._steps,
            seed=seed,
        )
        total = self.max_epochs * self._steps
        return AdapterModule(dim=self.encoder.dim, **self._module, **self._rates, total=total), data  # type: ignore[arg-type]

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Write the start."""
        if not isinstance(module, AdapterModule):
            raise TypeError(f"a {type(module).__name__} came; needed: the AdapterModule that parts() gave")
        write_start(folder, module.start(embedder=self.encoder.fingerprint))


def user_of(conversation: Conversation, encoder: Embedder) -> User | None:
    """Return a conversation as a user; ``None`` with fewer than two questions that have evidence."""
    asked = [q for q in conversation.questions if q.evidence]
    if len(asked) < 2:
        return None
    place = {memory.id: number for number, memory in enumerate(conversation.memories)}
    gold = np.zeros((len(asked), len(place)), dtype=np.float32)
    for row, question in zip(gold, asked, strict=True):
        row[[place[one] for one in question.evidence]] = 1
    rows = encoder.embed_passages(in_context(conversation.memories, before=0, after=0))
    queries = encoder.embed_queries([q.text for q in asked])
    return User(conversation.id, *(torch.from_numpy(np.ascontiguousarray(a)) for a in (queries, rows, gold)))


def users_of(conversations: Sequence[Conversation], what: str, encoder: Embedder) -> list[User]:
    """Return the users among conversations (``what`` they are is told on the way); DataError where there are none."""
    shown = progressing(conversations, f"encoding {what} users", total=len(conversations))
    found = [user for one in shown if (user := user_of(one, encoder))]
    if not found:
        raise DataError(f"no {what} conversation has two questions with evidence; a start is learned from such.")
    return found


class AdapterData(pl.LightningDataModule):
    """Draws of answered and of asked questions: other ones in each step, the same ones in each validation."""

    def __init__(
        self,
        training: Sequence[User],
        validation: Sequence[User],
        *,
        support: Sequence[int],
        draws: int,
        asked: int,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._training, self._support, self._draws, self._most, self._steps = training, support, draws, asked, steps
        middle = sorted(support)[len(support) // 2]
        chances = [np.random.default_rng((seed, number)) for number in range(len(validation))]
        self._validation = [self._task(user, middle, chance) for user, chance in zip(validation, chances, strict=True)]
        self._loader = BatchLoader(self._made, self._plan, seed=seed)

    def train_dataloader(self) -> BatchLoader[UserTask]:
        """Return the one resumable loader of this data."""
        return self._loader

    def val_dataloader(self) -> FixedBatches[UserTask]:
        """Return the same draws of each held-out user."""
        return FixedBatches(self._validation)

    def _plan(self, epoch: int) -> list[list[int]]:
        return [[epoch * self._steps + step] for step in range(self._steps)]

    def _made(self, draw: Draw) -> UserTask:
        chance = draw.generator()
        user = self._training[int(chance.integers(len(self._training)))]
        return self._task(user, int(chance.choice(self._support)), chance)

    def _task(self, user: User, k: int, chance: np.random.Generator) -> UserTask:
        order = chance.permutation(len(user.queries))
        asked = min(self._most, max(1, len(order) // 2))
        pool = order[asked:]
        support = np.stack([chance.permutation(pool)[:k] for _ in range(self._draws)])
        right = [[int(chance.choice(user.gold[q].nonzero().flatten().numpy())) for q in row] for row in support]
        return UserTask(user, torch.from_numpy(support), torch.tensor(right), torch.from_numpy(order[:asked].copy()))
