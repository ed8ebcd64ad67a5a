"""What a client sends again, because the connection broke before the answer came, is there once."""

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from memshadow.memory.service import Memory

ONE = {"text": "I moved to Lisbon", "speaker": "Ann", "happened_at": "2026-03-01T09:30:00Z"}


def cut_off(url: str, token: str, path: str, body: bytes, *, sent: int | None = None, **headers: str) -> None:
    """Send a request (or the first bytes of its body) and go away without waiting for an answer."""
    parts = urlsplit(url)
    named = {"Host": parts.netloc, "Authorization": f"Bearer {token}", "X-Memshadow-User-Id": "owner"}
    named |= {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()) + "\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head.encode() + body[:sent])
        connection.shutdown(socket.SHUT_WR)


def settled(memory: Memory, count: int) -> None:
    """Wait until so many memories are there; and then a moment, for one too many to show."""
    deadline = time.monotonic() + 20
    while memory.stats().versions < count and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)


def test_an_addition_whose_answer_was_lost_is_recognised(ask: Any, memory: Memory, url: str, token: str) -> None:
    cut_off(url, token, "/v1/memories", json.dumps(ONE).encode())
    settled(memory, 1)
    status, _, added = ask("POST", "/v1/memories", ONE)
    assert (status, added["duplicate"]) == (200, True)
    many = {"memories": [ONE, {"text": "My dog is called Rex"}, {"text": "a fact", "key": "k"}]}
    cut_off(url, token, "/v1/memories/batch", json.dumps(many).encode())
    settled(memory, 3)
    told = ask("POST", "/v1/memories/batch", many)[2]["results"]
    assert [one["duplicate"] for one in told] == [True] * 3
    assert told[0]["id"] == added["id"]
    assert memory.stats().versions == 3


def test_an_import_that_was_cut_off_is_finished_by_the_same_call(
    ask: Any, memory: Memory, url: str, token: str
) -> None:
    lines = "".join(json.dumps({"text": f"line {i} {'x' * 100}"}) + "\n" for i in range(1200)).encode()
    cut_off(url, token, "/v1/import", lines, sent=len(lines) * 2 // 3)
    settled(memory, 500)
    before = memory.stats().versions
    assert before <= 800
    told = ask("POST", "/v1/import", lines)[2]
    assert (told["added"] + told["known"], memory.stats().versions) == (1200, 1200)
    assert ask("POST", "/v1/import", lines)[2] == {"added": 0, "known": 1200}


def test_a_key_of_the_senders_own_changes_nothing(ask: Any, memory: Memory) -> None:
    first = ask("POST", "/v1/memories", ONE, Idempotency_Key="a")[2]
    other = ask("POST", "/v1/memories", {"text": "My dog is called Rex"}, Idempotency_Key="a")
    assert (other[0], other[2]["duplicate"]) == (201, False)
    assert ask("POST", "/v1/memories", ONE, Idempotency_Key="b")[2] == {**first, "duplicate": True}
    assert memory.stats().versions == 2


@pytest.mark.parametrize("path", ["/v1/memories", "/v1/memories/batch", "/v1/import"])
def test_that_is_written_where_people_look(ask: Any, path: str) -> None:
    described = ask("GET", "/openapi.json")[2]
    assert "Idempotency-Key" in described["info"]["description"]
    assert "again" in described["paths"][path]["post"]["description"]


def test_an_import_that_makes_no_sense_is_the_senders_fault(ask: Any, memory: Memory) -> None:
    lines = [{"memshadow": "memories", "format": 1}, {"id": "q", "version": 2, "text": "a"}]
    status, _, told = ask("POST", "/v1/import", "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert (status, told["type"]) == (422, "urn:memshadow:problem:data")
    assert memory.stats().versions == 0
