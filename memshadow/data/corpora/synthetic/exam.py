"""Chooses the questions of a finished conversation, in the proportions of LoCoMo (arXiv 2402.17753), and words them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from memshadow.data.corpora.synthetic.grammar import Dice, expand, tidy
from memshadow.data.corpora.synthetic.scene import INFERENCE, MULTI, SINGLE, TEMPORAL, phrases
from memshadow.data.corpora.synthetic.script import Prompt, Script

ADVERSARIAL = "adversarial"
UNANSWERABLE = "Not mentioned in the conversation"
SHARES = {SINGLE: 0.424, MULTI: 0.142, TEMPORAL: 0.162, INFERENCE: 0.048, ADVERSARIAL: 0.224}
_MOST_EVIDENCE = 6


@dataclass(frozen=True, slots=True)
class Chosen:
    """A question in words, its answer, and the places of the turns that answer it."""

    category: str
    text: str
    answer: str
    evidence: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A question not yet in words: one prompt, or two of one scene, put to person ``who``; or finished ``words``."""

    category: str
    who: int
    evidence: tuple[int, ...]
    prompts: tuple[Prompt, ...] = ()
    words: tuple[str, str] = ("", "")


def choose(script: Script, dice: Dice, *, turns: int, count: int) -> list[Chosen]:
    """Return up to ``count`` questions whose evidence lies in the first ``turns`` turns, in order of evidence.

    Where a category has too few, the others do not make up for it: the proportions hold from above.
    """
    pools: dict[str, list[_Draft]] = {category: [] for category in SHARES}
    for draft in _drafts(script, turns, dice):
        if draft.evidence[-1] < turns:
            pools[draft.category].append(draft)
    chosen: dict[str, Chosen] = {}
    for category, share in SHARES.items():
        left = _rounded(share * count, dice)
        for draft in dice.shuffled(pools[category]):
            worded = _worded(script, draft, dice) if left else None
            if worded and worded.text not in chosen and script.people[draft.who].name in worded.text:
                chosen[worded.text] = worded
                left -= 1
    return sorted(chosen.values(), key=lambda c: (c.evidence, c.text))


def _rounded(expected: float, dice: Dice) -> int:
    """Round at random, so that the proportions hold over many small conversations too."""
    return int(expected) + dice.chance(expected - int(expected))


def _drafts(script: Script, turns: int, dice: Dice) -> Iterator[_Draft]:
    """Yield everything that can be asked; a scene that the same person lived twice is not asked about."""
    scenes: dict[tuple[str, int], list[Prompt]] = defaultdict(list)
    for prompt in script.prompts:
        if script.played[prompt.scene, prompt.who] > 1:
            continue
        category = prompt.ask.category
        yield _Draft(category, prompt.who, prompt.evidence, (prompt,))
        if category in (SINGLE, TEMPORAL) and not script.played[prompt.scene, 1 - prompt.who]:
            yield _Draft(ADVERSARIAL, 1 - prompt.who, prompt.evidence, (prompt,))
        if category == SINGLE:
            scenes[prompt.scene, prompt.who].append(prompt)
    for prompts in scenes.values():
        first, second = dice.pick(prompts), dice.pick(prompts)
        if first.evidence < second.evidence:
            yield _Draft(MULTI, first.who, first.evidence + second.evidence, (first, second))
    for who in (0, 1):
        yield from _of_lists(script, who, turns, dice)


def _worded(script: Script, draft: _Draft, dice: Dice) -> Chosen:
    """Put a draft in words, naming the person it is put to (the wrong one where it is adversarial)."""
    text, answer = draft.words
    if draft.prompts:
        me, other = script.people[draft.who], script.people[1 - draft.who]
        names = {**me.pronouns(), "S": me.name, "P": other.name}
        texts = [tidy(expand(p.ask.text, dice, {**p.slots, **names})) for p in draft.prompts]
        text = ", and ".join([*(t.rstrip("?") for t in texts[:-1]), _inside(texts[-1]) if texts[1:] else texts[-1]])
        answer = "; ".join(expand(p.ask.answer, dice, p.slots) for p in draft.prompts)
    return Chosen(draft.category, text, UNANSWERABLE if draft.category == ADVERSARIAL else answer, draft.evidence)


def _inside(question: str) -> str:
    """Return a question as it stands after another one: "What" becomes "what", a name stays."""
    return question[0].lower() + question[1:] if question.startswith(("W", "H", "In", "At", "By", "For")) else question


def _asked(script: Script, section: str, who: int, dice: Dice) -> str:
    """Return a question of a section of ``text/lists.talk``, or nothing where the section does not exist."""
    templates = phrases().get(section)
    if not templates:
        return ""
    me, other = script.people[who], script.people[1 - who]
    return tidy(expand(dice.pick(templates), dice, {**me.pronouns(), "S": me.name, "P": other.name}))


def _of_lists(script: Script, who: int, turns: int, dice: Dice) -> Iterator[_Draft]:
    """Yield the questions on a person's lists: all of them, how many, the latest, and what both have in common."""
    for (key, owner), said in sorted(script.items.items()):
        items = [(place, value) for place, value in said if place < turns]
        if owner != who or not items:
            continue
        yield from _of_list(script, key, who, items, dice)
        theirs = [(place, value) for place, value in script.items.get((key, 1), []) if place < turns]
        if who == 0 and theirs:
            yield from _listing(script, f"both_{key}", who, [*items, *theirs], dice)


def _of_list(script: Script, key: str, who: int, items: list[tuple[int, str]], dice: Dice) -> Iterator[_Draft]:
    values = {value for _, value in items}
    if len(values) < 2:
        return
    yield from _listing(script, f"list_{key}", who, items, dice)
    places = tuple(sorted({place for place, _ in items}))
    count = _asked(script, f"count_{key}", who, dice)
    if count and len(values) == len(places) <= _MOST_EVIDENCE:
        yield _Draft(MULTI, who, places, words=(count, str(len(values))))
    latest = _asked(script, f"latest_{key}", who, dice)
    if latest:
        yield _Draft(SINGLE, who, (items[-1][0],), words=(latest, items[-1][1]))


def _listing(script: Script, section: str, who: int, items: list[tuple[int, str]], dice: Dice) -> Iterator[_Draft]:
    """Yield the question for all values of a list, where two to six turns hold them."""
    places = tuple(sorted({place for place, _ in items}))
    text = _asked(script, section, who, dice)
    if text and 1 < len(places) <= _MOST_EVIDENCE:
        yield _Draft(MULTI, who, places, words=(text, ", ".join(dict.fromkeys(value for _, value in items))))
