"""The corpus of made lives: any number of memories from one number, streamed. Joins script and exam; knows no words."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from memshadow.data.corpora.synthetic.exam import choose
from memshadow.data.corpora.synthetic.grammar import Dice
from memshadow.data.corpora.synthetic.scene import sources
from memshadow.data.corpora.synthetic.script import Script, Turn
from memshadow.errors import ConfigError
from memshadow.types import Conversation, Memory, Question

_VERSION = 1
_FEWEST, _MOST = 10, 1_000_000


class SyntheticCorpus:
    """Chats of two friends over months and years, with questions of LoCoMo's kinds and gold evidence.

    ``memories`` (10 to 1,000,000) is exact. Conversation i depends on ``seed``, i and the two sizes below alone, so a
    larger corpus begins with the conversations of a smaller one; only the last conversation is cut short.

    Args:
        memories: Messages in all.
        seed: Another seed, other lives.
        memories_per_conversation: Messages in a conversation, give or take a quarter.
        questions_per_conversation: Questions on a conversation of that length; proportionally fewer on a shorter one.

    Raises:
        ConfigError: A number is out of its range.
    """

    name = "synthetic"
    licence = "MIT (made by this project)"
    weights_may_ship = True

    def __init__(
        self, *, memories: int, seed: int, memories_per_conversation: int, questions_per_conversation: int
    ) -> None:
        _within("memories", memories, _FEWEST, _MOST)
        _within("memories_per_conversation", memories_per_conversation, 10, 5_000)
        _within("questions_per_conversation", questions_per_conversation, 0, 1_000)
        self.memories = memories
        self.seed = seed
        self.memories_per_conversation = memories_per_conversation
        self.questions_per_conversation = questions_per_conversation

    @property
    def fingerprint(self) -> str:
        """Return a hash of the generator's version, its texts and the settings."""
        settings = (
            _VERSION, self.memories, self.seed, self.memories_per_conversation, self.questions_per_conversation
        )  # fmt: skip
        return blake2b(f"{settings}\n{sources()}".encode(), digest_size=8).hexdigest()

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations one at a time; only one is held in memory."""
        left, index = self.memories, 0
        while left:
            conversation = self.conversation(index, at_most=left)
            yield conversation
            left -= len(conversation.memories)
            index += 1

    def conversation(self, index: int, *, at_most: int) -> Conversation:
        """Return conversation ``index``, cut after ``at_most`` memories; questions on what was cut off are left out."""
        seed = f"memshadow-synthetic-{_VERSION}/{self.seed}/{index}"
        dice = Dice(f"{seed}/size")
        quarter = self.memories_per_conversation // 4
        size = min(at_most, self.memories_per_conversation + dice.between(-quarter, quarter))
        script = Script(seed, turns=size)
        name = f"life-{self.seed}-{index}"
        memories = tuple(self._memory(script, name, turn) for turn in script.turns[:size])
        count = round(self.questions_per_conversation * size / self.memories_per_conversation)
        questions = tuple(
            Question(
                id=f"{name}/q{n}",
                conversation_id=name,
                text=chosen.text,
                evidence=tuple(memories[place].id for place in chosen.evidence),
                category=chosen.category,
                answer=chosen.answer,
            )
            for n, chosen in enumerate(choose(script, Dice(f"{seed}/exam"), turns=size, count=count))
        )
        return Conversation(id=name, memories=memories, questions=questions, corpus=self.name)

    @staticmethod
    def _memory(script: Script, name: str, turn: Turn) -> Memory:
        return Memory(
            id=f"{name}/D{turn.session}:{turn.place + 1}",
            conversation_id=name,
            session_id=f"{name}/session_{turn.session}",
            turn=turn.place,
            speaker=script.people[turn.who].name,
            text=turn.text,
            timestamp=turn.time,
            image_caption=turn.caption,
        )


def _within(what: str, given: int, low: int, high: int) -> None:
    if not low <= given <= high:
        raise ConfigError(f"data.{what}={given}: a number from {low:,} to {high:,} is needed; set data.{what} to one")
