"""A small real system: a reference store and index, a hashing embedder, a uvicorn on a free port, a client."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from memshadow.data.index.reference import ReferenceIndex
from memshadow.data.store.reference import ReferenceStore
from memshadow.memory.counting import ByteCounter
from memshadow.memory.ranking import VectorRanking
from memshadow.memory.service import Memory
from memshadow.memory.supersession import KeyedRule
from memshadow.models.hashing import HashingEmbedder
from memshadow.serving.app import create_app
from memshadow.serving.client import Client
from memshadow.serving.limits import Limits
from memshadow.serving.running import Telling, listening, url_of
from memshadow.serving.work import Work

TOKEN = "msh_a-token-for-tests-and-nothing-else"


def make_memory(**given: Any) -> Memory:
    parts = {
        "store": ReferenceStore(),
        "index": ReferenceIndex(),
        "embedder": HashingEmbedder(dim=256, k1=0.9, b=0.4, mean_length=12, copies=1),
        "ranking": VectorRanking(),
        "rule": KeyedRule(),
        "counter": ByteCounter(),
        "near_threshold": 2.0,
    }
    return Memory(**{**parts, **given})


@contextmanager
def serving(memory: Memory, **given: Any) -> Iterator[str]:
    """Serve a memory in a thread for the block; yield its address."""
    limits = Limits(body_bytes=200_000, batch=50, texts=20, silence_s=5.0)
    work = Work(readers=2, writers=4, importers=1, most_waiting=given.pop("most_waiting", 256))
    app = create_app(memory, token=TOKEN, limits=limits, work=work, **given)
    bound = listening("127.0.0.1", 0)
    ready = threading.Event()
    server = Telling(app, ready=ready.set, stop_s=5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert ready.wait(20)
        yield url_of(bound)
    finally:
        server.should_exit = True
        thread.join(20)
        bound.close()


@pytest.fixture(scope="session")
def token() -> str:
    return TOKEN


@pytest.fixture(scope="session")
def make() -> Callable[..., Memory]:
    """Make a memory of reference parts; what is given takes the place of a part."""
    return make_memory


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    """Serve a memory for a block."""
    return serving


@pytest.fixture
def memory() -> Memory:
    return make_memory()


@pytest.fixture
def url(memory: Memory) -> Iterator[str]:
    with serving(memory) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, token=TOKEN, timeout_s=20.0) as client:
        yield client


Asked = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def ask(url: str) -> Asked:
    """Ask the service that this test has for itself."""
    return partial(asked, url)


@pytest.fixture(scope="module")
def ask_shared() -> Iterator[Asked]:
    """Ask a service that the tests of a module share."""
    with serving(make_memory()) as url:
        yield partial(asked, url)


@pytest.fixture(scope="session")
def asking() -> Asked:
    """Ask a service at an address."""
    return asked


def asked(url: str, method: str, path: str, body: Any = None, **headers: str | None) -> tuple[int, dict[str, str], Any]:
    """Send one request over a connection of its own; return status, headers (lower case) and the JSON."""
    named = {"Authorization": f"Bearer {TOKEN}", "X-Memshadow-User-Id": "owner"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
    sent = {name: value for name, value in named.items() if value is not None}
    content = body if body is None or not isinstance(body, (dict, list)) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, body=content, headers=sent)
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, json.loads(told) if told and found.get("content-type", "").endswith("json") else told
