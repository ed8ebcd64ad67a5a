"""Where data lie: the environment first, then beside the checkout, then the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from memshadow.data import home


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(home.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "checkout").mkdir()
    monkeypatch.setattr(home, "_CHECKOUT", tmp_path / "checkout")


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shared/data").mkdir(parents=True)
    (tmp_path / "checkout/pyproject.toml").touch()
    monkeypatch.setenv(home.VARIABLE, "~/mine")
    assert home.data_home() == Path.home() / "mine"


def test_beside_a_checkout_only(tmp_path: Path) -> None:
    (tmp_path / "shared/data").mkdir(parents=True)
    assert home.data_home() == tmp_path / "cache/memshadow/data", "an installed package has no checkout"
    (tmp_path / "checkout/pyproject.toml").touch()
    assert home.data_home() == tmp_path / "shared/data"


def test_the_cache_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "checkout/pyproject.toml").touch()
    assert home.data_home() == tmp_path / "cache/memshadow/data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home.data_home() == Path.home() / ".cache/memshadow/data"


def test_a_folder_that_is_named_wins(tmp_path: Path) -> None:
    assert home.located("locomo", str(tmp_path)) == tmp_path
    assert home.located("locomo", "~/x") == Path.home() / "x"
    assert home.located("locomo", None) == home.data_home() / "locomo"
