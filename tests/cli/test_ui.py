"""``memshadow ui``: the pages answer on loopback only, and nothing of the server stays behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from memshadow.cli import main
from memshadow.cli.ui import free_port
from memshadow.errors import ConfigError
from memshadow.training.mlflow_tracker import MlflowTracker
from memshadow.training.tracker import recording


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens at."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_gives_the_next_free_one(taken: int) -> None:
    assert taken < free_port(taken) < taken + 50


@pytest.mark.parametrize("port", [0, 80, 70_000])
def test_a_port_that_cannot_be_had_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match="from 1024 to 65535"):
        free_port(port)


def test_no_database_yet_says_what_makes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", f"runs_dir={tmp_path}"]) == 2
    assert "`memshadow train` makes the first one" in capsys.readouterr().err


def test_a_misspelt_setting_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", "prt=1"]) == 2
    assert "did you mean 'port'?" in capsys.readouterr().err


def group(leader: int) -> list[int]:
    """Return the processes below ``leader``, itself left out (Linux)."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    below, new = [], [leader]
    while new:
        new = [pid for pid, parent in parents.items() if parent in new]
        below += new
    return below


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_loopback_and_ends_whole(tracker: MlflowTracker, taken: int, sign: signal.Signals) -> None:
    with recording(tracker, name="a", config={}):
        pass
    command = [sys.executable, "-m", "memshadow", "ui", f"uri={tracker.uri}", f"port={taken}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = next(line for line in process.stdout if "Ctrl-C" in line)
        url = said.split()[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\S*", url)
        with urllib.request.urlopen(url, timeout=20) as page:
            assert b"<title>MLflow</title>" in page.read()
        workers = group(process.pid)
        assert workers
        environment = Path(f"/proc/{workers[-1]}/environ").read_bytes().split(b"\0")
        assert {b"MLFLOW_DISABLE_TELEMETRY=true", b"DO_NOT_TRACK=true"} <= set(environment)
        assert b"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in environment
        process.send_signal(sign)
        assert process.wait(30) == 0
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_server_that_ends_by_itself_tells_its_last_words(tmp_path: Path) -> None:
    from memshadow.cli.ui import _await
    from memshadow.errors import MemshadowError

    log = tmp_path / "ui.log"
    log.write_text("one\nno space left\n\n")
    server = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], env=dict(os.environ))
    server.wait()
    with pytest.raises(MemshadowError, match="ended with code 3; it said: no space left"):
        _await(server, "http://127.0.0.1:9", 5.0, log)  # type: ignore[arg-type]
