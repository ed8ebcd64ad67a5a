"""What can go wrong for a user. Each message says what came, what was needed and what to do."""

from __future__ import annotations


class MemshadowError(Exception):
    """Base of every error that a user can mend; the command line prints it in one paragraph and exits with 2."""


class ConfigError(MemshadowError, ValueError):
    """A configuration names something that does not exist, is not trusted, or does not fit."""


class DataError(MemshadowError, ValueError):
    """A data set or a line of it is missing, damaged, or not of the shared form."""


class CheckpointError(MemshadowError, ValueError):
    """A checkpoint is damaged, of a newer version, or of another model."""


class StoreError(MemshadowError):
    """A store cannot do what was asked, is held by another process, or is damaged; nothing of the call was written."""


class NotFoundError(MemshadowError, LookupError):
    """Nothing of that name is in the scope that was asked; what lies in other scopes is never told."""


class MissingExtraError(MemshadowError, ImportError):
    """A part needs a package that the installed extras do not bring."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed; run: pip install 'memshadow[{extra}]'"
        )
