"""Pairs of texts as batches of tokens, and held-out conversations as rankings. Knows tokens; knows no loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float32
from numpy import ndarray
from safetensors.numpy import load_file, save
from torch import Tensor, nn

from memshadow.models.base import Embedder
from memshadow.models.chunking import batches
from memshadow.models.contrast import PairBatch, Tokenised, encoded
from memshadow.models.encoder import padded
from memshadow.models.metrics import ndcg
from memshadow.training.atomic import write_bytes
from memshadow.training.batching import BatchLoader, Draw, FixedBatches, bucketed
from memshadow.types import Conversation, Passage, in_context

_CALL_TOKENS = 100
"""What one more pass through the encoder costs beside its tokens; measured loosely, the optimum is flat."""

Scorer = Callable[[Sequence[str], Sequence[str]], Float32[ndarray, "q n"]]
Cut = Callable[[Sequence[str]], list[list[int]]]
"""Texts -> token ids, cut to what the encoder reads, special tokens included."""


class TextPair(Protocol):
    """A text that asks, one that answers, and texts that do not."""

    @property
    def query(self) -> str:
        """Return the text that asks."""
        ...

    @property
    def positive(self) -> str:
        """Return the text that answers."""
        ...

    @property
    def negatives(self) -> tuple[str, ...]:
        """Return texts that look like answers and are none."""
        ...


class Ranking(NamedTuple):
    """A held-out conversation: ``queries`` questions, then its passages; ``gold[i]`` are the places that answer i."""

    texts: Tokenised
    queries: int
    gold: list[set[int]]


def tokenised(ids: Sequence[Sequence[int]], *, chunk_tokens: int) -> Tokenised:
    """Return texts in chunks of like length, each of at most ``chunk_tokens`` tokens with padding."""
    groups = list(batches([len(row) for row in ids], chunk_tokens, call_tokens=_CALL_TOKENS))
    places = np.concatenate([np.asarray(group) for group in groups])
    return Tokenised([padded([ids[i] for i in group]) for group in groups], torch.from_numpy(np.argsort(places)))


def ranking_of(conversation: Conversation, cut: Cut, *, turns_before: int, chunk_tokens: int) -> Ranking | None:
    """Return the conversation to be ranked; ``None`` where it has no question with evidence."""
    asked = [question for question in conversation.questions if question.evidence]
    if not asked:
        return None
    near = in_context(conversation.memories, before=turns_before, after=0)
    texts = ["\n".join(turn.rendered() for turn in (*passage.before, passage)) for passage in near]
    places = {memory.id: place for place, memory in enumerate(conversation.memories)}
    gold = [{places[memory_id] for memory_id in question.evidence} for question in asked]
    ids = cut([*(question.text for question in asked), *texts])
    return Ranking(tokenised(ids, chunk_tokens=chunk_tokens), len(asked), gold)


def graded(encoder: nn.Module, ranking: Ranking) -> tuple[float, int]:
    """Return the mean nDCG@10 over the conversation's questions, and how many they are."""
    rows = encoded(encoder, ranking.texts).float()
    scores = rows[: ranking.queries] @ rows[ranking.queries :].T
    best = scores.topk(min(10, scores.shape[1])).indices.tolist()
    found = [
        ndcg([place for place, passage in enumerate(row) if passage in gold], len(gold))
        for row, gold in zip(best, ranking.gold, strict=True)
    ]
    return sum(found) / len(found), len(found)


class TextPairs(pl.LightningDataModule):
    """Training batches of pairs of like length, resumable, and the held-out rankings.

    A passage comes once in a batch, however many pairs name it, and is no negative of a query that it answers.
    """

    def __init__(
        self,
        pairs: Sequence[TextPair],
        held_out: Sequence[Ranking],
        *,
        cut: Cut,
        guide: Embedder | None,
        batch_size: int,
        pool: int,
        chunk_tokens: int,
        workers: int,
        seed: int,
        cache: Path,
    ) -> None:
        super().__init__()
        self._pairs, self._held_out, self._chunk_tokens = pairs, held_out, chunk_tokens
        queries = list(dict.fromkeys(pair.query for pair in pairs))
        texts = list(dict.fromkeys(text for pair in pairs for text in (pair.positive, *pair.negatives)))
        self._ids = dict(zip([*queries, *texts], cut([*queries, *texts]), strict=True))
        self._answers: dict[str, set[str]] = {}
        for pair in pairs:
            self._answers.setdefault(pair.query, set()).add(pair.positive)
        self._guide = None if guide is None else _GuideRows(guide, queries, texts, cache)
        lengths = [self._length(pair) for pair in pairs]
        plan = partial(bucketed, lengths=lengths, batch_size=batch_size, seed=seed, pool=pool)
        self._loader = BatchLoader(self._made, plan, seed=seed, workers=workers)

    def train_dataloader(self) -> BatchLoader[PairBatch]:
        """Return the one resumable loader of this data."""
        return self._loader

    def val_dataloader(self) -> FixedBatches[Ranking]:
        """Return the held-out conversations."""
        return FixedBatches(self._held_out)

    def _length(self, pair: TextPair) -> int:
        return sum(len(self._ids[text]) for text in (pair.query, pair.positive, *pair.negatives))

    def _made(self, draw: Draw) -> PairBatch:
        chosen = [self._pairs[i] for i in draw.indices]
        queries = [pair.query for pair in chosen]
        named = [pair.positive for pair in chosen] + [text for pair in chosen for text in pair.negatives]
        place = {text: i for i, text in enumerate(dict.fromkeys(named))}
        ids = [self._ids[text] for text in (*queries, *place)]
        return PairBatch(
            texts=tokenised(ids, chunk_tokens=self._chunk_tokens),
            queries=len(queries),
            target=torch.tensor([place[pair.positive] for pair in chosen]),
            ignore=torch.tensor([[text in self._answers[query] for text in place] for query in queries]),
            guide=None if self._guide is None else self._guide.scores(queries, list(place)),
        )


class _GuideRows:
    """A frozen embedder's rows of every training text, made once and kept in a folder."""

    def __init__(self, guide: Embedder, queries: Sequence[str], texts: Sequence[str], cache: Path) -> None:
        digest = blake2b(repr((guide.fingerprint, queries, texts)).encode("utf-8", "backslashreplace"), digest_size=16)
        file = cache / "guide" / f"{digest.hexdigest()}.safetensors"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = {
                "queries": guide.embed_queries(queries),
                "texts": guide.embed_passages([Passage(text=text) for text in texts]),
            }
            write_bytes(file, save(rows))
        kept = load_file(file)
        self._queries = dict(zip(queries, kept["queries"], strict=True))
        self._texts = dict(zip(texts, kept["texts"], strict=True))

    def scores(self, queries: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Return the guide's scores of the texts for the queries."""
        rows = np.stack([self._queries[query] for query in queries]) @ np.stack([self._texts[t] for t in texts]).T
        return torch.from_numpy(rows)
