"""Notebooks read the library and define nothing; they run from top to bottom, and are kept without outputs."""

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def code(notebook: nbformat.NotebookNode) -> str:
    """Return the Python of all cells, without the notebook's own % lines."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if not line.startswith("%"))


def definitions(source: str) -> list[str]:
    """Return what a notebook would have to share with the library if it were worth defining."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    return [ast.unparse(node).partition("\n")[0] for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_defines_nothing_and_carries_no_outputs(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    assert definitions(code(notebook)) == []
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_a_definition_is_seen() -> None:
    assert definitions("x = 1\ndef f():\n    pass\ng = lambda: 1") == ["def f():", "lambda: 1"]


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs_at_tiny_settings(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, so that its runs land there. The kernel talks over loopback."""
    from nbclient import NotebookClient

    monkeypatch.setenv("MEMSHADOW_TINY", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    plots = any("image/png" in output.get("data", {}) for output in outputs)
    assert plots == any("%matplotlib inline" in cell.source for cell in notebook.cells), "its plots stand inside"
    assert [output.text for output in outputs if output.get("name") == "stderr" and "Warning" in output.text] == []
