"""``memshadow runs``: what a person sees, and what they are told when they ask for something that is not there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memshadow.cli import main
from memshadow.cli.runs import list_table, sparkline
from memshadow.training.logbook import RecordedRun
from memshadow.training.mlflow_tracker import MlflowTracker
from memshadow.training.registry import CHAMPION, ModelRegistry
from memshadow.training.tracker import recording


@pytest.fixture
def two_runs(tracker: MlflowTracker, tmp_path: Path) -> MlflowTracker:
    (tmp_path / "model").mkdir()
    for name, lr, score in (("head-a", 0.1, 0.5), ("head-b", 0.2, 0.625)):
        config = {"learner": {"lr": lr, "epochs": 3}}
        with recording(tracker, name=name, config=config, tags={"learner": "head", "data": "locomo"}):
            tracker.log_dataset(name="locomo", fingerprint="0123456789abcdef", context="training")
            for step in range(8):
                tracker.log_metrics({"train/loss": 8 - step, "val/ndcg@10": score * step / 7}, step=step)
            (tmp_path / "model" / "model.json").write_text(name)
            tracker.register_model("embedder", tmp_path / "model")
    ModelRegistry.open(tracker.uri).set_alias("embedder", CHAMPION, "2")
    return tracker


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["runs", *words]) == 0
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["runs", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def line_of(text: str, word: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if word in line)


def test_list_shows_runs_figures_and_the_champion(two_runs: MlflowTracker, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "list", f"uri={two_runs.uri}")
    assert line_of(text, "head-b")[-4:] == ["embedder", "v2*", "0.6250", "1.0000"]
    assert line_of(text, "head-a")[-4:] == ["embedder", "v1", "0.5000", "1.0000"]
    assert text.index("head-b") < text.index("head-a")
    assert "* holds the title champion" in text
    assert "head-a" not in shown(capsys, "list", f"uri={two_runs.uri}", "limit=1")


def test_compare_shows_what_differs(two_runs: MlflowTracker, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "compare", "head-a", "head-b", f"uri={two_runs.uri}")
    assert line_of(text, "learner.lr") == ["learner.lr", "0.1", "0.2"]
    assert "learner.epochs" not in text
    assert line_of(text, "val/ndcg@10") == ["val/ndcg@10", "0.5000", "0.6250", "(+0.1250)"]
    assert "█▇▆▅▄▃▂▁" in text


def test_a_name_may_hold_an_equals_sign(tracker: MlflowTracker, capsys: pytest.CaptureFixture[str]) -> None:
    with recording(tracker, name="seed=0-1aa450b8", config={"seed": 0}):
        pass
    assert "seed=0-1aa450b8" in shown(capsys, "compare", "seed=0-1aa450b8", f"uri={tracker.uri}")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lst"], "did you mean 'list'?"),
        (["compare"], "needs the names or ids"),
        (["compare", "head-c"], "did you mean 'head-"),
        (["list", "head-a"], "compare head-a"),
        (["list", "limt=3"], "did you mean 'limit'?"),
    ],
)
def test_mistakes_are_answered(
    two_runs: MlflowTracker, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert says in told(capsys, *words, f"uri={two_runs.uri}")


def test_no_database_yet_says_what_makes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "`memshadow train` makes the first one" in shown(capsys, "list", f"runs_dir={tmp_path}/none")
    assert "`memshadow train` makes the first one" in told(capsys, "compare", "a", f"runs_dir={tmp_path}/none")
    assert not list(tmp_path.iterdir())


def test_a_list_says_when_and_how_long() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    run = RecordedRun(id="0" * 32, name="a", status="finished", started=now - timedelta(minutes=5), seconds=90.0)
    columns = [list(column.cells) for column in list_table([run], [], now=now).columns]
    assert [cells[0] for cells in columns[:5]] == ["0" * 8, "a", "5 min ago", "2 min", "[green]finished[/]"]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0], "█"),
        ([0.0, 0.5, 1.0], "▁▅█"),
        ([float("nan"), 1.0], "·█"),
        ([0.0] * 50 + [1.0] * 50, "▁" * 12 + "█" * 12),
    ],
)
def test_sparklines(values: list[float], line: str) -> None:
    assert sparkline(values, 0.0, 1.0) == line
