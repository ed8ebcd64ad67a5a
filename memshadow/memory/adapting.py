"""What a user's answers change about how that user's questions are looked up, and whether it is used at all.

After each judgement the user's adapter (:mod:`memshadow.meta.adapter`) is made anew from the last of them, and put to
the test on them: each question that was answered is asked again, with an adapter made of the others and with none. One
that does not find more than none is not used, and says so: what a start gains for vectors alone, a ranking that reads
more than vectors may not need. Knows no file of judgements and no training.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from memshadow.data.feedback import Judgement
from memshadow.data.index.base import Block
from memshadow.data.store.base import Filter, Owner
from memshadow.errors import CheckpointError, ConfigError, MemshadowError
from memshadow.memory.parts import Parts
from memshadow.memory.ranking import Asked, statistics_of
from memshadow.meta.adapter import SHIPPED, Adapter, Start, read_adapter, read_start
from memshadow.models.lexical import terms
from memshadow.models.metrics import ndcg
from memshadow.training.atomic import write_bytes
from memshadow.types import Adaptation, Scope

PACKAGED = "packaged"
_LOG = logging.getLogger("memshadow.memory")
_ALL = 2_000
"""Memories up to which all are looked at in a step; of more, the nearest and those that are right."""
_NEAREST = 200
_TESTED = 8
"""Answered questions that the test asks again at most, the last ones."""
_KNOWN = 1_000
"""Owners whose adapters are held in memory."""
_LEAST = 3
"""Answered questions that a test needs."""


class Adapting(Protocol):
    """Moves a user's questions. Bound to a memory's parts once, before anything else; safe from several threads."""

    def bind(self, parts: Parts) -> None:
        """Learn what the memory works with."""
        ...

    def row(self, owner: Owner, row: Float32[ndarray, " dim"]) -> tuple[Float32[ndarray, " dim"], tuple[str, ...]]:
        """Return the row to look a question up with, and what a user should know of it; the same where none moves."""
        ...

    def learn(self, owner: Owner, judgements: Iterable[Judgement]) -> Adaptation:
        """Make the owner's adapter anew; call it with the owner's lock held."""
        ...

    def told(self, owner: Owner) -> Adaptation:
        """Return what came of the last ``learn``."""
        ...

    def drop(self, owner: Owner) -> None:
        """Remove the owner's adapter; where there is none that is no error."""
        ...


class NoAdapters:
    """Moves no question."""

    def bind(self, parts: Parts) -> None:
        """Take nothing."""

    def row(self, owner: Owner, row: Float32[ndarray, " dim"]) -> tuple[Float32[ndarray, " dim"], tuple[str, ...]]:  # noqa: ARG002
        """Return the row."""
        return row, ()

    def learn(self, owner: Owner, judgements: Iterable[Judgement]) -> Adaptation:  # noqa: ARG002
        """Learn nothing."""
        return self.told(owner)

    def told(self, owner: Owner) -> Adaptation:  # noqa: ARG002
        """Say that nobody's questions are moved."""
        return Adaptation(reason="adapters are switched off (adapter=none)")

    def drop(self, owner: Owner) -> None:
        """Remove nothing."""


class UserAdapters:
    """One adapter a user, beside the memories: ``HASH.safetensors`` (mode 0600), and ``HASH.json`` on what came of it.

    Args:
        model: a folder that ``memshadow train learner=adapter`` left, or ``packaged``: the one for the packaged minilm.
        folder: of the adapters; made when the first one comes.
        most: answered questions that an adapter is made of, the last ones.

    Raises:
        ConfigError: ``most`` is below 1.
        CheckpointError: the model is none, or damaged.
    """

    def __init__(self, *, model: str, folder: str, most: int) -> None:
        if most < 1:
            raise ConfigError(f"{most=}; needed: at least 1 answered question.")
        self._start = read_start(SHIPPED if model == PACKAGED else Path(model).expanduser())
        self._folder, self._most = Path(folder).expanduser().absolute(), most
        self._known: OrderedDict[Owner, Adapter | None] = OrderedDict()
        self._turns = Lock()  # of who reads a file and who changes it, so that what is known is what is there
        self._parts: Parts

    def bind(self, parts: Parts) -> None:
        """Learn what the memory works with."""
        self._parts = parts

    def row(self, owner: Owner, row: Float32[ndarray, " dim"]) -> tuple[Float32[ndarray, " dim"], tuple[str, ...]]:
        """Return the row to look a question up with; the very same one where the owner has no adapter in use."""
        adapter = self._adapter(owner)
        if adapter is None or not self._fits(adapter):
            return row, ()
        return adapter.rows(self._start, row[None])[0], (f"moved by {len(adapter.keys)} answered questions",)

    def learn(self, owner: Owner, judgements: Iterable[Judgement]) -> Adaptation:
        """Make the owner's adapter anew, test it, and keep it or say why not; a full disk costs the adapter alone."""
        try:
            self.drop(owner)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._learned(owner, list(judgements))
            write_bytes(self._file(owner, "json"), json.dumps(asdict(found)).encode(), mode=0o600)
        except (OSError, MemshadowError) as error:  # the answer is kept by now: to lose the adapter is the lesser loss
            found = Adaptation(reason=f"it could not be made: {error}")
        _LOG.info("adapter of a user with %d answers: %s", found.answered, found.reason)
        return found

    def told(self, owner: Owner) -> Adaptation:
        """Return what came of the last ``learn``."""
        try:
            found = Adaptation(**json.loads(self._file(owner, "json").read_bytes()))
        except FileNotFoundError:
            return Adaptation()
        except (ValueError, TypeError):
            return Adaptation(reason="what was written down of it is damaged; adapt again: memshadow adapt")
        adapter = self._adapter(owner)
        if found.used and (adapter is None or not self._fits(adapter)):
            return replace(
                found, used=False, reason="it is of another embedder or start, or damaged; adapt again: memshadow adapt"
            )
        return found

    def drop(self, owner: Owner) -> None:
        """Remove the owner's adapter and what is known of it."""
        with self._turns:
            for kind in ("safetensors", "json"):
                with suppress(FileNotFoundError):
                    self._file(owner, kind).unlink()
            self._known.pop(owner, None)

    def _fits(self, adapter: Adapter) -> bool:
        of = self._parts.embedder.fingerprint, self._start.fingerprint
        return (adapter.embedder, adapter.start) == of

    def _file(self, owner: Owner, kind: str) -> Path:
        return self._folder / f"{blake2b(repr(owner).encode(), digest_size=16).hexdigest()}.{kind}"

    def _adapter(self, owner: Owner) -> Adapter | None:
        with self._turns:
            if owner not in self._known:
                self._known[owner] = self._read(owner)
                if len(self._known) > _KNOWN:
                    self._known.popitem(last=False)
            return self._known[owner]

    def _read(self, owner: Owner) -> Adapter | None:
        try:
            return read_adapter(self._file(owner, "safetensors"), dim=len(self._start.matrix))
        except FileNotFoundError:
            return None
        except (CheckpointError, OSError) as error:
            _LOG.warning("an adapter is left aside: %s", error)
            return None

    def _learned(self, owner: Owner, judgements: Sequence[Judgement]) -> Adaptation:
        if self._start.embedder != self._parts.embedder.fingerprint:
            name = self._parts.embedder.name
            return Adaptation(reason=f"there is no start for the embedder {name}: memshadow train learner=adapter")
        given = _Answers.of(self._parts, owner, judgements, most=self._most)
        if not len(given.rows):
            return Adaptation()
        tested = [number for number, one in enumerate(given.examples) if one.right][-_TESTED:]
        if len(tested) < _LEAST:
            told = f"it is tested from {_LEAST} questions with a right answer on; there are {len(tested)}"
            return Adaptation(answered=len(given.rows), reason=told)
        scores = _tested(self._parts, self._start, given, tested)
        adapter = self._start.adapted(given.rows, given.near, given.wanted())
        found = Adaptation(
            answered=len(given.rows),
            adapted=scores["adapted"],
            without=scores["without"],
            size_bytes=adapter.size_bytes,
        )
        told = f"{scores['adapted']:.3f} against {scores['without']:.3f} without (nDCG@10 on questions held out)"
        if scores["adapted"] <= scores["without"]:
            return replace(found, size_bytes=0, reason=f"it does not find more: {told}")
        with self._turns:
            adapter.write(self._file(owner, "safetensors"))
            self._known.pop(owner, None)
        return replace(found, used=True, reason=f"it finds more: {told}")


class _Example(NamedTuple):
    query: str
    right: list[int]
    """Places in the block."""
    wrong: list[int]


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """Answered questions of one owner, and the block that they speak of."""

    block: Block
    allowed: ndarray
    examples: Sequence[_Example]
    asked: Sequence[Asked]
    rows: Float32[ndarray, "k dim"]
    places: Int64[ndarray, " n"]
    """Of the memories that a step looks at."""
    near: Float32[ndarray, "n dim"] = field(repr=False)
    """Their rows."""

    @classmethod
    def of(cls, parts: Parts, owner: Owner, judgements: Sequence[Judgement], *, most: int) -> _Answers:
        block = parts.index.block(owner)
        allowed = np.asarray(block.allowed(Scope(tenant=owner[0], user=owner[1]), Filter()), dtype=bool)
        examples = _examples(parts, owner, block, judgements)[-most:]
        asked = [_asked(parts, block, allowed, one.query) for one in examples]
        rows = np.stack([one.vector for one in asked]) if asked else np.zeros((0, parts.embedder.dim), np.float32)
        places = _looked_at(block, allowed, examples, rows)
        return cls(
            block=block,
            allowed=allowed,
            examples=examples,
            asked=asked,
            rows=rows,
            places=places,
            near=block.rows(places),
        )

    def wanted(self) -> Float32[ndarray, "k n"]:
        """Return the share of each memory in each answer: 1 together where right ones are known, else -1."""
        shares = np.zeros((len(self.examples), len(self.places)), dtype=np.float32)
        for row, one in zip(shares, self.examples, strict=True):
            named, sign = (one.right, 1.0) if one.right else (one.wrong, -1.0)
            row[np.searchsorted(self.places, named)] = sign / len(named)
        return shares


def _examples(parts: Parts, owner: Owner, block: Block, judgements: Sequence[Judgement]) -> list[_Example]:
    """Return each question once, with the memories that hold now; what came last counts."""
    said: dict[str, tuple[str, dict[str, bool]]] = {}
    for judgement in judgements:
        key = " ".join(judgement.query.split()).casefold()
        _, known = said.pop(key, ("", {}))
        named = {**dict.fromkeys(judgement.useful, True), **dict.fromkeys(judgement.wrong, False)}
        said[key] = judgement.query, {**known, **named}
    ids = list({one for _, named in said.values() for one in named})
    seqs = {record.id: record.seq for record in parts.store.current(owner, ids) if record.current}
    found = []
    for words, named in said.values():
        places = {one: int(np.searchsorted(block.seqs, seqs[one])) for one in named if one in seqs}
        right = sorted(place for one, place in places.items() if named[one])
        wrong = sorted(place for one, place in places.items() if not named[one])
        if right or wrong:
            found.append(_Example(words, right, wrong))
    return found


def _asked(parts: Parts, block: Block, allowed: ndarray, query: str) -> Asked:
    stems = terms(query)
    counted = statistics_of(block, allowed, stems)
    row = parts.embedder.embed_queries([query], statistics=counted)[0]
    return Asked(vector=row, terms=stems, statistics=counted, text=query, visible=allowed)


def _looked_at(block: Block, allowed: ndarray, examples: Sequence[_Example], rows: ndarray) -> Int64[ndarray, " n"]:
    places = np.flatnonzero(allowed)
    if len(places) <= _ALL:
        return places
    near = [block.nearest(row, k=_NEAREST, allowed=allowed).places for row in rows]
    named = [np.array(one.right + one.wrong, dtype=np.int64) for one in examples]
    return np.unique(np.concatenate([*near, *named]))


def _tested(parts: Parts, start: Start, given: _Answers, tested: Sequence[int]) -> dict[str, float]:
    """Return the mean nDCG@10 of the tested questions, each under an adapter of the others, and under none."""
    adapted: list[float] = []
    without: list[float] = []
    wanted = given.wanted()
    for number in tested:
        others = np.delete(np.arange(len(given.rows)), number)
        row = given.rows[number : number + 1]
        moved = start.adapted(given.rows[others], given.near, wanted[others]).rows(start, row)
        asked, right = given.asked[number], given.examples[number].right
        for found, one in ((without, asked), (adapted, replace(asked, vector=moved[0]))):
            ranked = parts.ranking.rank(given.block, given.allowed, one, k=10).places
            found.append(ndcg(np.flatnonzero(np.isin(ranked, right)).tolist(), len(right)))
    return {"adapted": float(np.mean(adapted)), "without": float(np.mean(without))}
