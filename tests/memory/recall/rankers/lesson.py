"""A small corpus of made lives, a quick encoder, and every ranker's learner as its YAML says, for fewer memories."""

import functools
import warnings
from datetime import UTC, datetime, timedelta

from omegaconf import OmegaConf

from memshadow.config import build, config_dir, load
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.memory.recall.examples import examples, scenes
from memshadow.memory.recall.features.table import FeatureTable
from memshadow.memory.recall.viewing import Viewer
from memshadow.models.hashing import HashingEmbedder
from memshadow.types import Conversation, Memory, Question

LEARNERS = sorted(file.stem.removeprefix("ranker_") for file in (config_dir() / "learner").glob("ranker_*.yaml"))
SMALL = {
    "trees": ["learner.least=10", "learner.trees=10", "learner.lr=0.1"],
    "linear": [],
    "listwise": ["learner.optimizer.lr=0.01", "learner.net.width=16", "learner.questions_per_step=8"],
}


def viewer():
    return Viewer(k1=0.9, b=0.4, candidates=40, exact_below=5000, listed=60)


def encoder():
    return HashingEmbedder(dim=64, k1=0.9, b=0.4, mean_length=12.0, copies=2)


def learner(kind, *changed):
    """Return a learner: three epochs, 40 candidates a question."""
    few = ["learner.max_epochs=3", "learner.viewer.candidates=40", "learner.viewer.listed=60"]
    return build(OmegaConf.merge(composed(kind), OmegaConf.from_dotlist([*few, *SMALL[kind], *changed])).learner)


@functools.cache
def composed(kind):
    return load("train", [f"learner=ranker_{kind}", "embedder=hashing"])


@functools.cache
def talks():
    """Return four conversations of about 80 memories to train on, and one to validate on."""
    corpus = SyntheticCorpus(memories=400, seed=3, memories_per_conversation=80, questions_per_conversation=20)
    found = list(corpus.conversations())
    return found[1:], found[:1]


@functools.cache
def held_out(groups=()):
    """Return the examples of the conversation that no learner trained on."""
    table = FeatureTable(groups=groups) if groups else FeatureTable()
    return examples(talks()[1], encoder(), viewer(), table, what="held-out")


def taught(folder, of, seed=1):
    """Train in ``folder``, or go on there."""
    from memshadow.training.options import TrainerOptions
    from memshadow.training.run import train
    from memshadow.training.tracker import NullTracker

    options = TrainerOptions(
        accelerator="cpu",
        devices=1,
        strategy="auto",
        precision="32-true",
        accumulate=1,
        clip_norm=1.0,
        save_every_steps=4,
        save_every_s=None,
        threads=1,
        deterministic=True,
        progress=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = folder.parent / "cache"
        return train(of, *talks(), folder=folder, cache=cache, seed=seed, options=options, tracker=NullTracker())


def conversation(count, *, session="s", speakers=("Ann", "Bob"), dated=True):
    """Return ``count`` turns and three questions, one of which no turn answers."""
    start = datetime(2024, 5, 1, tzinfo=UTC)
    memories = tuple(
        Memory(
            id=f"m{n}",
            conversation_id="c",
            session_id=session and f"{session}{n // 25}",
            turn=n,
            speaker=speakers[n % len(speakers)] if speakers else "",
            text=f"turn {n} tells of lake number {n % 7}" + ("?" if n % 3 == 0 else ""),
            timestamp=start + timedelta(days=n) if dated else None,
        )
        for n in range(count)
    )
    asked = ("When did Ann see lake 3 in May 2024?", "xylophone", "")
    questions = tuple(Question(id=str(n), conversation_id="c", text=text) for n, text in enumerate(asked))
    return Conversation(id="c", memories=memories, questions=questions)


def seen(talk, **changed):
    """Return the scene of each question."""
    return [scene for _, scene in scenes(talk, talk.questions, encoder(), changed.get("viewer", viewer()))]


PLACES = {
    "one": conversation(1),
    "two": conversation(2),
    "three": conversation(3),
    "many": conversation(200),
    "notes": conversation(30, session=""),
    "undated": conversation(30, dated=False),
    "nobody": conversation(30, speakers=()),
    "one speaker": conversation(30, speakers=("Ann",)),
    "bare": conversation(12, session="", speakers=(), dated=False),
}
"""Every kind of scope that a ranker may be asked in."""
