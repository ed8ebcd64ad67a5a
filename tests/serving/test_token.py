"""The token: made once, the owner's alone, compared whole."""

from pathlib import Path

import pytest

from memshadow.errors import ConfigError
from memshadow.serving.auth.token import VARIABLE, Token, token_at, token_for


@pytest.fixture(autouse=True)
def _no_token_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_it_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert token_at(folder) is None
    text = token_for(folder)
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert token_for(folder) == token_at(folder) == text
    assert len(text) >= 43
    assert token_for(tmp_path / "other") != text


def test_the_environment_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "x" * 30)
    assert token_for(tmp_path) == "x" * 30
    assert list(tmp_path.iterdir()) == []
    for weak in ("changeme", "é" * 30, "two words and some more words", "a" * 30 + "\n"):
        monkeypatch.setenv(VARIABLE, weak)
        with pytest.raises(ConfigError, match="is no secret"):
            token_for(tmp_path)


def test_a_file_that_others_read_is_refused(tmp_path: Path) -> None:
    token_for(tmp_path)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        token_for(tmp_path)


def test_a_file_without_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").touch(mode=0o600)
    with pytest.raises(ConfigError, match="is no secret"):
        token_for(tmp_path)


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        (b"Bearer abc", True),
        (b"bearer  abc ", True),
        (b"Bearer ab", False),
        (b"Bearer abcd", False),
        (b"Basic abc", False),
        (b"abc", False),
        (b"Bearer", False),
        (b"", False),
        (b"Bearer \xff", False),
    ],
)
def test_only_the_whole_token_fits(header: bytes, fits: bool) -> None:
    assert Token("abc").fits(header) is fits


def test_it_is_never_shown() -> None:
    assert "abc" not in repr(Token("abc"))
    assert "abc" not in str(vars(Token("abc")))
