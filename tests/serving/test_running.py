"""The service as a process: where it listens, who may come, how it ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import memshadow
from memshadow.errors import ConfigError, MemshadowError
from memshadow.memory.service import Memory
from memshadow.serving.auth.token import token_at
from memshadow.serving.client import Client
from memshadow.serving.presence import served_at
from memshadow.serving.running import listening, names_of, url_of

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]


@contextmanager
def process(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``memshadow serve`` on a free port; yield the process and its address."""
    command = [sys.executable, "-m", "memshadow", "serve", f"folder={folder}", "port=0", *LIGHT, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), line + started.communicate()[1]
            yield started, line.split()[0]
        finally:
            started.kill()


def test_sigterm_while_adding_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "memories"
    acknowledged: list[str] = []
    with process(folder) as (started, url):
        token = str(token_at(folder))

        def add(who: int) -> None:
            with suppress(MemshadowError), closing(Client(url, token=token)) as client:
                acknowledged.extend(client.add(f"{who} says {i}").id for i in range(10_000))

        threads = [threading.Thread(target=add, args=(who,)) for who in range(5)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 40:
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        out, err = started.communicate(timeout=60)
        for thread in threads:
            thread.join()
    assert (started.returncode, err) == (0, "")
    assert out.endswith("Ended; everything is on the disk.\n")
    assert served_at(folder) is None
    assert not (folder / "server.json").exists()
    with memshadow.open(folder) as memory:
        kept = {record.id for record in memory.everything()}
        assert memory.stats().warnings == ()
    assert set(acknowledged) <= kept
    assert len(kept) - len(acknowledged) <= 5  # those under way: written, and their answers cut off by the end


def test_it_loads_no_training_framework_and_tells_no_secret(tmp_path: Path) -> None:
    with process(tmp_path / "m") as (started, _):
        token = str(token_at(tmp_path / "m"))
        maps = Path(f"/proc/{started.pid}/maps").read_text()
        assert "/torch/" not in maps
        assert "mlflow" not in maps
        assert (tmp_path / "m" / "token").stat().st_mode & 0o777 == 0o600
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    assert token not in out + err
    assert started.returncode == 0


def test_a_killed_service_is_known_to_be_gone(tmp_path: Path) -> None:
    with process(tmp_path / "m") as (started, url):
        assert served_at(tmp_path / "m") == url
        started.kill()
        started.wait()
        assert served_at(tmp_path / "m") is None
        assert json.loads((tmp_path / "m" / "server.json").read_text())["url"] == url


def test_a_port_that_is_taken_is_told() -> None:
    with closing(listening("127.0.0.1", 0)) as bound:
        bound.listen()
        with pytest.raises(ConfigError, match="Address already in use"):
            listening("127.0.0.1", bound.getsockname()[1])
    for host, port in (("127.0.0.1", 70_000), ("203.0.113.1", 0), ("no such name", 0)):
        with pytest.raises(ConfigError, match="cannot listen at"):
            listening(host, port)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_addresses_are_written_as_urls() -> None:
    with closing(listening("127.0.0.1", 0)) as bound:
        assert url_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
    with suppress(ConfigError), closing(listening("::1", 0)) as bound:
        assert url_of(bound) == f"http://[::1]:{bound.getsockname()[1]}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_come_only_where_that_is_said(host: str) -> None:
    with pytest.raises(ConfigError, match="remote=true"):
        names_of(host, remote=False, hosts=["a"])
    with pytest.raises(ConfigError, match="hosts="):
        names_of(host, remote=True, hosts=[])
    assert "a" in names_of(host, remote=True, hosts=["a"])


def test_this_machine_may_always_come() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert names_of(host, remote=False, hosts=[]) == ["127.0.0.1", "localhost", "[::1]"]


def test_many_search_while_some_add(memory: Memory, serve: Any, token: str) -> None:
    memory.add([f"memory {i} of boats and bread" for i in range(50)])
    errors: list[BaseException] = []
    searched: list[int] = []

    def work(who: int, url: str) -> None:
        try:
            with closing(Client(url, token=token)) as client:
                for i in range(8):
                    if who < 5:
                        client.add(f"{who} adds {i}")
                    else:
                        searched.append(len(client.search("boats", k=5)))
        except BaseException as error:
            errors.append(error)

    with serve(memory) as url:
        threads = [threading.Thread(target=work, args=(who, url)) for who in range(25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert searched == [5] * 160
    assert memory.stats().memories == 90
