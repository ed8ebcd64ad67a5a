"""A client answers as the memory itself does: the same results and the same errors, call by call."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from memshadow.data.feedback import FILE, FeedbackLog
from memshadow.errors import ConfigError, MemshadowError
from memshadow.memory.service import Memory
from memshadow.serving.client import Client
from memshadow.serving.connection import ServiceError
from memshadow.types import Draft, Memory as Said, Record, Scope, Source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FULL = Draft(
    id="full",
    text="a=b, \"c\" 'd' 🙂 مرحبا \t end",
    speaker="Zoë",
    role="user",
    kind="semantic",
    happened_at=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
    importance=0.25,
    tags=("x", "y"),
    metadata={"n": 12345678901234567, "deep": {"a": [1, None, True, 0.1]}},
    image_caption="a boat",
    source=Source(provider="p", model="m", tool="t"),
    provenance="told",
    key="boat",
)
Step = tuple[str, Callable[[Any], Any]]
STEPS: list[Step] = [
    ("add a draft", lambda m: m.add(FULL)),
    ("add it again", lambda m: m.add(FULL)),
    ("get", lambda m: m.get("full")),
    ("add with fields", lambda m: m.add("I moved to Lisbon", id="two", happened_at="2026-01-02T03:04", tags=["x"])),
    ("add many", lambda m: m.add([{"text": f"turn {i}", "id": f"t{i}"} for i in range(5)], scope=Scope(session="s"))),
    ("add nothing", lambda m: m.add([])),
    ("supersede by key", lambda m: m.add("the boat is sold", id="sold", key="boat")),
    ("supersede by id", lambda m: m.add("I moved to Porto", id="three", supersedes="two")),
    ("add a corpus memory", lambda m: m.add(SAID, id="said")),
    ("add for another user", lambda m: m.add("mine", id="full", scope=Scope(user="Zoë/ü+%", agent="a b"))),
    ("get with an odd id", lambda m: (m.add("odd", id="o/d?d #%"), m.get("o/d?d #%"))),
    ("read what ended", lambda m: m.get("two")),
    ("another user's", lambda m: m.get("full", scope=Scope(user="Zoë/ü+%"))),
    ("search", lambda m: m.search("moved", k=3, explain=True)),
    ("search narrowed", lambda m: m.search("turn", tags=["x"], kinds=("semantic",), latest_only=False)),
    ("search by metadata", lambda m: m.search("a", metadata={"n": 12345678901234567}, latest_only=False)),
    (
        "search between",
        lambda m: m.search("moved", between=(None, datetime(2026, 2, 1, tzinfo=UTC)), latest_only=False),
    ),
    ("search as of", lambda m: m.search("boat", as_of=NOW, k=1000)),
    ("search in a session", lambda m: m.search("turn", scope=Scope(session="s"), k=2)),
    ("search in no session", lambda m: m.search("turn", scope=Scope(session="none"))),
    ("search with a lone surrogate", lambda m: m.search("moved \ud800") and None),
    ("context", lambda m: m.context("moved", budget_tokens=400)),
    ("context too small", lambda m: m.context("moved", budget_tokens=5)),
    ("feedback", lambda m: m.feedback("what did Ann do?", ["three", "full"], shown=["t1", "three"], kind="answer")),
    ("feedback in a session", lambda m: m.feedback("turn?", ("t1",), scope=Scope(session="s"))),
    ("feedback on one that was wrong", lambda m: m.feedback("what did Ann do?", "t1", False)),
    ("adaptation", lambda m: m.adaptation()),
    ("adapt", lambda m: m.adapt()),
    ("unadapt", lambda m: m.unadapt()),
    ("recent", lambda m: m.recent(last=3)),
    ("recent of a session", lambda m: m.recent(scope=Scope(session="s"))),
    ("recent context", lambda m: m.recent_context(budget_tokens=300, last=3, scope=Scope(session="s"))),
    (
        "update",
        lambda m: m.update("t1", importance=1, tags=(), happened_at=NOW.replace(tzinfo=None), source=Source(tool="x")),
    ),
    ("update to nothing new", lambda m: m.update("t1", importance=1)),
    ("update back to a default", lambda m: m.update("t1", importance=0.5, happened_at=None, metadata={})),
    ("history", lambda m: m.history("t1")),
    ("page", lambda m: m.page(after=2, limit=3)),
    ("page narrowed", lambda m: m.page(latest_only=False, between=(None, None), speakers=["Zoë"], as_of=None)),
    ("everything", lambda m: list(m.everything(latest_only=False))),
    ("stats", lambda m: m.stats()),
    ("at", lambda m: m.at(session="s").at(agent="a").add("at", id="at")),
    ("export", lambda m: list(m.export())[1:]),
    ("import", lambda m: m.import_(list(m.export()), scope=Scope(user="copy"))),
    ("import again", lambda m: m.import_(list(m.export()), scope=Scope(user="copy"))),
    ("import foreign lines", lambda m: m.import_(['{"content": "hello", "mood": "fine"}'], scope=Scope(user="other"))),
    ("forget", lambda m: m.forget("t2")),
    ("stats at the end", lambda m: m.stats()),
]
MISTAKES: list[Step] = [
    ("get nothing", lambda m: m.get("none")),
    ("history of nothing", lambda m: m.history("none")),
    ("forget nothing", lambda m: m.forget("none")),
    ("update nothing", lambda m: m.update("none", text="x")),
    ("update what ended", lambda m: m.update("two", text="x")),
    ("update an id", lambda m: m.update("t1", id="x")),
    ("update an unknown field", lambda m: m.update("t1", colour="x")),
    ("update to a wrong kind", lambda m: m.update("t1", kind="x")),
    ("add blank", lambda m: m.add(" ")),
    ("add an unknown field", lambda m: m.add("x", colour="red")),
    ("add a number", lambda m: m.add([3])),
    ("add a taken id", lambda m: m.add("x", id="t1")),
    ("add metadata that is not JSON", lambda m: m.add("x", metadata={"a": object()})),
    ("add importance that is none", lambda m: m.add("x", importance=float("nan"))),
    ("supersede nothing", lambda m: m.add("x", supersedes="none")),
    ("feedback on nothing", lambda m: m.feedback("x", ["none"])),
    ("feedback on another session", lambda m: m.feedback("x", ["full"], scope=Scope(session="s"))),
    ("feedback that names nothing", lambda m: m.feedback("x", [])),
    ("feedback without a question", lambda m: m.feedback(" ", ["full"])),
    ("feedback of an unknown kind", lambda m: m.feedback("x", ["full"], kind="guess")),
    ("feedback on too many", lambda m: m.feedback("x", ["full"] * 1001)),
    ("search blank", lambda m: m.search("  ")),
    ("search too many", lambda m: m.search("x", k=1001)),
    ("search by an unknown filter", lambda m: m.search("x", colour="red")),
    ("search by a wrong time", lambda m: m.search("x", as_of="noon")),
    ("search backwards", lambda m: m.search("x", between=("2026-02-01", "2026-01-01"))),
    ("no budget", lambda m: m.context("x", budget_tokens=0)),
    ("page of nothing", lambda m: m.page(limit=0)),
    ("import a cut file", lambda m: m.import_(list(m.export())[:2], scope=Scope(user="cut"))),
    ("import no JSON", lambda m: m.import_(["x"])),
    ("import nothing", lambda m: m.import_([])),
]
SAID = Said(id="c", conversation_id="c", session_id="s", turn=0, speaker="Ann", text="I sail", image_caption="a sail")


@pytest.fixture(scope="module")
def pair(
    make: Any, serve: Any, token: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Memory, Client]]:
    """A memory, and another one behind a service; what made ids and times in both is the same."""
    own, served = (
        make(clock=lambda: NOW, feedback=FeedbackLog(file=tmp_path_factory.mktemp("feedback") / FILE)) for _ in range(2)
    )
    with serve(served) as url, closing(Client(url, token=token, timeout_s=20.0)) as client:
        yield own, client


@pytest.mark.parametrize(("name", "step"), STEPS, ids=[name for name, _ in STEPS])
def test_equal_answers(pair: tuple[Memory, Client], name: str, step: Callable[[Any], Any]) -> None:
    memory, client = pair
    wanted, found = step(memory), step(client)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(("name", "step"), MISTAKES, ids=[name for name, _ in MISTAKES])
def test_equal_errors(pair: tuple[Memory, Client], name: str, step: Callable[[Any], Any]) -> None:
    told = []
    for one in pair:
        with pytest.raises(MemshadowError) as error:
            step(one)
        told.append((type(error.value), str(error.value)))
    assert told[0] == told[1]


def test_every_method_is_there() -> None:
    own = {"store", "counter"}  # matters of the process that holds the folder
    public = {name for name in vars(Memory) if not name.startswith("_")}
    assert {name for name in vars(Client) if not name.startswith("_")} == public - own


@pytest.mark.parametrize(
    "step",
    [
        lambda m: m.add("x", scope=Scope(tenant="other")),
        lambda m: m.search("x", scope=Scope(tenant="other")),
        lambda m: m.export(scope=Scope(tenant="other")),
        lambda m: m.at(tenant="other"),
        lambda m: m.at(Scope(tenant="other")),
        lambda _: Client("http://127.0.0.1:9", token="x", scope=Scope(tenant="other")),
    ],
)
def test_another_tenant_is_not_silently_the_services(client: Client, step: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigError, match="tenant='other' came, but a service's token decides the tenant"):
        step(client)
    assert client.stats().memories == 0


def test_many_threads_share_a_client(client: Client) -> None:
    ids: list[str] = []

    def add(who: int) -> None:
        ids.extend(client.add(f"{who} says {i}").id for i in range(10))

    threads = [threading.Thread(target=add, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 80
    assert client.stats().memories == 80


def test_a_connection_that_the_service_closed_is_no_error(client: Client, memory: Memory) -> None:
    client.add("one")
    for connection in client._connections._idle:  # what an idle connection comes to
        connection.sock.shutdown(2)
    assert client.add("two").duplicate is False
    assert memory.stats().memories == 2


def test_an_export_may_be_left_early_and_the_client_goes_on(client: Client) -> None:
    client.add([f"memory {i} {'x' * 500}" for i in range(50)])
    lines = client.export()
    assert "format" in next(lines)
    lines.close()
    assert client.stats().memories == 50


def test_a_large_import_is_streamed_and_a_bad_line_is_told(client: Client, memory: Memory) -> None:
    lines = [f'{{"text": "line {i} {"x" * 600}"}}' for i in range(500)]  # more than a body may hold
    assert client.import_(lines).added == 500
    lines[400] = "x"
    with pytest.raises(MemshadowError, match="line 401 is no JSON"):
        client.import_(lines, scope=Scope(user="bob"))
    assert memory.stats(scope=Scope(user="bob")).memories <= 400
    assert client.stats().memories == 500


def test_an_error_of_the_lines_themselves_stays_what_it_is(client: Client) -> None:
    def broken() -> Iterator[str]:
        yield '{"text": "a"}'
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.import_(broken())
    assert client.stats().memories == 0


def test_who_is_not_let_in_or_finds_nobody_is_told(url: str, token: str) -> None:
    with (
        closing(Client(url, token="wrong")) as client,
        pytest.raises(ServiceError, match="send Authorization") as error,
    ):
        client.stats()
    assert error.value.status == 401
    with (
        closing(Client("http://127.0.0.1:9", token="x")) as client,
        pytest.raises(ServiceError, match="does not answer"),
    ):
        client.stats()
    client = Client(url, token=token)
    client.close()
    client.close()
    with pytest.raises(ServiceError, match="closed"):
        client.stats()


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://a", "http://", "http://a/b", "http://a?b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a service"):
        Client(url, token="x")


def test_a_slow_service_is_given_up(memory: Memory, serve: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(memory, "stats", lambda **_: gate.wait(10))
    with serve(memory) as url, closing(Client(url, token=token, timeout_s=0.3)) as client:
        with pytest.raises(ServiceError, match="timed out"):
            client.stats()
        gate.set()


def test_a_busy_service_says_so(memory: Memory, serve: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(memory, "get", lambda *_, **__: gate.wait(10) and RECORD)
    errors: list[int] = []

    def ask(url: str) -> None:
        with closing(Client(url, token=token)) as client:
            try:
                client.get("x")
            except ServiceError as error:
                errors.append(error.status)
                gate.set()

    with serve(memory, most_waiting=4) as url:
        threads = [threading.Thread(target=ask, args=(url,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == [503] * len(errors)
    assert 1 <= len(errors) <= 2


RECORD = Record(id="x", version=1, scope=Scope(), turn=0, draft=Draft(text="x", id="x"), ingested_at=NOW, digest=0)


def test_it_needs_no_framework() -> None:
    code = "import sys, memshadow.serving.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"fastapi", "pydantic", "uvicorn", "orjson", "hydra", "torch", "duckdb"}.isdisjoint(loaded)


def test_slow_imports_keep_no_writer_waiting(url: str, token: str) -> None:
    gate = threading.Event()

    def slowly() -> Iterator[str]:
        yield '{"text": "first"}' + " " * 70_000
        gate.wait(10)
        yield '{"text": "last"}'

    with Client(url, token=token, timeout_s=3.0) as client:
        imports = [threading.Thread(target=lambda: client.import_(slowly())) for _ in range(4)]  # as many as writers
        for one in imports:
            one.start()
        gate.wait(0.3)  # until the service has taken them up
        assert not client.add("meanwhile").duplicate
        gate.set()
        for one in imports:
            one.join()
        assert {record.text for record in client.everything()} == {"first", "last", "meanwhile"}
