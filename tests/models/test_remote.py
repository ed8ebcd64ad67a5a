"""The remote embedder against a loopback endpoint that answers well, badly, late, and not at all."""

import json
import logging
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from memshadow.errors import ConfigError
from memshadow.models.remote import RemoteEmbedder, RemoteError
from memshadow.types import Passage, Turn

KEY = "sk-never-to-be-seen"


class Endpoint(ThreadingHTTPServer):
    """Answers from ``script`` (functions of the texts), the last one again and again; keeps what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked, self.headers = [good], [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self.server.headers.append(dict(self.headers))
        answer = self.server.script[0] if len(self.server.script) == 1 else self.server.script.pop(0)
        code, headers, content = answer(body["input"])
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def vector(text):
    return [float(len(text)), 1.0, float(ord(text[0]))]


def data(rows):
    return 200, {}, json.dumps({"data": rows}).encode()


def good(texts):
    return data([{"index": i, "embedding": vector(text)} for i, text in enumerate(texts)])


def backwards(texts):
    return data([{"index": i, "embedding": vector(text)} for i, text in reversed(list(enumerate(texts)))])


def failing(code, **headers):
    return lambda _texts: (code, {name.replace("_", "-"): value for name, value in headers.items()}, KEY.encode())


@pytest.fixture
def endpoint():
    server = Endpoint()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def embedder(url, **settings):
    given = {
        "model": "m",
        "dim": 3,
        "key_env": "",
        "batch_size": 2,
        "max_chars": 100,
        "timeout_s": 5.0,
        "retries": 2,
        "backoff_s": 0.01,
        "context_turns": 0,
    }
    return RemoteEmbedder(url=url, **{**given, **settings})


def expected(*texts):
    rows = np.array([vector(text) for text in texts], dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_asks_in_batches_and_keeps_the_order(endpoint):
    rows = embedder(endpoint.url).embed_queries(["a", "bb", "", "ccc"])
    np.testing.assert_allclose(rows[[0, 1, 3]], expected("a", "bb", "ccc"), atol=1e-6)
    assert not rows[2].any()
    assert endpoint.asked == [
        ("/v1/embeddings", {"model": "m", "input": texts, "encoding_format": "float"})
        for texts in (["a", "bb"], ["ccc"])
    ]


def test_an_answer_in_another_order_is_sorted_by_index(endpoint):
    endpoint.script = [backwards]
    np.testing.assert_allclose(embedder(endpoint.url).embed_queries(["a", "bb"]), expected("a", "bb"), atol=1e-6)


def test_nothing_to_embed_asks_nothing(endpoint):
    assert embedder(endpoint.url).embed_queries(["", " "]).shape == (2, 3)
    assert endpoint.asked == []


def test_a_passage_is_sent_with_its_speaker_and_context(endpoint):
    passage = Passage(text="b", speaker="Bo", before=(Turn(text="a", speaker="Ann"),))
    embedder(endpoint.url, context_turns=1).embed_passages([passage])
    assert endpoint.asked[0][1]["input"] == ["Ann: a\nBo: b"]


def test_long_texts_are_cut_and_averaged(endpoint):
    row = embedder(endpoint.url, max_chars=4).embed_queries(["aaaabbb"])
    first, second = expected("aaa"), expected("abbb")
    mean = first * 3 + second * 4
    np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_passing_failure_is_tried_again(code, endpoint):
    endpoint.script = [failing(code), failing(code), good]
    np.testing.assert_allclose(embedder(endpoint.url).embed_queries(["a"]), expected("a"), atol=1e-6)
    assert len(endpoint.asked) == 3


def test_waits_grow_and_the_servers_wish_is_heard(endpoint):
    endpoint.script = [failing(500), failing(429, Retry_After="7"), failing(503, Retry_After="900"), good]
    patient, waited = embedder(endpoint.url, retries=3), []
    patient._sleep = waited.append
    patient.embed_queries(["a"])
    assert waited == [0.01, 7.0, 30.0]


def test_tries_end(endpoint):
    endpoint.script = [failing(500)]
    with pytest.raises(RemoteError, match=r"failed 3 times, last: HTTP 500"):
        embedder(endpoint.url).embed_queries(["a"])
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (401, "was not accepted"),
        (403, "may not use"),
        (404, "no model 'm'"),
        (400, "not understood"),
        (302, "final address"),
    ],
)
def test_a_refusal_is_not_tried_again(code, advice, endpoint):
    endpoint.script = [failing(code, Location=f"{endpoint.url}/elsewhere")]
    with pytest.raises(RemoteError, match=f"HTTP {code}: .*{advice}"):
        embedder(endpoint.url).embed_queries(["a"])
    assert len(endpoint.asked) == 1


def test_the_key_goes_into_the_header_and_nowhere_else(endpoint, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEST_KEY", KEY)
    endpoint.script = [good, failing(401)]
    remote = embedder(endpoint.url, key_env="TEST_KEY")
    remote.embed_queries(["a"])
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"
    with pytest.raises(RemoteError) as refusal:
        remote.embed_queries(["a"])
    error = refusal.value
    seen = [
        str(error),
        repr(error.__cause__),
        repr(error.__context__),
        caplog.text,
        str(vars(remote)),
        remote.fingerprint,
    ]
    assert KEY not in " ".join(seen)


def test_a_key_that_is_not_set(endpoint, monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(ConfigError, match="TEST_KEY, which is not set"):
        embedder(endpoint.url, key_env="TEST_KEY").embed_queries(["a"])
    assert endpoint.asked == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda _t: data([{"index": 0, "embedding": [1.0, 2.0]}]), r"shape \(2,\), the config says dim=3"),
        (lambda _t: data([]), "0 vectors for 1 texts"),
        (lambda _t: data([{"index": 5, "embedding": [1, 2, 3]}]), "1 vectors for 1 texts"),
        (lambda _t: data([{"embedding": [1, 2, 3]}]), r"without data\[\]\.index"),
        (lambda _t: data([{"index": 0, "embedding": ["x", 2, 3]}]), r"without data\[\]"),
        (lambda _t: data([{"index": 0, "embedding": [float("nan"), 2, 3]}]), "not finite"),
        (lambda _t: data([{"index": 0, "embedding": [0, 0, 0]}]), "a vector of zeros"),
        (lambda _t: (200, {}, b"[1, 2"), "not JSON"),
        (lambda _t: (200, {}, b"[1, 2]"), r"without data\[\]"),
    ],
)
def test_an_answer_that_is_wrong(answer, message, endpoint):
    endpoint.script = [answer]
    with pytest.raises(RemoteError, match=message):
        embedder(endpoint.url).embed_queries(["a"])
    assert len(endpoint.asked) == 1


def test_an_endpoint_that_does_not_answer_in_time(endpoint):
    def late(texts):
        time.sleep(0.4)
        return good(texts)

    endpoint.script = [late]
    with pytest.raises(RemoteError, match=r"failed 1 times, last: no answer within 0\.1 s"):
        embedder(endpoint.url, timeout_s=0.1, retries=0).embed_queries(["a"])


def test_an_endpoint_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RemoteError, match="failed 3 times"):
        embedder(f"http://127.0.0.1:{port}/v1").embed_queries(["a"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "localhost:80"}, "is no address"),
        ({"url": "ftp://h/v1"}, "is no address"),
        ({"url": "http://u:p@h/v1"}, "holds a name"),
        ({"url": "http://h", "dim": 0}, "dim=0"),
        ({"url": "http://h", "timeout_s": 0.0}, "timeout_s=0"),
        ({"url": "http://h", "retries": -1}, "retries=-1"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ConfigError, match=message):
        embedder(**settings)
