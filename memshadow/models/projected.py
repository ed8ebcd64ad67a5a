"""The trained embedder: a dense block and a lexical block in one vector. Knows how vectors are made, not how trained.

A stored row is ``[dense | lexical]``, a query row likewise, and their dot product is the score:

- **dense** (as wide as the encoder): ``W_t sum_l a_l e(turn at lag l) + W_c e(previous turn + turn)``. The query is
  multiplied by one matrix of its own, so a mix of views costs no width: the score of a sum is the sum of the scores.
- **lexical** (the rest): signed feature hashing of BM25's document side, mixed over lags in the same way; the query
  carries idf, taken from the scope that is searched. Its width folds to any divisor, so one trained model serves many
  widths: 2048 = 384 + 1664, and 1216, 800, 592, 384 halve the lexical part again and again (the last has none).

Neighbours in a session carry much of what a turn means: answers follow questions (lag -1), reactions follow news (+1).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from memshadow.errors import CheckpointError, ConfigError
from memshadow.models.base import Embedder
from memshadow.models.checkpoint import StoredModel, read_model, write_model
from memshadow.models.lexical import MOST_COPIES, TermStatistics, fold, hashed, saturated, terms
from memshadow.types import Passage, Turn

KIND = "projected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """Which views of a passage there are. ``before`` and ``after`` are lags in turns; ``width`` is lexical columns.

    ``context_chars`` bounds what the joint view reads: this many last characters of the previous turn, and none where
    the turn itself is longer (a long turn is its own context).
    """

    before: int
    after: int
    context_chars: int
    k1: float
    b: float
    mean_length: float
    copies: int
    width: int

    def __post_init__(self) -> None:
        """Refuse what no row can be made with."""
        if min(self.before, self.after, self.context_chars, self.width) < 0 or not 1 <= self.copies <= MOST_COPIES:
            raise ConfigError(
                "a head needs before, after and context_chars >= 0, a dim not below its encoder's, and copies from 1 "
                f"to {MOST_COPIES}; got {self}"
            )

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the settings."""
        return sha256(repr(self).encode()).hexdigest()[:16]

    @property
    def lags(self) -> tuple[int, ...]:
        """Return the lags in order: ``-before .. after``."""
        return tuple(range(-self.before, self.after + 1))


@dataclass(frozen=True, slots=True)
class PassageViews:
    """What a batch of passages looks like before any weight: the features that a head is trained on.

    ``place[i, l]`` is the row of ``turns`` and of ``words`` that stands at lag ``l`` of passage ``i``, -1 for none. A
    blank passage has none at all and zero rows: its neighbours do not speak for it.
    """

    turns: Float32[ndarray, "m dense"]
    words: Float32[ndarray, "m width"]
    context: Float32[ndarray, "n dense"]
    speaker: Float32[ndarray, "n width"]
    place: Int[ndarray, "n lags"]


@dataclass(frozen=True, slots=True)
class Projection:
    """The trained weights. ``e`` is the encoder's width, ``lags`` the number of lags."""

    query: Float32[ndarray, "e e"]
    turn: Float32[ndarray, "e e"]
    context: Float32[ndarray, "e e"]
    dense_lags: Float32[ndarray, " lags"]
    word_lags: Float32[ndarray, " lags"]
    scales: Float32[ndarray, " 4"]
    """Context view, speaker's name, dense block, lexical block."""

    def tensors(self) -> dict[str, ndarray]:
        """Return the weights by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def untrained(encoder_dim: int, settings: ViewSettings) -> Projection:
    """Return the start of training: identity matrices, the turn itself, a little of its neighbours."""
    near = {0: 1.0, -1: 0.3, 1: 0.1, -2: 0.1}
    eye = np.eye(encoder_dim, dtype=np.float32)
    return Projection(
        query=eye,
        turn=eye.copy(),
        context=eye.copy(),
        dense_lags=np.array([float(lag == 0) for lag in settings.lags], dtype=np.float32),
        word_lags=np.array([near.get(lag, 0.0) for lag in settings.lags], dtype=np.float32),
        scales=np.array([1.0, 1.0, 12.0, 1.0], dtype=np.float32),
    )


class ViewMaker:
    """Makes views and raw query rows with a frozen encoder; remembers the last turns it encoded."""

    def __init__(self, encoder: Embedder, settings: ViewSettings, *, remembered_turns: int = 8192) -> None:
        self.encoder, self.settings = encoder, settings
        self._remembered: OrderedDict[str, ndarray] = OrderedDict()
        self._most = remembered_turns

    def views(self, passages: Sequence[Passage]) -> PassageViews:
        """Return the views of passages, each distinct turn encoded once."""
        rows: dict[Turn, int] = {}
        place = np.full((len(passages), len(self.settings.lags)), -1, dtype=np.int64)
        for i, passage in enumerate(passages):
            for column, turn in self._around(passage) if passage.text.strip() else ():
                place[i, column] = rows.setdefault(turn, len(rows))
        texts = [turn.rendered() for turn in rows] + [self._with_context(passage) for passage in passages]
        dense = self._encoded(texts)
        width = self.settings.width
        return PassageViews(
            turns=dense[: len(rows)],
            words=_stacked([self._words(turn.text) for turn in rows], width),
            context=dense[len(rows) :],
            speaker=_stacked([self._name(p.speaker if p.text.strip() else "") for p in passages], width),
            place=place,
        )

    def query_words(self, text: str, statistics: TermStatistics) -> Float32[ndarray, " width"]:
        """Return a query's lexical row: idf times count of each of its terms, hashed."""
        counts = Counter(terms(text))
        weights = {term: count * statistics.idf(term) for term, count in counts.items()}
        return hashed(weights, self.settings.width, copies=self.settings.copies)

    def _around(self, passage: Passage) -> list[tuple[int, Turn]]:
        """Return (column, turn) for the passage and its neighbours within reach that say something."""
        here = self.settings.before
        before = passage.before[len(passage.before) - here :] if here < len(passage.before) else passage.before
        turns = [(here, Turn(text=passage.text, speaker=passage.speaker))]
        turns += [(here - distance, turn) for distance, turn in enumerate(reversed(before), start=1)]
        turns += [(here + distance, t) for distance, t in enumerate(passage.after[: self.settings.after], start=1)]
        return [(column, turn) for column, turn in turns if turn.text.strip()]

    def _with_context(self, passage: Passage) -> str:
        own, limit = passage.rendered(), self.settings.context_chars
        if not passage.text.strip() or not passage.before or len(own) > limit:
            return own if passage.text.strip() else ""
        return f"{passage.before[-1].rendered()[-limit:]}\n{own}"

    def _words(self, text: str) -> ndarray:
        s = self.settings
        weights = saturated(Counter(terms(text)), mean_length=s.mean_length, k1=s.k1, b=s.b)
        return hashed(weights, s.width, copies=s.copies)

    def _name(self, speaker: str) -> ndarray:
        return hashed(dict.fromkeys(terms(speaker), 1.0), self.settings.width, copies=self.settings.copies)

    def _encoded(self, texts: Sequence[str]) -> Float32[ndarray, "n dense"]:
        wanted = dict.fromkeys(texts)
        known = {text: row for text in wanted if (row := self._remembered.get(text)) is not None}
        new = [text for text in wanted if text not in known]
        known |= dict(zip(new, self.encoder.embed_passages([Passage(text=text) for text in new]), strict=True))
        for text in new[-self._most :]:
            self._remembered[text] = known[text].copy()  # a view would keep the whole batch
        while len(self._remembered) > self._most:
            self._remembered.popitem(last=False)
        return _stacked([known[text] for text in texts], self.encoder.dim)


def _stacked(rows: Sequence[ndarray], width: int) -> Float32[ndarray, "n width"]:
    return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)


def mixed(
    rows: Float32[ndarray, "m width"], place: Int[ndarray, "n lags"], weights: Float32[ndarray, " lags"]
) -> Float32[ndarray, "n width"]:
    """Return the weighted sum of each passage's neighbour rows; a missing neighbour adds nothing."""
    padded = np.vstack([rows, np.zeros((1, rows.shape[1]), dtype=np.float32)])
    out = np.zeros((len(place), rows.shape[1]), dtype=np.float32)
    for column, weight in enumerate(weights):
        out += weight * padded[place[:, column]]
    return out


class ProjectedEmbedder:
    """Rows of ``dim`` columns, dense block first. Trained by :class:`memshadow.models.head.HeadLearner`.

    Args:
        encoder: the frozen encoder that the weights were trained on.
        model: the trained model's folder, or None for the start of training.
        dim: width of the rows: the encoder's, plus the lexical width or a divisor of it by a power of two.
        views: settings of an untrained one (fields of :class:`ViewSettings`); a trained folder carries its own.
        parts: ``both``, or ``dense`` or ``lexical`` alone (the other block is zero): for ablations.

    Raises:
        ConfigError: ``dim`` is no width that the model folds to.
        CheckpointError: the folder is damaged, or was trained on another encoder.
    """

    normalised = False

    def __init__(
        self, *, encoder: Embedder, model: str | None, dim: int, views: Mapping[str, float], parts: str = "both"
    ) -> None:
        stored = read_model(Path(model)) if model else None
        settings, self._projection, self._background = (
            _restored(stored, encoder)
            if stored
            else (_settings(views), untrained(encoder.dim, _settings(views)), TermStatistics())
        )
        self._width = _folded_width(encoder.dim, settings.width, dim)
        if parts not in ("both", "dense", "lexical"):
            raise ConfigError(f"parts={parts!r}; choose both, dense or lexical")
        self._maker, self._parts = ViewMaker(encoder, settings), parts
        self.name, self.dim = f"projected-{dim}" + ("" if parts == "both" else f"-{parts}"), dim
        self.trained = stored is not None
        origin = stored.fingerprint if stored else f"untrained-{settings.fingerprint}"
        self.fingerprint = f"projected-{origin}-{encoder.fingerprint}-{dim}-{parts}"

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one row per passage; a blank one gives zeros."""
        views, p = self._maker.views(passages), self._projection
        rows = np.zeros((len(passages), self.dim), dtype=np.float32)
        if self._parts != "lexical":
            rows[:, : self._maker.encoder.dim] = dense_block(views, p)
        if self._parts != "dense":
            rows[:, self._maker.encoder.dim :] = fold(lexical_block(views, p), self._width)
        return rows

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return one row per query, idf from ``statistics`` or else from the training corpus; blank gives zeros."""
        p, known = self._projection, statistics or self._background
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        if self._parts != "lexical":
            rows[:, : self._maker.encoder.dim] = self._maker.encoder.embed_queries(texts) @ p.query.T * p.scales[2]
        if self._parts != "dense":
            words = _stacked([self._maker.query_words(text, known) for text in texts], self._maker.settings.width)
            rows[:, self._maker.encoder.dim :] = fold(words, self._width) * p.scales[3]
        return rows

    @property
    def reach(self) -> tuple[int, int]:
        """Return how many turns before and after a passage it reads: more are ignored, fewer are no error."""
        return max(1, self._maker.settings.before), self._maker.settings.after


def dense_block(views: PassageViews, p: Projection) -> Float32[ndarray, "n e"]:
    """Return the dense part of stored rows."""
    turns = mixed(views.turns, views.place, p.dense_lags) @ p.turn.T
    return np.asarray(turns + p.scales[0] * views.context @ p.context.T)


def lexical_block(views: PassageViews, p: Projection) -> Float32[ndarray, "n width"]:
    """Return the lexical part of stored rows at full width."""
    return np.asarray(mixed(views.words, views.place, p.word_lags) + p.scales[1] * views.speaker)


def write_projection(
    folder: Path, projection: Projection, settings: ViewSettings, background: TermStatistics, encoder: Embedder
) -> str:
    """Write a trained model and return its fingerprint. ``background`` is idf for queries without a scope."""
    known = sorted(background.document_frequency.items())
    tensors = projection.tensors() | {"frequency": np.array([count for _, count in known], dtype=np.int64)}
    said = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return write_model(
        folder,
        kind=KIND,
        settings={
            "views": said,
            "encoder": {"name": encoder.name, "dim": encoder.dim, "fingerprint": encoder.fingerprint},
            "background": {
                "documents": background.documents,
                "mean_length": background.mean_length,
                "terms": [term for term, _ in known],
            },
        },
        tensors=tensors,
    )


def _restored(stored: StoredModel, encoder: Embedder) -> tuple[ViewSettings, Projection, TermStatistics]:
    if stored.kind != KIND:
        raise CheckpointError(f"{stored.folder} holds a {stored.kind!r} model; needed: {KIND!r}")
    trained_on = stored.settings["encoder"]
    if trained_on["fingerprint"] != encoder.fingerprint:
        raise CheckpointError(
            f"{stored.folder} was trained on the encoder {trained_on['name']} ({trained_on['fingerprint']}), but "
            f"{encoder.name} ({encoder.fingerprint}) came. Choose that encoder, or train the head on this one."
        )
    tensors, said = stored.tensors(), stored.settings["background"]
    frequency = dict(zip(said["terms"], tensors.pop("frequency").tolist(), strict=True))
    background = TermStatistics(said["documents"], said["mean_length"], frequency)
    return _settings(stored.settings["views"]), Projection(**tensors), background


def _settings(views: Mapping[str, float]) -> ViewSettings:
    return ViewSettings(
        before=int(views["before"]),
        after=int(views["after"]),
        context_chars=int(views["context_chars"]),
        k1=views["k1"],
        b=views["b"],
        mean_length=views["mean_length"],
        copies=int(views["copies"]),
        width=int(views["width"]),
    )


def _folded_width(encoder_dim: int, width: int, dim: int) -> int:
    """Return the lexical width of rows of ``dim``; it must divide the trained width."""
    left = dim - encoder_dim
    if left == 0 or (0 < left <= width and width % left == 0):
        return left
    fits = dict.fromkeys([encoder_dim + width // n for n in (1, 2, 4, 8) if width % n == 0] + [encoder_dim])
    raise ConfigError(f"dim={dim} is no width of this model; it folds to {', '.join(map(str, fits))}")
