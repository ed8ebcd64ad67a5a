"""Where public data sets lie on this machine. Knows folders only; nothing of what stands in them."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MEMSHADOW_DATA"
_CHECKOUT = Path(__file__).resolve().parents[2]


def data_home() -> Path:
    """Return the folder that holds one folder per data set; it need not exist yet.

    The first that applies: the environment variable ``MEMSHADOW_DATA``; ``../shared/data`` seen from the checkout that
    this package runs from, where that is a folder; ``memshadow/data`` in the user's cache (``XDG_CACHE_HOME``, else
    ``~/.cache``).
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    beside = _CHECKOUT.parent / "shared" / "data"
    if (_CHECKOUT / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "memshadow" / "data"


def located(name: str, folder: str | None) -> Path:
    """Return ``folder`` where one is given (``~`` is expanded), else the place of set ``name`` in the data home."""
    return Path(folder).expanduser() if folder else data_home() / name
