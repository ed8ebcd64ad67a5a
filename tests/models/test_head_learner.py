"""From conversations to a model folder: features made once, batches of one conversation, an export that loads."""

import json
import warnings

import numpy as np
import pytest
import torch

from memshadow.errors import ConfigError, DataError
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.head_learner import HeadLearner
from memshadow.models.projected import ProjectedEmbedder
from memshadow.models.teaching import Lesson
from memshadow.training.learner import Learner
from memshadow.training.options import TrainerOptions
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation, Memory, Passage, Question

DENSE = 16
WORDS = "river stone cloud tiger piano lemon train candle garden apple".split()


class Encoder(HashingEmbedder):
    """A tiny encoder that counts what it is asked; it knows no word that two texts share."""

    def __init__(self):
        super().__init__(dim=DENSE, k1=0.9, b=0.4, mean_length=4.0, copies=2)
        self.read = []

    def embed_passages(self, passages):
        self.read += [passage.text for passage in passages]
        return super().embed_passages(passages)

    def embed_queries(self, texts, *, statistics=None):
        self.read += texts
        return super().embed_queries(texts, statistics=statistics)


def conversation(seed, turns=20, asked=6, evidence=True):
    """Turns of random words; each question asks for a turn by a word that stands for one of its words."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(WORDS), (turns, 2))
    memories = tuple(
        Memory(
            id=f"{seed}/{i}",
            conversation_id=str(seed),
            session_id="s",
            turn=i,
            speaker="Ann",
            text=f"{WORDS[a]} {WORDS[b]} {seed}x{i}",
        )
        for i, (a, b) in enumerate(drawn)
    )
    questions = tuple(
        Question(
            id=f"{seed}/q{n}",
            conversation_id=str(seed),
            text=f"asked{drawn[n][0]} asked{drawn[n][1]}",
            evidence=(f"{seed}/{n}",) if evidence else (),
        )
        for n in range(asked)
    )
    return Conversation(id=str(seed), memories=memories, questions=questions)


def learner(encoder=None, **changed):
    given = {
        "encoder": encoder or Encoder(),
        "optimizer": torch.optim.AdamW,
        "dim": DENSE + 64,
        "before": 1,
        "after": 1,
        "context_chars": 40,
        "k1": 0.9,
        "b": 0.4,
        "mean_length": 4.0,
        "copies": 2,
        "lr": 0.02,
        "scalar_lr": 0.02,
        "keep": 0.9,
        "pull": 0.0,
        "warmup_steps": 1,
        "questions_per_step": 4,
        "max_epochs": 8,
        "patience": 8,
        "teacher": None,
        "teacher_weight": 1.0,
        "temperature": 1.0,
    }
    return HeadLearner(**{**given, **changed})


OPTIONS = TrainerOptions(
    accelerator="cpu",
    devices=1,
    strategy="auto",
    precision="32-true",
    accumulate=1,
    clip_norm=1.0,
    save_every_steps=None,
    save_every_s=None,
    threads=1,
    deterministic=True,
    progress=False,
)


def go(folder, of, seed=1):
    talks = [conversation(i) for i in range(6)], [conversation(8), conversation(9)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return train(
            of, *talks, folder=folder, cache=folder.parent / "cache", seed=seed, options=OPTIONS, tracker=NullTracker()
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return go(tmp_path_factory.mktemp("head") / "run", learner())


def test_it_is_a_learner():
    assert isinstance(learner(), Learner)


def test_it_learns_what_no_shared_word_tells(trained):
    losses = [row["train/loss"] for row in trained.history]
    assert losses[-1] < losses[0] - 0.2
    assert trained.score == max(row["val/ndcg@10"] for row in trained.history)
    assert trained.score > trained.history[0]["val/ndcg@10"] + 0.05


def test_the_export_is_an_embedder_at_every_width(trained):
    assert sorted(file.name for file in trained.model.iterdir()) == ["model.json", "model.safetensors"]
    for width in (64, 32, 0):
        embedder = ProjectedEmbedder(encoder=Encoder(), model=str(trained.model), dim=DENSE + width, views={})
        assert embedder.trained
        assert embedder.embed_passages([Passage(text="river stone")]).shape == (1, DENSE + width)
    said = json.loads((trained.model / "model.json").read_text())["settings"]
    assert said["views"]["width"] == 64
    assert said["background"]["documents"] == 120
    assert "river" in said["background"]["terms"]
    assert "0x0" not in said["background"]["terms"]  # said once


def test_the_same_seed_gives_the_same_model_and_another_one_another(trained, tmp_path):
    again, other = (go(tmp_path / str(seed), learner(), seed=seed) for seed in (1, 2))
    weights = [(result.model / "model.safetensors").read_bytes() for result in (trained, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_a_pull_keeps_the_matrices_by_the_start(tmp_path):
    def moved(pull):
        module = go(tmp_path / str(pull), learner(pull=pull, max_epochs=2)).module
        return (module.head.query - torch.eye(DENSE)).abs().max().item()

    assert moved(10.0) < 0.8 * moved(0.0)


def test_each_text_is_encoded_once_and_never_again(tmp_path):
    first, second = Encoder(), Encoder()
    talks = [conversation(i) for i in range(3)], [conversation(9)]
    learner(first).parts(*talks, cache=tmp_path, seed=0)
    assert first.read
    assert len(first.read) == len(set(first.read))
    _, data = learner(second).parts(*talks, cache=tmp_path, seed=0)
    assert second.read == []
    uncached = learner().parts(*talks, cache=tmp_path / "other", seed=0)[1]
    for (one, _), (other, _) in zip(data.val_dataloader(), uncached.val_dataloader(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))


def test_a_batch_is_of_one_conversation_and_an_epoch_asks_each_question_once(tmp_path):
    talks = [conversation(0, asked=6), conversation(1, asked=9), conversation(2, evidence=False)]
    _, data = learner().parts(talks, [conversation(9)], cache=tmp_path, seed=0)
    loader, orders = data.train_dataloader(), []
    for _ in range(2):
        asked = [(given.id, row) for given, rows in loader for row in rows.tolist()]
        assert sorted(asked) == [("0", i) for i in range(6)] + [("1", i) for i in range(9)]
        orders.append(asked)
    assert orders[0] != orders[1]
    sizes = [len(rows) for _, rows in data.train_dataloader()]
    assert sorted(sizes) == [1, 2, 4, 4, 4]
    assert len(loader) == 5
    assert [rows.tolist() for _, rows in data.val_dataloader()] == [list(range(6))]


def test_gold_is_shared_among_distinct_evidence_and_questions_without_any_are_left_out(tmp_path):
    talk = conversation(0, asked=2)
    asked = (
        Question(id="a", conversation_id="0", text="what?", evidence=("0/3", "0/5", "0/3")),
        Question(id="b", conversation_id="0", text="and what?"),
    )
    talk = Conversation(id="0", memories=talk.memories, questions=asked)
    _, data = learner().parts([talk], [conversation(9)], cache=tmp_path, seed=0)
    ((given, rows),) = data.train_dataloader()
    assert rows.tolist() == [0]
    assert given.gold.nonzero().tolist() == [[0, 3], [0, 5]]
    assert given.gold.sum().item() == 1


@pytest.mark.parametrize(("which", "said"), [(0, "no training conversation"), (1, "no held-out conversation")])
def test_nothing_to_learn_from_is_refused(tmp_path, which, said):
    talks = [[conversation(0)], [conversation(9)]]
    talks[which] = [conversation(5, evidence=False)]
    with pytest.raises(DataError, match=f"{said} has a question with evidence"):
        learner().parts(*talks, cache=tmp_path, seed=0)


class Prompter:
    """A teacher that knows the answers: question n is answered by turn n, which it says of every question."""

    def __init__(self):
        self.asked = 0

    def lessons(self, conversations, *, cache):
        for one in conversations:
            self.asked += len(one.questions)
            yield [Lesson(np.array([n, n + 1, n + 2]), np.array([6.0, 0.0, 0.0])) for n in range(len(one.questions))]


def test_a_teacher_alone_teaches_where_no_question_has_evidence(tmp_path):
    taught, prompter = [conversation(i, evidence=False) for i in range(6)], Prompter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = train(
            learner(teacher=prompter, max_epochs=12, patience=12),
            taught,
            [conversation(8), conversation(9)],
            folder=tmp_path / "run",
            cache=tmp_path / "cache",
            seed=1,
            options=OPTIONS,
            tracker=NullTracker(),
        )
    assert prompter.asked == 36
    assert result.history[-1]["train/taught"] < result.history[0]["train/taught"] - 0.2
    assert result.score > result.history[0]["val/ndcg@10"] + 0.05
    assert result.history[-1]["train/loss"] == 0


def test_a_lesson_of_no_weight_changes_nothing(trained, tmp_path):
    silent = go(tmp_path / "silent", learner(teacher=Prompter(), teacher_weight=0.0))
    weights = [(result.model / "model.safetensors").read_bytes() for result in (trained, silent)]
    assert weights[0] == weights[1]
    heard = go(tmp_path / "heard", learner(teacher=Prompter(), teacher_weight=1.0))
    assert (heard.model / "model.safetensors").read_bytes() != weights[0]


@pytest.mark.parametrize("wrong", [{"teacher_weight": -1.0}, {"temperature": 0.0}, {"temperature": float("nan")}])
def test_a_weight_or_a_temperature_that_means_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"teacher_weight=.*temperature=.*at least 0, and above 0"):
        learner(**wrong)


def test_a_teacher_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"teacher='ranker'; needed: null.*\+teacher@learner.teacher=NAME"):
        learner(teacher="ranker")


def test_a_width_below_the_encoders_is_refused():
    with pytest.raises(ConfigError, match=r"a dim not below its encoder's.*width=-8"):
        learner(dim=DENSE - 8)


def test_only_its_own_module_is_exported(tmp_path):
    import pytorch_lightning as pl

    with pytest.raises(TypeError, match="a LightningModule came; needed: the HeadModule"):
        learner().export(pl.LightningModule(), tmp_path)
