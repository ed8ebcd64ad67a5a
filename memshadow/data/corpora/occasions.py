"""Lives in which the same things happen again and again, asked about by their time: only that tells them apart.

Knows nothing of how times in questions are read elsewhere: what is said of a time stands in ``timing``.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from memshadow.data.corpora.base import ConversationCorpus
from memshadow.data.corpora.suites import POOLS, Suite, counted
from memshadow.data.corpora.synthetic.grammar import Dice
from memshadow.data.corpora.timing import EVER, Phrase, phrases
from memshadow.errors import ConfigError
from memshadow.types import Conversation, Memory, Question

_FILE = Path(__file__).with_name("occasions.toml")
_VERSION = 1
_REPLIES = ("Oh nice, tell me more later.", "Ha, I can picture that.", "Really? Good to know.", "Oh wow, okay!")
CATEGORIES = ("date", "month", "season", "year", "relative", "range", "event", "odd")


class Occasions(Suite):
    """Strews things that recur into a corpus, and asks for one of each by its time; the corpus' own questions go.

    Each kind of thing happens to one person of the conversation, in sessions of its own, with something else each time.
    Questions are asked as of the end of the conversation. A phrase is used only where no other time of that kind lies
    in what it means, and those of each category (``CATEGORIES``) about equally often.

    Args:
        corpus: what they are strewn into; its turns have times.
        kinds: how many kinds a conversation gets.
        times: how often each happens.
        seed: another seed, other things at other times.
        pool: ``all`` kinds, or every second one (``even``, ``odd``): what learns from some is measured on the others.
            The words for times, the events that others are dated by and the replies are the same in both.

    Raises:
        ConfigError: a number is out of its range, or there is no such pool.
    """

    def __init__(self, *, corpus: ConversationCorpus, kinds: int, times: int, seed: int, pool: str) -> None:
        if pool not in POOLS:
            raise ConfigError(f"data.pool={pool!r}: set data.pool to one of {', '.join(POOLS)}")
        self._pool = known = sorted(_written()["kinds"])[POOLS[pool]]
        if not 1 <= kinds <= len(known):
            raise ConfigError(f"data.kinds={kinds}: there are {len(known)}; set data.kinds to 1 or more, up to that")
        if not 2 <= times <= 6:
            raise ConfigError(f"data.times={times}: what recurs does so 2 to 6 times; set data.times to that")
        self._kinds, self._times, self._seed = kinds, times, seed
        text = sha256(_FILE.read_bytes()).hexdigest()
        super().__init__(corpus, done="occasions", version=f"{_VERSION}:{kinds}:{times}:{seed}:{pool}:{text}")

    def changed(self, conversation: Conversation) -> Iterator[Conversation]:
        """Yield the conversation with what recurs strewn in; one that is too short for that is left out."""
        sessions = _sessions(conversation)
        if len(sessions) < self._times + 2:
            return
        dice = Dice(f"memshadow-occasions/{self._seed}/{conversation.id}")
        said: dict[int, list[Memory]] = {}
        landmarks = _landmarks(conversation, sessions, said, dice)
        questions: list[Question] = []
        used: Counter[str] = Counter()
        for kind in dice.shuffled(self._pool)[: self._kinds]:
            happened = self._happened(conversation, sessions, kind, said, dice)
            questions += _asked(conversation, kind, happened, landmarks, used, dice)
        memories = [m for i, one in enumerate(conversation.memories) for m in (one, *said.get(i, ()))]
        yield replace(conversation, memories=tuple(counted(memories)), questions=tuple(questions))

    def _happened(
        self,
        conversation: Conversation,
        sessions: Sequence[Sequence[int]],
        kind: str,
        said: dict[int, list[Memory]],
        dice: Dice,
    ) -> list[tuple[Memory, str]]:
        """Say each time that a thing happens, in another session, and return what was said with its {X}."""
        texts = _written()["kinds"][kind]
        speaker = dice.pick(_voices(conversation))
        places = sorted(dice.pick(session) for session in dice.shuffled(sessions)[: self._times])
        found = []
        for number, (place, value) in enumerate(zip(places, dice.shuffled(texts["values"]), strict=False)):
            text = dice.pick(texts["said"]).replace("{X}", value)
            memory = _said(conversation, place, f"{kind}_{number}", speaker, text)
            said.setdefault(place, []).extend([memory, _reply(conversation, place, memory, dice)])
            found.append((memory, value))
        return found


def _asked(
    conversation: Conversation,
    kind: str,
    happened: Sequence[tuple[Memory, str]],
    landmarks: Sequence[Memory],
    used: Counter[str],
    dice: Dice,
) -> Iterator[Question]:
    """Yield a question on each time that something happened, by a phrase that means no other one."""
    now = max(_time(memory) for memory in conversation.memories if memory.timestamp)
    for memory, value in happened:
        others = [_time(other) for other, _ in happened if other is not memory]
        fit = [
            phrase
            for phrase in (*phrases(_time(memory), now), *_events(memory, landmarks))
            if phrase.start <= _time(memory) < phrase.end
            and not any(phrase.start <= other < phrase.end for other in others)
        ]
        rarest = min((used[phrase.category] for phrase in fit), default=0)
        if not (fit := [phrase for phrase in fit if used[phrase.category] == rarest]):
            continue
        category = dice.pick(sorted({phrase.category for phrase in fit}))
        phrase = dice.pick([phrase for phrase in fit if phrase.category == category])
        used[category] += 1
        text = dice.pick(_written()["kinds"][kind]["asked"]).replace("{S}", memory.speaker)
        yield Question(
            id=f"{memory.id}/when",
            conversation_id=conversation.id,
            text=_worded(text, phrase.text, dice),
            evidence=(memory.id,),
            category=category,
            answer=value,
        )


def _worded(question: str, phrase: str, dice: Dice) -> str:
    """Return the question with its time at the end or, now and then, at the beginning."""
    if dice.chance(0.25):
        bare = question.replace(" {T}", "")
        return f"{phrase[0].upper()}{phrase[1:]}, {bare[0].lower()}{bare[1:]}"
    return question.replace("{T}", phrase)


def _events(memory: Memory, landmarks: Sequence[Memory]) -> Iterator[Phrase]:
    """Yield times beside another thing that happened to whoever this one happened to, once."""
    for landmark in landmarks:
        if landmark.speaker != memory.speaker:
            continue
        clause = next(one["clause"] for one in _written()["landmarks"].values() if one["said"] == landmark.text)
        at = _time(landmark)
        yield Phrase("event", f"before {landmark.speaker} {clause}", at - EVER, at)
        yield Phrase("event", f"after {landmark.speaker} {clause}", at + timedelta(seconds=1), at + EVER)


def _landmarks(
    conversation: Conversation, sessions: Sequence[Sequence[int]], said: dict[int, list[Memory]], dice: Dice
) -> list[Memory]:
    """Say two things that happen once to each voice, in the middle half of the sessions."""
    middle = sessions[len(sessions) // 4 : -(len(sessions) // 4)]
    names = dice.shuffled(sorted(_written()["landmarks"]))
    voices = _voices(conversation)
    found = []
    for number, name in enumerate(names):
        place = dice.pick(dice.pick(middle))
        speaker = voices[number % len(voices)]
        memory = _said(conversation, place, name, speaker, _written()["landmarks"][name]["said"])
        said.setdefault(place, []).extend([memory, _reply(conversation, place, memory, dice)])
        found.append(memory)
    return found


def _said(conversation: Conversation, place: int, name: str, speaker: str, text: str) -> Memory:
    """Return a memory to stand behind the one at ``place``, of its session and time."""
    beside = conversation.memories[place]
    key = f"{conversation.id}/{name}"
    return replace(beside, id=key, speaker=speaker, text=text, image_caption=None, metadata={})


def _reply(conversation: Conversation, place: int, memory: Memory, dice: Dice) -> Memory:
    other = next((voice for voice in _voices(conversation) if voice != memory.speaker), memory.speaker)
    return _said(conversation, place, f"{memory.id.rpartition('/')[2]}_reply", other, dice.pick(_REPLIES))


def _sessions(conversation: Conversation) -> list[list[int]]:
    """Return the places of the turns of each session, in order; turns without a time are left out."""
    found: dict[str, list[int]] = {}
    for place, memory in enumerate(conversation.memories):
        if memory.timestamp is not None:
            found.setdefault(memory.session_id, []).append(place)
    return list(found.values())


def _voices(conversation: Conversation) -> list[str]:
    return sorted({memory.speaker for memory in conversation.memories})


def _time(memory: Memory) -> datetime:
    return cast("datetime", memory.timestamp).replace(tzinfo=None)


@cache
def _written() -> Mapping[str, Any]:
    found: Mapping[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return found
