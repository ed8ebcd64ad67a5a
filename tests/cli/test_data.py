"""`memshadow data`: what a user types, sees, and is told when it is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from memshadow.cli.data import main
from memshadow.errors import ConfigError, DataError, MemshadowError


@pytest.fixture(autouse=True)
def data_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give an empty data home, and a terminal wide enough to read."""
    monkeypatch.setenv("MEMSHADOW_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "home"


def _banking(home: Path) -> None:
    folder = home / "banking77"
    folder.mkdir(parents=True)
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("text,category\nWhere is my card?,card_arrival\n", encoding="utf-8")


def test_list_shows_every_set_its_licence_and_whether_it_is_here(
    data_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _banking(data_home)
    main([])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert {"locomo", "beam100k", "beam500k", "intents", "clinc150", "banking77", "scifact", "stsb"} <= set(lines)
    assert lines["banking77"].split()[-2:] == ["0.1", "kB"]
    assert "CC BY-NC 4.0" in lines["locomo"]
    assert lines["locomo"].split()[-2:] == ["no", "no"]
    assert "made on demand" in lines["synthetic"]
    assert str(data_home) in lines["Get"]


def test_show_prints_facts_and_first_lines(data_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _banking(data_home)
    main(["show", "banking77", "n=1"])
    out = capsys.readouterr().out
    assert "licence: CC BY 4.0; weights trained on it may ship" in out
    assert out.count("Where is my card?") == 1


def test_make_writes_the_shared_form_that_folder_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    main(["make", "synthetic", "data.memories=60", f"out={out}"])
    assert "60 memories in " in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["memories.jsonl.gz", "questions.jsonl", "stats.json"]
    stats = json.loads((out / "stats.json").read_text(encoding="utf-8"))
    assert stats["memories"] == 60
    assert stats["name"] == "synthetic"
    main(["show", "folder", f"data.folder={out}", "n=2"])
    assert "session_1" in capsys.readouterr().out
    with pytest.raises(DataError, match="exist already"):
        main(["make", "synthetic", "data.memories=60", f"out={out}"])


def test_lone_notes_are_shown_without_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = ("", "monday", "monday", "", "", "tuesday")
    rows = [
        {"id": f"m{turn}", "conversation_id": "c", "session_id": session, "turn": turn, "speaker": "Ann", "text": "x"}
        for turn, session in enumerate(sessions)
    ]
    (tmp_path / "memories.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (tmp_path / "questions.jsonl").write_text("", encoding="utf-8")
    main(["show", "folder", f"data.folder={tmp_path}", "n=20"])
    shown = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert [line.split("  ")[0] for line in shown] == [
        "m0", "-- monday", "m1", "m2", "", "m3", "m4", "-- tuesday", "m5"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lst"], r"there is no `data lst` \(did you mean 'list'\?\)"),
        (["list", "locomo"], "takes no more words"),
        (["fetch"], "needs the name of a set"),
        (["fetch", "accept=true"], "needs the name of a set"),
        (["fetch", "locmo"], r"locmo.*locomo"),
        (["fetch", "locomo", "acept=true"], r"acept.*accept"),
        (["fetch", "synthetic"], "made on this machine"),
        (["fetch", "locomo"], "accept=true"),
        (["fetch", "locomo", "accept=maybe"], "accept must be bool, got .maybe."),
        (["show", "synthetic", "n=-1"], "n=-1 came"),
        (["show", "synthetic", "n=few"], "n must be int, got .few."),
        (["make", "synthetic"], "out=FOLDER"),
        (["make", "stsb", "out=x"], "only conversations have the shared form"),
        (["show", "locomo"], "memshadow data fetch locomo"),
        (["show", "folder"], r"data\.folder|folder"),
    ],
)
def test_mistakes_are_answered(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(MemshadowError, match=message):
        main(words)


def test_fetch_shows_the_terms_and_takes_a_no(
    data_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "")
    assert main(["fetch", "locomo"]) == 1
    out = capsys.readouterr().out
    assert "CC BY-NC 4.0" in out
    assert "may NOT be given away" in out
    assert "https://github.com/snap-research/locomo" in out
    assert "1 without a published checksum" in out
    assert "Nothing was fetched." in out
    assert not data_home.exists()


def test_fetch_of_a_set_that_is_here_does_nothing(data_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _banking(data_home)
    assert main(["fetch", "banking77"]) is None
    assert "is here already" in capsys.readouterr().out


def test_fetch_takes_what_was_carried_here_by_hand(data_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way without a network: clinc150's file is not that of the publisher, and is refused by name."""
    downloads = data_home / ".downloads" / "clinc150"
    downloads.mkdir(parents=True)
    (downloads / "data_full.json").write_text("{}")
    with pytest.raises(DataError, match=r"data_full\.json is not the file that was published"):
        main(["fetch", "clinc150", "accept=true"])
    assert "CC BY 3.0" in capsys.readouterr().out
    assert not (data_home / "clinc150").exists()


def test_a_config_error_is_a_users_error() -> None:
    with pytest.raises(ConfigError):
        main(["show", "stsb", "data.fold=x"])
