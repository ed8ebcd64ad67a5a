"""Names say what a thing is. Ruff holds that what is public has a docstring; here stand the words it misses."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "memshadow").rglob("*.py"))
EMPTY_WORDS = ("Manager", "Helper", "Util", "Utils", "Engine", "Orchestrator", "Handler", "Processor")
EMPTY_CLASS = re.compile(rf"^(Advanced|Enhanced|Improved|New)|V\d$|({'|'.join(EMPTY_WORDS)})$")
EMPTY_MODULE = re.compile(
    r"^_?(utils?|helpers?|common|misc|manager|engine|core|base_?classes)$|_(utils?|helpers?|manager|engine)$"
)


def poor_names(file: Path) -> Iterator[str]:
    """Yield the module's and its classes' names that say nothing."""
    if EMPTY_MODULE.search(file.parent.name if file.stem == "__init__" else file.stem):
        yield file.stem
    tree = ast.parse(file.read_text(encoding="utf-8"))
    yield from (n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and EMPTY_CLASS.search(n.name.strip("_")))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_names_say_something(file: Path) -> None:
    assert list(poor_names(file)) == []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_module_opens_by_saying_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text_utils.py", ""),
        ("helpers.py", ""),
        ("engine.py", ""),
        ("fine.py", "class MemoryManager: ..."),
        ("fine.py", "def f():\n    class AdvancedThing: ..."),
        ("fine.py", "class EmbedderV2: ..."),
        ("fine.py", "class _EventHandler: ..."),
    ],
)
def test_a_planted_poor_name_is_caught(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert list(poor_names(tmp_path / name))


def test_a_good_name_passes(tmp_path: Path) -> None:
    (tmp_path / "coreference.py").write_text("class HashingEmbedder: ...\nclass Utility: ...\nclass Engineer: ...\n")
    assert list(poor_names(tmp_path / "coreference.py")) == []


def test_ruff_holds_public_docstrings() -> None:
    import tomllib

    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "D" in lint["select"]
    assert {"D100", "D101", "D102", "D103", "D104"}.isdisjoint(lint["ignore"])
