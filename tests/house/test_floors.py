"""Nothing imports upward. The contract stands in pyproject.toml; here it is held, and seen to catch what it must."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the memshadow that lies in ``house``."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", "pyproject.toml"]
    environment = {**os.environ, "PYTHONPATH": str(house)}
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, to plant breaches in."""
    house = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", house)
    shutil.copytree(ROOT / "memshadow", house / "memshadow", ignore=shutil.ignore_patterns("__pycache__", "_configs"))
    return house


def test_every_import_goes_down() -> None:
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("types.py", "import memshadow.models.base"),
        ("errors.py", "from memshadow import types"),
        ("training/planted.py", "from memshadow.models import base"),
        ("data/planted.py", "import memshadow.models.base"),
        ("models/planted.py", "def f():\n    from memshadow.data import corpora"),
        ("models/planted.py", "from memshadow.config import load"),
        ("memory/planted.py", "import memshadow.cli"),
        ("config.py", "import memshadow.cli"),
        ("models/planted.py", "import omegaconf"),
        ("training/planted.py", "import hydra"),
        ("types.py", "import torch"),
        ("data/corpora/planted.py", "import transformers"),
        ("garage/__init__.py", ""),  # a room that nobody has placed
    ],
)
def test_a_planted_breach_is_caught(copy: Path, file: str, line: str) -> None:
    planted = copy / "memshadow" / file
    before = planted.read_text() if planted.exists() else None
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f"{before or ''}\n{line}\n")
    try:
        assert lint(copy).returncode == 1
    finally:
        if before is None:
            planted.unlink()
            if not any(planted.parent.iterdir()):
                planted.parent.rmdir()
        else:
            planted.write_text(before)
