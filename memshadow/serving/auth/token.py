"""One generated token, in a file that only its owner can read. Knows no HTTP.

Kept as its hash while the service runs; never logged, never printed.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from hashlib import sha256
from pathlib import Path

from memshadow.errors import ConfigError
from memshadow.training.atomic import clear_errors, sync

VARIABLE = "MEMSHADOW_TOKEN"
FILE = "token"
_PREFIX = "msh_"  # for scanners that look for secrets in files
_SHORTEST = 24
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Token:
    """What a request must bring: compared by hash, in constant time."""

    def __init__(self, text: str) -> None:
        self._digest = sha256(text.encode()).digest()

    def __repr__(self) -> str:
        return "Token(...)"

    def fits(self, authorization: bytes) -> bool:
        """Return whether an ``Authorization`` header brings this token: ``Bearer TOKEN``."""
        kind, _, given = authorization.partition(b" ")
        found = hmac.compare_digest(sha256(given.strip()).digest(), self._digest)
        return found and kind.lower() == b"bearer"


def token_for(folder: Path) -> str:
    """Return the token of a folder's service: ``MEMSHADOW_TOKEN``, or the file ``token``, which is made if absent.

    Raises:
        ConfigError: it is too short to be a secret, or others can read the file.
    """
    found = token_at(folder)
    return _made(folder / FILE) if found is None else found


def token_at(folder: Path) -> str | None:
    """Return the token of a folder's service, or ``None`` where there is none yet; errors as ``token_for``."""
    if given := os.environ.get(VARIABLE):
        return _checked(given, f"the environment's {VARIABLE}")
    path = folder / FILE
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(f"{path} belongs to another user; give the token by {VARIABLE}=...") from None
    if mode & _OTHERS:
        raise ConfigError(f"{path} can be read by others, so it is no secret: delete it and start the service again.")
    return _checked(text, str(path))


def _checked(text: str, where: str) -> str:
    if len(text) < _SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(
            f"the token in {where} is no secret of {_SHORTEST} or more letters and digits; delete it and one is made."
        )
    return text


def _made(path: Path) -> str:
    """Make a token of 256 random bits and write it for the owner's eyes."""
    text = _PREFIX + secrets.token_urlsafe(32)
    with clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync(path.parent)
    return text
