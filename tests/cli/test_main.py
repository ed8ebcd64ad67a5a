"""The command line itself: help, mistakes and exit codes; the verbs have tests of their own."""

import ast
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from memshadow import __version__, cli
from memshadow.cli import _help, main
from memshadow.errors import MemshadowError

VERB = '''"""Greet somebody.

With a second paragraph.
"""

def main(argv):
    if argv == ["fail"]:
        from memshadow.errors import DataError
        error = DataError("no folder 'x'; make it")
        error.add_note("(while building data)")
        raise error
    if argv == ["stop"]:
        raise KeyboardInterrupt
    if argv == ["bug"]:
        raise ZeroDivisionError
    print("hello", *argv)
    return 3 if argv else None
'''


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command line of two verbs, ``greet`` and ``part``, with a config folder."""
    (tmp_path / "greet.py").write_text(VERB)
    (tmp_path / "part.py").write_text('"""Say goodbye."""\n')
    (tmp_path / "_not_a_verb.py").write_text('"""Not a verb."""\n')
    configs = tmp_path / "configs"
    (configs / "tone").mkdir(parents=True)
    (configs / "greet.yaml").write_text("# All of it.\ndefaults:\n  - tone: warm\n  - _self_\nname: you  # whom\n")
    (configs / "tone" / "warm.yaml").write_text("# As to a friend.\nwarmth: 1\n")
    (configs / "tone" / "cold.yaml").write_text("# As to a stranger.\nwarmth: 0\n")
    monkeypatch.setattr(cli, "__path__", [str(tmp_path), *cli.__path__])
    monkeypatch.setattr("memshadow.config.config_dir", lambda: configs)
    monkeypatch.delitem(sys.modules, "memshadow.cli.greet", raising=False)
    return tmp_path


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_verb_with_its_first_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "  greet  Greet somebody.\n  part   Say goodbye.\n" in printed
    assert "second paragraph" not in printed
    assert "not_a_verb" not in printed


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("words", [["greet", "--help"], ["help", "greet"], ["greet", "name=x", "-h"]])
def test_help_of_a_verb_shows_docstring_settings_and_choices(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "With a second paragraph." in printed
    assert "  name: you  # whom" in printed
    assert "    cold  As to a stranger.\n  * warm  As to a friend." in printed
    assert "warmth" not in printed


@pytest.mark.usefixtures("house")
def test_help_of_a_choice_shows_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet", "tone=cold", "--help"]) == 0
    assert "tone=cold sets:\n\n  # As to a stranger.\n  warmth: 0" in capsys.readouterr().out


@pytest.mark.usefixtures("house")
def test_a_verb_is_given_the_words_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet"]) == 0
    assert main(["greet", "a=1"]) == 3
    assert capsys.readouterr().out == "hello\nhello a=1\n"


@pytest.mark.usefixtures("house")
def test_telemetry_is_off_and_threads_are_passive_before_a_verb_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # remembers what stood there
        monkeypatch.delenv(name)
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{os.environ.get('DO_NOT_TRACK')}"))
    with pytest.raises(pytest.fail.Exception, match="true"):
        main(["greet"])
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gret"], "no verb 'gret' (did you mean 'greet'?); a verb comes first, one of: greet, part."),
        (["help", "gret"], "did you mean 'greet'?"),
        (["name=you"], "no verb 'name=you'; a verb comes first"),
        (["_not_a_verb"], "no verb '_not_a_verb'"),
        (["greet", "fail"], "memshadow greet: no folder 'x'; make it (while building data)"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.usefixtures("house")
def test_an_interruption_is_130_and_a_switch_shows_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["greet", "stop"]) == 130
    monkeypatch.setenv("MEMSHADOW_TRACEBACK", "1")
    with pytest.raises(KeyboardInterrupt):
        main(["greet", "stop"])
    with pytest.raises(MemshadowError):
        main(["greet", "fail"])


@pytest.mark.usefixtures("house")
def test_an_error_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        main(["greet", "bug"])


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memshadow", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


def test_the_real_process_answers() -> None:
    assert run("--version").stdout == f"memshadow {__version__}\n"
    wrong = run("hlep")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    assert "Traceback" in run("hlep", MEMSHADOW_TRACEBACK="1").stderr
    (script,) = entry_points(group="console_scripts", name="memshadow")
    assert script.load() is main


def test_a_reader_that_leaves_is_no_error() -> None:
    """``memshadow --help | head -1``: the pipe is closed before anything is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time, sys; time.sleep(.5); from memshadow.cli import main; sys.exit(main([]))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141


@pytest.mark.parametrize("verb", cli.verbs())
def test_the_help_line_is_the_docstring(verb: str) -> None:
    """The quick scan reads what Python would."""
    file = cli.verbs()[verb]
    assert _help._docstring(file) == (ast.get_docstring(ast.parse(file.read_text())) or "").strip()


def test_help_is_quick() -> None:
    """CPU of ``memshadow --help`` over that of a Python that does nothing: 60 ms on an idle machine, with room here."""

    def cpu_s(*words: str) -> float:
        before = os.times()
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    bare = min(cpu_s("-c", "pass") for _ in range(5))
    assert min(cpu_s("-m", "memshadow", "--help") for _ in range(5)) - bare < 0.1
