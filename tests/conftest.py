"""What every test may count on: no telemetry, no hub, the same configs whoever runs it."""

import os

import pytest

from memshadow.training.privacy_env import quiet_dependencies

quiet_dependencies()
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _shipped_configs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own folder of configs must not change what a test composes."""
    monkeypatch.delenv("MEMSHADOW_CONFIGS", raising=False)
    monkeypatch.delenv("MEMSHADOW_TRACEBACK", raising=False)
