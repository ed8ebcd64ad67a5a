"""Another embedder while people search and add: taken up in the background, in one step, resumed after a kill."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import memshadow
from memshadow.cli import main
from memshadow.data.index.reference import ReferenceIndex
from memshadow.errors import CheckpointError, ConfigError, DataError
from memshadow.memory.ranking import VectorRanking
from memshadow.memory.service import Memory
from memshadow.memory.settings import announced, remembered
from memshadow.memory.upcoming import Upcoming
from memshadow.models.hashing import HashingEmbedder
from memshadow.serving import shapes
from memshadow.serving.auth.token import token_at
from memshadow.serving.client import Client
from memshadow.serving.connection import ServiceError
from memshadow.types import Scope

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]


class Paced(HashingEmbedder):
    """Embeds passages only while ``gate`` is open."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim, k1=0.9, b=0.4, mean_length=12.0, copies=1)
        self.gate = threading.Event()
        self.broken: Exception | None = None

    def embed_passages(self, passages: Any) -> Any:
        assert self.gate.wait(20)
        if self.broken:
            raise self.broken
        return super().embed_passages(passages)


def choice(folder: Path, embedder: HashingEmbedder) -> Callable[[], Upcoming]:
    return lambda: Upcoming(
        folder=folder, words=["ranking=vector"], embedder=embedder, index=ReferenceIndex(), ranking=VectorRanking()
    )


def waited(client: Client) -> Any:
    """Return how things stand once nothing is being taken up."""
    deadline = time.monotonic() + 60
    while (standing := client.embedder()).upcoming is not None:
        assert time.monotonic() < deadline, standing
        time.sleep(0.01)
    return standing


@pytest.fixture
def wide() -> Paced:
    return Paced(dim=512)


@pytest.fixture
def client(memory: Memory, wide: Paced, serve: Any, token: str, tmp_path: Path) -> Iterator[Client]:
    def nobody() -> Upcoming:
        raise CheckpointError("nobody holds the title in /srv/secret")

    choices = {"wide": choice(tmp_path, wide), "champion": nobody}
    with serve(memory, embedders=choices) as url, closing(Client(url, token=token, timeout_s=20.0)) as client:
        yield client
        wide.gate.set()


def test_searches_and_additions_go_on_until_it_takes_over(client: Client, wide: Paced, tmp_path: Path) -> None:
    for user in ("ann", "bo"):
        client.add([f"{user} said {i}" for i in range(40)], scope=Scope(user=user))
    standing = client.reembed("wide")
    assert (standing.active.dim, standing.choices, standing.error) == (256, ("wide", "champion"), None)
    assert standing.upcoming is not None
    assert (standing.upcoming.embedder.dim, standing.upcoming.total) == (512, 80)
    assert client.search("said 7", k=1, scope=Scope(user="ann"))[0].text == "ann said 7"
    with pytest.raises(ServiceError, match="being taken up already") as refusal:
        client.reembed("wide")
    assert refusal.value.status == 409
    adding = threading.Thread(target=client.add, args=("meanwhile",), kwargs={"scope": Scope(user="ann")})
    adding.start()
    while not announced(tmp_path):
        time.sleep(0.01)
    wide.gate.set()
    adding.join()
    standing = waited(client)
    assert (standing.active.dim, standing.error) == (512, None)
    assert client.stats().dim == 512
    assert client.search("meanwhile", k=1, scope=Scope(user="ann"))[0].text == "meanwhile"
    assert (announced(tmp_path), remembered(tmp_path)) == ([], ["ranking=vector"])


def test_what_is_in_use_already_is_told_and_nothing_begins(client: Client, ask_of: Any, wide: Paced) -> None:
    wide.gate.set()
    assert ask_of(client, "POST", "/v1/embedder", {"embedder": "wide"})[0] == 202
    waited(client)
    status, headers, told = ask_of(client, "POST", "/v1/embedder", {"embedder": "wide"}, X_Memshadow_User_Id=None)
    assert (status, headers["location"], told["upcoming"]) == (200, "/v1/embedder", None)
    shapes.StandingTold.model_validate_json(json.dumps(told), strict=True)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"embedder": "static"}, 422, "it may take up: wide, champion"),
        ({"embedder": "embedder=static"}, 422, "is no choice of this service"),
        ({"embedder": "../../etc"}, 422, "is no choice of this service"),
        ({"embedder": {"_target_": "os.system"}}, 422, "embedder: Input should be a valid string"),
        ({"embedder": "wide", "embedder.model": "/etc"}, 422, "there is no such field"),
        ({}, 422, "embedder: this field is needed"),
        (b"{", 400, "no JSON"),
        ({"embedder": "champion"}, 422, "the choice 'champion' cannot be made on this server; its log says why."),
    ],
)
def test_a_body_names_a_choice_and_nothing_else(client: Client, ask_of: Any, body: Any, status: int, says: str) -> None:
    found, headers, told = ask_of(client, "POST", "/v1/embedder", body)
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert says in told["detail"]
    standing = client.embedder()
    assert (standing.active.dim, standing.upcoming, standing.error) == (256, None, None)


def test_it_needs_the_token(client: Client, ask_of: Any) -> None:
    for method in ("GET", "POST"):
        assert ask_of(client, method, "/v1/embedder", {"embedder": "wide"}, Authorization=None)[0] == 401


def test_why_a_choice_cannot_be_made_is_for_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError) as refusal:
        client.reembed("champion")
    assert "secret" not in str(refusal.value)
    assert "nobody holds the title in /srv/secret" in caplog.text


@pytest.mark.parametrize("error", [DataError("/srv/secret is gone"), ZeroDivisionError("/srv/secret")])
def test_that_it_went_wrong_is_told_and_it_can_be_tried_again(
    client: Client, wide: Paced, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    client.add("tea")
    wide.broken = error
    wide.gate.set()
    client.reembed("wide")
    standing = waited(client)
    assert standing.active.dim == 256
    assert standing.error == "taking up hashing-512 failed; the service's log says why."
    assert "/srv/secret" in caplog.text
    assert client.search("tea")[0].text == "tea"
    client.add("while nothing is taken up")
    wide.broken = None
    client.reembed("wide")
    standing = waited(client)
    assert (standing.active.dim, standing.error) == (512, None)


def test_the_end_waits_for_no_more_than_one_portion(
    memory: Memory, wide: Paced, serve: Any, token: str, tmp_path: Path
) -> None:
    memory.add([f"note {i}" for i in range(300)])
    choices = {"wide": choice(tmp_path, wide)}
    with serve(memory, embedders=choices) as url, closing(Client(url, token=token)) as client:
        client.reembed("wide")
        threading.Timer(0.3, wide.gate.set).start()
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert memory.embedder.dim == 256
    lacking = len(memory.store.unembedded(wide.fingerprint, after=0, limit=1000))
    assert 0 < lacking < 300
    done: list[int] = []
    memory.reembed(wide, index=ReferenceIndex(), progress=done.append)
    assert done[0] == 300 - lacking
    assert sum(done) == 300


@pytest.fixture
def ask_of(token: str) -> Any:
    """Ask the service of a client, header by header."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    def ask(client: Client, method: str, path: str, body: Any = None, **headers: str | None) -> Any:
        sent = {"Authorization": f"Bearer {token}", "X-Memshadow-User-Id": "owner"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        with closing(HTTPConnection(urlsplit(client._connections.url).netloc, timeout=20)) as connection:
            connection.request(method, path, body=content, headers={n: v for n, v in sent.items() if v is not None})
            answer = connection.getresponse()
            return answer.status, {n.lower(): v for n, v in answer.getheaders()}, json.loads(answer.read())

    return ask


@contextmanager
def process(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """Run ``memshadow serve``; yield the process and a client."""
    choices = json.dumps({"other": ["embedder=hashing", "embedder.dim=512", "embedder.copies=1"]})
    command = [sys.executable, "-m", "memshadow", "serve", f"folder={folder}", "port=0", f"embedders={choices}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), line + started.communicate()[1]
            with closing(Client(line.split()[0], token=str(token_at(folder)), timeout_s=60)) as client:
                yield started, client
        finally:
            started.kill()


def test_a_kill_in_the_middle_costs_nothing_and_the_next_try_goes_on(tmp_path: Path) -> None:
    folder, said = tmp_path / "memories", [f"said number {i}" for i in range(1500)]
    added: list[str] = []
    with process(folder, *LIGHT) as (started, client):
        client.add(said[:900], scope=Scope(user="ann"))
        client.add(said[900:], scope=Scope(user="bo", session="s"))
        client.reembed("other")
        while (upcoming := client.embedder().upcoming) is not None and upcoming.done < 200:
            added.append(client.add(f"meanwhile {len(added)}").id)
            assert client.search("number 7", k=5, scope=Scope(user="ann"))
        assert upcoming is not None, "it was done before it could be killed"
        started.kill()
        started.wait()
    with process(folder) as (started, client):
        standing = client.embedder()
        assert (standing.active.dim, standing.upcoming, client.stats().dim) == (2048, None, 2048)
        assert {record.id for record in client.everything()} >= set(added)
        assert main(["reembed", f"folder={folder}", "embedder=other"]) == 0  # the verb asks the service
        standing = client.embedder()
        assert (standing.active.dim, standing.error) == (512, None)
        assert client.search("number 1499", k=1, scope=Scope(user="bo"))[0].text == "said number 1499"
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
    with memshadow.open(folder) as memory:
        assert (memory.embedder.dim, [known.dim for known in memory.store.embeddings()]) == (512, [512])
        rows = memory.store.stored(("local", "ann"), memory.embedder.fingerprint)
        assert {one.vector.shape for one in rows} == {(512,)}
        assert len(rows) == 900


def test_a_kill_between_the_switch_and_its_being_noted_leaves_a_folder_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memshadow.cli._upcoming import upcoming

    with memshadow.open(tmp_path, overrides=LIGHT) as memory:
        memory.add("tea")
        new = upcoming(tmp_path, ["embedder=hashing", "embedder.dim=512"])
        with monkeypatch.context() as killed:
            killed.setattr(memory.store, "retire", partial(_killed, "at the retiring"))
            with pytest.raises(KeyboardInterrupt):
                new.take_up(memory, progress=lambda _: None)
    assert remembered(tmp_path) == LIGHT
    for _ in range(2):
        with memshadow.open(tmp_path) as memory:
            assert memory.embedder.dim == 512
            assert memory.search("tea")[0].text == "tea"
            assert [known.dim for known in memory.store.embeddings()] == [512]
    assert (announced(tmp_path), "embedder.dim=512" in remembered(tmp_path)) == ([], True)


def _killed(where: str, *_: Any) -> None:
    raise KeyboardInterrupt(where)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["embedder=hashing", "embedder.dim=64"], "it takes embedder=CHOICE alone"),
        (["ranking=vector"], "it takes embedder=CHOICE alone"),
        (["embedder=static"], "it may take up: other"),
    ],
)
def test_the_verb_asks_a_service_for_its_choices_only(
    served: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["reembed", f"folder={served}", *words]) == 2
    assert says in capsys.readouterr().err


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("served") / "memories"
    with process(folder, *LIGHT):
        yield folder


def test_choices_that_are_no_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["serve", f"folder={tmp_path / 'm'}", "port=0", *LIGHT, 'embedders={"a": "embedder=static"}']
    assert main(words) == 2
    assert "embedders.a='embedder=static' is no list of settings" in capsys.readouterr().err
