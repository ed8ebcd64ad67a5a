"""The learner of a whole encoder: contrastive training on pairs of texts, from a pretrained encoder or from nothing.

Where pairs come from (``PairSource``) and where the encoder comes from (``EncoderSource``) are configuration; the rest,
batches of like length, gradient cache, false negatives, distillation, weight averaging, is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor

from memshadow.errors import ConfigError, DataError
from memshadow.models.base import Embedder
from memshadow.models.checkpoint import describe
from memshadow.models.contrast import Contrast
from memshadow.models.encoder import EncoderSource, TextEncoder
from memshadow.models.inference.bert import is_bert, read_json
from memshadow.models.inference.choice import engine_file
from memshadow.models.inference.onnx_graph import export_onnx
from memshadow.models.lexical import BM25
from memshadow.models.module import EncoderModule
from memshadow.models.texts import Ranking, Scorer, TextPair, TextPairs, graded, ranking_of
from memshadow.models.tokens import Tokens
from memshadow.types import Conversation, Passage

KIND = "transformer"


class PairSource(Protocol):
    """Makes training pairs of conversations; ``score`` says how much passages look like answers to queries."""

    def pairs(self, conversations: Sequence[Conversation], score: Scorer) -> Sequence[TextPair]:
        """Return the pairs, in an order that depends on the arguments alone."""
        ...


class FinetuneLearner:
    """Trains a transformer encoder on pairs and leaves a folder that ``TransformerEmbedder`` loads.

    Args:
        name: what the learner is called in tables.
        encoder: where training starts.
        pairs: what it trains on.
        guide: a frozen embedder that mines negatives, marks false ones and is distilled; ``None``: BM25 mines.
        optimizer: parameter groups -> optimiser (a ``_partial_`` in YAML).
        contrast: the loss.
        turns_before: turns of the session put before each passage.
        max_tokens: longer texts are cut there in training, special tokens included.
        batch_size: pairs in a step.
        pool: batches that are sorted by length together (1: none).
        chunk_tokens: tokens, padding included, that go through the encoder at once.
        warmup_share: share of the steps in which the learning rate rises.
        alphas: shares of the trained weights tried against the start's at export, the best on validation is taken
            (WiSE-FT: Wortsman et al. 2022, 2109.01903); of equals the one nearest the start, which forgets least.
        k1, b: of the BM25 that mines without a guide.
        max_epochs, patience: passes at most, and validations without a better score before the end.
        workers: processes that prepare batches.
    """

    monitor = "val/ndcg@10"

    def __init__(
        self,
        *,
        name: str,
        encoder: EncoderSource,
        pairs: PairSource,
        guide: Embedder | None,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        contrast: Contrast,
        turns_before: int,
        max_tokens: int,
        batch_size: int,
        pool: int,
        chunk_tokens: int,
        warmup_share: float,
        alphas: Sequence[float],
        k1: float,
        b: float,
        max_epochs: int,
        patience: int,
        workers: int,
    ) -> None:
        if not alphas or not all(0 < alpha <= 1 for alpha in alphas):
            raise ConfigError(
                f"alphas={list(alphas)}: shares of the trained weights, above 0 and up to 1, were needed."
            )
        if guide is None and contrast.needs_guide:
            raise ConfigError(
                "the loss marks false negatives or distils, but there is no guide: set one, or turn both off."
            )
        self.name, self.max_epochs, self.patience = name, max_epochs, patience
        self._source, self._pairs, self._guide = encoder, pairs, guide
        self._optimizer, self._contrast = optimizer, contrast
        self._before, self._max_tokens, self._chunk_tokens = turns_before, max_tokens, chunk_tokens
        self._batch_size, self._pool, self._workers = batch_size, pool, workers
        self._warmup_share, self._alphas = warmup_share, sorted(alphas)
        self._k1, self._b = k1, b
        self._held_out: list[Ranking] = []

    def parts(
        self, training: Sequence[Conversation], validation: Sequence[Conversation], *, cache: Path, seed: int
    ) -> tuple[EncoderModule, TextPairs]:
        """Return the module and its data.

        Raises:
            DataError: no pair to train on, or no question with evidence to validate on.
        """
        pairs = self._pairs.pairs(training, self._score)
        tokens = Tokens(self._source.folder)
        cut = partial(_framed, tokens, self._max_tokens)
        made = (ranking_of(c, cut, turns_before=self._before, chunk_tokens=self._chunk_tokens) for c in validation)
        self._held_out = [ranking for ranking in made if ranking is not None]
        if not pairs or not self._held_out:
            raise DataError(
                f"{len(pairs)} training pairs and {len(self._held_out)} validation conversations with questions; both "
                "are needed: take a corpus with questions, or longer conversations."
            )
        data = TextPairs(
            pairs,
            self._held_out,
            cut=cut,
            guide=self._guide if self._contrast.needs_guide else None,
            batch_size=self._batch_size,
            pool=self._pool,
            chunk_tokens=self._chunk_tokens,
            workers=self._workers,
            seed=seed,
            cache=cache,
        )
        torch.manual_seed(seed)
        module = EncoderModule(
            self._source.encoder(),
            objective=self._contrast,
            metric=graded,
            monitor=self.monitor,
            optimizer=self._optimizer,
            steps=self.max_epochs * len(data.train_dataloader()),
            warmup_share=self._warmup_share,
        )
        return module, data

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Average with the start as validation says; write the model and, where ``onnx`` is installed, its graph."""
        if not isinstance(module, EncoderModule):
            raise TypeError(f"a {type(module).__name__} came; needed: the EncoderModule that parts() gave")
        alpha = self._average(module.encoder)
        module.encoder.save(folder)
        settings = {"context_turns": self._before, "max_tokens": self._max_tokens, "alpha": alpha}
        describe(folder, kind=KIND, settings=settings)
        if find_spec("onnx") and is_bert(read_json(folder / "config.json")):
            export_onnx(folder, folder / engine_file("fp32"), int8=False)

    def _average(self, encoder: TextEncoder) -> float:
        """Set ``encoder`` to the best mix of start and present weights; return the present ones' share."""
        if not self._source.pretrained or self._alphas == [1.0]:
            return 1.0
        start = {name: value.detach() for name, value in self._source.encoder().state_dict().items()}
        tuned = {name: value.detach().cpu().clone() for name, value in encoder.state_dict().items()}
        scores = []
        for alpha in self._alphas:
            encoder.load_state_dict(mixed(start, tuned, alpha))
            scores.append((self._validated(encoder), -alpha))
        alpha = -max(scores)[1]
        encoder.load_state_dict(mixed(start, tuned, alpha))
        return alpha

    def _validated(self, encoder: TextEncoder) -> float:
        with torch.no_grad():
            parts = [graded(encoder.eval(), ranking) for ranking in self._held_out]
        return sum(score * count for score, count in parts) / sum(count for _, count in parts)

    def _score(self, queries: Sequence[str], passages: Sequence[str]) -> Any:
        if self._guide is None:
            index = BM25(passages, k1=self._k1, b=self._b)
            return [index.scores(query) for query in queries]
        rows = self._guide.embed_passages([Passage(text=text) for text in passages])
        return self._guide.embed_queries(queries) @ rows.T


def mixed(start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return (1 - alpha) start + alpha tuned, name by name; whole numbers (positions) stay as they are."""
    return {
        name: value if not value.is_floating_point() else torch.lerp(start[name].to(value.device), value, alpha)
        for name, value in tuned.items()
    }


def _framed(tokens: Tokens, max_tokens: int, texts: Sequence[str]) -> list[list[int]]:
    room = max_tokens - len(tokens.framed([]))
    return [tokens.framed(ids[:room]) for ids in tokens(texts)]
