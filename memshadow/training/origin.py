"""Which code and which packages a run was made with. Reads the checkout and the installed distributions; no network."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path

from memshadow.version import __version__

_NAMED = ("torch", "pytorch-lightning", "transformers", "numpy", "mlflow", "hydra-core", "safetensors")
_HERE = Path(__file__).resolve().parents[1]


def commit() -> str:
    """Return the commit of the checkout that memshadow runs from, ``+changes`` where files differ; "" in a wheel."""
    head = _git("rev-parse", "HEAD")
    return f"{head}+changes" if head and _git("status", "--porcelain", "--untracked-files=no") else head


def versions() -> dict[str, str]:
    """Return what matters most for a result: memshadow, Python, and the packages that compute."""
    installed = _installed()
    named = {name: installed[name] for name in _NAMED if name in installed}
    return {"memshadow": __version__, "python": platform.python_version(), **named}


def lock_hash() -> str:
    """Return a short hash of all installed packages with their versions: equal means the same environment."""
    lines = "\n".join(f"{name}=={version}" for name, version in sorted(_installed().items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _installed() -> dict[str, str]:
    return {(found.name or "").lower().replace("_", "-"): found.version for found in distributions()}


def _git(*words: str) -> str:
    if not (_HERE.parent / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", str(_HERE.parent), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:  # a machine without git
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
