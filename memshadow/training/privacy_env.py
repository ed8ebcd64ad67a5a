"""Keep the libraries below us from phoning home and from chattering. Standard library only: call it before any import.

These switches are read when a library is imported, and child processes inherit them, so they live in the environment.
"""

from __future__ import annotations

import os
from types import MappingProxyType

_SILENT = MappingProxyType(
    {
        "DO_NOT_TRACK": "true",  # the word: MLflow reads "1" as no
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
)
_QUIET = MappingProxyType(
    {
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what matters is raised as well; lowers alembic's voice too
        "GIT_PYTHON_REFRESH": "quiet",  # a machine without git is no reason for a paragraph
    }
)


def quiet_dependencies() -> None:
    """Switch telemetry off, whatever the environment says, and lower log levels unless the user has set them.

    Must run before mlflow, huggingface_hub, flwr or ray is imported. Costs microseconds; calling it twice is harmless.
    """
    os.environ.update(_SILENT)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
