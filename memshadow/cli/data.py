"""List, fetch, look at and make data sets: `memshadow data list|fetch|show|make [NAME]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from memshadow.errors import DataError

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from memshadow.data.corpora.original import Fetchable, Original
    from memshadow.data.fetch import Watch
    from memshadow.types import Conversation

_DECLINED = 1
_WIDEST = 300
_BARE = str.maketrans("", "", "[]")
_KINDS = {"conversations": "conversations", "utterances": "utterances", "pairs": "pairs", "episodes": "tasks"}


def main(argv: list[str]) -> int | None:
    """Do what the first word says to the set that the second names."""
    from memshadow.config import nearest

    action, rest = (argv[0], argv[1:]) if argv else ("list", [])
    if action not in _ACTIONS:
        known = ", ".join(_ACTIONS)
        raise DataError(f"there is no `data {action}`{nearest(action, _ACTIONS)}; a word comes first, one of: {known}.")
    return _ACTIONS[action](rest)


def _list(words: list[str]) -> None:
    """Print every set that has a configuration: what it is, its licence, and whether it is here."""
    from rich.table import Table

    if words:
        raise DataError(f"`data list` takes no more words; {' '.join(words)!r} came.")
    table = Table("name", "holds", "licence", "weights may ship", "here", box=None, pad_edge=False, header_style="bold")
    for name, corpus in _corpora():
        ships = "yes" if corpus.weights_may_ship else "no"
        table.add_row(name, _kind(corpus), corpus.licence, ships, _presence(corpus))
    console = _console()
    console.print(table)
    console.print("\nGet one with [bold]memshadow data fetch NAME[/bold]; sets lie in", str(_home()), highlight=False)


def _fetch(words: list[str]) -> int | None:
    """Show the licence of a set, ask, and bring it here."""
    from memshadow.data.corpora.original import Fetchable
    from memshadow.data.download import Downloader
    from memshadow.data.fetch import fetch

    config, corpus = _chosen("fetch", words)
    console = _console()
    if not isinstance(corpus, Fetchable):
        raise DataError(f"{corpus.name!r} is not fetched: it is made on this machine, or is your own folder.")
    if _is_here(corpus):
        console.print(f"{words[0]} is here already: {corpus.folder}", highlight=False)
        return None
    _tell_terms(console, words[0], corpus)
    if not _agreed(config.accept):
        console.print("Nothing was fetched.")
        return _DECLINED
    with _watching(console, len(corpus.originals)) as watch:
        fetched = fetch(corpus, watch=watch, downloader=Downloader())
    console.print(f"{words[0]} is here: {fetched.folder}", highlight=False)
    if fetched.differing:
        console.print(
            f"[yellow]Note:[/yellow] {', '.join(fetched.differing)} differ from the copy that this project's figures "
            "were made with; yours may not compare.",
            highlight=False,
        )
    elif corpus.reference:
        console.print("Its text is the same as in the copy that this project's figures were made with.")
    return None


def _show(words: list[str]) -> None:
    """Print the facts of a set and its first lines."""
    config, corpus = _chosen("show", words)
    if not isinstance(config.n, int) or config.n < 0:
        raise DataError(f"n is how many lines to show, 0 or more; n={config.n} came.")
    ships = "may ship" if corpus.weights_may_ship else "may not ship"
    console = _console()
    console.print(f"{corpus.name}  ({_kind(corpus)}, fingerprint {corpus.fingerprint})", style="bold", highlight=False)
    console.print(f"licence: {corpus.licence}; weights trained on it {ships}\n", highlight=False, markup=False)
    for line in islice(_lines(corpus), config.n):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _make(words: list[str]) -> None:
    """Write a corpus in the shared form, and its counts beside it."""
    import json
    from dataclasses import asdict

    from memshadow.data.corpora.conversations import write
    from memshadow.data.download import unwritable

    config, corpus = _chosen("make", words)
    if _kind(corpus) != "conversations":
        raise DataError(f"{corpus.name!r} holds {_kind(corpus)}; only conversations have the shared form.")
    if config.out is None:
        raise DataError("`data make` needs a folder to write: out=FOLDER.")
    folder = Path(config.out).expanduser()
    console = _console()
    try:
        with _counting(console, corpus.conversations()) as conversations:
            written = write(conversations, folder)
        stats = asdict(written) | {"name": corpus.name, "licence": corpus.licence, "fingerprint": corpus.fingerprint}
        (folder / "stats.json").write_text(json.dumps(stats, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(error, folder) from error
    console.print(
        f"{folder}: {written.memories:,} memories in {written.conversations:,} conversations, "
        f"{sum(written.questions.values()):,} questions, {_size(written.size_bytes)}",
        highlight=False,
    )
    console.print(f"Use it with: data=folder data.folder={folder}", highlight=False)


_ACTIONS: dict[str, Callable[[list[str]], int | None]] = {"list": _list, "fetch": _fetch, "show": _show, "make": _make}


def _chosen(action: str, words: list[str]) -> tuple[DictConfig, Any]:
    """Return the verb's configuration and the corpus that the first of ``words`` names."""
    from memshadow.config import build, load

    if not words or "=" in words[0]:
        raise DataError(f"`data {action}` needs the name of a set; `memshadow data list` shows them.")
    config = load("data", [f"data={words[0]}", *words[1:]])
    return config, build(config.data)


def _corpora() -> Iterator[tuple[str, Any]]:
    """Yield (name, corpus) of every configured set that needs nothing more to be said."""
    from omegaconf import DictConfig, OmegaConf

    from memshadow.config import build, folders

    files = {file.stem: file for folder in reversed(folders()) for file in (folder / "data").glob("*.yaml")}
    for name, file in sorted(files.items()):
        node = OmegaConf.load(file)
        if isinstance(node, DictConfig) and not OmegaConf.missing_keys(node):
            yield name, build(node)


def _kind(corpus: Any) -> str:
    return next(kind for method, kind in _KINDS.items() if hasattr(corpus, method))


def _home() -> Path:
    from memshadow.data.home import data_home

    return data_home()


def _is_here(corpus: Any) -> bool:
    try:
        return bool(corpus.files())
    except DataError:
        return False


def _presence(corpus: Any) -> str:
    if not hasattr(corpus, "folder"):
        return "made on demand"
    if not _is_here(corpus):
        return "no"
    return _size(sum(path.stat().st_size for path in corpus.folder.rglob("*") if path.is_file()))


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _tell_terms(console: Console, name: str, corpus: Fetchable) -> None:
    """Print what is about to be downloaded, from where, and on which terms."""
    hosts = sorted({original.url.split("/")[2] for original in corpus.originals})
    open_files = sum(original.sha256 is None for original in corpus.originals)
    ships = "may be given away" if corpus.weights_may_ship else "may NOT be given away: evaluation and experiments only"
    lines = [
        f"{name}: {_files(len(corpus.originals))} from {', '.join(hosts)} to {corpus.folder}",
        f"  about    {corpus.home}",
        f"  licence  {corpus.licence}",
        f"  weights  trained on it {ships}",
    ]
    if open_files:
        lines.append(
            f"  checks   {open_files} without a published checksum: a change after the first download is refused"
        )
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _agreed(accept: object) -> bool:
    """Ask whether the terms are accepted, unless the command said so already."""
    if not isinstance(accept, bool):
        raise DataError(f"accept is true or false; accept={accept} came.")
    if accept:
        return True
    if not sys.stdin.isatty():
        raise DataError("nobody is here to accept the licence; say accept=true where you do.")
    try:
        return input("Accept these terms and download? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


@contextmanager
def _watching(console: Console, files: int) -> Iterator[Watch]:
    """Show one bar: the file that is coming, its place among all, and its bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True) as bar:

        def watch(original: Original, place: int) -> Callable[[int, int | None], None]:
            for done in bar.task_ids:
                bar.remove_task(done)
            task = bar.add_task(f"{place + 1}/{files} {original.path}", total=None)
            return lambda here, total: bar.update(task, completed=here, total=total)

        yield watch


@contextmanager
def _counting(console: Console, conversations: Iterable[Conversation]) -> Iterator[Iterator[Conversation]]:
    """Show how many memories have passed."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} memories"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def passing() -> Iterator[Conversation]:
            for conversation in conversations:
                yield conversation
                bar.advance(task, len(conversation.memories))

        yield passing()


def _lines(corpus: Any) -> Iterator[str]:
    """Yield a corpus as lines to look at."""
    if hasattr(corpus, "conversations"):
        yield from (line for conversation in corpus.conversations() for line in _conversation_lines(conversation))
    elif hasattr(corpus, "utterances"):
        yield from (f"{one.split:>9}  {one.domain} {one.label}: {one.text}" for one in corpus.utterances())
    elif hasattr(corpus, "episodes"):
        yield from _task_lines(corpus)
    else:
        yield from (f"{one.similarity:.2f}  {one.first} | {one.second}" for one in corpus.pairs())


def _task_lines(corpus: Any) -> Iterator[str]:
    """Yield five points of task after task, each as input -> target."""
    episodes = corpus.episodes("train", shots=5, queries=1)
    for number in count():
        points, values, *_ = episodes.batch(number, tasks=1, seed=0)
        told = (f"{x} -> {y}".translate(_BARE) for x, y in zip(points[0].round(2), values[0].round(2), strict=True))
        yield f"task {number}  {'  '.join(told)}"


def _conversation_lines(conversation: Conversation) -> Iterator[str]:
    session = ""
    for memory in conversation.memories:
        if memory.session_id != session:
            session = memory.session_id
            when = f", {memory.timestamp:%Y-%m-%d %H:%M}" if memory.timestamp else ""
            yield f"-- {session}{when}" if session else ""  # lone notes are nobody's session: a gap before them
        yield f"{memory.id}  {_short(memory.rendered())}"
    for question in conversation.questions:
        found = ", ".join(question.evidence) or "nothing"
        yield f"? {question.text} [{question.category}: {found}] {_short(question.answer)}"


def _short(text: str) -> str:
    return shorten(text, _WIDEST, placeholder=" ...")


def _console() -> Console:
    from rich.console import Console

    return Console()
