"""What people type after a verb: settings are settings, everything else is text, a slip is neither."""

import io
from pathlib import Path
from typing import Any

import pytest

from memshadow.cli._words import understood
from memshadow.errors import ConfigError, DataError
from memshadow.types import Scope


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (["I", "moved", "to", "Lisbon"], "I moved to Lisbon"),
        (["two  spaces, a comma"], "two  spaces, a comma"),
        (["let a=b be true"], "let a=b be true"),
        (['it\'s "so" {she} [said] $x ${y} \\n'], 'it\'s "so" {she} [said] $x ${y} \\n'),
        (["🙂", "مرحبا", "日本=語"], "🙂 مرحبا 日本=語"),
        (["-5", "degrees", "- buy milk", "--", "a=b", "--x"], "-5 degrees - buy milk a=b --x"),
        (["--", "speaker=Ann"], "speaker=Ann"),
        (["a line\nanother"], "a line\nanother"),
        (["=", "==", "1=2", "a =b", "=c"], "= == 1=2 a =b =c"),
        (["speaker=Ann", "k"], "k"),
        ([], ""),
    ],
)
def test_what_is_no_setting_is_text(typed: list[str], text: str) -> None:
    assert understood("remember", typed).text == text


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        ("speaker=Zoë, \"the\" 'one' 🙂", "speaker", "Zoë, \"the\" 'one' 🙂"),
        ("speaker=a=b=c", "speaker", "a=b=c"),
        ("speaker=", "speaker", ""),
        ("speaker=null", "speaker", "null"),
        ("session=null", "session", None),
        ("session=${oc.env:HOME}", "session", "${oc.env:HOME}"),
        ("key=true", "key", "true"),
        ("tags=a,b c,'d'", "tags", ["a", "b c", "d"]),
        ("tags=[a, b]", "tags", ["a", "b"]),
        ("tags=", "tags", []),
        ("importance=1", "importance", 1),
        ("metadata={city: Lisbon, n: 1}", "metadata", {"city": "Lisbon", "n": 1}),
        ('metadata={"city": "São, \\"x\\"", "n": null}', "metadata", {"city": 'São, "x"', "n": None}),
        ("source={tool:mail}", "source", {"tool": "mail"}),
        ("json=true", "json", True),
    ],
)
def test_a_setting_is_taken_as_it_is_typed(typed: str, name: str, value: Any) -> None:
    words = understood("remember", ["hello", typed])
    assert (words[name], words.text) == (value, "hello")


def test_settings_of_the_memory_are_handed_on() -> None:
    words = understood("recall", ["embedder=hashing", "embedder.dim=8", "ranking=vector", "where", "k=3"])
    assert words.memory == ["embedder=hashing", "embedder.dim=8", "ranking=vector"]
    assert (words.text, words["k"]) == ("where", 3)


@pytest.mark.parametrize(
    ("verb", "typed", "says"),
    [
        ("remember", ["spaeker=Ann", "hi"], "did you mean 'speaker'?"),
        ("remember", ["x=5", "hi"], "memshadow remember ... -- 'x=5'"),
        ("remember", ["+speaker=Ann"], "cannot append|exists|speaker"),
        ("remember", ["--speaker", "Ann"], "there is no option '--speaker'"),
        ("remember", ["--speaker=Ann"], "there is no option"),
        ("remember", ["-v"], "there is no option '-v'"),
        ("remember", ["metadata=Lisbon"], "needed: metadata="),
        ("remember", ["metadata={a"], "is no mapping"),
        ("remember", ["importance=high"], "importance must be float"),
        ("remember", ["json=perhaps"], "json must be bool"),
        ("recall", ["k=zwei"], "k must be int"),
        ("recall", ["embeder=hashing"], "did you mean 'embedder'?"),
    ],
)
def test_a_slip_is_told(verb: str, typed: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("?", r"\?").replace("(", r"\(")):
        understood(verb, typed)


def test_standard_input_is_text_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    given(" a=b, \n\n ü🙂\n".encode())
    assert understood("remember", ["-", "speaker=Ann"]).text == " a=b, \n\n ü🙂"
    given(b"\xff")
    with pytest.raises(DataError, match="no UTF-8"):
        understood("remember", ["-"])
    assert understood("remember", ["a", "-", "b"]).text == "a - b"
    assert understood("import", ["-"], reads=False).text == "-"


def test_whose_memories() -> None:
    assert understood("recall", ["user=Zoë Ü", "session=a/b"]).scope == Scope(user="Zoë Ü", session="a/b")
    with pytest.raises(ConfigError, match="names no scope"):
        _ = understood("recall", ["user="]).scope


def test_a_folder_of_configs_of_ones_own_counts(tmp_path: Path) -> None:
    (tmp_path / "recall.yaml").write_text("folder: mine\nk: 3\n")
    assert understood("recall", [f"config_dir={tmp_path}", "x"])["folder"] == "mine"


def test_a_part_that_is_built_can_be_set_inside() -> None:
    words = understood("serve", ["limits.batch=5", 'embedders={"a": ["embedder=static"]}'])
    assert (words["limits"]["batch"], words["limits"]["texts"]) == (5, 2048)
    assert words["embedders"] == {"a": ["embedder=static"]}
    assert understood("reembed", ["embedder@embedder.encoder=static"]).memory == ["embedder@embedder.encoder=static"]


@pytest.mark.parametrize(
    "word",
    [
        "ranker@ranking.ranker=linear",
        "view@ranking.viewer=default",
        "second@ranking.second=cross_encoder",
        "+crossencoder@ranking.second.make=mine",
        "embedder@embedder.encoder=static",
        "ranker@rankng.ranker=linear",
        "rankr@ranking.ranker=linear",
    ],
)
def test_a_part_within_a_part_is_handed_on_and_no_text(word: str) -> None:
    for verb in ("remember", "recall", "serve", "context", "import"):
        words = understood(verb, [word])
        assert (words.memory, words.text) == ([word], "")


@pytest.mark.parametrize(
    "word", ["ann@example.org=home", "user@example=5", "a.b@c.d=e", "ranker@ranking.ranker", "k@x=3", "@ranking=5"]
)
def test_an_address_is_text(word: str) -> None:
    words = understood("recall", [word])
    assert (words.memory, words.text, words["k"]) == ([], word, 10)


def test_a_part_that_stands_within_another_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"no setting 'ranker' \(did you mean 'ranker@ranking.ranker'\?\)"):
        understood("recall", ["ranker=minmax"])
    with pytest.raises(ConfigError, match=r"no setting 'trainer' .*-- 'trainer=cpu'"):
        understood("remember", ["trainer=cpu"])


@pytest.mark.parametrize(
    "word", ["data@me.com=1", "me@folder=x", "bob@store.example=5", f"{'a' * 300}@x=y", "task@home.org=no"]
)
def test_an_address_is_text_whatever_its_parts_are_called(word: str) -> None:
    words = understood("remember", [word])
    assert (words.memory, words.text) == ([], word)


def test_a_long_word_before_an_equals_sign_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="has no setting"):
        understood("remember", [f"{'a' * 300}=5"])
