"""Writes one conversation: sessions over months, scenes and their sequels, small talk between them.

Knows how talk flows; what is said stands in ``text/``. What can be asked is collected as it is said, with the turn that
answers it, so gold evidence is right by construction.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from memshadow.data.corpora.synthetic import when
from memshadow.data.corpora.synthetic.grammar import Dice, expand, tidy
from memshadow.data.corpora.synthetic.life import Person, couple, voice
from memshadow.data.corpora.synthetic.scene import Ask, Line, Scene, Stage, phrases, scenes


@dataclass(slots=True)
class Turn:
    """One message: who (0 or 1), what, when, in which session and place."""

    who: int
    text: str
    caption: str | None
    time: datetime
    session: int
    place: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something that can be asked: the question, its slots, the turns that answer it, and whose scene it is about."""

    ask: Ask
    slots: dict[str, str]
    evidence: tuple[int, ...]
    scene: str
    who: int


@dataclass(slots=True)
class Thread:
    """A scene under way in one person's life: its slots, the stage that comes next, not before which session."""

    scene: Scene
    who: int
    slots: dict[str, str]
    stage: int = 0
    not_before: int = 0


class Script:
    """One conversation being written; ``turns``, ``prompts`` and ``items`` are what comes out."""

    def __init__(self, seed: str, *, turns: int) -> None:
        self.dice = dice = Dice(seed)
        self.people: tuple[Person, Person] = couple(dice)
        self.voices = (voice(dice), voice(dice))
        self.turns: list[Turn] = []
        self.prompts: list[Prompt] = []
        self.items: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        self.played: Counter[tuple[str, int]] = Counter()
        self._threads: list[Thread] = []
        self._decks: tuple[list[Scene], list[Scene]] = ([], [])
        self._used: set[str] = {person.name for person in self.people}
        self._recent: deque[int] = deque(maxlen=40)
        self._pending: tuple[int, str] | None = None
        self._session = 0
        self._place = 0
        self._clock = datetime(dice.between(2019, 2025), dice.between(1, 12), dice.between(1, 28))  # noqa: DTZ001
        while len(self.turns) < turns:
            self._write_session()

    # -- saying ------------------------------------------------------------------------------------------------

    def _append(self, who: int, text: str, caption: str | None = None) -> int:
        self._clock += timedelta(minutes=self.dice.between(1, 3) // 2 + self.dice.between(0, 1))
        said = self.voices[who].types(tidy(text), self.dice)
        self.turns.append(Turn(who, said, caption, self._clock, self._session, self._place))
        self._place += 1
        return len(self.turns) - 1

    def _last(self) -> int | None:
        """Return who spoke last in this session."""
        return self.turns[-1].who if self._place else None

    def _flush(self) -> None:
        """Send what is pending as a message of its own."""
        if self._pending:
            who, text = self._pending
            self._pending = None
            if self._last() == who:
                self._append(1 - who, self._talk("nod", 1 - who))
            self._append(who, text)

    def _mutter(self, who: int, text: str) -> None:
        """Say something that joins the same person's next message, if that comes next."""
        if not text:
            return
        if self._pending and self._pending[0] == who:
            self._pending = (who, f"{self._pending[1]} {text}")
            return
        self._flush()
        self._pending = (who, text)

    def _say(self, who: int, text: str, caption: str | None = None) -> int:
        """Send a message and return its place in ``turns``; the other one nods first where nobody spoke between."""
        if self._pending and self._pending[0] == who:
            text = f"{self._pending[1]} {text}"
            self._pending = None
        self._flush()
        if self._last() == who:
            self._append(1 - who, self._talk("nod", 1 - who))
        return self._append(who, text, caption)

    def _talk(self, section: str, who: int) -> str:
        """Return a phrase of a section of the small talk, none of the last forty that were used."""
        options = phrases()[section]
        template = self.dice.pick(options)
        for _ in range(4):
            if id(template) not in self._recent:
                break
            template = self.dice.pick(options)
        self._recent.append(id(template))
        return expand(template, self.dice, {"S": self.people[who].name, "O": self.people[1 - who].name})

    # -- flow --------------------------------------------------------------------------------------------------

    def _write_session(self) -> None:
        dice = self.dice
        self._session += 1
        self._place = 0
        gap = dice.pick((2, 4, 7, 10, 14, 19, 25, 34, 48, 75))
        day = self._clock.replace(hour=0, minute=0) + timedelta(days=gap)
        self._clock = day + timedelta(minutes=dice.between(8 * 60, 21 * 60))
        goal = dice.between(13, 31)
        first = dice.between(0, 1)
        who = self._greet(first)
        while self._place < goal:
            self._play(self._next_thread(who))
            who = 1 - who if dice.chance(0.65) else who
        self._part()
        self._flush()

    def _greet(self, who: int) -> int:
        """Open a session and return whose news comes first."""
        self._mutter(who, self._talk("greet", who))
        if self.dice.chance(0.45):
            return who
        self._mutter(who, self._talk("how_are_you", who))
        self._flush()
        self._mutter(1 - who, self._talk("greet_back", 1 - who))
        return 1 - who

    def _part(self) -> None:
        """Say goodbye, in one to four messages."""
        who = self._pending[0] if self._pending else 1 - self.turns[-1].who
        if self.dice.chance(0.85):
            self._mutter(who, self._talk("part", who))
            self._flush()
            if self.dice.chance(0.7):
                self._say(1 - who, self._talk("part_back", 1 - who))

    def _next_thread(self, who: int) -> Thread:
        """Return a sequel that is due for ``who``, or a new scene of that life."""
        due = [t for t in self._threads if t.who == who and t.not_before <= self._session]
        if due and self.dice.chance(0.6):
            return due[0]
        deck = self._decks[who]
        for _ in range(2):
            for place in range(len(deck) - 1, -1, -1):
                if self._fits(deck[place], self.people[who].facts):
                    thread = Thread(deck.pop(place), who, {})
                    thread.slots = self._draw(thread.scene)
                    self.played[thread.scene.name, who] += 1
                    return thread
            deck.extend(self.dice.shuffled(scenes()))
        raise AssertionError("no scene fits any life; at least one must need nothing")

    @staticmethod
    def _fits(scene: Scene, facts: dict[str, str]) -> bool:
        return all(fact in facts for fact in scene.needs) and not any(fact in facts for fact in scene.unless)

    def _draw(self, scene: Scene) -> dict[str, str]:
        """Fill a scene's slots, with values that this conversation has not used where there are any."""
        slots = {}
        for name, options in scene.lets:
            value = self.dice.pick(options)
            for _ in range(3 if len(options) > 12 else 0):
                if value not in self._used:
                    break
                value = self.dice.pick(options)
            self._used.add(value)
            slots[name] = value
        return slots

    # -- scenes ------------------------------------------------------------------------------------------------

    def _play(self, thread: Thread) -> None:
        """Talk through the next stage of a thread, then react to it."""
        stage = thread.scene.stages[thread.stage]
        slots = self._slots(thread, stage)
        if self._last() == thread.who and self._pending is None:
            self._mutter(1 - thread.who, self._talk("and_you", 1 - thread.who))
        if thread.stage == 0 and stage.lines[0].own and self.dice.chance(0.25):
            self._mutter(thread.who, self._talk("by_the_way", thread.who))
        self._speak(thread, stage, slots)
        for key, value in stage.sets:
            self._set(self.people[thread.who].facts, key, expand(value, self.dice, slots))
        self._settle(thread)
        self._aftermath(thread.scene, thread.who)

    @staticmethod
    def _set(facts: dict[str, str], key: str, value: str) -> None:
        if value == "none":
            facts.pop(key, None)
        else:
            facts[key] = value

    def _settle(self, thread: Thread) -> None:
        """Put the thread aside until its next stage, or end it."""
        if thread in self._threads:
            self._threads.remove(thread)
        thread.stage += 1
        if thread.stage < len(thread.scene.stages):
            thread.not_before = self._session + self.dice.between(1, 4)
            self._threads.append(thread)

    def _slots(self, thread: Thread, stage: Stage) -> dict[str, str]:
        me, other = self.people[thread.who], self.people[1 - thread.who]
        slots = {**me.facts, **thread.slots, **me.pronouns(), "S": me.name, "P": other.name}
        today = self._clock.date()
        if "soon" in stage.slots():
            moment = when.future(today, self.dice)
            slots |= {"soon": moment.phrase, "soondate": moment.answer, "date": moment.answer}
        if "when" in stage.slots():
            moment = when.past(today, self.dice)
            slots |= {"when": moment.phrase, "whendate": moment.answer, "date": moment.answer}
        return slots

    def _speak(self, thread: Thread, stage: Stage, slots: dict[str, str]) -> None:
        """Say the lines of a stage; an exchange that the friend begins may be left out."""
        opened = skipping = False
        before: Line | None = None
        for line in stage.lines:
            if not line.own and opened and (before is None or before.own):
                skipping = self.dice.chance(0.12)
            opened = opened or line.own
            before = line
            if not skipping:
                self._speak_line(thread, line, slots, answering=opened)

    def _speak_line(self, thread: Thread, line: Line, slots: dict[str, str], *, answering: bool) -> None:
        dice = self.dice
        who = thread.who if line.own else 1 - thread.who
        follows = self._last() is not None and self._last() != who and self._pending is None
        if follows and answering and dice.chance(self.voices[who].chatty):
            mood = "answer" if line.own else f"react_{thread.scene.mood}"
            self._mutter(who, self._talk(mood, who))
            if dice.chance(0.25 if line.own else 0.7):
                self._mutter(who, self._muse(thread.scene, who, comforting=not line.own))
        caption = None
        if line.captions and dice.chance(0.9):
            caption = expand(dice.pick(line.captions), dice, slots)
        elif line.own and dice.chance(0.12):
            caption = self._talk(f"photo_{thread.scene.topic}", who)
        text = expand(dice.pick(line.wordings), dice, slots)
        if line.own:
            text = self._elaborated(thread, text, slots)
        self._note(thread, line, slots, self._say(who, text, caption and tidy(caption).lower()))

    def _elaborated(self, thread: Thread, text: str, slots: dict[str, str]) -> str:
        """Return ``text`` with what people add unasked: a sentence on the subject, a feeling."""
        dice, themes = self.dice, thread.scene.themes
        if themes and dice.chance(0.85):
            theme = expand(dice.pick(themes), dice, slots)
            text = f"{text} {theme}" if dice.chance(0.6) else f"{theme} {text}"
        if dice.chance(self.voices[thread.who].chatty * 0.6):
            text = f"{text} {self._talk(f'tail_{thread.scene.mood}', thread.who)}"
        return text

    def _note(self, thread: Thread, line: Line, slots: dict[str, str], place: int) -> None:
        """Remember what the line just said answers."""
        for ask in line.asks:
            self.prompts.append(Prompt(ask, slots, (place,), thread.scene.name, thread.who))
        for key, value in line.items:
            self.items[key, thread.who].append((place, expand(value, self.dice, slots)))

    def _muse(self, scene: Scene, who: int, *, comforting: bool) -> str:
        """Return small talk on the scene's topic, or comfort from the friend where the scene is a sad one."""
        comfort = comforting and scene.mood == "bad" and self.dice.chance(0.6)
        return self._talk("muse_bad" if comfort else f"muse_{scene.topic}", who)

    def _aftermath(self, scene: Scene, who: int) -> None:
        """Let both react: the friend at once, then up to four more messages of small talk around the topic."""
        dice = self.dice
        speaker = 1 - who
        self._mutter(speaker, self._talk(f"react_{scene.mood}", speaker))
        for _ in range(dice.pick((0, 1, 1, 2))):
            self._mutter(speaker, self._muse(scene, speaker, comforting=speaker != who))
        for _ in range(dice.pick((0, 0, 1, 1, 2, 2, 3, 4))):
            self._flush()
            speaker = 1 - speaker
            section = "thank" if speaker == who else "cheer"
            if dice.chance(0.7):
                self._mutter(speaker, self._talk(section, speaker))
            if self._pending is None or dice.chance(0.9):
                self._mutter(speaker, self._muse(scene, speaker, comforting=speaker != who))
            if dice.chance(0.4):
                self._mutter(speaker, self._muse(scene, speaker, comforting=speaker != who))
