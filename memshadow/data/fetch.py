"""A published set brought to its folder: downloaded, checked, turned into the shared form, then given its name.

Nothing half-made ever stands under a set's name. Originals wait in ``.downloads/NAME`` beside the set's folder, so that
a run that was stopped goes on, and a file that was carried here by hand is taken as if it had been downloaded.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memshadow.data.corpora.lines import content_sha256
from memshadow.data.corpora.original import Fetchable, Original
from memshadow.data.download import Downloader, DownloadError, NotThereError, Progress, sha256_of, unwritable
from memshadow.errors import DataError

Watch = Callable[[Original, int], Progress]
"""Told an original and its place among all (from 0), before it is downloaded; returns who hears of its bytes."""

PINS = "pins.json"
WANTED = "wanted.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of a fetch. ``differing`` names the files whose text is not that of the reference copy."""

    folder: Path
    files: int
    unverified: int
    differing: tuple[str, ...]


def fetch(corpus: Fetchable, *, watch: Watch, downloader: Downloader) -> Fetched:
    """Bring ``corpus`` to ``corpus.folder``.

    Raises:
        DataError: the folder exists already (it is never overwritten), a file cannot be had or is not what was
            published, or the disk is full. Each message says how to go on.
    """
    if corpus.folder.exists():
        raise DataError(
            f"{corpus.folder} exists already and is not touched. To fetch the set anew, move that folder away first, "
            "or name another one: data.folder=FOLDER."
        )
    downloads = downloads_of(corpus)
    _list_wanted(corpus, downloads)
    pins = Pins(downloads / PINS)
    for place, original in enumerate(corpus.originals):
        _bring(original, downloads, pins, watch(original, place), downloader)
    differing = _assemble(corpus, downloads)
    _tidy(downloads)
    unverified = sum(original.sha256 is None for original in corpus.originals)
    return Fetched(folder=corpus.folder, files=len(corpus.originals), unverified=unverified, differing=differing)


def downloads_of(corpus: Fetchable) -> Path:
    """Return the folder in which the originals of ``corpus`` wait."""
    return corpus.folder.parent / ".downloads" / corpus.folder.name


class Pins:
    """The checksums of files that nobody published a checksum of, as they were when first downloaded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def check(self, url: str, sha256: str) -> None:
        """Record the checksum of ``url``, or compare it with the recorded one.

        Raises:
            DownloadError: the file has changed since it was first downloaded here.
        """
        first = self._known.get(url)
        if first is not None and first != sha256:
            raise DownloadError(
                f"{url} has changed since it was first downloaded here: its SHA-256 is {sha256}, it was {first}. If "
                f"that is meant, remove {self.path} and fetch again."
            )
        if first is None:
            self._known[url] = sha256
            part = self.path.with_name(f"{self.path.name}.part")
            part.write_text(json.dumps(self._known, indent=1, sort_keys=True), encoding="utf-8")
            part.replace(self.path)


def _list_wanted(corpus: Fetchable, downloads: Path) -> None:
    """Write one line "address place" for every original, for who must carry the files here."""
    lines = [f"{original.url} {downloads / original.path}\n" for original in corpus.originals]
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        (downloads / WANTED).write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise unwritable(error, downloads) from error


def _bring(original: Original, downloads: Path, pins: Pins, progress: Progress, downloader: Downloader) -> None:
    """Have one original among the downloads, checked."""
    target = downloads / original.path
    if not target.is_file():
        url = _download(original, target, downloads / WANTED, progress, downloader)
    else:
        url, size = original.url, target.stat().st_size
        progress(size, size)
    found = sha256_of(target)
    if original.sha256 is None:
        pins.check(url, found)
    elif found != original.sha256:
        raise DownloadError(
            f"{target} is not the file that was published: its SHA-256 is {found}, {original.sha256} was needed. "
            "Remove it and run the same command again."
        )


def _download(original: Original, target: Path, wanted: Path, progress: Progress, downloader: Downloader) -> str:
    """Download from the first address that has the file, and return that address."""
    addresses = [original.url, *([original.otherwise] if original.otherwise else [])]
    for url in addresses:
        try:
            downloader.download(url, target, sha256=original.sha256, progress=progress)
        except NotThereError as error:
            if url == addresses[-1]:
                raise _by_hand(error, target, wanted) from error
        except DownloadError as error:
            raise _by_hand(error, target, wanted) from error
        else:
            return url
    raise AssertionError("an original has an address")


def _by_hand(error: DownloadError, target: Path, wanted: Path) -> DownloadError:
    return DownloadError(
        f"{error}\nRun the same command again to go on where it stopped. Without a network here: download the file on "
        f"another machine, put it at {target}, and run the same command again; {wanted} lists every file of the set "
        "and its place."
    )


def _assemble(corpus: Fetchable, downloads: Path) -> tuple[str, ...]:
    """Make the set beside its folder, give it its name, and return the files that are not as in the reference copy."""
    making = corpus.folder.with_name(f".{corpus.folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    try:
        making.mkdir(parents=True)
        corpus.assemble(downloads, making)
        differing = tuple(name for name, sha256 in corpus.reference.items() if content_sha256(making / name) != sha256)
        making.rename(corpus.folder)
    except OSError as error:
        raise unwritable(error, corpus.folder) from error
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(
            f"The originals of {corpus.name} in {downloads} are laid out in another way than this version knows "
            f"({type(error).__name__}: {error}). They are kept; a newer version of memshadow may read them."
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return differing


def _tidy(downloads: Path) -> None:
    """Remove the originals, which the set now holds; keep the recorded checksums."""
    for path in downloads.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != PINS:
            path.unlink()
    if not (downloads / PINS).exists():
        downloads.rmdir()
