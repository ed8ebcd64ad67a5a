"""Serve a folder of memories by HTTP, on this machine, until Ctrl-C.

  memshadow serve folder=memories
  memshadow serve embedder=champion ranking=vector         search with what `memshadow train` crowned
  memshadow serve port=0                                   any free port; the address is printed
  memshadow serve host=0.0.0.0 remote=true hosts=[memory.example.org]

Whoever knows the token may do everything; it is made at the first start and lies in FOLDER/token, readable by its owner
alone (MEMSHADOW_TOKEN rules over the file). While the service runs, `memshadow remember`, `recall` and the others on
the same folder talk to it by themselves. /api/docs explains the routes. The end is orderly: requests under way are
finished, the index is saved, the store is closed.

A later champion is taken up while the service runs: `memshadow reembed embedder=champion`, or POST /v1/embedder with
{"embedder": "champion"}. The setting embedders says what may be asked for so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from memshadow.cli._words import understood
from memshadow.errors import ConfigError, MissingExtraError


def main(argv: list[str]) -> int | None:
    """Serve until SIGTERM or Ctrl-C."""
    words = understood("serve", argv)
    if words.text:
        raise ConfigError(f"`memshadow serve` takes settings only, got {words.text!r:.80}; see its --help")
    try:
        from memshadow.serving.running import listening, names_of, run, url_of
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve") from error
    import memshadow
    from memshadow.cli._upcoming import upcoming
    from memshadow.config import build
    from memshadow.serving.app import create_app
    from memshadow.serving.auth.token import FILE, VARIABLE, token_for
    from memshadow.serving.presence import announced

    folder = Path(words["folder"]).expanduser()
    hosts = names_of(words["host"], remote=words["remote"], hosts=words["hosts"])
    with closing(listening(words["host"], words["port"])) as bound:
        memory = memshadow.open(folder, overrides=words.memory)
        with closing(memory):
            token, url = token_for(folder), url_of(bound)
            parts = {name: build(words[name]) for name in ("limits", "work")}
            choices = {
                name: partial(upcoming, folder, said, opened_with=words.memory)
                for name, said in _choices(words["embedders"]).items()
            }
            app = create_app(memory, token=token, hosts=hosts, tenant=words["tenant"], embedders=choices, **parts)
            where = VARIABLE if os.environ.get(VARIABLE) else folder / FILE
            told = partial(print, f"{url}   token: {where}   docs: {url}/api/docs   (Ctrl-C ends it)", flush=True)
            with announced(folder, url):
                run(app, bound, stop_s=words["stop_s"], ready=told)
    print("Ended; everything is on the disk.")
    return 0


def _choices(said: Mapping[str, Any]) -> dict[str, list[str]]:
    for name, settings in said.items():
        if not isinstance(settings, list) or not all(isinstance(word, str) for word in settings):
            raise ConfigError(
                f"embedders.{name}={settings!r:.80} is no list of settings; needed, e.g.: "
                """embedders='{"light": ["embedder=static", "ranking=hybrid"]}'"""
            )
    return dict(said)
