"""A model on disk: ``model.safetensors`` + ``model.json``. Knows the file form and its versions; knows no model.

Nothing in the folder is code: ``kind`` is a word that the loader looks up in a map of its own, never an import path.
The fingerprint covers kind, settings and weights, all that can change a vector; where the model came from (``origin``)
is recorded beside it and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from memshadow.errors import CheckpointError
from memshadow.training.atomic import write_bytes, write_json

FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"

_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version n -> the change that makes a description of version n one of n + 1."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """What ``model.json`` says, checked against the weights beside it."""

    folder: Path
    kind: str
    settings: Mapping[str, Any]
    fingerprint: str
    origin: Mapping[str, Any] = field(default_factory=dict)

    def tensors(self) -> dict[str, ndarray]:
        """Return the weights by name, each with the dtype and shape it was written with."""
        try:
            return dict(load_file(self.folder / WEIGHTS))
        except SafetensorError as error:
            raise CheckpointError(f"{self.folder / WEIGHTS} is no safetensors file: {error}. {_MEND}") from error


_MEND = "Copy the model folder again or train it anew."


def write_model(folder: Path, *, kind: str, settings: Mapping[str, Any], tensors: Mapping[str, ndarray]) -> str:
    """Write weights and description into ``folder`` and return the fingerprint.

    ``settings`` are plain JSON values: what the loader needs, beside the weights, to build the model again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / WEIGHTS, save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
    return describe(folder, kind=kind, settings=settings)


def describe(folder: Path, *, kind: str, settings: Mapping[str, Any]) -> str:
    """Write ``model.json`` beside weights that are already there and return the fingerprint."""
    weights = _digest(folder / WEIGHTS)
    fingerprint = _fingerprint(kind, settings, weights)
    body = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "settings": dict(settings),
        "fingerprint": fingerprint,
        "weights_sha256": weights,
        "origin": {},
    }
    write_json(folder / DESCRIPTION, body)
    return fingerprint


def sign(folder: Path, origin: Mapping[str, Any]) -> None:
    """Record where the model came from: resolved config, commit, lock hash, data fingerprints, metrics."""
    body = _body(folder)
    write_json(folder / DESCRIPTION, {**body, "origin": {**body["origin"], **origin}})


def read_model(folder: Path) -> StoredModel:
    """Return the model in ``folder`` after checking version and damage.

    Raises:
        CheckpointError: no model there, a newer version, or files that are not the ones written.
    """
    body = _body(folder)
    try:
        kind, settings, said = str(body["kind"]), dict(body["settings"]), str(body["fingerprint"])
        origin = dict(body["origin"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / DESCRIPTION} lacks a field: {error!r}. {_MEND}") from error
    if said != _fingerprint(kind, settings, _digest(folder / WEIGHTS)):
        raise CheckpointError(
            f"The model in {folder} is damaged: weights or settings are not those that were written. {_MEND}"
        )
    return StoredModel(folder=folder, kind=kind, settings=settings, fingerprint=said, origin=origin)


def restore(folder: Path, kinds: Mapping[str, Callable[[StoredModel], _T]]) -> _T:
    """Return the model in ``folder``, built by the constructor that ``kinds`` gives for its kind.

    Raises:
        CheckpointError: as ``read_model``, or a kind that ``kinds`` does not hold.
    """
    stored = read_model(folder)
    if stored.kind not in kinds:
        known = ", ".join(sorted(kinds))
        raise CheckpointError(f"{folder} holds a model of kind {stored.kind!r}; this place loads: {known}.")
    return kinds[stored.kind](stored)


def _body(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no model: {DESCRIPTION} is missing; `memshadow train` makes one.")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        version = int(body["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}. {_MEND}") from error
    return _migrated(body, version, path)


def _migrated(body: dict[str, Any], version: int, path: Path) -> dict[str, Any]:
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}; this memshadow reads up to {FORMAT_VERSION}. "
            "Update memshadow (pip install -U memshadow)."
        )
    for older in range(version, FORMAT_VERSION):
        body = {**_MIGRATIONS[older](body), "format_version": older + 1}
    return body


def _digest(path: Path) -> str:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing. {_MEND}")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fingerprint(kind: str, settings: Mapping[str, Any], weights_sha256: str) -> str:
    text = json.dumps([kind, settings, weights_sha256], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
