"""A loopback server that can be slow of wit in every way a download must survive, and small sets in the shared form."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Shelf:
    """What the server gives: path -> bytes; ``requests`` records (path, Range header or None)."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    ignores_range: bool = False
    cuts: list[int] = field(default_factory=list)  # each answer ends after so many bytes, until the list is empty
    statuses: list[int] = field(default_factory=list)  # each answer is this status, until the list is empty
    redirects: dict[str, str] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    shelf: Shelf

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        shelf, wanted = self.shelf, self.headers.get("Range")
        shelf.requests.append((self.path, wanted))
        if shelf.statuses:
            return self._answer(shelf.statuses.pop(0), b"")
        if self.path in shelf.redirects:
            return self._answer(302, b"", Location=shelf.redirects[self.path])
        if self.path not in shelf.files:
            return self._answer(404, b"")
        body = shelf.files[self.path]
        if wanted and not shelf.ignores_range:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self._answer(416, b"")
            return self._answer(206, body[start:], **{"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})
        return self._answer(200, body)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        cut = self.shelf.cuts.pop(0) if body and self.shelf.cuts else len(body)
        self.wfile.write(body[:cut])


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Give a server on loopback; put bytes into ``files`` and ask for ``url + path``."""
    given = Shelf()
    handler = type("Handler", (_Handler,), {"shelf": given})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        given.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield given
        server.shutdown()
        thread.join()


MEMORY_ROWS = [
    {"id": "a/1", "conversation_id": "a", "session_id": "a/s1", "turn": 0, "timestamp": "2024-05-01T10:00:00",
     "speaker": "Ann", "text": "I got a puppy!", "image_caption": "a brown puppy"},
    {"id": "a/2", "conversation_id": "a", "session_id": "a/s1", "turn": 1, "timestamp": None, "speaker": "Bob",
     "text": "What is it called?", "mood": "curious"},
    {"id": "a/3", "conversation_id": "a", "session_id": "a/s2", "turn": 0, "timestamp": "2024-05-03T09:30:00",
     "speaker": "Ann", "text": "Pepper. 🐶 子犬"},
    {"id": "b/1", "conversation_id": "b", "session_id": "b/s1", "turn": 0, "timestamp": None,
     "speaker": "", "text": ""},
]  # fmt: skip
QUESTION_ROWS = [
    {"id": "a/q0", "conversation_id": "a", "question": "What is Ann's puppy called?", "answer": "Pepper",
     "category": "single-hop", "evidence": ["a/3", "a/1"], "evidence_audited": ["a/3"]},
    {"id": "a/q1", "conversation_id": "a", "question": "How old is it?", "answer": 3, "category": "open-domain",
     "evidence": []},
]  # fmt: skip


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


@pytest.fixture
def memory_rows() -> list[dict[str, object]]:
    """Give two conversations as rows of the shared form."""
    return [dict(row) for row in MEMORY_ROWS]


@pytest.fixture
def question_rows() -> list[dict[str, object]]:
    """Give the questions on them."""
    return [dict(row) for row in QUESTION_ROWS]


@pytest.fixture
def shared_form(tmp_path: Path, memory_rows: list[dict[str, object]], question_rows: list[dict[str, object]]) -> Path:
    """Give a folder that holds them."""
    folder = tmp_path / "set"
    write_lines(folder / "memories.jsonl", memory_rows)
    write_lines(folder / "questions.jsonl", question_rows)
    return folder
