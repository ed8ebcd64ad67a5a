"""Verbs beside a running service: they find it, speak to it, and say what only it decides."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memshadow.cli import main

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a service on it."""
    folder = tmp_path_factory.mktemp("served") / "memories"
    command = [sys.executable, "-m", "memshadow", "serve", f"folder={folder}", "port=0", *LIGHT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        yield folder
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_every_verb_speaks_to_the_service(served: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder, out = f"folder={served}", tmp_path / "out.jsonl"
    assert main(["remember", "Zoë plays chess", "session=s", folder]) == 0
    assert main(["recall", "chess", "json=true", folder]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[1])["memory"]
    assert found["text"] == "Zoë plays chess"
    assert main(["feedback", "who plays?", found["id"], folder]) == 0
    assert capsys.readouterr().out.startswith(f"noted for {found['id']}\nadapter not in use: ")
    assert json.loads((served / "feedback.jsonl").read_text())["query"] == "who plays?"
    assert main(["context", "chess", folder]) == 0
    assert main(["context", "session=s", folder]) == 0
    assert capsys.readouterr().out.count("Zoë plays chess") == 2
    assert main(["export", str(out), folder]) == 0
    assert main(["import", str(out), folder, "user=copy"]) == 0
    assert "1 versions brought in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["recall", "x", "embedder=hashing"], "decides 'embedder=hashing'"),
        (["doctor"], "is served at http://127.0.0.1:"),
        (["recall", "x", "k=0"], "k=0; needed: a whole number from 1 to 1000."),
        (["serve", "port=0"], "is held by process"),
    ],
)
def test_what_only_the_service_may_do(
    served: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main([*words, f"folder={served}"]) == 2
    assert says in capsys.readouterr().err


def test_an_address_may_be_named(
    served: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = json.loads((served / "server.json").read_text())["url"]
    token = (served / "token").read_text().strip()
    monkeypatch.setenv("MEMSHADOW_TOKEN", token)
    assert main(["recall", "anything", f"url={url}", f"folder={tmp_path}", "user=nobody"]) == 0
    monkeypatch.setenv("MEMSHADOW_TOKEN", token[::-1])
    assert main(["recall", "anything", f"url={url}", f"folder={tmp_path}"]) == 2
    assert "status 401" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told_before_anything_is_opened(
    served: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = json.loads((served / "server.json").read_text())["url"].rpartition(":")[2]
    assert main(["serve", f"port={port}", f"folder={tmp_path / 'new'}", *LIGHT]) == 2
    assert "Address already in use" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
