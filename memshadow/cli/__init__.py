"""``memshadow VERB [key=value ...]``: one module of this package per verb; a name that begins with _ is no verb.

A verb's module opens with a docstring, whose first line is its line in the help, and has ``main(argv) -> int | None``,
which is given the words after the verb. Imports nothing heavy, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from memshadow.errors import MemshadowError

_TROUBLE, _INTERRUPTED, _PIPE_CLOSED = 2, 130, 141  # the last two as a shell counts them: 128 + the signal
_HELP = ("-h", "--help", "help")


def verbs() -> dict[str, Path]:
    """Return verb -> its module's file, in the order of the alphabet; ``import_.py`` holds the verb ``import``."""
    return {file.stem.rstrip("_"): file for file in sorted(Path(__path__[0]).glob("[!_]*.py"))}


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 the user can mend it, 130 interrupted, 141 nobody reads on.

    ``MEMSHADOW_TRACEBACK=1`` shows where an error came from; an error that is ours always shows it.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # `memshadow runs list | head`: what is still buffered has no reader, so let it go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except (MemshadowError, KeyboardInterrupt) as error:
        if os.environ.get("MEMSHADOW_TRACEBACK"):
            raise
        return _told(error, words)
    return code


def _run(words: list[str]) -> int:
    """Answer help, version and mistakes here; hand everything else to the verb's module."""
    known = verbs()
    verb, rest = (words[0], words[1:]) if words else ("--help", [])
    if verb == "--version":
        from memshadow import __version__

        print(f"memshadow {__version__}")
        return 0
    if verb in _HELP and rest:
        verb, rest = rest[0], [_HELP[0]]
    settings = rest[: rest.index("--")] if "--" in rest else rest  # behind -- stands text
    if verb in _HELP or (verb in known and not set(settings).isdisjoint(_HELP[:2])):
        from memshadow.cli._help import of_verb, overview

        print(overview() if verb in _HELP else of_verb(verb, rest))
        return 0
    if verb not in known:
        from memshadow.config import nearest

        raise MemshadowError(f"no verb {verb!r}{nearest(verb, known)}; a verb comes first, one of: {', '.join(known)}.")
    from importlib import import_module

    from memshadow.models.threads import wait_passively
    from memshadow.training.privacy_env import quiet_dependencies

    quiet_dependencies()  # both are heard only by what is not loaded yet
    wait_passively()
    return import_module(f"memshadow.cli.{known[verb].stem}").main(rest) or 0


def _told(error: BaseException, words: list[str]) -> int:
    """Print one paragraph on standard error and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("\nmemshadow: interrupted.", file=sys.stderr)
        return _INTERRUPTED
    verb = f" {words[0]}" if words and words[0] in verbs() else ""
    print(f"memshadow{verb}:", error, *getattr(error, "__notes__", ()), file=sys.stderr)
    return _TROUBLE
