"""Corpora made thin or strange on purpose: what a ranker must bear without falling behind plain fusion.

Each takes any corpus of conversations and changes them one at a time; the questions stay true. Knows no reader.
"""

from __future__ import annotations

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

from memshadow.data.corpora.base import ConversationCorpus
from memshadow.data.corpora.synthetic.grammar import Dice
from memshadow.errors import ConfigError
from memshadow.types import Conversation, Memory, Question

Mark = Literal["sessions", "speakers", "dates"]
_LANGUAGES = Path(__file__).with_name("languages.toml")


class Suite(ABC):
    """A corpus made of ``corpus``: its licence, its order, a name that says what was done to it."""

    def __init__(self, corpus: ConversationCorpus, *, done: str, version: str = "") -> None:
        self._corpus, self._version = corpus, version
        self.name = f"{corpus.name}_{done}"
        self.licence, self.weights_may_ship = corpus.licence, corpus.weights_may_ship

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the corpus and of what is done to it."""
        return sha256(f"{self._corpus.fingerprint}:{self.name}:{self._version}".encode()).hexdigest()[:16]

    def conversations(self) -> Iterator[Conversation]:
        """Yield what becomes of the corpus' conversations, in its order."""
        for conversation in self._corpus.conversations():
            yield from self.changed(conversation)

    @abstractmethod
    def changed(self, conversation: Conversation) -> Iterator[Conversation]:
        """Yield what becomes of one conversation."""


class FewMemories(Suite):
    """Owners who have just begun: ``memories`` turns of one session that follow each other, and nothing else.

    Every question keeps all its evidence; where a few turns answer no question, nobody is made of them.

    Raises:
        ConfigError: ``memories`` is below 1.
    """

    def __init__(self, *, corpus: ConversationCorpus, memories: int) -> None:
        if memories < 1:
            raise ConfigError(f"data.memories={memories}: an owner has 1 memory or more; set data.memories to that")
        self._size = memories
        super().__init__(corpus, done=f"few_{memories}")

    def changed(self, conversation: Conversation) -> Iterator[Conversation]:
        """Yield the owners that a conversation gives, in the order of saying."""
        for number, few in enumerate(self._cut(conversation.memories)):
            ids, name = {memory.id for memory in few}, f"{conversation.id}/few_{number}"
            questions = tuple(
                replace(question, conversation_id=name)
                for question in conversation.questions
                if question.evidence and ids.issuperset(_cited(question))
            )
            if questions:
                memories = tuple(replace(memory, conversation_id=name) for memory in few)
                yield replace(conversation, id=name, memories=memories, questions=questions)

    def _cut(self, memories: Sequence[Memory]) -> Iterator[list[Memory]]:
        """Yield the turns of each session, so many at a time; what is left over is nobody's."""
        for _, turns in groupby(memories, key=lambda memory: memory.session_id):
            session = list(turns)
            whole = len(session) // self._size * self._size
            yield from (session[i : i + self._size] for i in range(0, whole, self._size))


class Stripped(Suite):
    """The same texts with less around them. ``of`` names what is taken away: sessions, speakers, dates.

    Without sessions each turn is a lone note, counted through the conversation.

    Raises:
        ConfigError: ``of`` names nothing, or something else.
    """

    def __init__(self, *, corpus: ConversationCorpus, of: Sequence[Mark]) -> None:
        marks = get_args(Mark)
        if isinstance(of, str) or not of or not set(of) <= set(marks):
            raise ConfigError(f"data.of={of!r:.60}; needed: a list of one or more of {', '.join(marks)}")
        self._lost = frozenset(of)
        super().__init__(corpus, done="_".join(["without", *sorted(self._lost)]))

    def changed(self, conversation: Conversation) -> Iterator[Conversation]:
        """Yield the conversation with every memory stripped."""
        memories = (self._stripped(memory, place) for place, memory in enumerate(conversation.memories))
        yield replace(conversation, memories=tuple(memories))

    def _stripped(self, memory: Memory, place: int) -> Memory:
        lost: dict[str, Any] = {}
        if "sessions" in self._lost:
            lost |= {"session_id": "", "turn": place}
        if "speakers" in self._lost:
            lost["speaker"] = ""
        if "dates" in self._lost:
            lost["timestamp"] = None
        return replace(memory, **lost)


class OneSpeaker(Suite):
    """Only what the one who speaks first said; a question whose evidence is gone goes with it."""

    def __init__(self, *, corpus: ConversationCorpus) -> None:
        super().__init__(corpus, done="one_speaker")

    def changed(self, conversation: Conversation) -> Iterator[Conversation]:
        """Yield the conversation with one of its voices."""
        first = next((memory.speaker for memory in conversation.memories), "")
        memories = tuple(memory for memory in conversation.memories if memory.speaker == first)
        ids = {memory.id for memory in memories}
        questions = tuple(_left(question, ids) for question in conversation.questions)
        yield replace(conversation, memories=memories, questions=tuple(q for q in questions if q.evidence))


@dataclass(frozen=True, slots=True)
class _Fact:
    """Something said in ``language``, what may be answered to it there, and (question, answer) in two languages."""

    language: str
    said: str
    replies: tuple[str, ...]
    asked: tuple[str, str]
    crosswise: tuple[str, str]


POOLS = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}


class MixedLanguages(Suite):
    """Facts, small talk and questions in thirteen languages, strewn into a corpus of another.

    Each fact is said by someone of the conversation and answered in the same language by the next one. It is asked for
    in its language, and with chance ``crosswise`` in another one too.

    Args:
        corpus: what they are strewn into.
        facts: how many a conversation gets, at most one between two turns.
        crosswise: from 0 to 1.
        seed: another seed, other facts in other places.
        pool: ``all`` facts, or every second one (``even``, ``odd``): what is trained on some is measured on the others.

    Raises:
        ConfigError: a number is out of its range, or there is no such pool.
    """

    def __init__(self, *, corpus: ConversationCorpus, facts: int, crosswise: float, seed: int, pool: str) -> None:
        if pool not in POOLS:
            raise ConfigError(f"data.pool={pool!r}: set data.pool to one of {', '.join(POOLS)}")
        self._pool = _facts()[POOLS[pool]]
        if not 0 <= facts <= len(self._pool):
            raise ConfigError(f"data.facts={facts}: there are {len(self._pool)}; set data.facts to a number up to that")
        if not 0 <= crosswise <= 1:
            raise ConfigError(f"data.crosswise={crosswise}: it is a chance; set data.crosswise to a number from 0 to 1")
        self._count, self._crosswise, self._seed = facts, crosswise, seed
        text = sha256(_LANGUAGES.read_bytes()).hexdigest()
        super().__init__(corpus, done="mixed_languages", version=f"{facts}:{crosswise}:{seed}:{pool}:{text}")

    def changed(self, conversation: Conversation) -> Iterator[Conversation]:
        """Yield the conversation with the facts strewn in."""
        dice = Dice(f"memshadow-languages/{self._seed}/{conversation.id}")
        places = sorted(dice.shuffled(range(len(conversation.memories)))[: self._count])
        facts = dice.shuffled(self._pool)[: len(places)]
        said: dict[int, list[Memory]] = {}
        questions = list(conversation.questions)
        for number, (place, fact) in enumerate(zip(places, facts, strict=True)):
            said[place] = _exchange(conversation, place, fact, number, dice)
            questions += self._questions(said[place][0], fact, dice)
        memories = [m for place, one in enumerate(conversation.memories) for m in (one, *said.get(place, ()))]
        yield replace(conversation, memories=tuple(counted(memories)), questions=tuple(questions))

    def _questions(self, memory: Memory, fact: _Fact, dice: Dice) -> Iterator[Question]:
        """Yield the question on a fact, and the one in another language where chance has it."""
        asked = {"same-language": fact.asked}
        if dice.chance(self._crosswise):
            asked["cross-language"] = fact.crosswise
        for category, (text, answer) in asked.items():
            yield Question(
                id=f"{memory.id}/{category}",
                conversation_id=memory.conversation_id,
                text=text.replace("{S}", memory.speaker),
                evidence=(memory.id,),
                category=category,
                answer=answer,
            )


def _exchange(conversation: Conversation, place: int, fact: _Fact, number: int, dice: Dice) -> list[Memory]:
    """Return a fact and the reply to it, to stand behind the memory at ``place``, of its session and time."""
    before = conversation.memories[place]
    voices = sorted({memory.speaker for memory in conversation.memories})
    first = dice.between(0, len(voices) - 1)
    speakers = voices[first], voices[(first + 1) % len(voices)]
    texts = fact.said, dice.pick(fact.replies)
    return [
        replace(
            before,
            id=f"{conversation.id}/{fact.language}_{number}_{part}",
            speaker=speaker,
            text=text,
            image_caption=None,
            metadata={},
        )
        for part, speaker, text in zip(("said", "reply"), speakers, texts, strict=True)
    ]


def counted(memories: Sequence[Memory]) -> Iterator[Memory]:
    """Yield memories with the turns of each session counted from 0."""
    for _, turns in groupby(memories, key=lambda memory: memory.session_id):
        yield from (replace(memory, turn=turn) for turn, memory in enumerate(turns))


@cache
def _facts() -> tuple[_Fact, ...]:
    """Return all facts, by language in the order of the file."""
    languages: Mapping[str, Any] = tomllib.loads(_LANGUAGES.read_text(encoding="utf-8"))
    return tuple(
        _Fact(language, fact["said"], tuple(held["talk"]), tuple(fact["asked"]), tuple(fact["crosswise"]))
        for language, held in languages.items()
        for fact in held["facts"]
    )


def _cited(question: Question) -> set[str]:
    return {*question.evidence, *(question.evidence_audited or ())}


def _left(question: Question, ids: set[str]) -> Question:
    """Return a question with what is left of its evidence."""
    audited = question.evidence_audited
    return replace(
        question,
        evidence=tuple(one for one in question.evidence if one in ids),
        evidence_audited=None if audited is None else tuple(one for one in audited if one in ids),
    )
