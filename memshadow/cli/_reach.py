"""The memory that a verb works on: the folder's service where one runs, else the folder itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.cli._words import Words
from memshadow.errors import ConfigError, DataError

if TYPE_CHECKING:
    from memshadow.memory.service import Memory
    from memshadow.serving.client import Client
    from memshadow.types import Scope


def reached(words: Words, *, begin: bool = False) -> Memory | Client:
    """Return the memory that a verb's ``url`` and ``folder`` name, seen from its scope; close it at the end.

    ``begin``: a folder that is not there yet is made, and remembers the settings; what only reads changes none.

    Raises:
        DataError: there is nothing yet to read from.
        ConfigError: there is no token for the service, or a setting came that only the service may decide.
        StoreError: another process, that is no service, holds the folder.
    """
    from memshadow.serving.presence import served_at

    folder = Path(words["folder"]).expanduser()
    url = words["url"] or served_at(folder)
    if url:
        return _client(url, folder, words)
    if not begin and not (folder.is_dir() and any(folder.iterdir())):
        raise DataError(f"there are no memories in {folder}; `memshadow remember folder={folder} ...` begins there.")
    import memshadow

    return memshadow.open(folder, scope=words.scope, overrides=words.memory, remember=begin)


def _client(url: str, folder: Path, words: Words) -> Client:
    if words.memory:
        raise ConfigError(f"the service at {url} decides {words.memory[0]!r}; leave it out, or stop the service first.")
    return client_of(url, folder, scope=words.scope)


def client_of(url: str, folder: Path, *, scope: Scope | None = None) -> Client:
    """Return a client of the service at ``url``, with the token that lies in ``folder``.

    Raises:
        ConfigError: there is no token.
    """
    from memshadow.serving.auth.token import VARIABLE, token_at
    from memshadow.serving.client import Client

    token = token_at(folder)
    if token is None:
        raise ConfigError(f"there is no token for {url} in {folder}; give it by {VARIABLE}=... or name its folder=....")
    return Client(url, token=token, scope=scope)


def harmless(text: str) -> str:
    """Return text for a terminal: what would steer it, or turn the direction of reading, becomes a space."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def shown(text: str) -> str:
    """Return lines as standard output takes them: harmless on a terminal, as they are for another program."""
    return "\n".join(map(harmless, text.split("\n"))) if sys.stdout.isatty() else text


def as_json(value: Any) -> str:
    """Return one line of JSON, in the shapes of the service; what would steer a terminal is escaped."""
    import json

    from memshadow.serving.wire import time_out

    line = json.dumps(value, ensure_ascii=False, default=time_out)
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
