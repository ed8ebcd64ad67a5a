"""What ``--help`` prints: docstrings of verbs and comments of configs, read as text. Imports no verb and no Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from memshadow.cli import verbs

# `- data: synthetic`, `- override /learner: head`, `- optional experiment: null`, `- data@train.data: locomo`
_DEFAULT = re.compile(
    r"^\s*- (?:override )?(?:optional )?/?(?P<group>\w[\w/]*)(?:@[\w.]+)?: *(?P<choice>\S+)", re.MULTILINE
)


def overview() -> str:
    """Return the list of verbs, a line each."""
    width = max(map(len, verbs()), default=0)
    lines = [f"  {verb:{width}}  {_docstring(file).partition(chr(10))[0]}" for verb, file in verbs().items()]
    return "\n".join(
        [
            "usage: memshadow VERB [key=value ...]",
            "",
            *lines,
            "",
            "memshadow VERB --help shows what can be set; --version the version.",
        ]
    )


def of_verb(verb: str, words: Sequence[str]) -> str:
    """Return a verb's docstring and settings; ``group=choice`` or ``group@place=choice`` shows that choice's too."""
    from memshadow.config import folders

    shown = [word for word in words if "=" in word]
    where = folders(shown)
    parts = [_docstring(verbs()[verb])]
    file = _first(where, f"{verb}.yaml")
    if file:
        text = file.read_text(encoding="utf-8")
        parts.append(f"settings (key=value), as {file.name} has them:\n\n{_indented(text)}")
        parts.extend(_choices(where, text))
    for word in shown:
        group, _, choice = word.partition("=")
        if chosen := _first(where, f"{group.partition('@')[0]}/{choice}.yaml"):
            parts.append(f"{word} sets:\n\n{_indented(chosen.read_text(encoding='utf-8'))}")
    return "\n\n".join(parts)


def _choices(where: Sequence[Path], text: str) -> Iterator[str]:
    """Yield, for each group that a config's defaults name, its choices with the first comment line of each."""
    for match in _DEFAULT.finditer(text):
        group, chosen = match["group"], match["choice"]
        files = {file.stem: file for folder in reversed(where) for file in sorted(folder.glob(f"{group}/*.yaml"))}
        width = max(map(len, files), default=0)
        lines = [f"  {'*' if name == chosen else ' '} {name:{width}}  {summary(file)}" for name, file in files.items()]
        if lines:
            yield (
                f"{group}=... (settings of one: --help {group}={chosen if chosen in files else next(iter(files))})\n"
                + "\n".join(lines)
            )


def summary(config: Path) -> str:
    """Return the comment that opens a config: its line in the help. Hydra's own header stands before it."""
    text = config.read_text(encoding="utf-8")
    opening = next((line for line in text.splitlines() if not line.startswith("# @")), "")
    return opening.removeprefix("#").strip() if opening.startswith("#") else ""


def _docstring(module: Path) -> str:
    """Return the text between a module's first triple quotes."""
    return module.read_text(encoding="utf-8").split('"""')[1].strip()


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip().splitlines())


def _first(where: Sequence[Path], name: str) -> Path | None:
    return next((folder / name for folder in where if (folder / name).is_file()), None)


def reference() -> str:
    """Return docs/configuration.md: every verb and every choice with the text of its shipped YAML."""
    from memshadow.config import config_dir

    shipped = config_dir()
    parts = [_REFERENCE.format(verbs="\n".join(f"- [{verb}](#{verb})" for verb in verbs()))]
    for verb, file in verbs().items():
        parts.append(f"## {verb}\n\n{_docstring(file)}\n\n{_listing(shipped / f'{verb}.yaml')}")
    for group in sorted(folder for folder in shipped.iterdir() if folder.is_dir()):
        choices = [f"### {group.name}={f.stem}\n\n{_listing(f)}" for f in sorted(group.glob("*.yaml"))]
        parts.extend([f"## {group.name}=...", *choices] if choices else [])
    return "\n\n".join(parts) + "\n"


_REFERENCE = """\
<!-- Written by `make docs` from configs/ and the docstrings of memshadow/cli; edit those. -->
# What can be set

Every key below is set on the command line as `key=value` (a key inside a group as `group.key=value`), every group by
the name of a choice: `memshadow train data=locomo learner.lr=1e-3`. In a terminal `memshadow VERB --help`
shows the same.
A folder of your own, laid out like `configs/`, comes first when named by `config_dir=FOLDER` or `MEMSHADOW_CONFIGS`.

{verbs}"""


def _listing(config: Path) -> str:
    return f"```yaml\n{config.read_text(encoding='utf-8').strip()}\n```" if config.is_file() else ""
