"""A folder's memories and what people found useful in them, as conversations to learn from. Opens the folder's store.

Nothing is copied: what stands in the folder is read there, by the process that asks, and leaves with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

from memshadow.data.corpora.lines import fingerprint
from memshadow.data.feedback import FILE, FeedbackLog, How, Judgement, Owner
from memshadow.data.store.base import Filter, MemoryStore
from memshadow.errors import DataError, MissingExtraError
from memshadow.types import Conversation, Memory, Question, Record, Scope

_PAGE = 1_000
_CERTAINTY = get_args(How)
_MEMORY_MB = 256


class FeedbackCorpus:
    """One conversation for each owner who found something useful: all memories that hold now, and what was asked.

    A question's evidence is what was found useful and still holds, its category how that is known (the most certain
    way); the same words asked again by one owner, whatever their case and spaces, are one question. Owners are named
    by a hash, so that neither rankings nor records of a run tell who they are.

    Memories stand by session (in the order of their first memory) and turn, lone notes between the sessions. Times are
    those of the events: other than in published sets they may run backwards, as people tell of the past.

    Args:
        folder: of the memories.
        precision: of the folder's store; an error says so where it is the other one.
    """

    name = "feedback"
    licence = "yours alone (private memories)"
    weights_may_ship = False

    def __init__(self, *, folder: str, precision: Literal["fp16", "fp32"]) -> None:
        self.folder, self._precision = Path(folder).expanduser().absolute(), precision

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the judgements and of the store's mark, which every write changes."""
        return fingerprint(*self.files())

    def files(self) -> list[Path]:
        """Return the paths of the judgements and of the store's mark; raise ``DataError`` where one is absent."""
        files = [self.folder / FILE, self.folder / "memories.mark"]
        if missing := [file.name for file in files if not file.is_file()]:
            raise DataError(
                f"{self.folder} lacks {' and '.join(missing)}: there is no memory with feedback in it. Begin one with "
                "`memshadow remember`; what is found useful there is noted beside it. data.folder=PATH names another."
            )
        return files

    def conversations(self) -> Iterator[Conversation]:
        """Yield the owners' conversations, by the hash of the owner; the folder is free again when the first one comes.

        Raises:
            DataError: there is no memory with feedback in the folder.
            StoreError: another process holds the folder (the message says which), or it is damaged.
        """
        self.files()
        judged = _by_owner(FeedbackLog(file=self.folder / FILE).read())
        with closing(self._opened()) as store:
            found = [_conversation(_named(owner), _current(store, owner), judged[owner]) for owner in judged]
        yield from sorted((one for one in found if one.questions), key=lambda one: one.id)

    def _opened(self) -> MemoryStore:
        try:
            from memshadow.data.store.embedded import EmbeddedStore
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "duckdb", "serve") from error
        return EmbeddedStore(
            folder=str(self.folder),
            precision=self._precision,
            memory_mb=_MEMORY_MB,
            threads=1,
            log_mb=16,
            known_versions=1,
            known_records=1,
        )


def _by_owner(judgements: Iterator[Judgement]) -> dict[Owner, list[Judgement]]:
    found: dict[Owner, list[Judgement]] = {}
    for judgement in judgements:
        found.setdefault(judgement.scope.owner, []).append(judgement)
    return found


def _named(owner: Owner) -> str:
    return f"owner-{blake2b(repr(owner).encode(), digest_size=8).hexdigest()}"


def _current(store: MemoryStore, owner: Owner) -> list[Record]:
    """Return what holds of an owner's memories, in the order of saying."""
    scope, after = Scope(tenant=owner[0], user=owner[1]), 0
    found: list[Record] = []
    while page := store.page(scope, Filter(), after=after, limit=_PAGE):
        found += page
        after = page[-1].seq
    first: dict[str | int, int] = {}
    for record in found:
        first.setdefault(_session(record), record.seq)
    return sorted(found, key=lambda record: (first[_session(record)], record.turn, record.seq))


def _session(record: Record) -> str | int:
    """Return what tells sessions apart; a lone note is one of its own."""
    return record.seq if record.scope.session is None else record.scope.session


def _conversation(name: str, records: list[Record], judgements: list[Judgement]) -> Conversation:
    memories: list[Memory] = []
    for _, turns in groupby(records, key=_session):
        memories += [_memory(name, record, turn) for turn, record in enumerate(turns)]
    ids = {record.id: memory.id for record, memory in zip(records, memories, strict=True)}
    questions = tuple(_questions(name, judgements, ids))
    return Conversation(id=name, memories=tuple(memories), questions=questions, corpus=FeedbackCorpus.name)


def _memory(name: str, record: Record, turn: int) -> Memory:
    draft = record.draft
    return Memory(
        id=f"{name}/{record.id}",
        conversation_id=name,
        session_id=record.scope.session or "",
        turn=turn,
        speaker=draft.speaker or draft.role,
        text=draft.text,
        timestamp=draft.happened_at,
        image_caption=draft.image_caption,
    )


def _questions(name: str, judgements: list[Judgement], ids: Mapping[str, str]) -> Iterator[Question]:
    """Yield a question for all judgements of the same words, in the order in which they were first asked."""
    asked: dict[str, Question] = {}
    for judgement in judgements:
        words = " ".join(judgement.query.split())
        first = Question(id="", conversation_id=name, text=words, category=judgement.kind)
        known = asked.get(words.casefold(), first)
        useful = (ids[one] for one in judgement.useful if one in ids)
        asked[words.casefold()] = replace(
            known,
            evidence=tuple(dict.fromkeys([*known.evidence, *useful])),
            category=max(known.category, judgement.kind, key=_CERTAINTY.index),
        )
    for number, question in enumerate(asked.values()):
        if question.evidence:
            yield replace(question, id=f"{name}/q{number}")
