"""Nothing passes without the token and the right name, whatever the path; every answer is dressed."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from memshadow.serving.auth.guard import OPEN
from memshadow.serving.embeddings import router as embeddings
from memshadow.serving.exchange import router as exchange
from memshadow.serving.memories import router as memories
from memshadow.serving.ops import router as ops

WRONG = [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic msh_a-token-for-tests-and-nothing-else", "Bearer é"]


def routes() -> Iterator[tuple[str, str]]:
    for router in (memories, exchange, embeddings, ops):
        for route in router.routes:
            yield from ((method, str(route.path)) for method in sorted(route.methods))  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_token_opens_nothing(ask_shared: Any, wrong: str | None) -> None:
    for method, path in [*routes(), ("GET", "/v1/nothing"), ("GET", "/"), ("OPTIONS", "/v1/search")]:
        if path not in OPEN:
            status, headers, told = ask_shared(method, path, Authorization=wrong)
            assert (status, headers["www-authenticate"], told["status"]) == (401, "Bearer", 401), path


def test_what_is_open_tells_of_no_memory(ask_shared: Any) -> None:
    ask_shared("POST", "/v1/memories", {"text": "a secret"})
    for path in OPEN:
        status, _, told = ask_shared("GET", path, Authorization=None)
        assert status == 200
        assert "a secret" not in str(told)
    assert ask_shared("GET", "/health", Authorization=None)[2] == {"status": "ok"}


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "", "[::2]", "a:localhost"]
)
def test_another_name_is_refused(ask_shared: Any, host: str) -> None:
    status, _, told = ask_shared("GET", "/health", Host=host)
    assert (status, told["type"]) == (421, "urn:memshadow:problem:host")


@pytest.mark.parametrize("hosts", [("evil.example", "localhost"), ("localhost", "evil.example"), ("localhost",) * 2])
def test_two_names_are_refused(url: str, token: str, hosts: tuple[str, str]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.putrequest("GET", "/health", skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.putheader("Authorization", f"Bearer {token}")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8765", "[::1]"])
def test_its_own_names_are_answered(ask_shared: Any, host: str) -> None:
    assert ask_shared("GET", "/health", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/api/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/memories", 200),
        ("GET", "/v1/memories/none", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/health", 405),
        ("GET", "/v1/export", 200),
        ("POST", "/v1/search", 400),
    ],
)
def test_every_answer_is_dressed_once(ask_shared: Any, method: str, path: str, status: int) -> None:
    found, headers, _ = ask_shared(method, path, X_Request_Id="mine-1", Origin="http://evil.example")
    assert found == status
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-request-id"] == "mine-1"
    assert not any(name.startswith("access-control") for name in headers)
    assert "server" not in headers


def test_a_request_number_from_outside_cannot_be_anything(ask_shared: Any) -> None:
    assert ask_shared("GET", "/health", X_Request_Id="a b\tc")[1]["x-request-id"] != "a b\tc"


def test_the_description_says_which_routes_need_the_token(ask_shared: Any) -> None:
    paths = ask_shared("GET", "/openapi.json")[2]["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == {one for one in routes() if one[1] not in ("/api/docs", "/openapi.json")}
    assert {path for path, methods in paths.items() for one in methods.values() if not one["security"]} == {"/health"}


def test_the_page_needs_nothing_from_elsewhere(ask_shared: Any) -> None:
    page = ask_shared("GET", "/api/docs")[2].decode()
    assert "<script" not in page
    assert "src=" not in page
    assert "url(" not in page
    assert all(path in page for _, path in routes() if path != "/api/docs")
