"""`memshadow feedback`: which memories answered a question, as a person says it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import memshadow
from memshadow.cli import main
from memshadow.cli.train import _split
from memshadow.config import load

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one memory, called ``lisbon``."""
    place = tmp_path_factory.mktemp("feedback")
    with memshadow.open(place / "memories", overrides=LIGHT) as memory:
        memory.add("I moved to Lisbon", id="lisbon")
    return place


@pytest.fixture
def shell(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run a command beside the memories; return exit code, output, errors."""
    monkeypatch.chdir(home)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


_NOTED = """noted for lisbon
adapter not in use: there is no start for the embedder hashing-2048: memshadow train learner=adapter
"""


def test_what_was_useful_is_noted(shell: Shell, home: Path) -> None:
    file = home / "memories" / "feedback.jsonl"
    file.unlink(missing_ok=True)
    settings = (home / "memories" / "settings.json").read_bytes()
    assert shell("feedback", "where does Ann live", "lisbon", "kind=answer", "shown=lisbon,gone") == (
        0,
        _NOTED,
        "",
    )
    assert shell("feedback", "session=null", "--", "is a=b", "lisbon")[0] == 0
    first, second = map(json.loads, file.read_text().splitlines())
    assert (first["query"], first["kind"], first["useful"]) == ("where does Ann live", "answer", first["shown"])
    assert (second["query"], second["kind"], second["user"]) == ("is a=b", "explicit", "owner")
    assert (home / "memories" / "settings.json").read_bytes() == settings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "which memories answered which question?"),
        (["where is Ann"], "which memories answered which question?"),
        (
            ["where", "is", "Ann", "lisbon"],
            "there is no memory 'is' in this scope. The question comes first, in quotes;",
        ),
        (["where is Ann", "lisbon", "none"], "there is no memory 'none' in this scope"),
        (["where is Ann", "lisbon", "user=bob"], "there is no memory 'lisbon' in this scope"),
        (["where is Ann", "lisbon", "kind=guess"], "kind='guess'; choose click, answer, explicit"),
        (["where is Ann", "lisbon", "kinds=click"], "did you mean 'kind'?"),
        ([" ", "lisbon"], "needs the words that were asked"),
        (["where is Ann", ""], "an id in useful is no text"),
        (["where is Ann", "-i"], "there is no option '-i'"),
        (["where is Ann", "lisbon", "folder=none"], "there are no memories in none"),
    ],
)
def test_mistakes_are_answered(shell: Shell, home: Path, words: list[str], says: str) -> None:
    file = home / "memories" / "feedback.jsonl"
    before = file.read_bytes() if file.exists() else None
    code, out, err = shell("feedback", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert (file.read_bytes() if file.exists() else None) == before


def test_what_was_noted_is_a_corpus(shell: Shell) -> None:
    shell("feedback", "where does Ann live", "lisbon")
    code, out, _ = shell("data", "show", "feedback", "data.folder=memories")
    assert code == 0
    assert "weights trained on it may not ship" in out
    assert "? where does Ann live [" in out


def test_feedback_of_a_folders_own_user_trains_the_ranker_that_is_set_out_for_it(shell: Shell) -> None:
    shell("feedback", "where does Ann live", "lisbon")
    config = load("train", ["experiment=ranker_own", "data.parts.mine.folder=memories"])
    split = _split(config)
    mine = [one for one in split.training if one.corpus == "feedback"]
    assert "where does Ann live" in [question.text for one in mine for question in one.questions]
    assert not split.corpus.weights_may_ship
    assert config.model_name != load("train", ["experiment=ranker_shipped"]).model_name


def test_a_users_adapter_is_made_shown_and_removed(tmp_path, capsys):
    folder = f"folder={tmp_path / 'kept'}"
    words = ["embedder=hashing", "tokenizer=bytes"]
    assert main(["remember", "I moved to Lisbon", folder, *words]) == 0
    for said, expected in (
        (["show=true"], "nothing was answered yet"),
        ([], "there is no start for the embedder"),
        (["remove=true"], "removed; the next answer makes a new one"),
    ):
        capsys.readouterr()
        assert main(["adapt", folder, *said]) == 0
        assert expected in capsys.readouterr().out
    assert main(["adapt", folder, "show=true", "remove=true"]) == 2
    assert "choose one" in capsys.readouterr().err
    assert main(["adapt", folder, "now"]) == 2
    assert "no text is needed" in capsys.readouterr().err
