"""Open the run database: MLflow's client on one SQLite file, quietly. Knows nothing of what is recorded in it."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memshadow.errors import ConfigError, DataError, MemshadowError, MissingExtraError
from memshadow.training.privacy_env import quiet_dependencies

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SCHEME = "sqlite:///"
_SQLITE_MAGIC = b"SQLite format 3\0"


def database_path(uri: str) -> Path:
    """Return the file that ``sqlite:///PATH`` names, absolute.

    Raises:
        ConfigError: ``uri`` is of another kind.
    """
    if not uri.startswith(_SCHEME) or uri == _SCHEME:
        raise ConfigError(f"the tracker's uri is {uri!r}; it must be {_SCHEME}PATH, e.g. {_SCHEME}runs/mlflow.db")
    return Path(uri.removeprefix(_SCHEME)).absolute()


def open_client(uri: str) -> MlflowClient:
    """Return a client on the database, which is made when it is not there (some seconds, once).

    Raises:
        ConfigError: ``uri`` is not ``sqlite:///PATH``, or its folder cannot be made.
        DataError: the file is not such a database, or of another MLflow version.
        MissingExtraError: MLflow is not installed.
    """
    path = database_path(uri)
    quiet_dependencies()
    # Two processes that make the database at once would both write its schema: one waits for the other.
    with _alone(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "mlflow", "train") from error
        try:
            client = MlflowClient(f"{_SCHEME}{path}")
            client.search_registered_models(max_results=1)  # opens the registry's half as well
        except MlflowException as error:
            raise DataError(
                f"{path} does not open as a run database of the installed MLflow: {_first_line(error)} "
                f"Keep a copy of the file, then run: mlflow db upgrade {_SCHEME}{path}"
            ) from error
    return client


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn MLflow's errors in the ``with`` block into one that says which file could not be written.

    Raises:
        MemshadowError: the database refused, e.g. it was locked for 20 s, or the disk is full.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise MemshadowError(
            f"the run database {path} could not be written: {_first_line(error)} "
            "See whether the disk is full or another program holds the file, then start the same command again."
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold ``PATH.lock`` for the ``with`` block, after a look at whether the file can be a database at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise ConfigError(
            f"no run database can be kept in {path.parent}: {error.strerror}; name another folder with runs_dir=FOLDER"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _require_sqlite(path)
        yield


def _require_sqlite(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder; a run database is one SQLite file. Name another with runs_dir=FOLDER")
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
            raise DataError(f"{path} is not an SQLite database; move it away, and a new one is made at the next run")


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0].strip() if str(error) else type(error).__name__
    return line if line.endswith(".") else f"{line}."
