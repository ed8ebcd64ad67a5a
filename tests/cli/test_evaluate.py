"""`memshadow evaluate` as a user meets it, at the smallest sizes and with an encoder that needs no model."""

import json

import pytest

from memshadow.cli import main

SMALL = [
    "data.memories=120",
    "data.memories_per_conversation=40",
    "data.questions_per_conversation=10",
    "embedder@encoder=hashing",
    "encoder.dim=16",
]
UNTRAINED = """
defaults: [hashing@encoder, _self_]
_target_: memshadow.models.projected.ProjectedEmbedder
model: null
dim: 48
encoder: {dim: 16}
views: {before: 1, after: 1, context_chars: 40, k1: 0.9, b: 0.4, mean_length: 8.0, copies: 2, width: 32}
"""
SYSTEMS = {"bm25", "hashing-16", "random-2048", "fusion-rrf", "fusion-minmax"}


@pytest.fixture(autouse=True)
def home(_shipped_configs_only, tmp_path, monkeypatch):
    """No public sets on this machine, a wide terminal, and a small projected embedder of one's own."""
    monkeypatch.setenv("MEMSHADOW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "configs" / "embedder").mkdir(parents=True)
    (tmp_path / "configs" / "embedder" / "untrained.yaml").write_text(UNTRAINED)
    monkeypatch.setenv("MEMSHADOW_CONFIGS", str(tmp_path / "configs"))
    return tmp_path / "data"


def evaluate(folder, *words):
    return main(["evaluate", *SMALL, f"runs_dir={folder}", *words])


def results(folder, name="latest"):
    return json.loads((folder / "evaluations" / name / "results.json").read_text())


def questions(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_table_rankings_and_results_come_of_it(tmp_path, capsys):
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=64", "name=mine") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = {line.split()[0]: line.split() for line in shown.out.splitlines() if line.strip()}
    assert lines.keys() >= SYSTEMS | {"hashing-64"}
    assert lines["synthetic:"][2] == "questions"
    assert str(tmp_path / "evaluations" / "mine") in shown.out.replace("\n", "")
    rows = results(tmp_path, "mine")
    (row,) = [r for r in rows if (r["system"], r["metric"]) == ("hashing-64", "ndcg@10")]
    assert f"{100 * row['mean']:.1f}" == lines["hashing-64"][1]
    assert row["n"] == int(lines["synthetic:"][1])
    assert row["command"].startswith("memshadow evaluate data.memories=120")
    assert {"data", "commit", "ci95"} <= row.keys()


def test_the_rankings_are_of_every_system_and_every_question(tmp_path):
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=64") == 0
    files = {file.stem: file for file in (tmp_path / "evaluations" / "latest" / "rankings").iterdir()}
    assert files.keys() == SYSTEMS | {"hashing-64"}
    asked = [[line["question_id"] for line in questions(file)] for file in files.values()]
    assert all(ids == asked[0] for ids in asked)
    assert len(asked[0]) == len(set(asked[0])) == results(tmp_path)[0]["n"]
    line = questions(files["bm25"])[0]
    assert len(set(line["memory_ids"])) == len(line["memory_ids"]) >= 30


def test_the_encoder_itself_stands_in_the_table_once(tmp_path, capsys):
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=16") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[4:9]].count("hashing-16") == 1
    assert {row["system"] for row in results(tmp_path)} == SYSTEMS


def test_without_baselines_it_stands_alone(tmp_path):
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=64", "baselines=false") == 0
    assert {row["system"] for row in results(tmp_path)} == {"hashing-64"}


def test_the_start_of_training_can_be_measured(tmp_path):
    assert evaluate(tmp_path, "embedder=untrained") == 0
    assert {row["system"] for row in results(tmp_path)} == SYSTEMS | {"projected-48"}


def test_two_runs_come_to_the_same_figures_and_the_second_encodes_nothing(tmp_path, monkeypatch):
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=16", "name=one") == 0
    from memshadow.models.hashing import HashingEmbedder

    monkeypatch.setattr(HashingEmbedder, "_passage_row", lambda *_: 1 / 0)
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=16", "name=two") == 0
    one, two = ([(r["system"], r["metric"], r["mean"]) for r in results(tmp_path, name)] for name in ("one", "two"))
    assert one == two


def test_what_is_forgotten_is_measured_where_the_sets_are_here(tmp_path, home, capsys):
    (home / "stsb").mkdir(parents=True)
    for split in ("train", "dev"):
        (home / "stsb" / f"stsb-en-{split}.csv").touch()
    pairs = [
        ("the dog runs", "a dog running", 5.0),
        ("the dog ran", "the dog sat", 2.0),
        ("a dog", "forty dollars", 0.0),
    ]
    (home / "stsb" / "stsb-en-test.csv").write_text("".join(f"{a},{b},{gold}\n" for a, b, gold in pairs))
    assert evaluate(tmp_path, "embedder=hashing", "embedder.dim=4096", "encoder.dim=1") == 0
    rows = {r["system"]: r for r in results(tmp_path) if r["metric"] == "spearman"}
    assert rows.keys() == {"hashing-1", "hashing-4096"}
    assert rows["hashing-1"]["mean"] < 0.99
    assert (rows["hashing-4096"]["mean"], rows["hashing-4096"]["n"]) == (pytest.approx(1), 3)
    assert rows["hashing-4096"]["data"] == "stsb"
    assert "stsb spearman: hashing-4096 1.0000 (n = 3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["embedder=projected"], "embedder.model must be given: embedder.model=..."),
        (["embedder=untrained", "embedder.model=nowhere"], "nowhere holds no model"),
        (["embedder=untrained", "embedder.dim=50"], "it folds to 48, 32, 24, 20, 16"),
        (["embedder=hashin"], "did you mean 'hashing'?"),
        (["basline=false"], "did you mean 'baselines'?"),
        (["embedder=hashing", "embedder.dim=0"], "hashing needs dim >= 1"),
    ],
)
def test_mistakes_are_answered(tmp_path, capsys, words, said):
    assert evaluate(tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("memshadow evaluate: ")
    assert said in error


def test_a_corpus_without_conversations_is_refused(tmp_path, capsys):
    assert main(["evaluate", "data=stsb", f"runs_dir={tmp_path}"]) == 2
    assert "stsb holds no conversations; choose a corpus that does, e.g. data=synthetic." in capsys.readouterr().err


def test_a_corpus_that_is_not_here_says_how_to_get_it(tmp_path, capsys):
    words = ["data=locomo", "embedder=hashing", "embedder@encoder=hashing", f"runs_dir={tmp_path}"]
    assert main(["evaluate", *words]) == 2
    assert "memshadow data fetch locomo" in capsys.readouterr().err
