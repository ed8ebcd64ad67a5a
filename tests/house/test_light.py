"""What must answer at once loads no framework. A linter misses a heavy import in an __init__; a process does not."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "pytorch_lightning", "lightning", "mlflow", "transformers", "flwr", "ray", "pandas", "matplotlib")
LIGHT = (
    "memshadow",
    "memshadow.types",
    "memshadow.errors",
    "memshadow.cli",
    "memshadow.cli._help",
    "memshadow.config",
    "memshadow.data",
    "memshadow.data.corpora",
    "memshadow.data.corpora.base",
    "memshadow.data.corpora.synthetic",
    "memshadow.models",
    "memshadow.models.base",
    "memshadow.models.lexical",
    "memshadow.models.hashing",
    "memshadow.data.store.base",
    "memshadow.data.store.embedded",
    "memshadow.data.index.promoted",
    "memshadow.memory",
    "memshadow.memory.service",
    "memshadow.serving.app",
    "memshadow.serving.client",
    "memshadow.training",
    "memshadow.training.privacy_env",
)


def loaded_by(module: str, *, path: Path | None = None) -> set[str]:
    """Return which heavy packages a fresh process has loaded after importing ``module``."""
    code = f"import sys; sys.path[:0] = {[str(path)] if path else []}; import {module}; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return set(HEAVY) & set(printed.split())


@pytest.mark.parametrize("module", LIGHT)
def test_it_loads_no_framework(module: str) -> None:
    assert loaded_by(module) == set()


def test_the_command_line_does_not_even_load_hydra_or_numpy() -> None:
    code = "import sys; from memshadow.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert {"hydra", "omegaconf", "numpy", "yaml", "rich"}.isdisjoint(loaded)


def test_a_planted_heavy_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "__init__.py").write_text("def f(): import mlflow\nimport pandas\n")
    (tmp_path / "planted" / "light.py").write_text("")
    assert "pandas" in loaded_by("planted.light", path=tmp_path)
    assert "mlflow" not in loaded_by("planted.light", path=tmp_path)
