"""``Memory``: remember, recall, context. The one object that library, command line, HTTP and evaluation all use.

Joins a store (the truth), an index (its cache), an embedder and a ranking. Knows no SQL, no HTTP and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from memshadow.data.feedback import FeedbackLog, How, Judgement
from memshadow.data.index.base import Block, MemoryIndex, session_hash
from memshadow.data.store.base import Filter, MemoryStore
from memshadow.errors import DataError, NotFoundError
from memshadow.memory.adapting import Adapting, NoAdapters
from memshadow.memory.bringing import Bringing
from memshadow.memory.context import packed
from memshadow.memory.counting import TokenCounter
from memshadow.memory.drafting import drafted
from memshadow.memory.exchange import Imported, lines_of, portions, records_of
from memshadow.memory.filtering import filtered
from memshadow.memory.intake import entries
from memshadow.memory.judging import Judging
from memshadow.memory.parts import Parts
from memshadow.memory.ranking import Asked, Ranked, Ranking, statistics_of
from memshadow.memory.reembedding import claim, reembed
from memshadow.memory.remembering import CURRENT, Remembering
from memshadow.memory.supersession import SupersessionRule
from memshadow.models.base import Embedder
from memshadow.models.lexical import terms
from memshadow.types import Adaptation, Added, Context, Draft, Explanation, Hit, Memory as Said, Record, Scope, Stats

MOST_HITS = 1000
_PORTION = 500
"""Versions of an import in one durable write."""
What = str | Draft | Said | Mapping[str, Any]


def _now() -> datetime:
    return datetime.now(UTC)


class Memory:
    """Memories of many owners, durable when a call returns, found in the next call.

    Safe to use from several threads. Each method takes ``scope``; without one, the scope that the memory was opened
    with (or that ``at`` gave) holds. Nothing outside of the scope is ever read, counted or told.

    Args:
        store: where memories lie; a new one is given ``embedder``.
        index: compares vectors.
        embedder: turns text into rows; must be the one that the store's vectors were made with.
        ranking: orders what is found.
        rule: finds what a new memory supersedes.
        counter: counts a context's tokens.
        near_threshold: cosine from which another memory is reported as nearly the same; above 1: never.
        feedback: keeps what was found useful; ``None``: nothing does, and ``feedback`` is refused.
        adapters: what each owner's answers change for that owner; ``None``: nothing.
        scope: whose memories, where a call does not say.
        clock: tells the time of adding.

    Raises:
        StoreError: the store's vectors were made with another embedder.
    """

    def __init__(
        self,
        *,
        store: MemoryStore,
        index: MemoryIndex,
        embedder: Embedder,
        ranking: Ranking,
        rule: SupersessionRule,
        counter: TokenCounter,
        near_threshold: float,
        feedback: FeedbackLog | None = None,
        adapters: Adapting | None = None,
        scope: Scope | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.scope = scope or Scope()
        self._clock = clock
        self._parts = Parts(store=store, index=index, embedder=embedder, ranking=ranking, counter=counter)
        self._adapters: Adapting = adapters or NoAdapters()
        self._adapters.bind(self._parts)
        self._judges = Judging(self._parts, feedback, self._adapters)
        self._brings = Bringing(self._parts, rule=rule)
        self._writes = Remembering(self._parts, rule=rule, near_threshold=near_threshold, clock=clock)
        claim(self._parts)
        index.attach(store, fingerprint=embedder.fingerprint, dim=embedder.dim, read=entries)

    def at(self, scope: Scope | None = None, **parts: str | None) -> Memory:
        """Return this memory seen from another scope; ``parts`` replace single parts of the present one."""
        seen: Memory = object.__new__(Memory)
        seen.__dict__.update(self.__dict__)
        seen.scope = replace(scope or self.scope, **parts)  # type: ignore[arg-type]
        return seen

    @property
    def store(self) -> MemoryStore:
        """Return where the memories lie."""
        return self._parts.store

    @property
    def embedder(self) -> Embedder:
        """Return what makes the vectors now."""
        return self._parts.embedder

    @property
    def counter(self) -> TokenCounter:
        """Return what counts a context's tokens."""
        return self._parts.counter

    @overload
    def add(self, what: What, *, scope: Scope | None = None, **said: Any) -> Added: ...
    @overload
    def add(
        self, what: Sequence[Draft | Said | Mapping[str, Any]] | list[str], *, scope: Scope | None = None, **said: Any
    ) -> list[Added]: ...
    def add(self, what: Any, *, scope: Scope | None = None, **said: Any) -> Added | list[Added]:
        """Remember one thing or many; many are remembered wholly or not at all.

        Args:
            what: a text, a :class:`Draft`, a corpus memory, a mapping with a draft's fields, or a list of such.
            scope: where to; its ``session``, if any, gives the order of turns.
            said: further fields of :class:`Draft`, for all of them.

        Returns:
            One :class:`Added` a thing, in order. What is there already in this scope, word for word by the same speaker
            at the same time, is not added twice.

        Raises:
            DataError: something cannot be kept; nothing was added.
            NotFoundError: ``supersedes`` names no memory of this owner.
        """
        single = isinstance(what, (str, Draft, Said, Mapping)) or not isinstance(what, Iterable)
        drafts = [drafted(one, **said) for one in ([what] if single else what)]
        scope = scope or self.scope
        found = self._writes.add(scope, drafts) if drafts else []
        return found[0] if single else found

    def get(self, memory_id: str, *, scope: Scope | None = None) -> Record:
        """Return the newest version of a memory; raise ``NotFoundError`` where the scope has none of that id."""
        scope = scope or self.scope
        found = [r for r in self.store.current(scope.owner, [memory_id]) if scope.covers(r.scope)]
        if not found:
            raise NotFoundError(f"there is no memory {memory_id!r:.80} in this scope.")
        return found[0]

    def history(self, memory_id: str, *, scope: Scope | None = None) -> list[Record]:
        """Return all versions of a memory, oldest first; raise ``NotFoundError`` where there is none."""
        scope = scope or self.scope
        self.get(memory_id, scope=scope)
        return self.store.history(scope.owner, memory_id)

    def update(self, memory_id: str, *, scope: Scope | None = None, **changed: Any) -> Record:
        """Replace fields of a memory by a new version, which is returned; the older ones stay in its history.

        Raises:
            NotFoundError: there is no such memory in this scope.
            DataError: a field cannot be kept, or another memory superseded this one.
        """
        scope = scope or self.scope
        refused = {"id", "supersedes"} & set(changed)
        if refused:
            raise DataError(f"{refused.pop()} cannot be changed; add a memory with it instead.")
        return self._writes.update(lambda: self.get(memory_id, scope=scope), changed, owner=scope.owner)

    def forget(self, memory_id: str, *, scope: Scope | None = None) -> None:
        """Erase a memory: all versions, vectors and words of it, its trace in neighbours' vectors and in feedback.

        The owner's adapter, if any, is made anew without it; a kill before that leaves none until the next answer.

        Raises:
            NotFoundError: there is no such memory in this scope.
        """
        scope = scope or self.scope
        answered = self.adaptation(scope=scope).answered
        # feedback first: after a kill in between, the memory is there to be forgotten again
        self._writes.forget(lambda: self._judges.without(self.get(memory_id, scope=scope)), owner=scope.owner)
        if answered:
            self.adapt(scope=scope)

    def search(
        self, query: str, *, k: int = 10, scope: Scope | None = None, explain: bool = False, **narrowed: Any
    ) -> list[Hit]:
        """Return the ``k`` memories that answer the query best, best first; fewer where there are fewer.

        Args:
            query: what is asked, in words.
            k: 1 to 1,000.
            scope: where to look.
            explain: tell each part's score and rank with every hit.
            narrowed: fields of :class:`~memshadow.data.store.base.Filter` (``as_of``, ``between``, ``kinds``, ``tags``,
                ``speakers``, ``keys``, ``metadata``, ``latest_only``); they hold before ranking, so k hits come where k
                pass. Scope, ``as_of`` and ``latest_only`` bound what is read at all; the others say only what may be a
                hit: what was said around it counts as it does without them.

        Raises:
            DataError: the query is blank, k is out of range, a filter is unknown or of the wrong kind.
        """
        scope = scope or self.scope
        asked_for: Any = query  # not every caller minds types
        if not isinstance(asked_for, str) or not asked_for.strip():
            raise DataError(f"a search needs words to look for; {query!r:.40} came.")
        if type(k) is not int or not 1 <= k <= MOST_HITS:
            raise DataError(f"k={k!r}; needed: a whole number from 1 to {MOST_HITS}.")
        given = filtered(**narrowed)
        parts, asked = self._parts, terms(query)
        with parts.gate.together():
            block = parts.index.block(scope.owner)
            visible = self._allowed(block, scope, seen := _unnarrowed(given))
            allowed = visible if given == seen else visible & self._allowed(block, scope, given)
            counted = statistics_of(block, visible, asked)
            row, moved = self._adapters.row(scope.owner, parts.embedder.embed_queries([query], statistics=counted)[0])
            question = Asked(
                vector=row,
                terms=asked,
                statistics=counted,
                text=query,
                as_of=given.as_of,
                read=lambda places: self._said(scope, block, places),
                visible=visible,
            )
            ranked = parts.ranking.rank(block, allowed, question, k=k)
        ranked = replace(ranked, notes=(*ranked.notes, *moved)) if moved else ranked
        return self._hits(scope, given, block, ranked, explain=explain)

    def context(
        self, query: str, *, budget_tokens: int, scope: Scope | None = None, k: int = 50, **narrowed: Any
    ) -> Context:
        """Return what a prompt should hold to answer the query: dated, attributed lines within ``budget_tokens``.

        Raises:
            DataError: as ``search``.
            ConfigError: the budget is below 1.
        """
        hits = self.search(query, k=k, scope=scope, **narrowed)
        return packed([hit.record for hit in hits], budget_tokens=budget_tokens, counter=self._parts.counter)

    def feedback(
        self,
        query: str,
        useful: Sequence[str] | str,
        helpful: bool = True,
        *,
        shown: Sequence[str] = (),
        kind: How = "explicit",
        scope: Scope | None = None,
    ) -> Adaptation:
        """Note which memories answered a question, and adapt this user's recall to it (see ``docs/feedback.md``).

        Durable when it returns. The same words asked again are one question, whose answers add up.

        Args:
            query: what was asked, in words.
            useful: the id of the memory that answered it, or a list of 1 to 1,000.
            helpful: ``False``: they were found, and did not answer it.
            shown: ids of what a search returned, best first, where that is known; what is not there is left out.
            kind: how one knows: ``explicit`` (somebody said so), ``answer`` (used in one that was given), ``click``.
            scope: who asked; the memories must be in it.

        Returns:
            Whether what was answered by now moves this user's questions, and why (or why not).

        Raises:
            NotFoundError: a memory is not in this scope; nothing was noted.
            DataError: the query is blank, nothing was named, an id is none, ``kind`` is unknown.
            ConfigError: the memory lies in no folder.
        """
        named = [useful] if isinstance(useful, str) else useful
        told: dict[str, Any] = {"useful" if helpful else "wrong": named, "shown": shown}  # not every caller minds types
        judged = Judgement(scope=scope or self.scope, query=query, kind=kind, at=self._clock(), **told)
        return self._judges.note(judged)

    def adaptation(self, *, scope: Scope | None = None) -> Adaptation:
        """Return whether what a user answered moves that user's questions, and why (or why not)."""
        return self._adapters.told((scope or self.scope).owner)

    def adapt(self, *, scope: Scope | None = None) -> Adaptation:
        """Make the user's adapter anew of all that was answered: after another embedder, or a start of one's own."""
        return self._judges.adapt((scope or self.scope).owner)

    def unadapt(self, *, scope: Scope | None = None) -> None:
        """Remove the user's adapter; questions are looked up as they are, until the next answer."""
        self._judges.unadapt((scope or self.scope).owner)

    def recent(self, *, last: int = 20, scope: Scope | None = None) -> list[Record]:
        """Return the last memories of a scope (usually one session) that hold, in the order of saying.

        Without a session: in the order of adding.
        """
        scope = scope or self.scope
        if last < 1:
            raise DataError(f"last={last}; needed: at least 1.")
        with self._parts.gate.together():
            block = self._parts.index.block(scope.owner)
            places = np.flatnonzero(self._allowed(block, scope, Filter()))
        if scope.session is not None:
            places = places[np.argsort(block.turns[places], kind="stable")]
        return self.store.versions(scope.owner, block.seqs[places[-last:]].tolist())

    def recent_context(self, *, budget_tokens: int, last: int = 50, scope: Scope | None = None) -> Context:
        """Return the end of a session as text for a prompt, newest first into the budget: a conversation goes on."""
        newest = self.recent(last=last, scope=scope)[::-1]
        return packed(newest, budget_tokens=budget_tokens, counter=self._parts.counter, said=newest[::-1])

    def page(self, *, after: int = 0, limit: int = 100, scope: Scope | None = None, **narrowed: Any) -> list[Record]:
        """Return up to ``limit`` memories of a scope with ``seq > after``, ascending: go on after the last one's."""
        if not 1 <= limit <= MOST_HITS:
            raise DataError(f"limit={limit}; needed: 1 to {MOST_HITS}.")
        return self.store.page(scope or self.scope, filtered(**narrowed), after=after, limit=limit)

    def everything(self, *, scope: Scope | None = None, **narrowed: Any) -> Iterator[Record]:
        """Yield all memories of a scope, by seq, reading as it goes."""
        after = 0
        while found := self.page(after=after, limit=MOST_HITS, scope=scope, **narrowed):
            yield from found
            after = found[-1].seq

    def export(self, *, scope: Scope | None = None) -> Iterator[str]:
        """Yield everything of a scope, the past too, as lines of JSON (see :mod:`memshadow.memory.exchange`)."""
        until = self.store.last_seq  # one moment, though others write
        return lines_of(self.everything(scope=scope, latest_only=False), at=self._clock(), until=until)

    def import_(self, lines: Iterable[str], *, scope: Scope | None = None) -> Imported:
        """Bring in the lines of an export, or of another program, in this scope's name; what is there stays once.

        Versions are written in portions: after an error or a kill, those before it are there, and the same call again
        brings in the rest. Where several memories of one ``key`` hold then, the one that was learned last takes the
        place of the others, as if it had been added last.

        Raises:
            DataError: a line is damaged (its number is told), a version is there with other content, or a memory comes
                without its past.
        """
        scope, added, known = scope or self.scope, 0, 0
        superseded: list[Record] = []
        keys: dict[str, None] = {}
        for portion in portions(records_of(lines, scope, at=self._clock()), size=_PORTION):
            new = self._brings.take_in(portion)
            added, known = added + new, known + len(portion) - new
            superseded += [record for record in portion if record.ended_by == "supersede"]
            keys |= {record.draft.key: None for record in portion if record.draft.key is not None and record.current}
        if superseded:  # what came later may be what took their place
            self._brings.end_superseded(superseded)
        self._brings.settle_keys(scope.owner, keys)
        return Imported(added=added, known=known)

    def reembed(
        self,
        embedder: Embedder,
        *,
        index: MemoryIndex,
        ranking: Ranking | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take up another embedder while searches and additions go on; see :mod:`memshadow.memory.reembedding`.

        Args:
            embedder: takes over when every version, of every owner, has its row.
            index: a new one, never attached; takes over with it.
            ranking: takes over with it, where given.
            progress: told how many more versions are done.
        """
        reembed(self._parts, embedder, index=index, ranking=ranking, progress=progress)

    def stats(self, *, scope: Scope | None = None) -> Stats:
        """Return what is kept for a scope's owner."""
        scope = scope or self.scope
        with self._parts.gate.together():
            block, embedder, report = self._parts.index.block(scope.owner), self.embedder, self._parts.index.report
        everything = block.allowed(scope, Filter(latest_only=False))
        allowed = np.ones(block.size, dtype=bool) if everything is None else everything
        return Stats(
            memories=int(np.count_nonzero(allowed & (block.ended == CURRENT))),
            versions=int(np.count_nonzero(allowed)),
            sessions=len(set(block.sessions[allowed].tolist()) - {session_hash(None)}),
            last_seq=self.store.last_seq,
            embedder=embedder.name,
            dim=embedder.dim,
            warnings=report,
        )

    def close(self) -> None:
        """Save the index and let go of the folder; twice is once."""
        self._parts.index.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _allowed(self, block: Block, scope: Scope, given: Filter) -> Bool[ndarray, " size"]:
        allowed = block.allowed(scope, given)
        if allowed is None:
            return np.isin(block.seqs, np.asarray(self.store.matching(scope, given), dtype=np.int64))
        return allowed

    def _said(self, scope: Scope, block: Block, places: ndarray) -> list[str]:
        """Return what was said at some places of a block; "" for what is gone since it was read."""
        seqs = block.seqs[places].tolist()
        kept = {record.seq: record.draft.said().rendered() for record in self.store.versions(scope.owner, seqs)}
        return [kept.get(seq, "") for seq in seqs]

    def _hits(self, scope: Scope, given: Filter, block: Block, ranked: Ranked, *, explain: bool) -> list[Hit]:
        """Read every hit again from the store: only what is there, and is the scope's, leaves."""
        seqs = block.seqs[ranked.places].tolist()
        kept = {record.seq: record for record in self.store.versions(scope.owner, seqs)}
        hits = []
        for place, seq in enumerate(seqs):
            record = kept.get(seq)
            if record is None or not scope.covers(record.scope) or (given.latest_only and not _holds(record, given)):
                continue  # gone or replaced since the block was read
            told = _explained(ranked, place) if explain else None
            hits.append(Hit(record=record, score=float(ranked.scores[place]), explanation=told))
        return hits


def _unnarrowed(given: Filter) -> Filter:
    """Return what of a filter bounds what is read: the moment. The rest says only what may be a hit."""
    return Filter(latest_only=given.latest_only, as_of=given.as_of)


def _holds(record: Record, given: Filter) -> bool:
    return given.as_of is not None or record.current


def _explained(ranked: Ranked, place: int) -> Explanation:
    at = int(ranked.among[place])
    looked = {name: part for name, part in ranked.parts.items() if not np.isnan(part[at])}
    return Explanation(
        scores={name: float(part[at]) for name, part in looked.items()},
        ranks={name: 1 + int(np.count_nonzero(part > part[at])) for name, part in looked.items()},
        notes=ranked.notes,
    )
