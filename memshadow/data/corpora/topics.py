"""Few-shot classes without a download: lines of made lives, each with the scene of life that it tells of.

The label is what the generator was playing when the line was said ("pet_died", "job_new"), never read off the words;
its topic ("pets", "work") is the domain. Knows the script of a life; knows no words.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from memshadow.data.corpora.synthetic.scene import scenes, sources
from memshadow.data.corpora.synthetic.script import Script
from memshadow.errors import ConfigError
from memshadow.types import LabelledText

_VERSION = 1
_SHARES = (("train", 3), ("valid", 1), ("test", 1))
_MOST = 2_000


class Topics:
    """Every line that states a fact, from ``lives`` conversations; the *classes* are split into train, valid and test.

    There are as many classes as the generator knows scenes (75, of 22 topics); 30 lives of 500 messages give each at
    least 20 different lines. A line that was said before is left out. Life i depends on ``seed``, i and
    ``memories_per_life`` alone. None is a life of ``data=synthetic``, though its lines come from the same templates.

    Args:
        lives: Conversations to take lines from.
        memories_per_life: Messages in each; only some state a fact.
        seed: Another seed, other lives; the split of the classes stays.

    Raises:
        ConfigError: A number is out of its range.
    """

    name = "topics"
    licence = "MIT (made by this project)"
    weights_may_ship = True

    def __init__(self, *, lives: int, memories_per_life: int, seed: int) -> None:
        for what, given in (("lives", lives), ("memories_per_life", memories_per_life)):
            if not 1 <= given <= _MOST:
                raise ConfigError(f"data.{what}={given}: needed: a number from 1 to {_MOST:,}")
        self.lives = lives
        self.memories_per_life = memories_per_life
        self.seed = seed

    @property
    def fingerprint(self) -> str:
        """Return a hash of the generator's texts and the settings."""
        settings = (_VERSION, self.lives, self.memories_per_life, self.seed)
        return blake2b(f"{settings}\n{sources()}".encode(), digest_size=8).hexdigest()

    def utterances(self) -> Iterator[LabelledText]:
        """Yield the lines life by life, in the order of saying."""
        topic_of, part_of = {scene.name: scene.topic for scene in scenes()}, parts()
        said: set[str] = set()
        for text, label in self._lines():
            if text not in said:
                said.add(text)
                yield LabelledText(text=text, label=label, split=part_of[label], domain=topic_of[label])

    def _lines(self) -> Iterator[tuple[str, str]]:
        for index in range(self.lives):
            script = Script(f"memshadow-topics-{_VERSION}/{self.seed}/{index}", turns=self.memories_per_life)
            for prompt in script.prompts:
                yield from ((script.turns[place].text, prompt.scene) for place in prompt.evidence)


def parts() -> dict[str, str]:
    """Return the part of each class: three fifths train, a fifth each valid and test, by the hash of its name."""
    names = sorted((scene.name for scene in scenes()), key=lambda name: blake2b(name.encode(), digest_size=8).digest())
    deck = [part for part, share in _SHARES for _ in range(share)]
    return {name: deck[place % len(deck)] for place, name in enumerate(names)}
