"""The config room: what it composes, what it says about mistakes, what it refuses to build, what it never logs."""

import functools
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st
from omegaconf import OmegaConf

from memshadow import config
from memshadow.config import build, chosen, folders, load, nearest, plain, quoted
from memshadow.errors import ConfigError, MemshadowError, MissingExtraError
from memshadow.models.lexical import BM25, TermStatistics

BM25_NODE = {"_target_": "memshadow.models.lexical.BM25", "texts": ["a dog", "a cat"], "k1": 0.9, "b": 0.4}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder of configs that stands for the shipped one."""
    write(
        tmp_path / "shipped",
        {
            "train.yaml": "defaults: [data: locomo, learner: head, _self_]\nseed: 0\nrun: ${data.name}-${seed}\n",
            "evaluate.yaml": "model: ???\nk: 10\n",
            "data/locomo.yaml": "name: locomo\n",
            "data/beam.yaml": "name: beam\n",
            "learner/head.yaml": "lr: 1e-3\noptimiser:\n  weight_decay: 0.1\n",
        },
    )
    monkeypatch.setattr(config, "config_dir", lambda: tmp_path / "shipped")
    return tmp_path / "shipped"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_overrides_and_interpolations_reach_the_config(shipped: Path) -> None:
    composed = load("train", ["data=beam", "seed=3", "learner.lr=0.5", "+note=x", "~learner.optimiser"])
    expected = {"data": {"name": "beam"}, "learner": {"lr": 0.5}, "seed": 3, "run": "beam-3", "note": "x"}
    assert plain(composed, resolve=True) == expected


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("learner.lrr=1", "no setting 'learner.lrr' (did you mean 'learner.lr'?)"),
        ("learner.optimiser.weight_decai=1", "did you mean 'learner.optimiser.weight_decay'?"),
        ("sead=1", "did you mean 'seed'?"),
        ("dta=beam", "did you mean 'data'?"),
        ("data=locmo", "data has no choice 'locmo' (did you mean 'locomo'?); it has beam, locomo."),
        ("data=zzz", "data has no choice 'zzz'; it has beam, locomo."),
        ("~seeds", "did you mean 'seed'?"),
        ("seed=[1,", "cannot read 'seed=[1,'"),
        ("seed", "cannot read 'seed': a setting is written key=value."),
        ("--seed=1", "without dashes"),
        ("seed=1,2", "multirun"),
        ("+seed=1", "'++seed=1'"),
        ("seed=???", "train needs seed: memshadow train seed=..."),
        ("seed=abc", "seed must be int, got 'abc' (str)."),
        ("seed=0.5", "seed must be int, got 0.5 (float)."),
        ("seed=null", "seed must be int, got None (NoneType)."),
    ],
)
def test_a_mistake_is_answered_with_the_right_word(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("train", ["learner.lr=0.2", override])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


WITHIN = {
    "memory.yaml": "defaults: [ranking: staged, _self_]\nfolder: x\n",
    "ranking/staged.yaml": "defaults: [/ranker@ranker: sum, _self_, /second@second: null]\nsecond: null\n",
    "ranking/plain.yaml": "k1: 0.9\n",
    "ranker/sum.yaml": "model: a\n",
    "ranker/trees.yaml": "model: b\n",
    "second/look.yaml": "defaults: [/crosser@make: small]\nk: 6\n",
    "crosser/small.yaml": "size: 1\n",
    "crosser/large.yaml": "size: 2\n",
}


def test_parts_within_parts_are_chosen_by_their_place(shipped: Path) -> None:
    write(shipped, WITHIN)
    look = ["second@ranking.second=look", "ranking.second.make.size=3", "crosser@ranking.second.make=large"]
    composed = load("memory", ["ranker@ranking.ranker=trees", *look])
    assert plain(composed.ranking) == {"ranker": {"model": "b"}, "second": {"make": {"size": 3}, "k": 6}}
    assert plain(load("memory").ranking) == {"ranker": {"model": "a"}, "second": None}
    assert chosen("memory") == ["ranker@ranking.ranker", "ranking", "second@ranking.second"]
    assert chosen("memory", ["ranking=plain"]) == ["ranking"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ranker@ranking.ranker=tees"], "ranker has no choice 'tees' (did you mean 'trees'?); it has sum, trees."),
        (["ranker@rankng.ranker=trees"], "no part 'ranker@rankng.ranker' to choose (did you mean 'ranker@ranking.r"),
        (["ranker=trees"], "(did you mean 'ranker@ranking.ranker'?)"),
        (["ranking=plain", "ranker@ranking.ranker=sum"], "with ranking=plain has no part 'ranker@ranking.ranker'"),
        (["crosser@ranking.second.make=small"], "memory has no part 'crosser@ranking.second.make' to choose"),
        (["second@ranking.second=null"], "a part is chosen by its name, one of look."),
        (["ranking=5"], "cannot take 'ranking=5': a part is chosen by its name, one of plain, staged."),
        (["ranking.ranker.modl=5"], "did you mean 'ranking.ranker.model'?); `memshadow recall --help ranking=...`"),
        (["folders=5"], "did you mean 'folder'?); `memshadow recall --help`"),
    ],
)  # fmt: skip
def test_a_mistake_about_a_part_within_a_part_is_told(shipped: Path, words: list[str], told: str) -> None:
    write(shipped, WITHIN)
    with pytest.raises(ConfigError) as caught:
        load("memory", words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("shipped")
def test_what_a_task_must_be_given_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="evaluate needs model: memshadow evaluate model="):
        load("evaluate")
    assert load("evaluate", ["model=x"]).model == "x"
    with pytest.raises(ConfigError, match="there is no config 'trian'"):
        load("trian")


def test_a_folder_of_ones_own_comes_first(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write(tmp_path / "it's my own", {"data/locomo.yaml": "name: mine\n", "data/diary.yaml": "name: diary\n"})
    assert load("train", [f"config_dir={own}"]).data.name == "mine"
    monkeypatch.setenv("MEMSHADOW_CONFIGS", str(own))
    assert folders() == [own, shipped]
    assert load("train", ["data=diary"]).data.name == "diary"
    assert load("train", ["data=beam"]).data.name == "beam"
    with pytest.raises(ConfigError, match="it has beam, diary, locomo"):
        load("train", ["data=qqq"])
    with pytest.raises(ConfigError, match=r"config folder .*nowhere is not there"):
        load("train", ["config_dir=nowhere"])


def test_composing_leaves_no_global_state(shipped: Path) -> None:
    from hydra.core.global_hydra import GlobalHydra

    load("train")
    assert not GlobalHydra().is_initialized()


def test_the_shipped_folder_is_found() -> None:
    assert (config.config_dir() / "data" / "locomo.yaml").is_file()


def test_secrets_never_leave_in_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hush")
    composed = OmegaConf.create(
        {
            "key": "${oc.env:API_KEY}",
            "dim": 8,
            "remote": {"key": "${key}", "head": "a-${oc.env:API_KEY}", "w": ["${dim}"]},
        }
    )
    assert composed.remote.key == "hush"
    raw = plain(composed)
    assert raw["remote"] == {"key": "${key}", "head": "a-${oc.env:API_KEY}", "w": ["${dim}"]}
    followed = {"key": "${oc.env:API_KEY}", "head": "a-${oc.env:API_KEY}", "w": [8]}
    assert plain(composed, resolve=True)["remote"] == followed
    assert plain(composed.remote, resolve=True) == followed
    assert composed.remote.key == "hush"


def test_what_is_escaped_already_stays_text_when_it_is_written_down():
    said = OmegaConf.create(
        {"folder": r"at \${oc.env:HOME}", "twice": r"at \\\${oc.env:HOME}", "key": "${oc.env:HOME}"}
    )
    found = plain(said, resolve=True)
    assert found == {"folder": "at ${oc.env:HOME}", "twice": r"at \${oc.env:HOME}", "key": "${oc.env:HOME}"}


def test_a_node_becomes_its_object_and_runtime_comes_over_it() -> None:
    assert isinstance(build(OmegaConf.create(BM25_NODE)), BM25)
    node = OmegaConf.create({**BM25_NODE, "texts": "???"})
    assert build(node, texts=["one", "two", "three"]).size == 3
    later = build(OmegaConf.create({**BM25_NODE, "_partial_": True, "texts": "???"}), b=0.1)
    assert isinstance(later, functools.partial)
    assert later.keywords == {"k1": 0.9, "b": 0.1}
    assert build(OmegaConf.create({"all": [BM25_NODE], "n": 1}))["all"][0].size == 2


def test_what_comes_at_run_time_is_passed_on_untouched() -> None:
    """A memory's own metadata may hold the word ``_target_``; it is data and stays data."""
    hostile = {"_target_": "os.getcwd"}
    built = build(OmegaConf.create({"_target_": "memshadow.models.lexical.TermStatistics"}), document_frequency=hostile)
    assert built.document_frequency is hostile


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "memshadow.cli.main",  # ours, but a function with a will of its own
        "memshadow.config.build",
        "memshadow.cli.sys.exit",  # attributes are not walked
        "memshadow.config.os.system",
        "memshadow.models.lexical.lru_cache",  # imported into our module, defined elsewhere
        "memshadow.models.lexical.Counter",
        "memshadow.models.lexical._STEMMER",
        "memshadow.models.lexical.TermStatistics.of",
        "memshadow.types.Memory.__init__",
        "memshadow",
        "memshadowx.evil.Thing",
        "pytorch_lightning.cli.LightningCLI",  # imports whatever its arguments say
        "pytorch_lightning.Trainer.fit",
        "torch.load",
        "torch.optim.torch.load",
        "${oc.env:TARGET}",
        ["os", "system"],
        None,
    ],
)
def test_nothing_untrusted_is_built(target: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET", "os.system")
    for tree in (
        {"_target_": target},
        {"a": [{"b": {"_target_": target}}]},
        {**BM25_NODE, "texts": [{"_target_": target}]},
    ):
        with pytest.raises(ConfigError, match=r"trusted|there is no module|has no"):
            build(OmegaConf.create(tree))


def test_optimisers_and_callbacks_are_trusted() -> None:
    optimiser = build(OmegaConf.create({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1}))
    assert optimiser.keywords == {"lr": 0.1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kk": 1}, "learner.bm25 has no setting 'kk'"),
        ({"k2": 1}, "(did you mean 'k1'?); it takes texts, k1, b."),
        ({"k1": "high"}, "learner.bm25.k1 must be float, got 'high' (str)."),
        ({"k1": None}, "learner.bm25.k1 must be float, got None (NoneType)."),
        ({"k1": True}, "learner.bm25.k1 must be float, got True (bool)."),
        ({"k1": "???"}, "learner.bm25.k1 must be given: learner.bm25.k1=..."),
        ({"k1": "${nowhere}"}, "learner.bm25: Interpolation key 'nowhere' not found"),
        ({"_target_": "memshadow.models.lexical.BM26"}, "has no 'BM26'"),
        ({"_target_": "memshadow.models.lexicon.BM25"}, "no module 'memshadow.models.lexicon'"),
        ({"_target_": "memshadow.errors.ConfigError"}, "no config can build it"),
        ({"_args_": [1]}, "has no setting '_args_'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_with_their_place(change: dict[str, object], told: str) -> None:
    composed = OmegaConf.create({"learner": {"bm25": {**BM25_NODE, **change}}})
    with pytest.raises(ConfigError) as caught:
        build(composed.learner.bm25)
    assert told in str(caught.value)


def test_a_missing_argument_is_told() -> None:
    with pytest.raises(ConfigError, match=r"memshadow.models.lexical.BM25 lacks a setting: missing .* 'b'"):
        build({key: value for key, value in BM25_NODE.items() if key != "b"})


def test_a_whole_number_is_a_float_and_a_float_is_no_whole_number() -> None:
    build({**BM25_NODE, "k1": 1})
    for value in (1.5, True):
        with pytest.raises(ConfigError, match="documents must be int"):
            build({"_target_": "memshadow.models.lexical.TermStatistics", "documents": value})


def test_an_error_of_a_constructor_keeps_its_kind_and_tells_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = OmegaConf.create({"data": {"statistics": {"_target_": "memshadow.models.lexical.TermStatistics"}}})

    def fail_with(error: Exception) -> None:
        def __init__(self: object, documents: int = 0) -> None:
            raise error

        monkeypatch.setattr(TermStatistics, "__init__", __init__)

    fail_with(MissingExtraError("torch", "train"))
    with pytest.raises(MissingExtraError) as kept:
        build(composed.data.statistics)
    assert kept.value.__notes__ == ["(while building data.statistics)"]
    fail_with(ValueError("dim must divide 2048"))
    with pytest.raises(ConfigError, match=r"data.statistics \(memshadow.*\) does not accept .*: dim must divide 2048"):
        build(composed.data.statistics)
    fail_with(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        build(composed.data.statistics)


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import memshadow

    write(tmp_path / "memshadow_extra", {"needy.py": "import no_such_package\n"})
    monkeypatch.setattr(memshadow, "__path__", [*memshadow.__path__, str(tmp_path / "memshadow_extra")])
    with pytest.raises(MemshadowError, match="'no_such_package', which is not installed"):
        build({"_target_": "memshadow.needy.Thing"})


def test_nearest_says_nothing_where_nothing_is_near() -> None:
    assert nearest("trian", ["train", "data"]) == " (did you mean 'train'?)"
    assert nearest("xyz", ["train", "data"]) == ""
    assert nearest("a", []) == ""


ODD = st.text(st.sampled_from("\\'\"${}:.,[]=~ \n\té🙂ab") | st.characters(), min_size=1).filter(
    lambda name: name != "???"
)


@example("${oc.env:HOME}")
@example("${folder}")
@example("\\${folder}\\")
@example("it's\\' \\\\\\'${")
@settings(max_examples=40, deadline=None)
@given(ODD)
def test_any_text_is_a_value_when_it_is_quoted(name: str) -> None:
    composed = load("memory", [f"folder={quoted(name)}"])
    assert (composed.folder, composed.store.folder, composed.index.folder) == (name, name, f"{name}/index")
