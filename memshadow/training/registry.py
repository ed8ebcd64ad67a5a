"""Registered models: folders of plain files under a name, a version and aliases. Knows MLflow's registry; no model.

MLflow's own model flavours wrap a pickle; here a version points at a copied folder of safetensors and JSON.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from memshadow.training.database import database_path, open_client, storing

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"
_LONGEST_TAG = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """One version of a model: where its files lie, which run made it, and what is noted on it."""

    name: str
    version: str
    run_id: str
    folder: Path
    tags: Mapping[str, str]


class ModelRegistry:
    """The models of one run database."""

    def __init__(self, *, client: MlflowClient, path: Path) -> None:
        self.path = path
        self._client = client

    @classmethod
    def open(cls, uri: str) -> ModelRegistry:
        """Open the registry in ``sqlite:///PATH``; errors as in ``open_client``."""
        return cls(client=open_client(uri), path=database_path(uri))

    def register(self, name: str, folder: Path, *, run_id: str, tags: Mapping[str, str]) -> str:
        """Copy a folder to the run's files and return its version; the same content of the same run is one version."""
        content = folder_hash(folder)
        with storing(self.path):
            _ensure(self._client, name)
            for known in self._client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
                if known.tags.get("content") == content:
                    return str(known.version)
            place = f"model/{content[:12]}"
            self._client.log_artifacts(run_id, str(folder), place)
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{place}"
            made = self._client.create_model_version(name, source, run_id, tags={**tags, "content": content})
        return str(made.version)

    def version(self, name: str, version: str) -> RegisteredModel:
        """Return one version, which must be there."""
        with storing(self.path):
            return _model(self._client.get_model_version(name, version))

    def at(self, name: str, alias: str) -> RegisteredModel | None:
        """Return the version that an alias points at; None where the model or the alias is not there."""
        from mlflow.exceptions import MlflowException

        try:
            return _model(self._client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version; it leaves the one where it was."""
        with storing(self.path):
            self._client.set_registered_model_alias(name, alias, version)

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Note something on a version."""
        with storing(self.path):
            for key, text in tags.items():
                self._client.set_model_version_tag(name, version, key, text[:_LONGEST_TAG])

    def write(self, run_id: str, place: str, text: str) -> None:
        """Keep a text among a run's files."""
        with storing(self.path):
            self._client.log_text(run_id, text, place)

    def read(self, run_id: str, place: str) -> str | None:
        """Return a text from a run's files, or None where there is none."""
        file = _local(str(self._client.get_run(run_id).info.artifact_uri)) / place
        return file.read_text(encoding="utf-8") if file.is_file() else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from moving an alias during the ``with`` block."""
        with self.path.with_name("champion.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def folder_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and bytes of all files below ``folder``."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _model(found: ModelVersion) -> RegisteredModel:
    return RegisteredModel(
        name=found.name,
        version=str(found.version),
        run_id=str(found.run_id),
        folder=_local(str(found.source)),
        tags=dict(found.tags),
    )


def _local(uri: str) -> Path:
    return Path(url2pathname(urlparse(uri).path)) if uri.startswith("file:") else Path(uri)


def _ensure(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
