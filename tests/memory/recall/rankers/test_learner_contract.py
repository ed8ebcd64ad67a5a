"""What every learner of a ranker promises: it learns, each time alike, goes on to the bit, exports what it is."""

# ruff: noqa: E402 - what may be missing is asked for first

import numpy as np
import pytest
from lesson import LEARNERS, PLACES, held_out, learner, seen, talks, taught

pl = pytest.importorskip("pytorch_lightning")
torch = pytest.importorskip("torch")
pytest.importorskip("lightgbm")

from memshadow.errors import CheckpointError, ConfigError, DataError
from memshadow.memory.recall.rankers.trained import ranker_of
from memshadow.training.learner import Learner
from memshadow.types import Conversation


class Cut(Exception):
    """Stands for whatever ends a process at a given step."""


def cut_at(step, folder, of):
    """Train until a step begins, and no further."""
    parts = of.parts

    def cutting(*given, **named):
        module, data = parts(*given, **named)

        def stop(batch, index):
            if module.global_step == step:
                raise Cut

        module.on_train_batch_start = stop
        return module, data

    of.parts = cutting
    with pytest.raises(Cut):
        taught(folder, of)


def weights(result):
    return (result.model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_is_a_learner_that_is_called_like_its_file(kind):
    assert isinstance(learner(kind), Learner)
    assert learner(kind).name == f"ranker_{kind}"


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_learns_to_order_a_conversation_that_it_never_saw(kind, trained):
    ranker = ranker_of(str(trained(kind).model))
    fusion = np.mean([one.worth(one.plain) for one in held_out()])
    learned = np.mean([one.worth(ranker.base * one.plain + ranker.learned(one.table)) for one in held_out()])
    assert learned > fusion + 0.04


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_export_scores_as_the_module_does(kind, trained):
    result = trained(kind)
    assert sorted(file.name for file in result.model.iterdir()) == ["model.json", "model.safetensors"]
    ranker = ranker_of(str(result.model))
    for one in held_out():
        found, expected = ranker.learned(one.table), result.module.learned(one.table)
        between = np.subtract.outer(found, found) - np.subtract.outer(expected, expected)  # a constant orders nothing
        assert np.abs(between).max() < 1e-4
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_cut_leaves_no_trace_and_another_seed_does(kind, trained, tmp_path):
    """The two trainings share nothing: that one seed gives the same bits twice is shown too."""
    cut_at(2 if kind == "trees" else 7, tmp_path / "cut", learner(kind))
    result = taught(tmp_path / "cut", learner(kind))
    assert result.resumed
    assert weights(result) == weights(trained(kind))
    assert (result.model / "model.json").read_bytes() == (trained(kind).model / "model.json").read_bytes()
    assert weights(taught(tmp_path / "other", learner(kind), seed=2)) != weights(result)


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize(("which", "said"), [(0, "no training question"), (1, "no held-out question")])
def test_nothing_to_learn_from_is_refused(kind, which, said, tmp_path):
    given = [[talk] for talk, *_ in talks()]
    given[which] = [Conversation(id=talk.id, memories=talk.memories) for talk in given[which]]
    with pytest.raises(DataError, match=f"{said} has its evidence among the candidates"):
        learner(kind).parts(*given, cache=tmp_path, seed=0)


@pytest.mark.parametrize(
    ("kind", "setting", "said"),
    [
        ("listwise", "learner.net.width=18", "a width that the heads divide"),
        ("linear", "learner.questions_per_step=0", "a question or more"),
        ("linear", "learner.warmup_share=1.5", "a share between 0 and 1"),
        ("linear", "learner.tolerance=0", "a number above 0, or null"),
        ("linear", "learner.groups=[own,mood]", "no group of features 'mood'"),
        ("trees", "learner.leaves=17", "2 to 16 leaves"),
        ("trees", "learner.forests=0", "at least 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_encoded(kind, setting, said):
    with pytest.raises(ConfigError, match=said):
        learner(kind, setting)


def test_several_forests_are_grown_apart_and_their_mean_is_the_ranker(tmp_path):
    two = taught(tmp_path / "two", learner("trees", "learner.forests=2"))
    both = ranker_of(str(two.model))
    for one in held_out():
        forests = [two.module._of(np.flatnonzero(two.module.growth.numpy() % 2 == n), share=1.0) for n in (0, 1)]
        first, second = (forest.scores(one.table) for forest in forests)
        np.testing.assert_allclose(both.learned(one.table), (first + second) / 2, atol=1e-5)
        assert np.abs(first - second).max() > 0.01


def test_a_cut_leaves_no_trace_in_any_of_several_forests(tmp_path):
    of = "learner.forests=2"
    whole = taught(tmp_path / "whole", learner("trees", of))
    cut_at(2, tmp_path / "cut", learner("trees", of))
    assert weights(taught(tmp_path / "cut", learner("trees", of))) == weights(whole)


def test_what_was_grown_in_one_forest_does_not_go_on_in_two(tmp_path):
    cut_at(2, tmp_path, learner("trees", "learner.max_epochs=4"))
    with pytest.raises(CheckpointError, match="counts"):  # as many trees in all: four epochs of one, two of two
        taught(tmp_path, learner("trees", "learner.max_epochs=2", "learner.forests=2"))


@pytest.mark.parametrize("kind", LEARNERS)
def test_only_its_own_module_is_exported(kind, tmp_path):
    with pytest.raises(TypeError, match=r"a LightningModule came; needed: the \w+Module that parts\(\) gave"):
        learner(kind).export(pl.LightningModule(), tmp_path)


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_reads_the_features_that_it_is_given(kind, tmp_path):
    of = learner(kind, "learner.groups=[own,time]", "learner.without=[own/fused]")
    module, _ = of.parts(*([talk] for talk, *_ in talks()), cache=tmp_path, seed=0)
    of.export(module.eval(), tmp_path / "model")
    names = ranker_of(str(tmp_path / "model")).table.names
    assert {name.split("/")[0] for name in names} == {"own", "time"}
    assert "own/fused" not in names


@pytest.mark.parametrize("kind", LEARNERS)
def test_its_parts_depend_on_its_arguments_alone(kind, tmp_path):
    few = [[talk] for talk, *_ in talks()]
    first, again, other = (
        dict(learner(kind).parts(*few, cache=tmp_path, seed=seed)[0].named_parameters()) for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert kind != "listwise" or any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_keeps_what_its_training_scopes_were_like(kind, trained):
    home = ranker_of(str(trained(kind).model)).home
    assert len(home.scopes) == len(talks()[0])
    (known, _), (stranger, *_) = seen(PLACES["many"])[:2], seen(PLACES["bare"])
    assert home.share(stranger) < home.share(known) + 1e-9
    assert home.tolerance == 1.0
