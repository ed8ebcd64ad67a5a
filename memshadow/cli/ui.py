"""Open the recorded runs in a browser: MLflow's pages, on this machine only, until Ctrl-C.

The server listens on 127.0.0.1, sends nothing out, and ends with all its workers when this command ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.config import load, plain
from memshadow.errors import ConfigError, DataError, MemshadowError, MissingExtraError
from memshadow.training.database import database_path, open_client
from memshadow.training.privacy_env import quiet_dependencies

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_HOST = "127.0.0.1"
_TRIED_PORTS = 50
_PATIENCE_S = 10.0  # for a server that was asked to end


def main(argv: list[str]) -> int | None:
    """Serve until interrupted."""
    settings = plain(load("ui", argv), resolve=True)
    path = database_path(settings["uri"])
    if not path.is_file():
        raise DataError(f"no runs are recorded in {path} yet; `memshadow train` makes the first one")
    page = _page(open_client(settings["uri"]))  # says what is wrong with a database before a server is started on it
    port = free_port(settings["port"])
    if port != settings["port"]:
        print(f"Port {settings['port']} is taken, so this is on {port}.")
    _serve(path, port, page, settings)
    return 0


def free_port(first: int) -> int:
    """Return the first port from ``first`` on that nothing on this machine listens at.

    Raises:
        ConfigError: the port is not one that a user may take, or the next 50 are taken too.
    """
    if not 1024 <= first <= 65535:
        raise ConfigError(f"port is {first}; it must be from 1024 to 65535")
    for port in range(first, min(first + _TRIED_PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise ConfigError(f"all ports from {first} on are taken; name another with port=NUMBER")


def _page(client: MlflowClient) -> str:
    """Return where the youngest experiment's runs are shown; MLflow opens on its pages for LLM traces otherwise."""
    homes = [home.experiment_id for home in client.search_experiments() if home.name != "Default"]
    return f"/#/experiments/{homes[0]}/runs?workflowType=machine_learning" if homes else ""


def _serve(path: Path, port: int, page: str, settings: dict[str, Any]) -> None:
    """Start the server, say where it is, and wait for Ctrl-C or for its end."""
    url = f"http://{_HOST}:{port}"
    log = path.with_name("ui.log")
    print("Starting MLflow ...", flush=True)
    try:
        with _terminable(), _server(path, port, log) as server:
            _await(server, url, settings["start_s"], log)
            print(f"{url}{page}   (Ctrl-C ends it)", flush=True)
            if settings["browser"]:
                import webbrowser

                webbrowser.open(f"{url}{page}")
            code = server.wait()
    except KeyboardInterrupt:
        print("\nEnded.")
        return
    raise MemshadowError(f"the server ended by itself with code {code}; its last words are in {log}")


@contextmanager
def _server(path: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``mlflow server`` in a process group of its own, and end the whole group at the end of the block."""
    quiet_dependencies()
    words = ["--backend-store-uri", f"sqlite:///{path}", "--host", _HOST, "--port", str(port), "--workers", "1"]
    words += ["--no-serve-artifacts", "--default-artifact-root", path.with_name("artifacts").as_uri()]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own words and numbers, no shell
            [sys.executable, "-m", "mlflow", "server", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield server
        finally:
            _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask the group to end; after some seconds, end it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sign)
            server.wait(_PATIENCE_S)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue


def _await(server: subprocess.Popen[bytes], url: str, patience_s: float, log: Path) -> None:
    """Return when the server answers.

    Raises:
        MemshadowError: it ended, or did not answer in time; its last line is told.
    """
    until = time.monotonic() + patience_s
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    words = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(words) if line.strip()), "(nothing)")
    if "No module named mlflow" in last:
        raise MissingExtraError("mlflow", "train")
    state = f"ended with code {server.returncode}" if server.returncode is not None else "does not answer"
    raise MemshadowError(f"the server {state}; it said: {last.strip()} (all of it: {log})")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a plain ``kill`` end the block as Ctrl-C does, so that no worker stays behind."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
