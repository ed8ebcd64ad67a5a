"""pyproject, lock, changelog and decisions agree with the house rules and with each other."""

import re
import tomllib
from pathlib import Path

import pytest

from memshadow import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements" / "lock.txt").read_text()


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def wrong_extras(extras: dict[str, list[str]], base: list[str]) -> list[str]:
    """Return which lists would break an environment: two faiss in one folder, another torch, a heavy base."""
    wrong = []
    for extra, requirements in {**extras, "base": base}.items():
        names = {name_of(requirement) for requirement in requirements}
        if "faiss-cpu" in names and any(name.startswith("faiss-gpu") for name in names):
            wrong.append(f"{extra}: faiss-cpu and faiss-gpu own the same folder")
        if names & {"torchvision", "torchaudio"}:
            wrong.append(f"{extra}: torchvision and torchaudio replace torch by another build")
        if extra == "base" and names & {"torch", "mlflow", "pytorch-lightning", "transformers", "pandas"}:
            wrong.append("the base is light")
    return wrong


def test_extras_do_not_fight() -> None:
    assert wrong_extras(PROJECT["optional-dependencies"], PROJECT["dependencies"]) == []


@pytest.mark.parametrize(
    ("extras", "base"),
    [
        ({"serve": ["faiss-cpu>=1.10", "faiss-gpu-cu12"]}, []),
        ({"train": ["torchvision==0.2"]}, []),
        ({}, ["torch==2.13.0"]),
    ],
)
def test_a_planted_fight_is_caught(extras: dict[str, list[str]], base: list[str]) -> None:
    assert wrong_extras(extras, base)


def test_the_lock_holds_exact_versions_and_nothing_else() -> None:
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line) for line in lines)
    locked = [line.partition("==")[0] for line in lines]
    assert locked == sorted(set(locked))
    assert set(locked).isdisjoint({"memshadow", "torchvision", "torchaudio", "faiss-gpu-cu12"})
    asked = [
        *PROJECT["dependencies"],
        *(r for e in ("train", "serve", "dev") for r in PROJECT["optional-dependencies"][e]),
    ]
    assert {name_of(requirement) for requirement in asked} - {"memshadow"} <= set(locked)


def test_the_changelog_opens_with_this_version() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == __version__


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


def is_dated(text: str) -> bool:
    """Return whether a decision says when it was taken and what became of it."""
    status = re.search(r"^- Status: (proposed|accepted|superseded by \d{4})$", text, flags=re.MULTILINE)
    return bool(re.search(r"^- Date: 20\d\d-\d\d-\d\d$", text, flags=re.MULTILINE) and status)


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.stem)
def test_a_decision_has_number_date_and_status(file: Path) -> None:
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", file.stem)
    assert is_dated(file.read_text())


def test_decisions_are_numbered_once() -> None:
    numbers = [file.stem[:4] for file in DECISIONS]
    assert numbers == sorted(set(numbers))
    assert not is_dated("- Date: yesterday\n- Status: accepted\n")
    assert not is_dated("- Date: 2026-11-23\n- Status: maybe\n")
