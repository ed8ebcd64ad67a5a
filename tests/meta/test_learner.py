"""The outer loop trains like every other learner: cut anywhere it goes on to the same bits; its model loads."""

import hashlib

import numpy as np
import pytest
import torch

from memshadow.config import build, load
from memshadow.data.corpora.part import TaskPart
from memshadow.errors import ConfigError
from memshadow.meta.evaluation import by_steps, untrained
from memshadow.meta.learner import learned_in
from memshadow.meta.module import MetaModule
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import LabelledText

SHORT = ["learner.max_epochs=2", "learner.steps_per_epoch=6", "learner.tasks_per_step=4", "learner.validation_tasks=6"]


class Cut(Exception):
    """Stands for whatever ends a process at a given step."""


class Texts:
    """Few words, a class each: what an intent set looks like."""

    name, licence, weights_may_ship, fingerprint = "texts", "MIT", True, "0"

    def utterances(self):
        for number, part in enumerate(("train", "valid", "test")):
            for label in range(4):
                for text in range(6):
                    yield LabelledText(text=f"{part} {label} {text}", label=f"{number}{label}", split=part, domain="")


def go(folder, *words, cut=None, corpus=None):
    config = load("train", ["experiment=maml_sinusoids", *SHORT, *words])
    learner, corpus = build(config.learner), corpus or build(config.data)
    begun = MetaModule.on_train_batch_start

    def cutting(self, batch, index):
        if self.global_step == cut:
            raise Cut
        return begun(self, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetaModule, "on_train_batch_start", cutting)
        return train(
            learner,
            [TaskPart(corpus, "train")],
            [TaskPart(corpus, "valid")],
            folder=folder,
            cache=folder / "cache",
            seed=3,
            options=build(config.trainer),
            tracker=NullTracker(),
        )


def digest(folder):
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["maml", "meta_sgd", "reptile", "ridge"])
def test_a_cut_anywhere_leaves_no_trace(name, tmp_path):
    words = [f"algorithm@learner.algorithm={name}"]
    go(tmp_path / "whole", *words)
    anywhere = int(np.random.default_rng().choice([1, 2, 3, 4, 5, 7, 8, 9, 10, 11]))
    for step in (anywhere, 6):  # 6: between two epochs
        folder = tmp_path / str(step)
        with pytest.raises(Cut):
            go(folder, *words, cut=step)
        assert go(folder, *words).steps == 12
        assert digest(folder) == digest(tmp_path / "whole")


def test_what_it_leaves_loads_and_has_learned(tmp_path):
    result = go(tmp_path, "learner.max_epochs=2", "learner.steps_per_epoch=100", "learner.tasks_per_step=8")
    config = load("train", ["experiment=maml_sinusoids"])
    learner, episodes = build(config.learner), build(config.data).episodes("test", shots=10, queries=10)
    learned = learned_in(result.model)
    own = by_steps(learner.network, learner.algorithm, learned, episodes, steps=[0, 5], tasks=100)
    begin = untrained(learner.network, learner.algorithm, seed=3)
    other = by_steps(learner.network, learner.algorithm, begin, episodes, steps=[5], tasks=100)
    assert own[1].mean - own[1].half_width > max(own[0].mean, other[0].mean)
    assert learned.keys() == begin.keys()


def test_texts_are_learned_by_what_an_encoder_makes_of_them(tmp_path):
    words = ["embedder=hashing", "embedder.dim=16", "learner.encoder=${embedder}", "learner.network.inputs=16"]
    few = ["learner.network.outputs=4", "learner.shots=1", "learner.queries=2"]
    result = go(tmp_path, *words, *few, corpus=Texts())
    assert 0 <= result.score <= 1
    assert (tmp_path / "model" / "model.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learner.network.inputs=3"], "set learner.network.inputs=1"),
        (["algorithm@learner.algorithm=protomaml"], "prototypes are of classes"),
        (["learner.shots=0"], "1 or more"),
        (["learner.network.hidden=[0]"], "widths of at least 1"),
    ],
)
def test_what_cannot_be_learned_is_told_before_it_begins(words, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        go(tmp_path, *words)


def test_texts_need_an_encoder_and_outputs_enough(tmp_path):
    with pytest.raises(ConfigError, match="an encoder is needed"):
        go(tmp_path, corpus=Texts())
    words = ["embedder=hashing", "embedder.dim=16", "learner.encoder=${embedder}", "learner.network.inputs=16"]
    with pytest.raises(ConfigError, match=r"set learner\.network\.outputs=4"):
        go(tmp_path, *words, "learner.shots=1", "learner.queries=2", corpus=Texts())


def test_validation_leaves_the_weights_and_the_random_numbers_alone():
    config = load("train", ["experiment=maml_sinusoids"])
    learner = build(config.learner)
    module = MetaModule(network=learner.network, algorithm=learner.algorithm, optimizer=torch.optim.Adam, seed=0)
    before = {name: value.clone() for name, value in module.params().items()}
    state = torch.get_rng_state()
    episodes = build(config.data).episodes("test", shots=5, queries=5)
    by_steps(learner.network, learner.algorithm, module.params(), episodes, steps=[3], tasks=5)
    assert all(torch.equal(value, before[name]) for name, value in module.params().items())
    assert torch.equal(state, torch.get_rng_state())
