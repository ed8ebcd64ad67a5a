"""What each route answers, and what it says when something is wrong."""

import base64
import json
import struct
from typing import Any

import pytest

from memshadow.errors import StoreError
from memshadow.memory.service import Memory
from memshadow.serving import shapes

ADDED = {"duplicate": False, "near": [], "superseded": []}


def test_remember_read_change_forget(ask: Any) -> None:
    said = {"text": "I moved to Lisboa 🙂", "speaker": "Ann", "happened_at": "2026-03-01T10:30:00+01:00", "tags": ["a"]}
    status, headers, added = ask("POST", "/v1/memories", {**said, "id": "one"})
    assert (status, headers["location"], added) == (201, "/v1/memories/one", {"id": "one", **ADDED})
    assert ask("POST", "/v1/memories", said)[::2] == (200, {"id": "one", **ADDED, "duplicate": True})
    status, headers, told = ask("GET", "/v1/memories/one")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert told["text"] == said["text"]
    assert told["happened_at"] == "2026-03-01T09:30:00Z"
    assert ask("PATCH", "/v1/memories/one", {"importance": 1})[2]["version"] == 2
    assert [one["version"] for one in ask("GET", "/v1/memories/one/history")[2]["memories"]] == [1, 2]
    assert ask("DELETE", "/v1/memories/one")[0] == 204
    status, headers, told = ask("GET", "/v1/memories/one")
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert told["type"] == "urn:memshadow:problem:not-found"
    assert told["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize("name", ["日本", "a/b c?#%2F", "ø\u2028"])
def test_the_location_of_any_id_leads_to_it(ask: Any, name: str) -> None:
    status, headers, added = ask("POST", "/v1/memories", {"text": "said", "id": name})
    assert (status, added["id"]) == (201, name)
    assert headers["location"].isascii()
    assert ask("GET", headers["location"])[2]["id"] == name


def test_what_no_header_and_no_json_can_say_is_refused_before_it_is_kept(ask: Any) -> None:
    status, _, told = ask("POST", "/v1/memories", {"text": "said", "id": "x\r\nSet-Cookie: y"})
    assert (status, "control characters" in told["detail"]) == (422, True)
    for metadata in ({"n": 2**64}, {"n": -(2**63) - 1}):
        assert ask("POST", "/v1/memories", {"text": "said", "metadata": metadata})[0] == 422
    assert ask("GET", "/v1/memories")[2]["memories"] == []
    assert ask("POST", "/v1/memories", {"text": "said", "metadata": {"n": 2**64 - 1}})[0] == 201
    assert ask("GET", "/v1/memories")[2]["memories"][0]["metadata"] == {"n": 2**64 - 1}


def test_search_context_recent_and_sessions(ask: Any) -> None:
    turns = {"memories": [{"text": text, "speaker": "Ann"} for text in ("I bake bread", "I play chess", "I run")]}
    assert ask("POST", "/v1/sessions/tuesday/memories", turns)[0] == 200
    hits = ask("POST", "/v1/search", {"query": "chess", "k": 2, "explain": True, "speakers": ["Ann"]})[2]["hits"]
    assert hits[0]["memory"]["text"] == "I play chess"
    assert hits[0]["memory"]["session"] == "tuesday"
    assert hits[0]["explanation"]["ranks"] == {"vector": 1}
    context = ask("POST", "/v1/context", {"query": "chess", "budget_tokens": 300})[2]
    assert "I play chess" in context["text"]
    assert context["tokens"] <= 300
    recent = ask("GET", "/v1/sessions/tuesday/recent?last=2")[2]["memories"]
    assert [one["text"] for one in recent] == ["I play chess", "I run"]
    assert "I run" in ask("POST", "/v1/sessions/tuesday/context", {"budget_tokens": 300})[2]["text"]
    assert ask("GET", "/v1/sessions/wednesday/recent")[2] == {"memories": []}
    assert ask("GET", "/v1/stats")[2]["sessions"] == 1


def test_one_users_memories_are_nobody_elses(ask: Any) -> None:
    ask("POST", "/v1/memories", {"text": "Ann's secret", "id": "one"}, X_Memshadow_User_Id="ann")
    for method, path, body in (
        ("GET", "/v1/memories/one", None),
        ("GET", "/v1/memories/one/history", None),
        ("PATCH", "/v1/memories/one", {"text": "x"}),
        ("DELETE", "/v1/memories/one", None),
    ):
        theirs, missing = (ask(method, path.replace("one", name), body) for name in ("one", "two"))
        assert theirs[0] == missing[0] == 404
        assert theirs[2]["detail"].replace("one", "two") == missing[2]["detail"]
    assert ask("POST", "/v1/search", {"query": "secret"})[2] == {"hits": []}
    assert ask("GET", "/v1/memories")[2] == {"memories": [], "next": None}
    assert ask("GET", "/v1/memories/one", X_Memshadow_User_Id="ann")[0] == 200


def test_any_id_and_any_name_can_be_said(ask: Any) -> None:
    ask("POST", "/v1/memories", {"text": "here", "id": "a/b?c #%2F/history"}, X_Memshadow_User_Id="Zo%C3%AB%20%2B")
    status, _, told = ask("GET", "/v1/memories/a%2Fb%3Fc%20%23%252F%2Fhistory", X_Memshadow_User_Id="Zo%C3%AB%20%2B")
    assert (status, told["user"], told["id"]) == (200, "Zoë +", "a/b?c #%2F/history")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/v1/search", b'{"query"', 400, "the body is no JSON: Invalid JSON"),
        ("POST", "/v1/search", b"\xff", 400, "the body is no JSON"),
        ("POST", "/v1/search", b"", 400, "the body is no JSON"),
        ("POST", "/v1/search", b"[" * 100_000, 400, "recursion limit"),
        ("POST", "/v1/search", [], 422, "the body: Input should be an object"),
        ("POST", "/v1/search", {"query": "a", "kk": 1}, 422, "kk: there is no such field"),
        ("POST", "/v1/search", {}, 422, "query: this field is needed"),
        ("POST", "/v1/search", {"query": "a", "k": "5"}, 422, "k: Input should be a valid integer"),
        ("POST", "/v1/search", {"query": "a", "k": 0}, 422, "k=0; needed: a whole number from 1 to 1000"),
        ("POST", "/v1/search", {"query": " "}, 422, "a search needs words"),
        ("POST", "/v1/search", {"query": "a", "as_of": "noon"}, 422, "as_of='noon' is no time"),
        ("POST", "/v1/search", {"query": "a", "between": ["2026-01-01"]}, 422, "between: "),
        ("POST", "/v1/memories", {"text": "a", "tenant": "x"}, 422, "tenant: there is no such field"),
        ("POST", "/v1/memories", {"text": "a", "seq": 1}, 422, "seq: there is no such field"),
        ("POST", "/v1/memories", {"text": " "}, 422, "a memory needs text"),
        ("POST", "/v1/memories", {"text": "a", "kind": "odd"}, 422, "kind='odd'; choose episodic"),
        ("POST", "/v1/memories", b'{"text": "a", "metadata": {"x": NaN}}', 422, "metadata must be what JSON can hold"),
        ("POST", "/v1/memories", {"text": "a", "supersedes": "none"}, 404, "there is no such memory"),
        ("POST", "/v1/memories/batch", {"memories": [{"text": "a"}, {"txt": "b"}]}, 422, "memories.1.text"),
        ("POST", "/v1/memories/batch", {"memories": [{"text": "a"}] * 51}, 422, "a batch may have 50"),
        ("PATCH", "/v1/memories/x", {"id": "y"}, 422, "id: there is no such field"),
        ("POST", "/v1/context", {"query": "a", "budget_tokens": 0}, 422, "budget_tokens=0"),
        ("GET", "/v1/memories?limit=x", None, 422, "limit: Input should be a valid integer"),
        ("GET", "/v1/memories?limit=1&limit=2", None, 422, "limit came twice"),
        ("GET", "/v1/memories?lmit=1", None, 422, "lmit: there is no such field"),
        ("GET", "/v1/recent?last=0", None, 422, "last: "),
        ("GET", "/v1/nothing", None, 404, "GET /v1/nothing: Not Found"),
        ("PUT", "/v1/search", None, 405, "PUT /v1/search: Method Not Allowed"),
        ("GET", "/v1/memories/", None, 404, "Not Found"),
        ("POST", "/v1/embeddings", {"input": []}, 422, "0 texts came; needed: 1 to 20"),
        ("POST", "/v1/embeddings", {"input": "a", "dimensions": 3}, 422, "makes 256"),
        ("POST", "/v1/embeddings", {"input": [1, 2]}, 422, "input"),
    ],
)
def test_mistakes_are_told(ask_shared: Any, method: str, path: str, body: Any, status: int, says: str) -> None:
    found, headers, told = ask_shared(method, path, body)
    assert (found, told["status"], headers["content-type"]) == (status, status, "application/problem+json")
    assert says in told["detail"]
    shapes.ProblemTold.model_validate(told)


@pytest.mark.parametrize(
    ("user", "session", "says"),
    [
        (None, None, "Send X-Memshadow-User-Id"),
        ("", None, "names no scope"),
        ("a%00b", None, "names no scope"),
        ("a" * 300, None, "names no scope"),
        ("%ff", None, "percent-encoded UTF-8"),
        ("ann", "monday", "two sessions came, 'tuesday' and 'monday'"),
    ],
)
def test_a_missing_or_odd_scope_is_told(ask_shared: Any, user: str | None, session: str | None, says: str) -> None:
    headers = {"X_Memshadow_User_Id": user, "X_Memshadow_Session_Id": session}
    status, _, told = ask_shared("GET", "/v1/sessions/tuesday/recent", **headers)
    assert status == 422
    assert says in told["detail"]


def test_a_body_may_not_be_huge(ask: Any) -> None:
    status, headers, told = ask("POST", "/v1/memories", {"text": "a" * 250_000})
    assert (status, told["type"], headers["connection"]) == (413, "urn:memshadow:problem:too-much", "close")
    assert ask("POST", "/v1/memories", {"text": "a" * 190_000})[0] == 201
    assert ask("POST", "/v1/search", iter([b"x" * 50_000] * 5))[0] == 413  # a body whose length is not said


def test_pages_hold_everything_once_while_memories_are_added(ask: Any, memory: Memory) -> None:
    memory.add([f"first {i}" for i in range(10)])
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = ask("GET", f"/v1/memories?after={after}&limit=4")[2]
        seen += [one["text"] for one in page["memories"]]
        after = page["next"]
        if len(seen) < 12:
            memory.add(f"meanwhile {len(seen)}")
    assert seen == [*(f"first {i}" for i in range(10)), "meanwhile 4", "meanwhile 8"]


def test_pages_are_narrowed(ask: Any, memory: Memory) -> None:
    memory.add("a", tags=["x", "y"], metadata={"n": 1}, happened_at="2026-01-02")
    memory.add("b", tags=["x"], happened_at="2026-02-02", speaker="Zoë")
    for query, texts in (
        ("tags=x", ["a", "b"]),
        ("tags=x&tags=y", ["a"]),
        ("metadata=%7B%22n%22%3A1%7D", ["a"]),
        ("between=2026-02-01&between=", ["b"]),
        ("speakers=Zo%C3%AB&latest_only=false", ["b"]),
    ):
        assert [one["text"] for one in ask("GET", f"/v1/memories?{query}")[2]["memories"]] == texts


def test_vectors_come_as_openai_clients_ask_for_them(ask: Any, memory: Memory) -> None:
    status, _, told = ask(
        "POST", "/v1/embeddings", {"input": ["tea", "chess"], "model": "any"}, X_Memshadow_User_Id=None
    )
    assert status == 200
    shapes.VectorsTold.model_validate(told)
    assert [one["index"] for one in told["data"]] == [0, 1]
    packed = ask("POST", "/v1/embeddings", {"input": "chess", "encoding_format": "base64", "user": "ann"})[2]
    vector = struct.unpack(f"<{memory.embedder.dim}f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(vector) == told["data"][1]["embedding"]


def test_answers_have_the_shapes_that_are_described(ask: Any) -> None:
    ask("POST", "/v1/memories", {"text": "a", "source": {"tool": "t"}, "key": "k"})
    for path, body, shape in (
        ("/v1/memories", None, shapes.PageTold),
        ("/v1/stats", None, shapes.StatsTold),
        ("/v1/recent", None, shapes.MemoriesTold),
        ("/v1/search", {"query": "a", "explain": True}, shapes.HitsTold),
        ("/v1/recent/context", {"budget_tokens": 300}, shapes.ContextTold),
        ("/v1/memories/batch", {"memories": [{"text": "b"}]}, shapes.BatchTold),
    ):
        told = ask("POST" if body else "GET", path, body)[2]
        shape.model_validate_json(json.dumps(told), strict=True)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(StoreError("the disk is full"), 503, "store"), (ZeroDivisionError("secret"), 500, "unknown")],
)
def test_what_fails_inside_is_told_without_a_trace(
    ask: Any, memory: Memory, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, kind: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(memory, "search", fail)
    found, _, told = ask("POST", "/v1/search", {"query": "a"})
    assert (found, told["type"]) == (status, f"urn:memshadow:problem:{kind}")
    assert "secret" not in str(told)
    assert "Traceback" not in str(told)
