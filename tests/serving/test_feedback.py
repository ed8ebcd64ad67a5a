"""What was found useful, by HTTP: kept for whoever the token and the headers name, and for nobody else."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memshadow.data.feedback import FILE, FeedbackLog
from memshadow.memory.service import Memory
from memshadow.serving.client import Client
from memshadow.types import Scope

ANN = {"X_Memshadow_User_Id": "ann"}


@pytest.fixture
def log(tmp_path: Path) -> FeedbackLog:
    return FeedbackLog(file=tmp_path / FILE)


@pytest.fixture
def memory(make: Any, log: FeedbackLog) -> Memory:
    memory: Memory = make(feedback=log)
    memory.add("I moved to Lisbon", id="home", scope=Scope(user="ann"))
    return memory


@pytest.fixture(scope="module")
def ask_module(make: Any, serve: Any, tmp_path_factory: pytest.TempPathFactory, asking: Any) -> Iterator[Any]:
    memory = make(feedback=FeedbackLog(file=tmp_path_factory.mktemp("feedback") / FILE))
    memory.add("I moved to Lisbon", id="home")
    with serve(memory) as url:
        yield partial(asking, url)


def test_what_was_useful_is_kept_and_goes_with_the_memory(ask: Any, log: FeedbackLog) -> None:
    body = {"query": "where is Ann? 🙂", "useful": ["home"], "shown": ["gone", "home"], "kind": "click"}
    status, headers, told = ask("POST", "/v1/feedback", body, X_Memshadow_Agent_Id=None, **ANN)
    assert (status, told["used"]) == (200, False)
    assert headers["x-request-id"]
    (one,) = log.read()
    assert (one.scope, one.query, one.useful) == (Scope(user="ann"), body["query"], ("home",))
    assert (one.shown, one.kind) == (("home",), "click")
    assert ask("DELETE", "/v1/memories/home", **ANN)[0] == 204
    assert list(log.read()) == []


def test_one_users_memories_cannot_be_judged_by_another(ask: Any, log: FeedbackLog) -> None:
    for headers in ({}, {"X_Memshadow_User_Id": "bob"}, ANN | {"X_Memshadow_Session_Id": "s"}):
        theirs, missing = (
            ask("POST", "/v1/feedback", {"query": "where?", "useful": [name]}, **headers) for name in ("home", "none")
        )
        assert theirs[0] == missing[0] == 404
        assert theirs[2]["detail"].replace("home", "none") == missing[2]["detail"]
    assert list(log.read()) == []


def test_the_token_decides_the_tenant(make: Any, serve: Any, asking: Any, log: FeedbackLog) -> None:
    memory = make(feedback=log)
    memory.add("said in another tenant", id="home")
    with serve(memory, tenant="acme") as url:
        assert asking(url, "POST", "/v1/feedback", {"query": "where?", "useful": ["home"]})[0] == 404
        asking(url, "POST", "/v1/memories", {"text": "said here", "id": "here"})
        assert asking(url, "POST", "/v1/feedback", {"query": "x", "useful": ["here"], "shown": ["home"]})[0] == 200
    (one,) = log.read()
    assert (one.scope.tenant, one.shown) == ("acme", ())


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"query": "x"}, 422, "useful: this field is needed"),
        ({"useful": ["home"]}, 422, "query: this field is needed"),
        ({"query": "x", "useful": "home"}, 422, "useful: "),
        ({"query": "x", "useful": [1]}, 422, "useful.0: "),
        ({"query": "x", "useful": []}, 422, "at least one useful memory"),
        ({"query": " ", "useful": ["home"]}, 422, "needs the words that were asked"),
        ({"query": "x" * 10_001, "useful": ["home"]}, 422, "a judgement takes 10,000"),
        ({"query": "x", "useful": ["home"], "kind": "guess"}, 422, "kind='guess'; choose click, answer, explicit"),
        ({"query": "x", "useful": ["home"], "user": "bob"}, 422, "user: there is no such field"),
        ({"query": "x", "useful": ["home"] * 1001}, 422, "up to 1,000 memory ids"),
        ({"query": "x", "useful": ["home", "none"]}, 404, "there is no memory 'none' in this scope"),
        (b"{", 400, "the body is no JSON"),
        ({"query": "x", "useful": ["y" * 250_000]}, 413, "200,000"),
    ],
)
def test_mistakes_are_told(ask_module: Any, body: Any, status: int, says: str) -> None:
    found, headers, told = ask_module("POST", "/v1/feedback", body)
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert says in told["detail"]


def test_a_memory_in_no_folder_says_so(ask_shared: Any) -> None:
    status, _, told = ask_shared("POST", "/v1/feedback", {"query": "x", "useful": ["y"]})
    assert (status, told["type"]) == (422, "urn:memshadow:problem:config")
    assert "lies in no folder" in told["detail"]


def test_it_needs_the_token(ask: Any, log: FeedbackLog) -> None:
    body = {"query": "x", "useful": ["home"]}
    assert ask("POST", "/v1/feedback", body, Authorization=None, **ANN)[0] == 401
    assert list(log.read()) == []


def test_it_is_described(ask_shared: Any) -> None:
    described = ask_shared("GET", "/openapi.json")[2]
    route = described["paths"]["/v1/feedback"]["post"]
    assert "200" in route["responses"]
    assert "X-Memshadow-User-Id" in {one["name"] for one in route["parameters"]}
    assert described["components"]["schemas"]["FeedbackGiven"]["required"] == ["query", "useful"]


def test_many_clients_judge_at_once(client: Client, log: FeedbackLog) -> None:
    ann = client.at(user="ann")
    threads = [
        threading.Thread(target=lambda: [ann.feedback(f"question {i}", ["home"]) for i in range(5)]) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(log.read())) == 30
