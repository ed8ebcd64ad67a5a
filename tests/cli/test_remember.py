"""The verbs that remember, recall, bring in and out, check and compact a folder, as a person meets them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import memshadow
from memshadow.cli import main
from memshadow.types import Context

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run a command in a folder of its own; return exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with memories and some files that are none."""
    place = tmp_path_factory.mktemp("furnished")
    assert main(["remember", "something", f"folder={place / 'memories'}", *LIGHT]) == 0
    (place / "taken.jsonl").write_text("x\n")
    (place / "bytes.jsonl").write_bytes(b'{"text": "a"}\n\xff\n')
    return place


def test_what_was_remembered_is_recalled(shell: Shell) -> None:
    code, out, _ = shell("remember", "I moved to Lisbon, finally", "speaker=Zoë", "happened_at=2026-03-01", *LIGHT)
    assert (code, out.split(maxsplit=1)[1]) == (0, "remembered\n")
    again = shell("remember", "I moved to Lisbon, finally", "speaker=Zoë", "happened_at=2026-03-01")[1]
    assert again == out.replace("remembered", "was there already")
    shell("remember", "tea", "without", "sugar", "tags=food,tea")
    code, out, _ = shell("recall", "where did Zoë move")
    assert code == 0
    assert "2026-03-01 00:00" in out
    assert "Zoë: I moved to Lisbon, finally" in out
    (line,) = shell("recall", "sugar", "json=true", "k=1", "explain=true", "tags=food")[1].splitlines()
    assert json.loads(line)["memory"]["text"] == "tea without sugar"
    assert json.loads(line)["explanation"]["ranks"] == {"vector": 1}
    code, out, err = shell("recall", "sugar", "user=nobody")
    assert (code, out, err) == (0, "", "nothing found\n")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("ranker@ranking.ranker=listwse", "ranker has no choice 'listwse' (did you mean 'listwise'?)"),
        ("ranker@ranking.rankr=linear", "did you mean 'ranker@ranking.ranker'?"),
        ("ranker=linear", "did you mean 'ranker@ranking.ranker'?"),
        ("ranker@ranking.ranker=linear", "ranking.ranker.model must be given"),
        ("ranking.ranker.model=nowhere", "nowhere holds no model"),
        ("second@ranking.second=null", "a part is chosen by its name, one of cross_encoder"),
    ],
)
def test_a_slip_about_a_part_within_a_part_is_told(shell: Shell, furnished: Path, word: str, told: str) -> None:
    code, out, err = shell("recall", "tea", f"folder={furnished / 'memories'}", "ranking=learned", word)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_a_key_names_what_is_superseded(shell: Shell) -> None:
    first = json.loads(shell("remember", "home is Rome", "key=home", "json=true", *LIGHT)[1])
    assert f"takes the place of: {first['id']}" in shell("remember", "home is Oslo", "key=home")[1]
    assert "Rome" not in shell("recall", "home")[1]
    assert "(superseded 20" in shell("recall", "home", "latest_only=false")[1]


def test_a_memory_cannot_steer_the_terminal(shell: Shell) -> None:
    shell("remember", "red \x1b[31m [bold]x[/bold] \u202eabc\x07", *LIGHT)
    out = shell("recall", "red")[1]
    assert "[bold]x[/bold]" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_a_context_cannot_steer_the_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "red \x1b[31m \u202eabc\x07\x9b1m"
    shell("remember", text, *LIGHT)
    packed = Context(text=f"<memories>\n{text}\n</memories>", tokens=9, ids=())
    monkeypatch.setattr("memshadow.memory.service.Memory.context", lambda *_, **__: packed)
    assert shell("context", "red")[1] == f"{packed.text}\n"  # another program takes it as it is
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert shell("context", "red")[1] == "<memories>\nred  [31m  abc  1m\n</memories>\n"
    for verb in ("context", "recall"):
        line = shell(verb, "red", "json=true")[1].removesuffix("\n")
        assert line.isprintable()
        told = json.loads(line)
        assert text in (told["memory"] if verb == "recall" else told)["text"]


def test_context_is_text_for_a_prompt_and_nothing_else(shell: Shell) -> None:
    for text in ("hello there", "tea or coffee"):
        shell("remember", text, "session=s", "speaker=Ann", *LIGHT)
    out = shell("context", "coffee", "budget_tokens=300")[1]
    assert out.startswith("<memories>")
    assert out.endswith("</memories>\n")
    assert "Ann: hello there\n[undated] Ann: tea or coffee" in shell("context", "session=s")[1]
    told = json.loads(shell("context", "coffee", "json=true", "k=1")[1])
    assert (len(told["ids"]), told["tokens"]) == (1, len(told["text"].encode()))
    assert shell("context", "coffee", "budget_tokens=3")[1:] == ("", "nothing found that fits 3 tokens\n")


def test_out_and_in_again(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("one", "two 🙂", "three"):
        shell("remember", text, *LIGHT)
    assert shell("export", "out file.jsonl") == (0, "3 versions in out file.jsonl\n", "")
    assert Path("out file.jsonl").stat().st_mode & 0o777 == 0o600
    exported = Path("out file.jsonl").read_text()
    assert shell("export")[1].splitlines()[1:] == exported.splitlines()[1:]
    assert (
        shell("import", "out file.jsonl", "folder=other", *LIGHT)[1] == "3 versions brought in, 0 were there already\n"
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(exported.encode())))
    assert shell("import", "-", "folder=other")[1] == "0 versions brought in, 3 were there already\n"
    assert "two 🙂" in shell("recall", "two", "folder=other")[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["remember"], "remember what?"),
        (["remember", "  "], "remember what?"),
        (["remember", "x", "kind=odd"], "kind='odd'; choose episodic"),
        (["remember", "x", "happened_at=noon"], "happened_at='noon' is no time"),
        (["remember", "x", "supersedes=none"], "there is no such memory"),
        (["recall"], "recall what?"),
        (["recall", "x", "k=0"], "k=0; needed: a whole number from 1 to 1000"),
        (["recall", "x", "between=2026"], "needed: two times"),
        (["recall", "x", "folder=none"], "there are no memories in none; `memshadow remember folder=none"),
        (["context", "folder=none"], "context of what?"),
        (["export", "folder=none"], "there are no memories in none"),
        (["export", "taken.jsonl"], "is there already"),
        (["export", "no/such/file"], "there is no folder no/such"),
        (["import"], "import which file?"),
        (["import", "none.jsonl"], "No such file"),
        (["import", "taken.jsonl"], "line 1 is no JSON"),
        (["import", "bytes.jsonl"], "line 2 is no UTF-8"),
        (["doctor", "folder=none"], "there is no store in"),
        (["doctor", "please"], "takes settings only"),
        (["compact", "folder=none"], "there are no memories in none"),
        (["compact", "please"], "takes settings only"),
        (["compact", "salvaged=yes"], "salvaged='yes'; needed: keep or drop"),
        (["recall", "x", "url=nowhere"], "no token"),
        (["serve", "now"], "takes settings only"),
        (["serve", "host=0.0.0.0"], "remote=true"),
        (["serve", "port=99999"], "cannot listen at"),
    ],
)
def test_mistakes_are_answered(
    furnished: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(furnished)
    code, out, err = shell(*words)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not Path("none").exists()


def test_nothing_stays_of_an_export_that_failed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("remember", "something", *LIGHT)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    code, _, err = shell("export", "out.jsonl")
    assert (code, "disk is full" in err) == (2, True)
    assert not Path("out.jsonl").exists()


def test_what_only_reads_changes_no_settings(shell: Shell) -> None:
    shell("remember", "something", *LIGHT)
    before = Path("memories/settings.json").read_bytes()
    for words in (["doctor"], ["recall", "x"], ["context", "x"], ["export"], ["compact"]):
        assert shell(*words, "ranking=hybrid")[0] == 0
        assert Path("memories/settings.json").read_bytes() == before
    shell("remember", "another", "ranking=hybrid")
    assert "ranking=hybrid" in Path("memories/settings.json").read_text()


def test_what_was_forgotten_leaves_the_disk(shell: Shell) -> None:
    folder, secret = Path("memories"), "the password is 7kQ-unforgettable"
    with memshadow.open(folder, overrides=LIGHT) as memory:
        told = memory.add([f"note {i} {secret}" for i in range(100)])
    with memshadow.open(folder) as memory:
        for one in told:
            memory.forget(one.id)
        memory.add("kept")
    (folder / "salvaged/one").mkdir(parents=True)
    (folder / "salvaged/one/memories.duckdb").write_text(secret)

    def holding() -> set[str]:
        return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file() and b"7kQ" in f.read_bytes()}

    assert holding() == {"memories.duckdb", "salvaged/one/memories.duckdb"}
    code, out, _ = shell("compact")
    assert code == 0
    assert int(out.split(": ")[1].split(" bytes freed")[0].replace(",", "")) > 0
    assert "memories/salvaged (33 bytes) holds what was there" in out
    assert holding() == {"salvaged/one/memories.duckdb"}
    assert "salvaged" not in shell("compact", "salvaged=drop")[1]
    assert holding() == set()
    assert "kept" in shell("recall", "kept")[1]


def test_doctor_finds_and_saves(shell: Shell) -> None:
    shell("remember", "something", *LIGHT)
    assert shell("doctor")[0] == 0
    assert "store: whole\n  index: whole" in shell("doctor")[1]
    Path("memories/memories.mark").unlink()
    code, out, _ = shell("doctor")
    assert code == 1
    assert "wrong: memories.mark is missing" in out
    assert "salvage=true saves" in out
    code, out, _ = shell("doctor", "salvage=true")
    assert shell("doctor")[0] == 0, out
    assert "something" in shell("recall", "something")[1]
