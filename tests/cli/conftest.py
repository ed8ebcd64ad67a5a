"""A tracker on a database of its own."""

import shutil
from pathlib import Path

import pytest

from memshadow.training.database import open_client
from memshadow.training.mlflow_tracker import MlflowTracker


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's schema takes seconds to make: one is made for all tests, which copy it."""
    path = tmp_path_factory.getbasetemp() / "blank.db"
    if not path.exists():
        open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def tracker(blank_database: Path, tmp_path: Path) -> MlflowTracker:
    """A tracker that sends in small batches."""
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copy(blank_database, runs / "mlflow.db")
    uri, artifacts = f"sqlite:///{runs / 'mlflow.db'}", str(runs / "artifacts")
    return MlflowTracker(uri=uri, artifacts=artifacts, experiment="memshadow", batch_size=7, flush_s=60.0)
